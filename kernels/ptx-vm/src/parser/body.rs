//! The block of a function: scopes, declarations, labels, instructions.

use crate::error::{LoadError, LoadResult};
use crate::lexer::Kind;
use crate::syntax::{Body, Guard, Instruction, Space, Symbol, Type};

use super::constant;
use super::labels::Labels;
use super::module::{Linkage, Parser};
use super::operand;
use super::scopes::{Name, Scopes};
use super::variable;

/// Scopes inside each other; inline assembly nests two or three.
const MOST_SCOPES: usize = 100;

/// A block on its way.
pub(super) struct Block<'p, 'a> {
    pub parser: &'p mut Parser<'a>,
    pub scopes: Scopes<'a>,
    pub labels: Labels<'a>,
    body: Body<'a>,
    /// `.loc` in force.
    source: Option<(u32, u32)>,
}

/// Parses `{ ... }`; `scopes` knows the parameters.
pub(super) fn body<'a>(parser: &mut Parser<'a>, scopes: Scopes<'a>) -> LoadResult<Body<'a>> {
    let opened = parser.tokens.line();
    parser.tokens.mark(b'{')?;
    let (body, labels) = (Body::default(), Labels::new());
    let mut block = Block { parser, scopes, labels, body, source: None };
    while !(block.scopes.depth() == 1 && block.parser.tokens.is_mark(b'}')) {
        if block.parser.tokens.peek().kind == Kind::End {
            return Err(LoadError::new(opened, "expected `}` at the end of the function"));
        }
        block.statement()?;
    }
    block.parser.tokens.next();
    let Block { scopes, labels, mut body, .. } = block;
    body.labels = labels.finish()?;
    body.registers = scopes.into_registers();
    Ok(body)
}

/// The type behind `.reg`.
pub(super) fn register_type(parser: &mut Parser<'_>) -> LoadResult<Type> {
    let name = parser.tokens.dotted().unwrap_or_default();
    if matches!(name, "v2" | "v4" | "v8") {
        return Err(parser.refused(&format!(".reg .{name}"), "declare the elements one by one"));
    }
    let Some(kind) = Type::parse(name) else {
        return Err(parser.tokens.expected("the type of a register"));
    };
    parser.tokens.next();
    Ok(kind)
}

impl<'a> Block<'_, 'a> {
    fn statement(&mut self) -> LoadResult<()> {
        let tokens = &mut self.parser.tokens;
        match tokens.peek().kind {
            Kind::Mark(b'{') => self.open(),
            Kind::Mark(b'}') => {
                tokens.next();
                self.scopes.close();
                self.labels.close();
                Ok(())
            }
            Kind::Dotted => self.directive(),
            Kind::Word if tokens.ahead(1).kind == Kind::Mark(b':') => self.label(),
            Kind::Word | Kind::Mark(b'@') => self.instruction(),
            _ => Err(tokens.expected("an instruction, a label, a directive or `}`")),
        }
    }

    fn open(&mut self) -> LoadResult<()> {
        if self.scopes.depth() >= MOST_SCOPES {
            let what = format!("at most {MOST_SCOPES} scopes inside each other");
            return Err(self.parser.tokens.expected(&what));
        }
        self.parser.tokens.next();
        self.scopes.open();
        self.labels.open();
        Ok(())
    }

    fn label(&mut self) -> LoadResult<()> {
        let line = self.parser.tokens.line();
        let name = self.parser.tokens.word("a label")?;
        self.parser.tokens.mark(b':')?;
        self.labels.place(name, self.body.instructions.len(), line)
    }

    fn directive(&mut self) -> LoadResult<()> {
        match self.parser.tokens.dotted().unwrap_or_default() {
            "reg" => self.registers(),
            "shared" | "local" | "param" | "global" | "const" => self.variables(),
            "loc" => self.location(),
            "pragma" => self.parser.pragma(),
            "branchtargets" => {
                Err(self.parser.refused(".branchtargets", "branch to labels by `bra`"))
            }
            "callprototype" | "calltargets" => {
                Err(self.parser.refused("indirect call", "call functions by their names"))
            }
            _ => Err(self.parser.tokens.expected("a directive of a function's body")),
        }
    }

    /// `.reg .b32 a, %r<5>;`.
    fn registers(&mut self) -> LoadResult<()> {
        self.parser.tokens.next();
        let kind = register_type(self.parser)?;
        loop {
            let line = self.parser.tokens.line();
            let name = self.parser.tokens.word("the name of a register")?;
            if self.parser.tokens.eat_mark(b'<') {
                let count = self.parser.tokens.integer("how many registers")?;
                self.parser.tokens.mark(b'>')?;
                self.scopes.declare_family(name, count, kind, line)?;
            } else {
                self.scopes.declare_register(name, kind, line)?;
            }
            if !self.parser.tokens.eat_mark(b',') {
                return self.parser.tokens.mark(b';');
            }
        }
    }

    /// Variables of the body. `.global` and `.const` ones live as long as the module, so they are its own.
    fn variables(&mut self) -> LoadResult<()> {
        for variable in variable::statement(self.parser, Linkage::default())? {
            let (name, line) = (variable.name, variable.line);
            let symbol = if matches!(variable.space, Space::Global | Space::Constant) {
                self.parser.add_variable(variable)
            } else {
                self.body.variables.push(variable);
                Symbol::Body((self.body.variables.len() - 1) as u32)
            };
            self.scopes.declare_symbol(name, symbol, line)?;
        }
        Ok(())
    }

    /// `.loc 1 9 5`, also `.loc 1 4 72, function_name $L__info_string0, inlined_at 1 10 9`.
    fn location(&mut self) -> LoadResult<()> {
        let tokens = &mut self.parser.tokens;
        tokens.next();
        let file = tokens.integer("the number of a file")?;
        let line = tokens.integer("a line")?;
        tokens.integer("a column")?;
        self.source = Some((file, line));
        while tokens.eat_mark(b',') {
            match tokens.word("`function_name` or `inlined_at`")? {
                "function_name" => {
                    tokens.word("the label of a name")?;
                    constant::offset(tokens)?;
                }
                "inlined_at" => {
                    for what in ["the number of a file", "a line", "a column"] {
                        tokens.integer(what)?;
                    }
                }
                _ => return Err(tokens.expected("a place behind `function_name` or `inlined_at`")),
            }
        }
        Ok(())
    }

    /// `@!p name.part.part operand, operand;`.
    fn instruction(&mut self) -> LoadResult<()> {
        let line = self.parser.tokens.line();
        let guard = self.guard()?;
        let tokens = &mut self.parser.tokens;
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
            "call" => operand::call(self)?,
            _ => operand::operands(self)?,
        };
        let source = self.source;
        self.body.instructions.push(Instruction { guard, parts, operands, line, source });
        Ok(())
    }

    fn guard(&mut self) -> LoadResult<Option<Guard>> {
        const WHAT: &str = "a predicate register behind `@`";
        if !self.parser.tokens.eat_mark(b'@') {
            return Ok(None);
        }
        let negated = self.parser.tokens.eat_mark(b'!');
        let token = self.parser.tokens.peek();
        let name = self.parser.tokens.word(WHAT)?;
        match self.scopes.find(name) {
            Some(Name::Register(register)) if self.scopes.kind(register) == Some(Type::Pred) => {
                Ok(Some(Guard { register, negated }))
            }
            _ => Err(self.parser.tokens.expected_at(token, WHAT)),
        }
    }
}
