//! The stack machine that reads a pickle, protocols 0 to 5, opcodes that make data only.

use std::collections::HashMap;

use super::text;
use super::tree::{Content, Node, Pickle, PickleError};

/// The largest pickle read, in bytes: positions in its text then fit 32 bits.
const BYTES_MAX: usize = 1 << 30;

const HIGHEST_PROTOCOL: u8 = 5;

type Step<T = ()> = Result<T, PickleError>;

impl Pickle {
    /// Reads a pickle of protocol 0 to 5. An opcode that would load or call code is refused.
    ///
    /// Time and memory are proportional to `bytes`: a length is checked against what is left
    /// before anything of it is reserved, and a shared object is kept once.
    pub fn parse(bytes: &[u8]) -> Result<Pickle, PickleError> {
        if bytes.len() > BYTES_MAX {
            let message = format!("a pickle of at most {BYTES_MAX} bytes is read");
            return Err(PickleError {
                offset: 0,
                message: format!("{message}; found {}", bytes.len()),
            });
        }
        Machine { input: bytes, ..Machine::default() }.run()
    }
}

#[derive(Default)]
struct Machine<'a> {
    input: &'a [u8],
    /// Next byte.
    place: usize,
    /// Where the current opcode stands.
    opcode_place: usize,
    tree: Pickle,
    stack: Vec<Node>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: HashMap<u64, Node>,
}

impl<'a> Machine<'a> {
    fn run(mut self) -> Step<Pickle> {
        loop {
            self.opcode_place = self.place;
            let opcode = self.byte()?;
            if opcode == b'.' {
                self.tree.root = self.pop()?;
                return Ok(self.tree);
            }
            let known = self.scalar(opcode)?
                || self.string(opcode)?
                || self.gather(opcode)?
                || self.extend(opcode)?
                || self.arrange(opcode)?;
            if !known {
                return self.fail(refusal(opcode));
            }
        }
    }

    /// None, booleans, numbers.
    fn scalar(&mut self, opcode: u8) -> Step<bool> {
        let content = match opcode {
            b'N' => Content::None,
            0x88 => Content::Bool(true),
            0x89 => Content::Bool(false),
            b'I' | b'L' => self.decimal(opcode)?,
            b'J' => Content::Int(i64::from(i32::from_le_bytes(self.array()?))),
            b'K' => Content::Int(i64::from(self.byte()?)),
            b'M' => Content::Int(i64::from(u16::from_le_bytes(self.array()?))),
            0x8a => {
                let length = u64::from(self.byte()?);
                long(self.take(length)?)
            }
            0x8b => {
                let length = i32::from_le_bytes(self.array()?);
                let length = u64::try_from(length).or_else(|_| self.fail("a negative length"))?;
                long(self.take(length)?)
            }
            b'F' => {
                let number = std::str::from_utf8(self.line()?).ok().map(|line| line.trim().parse());
                match number {
                    Some(Ok(number)) => Content::Float(number),
                    _ => return self.fail("expected a decimal float"),
                }
            }
            b'G' => Content::Float(f64::from_be_bytes(self.array()?)),
            _ => return Ok(false),
        };
        self.push(content);
        Ok(true)
    }

    /// Strings and bytes. Python 2 strings and unicode both become text.
    fn string(&mut self, opcode: u8) -> Step<bool> {
        let length = match opcode {
            b'S' | b'V' => return self.string_line(opcode),
            b'U' | b'C' | 0x8c => u64::from(self.byte()?),
            b'T' | b'X' | b'B' => u64::from(u32::from_le_bytes(self.array()?)),
            0x8d | 0x8e | 0x96 => u64::from_le_bytes(self.array()?),
            _ => return Ok(false),
        };
        let bytes = self.take(length)?;
        let (text_start, bytes_start) = (self.tree.text.len(), self.tree.bytes.len());
        match opcode {
            b'T' | b'U' => text::decode(bytes, &mut self.tree.text),
            b'X' | 0x8c | 0x8d => match std::str::from_utf8(bytes) {
                Ok(utf8) => self.tree.text.push_str(utf8),
                Err(error) => return self.fail(format!("a string that is not UTF-8: {error}")),
            },
            _ => {
                self.tree.bytes.extend_from_slice(bytes);
                let end = self.tree.bytes.len() as u32;
                self.push(Content::Bytes(bytes_start as u32..end));
                return Ok(true);
            }
        }
        self.push_text_from(text_start);
        Ok(true)
    }

