//! Names inside a function: scopes shadow each other, registers get their numbers when they are first used.

use std::collections::HashMap;

use crate::error::{LoadError, LoadResult};
use crate::literal::short;
use crate::syntax::{Register, RegisterId, Symbol, Type};

/// `%r<n>` of more registers than any program has.
const MOST_IN_FAMILY: u32 = 1 << 20;
/// Digits of the last name of the largest family.
const MOST_DIGITS: usize = 7;

/// What a name inside a function stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Name {
    Register(RegisterId),
    Symbol(Symbol),
}

#[derive(Clone, Copy)]
enum Entity {
    /// Index into [`Scopes::singles`].
    Single(usize),
    Symbol(Symbol),
}

/// A register declared by its own name.
struct Single {
    kind: Type,
    id: Option<RegisterId>,
}

/// `%r<5>`: `%r0` to `%r4`, of which only those in use are numbered. So memory grows with the text and not with
/// what it declares.
struct Family {
    kind: Type,
    count: u32,
    ids: HashMap<u32, RegisterId>,
}

/// Declarations of one spelling, the innermost scope last.
type Shadows<T> = Vec<(usize, T)>;

/// What one scope declared, to be undone when it closes.
#[derive(Default)]
struct Scope<'a> {
    names: Vec<&'a str>,
    families: Vec<&'a str>,
}

pub(super) struct Scopes<'a> {
    open: Vec<Scope<'a>>,
    names: HashMap<&'a str, Shadows<Entity>>,
    /// By prefix: `%r` for `%r<5>`.
    prefixes: HashMap<&'a str, Shadows<usize>>,
    singles: Vec<Single>,
    families: Vec<Family>,
    registers: Vec<Register>,
}

impl<'a> Scopes<'a> {
    /// One scope, for the parameters and the outermost block.
    pub fn new() -> Self {
        Self {
            open: vec![Scope::default()],
            names: HashMap::new(),
            prefixes: HashMap::new(),
            singles: Vec::new(),
            families: Vec::new(),
            registers: Vec::new(),
        }
    }

    pub fn depth(&self) -> usize {
        self.open.len()
    }

    pub fn open(&mut self) {
        self.open.push(Scope::default());
    }

    pub fn close(&mut self) {
        let Some(scope) = self.open.pop() else { return };
        for name in scope.names {
            undo(&mut self.names, name);
        }
        for prefix in scope.families {
            undo(&mut self.prefixes, prefix);
        }
    }

    pub fn declare_symbol(&mut self, name: &'a str, symbol: Symbol, line: u32) -> LoadResult<()> {
        self.declare(name, Entity::Symbol(symbol), line)
    }

    pub fn declare_register(&mut self, name: &'a str, kind: Type, line: u32) -> LoadResult<()> {
        self.declare(name, Entity::Single(self.singles.len()), line)?;
        self.singles.push(Single { kind, id: None });
        Ok(())
    }

    pub fn declare_family(
        &mut self,
        prefix: &'a str,
        count: u32,
        kind: Type,
        line: u32,
    ) -> LoadResult<()> {
        if count > MOST_IN_FAMILY {
            let message = format!("expected at most {MOST_IN_FAMILY} registers, found {count}");
            return Err(LoadError::new(line, message));
        }
        let depth = self.depth();
        let shadows = self.prefixes.entry(prefix).or_default();
        if shadows.last().is_some_and(|&(at, _)| at == depth) {
            return Err(LoadError::new(line, format!("`{}<` is declared twice", short(prefix))));
        }
        shadows.push((depth, self.families.len()));
        self.families.push(Family { kind, count, ids: HashMap::new() });
        if let Some(scope) = self.open.last_mut() {
            scope.families.push(prefix);
        }
        Ok(())
    }

    fn declare(&mut self, name: &'a str, entity: Entity, line: u32) -> LoadResult<()> {
        let depth = self.depth();
        let member = self.member(name);
        let shadows = self.names.entry(name).or_default();
        let twice = shadows.last().is_some_and(|&(at, _)| at == depth)
            || member.is_some_and(|(at, _, _)| at == depth);
        if twice || name == "_" {
            let what = if twice { "is declared twice" } else { "is no name for a variable" };
            return Err(LoadError::new(line, format!("`{}` {what}", short(name))));
        }
        shadows.push((depth, entity));
        if let Some(scope) = self.open.last_mut() {
            scope.names.push(name);
        }
        Ok(())
    }

    /// What `name` stands for in the innermost scope that knows it.
    pub fn find(&mut self, name: &str) -> Option<Name> {
        let exact = self.names.get(name).and_then(|shadows| shadows.last()).copied();
        match (exact, self.member(name)) {
            (Some((depth, entity)), member) if member.is_none_or(|(at, _, _)| at <= depth) => {
                Some(match entity {
                    Entity::Single(index) => Name::Register(self.number_single(index)),
                    Entity::Symbol(symbol) => Name::Symbol(symbol),
                })
            }
            (_, Some((_, family, index))) => {
                Some(Name::Register(self.number_member(family, index)))
            }
            _ => None,
        }
    }

    /// The kind of a register that was found.
    pub fn kind(&self, id: RegisterId) -> Option<Type> {
        self.registers.get(id.0 as usize).map(|register| register.kind)
    }

    /// The registers in use, in the order of their numbers.
    pub fn into_registers(self) -> Vec<Register> {
        self.registers
    }

    /// Depth, family and number of a name such as `%r12`; of families that overlap (`%r<20>`, `%r1<5>`) the
    /// innermost, then (as ptxas does) the one with the shorter prefix.
    fn member(&self, name: &str) -> Option<(usize, usize, u32)> {
        let digits = name.bytes().rev().take_while(u8::is_ascii_digit).take(MOST_DIGITS).count();
        let mut best: Option<(usize, usize, u32)> = None;
        for split in name.len() - digits..name.len() {
            let (prefix, number) = name.split_at(split);
            if number.len() > 1 && number.starts_with('0') {
                continue;
            }
            let Ok(index) = number.parse::<u32>() else { continue };
            let Some(shadows) = self.prefixes.get(prefix) else { continue };
            let covers = |&&(_, family): &&(usize, usize)| {
                self.families.get(family).is_some_and(|each| index < each.count)
            };
            let Some(&(depth, family)) = shadows.iter().rev().find(covers) else { continue };
            if best.is_none_or(|(at, _, _)| at < depth) {
                best = Some((depth, family, index));
            }
        }
        best
    }

    fn number_single(&mut self, index: usize) -> RegisterId {
        let single = &mut self.singles[index];
        let kind = single.kind;
        *single.id.get_or_insert_with(|| new_register(&mut self.registers, kind))
    }

    fn number_member(&mut self, family: usize, index: u32) -> RegisterId {
        let Family { kind, ids, .. } = &mut self.families[family];
        *ids.entry(index).or_insert_with(|| new_register(&mut self.registers, *kind))
    }
}

fn new_register(registers: &mut Vec<Register>, kind: Type) -> RegisterId {
    registers.push(Register { kind });
    RegisterId((registers.len() - 1) as u32)
}

fn undo<'a, T>(table: &mut HashMap<&'a str, Shadows<T>>, name: &'a str) {
    if let Some(shadows) = table.get_mut(name) {
        shadows.pop();
    }
}
