//! How the lanes of a warp hold the matrices of `mma` and `wgmma`, and the product of matrices taken out of them.
//!
//! PTX ISA, "Matrix Fragments for mma.m16n8k*": with `e` elements in a register, lane `4 g + t` has of A in register
//! `2 b + h` the elements of row `8 h + g`, columns `4 e b + e t ..`; of B in register `b` those of rows
//! `4 e b + e t ..`, column `g`. Of C it has rows `g` and `8 + g`, columns `2 t` and `2 t + 1`. A register of all
//! lanes is therefore a block of eight rows of A (or columns of B) in order.

use crate::arithmetic::half::{from_f16, to_f16};
use crate::registers::LANES;

/// Numbers that are multiplied and summed: f32 (exact products, one rounding an addition) and i32.
pub trait Number: Copy + Default + 'static {
    fn multiply_add(a: Self, b: Self, sum: Self) -> Self;
    fn negated(self) -> Self;
    fn of(bits: u32) -> Self;
    fn bits(self) -> u32;
}

impl Number for f32 {
    #[inline(always)]
    fn multiply_add(a: Self, b: Self, sum: Self) -> Self {
        a.mul_add(b, sum)
    }
    #[inline(always)]
    fn negated(self) -> Self {
        -self
    }
    #[inline(always)]
    fn of(bits: u32) -> Self {
        f32::from_bits(bits)
    }
    #[inline(always)]
    fn bits(self) -> u32 {
        self.to_bits()
    }
}

impl Number for i32 {
    #[inline(always)]
    fn multiply_add(a: Self, b: Self, sum: Self) -> Self {
        sum.wrapping_add(a.wrapping_mul(b))
    }
    #[inline(always)]
    fn negated(self) -> Self {
        self.wrapping_neg()
    }
    #[inline(always)]
    fn of(bits: u32) -> Self {
        bits as i32
    }
    #[inline(always)]
    fn bits(self) -> u32 {
        self as u32
    }
}

/// Elements of A and B as they lie in registers and memory.
pub trait Format: 'static {
    type Number: Number;
    /// Elements in 32 bits.
    const COUNT: usize;
    /// Element `index` of a word.
    fn element(word: u32, index: usize) -> Self::Number;
}

