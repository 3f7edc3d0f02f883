//! Float arithmetic rounded toward zero, up and down: what the host rounds to nearest is worked out exactly first.

use crate::arithmetic::directed::{self, Pair};
use crate::arithmetic::exact::Number;
use crate::arithmetic::format::{Format, Rounding};
use crate::arithmetic::single::{finished, flushed_if};
use crate::decode::Modifiers;
use crate::error::Checked;
use crate::program::{Instruction, Run};
use crate::registers::LANES;
use crate::turn::{Flow, Turn};

/// Subnormals are flushed, results held between 0 and 1 (`detail` of [`single`]).
pub const FLUSH: u32 = 1;
pub const HOLD: u32 = 2;

/// An operation on up to three numbers; those it does not take are ignored.
pub trait Operation: 'static {
    fn pair(a: f32, b: f32, c: f32) -> Pair;
    /// Whether a zero stays as it is when rounding down: nothing was added, or only zeros without a sign.
    #[inline(always)]
    fn positive(_: f32, _: f32, _: f32) -> bool {
        true
    }
    /// `down`: rounding down, which gives terms that cancel a negative zero.
    fn number(a: Number, b: Number, c: Number, down: bool) -> Number;
}

pub struct Sum;
pub struct Difference;
pub struct Product;
pub struct ProductSum;
pub struct Quotient;
pub struct Reciprocal;
pub struct Root;

#[inline(always)]
fn plus_zero(x: f32) -> bool {
    x.to_bits() == 0
}

impl Operation for Sum {
    #[inline(always)]
    fn pair(a: f32, b: f32, _: f32) -> Pair {
        directed::add(a, b)
    }
    #[inline(always)]
    fn positive(a: f32, b: f32, _: f32) -> bool {
        plus_zero(a) & plus_zero(b)
    }
    fn number(a: Number, b: Number, _: Number, down: bool) -> Number {
        a.plus(b, down)
    }
}

impl Operation for Difference {
    #[inline(always)]
    fn pair(a: f32, b: f32, _: f32) -> Pair {
        directed::add(a, -b)
    }
    #[inline(always)]
    fn positive(a: f32, b: f32, _: f32) -> bool {
        plus_zero(a) & plus_zero(-b)
    }
    fn number(a: Number, b: Number, _: Number, down: bool) -> Number {
        a.plus(b.negated(), down)
    }
}

impl Operation for Product {
    #[inline(always)]
    fn pair(a: f32, b: f32, _: f32) -> Pair {
        directed::multiply(a, b)
    }
    fn number(a: Number, b: Number, _: Number, _: bool) -> Number {
        a.times(b)
    }
}

impl Operation for ProductSum {
    #[inline(always)]
    fn pair(a: f32, b: f32, c: f32) -> Pair {
        directed::multiply_add(a, b, c)
    }
    #[inline(always)]
    fn positive(a: f32, b: f32, c: f32) -> bool {
        (f64::from(a) * f64::from(b)).to_bits() == 0 && plus_zero(c)
    }
    fn number(a: Number, b: Number, c: Number, down: bool) -> Number {
        a.times(b).plus(c, down)
    }
}

impl Operation for Quotient {
    #[inline(always)]
    fn pair(a: f32, b: f32, _: f32) -> Pair {
        directed::divide(a, b)
    }
    fn number(a: Number, b: Number, _: Number, _: bool) -> Number {
        a.over(b)
    }
}

impl Operation for Reciprocal {
    #[inline(always)]
    fn pair(a: f32, _: f32, _: f32) -> Pair {
        directed::divide(1.0, a)
    }
    fn number(a: Number, _: Number, _: Number, _: bool) -> Number {
        Number::ONE.over(a)
    }
}

impl Operation for Root {
    #[inline(always)]
    fn pair(a: f32, _: f32, _: f32) -> Pair {
        directed::root(a)
    }
    fn number(a: Number, _: Number, _: Number, _: bool) -> Number {
        a.root()
    }
}

/// Where results go that lie between two singles.
trait Direction: 'static {
    /// `positive`: as [`Operation::positive`].
    fn round(pair: Pair, positive: bool) -> f32;
}

struct Zero;
struct Down;
struct Up;

impl Direction for Zero {
    #[inline(always)]
    fn round(pair: Pair, _: bool) -> f32 {
        directed::zero(pair)
    }
}

impl Direction for Down {
    #[inline(always)]
    fn round(pair: Pair, positive: bool) -> f32 {
        directed::down_sum(pair, positive)
    }
}

impl Direction for Up {
    #[inline(always)]
    fn round(pair: Pair, _: bool) -> f32 {
        directed::up(pair)
    }
}

fn singles<F: Operation, D: Direction>(
    turn: &mut Turn<'_>,
    instruction: &Instruction,
    mask: u32,
) -> Checked<Flow> {
    let flush = instruction.detail & FLUSH != 0;
    let hold = instruction.detail & HOLD != 0;
    let slots = instruction.operands;
    let [a, b, c] = [slots[1], slots[2], slots[3]].map(|slot| turn.registers.get::<f32>(slot));
    let mut out = [0f32; LANES];
    for lane in 0..LANES {
        let [a, b, c] = [a[lane], b[lane], c[lane]].map(|x| flushed_if(flush, x));
        let rounded = D::round(F::pair(a, b, c), F::positive(a, b, c));
        out[lane] = finished(rounded, flush, hold);
    }
    turn.registers.set(slots[0], mask, &out);
    Ok(Flow::Next)
}

/// Single precision in a direction other than to nearest; operands `d, a, b, c`, `detail` of [`FLUSH`] and [`HOLD`].
pub fn single<F: Operation>(rounding: Rounding) -> Run {
    match rounding {
        Rounding::Down => singles::<F, Down>,
        Rounding::Up => singles::<F, Up>,
        _ => singles::<F, Zero>,
    }
}

/// Double precision, rounded as `detail` says; operands `d, a, b, c`.
pub fn double<F: Operation>(
    turn: &mut Turn<'_>,
    instruction: &Instruction,
    mask: u32,
) -> Checked<Flow> {
    let rounding = Rounding::from_number(instruction.detail as u8);
    let slots = instruction.operands;
    let [a, b, c] = [slots[1], slots[2], slots[3]].map(|slot| turn.registers.get::<u64>(slot));
    let mut out = [0u64; LANES];
    for lane in (0..LANES).filter(|lane| mask >> lane & 1 == 1) {
        let [a, b, c] = [a[lane], b[lane], c[lane]].map(|bits| Format::F64.number(bits));
        let number = F::number(a, b, c, rounding == Rounding::Down);
        out[lane] = Format::F64.bits(number, rounding, false);
    }
    turn.registers.set(slots[0], mask, &out);
    Ok(Flow::Next)
}

/// Takes `.rn`, `.rz`, `.rm` or `.rp`.
pub fn take_rounding(modifiers: &mut Modifiers<'_>) -> Option<Rounding> {
    modifiers.take_one(|part| match part {
        "rn" => Some(Rounding::Nearest),
        "rz" => Some(Rounding::Zero),
        "rm" => Some(Rounding::Down),
        "rp" => Some(Rounding::Up),
        _ => None,
    })
}