    /// Protocol 0's strings, a line each.
    fn string_line(&mut self, opcode: u8) -> Step<bool> {
        let (line, start) = (self.line()?, self.tree.text.len());
        let read = if opcode == b'S' {
            text::unquote(line).map(|bytes| text::decode(&bytes, &mut self.tree.text))
        } else {
            text::raw_unicode(line, &mut self.tree.text)
        };
        read.or_else(|message| self.fail(message))?;
        self.push_text_from(start);
        Ok(true)
    }

    /// New containers.
    fn gather(&mut self, opcode: u8) -> Step<bool> {
        let content = match opcode {
            b']' => Content::List(Vec::new()),
            b')' => Content::Tuple(Vec::new()),
            b'}' => Content::Dict(Vec::new()),
            0x8f => Content::Set(Vec::new()),
            b'l' => Content::List(self.pop_to_mark()?),
            b't' => Content::Tuple(self.pop_to_mark()?),
            0x91 => Content::Set(self.pop_to_mark()?),
            b'd' => {
                let items = self.pop_to_mark()?;
                Content::Dict(self.pairs(&items)?)
            }
            0x85..=0x87 => {
                let mut items = Vec::new();
                for _ in 0x85..=opcode {
                    items.push(self.pop()?);
                }
                items.reverse();
                Content::Tuple(items)
            }
            _ => return Ok(false),
        };
        self.push(content);
        Ok(true)
    }

    /// Adding to the container below.
    fn extend(&mut self, opcode: u8) -> Step<bool> {
        let items = match opcode {
            b'a' => vec![self.pop()?],
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            b'e' | b'u' | 0x90 => self.pop_to_mark()?,
            _ => return Ok(false),
        };
        let pairs = if matches!(opcode, b's' | b'u') { self.pairs(&items)? } else { Vec::new() };
        let container = self.top()?;
        match (opcode, self.tree.nodes.get_mut(container as usize)) {
            (b'a' | b'e', Some(Content::List(list))) => list.extend(items),
            (b's' | b'u', Some(Content::Dict(dict))) => dict.extend(pairs),
            (0x90, Some(Content::Set(set))) => set.extend(items),
            _ => return self.fail("items for an object that is no list, dict or set"),
        }
        Ok(true)
    }

