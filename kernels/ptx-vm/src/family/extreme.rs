//! The smaller and the larger of floats: `min max` in single and double precision.

use crate::arithmetic::single::{canonical, canonical_wide, flushed_if, larger, nan_of, smaller};
use crate::decode::{Encoded, Site};
use crate::error::LoadResult;
use crate::program::{Family, Run, flag};
use crate::registers::LANES;
use crate::shapes::{Binary, Host, binary};
use crate::syntax::Type;
use crate::turn::Flow;

/// `.ftz`, `.NaN`, `.abs` and `.xorsign` (`detail`).
pub const FLUSH: u32 = 1;
pub const PASS_NAN: u32 = 2;
pub const MAGNITUDE: u32 = 4;
pub const XOR_SIGN: u32 = 8;
/// There is a third source.
const THIRD: u32 = 16;

/// Which of two.
pub trait Choice: 'static {
    fn of(a: f32, b: f32) -> f32;
    fn of_doubles(a: f64, b: f64) -> f64;
}

pub struct Smaller;
pub struct Larger;

impl Choice for Smaller {
    #[inline(always)]
    fn of(a: f32, b: f32) -> f32 {
        smaller(a, b)
    }
    #[inline(always)]
    fn of_doubles(a: f64, b: f64) -> f64 {
        smaller(a, b)
    }
}

impl Choice for Larger {
    #[inline(always)]
    fn of(a: f32, b: f32) -> f32 {
        larger(a, b)
    }
    #[inline(always)]
    fn of_doubles(a: f64, b: f64) -> f64 {
        larger(a, b)
    }
}

/// The choice between two numbers with all that modifiers change; flushing is done before.
#[inline(always)]
pub fn chosen<F: Choice>(a: f32, b: f32, detail: u32) -> f32 {
    let magnitude = detail & MAGNITUDE != 0;
    let (x, y) = if magnitude { (a.abs(), b.abs()) } else { (a, b) };
    let choice = canonical(F::of(x, y));
    let passed = nan_of(x, nan_of(y, choice));
    let choice = if detail & PASS_NAN != 0 { passed } else { choice };
    let sign = (a.to_bits() ^ b.to_bits()) & 0x8000_0000;
    let signed = f32::from_bits(choice.to_bits() | sign);
    if detail & XOR_SIGN != 0 && !choice.is_nan() { signed } else { choice }
}

/// Without modifiers.
struct Plain<F>(std::marker::PhantomData<F>);

impl<F: Choice> Binary<f32, f32, f32> for Plain<F> {
    #[inline(always)]
    fn of(a: f32, b: f32) -> f32 {
        canonical(F::of(a, b))
    }
}

impl<F: Choice> Binary<f64, f64, f64> for Plain<F> {
    #[inline(always)]
    fn of(a: f64, b: f64) -> f64 {
        canonical_wide(F::of_doubles(a, b))
    }
}

crate::run! {
    fn modified<F: Choice>(turn, instruction, mask) {
        let [d, a, b, c] = [0, 1, 2, 3].map(|i| instruction.operands[i]);
        let [a, b, c] = [a, b, c].map(|slot| turn.registers.get::<f32>(slot));
        let detail = instruction.detail;
        let (flush, third) = (detail & FLUSH != 0, detail & THIRD != 0);
        let mut out = [0f32; LANES];
        for lane in 0..LANES {
            let [a, b, c] = [a[lane], b[lane], c[lane]].map(|x| flushed_if(flush, x));
            let first = chosen::<F>(a, b, detail);
            out[lane] = if third { chosen::<F>(first, c, detail) } else { first };
        }
        turn.registers.set(d, mask, &out);
        Ok(Flow::Next)
    }
}

pub fn decode(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let host = site.host();
    let mut modifiers = site.modifiers();
    let kind = modifiers.take_last_type()?;
    let mut detail = 0;
    if kind == Type::F32 {
        for (name, bit) in
            [("ftz", FLUSH), ("NaN", PASS_NAN), ("abs", MAGNITUDE), ("xorsign", XOR_SIGN)]
        {
            detail |= flag(modifiers.take(name), bit);
        }
    }
    modifiers.finish()?;
    let three = kind == Type::F32 && site.instruction.operands.len() == 4;
    let form = detail & (MAGNITUDE | XOR_SIGN);
    if form == XOR_SIGN || (!three && form == MAGNITUDE) || (three && form & XOR_SIGN != 0) {
        return Err(site.error("of two numbers .xorsign.abs, of three .abs"));
    }
    let mut operands = site.typed(&[kind; 4][..if three { 4 } else { 3 }])?;
    let (run, family) = match site.opcode() {
        "min" => run::<Smaller>(host, kind, three || detail != 0),
        _ => run::<Larger>(host, kind, three || detail != 0),
    };
    operands.resize(4, operands[1]);
    detail |= flag(three, THIRD);
    site.emit(Encoded { detail, ..Encoded::new(run, family, &operands) })
}

fn run<F: Choice>(host: Host, kind: Type, modified_form: bool) -> (Run, Family) {
    match kind {
        Type::F64 => (binary::<Plain<F>, f64, f64, f64>(host), Family::Double),
        _ if modified_form => (modified::<F>(host), Family::Float),
        _ => (binary::<Plain<F>, f32, f32, f32>(host), Family::Float),
    }
}
