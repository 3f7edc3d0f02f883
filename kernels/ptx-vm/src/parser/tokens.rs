//! A walk over the tokens of a text, and the errors that name the token they stumbled on.

use crate::error::{LoadError, LoadResult};
use crate::lexer::{self, Kind, Token};
use crate::literal::short;
use crate::syntax::Immediate;

pub(super) struct Tokens<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
}

impl<'a> Tokens<'a> {
    pub fn new(text: &'a str) -> LoadResult<Self> {
        Ok(Self { text, tokens: lexer::tokens(text)?, at: 0 })
    }

    /// The current token; [`Kind::End`] for ever at the end.
    pub fn peek(&self) -> Token {
        self.ahead(0)
    }

    /// The token `count` behind the current one.
    pub fn ahead(&self, count: usize) -> Token {
        let end = Token { kind: Kind::End, start: 0, end: 0, line: 0 };
        self.tokens.get(self.at + count).or(self.tokens.last()).copied().unwrap_or(end)
    }

    pub fn next(&mut self) -> Token {
        let token = self.peek();
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        token
    }

    pub fn line(&self) -> u32 {
        self.peek().line
    }

    pub fn spelling(&self, token: Token) -> &'a str {
        &self.text[token.start as usize..token.end as usize]
    }

    /// The token before this one and this one together, where nothing stands between them.
    pub fn joined(&self) -> Option<&'a str> {
        let first = self.tokens.get(self.at.checked_sub(1)?)?;
        let last = self.peek();
        (first.end == last.start).then(|| &self.text[first.start as usize..last.end as usize])
    }

    /// A directive without its dot, if the current token is one.
    pub fn dotted(&self) -> Option<&'a str> {
        let token = self.peek();
        (token.kind == Kind::Dotted).then(|| &self.spelling(token)[1..])
    }

    pub fn is_mark(&self, mark: u8) -> bool {
        self.peek().kind == Kind::Mark(mark)
    }

    /// Moves over `mark` if it is the current token.
    pub fn eat_mark(&mut self, mark: u8) -> bool {
        let found = self.is_mark(mark);
        if found {
            self.next();
        }
        found
    }

    /// Moves over the directive `.name` if it is the current token.
    pub fn eat_dotted(&mut self, name: &str) -> bool {
        let found = self.dotted() == Some(name);
        if found {
            self.next();
        }
        found
    }

    pub fn mark(&mut self, mark: u8) -> LoadResult<()> {
        if self.eat_mark(mark) {
            return Ok(());
        }
        Err(self.expected(&format!("`{}`", mark as char)))
    }

    /// Moves over `open`, all that stands inside and the `close` that belongs to it; `stops` cannot stand inside.
    pub fn skip_block(&mut self, open: u8, close: u8, stops: &[u8]) -> LoadResult<()> {
        let opened = self.line();
        self.mark(open)?;
        let mut depth = 1u64;
        while depth > 0 {
            match self.next().kind {
                Kind::Mark(mark) if mark == open => depth += 1,
                Kind::Mark(mark) if mark == close => depth -= 1,
                Kind::Mark(mark) if !stops.contains(&mark) => {}
                Kind::Mark(_) | Kind::End => {
                    let (open, close) = (open as char, close as char);
                    let message = format!("expected `{close}` to the `{open}` of this line");
                    return Err(LoadError::new(opened, message));
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub fn word(&mut self, what: &str) -> LoadResult<&'a str> {
        if self.peek().kind != Kind::Word {
            return Err(self.expected(what));
        }
        let token = self.next();
        Ok(self.spelling(token))
    }

    /// A plain integer that fits 32 bits.
    pub fn integer(&mut self, what: &str) -> LoadResult<u32> {
        match self.peek().kind {
            Kind::Number(Immediate::Integer(value)) if u32::try_from(value).is_ok() => {
                self.next();
                Ok(value as u32)
            }
            _ => Err(self.expected(what)),
        }
    }

    /// A string, its escaped quotes and backslashes resolved.
    pub fn string(&mut self, what: &str) -> LoadResult<String> {
        if self.peek().kind != Kind::String {
            return Err(self.expected(what));
        }
        let token = self.next();
        let quoted = self.spelling(token);
        let body = &quoted[1..quoted.len() - 1];
        Ok(body.replace("\\\"", "\"").replace("\\\\", "\\"))
    }

    /// The error that `what` does not stand here.
    pub fn expected(&self, what: &str) -> LoadError {
        self.expected_at(self.peek(), what)
    }

    /// The error that `token` is not `what`.
    pub fn expected_at(&self, token: Token, what: &str) -> LoadError {
        let found = match token.kind {
            Kind::End => "the end of the text".to_owned(),
            _ => format!("`{}`", short(self.spelling(token))),
        };
        LoadError::new(token.line, format!("expected {what}, found {found}"))
    }
}
