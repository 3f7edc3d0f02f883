//! What a pickle holds: nodes in one arena that refer to each other by number, so that aliased
//! containers stay shared and nesting of any depth costs no stack, not even when it is dropped.

use std::fmt;
use std::ops::Range;

/// Why a pickle was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PickleError {
    /// Byte at which the refused opcode stands.
    pub offset: usize,
    pub message: String,
}

impl fmt::Display for PickleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {}", self.offset, self.message)
    }
}

impl std::error::Error for PickleError {}

/// Number of a node in its arena.
pub(super) type Node = u32;

#[derive(Debug)]
pub(super) enum Content {
    None,
    Bool(bool),
    Int(i64),
    /// An integer beyond 64 bits: known to be one, its digits not kept.
    LongInt,
    Float(f64),
    /// A piece of `Pickle::text`.
    Text(Range<u32>),
    /// A piece of `Pickle::bytes`.
    Bytes(Range<u32>),
    List(Vec<Node>),
    Tuple(Vec<Node>),
    Set(Vec<Node>),
    Dict(Vec<(Node, Node)>),
}

/// A pickle read to its end.
#[derive(Debug, Default)]
pub struct Pickle {
    pub(super) nodes: Vec<Content>,
    pub(super) text: String,
    pub(super) bytes: Vec<u8>,
    pub(super) root: Node,
}

impl Pickle {
    /// The object that the pickle holds.
    pub fn root(&self) -> Value<'_> {
        Value { pickle: self, node: self.root }
    }
}

/// One object of a pickle. A container may hold itself: who walks must bound the walk.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    pickle: &'a Pickle,
    node: Node,
}

impl<'a> Value<'a> {
    fn content(self) -> Option<&'a Content> {
        self.pickle.nodes.get(self.node as usize)
    }

    fn at(self, node: Node) -> Self {
        Self { node, ..self }
    }

    /// What it is, for messages.
    pub fn kind(self) -> &'static str {
        match self.content() {
            None | Some(Content::None) => "None",
            Some(Content::Bool(_)) => "a boolean",
            Some(Content::Int(_)) => "an integer",
            Some(Content::LongInt) => "an integer beyond 64 bits",
            Some(Content::Float(_)) => "a float",
            Some(Content::Text(_)) => "a string",
            Some(Content::Bytes(_)) => "bytes",
            Some(Content::List(_)) => "a list",
            Some(Content::Tuple(_)) => "a tuple",
            Some(Content::Set(_)) => "a set",
            Some(Content::Dict(_)) => "a dict",
        }
    }

    pub fn as_bool(self) -> Option<bool> {
        match self.content()? {
            Content::Bool(value) => Some(*value),
            _ => None,
        }
    }

    pub fn as_int(self) -> Option<i64> {
        match self.content()? {
            Content::Int(value) => Some(*value),
            _ => None,
        }
    }

    pub fn as_float(self) -> Option<f64> {
        match self.content()? {
            Content::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// A string: unicode, or Python 2 bytes read as UTF-8 or else as Latin-1.
    pub fn as_str(self) -> Option<&'a str> {
        match self.content()? {
            Content::Text(range) => self.pickle.text.get(range.start as usize..range.end as usize),
            _ => None,
        }
    }

    pub fn as_bytes(self) -> Option<&'a [u8]> {
        match self.content()? {
            Content::Bytes(range) => {
                self.pickle.bytes.get(range.start as usize..range.end as usize)
            }
            _ => None,
        }
    }

    /// The items of a list, tuple or set.
    pub fn items(self) -> Option<impl ExactSizeIterator<Item = Value<'a>>> {
        match self.content()? {
            Content::List(items) | Content::Tuple(items) | Content::Set(items) => {
                Some(items.iter().map(move |&node| self.at(node)))
            }
            _ => None,
        }
    }

    /// The keys and values of a dict in the order they were set; a key set twice stands twice.
    pub fn entries(self) -> Option<impl ExactSizeIterator<Item = (Value<'a>, Value<'a>)>> {
        match self.content()? {
            Content::Dict(pairs) => {
                Some(pairs.iter().map(move |&(key, value)| (self.at(key), self.at(value))))
            }
            _ => None,
        }
    }

    /// The value of a string key of a dict: the one set last, as in Python.
    pub fn get(self, key: &str) -> Option<Value<'a>> {
        match self.content()? {
            Content::Dict(pairs) => pairs
                .iter()
                .rev()
                .find(|&&(name, _)| self.at(name).as_str() == Some(key))
                .map(|&(_, value)| self.at(value)),
            _ => None,
        }
    }
}
