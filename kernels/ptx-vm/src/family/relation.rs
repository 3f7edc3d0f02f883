//! Comparisons of two numbers: which there are, and the few relations that all others are turned or negated forms of.

use crate::arithmetic::single::flushed;
use crate::shapes::Relation;

/// A comparison as a relation, perhaps with its sources exchanged or its answer negated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison {
    pub basis: Basis,
    pub exchanged: bool,
    pub negated: bool,
    pub sort: Sort,
}

/// The relations there is code for. A NaN stands in none but `Unordered`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Basis {
    Equal,
    Less,
    LessEqual,
    /// Both are numbers, and differ.
    Different,
    /// One is a NaN.
    Unordered,
}

/// Which types a comparison is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    All,
    /// `lo ls hi hs`
    Unsigned,
    /// `equ ... geu num nan`
    Float,
}

impl Basis {
    const ALL: [Basis; 5] =
        [Basis::Equal, Basis::Less, Basis::LessEqual, Basis::Different, Basis::Unordered];

    /// The basis with this number (`as u8`).
    pub fn from_number(number: u8) -> Basis {
        Self::ALL[usize::from(number) % Self::ALL.len()]
    }
}

impl Comparison {
    /// `float`: the comparison is one of floats.
    pub fn parse(name: &str, float: bool) -> Option<Comparison> {
        use Basis::{Different, Equal, Less, LessEqual, Unordered};
        let (basis, exchanged, negated, sort) = match name {
            "eq" => (Equal, false, false, Sort::All),
            "ne" if float => (Different, false, false, Sort::All),
            "ne" => (Equal, false, true, Sort::All),
            "lt" => (Less, false, false, Sort::All),
            "le" => (LessEqual, false, false, Sort::All),
            "gt" => (Less, true, false, Sort::All),
            "ge" => (LessEqual, true, false, Sort::All),
            "lo" => (Less, false, false, Sort::Unsigned),
            "ls" => (LessEqual, false, false, Sort::Unsigned),
            "hi" => (Less, true, false, Sort::Unsigned),
            "hs" => (LessEqual, true, false, Sort::Unsigned),
            "equ" => (Different, false, true, Sort::Float),
            "neu" => (Equal, false, true, Sort::Float),
            "ltu" => (LessEqual, true, true, Sort::Float),
            "leu" => (Less, true, true, Sort::Float),
            "gtu" => (LessEqual, false, true, Sort::Float),
            "geu" => (Less, false, true, Sort::Float),
            "num" => (Unordered, false, true, Sort::Float),
            "nan" => (Unordered, false, false, Sort::Float),
            _ => return None,
        };
        Some(Comparison { basis, exchanged, negated, sort })
    }
}

pub struct Equal;
pub struct Less;
pub struct LessEqual;
pub struct Different;
pub struct Unordered;

macro_rules! relations {
    ($($t:ty),*) => {$(
        impl Relation<$t> for Equal {
            #[inline(always)]
            fn holds(a: $t, b: $t) -> bool {
                a == b
            }
        }
        impl Relation<$t> for Less {
            #[inline(always)]
            fn holds(a: $t, b: $t) -> bool {
                a < b
            }
        }
        impl Relation<$t> for LessEqual {
            #[inline(always)]
            fn holds(a: $t, b: $t) -> bool {
                a <= b
            }
        }
    )*};
}

relations!(u16, i16, u32, i32, u64, i64, f32, f64);

macro_rules! float_relations {
    ($($t:ty),*) => {$(
        impl Relation<$t> for Different {
            #[inline(always)]
            fn holds(a: $t, b: $t) -> bool {
                (a < b) | (a > b)
            }
        }
        impl Relation<$t> for Unordered {
            #[inline(always)]
            fn holds(a: $t, b: $t) -> bool {
                a.is_nan() | b.is_nan()
            }
        }
    )*};
}

float_relations!(f32, f64);

/// Subnormals count as zeros.
pub struct Flushed<F>(std::marker::PhantomData<F>);

impl<F: Relation<f32>> Relation<f32> for Flushed<F> {
    #[inline(always)]
    fn holds(a: f32, b: f32) -> bool {
        F::holds(flushed(a), flushed(b))
    }
}

/// Which lanes' numbers stand in which relation: all that comparisons of halves are made of.
#[derive(Debug, Clone, Copy)]
pub struct Order {
    pub less: u32,
    pub equal: u32,
    pub unordered: u32,
}

impl Order {
    /// The lanes in which `basis` holds.
    pub fn lanes(self, basis: Basis) -> u32 {
        match basis {
            Basis::Equal => self.equal,
            Basis::Less => self.less,
            Basis::LessEqual => self.less | self.equal,
            Basis::Different => !(self.equal | self.unordered),
            Basis::Unordered => self.unordered,
        }
    }
}
