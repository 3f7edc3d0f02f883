//! The shapes instructions come in: so many operands, so many results, one loop over the lanes. A family gives the
//! arithmetic of one lane; the shape is compiled twice, for any processor and for AVX2 with FMA.

use crate::error::Checked;
use crate::program::{Instruction, Run};
use crate::registers::{LANES, Lane};
use crate::turn::{Flow, Turn};

/// Which copy of an instruction's body runs on this processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    Any,
    /// x86-64 with AVX2, FMA, BMI, LZCNT, POPCNT and F16C.
    Avx2,
}

impl Host {
    /// What the processor at hand can do.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt")
            && is_x86_feature_detected!("popcnt")
            && is_x86_feature_detected!("f16c")
        {
            return Host::Avx2;
        }
        Host::Any
    }
}

/// Defines a function that gives the [`Run`] of an instruction for a host: the body is compiled once for each.
/// Everything the body calls for single lanes has to be `#[inline(always)]`.
#[macro_export]
macro_rules! run {
    ($(#[$doc:meta])* $vis:vis fn $name:ident $(<$($g:ident: $bound:path),+ $(; const $c:ident: $ct:ty)*>)?
     ($turn:ident, $instruction:ident, $mask:ident) $body:block) => {
        $(#[$doc])*
        $vis fn $name $(<$($g: $bound + 'static),+ $(, const $c: $ct)*>)? (host: $crate::shapes::Host) -> $crate::program::Run {
            #[inline(always)]
            fn body $(<$($g: $bound + 'static),+ $(, const $c: $ct)*>)? (
                $turn: &mut $crate::turn::Turn<'_>,
                $instruction: &$crate::program::Instruction,
                $mask: u32,
            ) -> $crate::error::Checked<$crate::turn::Flow> $body

            fn any $(<$($g: $bound + 'static),+ $(, const $c: $ct)*>)? (
                turn: &mut $crate::turn::Turn<'_>,
                instruction: &$crate::program::Instruction,
                mask: u32,
            ) -> $crate::error::Checked<$crate::turn::Flow> {
                body $(::<$($g),+ $(, $c)*>)? (turn, instruction, mask)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,bmi1,bmi2,lzcnt,popcnt,f16c")]
            fn avx2 $(<$($g: $bound + 'static),+ $(, const $c: $ct)*>)? (
                turn: &mut $crate::turn::Turn<'_>,
                instruction: &$crate::program::Instruction,
                mask: u32,
            ) -> $crate::error::Checked<$crate::turn::Flow> {
                body $(::<$($g),+ $(, $c)*>)? (turn, instruction, mask)
            }

            match host {
                #[cfg(target_arch = "x86_64")]
                $crate::shapes::Host::Avx2 => avx2 $(::<$($g),+ $(, $c)*>)?,
                _ => any $(::<$($g),+ $(, $c)*>)?,
            }
        }
    };
}

/// `d = f(a)` for one lane.
pub trait Unary<A: Lane, D: Lane> {
    fn of(a: A) -> D;
}

/// `d = f(a, b)` for one lane.
pub trait Binary<A: Lane, B: Lane, D: Lane> {
    fn of(a: A, b: B) -> D;
}

/// `d = f(a, b, c)` for one lane.
pub trait Ternary<A: Lane, B: Lane, C: Lane, D: Lane> {
    fn of(a: A, b: B, c: C) -> D;
}

/// `p = f(a, b)` for one lane.
pub trait Relation<A: Lane> {
    fn holds(a: A, b: A) -> bool;
}

macro_rules! shape {
    ($(#[$doc:meta])* $name:ident, $trait:ident: $($operand:ident: $generic:ident = $index:literal),+) => {
        $(#[$doc])*
        pub fn $name<F: $trait<$($generic,)+ D> + 'static, $($generic: Lane,)+ D: Lane>(host: Host) -> Run {
            #[inline(always)]
            fn body<F: $trait<$($generic,)+ D>, $($generic: Lane,)+ D: Lane>(
                turn: &mut Turn<'_>, instruction: &Instruction, mask: u32,
            ) -> Checked<Flow> {
                $(let $operand = turn.registers.get::<$generic>(instruction.operands[$index]);)+
                let mut out = [D::default(); LANES];
                for lane in 0..LANES {
                    out[lane] = F::of($($operand[lane]),+);
                }
                turn.registers.set(instruction.operands[0], mask, &out);
                Ok(Flow::Next)
            }
            fn any<F: $trait<$($generic,)+ D>, $($generic: Lane,)+ D: Lane>(
                turn: &mut Turn<'_>, instruction: &Instruction, mask: u32,
            ) -> Checked<Flow> {
                body::<F, $($generic,)+ D>(turn, instruction, mask)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,bmi1,bmi2,lzcnt,popcnt,f16c")]
            fn avx2<F: $trait<$($generic,)+ D>, $($generic: Lane,)+ D: Lane>(
                turn: &mut Turn<'_>, instruction: &Instruction, mask: u32,
            ) -> Checked<Flow> {
                body::<F, $($generic,)+ D>(turn, instruction, mask)
            }
            match host {
                #[cfg(target_arch = "x86_64")]
                Host::Avx2 => avx2::<F, $($generic,)+ D>,
                _ => any::<F, $($generic,)+ D>,
            }
        }
    };
}

shape! {
    /// One source: operands `d, a`.
    unary, Unary: a: A = 1
}
shape! {
    /// Two sources: operands `d, a, b`.
    binary, Binary: a: A = 1, b: B = 2
}
shape! {
    /// Three sources: operands `d, a, b, c`.
    ternary, Ternary: a: A = 1, b: B = 2, c: C = 3
}

macro_rules! rare {
    ($(#[$doc:meta])* $name:ident, $trait:ident: $($operand:ident: $generic:ident = $index:literal),+) => {
        $(#[$doc])*
        pub fn $name<F: $trait<$($generic,)+ D> + 'static, $($generic: Lane,)+ D: Lane>() -> Run {
            fn body<F: $trait<$($generic,)+ D>, $($generic: Lane,)+ D: Lane>(
                turn: &mut Turn<'_>, instruction: &Instruction, mask: u32,
            ) -> Checked<Flow> {
                $(let $operand = turn.registers.get::<$generic>(instruction.operands[$index]);)+
                let out: [D; LANES] = std::array::from_fn(|lane| F::of($($operand[lane]),+));
                turn.registers.set(instruction.operands[0], mask, &out);
                Ok(Flow::Next)
            }
            body::<F, $($generic,)+ D>
        }
    };
}

rare! {
    /// As [`unary`], for instructions kernels seldom run: one copy of the body, for any processor.
    rare_unary, Unary: a: A = 1
}
rare! {
    /// As [`binary`], likewise.
    rare_binary, Binary: a: A = 1, b: B = 2
}
rare! {
    /// As [`ternary`], likewise.
    rare_ternary, Ternary: a: A = 1, b: B = 2, c: C = 3
}

/// The lanes for which `holds` is true, as a mask.
#[inline(always)]
pub fn lanes_where(mut holds: impl FnMut(usize) -> bool) -> u32 {
    let mut lanes = 0;
    for lane in 0..LANES {
        lanes |= u32::from(holds(lane)) << lane;
    }
    lanes
}
