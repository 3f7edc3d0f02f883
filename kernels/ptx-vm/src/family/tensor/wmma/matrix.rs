//! What `wmma` multiplies: shapes, kinds of elements, and how the lanes hold a matrix.

use crate::registers::LANES;
use crate::syntax::Type;

/// Rows and columns of D, and the depth.
pub(super) type Shape = [usize; 3];

pub(super) fn shape(name: &str) -> Option<Shape> {
    Some(match name {
        "m16n16k16" => [16, 16, 16],
        "m32n8k16" => [32, 8, 16],
        "m8n32k16" => [8, 32, 16],
        "m16n16k8" => [16, 16, 8],
        "m8n8k4" => [8, 8, 4],
        _ => return None,
    })
}

/// What elements are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    F16,
    Bf16,
    Tf32,
    F32,
    F64,
    U8,
    S8,
    S32,
}

const KINDS: [(&str, Kind); 8] = [
    ("f16", Kind::F16),
    ("bf16", Kind::Bf16),
    ("tf32", Kind::Tf32),
    ("f32", Kind::F32),
    ("f64", Kind::F64),
    ("u8", Kind::U8),
    ("s8", Kind::S8),
    ("s32", Kind::S32),
];

impl Kind {
    pub(super) fn parse(name: &str) -> Option<Kind> {
        KINDS.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }

    pub(super) fn from_number(number: u32) -> Kind {
        KINDS[number as usize % KINDS.len()].1
    }

    pub(super) fn number(self) -> u32 {
        KINDS.iter().position(|(_, kind)| *kind == self).unwrap_or_default() as u32
    }

    pub(super) fn bytes(self) -> usize {
        match self {
            Kind::U8 | Kind::S8 => 1,
            Kind::F16 | Kind::Bf16 => 2,
            Kind::Tf32 | Kind::F32 | Kind::S32 => 4,
            Kind::F64 => 8,
        }
    }

    /// Elements in a register.
    pub(super) fn packed(self) -> usize {
        4usize.div_ceil(self.bytes())
    }

    /// The type of the registers.
    pub(super) fn register(self) -> Type {
        match self {
            Kind::F32 => Type::F32,
            Kind::F64 => Type::F64,
            _ => Type::B32,
        }
    }

    /// Whether a shape can be multiplied in these elements.
    pub(super) fn takes(self, shape: Shape) -> bool {
        match self {
            Kind::Tf32 => shape == [16, 16, 8],
            Kind::F64 => shape == [8, 8, 4],
            _ => shape[2] == 16,
        }
    }
}

/// Which matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    A,
    B,
    /// C or D.
    Sum,
}

/// A matrix in registers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matrix {
    pub(super) part: Part,
    pub(super) kind: Kind,
    pub(super) shape: Shape,
    /// Rows lie one after the other in memory, not columns.
    pub(super) by_rows: bool,
}

impl Matrix {
    /// Rows and columns.
    pub(super) fn size(self) -> [usize; 2] {
        let [m, n, k] = self.shape;
        match self.part {
            Part::A => [m, k],
            Part::B => [k, n],
            Part::Sum => [m, n],
        }
    }

    pub(super) fn elements(self) -> usize {
        let [rows, columns] = self.size();
        rows * columns
    }

    /// Registers a lane has of it: those of f16 in A and B hold each element as often as it takes to fill eight.
    pub(super) fn registers(self) -> usize {
        match (self.kind, self.part) {
            (Kind::F16, Part::A | Part::B) => 8,
            _ => self.elements() / LANES / self.kind.packed(),
        }
    }

    /// Registers that hold each element once.
    pub(super) fn distinct(self) -> usize {
        self.elements() / LANES / self.kind.packed()
    }

    /// How many lines it has in memory, and elements in a line.
    pub(super) fn lines(self) -> [usize; 2] {
        let [rows, columns] = self.size();
        if self.by_rows { [rows, columns] } else { [columns, rows] }
    }

    /// Where an element of a register lies in the matrix: row by row in sums, else in the order of memory.
    pub(super) fn index(self, register: usize, lane: usize, element: usize) -> usize {
        match self.part {
            Part::Sum => (register * self.kind.packed() + element) * LANES + lane,
            _ => (register * LANES + lane) * self.kind.packed() + element,
        }
    }

    /// Line and place in it of an element in memory.
    pub(super) fn place(self, index: usize) -> [usize; 2] {
        let [lines, length] = self.lines();
        match (self.part, self.by_rows) {
            // Sums are kept row by row, whatever their order in memory.
            (Part::Sum, false) => [index % lines, index / lines],
            _ => [index / length, index % length],
        }
    }
}

pub(super) fn exists(Matrix { part, kind, shape, .. }: Matrix) -> bool {
    match (part, kind) {
        (Part::Sum, Kind::F32) => shape != [8, 8, 4],
        (Part::Sum, Kind::F16 | Kind::S32) => shape[2] == 16,
        (Part::Sum, Kind::F64) => kind.takes(shape),
        (Part::Sum, _) | (_, Kind::F32 | Kind::S32) => false,
        _ => kind.takes(shape),
    }
}

pub(super) fn packed_shape([m, n, k]: Shape) -> i64 {
    (m | n << 8 | k << 16) as i64
}

pub(super) fn unpacked_shape(number: i64) -> Shape {
    [0, 8, 16].map(|shift| (number >> shift & 0xff) as usize)
}
