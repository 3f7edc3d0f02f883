//! The block of a function: scopes, declarations, labels, instructions.

use std::collections::HashMap;

use crate::error::{LoadError, LoadResult};
use crate::lexer::Kind;
use crate::literal::short;
use crate::syntax::{Body, Guard, Instruction, Source, Space, Symbol, Type};

use super::block::Block;
use super::constant;
use super::function;
use super::labels::Labels;
use super::operand;
use super::scopes::{Name, Scopes};
use super::tokens::Tokens;
use super::unit::Unit;
use super::variable;

/// Scopes inside each other; inline assembly nests two or three.
const MOST_SCOPES: usize = 100;

/// A block on its way.
struct Statements<'p, 'a> {
    block: Block<'p, 'a>,
    body: Body<'a>,
    /// `.loc` in force.
    source: Option<Source>,
    /// Of the next instruction's bytes those that are used, as a pragma told.
    used_bytes: Option<u32>,
    /// For the places of inlined functions, to the column, where the outermost of them was inlined.
    inlined: HashMap<Location, Location>,
}

/// Numbers of a file, a line and a column.
type Location = [u32; 3];

/// Parses `{ ... }`; `scopes` knows the parameters.
pub(super) fn body<'a>(unit: &mut Unit<'a>, scopes: Scopes<'a>) -> LoadResult<Body<'a>> {
    let opened = unit.tokens.line();
    unit.tokens.mark(b'{')?;
    let (targets, target_names, prototype_names) = (Vec::new(), HashMap::new(), HashMap::new());
    let labels = Labels::new();
    let block = Block { unit, scopes, labels, targets, target_names, prototype_names };
    let mut statements = Statements {
        block,
        body: Body::default(),
        source: None,
        used_bytes: None,
        inlined: HashMap::new(),
    };
    while !statements.finished() {
        if statements.tokens().peek().kind == Kind::End {
            return Err(LoadError::new(opened, "expected `}` at the end of the function"));
        }
        statements.statement()?;
    }
    statements.tokens().next();
    let Statements { block, mut body, .. } = statements;
    body.labels = block.labels.finish()?;
    body.registers = block.scopes.into_registers();
    body.targets = block.targets;
    Ok(body)
}

/// The type behind `.reg`.
pub(super) fn register_type(unit: &mut Unit<'_>) -> LoadResult<Type> {
    let name = unit.tokens.dotted().unwrap_or_default();
    if matches!(name, "v2" | "v4" | "v8") {
        return Err(unit.refused(&format!(".reg .{name}"), "declare the elements one by one"));
    }
    let Some(kind) = Type::parse(name) else {
        return Err(unit.tokens.expected("the type of a register"));
    };
    unit.tokens.next();
    Ok(kind)
}

fn location(tokens: &mut Tokens<'_>) -> LoadResult<Location> {
    let file = tokens.integer("the number of a file")?;
    let line = tokens.integer("a line")?;
    Ok([file, line, tokens.integer("a column")?])
}