    /// Marks, the memo, framing: what makes no object.
    fn arrange(&mut self, opcode: u8) -> Step<bool> {
        match opcode {
            b'(' => self.marks.push(self.stack.len()),
            b'0' if self.marks.last() == Some(&self.stack.len()) => drop(self.marks.pop()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_to_mark()?),
            b'2' => self.stack.push(self.top()?),
            b'p' | b'q' | b'r' | 0x94 => {
                let key = self.memo_key(opcode)?;
                let node = self.top()?;
                self.memo.insert(key, node);
            }
            b'g' | b'h' | b'j' => {
                let key = self.memo_key(opcode)?;
                match self.memo.get(&key) {
                    Some(&node) => self.stack.push(node),
                    None => {
                        return self.fail(format!("object {key} is recalled but was not stored"));
                    }
                }
            }
            0x80 => match self.byte()? {
                0..=HIGHEST_PROTOCOL => {}
                found => return self.fail(format!("expected protocol 0 to 5; found {found}")),
            },
            0x95 => {
                let (length, left) = (u64::from_le_bytes(self.array()?), self.left());
                if length > left {
                    return self.cut_off(length);
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn memo_key(&mut self, opcode: u8) -> Step<u64> {
        Ok(match opcode {
            b'q' | b'h' => u64::from(self.byte()?),
            b'r' | b'j' => u64::from(u32::from_le_bytes(self.array()?)),
            0x94 => self.memo.len() as u64,
            _ => {
                let number = std::str::from_utf8(self.line()?).ok().map(|line| line.trim().parse());
                match number {
                    Some(Ok(key)) => key,
                    _ => return self.fail("expected the decimal number of a stored object"),
                }
            }
        })
    }

    /// A decimal line; `I00` and `I01` are booleans, an `L` may end a long.
    fn decimal(&mut self, opcode: u8) -> Step<Content> {
        let line = self.line()?.trim_ascii();
        match (opcode, line) {
            (b'I', b"00") => return Ok(Content::Bool(false)),
            (b'I', b"01") => return Ok(Content::Bool(true)),
            _ => {}
        }
        let number = if opcode == b'L' { line.strip_suffix(b"L").unwrap_or(line) } else { line };
        let digits = number.strip_prefix(b"-").unwrap_or(number);
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return self.fail("expected a decimal integer");
        }
        let value = std::str::from_utf8(number).ok().and_then(|number| number.parse().ok());
        Ok(value.map_or(Content::LongInt, Content::Int))
    }

    fn pairs(&self, items: &[Node]) -> Step<Vec<(Node, Node)>> {
        if !items.len().is_multiple_of(2) {
            return self.fail("a dict key without a value");
        }
        Ok(items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
    }

    fn push(&mut self, content: Content) {
        self.stack.push(self.tree.nodes.len() as Node);
        self.tree.nodes.push(content);
    }

    fn push_text_from(&mut self, start: usize) {
        self.push(Content::Text(start as u32..self.tree.text.len() as u32));
    }

    /// The topmost object, which lies above the last mark.
    fn top(&self) -> Step<Node> {
        match self.stack.last() {
            Some(&node) if self.stack.len() > self.marks.last().copied().unwrap_or(0) => Ok(node),
            _ => self.fail("an object is needed, but the stack has none"),
        }
    }

    fn pop(&mut self) -> Step<Node> {
        let node = self.top()?;
        self.stack.pop();
        Ok(node)
    }

    fn pop_to_mark(&mut self) -> Step<Vec<Node>> {
        match self.marks.pop() {
            Some(height) => Ok(self.stack.split_off(height)),
            None => self.fail("a mark is needed, but the stack has none"),
        }
    }

    fn left(&self) -> u64 {
        (self.input.len() - self.place) as u64
    }

    fn take(&mut self, length: u64) -> Step<&'a [u8]> {
        if length > self.left() {
            return self.cut_off(length);
        }
        let bytes = &self.input[self.place..][..length as usize];
        self.place += bytes.len();
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        let bytes = self.take(N as u64)?;
        bytes.try_into().or_else(|_| self.cut_off(N as u64))
    }

    fn byte(&mut self) -> Step<u8> {
        self.array().map(|[byte]| byte)
    }

    /// The bytes up to the next newline, which is passed over.
    fn line(&mut self) -> Step<&'a [u8]> {
        let rest = &self.input[self.place..];
        match rest.iter().position(|&byte| byte == b'\n') {
            Some(length) => {
                self.place += length + 1;
                Ok(&rest[..length])
            }
            None => self.fail(format!(
                "the file is cut off: the line from byte {} on does not end; fetch the file again",
                self.place
            )),
        }
    }

    fn cut_off<T>(&self, needed: u64) -> Step<T> {
        self.fail(format!(
            "the file is cut off: {needed} bytes are needed from byte {} on, {} are left; \
             fetch the file again",
            self.place,
            self.left()
        ))
    }

    fn fail<T>(&self, message: impl Into<String>) -> Step<T> {
        Err(PickleError { offset: self.opcode_place, message: message.into() })
    }
}

/// An integer of any length in two's complement, low byte first.
fn long(bytes: &[u8]) -> Content {
    let fill = if bytes.last().is_some_and(|&high| high >= 0x80) { 0xff } else { 0 };
    let mut value = [fill; 8];
    let (low, high) = bytes.split_at(bytes.len().min(8));
    value[..low.len()].copy_from_slice(low);
    let fits = high.iter().all(|&byte| byte == fill) && (value[7] >= 0x80) == (fill == 0xff);
    if fits { Content::Int(i64::from_le_bytes(value)) } else { Content::LongInt }
}

/// Why an opcode is not carried out.
fn refusal(opcode: u8) -> String {
    let name = match opcode {
        b'P' => "PERSID",
        b'Q' => "BINPERSID",
        b'R' => "REDUCE",
        b'b' => "BUILD",
        b'c' => "GLOBAL",
        b'i' => "INST",
        b'o' => "OBJ",
        0x81 => "NEWOBJ",
        0x82 => "EXT1",
        0x83 => "EXT2",
        0x84 => "EXT4",
        0x92 => "NEWOBJ_EX",
        0x93 => "STACK_GLOBAL",
        0x97 => "NEXT_BUFFER",
        0x98 => "READONLY_BUFFER",
        _ => {
            return format!(
                "{opcode:#04x} is no pickle opcode; this is no pickle, or a broken one"
            );
        }
    };
    format!(
        "opcode {name} ({opcode:#04x}) loads or calls code and is refused; expected plain lists, \
         dicts, strings and numbers; write the file again with only such objects"
    )
}
