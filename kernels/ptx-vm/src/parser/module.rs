//! Module scope: header, variables, functions, files, and the debug sections that are skipped.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::error::{LoadError, LoadResult};
use crate::lexer::Kind;
use crate::syntax::{Function, Module, Space, Symbol, Variable};

use super::function;
use super::tokens::Tokens;
use super::variable;

/// A module on its way, and the names at its scope.
pub(super) struct Parser<'a> {
    pub tokens: Tokens<'a>,
    pub module: Module<'a>,
    names: HashMap<&'a str, Symbol>,
}

/// Linking directives before a variable or function.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Linkage {
    pub external: bool,
}

pub(super) fn parse(text: &str) -> LoadResult<Module<'_>> {
    let mut tokens = Tokens::new(text)?;
    let version = version(&mut tokens)?;
    let target = target(&mut tokens)?;
    let (variables, functions, files) = (Vec::new(), Vec::new(), Vec::new());
    let module = Module { version, target, variables, functions, files };
    let mut parser = Parser { tokens, module, names: HashMap::new() };
    while parser.tokens.peek().kind != Kind::End {
        parser.item()?;
    }
    Ok(parser.module)
}

/// `.version 9.0`.
fn version(tokens: &mut Tokens<'_>) -> LoadResult<(u32, u32)> {
    if !tokens.eat_dotted("version") {
        return Err(tokens.expected("`.version`"));
    }
    let token = tokens.peek();
    let numbers = tokens.spelling(token).split_once('.');
    match numbers.map(|(major, minor)| (major.parse(), minor.parse())) {
        Some((Ok(major), Ok(minor))) => {
            tokens.next();
            Ok((major, minor))
        }
        _ => Err(tokens.expected("a version such as 9.0")),
    }
}

/// `.target sm_90a, debug`.
fn target<'a>(tokens: &mut Tokens<'a>) -> LoadResult<Vec<&'a str>> {
    if !tokens.eat_dotted("target") {
        return Err(tokens.expected("`.target` behind `.version`"));
    }
    let mut names = vec![tokens.word("a target such as sm_90a")?];
    while tokens.eat_mark(b',') {
        names.push(tokens.word("a target or one of its options")?);
    }
    Ok(names)
}

impl<'a> Parser<'a> {
    /// One directive of module scope.
    fn item(&mut self) -> LoadResult<()> {
        const WHAT: &str = "a directive of module scope";
        let Some(name) = self.tokens.dotted() else {
            return Err(self.tokens.expected(WHAT));
        };
        match name {
            "address_size" => self.address_size(),
            "file" => self.file(),
            "section" => self.section(),
            "pragma" => self.pragma(),
            "visible" | "extern" | "weak" | "common" => self.linked(),
            "global" | "const" | "shared" | "entry" | "func" => {
                self.declaration(Linkage::default())
            }
            "alias" => Err(self.refused(".alias", "call the function by its own name")),
            "tex" => Err(self.refused(".tex", "textures are no part of this machine")),
            _ => Err(self.tokens.expected(WHAT)),
        }
    }

    /// A construct of PTX that this machine does not have.
    pub fn refused(&self, what: &str, why: &str) -> LoadError {
        LoadError::new(self.tokens.line(), format!("`{what}` is not supported: {why}"))
    }

    fn address_size(&mut self) -> LoadResult<()> {
        self.tokens.next();
        if self.tokens.peek().kind != Kind::Integer(64) {
            return Err(self.tokens.expected("an address size of 64"));
        }
        self.tokens.next();
        Ok(())
    }

    /// `.file 1 "layer_norm.cu"`, with time and size behind it or not.
    fn file(&mut self) -> LoadResult<()> {
        self.tokens.next();
        let number = self.tokens.integer("the number of a file")?;
        let name = self.tokens.string("the name of a file in quotes")?;
        for what in ["the time of a file", "the size of a file"] {
            if !self.tokens.eat_mark(b',') {
                break;
            }
            if !matches!(self.tokens.peek().kind, Kind::Integer(_)) {
                return Err(self.tokens.expected(what));
            }
            self.tokens.next();
        }
        self.module.files.push((number, name));
        Ok(())
    }

    /// `.section .debug_info { ... }`: skipped up to its brace.
    fn section(&mut self) -> LoadResult<()> {
        let opened = self.tokens.next();
        if self.tokens.dotted().is_none() {
            return Err(self.tokens.expected("the name of a section"));
        }
        self.tokens.next();
        self.tokens.mark(b'{')?;
        let mut depth = 1u64;
        while depth > 0 {
            match self.tokens.next().kind {
                Kind::Mark(b'{') => depth += 1,
                Kind::Mark(b'}') => depth -= 1,
                Kind::End => {
                    return Err(LoadError::new(
                        opened.line,
                        "expected `}` at the end of the section",
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// `.pragma "nounroll";`: of no account here.
    pub fn pragma(&mut self) -> LoadResult<()> {
        self.tokens.next();
        self.tokens.string("a string behind `.pragma`")?;
        while self.tokens.eat_mark(b',') {
            self.tokens.string("a string behind `,`")?;
        }
        self.tokens.mark(b';')
    }

    fn linked(&mut self) -> LoadResult<()> {
        let external = self.tokens.dotted() == Some("extern");
        self.tokens.next();
        match self.tokens.dotted() {
            Some("global" | "const" | "shared" | "entry" | "func") => {
                self.declaration(Linkage { external })
            }
            _ => Err(self.tokens.expected("a variable or function behind a linking directive")),
        }
    }

    fn declaration(&mut self, linkage: Linkage) -> LoadResult<()> {
        match self.tokens.dotted() {
            Some("entry" | "func") => function::function(self),
            _ => {
                for variable in variable::statement(self, linkage)? {
                    let name = variable.name;
                    self.declare_variable(name, variable)?;
                }
                Ok(())
            }
        }
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

    fn declare_variable(&mut self, name: &'a str, variable: Variable<'a>) -> LoadResult<()> {
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
            Some(old) if agree(old, &variable) && (old.external || variable.external) => {
                if old.external {
                    *old = variable;
                }
                Ok(())
            }
            _ => Err(LoadError::new(variable.line, format!("`{name}` is declared twice"))),
        }
    }

    /// Makes the name of a function known, before its body if it has one (which may call it), and gives its index.
    pub fn declare_function(&mut self, function: Function<'a>, defines: bool) -> LoadResult<usize> {
        let (name, line) = (function.name, function.line);
        let twice = || LoadError::new(line, format!("`{name}` is declared twice"));
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
        if !function::agree(old, &function) {
            let message = format!("`{name}` was declared otherwise in line {}", old.line);
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

fn agree(a: &Variable<'_>, b: &Variable<'_>) -> bool {
    let open = a.length == 0 || b.length == 0;
    a.space == b.space
        && a.element == b.element
        && (open || a.length == b.length)
        && a.space != Space::Parameter
}
