//! Cuts a PTX text into tokens: names, directives, literals, strings and punctuation; comments and white space go.

use crate::error::{LoadError, LoadResult};
use crate::literal::{self, in_name};
use crate::syntax::Immediate;

/// What a token is; its spelling is `text[start..end]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// A name of any sort: `ld`, `%r1`, `$L__BB0_2`, `_`.
    Word,
    /// A name behind a dot, colons inside: `.reg`, `.v4`, `.2d`, `.shared::cta`, `.L2::128B`.
    Dotted,
    Number(Immediate),
    /// A string with its quotes.
    String,
    /// Punctuation of one byte.
    Mark(u8),
    /// `<<`.
    ShiftLeft,
    /// Behind the last token.
    End,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Token {
    pub kind: Kind,
    pub start: u32,
    pub end: u32,
    /// From 1.
    pub line: u32,
}

/// All tokens of `text`, an [`Kind::End`] behind them. Time and memory grow with the text only.
pub(crate) fn tokens(text: &str) -> LoadResult<Vec<Token>> {
    // Positions are kept in 32 bits: a token takes 32 bytes as it is.
    if u32::try_from(text.len()).is_err() {
        return Err(LoadError::new(0, "expected a text of less than 4 GiB"));
    }
    let mut lexer = Lexer { text, at: 0, line: 1 };
    let mut tokens = Vec::with_capacity(text.len() / 4);
    loop {
        let token = lexer.next()?;
        tokens.push(token);
        if token.kind == Kind::End {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: u32,
}

impl Lexer<'_> {
    /// The byte `ahead` of the current one; 0 behind the end (a NUL in the text is no token either).
    fn byte(&self, ahead: usize) -> u8 {
        self.text.as_bytes().get(self.at + ahead).copied().unwrap_or(0)
    }

    fn next(&mut self) -> LoadResult<Token> {
        self.skip_blank()?;
        let (start, line) = (self.at, self.line);
        let kind = self.kind()?;
        Ok(Token { kind, start: start as u32, end: self.at as u32, line })
    }

    fn kind(&mut self) -> LoadResult<Kind> {
        Ok(match self.byte(0) {
            _ if self.at == self.text.len() => Kind::End,
            b'.' if in_name(self.byte(1)) => self.dotted(),
            b'0'..=b'9' => self.number()?,
            b'%' | b'_' | b'$' | b'a'..=b'z' | b'A'..=b'Z' => self.word()?,
            b'"' => self.string()?,
            b'<' if self.byte(1) == b'<' => self.take(2, Kind::ShiftLeft),
            mark if b",;:(){}[]<>+-*/&|^~!@=".contains(&mark) => self.take(1, Kind::Mark(mark)),
            _ => return Err(self.stranger()),
        })
    }

    fn take(&mut self, bytes: usize, kind: Kind) -> Kind {
        self.at += bytes;
        kind
    }

    fn skip_name(&mut self) {
        while in_name(self.byte(0)) {
            self.at += 1;
        }
    }

    fn word(&mut self) -> LoadResult<Kind> {
        let start = self.at;
        self.at += 1;
        self.skip_name();
        if &self.text.as_bytes()[start..self.at] == b"%" {
            return Err(LoadError::new(self.line, "expected a name behind `%`"));
        }
        Ok(Kind::Word)
    }

    fn dotted(&mut self) -> Kind {
        self.at += 1;
        self.skip_name();
        while self.byte(0) == b':' && self.byte(1) == b':' && in_name(self.byte(2)) {
            self.at += 2;
            self.skip_name();
        }
        Kind::Dotted
    }

    fn number(&mut self) -> LoadResult<Kind> {
        let (value, bytes) = literal::number(&self.text[self.at..])
            .map_err(|message| LoadError::new(self.line, message))?;
        self.at += bytes;
        Ok(Kind::Number(value))
    }

    fn string(&mut self) -> LoadResult<Kind> {
        self.at += 1;
        loop {
            match self.byte(0) {
                b'"' => return Ok(self.take(1, Kind::String)),
                b'\\' if self.at + 2 <= self.text.len() && self.byte(1) != b'\n' => self.at += 2,
                b'\n' => break,
                _ if self.at >= self.text.len() => break,
                _ => self.at += 1,
            }
        }
        Err(LoadError::new(self.line, "expected `\"` at the end of the string"))
    }

    /// Moves over white space and both kinds of comments.
    fn skip_blank(&mut self) -> LoadResult<()> {
        loop {
            match (self.byte(0), self.byte(1)) {
                (b'\n', _) => {
                    self.line += 1;
                    self.at += 1;
                }
                (b' ' | b'\t' | b'\r' | 0x0b | 0x0c, _) => self.at += 1,
                (b'/', b'/') => {
                    let rest = &self.text.as_bytes()[self.at..];
                    self.at += rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
                }
                (b'/', b'*') => self.skip_block_comment()?,
                _ => return Ok(()),
            }
        }
    }

    fn skip_block_comment(&mut self) -> LoadResult<()> {
        let opened = self.line;
        self.at += 2;
        while self.at < self.text.len() {
            match (self.byte(0), self.byte(1)) {
                (b'*', b'/') => {
                    self.at += 2;
                    return Ok(());
                }
                (b'\n', _) => self.line += 1,
                _ => {}
            }
            self.at += 1;
        }
        Err(LoadError::new(opened, "expected `*/` at the end of the comment"))
    }

    /// The error for a character that begins no token. The lexer stands at the start of a character here: all
    /// tokens are ASCII, and strings and comments end in ASCII.
    fn stranger(&self) -> LoadError {
        let found = self.text.get(self.at..).and_then(|rest| rest.chars().next());
        let found = found.unwrap_or(char::REPLACEMENT_CHARACTER);
        LoadError::new(self.line, format!("unexpected character {found:?}"))
    }
}