impl<'a> Statements<'_, 'a> {
    fn tokens(&mut self) -> &mut Tokens<'a> {
        &mut self.block.unit.tokens
    }

    /// At the brace that closes the function.
    fn finished(&mut self) -> bool {
        self.block.scopes.depth() == 1 && self.tokens().is_mark(b'}')
    }

    fn statement(&mut self) -> LoadResult<()> {
        let tokens = self.tokens();
        match tokens.peek().kind {
            Kind::Mark(b'{') => self.open(),
            Kind::Mark(b'}') => {
                tokens.next();
                self.block.scopes.close();
                self.block.labels.close();
                Ok(())
            }
            Kind::Dotted => self.directive(),
            Kind::Word if tokens.ahead(1).kind == Kind::Mark(b':') => self.label(),
            Kind::Word | Kind::Mark(b'@') => self.instruction(),
            _ => Err(tokens.expected("an instruction, a label, a directive or `}`")),
        }
    }

    fn open(&mut self) -> LoadResult<()> {
        if self.block.scopes.depth() >= MOST_SCOPES {
            let what = format!("at most {MOST_SCOPES} scopes inside each other");
            return Err(self.tokens().expected(&what));
        }
        self.tokens().next();
        self.block.scopes.open();
        self.block.labels.open();
        Ok(())
    }

    fn label(&mut self) -> LoadResult<()> {
        let line = self.tokens().line();
        let name = self.tokens().word("a label")?;
        self.tokens().mark(b':')?;
        match self.tokens().dotted() {
            Some("branchtargets") => self.targets(name, line),
            Some("callprototype") => self.prototype(name, line),
            _ => self.block.labels.place(name, self.body.instructions.len(), line),
        }
    }

    /// `name: .callprototype (.param .b32 _) _ (.param .b64 _);`: known from here to the end of the function.
    fn prototype(&mut self, name: &'a str, line: u32) -> LoadResult<()> {
        self.tokens().next();
        let index = self.body.prototypes.len() as u32;
        if self.block.prototype_names.insert(name, index).is_some() {
            return Err(LoadError::new(line, format!("`{}` is declared twice", short(name))));
        }
        let prototype = function::call_prototype(self.block.unit)?;
        self.body.prototypes.push(prototype);
        self.tokens().mark(b';')
    }

    /// `name: .branchtargets A, B;`: known from here to the end of the function.
    fn targets(&mut self, name: &'a str, line: u32) -> LoadResult<()> {
        self.tokens().next();
        let index = self.block.targets.len() as u32;
        if self.block.target_names.insert(name, index).is_some() {
            return Err(LoadError::new(line, format!("`{}` is declared twice", short(name))));
        }
        let mut labels = Vec::new();
        loop {
            let line = self.tokens().line();
            let label = self.tokens().word("a label to branch to")?;
            labels.push(self.block.labels.mention(label, line));
            if !self.tokens().eat_mark(b',') {
                break;
            }
        }
        self.block.targets.push(labels);
        self.tokens().mark(b';')
    }

    fn directive(&mut self) -> LoadResult<()> {
        match self.tokens().dotted().unwrap_or_default() {
            "reg" => self.registers(),
            "shared" | "local" | "param" | "global" | "const" => self.variables(),
            "loc" => self.location(),
            "pragma" => {
                self.used_bytes = self.block.unit.pragma()?.or(self.used_bytes);
                Ok(())
            }
            "branchtargets" => {
                Err(self.tokens().expected("a name and `:` before `.branchtargets`"))
            }
            "callprototype" => {
                Err(self.tokens().expected("a name and `:` before `.callprototype`"))
            }
            "calltargets" => Err(self.block.unit.refused(".calltargets", "name a .callprototype")),
            _ => Err(self.tokens().expected("a directive of a function's body")),
        }
    }

    /// `.reg .b32 a, %r<5>;`.
    fn registers(&mut self) -> LoadResult<()> {
        self.tokens().next();
        let kind = register_type(self.block.unit)?;
        loop {
            let line = self.tokens().line();
            let name = self.tokens().word("the name of a register")?;
            if self.tokens().eat_mark(b'<') {
                let count = self.tokens().integer("how many registers")?;
                self.tokens().mark(b'>')?;
                self.block.scopes.declare_family(name, count, kind, line)?;
            } else {
                self.block.scopes.declare_register(name, kind, line)?;
            }
            if !self.tokens().eat_mark(b',') {
                return self.tokens().mark(b';');
            }
        }
    }

    /// Variables of the body. `.global` and `.const` ones live as long as the module, so they are its own.
    fn variables(&mut self) -> LoadResult<()> {
        for variable in variable::statement(self.block.unit, false)? {
            let (name, line) = (variable.name, variable.line);
            let symbol = if matches!(variable.space, Space::Global | Space::Constant) {
                self.block.unit.add_variable(variable)
            } else {
                self.body.variables.push(variable);
                Symbol::Body((self.body.variables.len() - 1) as u32)
            };
            self.block.scopes.declare_symbol(name, symbol, line)?;
        }
        Ok(())
    }

    /// `.loc 1 9 5`, also `.loc 1 4 72, function_name $L__info_string0, inlined_at 1 10 9`.
    fn location(&mut self) -> LoadResult<()> {
        const WHAT: &str = "`function_name` or `inlined_at`";
        let tokens = self.tokens();
        tokens.next();
        let at = location(tokens)?;
        let mut inlined_at = None;
        while tokens.eat_mark(b',') {
            let token = tokens.peek();
            match tokens.word(WHAT)? {
                "function_name" => {
                    tokens.word("the label of a name")?;
                    constant::offset(tokens)?;
                }
                "inlined_at" => inlined_at = Some(location(tokens)?),
                _ => return Err(tokens.expected_at(token, WHAT)),
            }
        }
        self.place(at, inlined_at);
        Ok(())
    }

    /// What was inlined into an inlined function stands where that one was, as the directives before told.
    fn place(&mut self, at: Location, inlined_at: Option<Location>) {
        let outermost = inlined_at.map(|place| *self.inlined.get(&place).unwrap_or(&place));
        match outermost {
            Some(place) => drop(self.inlined.insert(at, place)),
            None => drop(self.inlined.remove(&at)),
        }
        let line = |[file, line, _]: Location| (file, line);
        self.source = Some(Source { at: line(at), inlined_at: outermost.map(line) });
    }

    /// `@!p name.part.part operand, operand;`.
    fn instruction(&mut self) -> LoadResult<()> {
        let line = self.tokens().line();
        let guard = self.guard()?;
        let tokens = self.tokens();
        let first = tokens.peek();
        let name = tokens.word("the name of an instruction")?;
        if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
            return Err(tokens.expected_at(first, "the name of an instruction"));
        }
        let mut parts = vec![name];
        while let Some(part) = tokens.dotted() {
            parts.push(part);
            tokens.next();
        }
        let operands = match name {
            "call" => operand::call(&mut self.block)?,
            "brx" => operand::branch_table(&mut self.block)?,
            _ => operand::operands(&mut self.block)?,
        };
        let (source, used_bytes) = (self.source, self.used_bytes.take());
        let instruction = Instruction { guard, parts, operands, line, source, used_bytes };
        self.body.instructions.push(instruction);
        Ok(())
    }

    fn guard(&mut self) -> LoadResult<Option<Guard>> {
        const WHAT: &str = "a predicate register behind `@`";
        if !self.tokens().eat_mark(b'@') {
            return Ok(None);
        }
        let negated = self.tokens().eat_mark(b'!');
        let token = self.tokens().peek();
        let name = self.tokens().word(WHAT)?;
        match self.block.scopes.find(name) {
            Some(Name::Register(register))
                if self.block.scopes.kind(register) == Some(Type::Pred) =>
            {
                Ok(Some(Guard { register, negated }))
            }
            _ => Err(self.tokens().expected_at(token, WHAT)),
        }
    }
}