macro_rules! format {
    ($(#[$doc:meta])* $name:ident: $number:ty, $count:literal, $element:expr) => {
        $(#[$doc])*
        pub struct $name;

        impl Format for $name {
            type Number = $number;
            const COUNT: usize = $count;
            #[inline(always)]
            fn element(word: u32, index: usize) -> $number {
                $element(word, index)
            }
        }
    };
}

format! { Bf16: f32, 2, |word: u32, i: usize| f32::from_bits(if i == 0 { word << 16 } else { word & 0xffff_0000 }) }
format! { F16: f32, 2, |word: u32, i: usize| from_f16((word >> (16 * i)) as u16) }
format! {
    /// The 13 lowest bits do not count.
    Tf32: f32, 1, |word: u32, _| f32::from_bits(word & 0xffff_e000)
}
format! {
    /// The upper half of an f16.
    E5m2: f32, 4, |word: u32, i: usize| from_f16(((word >> (8 * i)) as u8 as u16) << 8)
}
format! { E4m3: f32, 4, |word: u32, i: usize| from_e4m3((word >> (8 * i)) as u8) }
format! { Signed: i32, 4, |word: u32, i: usize| i32::from((word >> (8 * i)) as i8) }
format! { Unsigned: i32, 4, |word: u32, i: usize| i32::from((word >> (8 * i)) as u8) }
format! { SignedNibble: i32, 8, |word: u32, i: usize| (word << (28 - 4 * i)) as i32 >> 28 }
format! { Nibble: i32, 8, |word: u32, i: usize| (word >> (4 * i) & 15) as i32 }
format! { Bit: i32, 32, |word: u32, i: usize| (word >> i & 1) as i32 }
format! {
    /// A bit as 1 (clear) or -1 (set).
    Spin: i32, 32, |word: u32, i: usize| 1 - 2 * (word >> i & 1) as i32
}

/// Four bits of exponent: with its bits moved where those of an f16 lie, a 256th of the number.
#[inline(always)]
fn from_e4m3(bits: u8) -> f32 {
    let magnitude = match bits & 0x7f {
        0x7f => f32::NAN,
        bits => from_f16(u16::from(bits) << 7) * 256.0,
    };
    if bits & 0x80 == 0 { magnitude } else { -magnitude }
}

/// Sixteen rows of A: registers `2 b` and `2 b + 1` make columns `4 e b ..`.
#[inline(always)]
pub fn left<F: Format, const K: usize>(registers: &[[u32; LANES]]) -> [[F::Number; K]; 16] {
    let mut a = [[F::Number::default(); K]; 16];
    for (index, words) in registers.iter().enumerate() {
        let (half, first) = (index % 2 * 8, index / 2 * 4 * F::COUNT);
        for row in 0..8 {
            for t in 0..4 {
                for i in 0..F::COUNT {
                    a[half + row][first + t * F::COUNT + i] = F::element(words[4 * row + t], i);
                }
            }
        }
    }
    a
}

/// Eight columns of B, row by row.
#[inline(always)]
pub fn right<F: Format, const K: usize>(registers: &[[u32; LANES]]) -> [[F::Number; 8]; K] {
    let mut b = [[F::Number::default(); 8]; K];
    for (index, words) in registers.iter().enumerate() {
        for t in 0..4 {
            for i in 0..F::COUNT {
                for column in 0..8 {
                    b[(index * 4 + t) * F::COUNT + i][column] =
                        F::element(words[4 * column + t], i);
                }
            }
        }
    }
    b
}

/// 16 x 8 sums out of four registers of 32 bits.
#[inline(always)]
pub fn sums<N: Number>(registers: &[[u32; LANES]; 4]) -> [[N; 8]; 16] {
    let mut c = [[N::default(); 8]; 16];
    for half in 0..2 {
        for row in 0..8 {
            for t in 0..4 {
                c[8 * half + row][2 * t] = N::of(registers[2 * half][4 * row + t]);
                c[8 * half + row][2 * t + 1] = N::of(registers[2 * half + 1][4 * row + t]);
            }
        }
    }
    c
}

/// The inverse of [`sums`].
#[inline(always)]
pub fn registers<N: Number>(c: &[[N; 8]; 16]) -> [[u32; LANES]; 4] {
    let mut registers = [[0; LANES]; 4];
    for half in 0..2 {
        for row in 0..8 {
            for t in 0..4 {
                registers[2 * half][4 * row + t] = c[8 * half + row][2 * t].bits();
                registers[2 * half + 1][4 * row + t] = c[8 * half + row][2 * t + 1].bits();
            }
        }
    }
    registers
}

/// 16 x 8 sums out of two registers of f16 pairs.
#[inline(always)]
pub fn half_sums(registers: &[[u32; LANES]; 2]) -> [[f32; 8]; 16] {
    std::array::from_fn(|row| {
        std::array::from_fn(|column| {
            let word = registers[row / 8][row % 8 * 4 + column / 2];
            from_f16((word >> (column % 2 * 16)) as u16)
        })
    })
}

/// The inverse of [`half_sums`], rounded to the nearest f16.
#[inline(always)]
pub fn half_registers(c: &[[f32; 8]; 16]) -> [[u32; LANES]; 2] {
    std::array::from_fn(|half| {
        std::array::from_fn(|lane| {
            let (row, column) = (8 * half + lane / 4, lane % 4 * 2);
            u32::from(to_f16(c[row][column])) | u32::from(to_f16(c[row][column + 1])) << 16
        })
    })
}

/// `c += a b`. Each sum starts from C and adds the products in the order of `k`, rounding after each (hardware adds
/// several at once and cuts bits off, so its lowest bits differ).
#[inline(always)]
pub fn multiply<N: Number, const K: usize>(
    a: &[[N; K]; 16],
    b: &[[N; 8]; K],
    c: &mut [[N; 8]; 16],
) {
    for half in 0..2 {
        let mut sums: [[N; 8]; 8] = std::array::from_fn(|row| c[8 * half + row]);
        for k in 0..K {
            for row in 0..8 {
                for column in 0..8 {
                    sums[row][column] =
                        N::multiply_add(a[8 * half + row][k], b[k][column], sums[row][column]);
                }
            }
        }
        for row in 0..8 {
            c[8 * half + row] = sums[row];
        }
    }
}
