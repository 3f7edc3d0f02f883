//! The text on its way: tokens, the module so far, and the names at its scope.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::error::{LoadError, LoadResult};
use crate::literal::short;
use crate::syntax::{Function, Module, Space, Symbol, Variable};

use super::tokens::Tokens;

/// A module on its way, and the names at its scope.
pub(super) struct Unit<'a> {
    pub tokens: Tokens<'a>,
    pub module: Module<'a>,
    names: HashMap<&'a str, Symbol>,
}

impl<'a> Unit<'a> {
    pub fn new(tokens: Tokens<'a>, module: Module<'a>) -> Self {
        Self { tokens, module, names: HashMap::new() }
    }

    /// A construct of PTX that this machine does not have.
    pub fn refused(&self, what: &str, why: &str) -> LoadError {
        LoadError::new(self.tokens.line(), format!("`{what}` is not supported: {why}"))
    }

    /// `.pragma "nounroll";`: of no account here, but for `used_bytes_mask 4095`, whose number comes back.
    pub fn pragma(&mut self) -> LoadResult<Option<u32>> {
        self.tokens.next();
        let mut used = None;
        let mut what = "a string behind `.pragma`";
        loop {
            let token = self.tokens.peek();
            let text = self.tokens.string(what)?;
            if let Some(mask) = text.strip_prefix("used_bytes_mask") {
                let number = match mask.trim().strip_prefix("0x") {
                    Some(digits) => u32::from_str_radix(digits, 16),
                    None => mask.trim().parse(),
                };
                let wrong = |_| self.tokens.expected_at(token, "a number behind used_bytes_mask");
                used = Some(number.map_err(wrong)?);
            }
            if !self.tokens.eat_mark(b',') {
                break;
            }
            what = "a string behind `,`";
        }
        self.tokens.mark(b';')?;
        Ok(used)
    }

    /// What a name at module scope stands for.
    pub fn find(&self, name: &str) -> Option<Symbol> {
        self.names.get(name).copied()
    }

    /// Adds a variable that no other code knows by its name: `.global` inside a function.
    pub fn add_variable(&mut self, variable: Variable<'a>) -> Symbol {
        self.module.variables.push(variable);
        Symbol::Module((self.module.variables.len() - 1) as u32)
    }

    /// Adds a variable and makes its name known.
    pub fn declare_variable(&mut self, variable: Variable<'a>) -> LoadResult<()> {
        let name = variable.name;
        let Some(known) = self.find(name) else {
            let symbol = self.add_variable(variable);
            self.names.insert(name, symbol);
            return Ok(());
        };
        let old = match known {
            Symbol::Module(index) => self.module.variables.get_mut(index as usize),
            _ => None,
        };
        match old {
            // Declared and defined in either order: the definition stays.
            Some(old) if variables_agree(old, &variable) && (old.external || variable.external) => {
                if old.external {
                    *old = variable;
                }
                Ok(())
            }
            _ => Err(LoadError::new(variable.line, format!("`{}` is declared twice", short(name)))),
        }
    }

    /// Makes the name of a function known, before its body if it has one (which may call it), and gives its index.
    pub fn declare_function(&mut self, function: Function<'a>, defines: bool) -> LoadResult<usize> {
        let (name, line) = (function.name, function.line);
        let twice = || LoadError::new(line, format!("`{}` is declared twice", short(name)));
        let index = match self.names.entry(name) {
            Entry::Vacant(free) => {
                let index = self.module.functions.len();
                free.insert(Symbol::Function(index as u32));
                self.module.functions.push(function);
                return Ok(index);
            }
            Entry::Occupied(known) => match known.get() {
                Symbol::Function(index) => *index as usize,
                _ => return Err(twice()),
            },
        };
        let old = self.module.functions.get_mut(index).ok_or_else(twice)?;
        if !functions_agree(old, &function) {
            let message = format!("`{}` was declared otherwise in line {}", short(name), old.line);
            return Err(LoadError::new(line, message));
        }
        if defines {
            if old.body.is_some() {
                return Err(twice());
            }
            *old = function;
        }
        Ok(index)
    }
}

fn variables_agree(a: &Variable<'_>, b: &Variable<'_>) -> bool {
    let open = a.length == 0 || b.length == 0;
    a.space == b.space
        && a.element == b.element
        && (open || a.length == b.length)
        && a.space != Space::Parameter
}

/// Whether two declarations of one function may stand in one text.
fn functions_agree(a: &Function<'_>, b: &Function<'_>) -> bool {
    let same = |a: &[Variable<'_>], b: &[Variable<'_>]| {
        a.len() == b.len()
            && a.iter().zip(b).all(|(a, b)| {
                a.element == b.element && a.length == b.length && a.register == b.register
            })
    };
    a.entry == b.entry && same(&a.parameters, &b.parameters) && same(&a.returns, &b.returns)
}
