//! Half precision, one number or two in a register: `add sub mul fma min max abs neg ex2 tanh` of f16 and bf16. Results
//! are those of exact arithmetic rounded once: computed in double precision, cut to a single whose last bit says that
//! something is missing, and rounded from there.

use super::extreme::{self, Choice, Larger, Smaller, chosen};
use super::rounded::take_rounding;
use crate::arithmetic::approximate::{exp2, tanh};
use crate::arithmetic::directed;
use crate::arithmetic::format::Rounding;
use crate::arithmetic::half::{from_bf16, from_f16, to_bf16, to_f16};
use crate::arithmetic::single::{canonical, saturated};
use crate::decode::{Encoded, Modifiers, Site};
use crate::error::LoadResult;
use crate::program::{Family, Run, flag};
use crate::registers::LANES;
use crate::shapes::Host;
use crate::syntax::Type;
use crate::turn::Flow;

/// Subnormals are flushed, results held between 0 and 1, negative results become 0 (`detail`, beside [`extreme`]'s).
const FLUSH: u32 = extreme::FLUSH;
const HOLD: u32 = 32;
const RELU: u32 = 64;
/// There are two in a register; else the upper half stays 0.
const PAIR: u32 = 128;

/// A half-precision format.
trait Half: 'static {
    /// The smallest normal number.
    const NORMAL: f32;
    fn widen(bits: u16) -> f32;
    fn narrow(x: f32) -> u16;
}

struct F16;
struct Bf16;

impl Half for F16 {
    const NORMAL: f32 = f32::from_bits((127 - 14) << 23);
    #[inline(always)]
    fn widen(bits: u16) -> f32 {
        from_f16(bits)
    }
    #[inline(always)]
    fn narrow(x: f32) -> u16 {
        to_f16(x)
    }
}

impl Half for Bf16 {
    const NORMAL: f32 = f32::MIN_POSITIVE;
    #[inline(always)]
    fn widen(bits: u16) -> f32 {
        from_bf16(bits)
    }
    #[inline(always)]
    fn narrow(x: f32) -> u16 {
        to_bf16(x)
    }
}

/// An operation on up to three numbers; its result rounds to half precision as the exact one does.
trait Operation: 'static {
    fn of(a: f32, b: f32, c: f32, detail: u32) -> f32;
}

macro_rules! operations {
    ($($name:ident = |$a:ident, $b:ident, $c:ident| $f:expr;)*) => {$(
        struct $name;
        impl Operation for $name {
            #[inline(always)]
            fn of($a: f32, $b: f32, $c: f32, _: u32) -> f32 {
                $f
            }
        }
    )*};
}

operations! {
    Add = |a, b, _c| directed::odd(directed::add(a, b));
    Sub = |a, b, _c| directed::odd(directed::add(a, -b));
    Mul = |a, b, _c| directed::odd(directed::multiply(a, b));
    Fma = |a, b, c| directed::odd(directed::multiply_add(a, b, c));
    Abs = |a, _b, _c| a.abs();
    Neg = |a, _b, _c| -a;
    Exp2 = |a, _b, _c| exp2(a);
    Tanh = |a, _b, _c| tanh(a);
}

struct Extreme<F>(std::marker::PhantomData<F>);

impl<F: Choice> Operation for Extreme<F> {
    #[inline(always)]
    fn of(a: f32, b: f32, _: f32, detail: u32) -> f32 {
        chosen::<F>(a, b, detail)
    }
}

/// One half of a register.
#[inline(always)]
fn one<H: Half, F: Operation>(a: u16, b: u16, c: u16, detail: u32) -> u16 {
    let flushed = |x: f32| {
        let small = detail & FLUSH != 0 && x.abs() < H::NORMAL;
        if small { 0f32.copysign(x) } else { x }
    };
    let [a, b, c] = [a, b, c].map(|bits| flushed(H::widen(bits)));
    let result = canonical(F::of(a, b, c, detail));
    let result = if detail & HOLD != 0 { saturated(result) } else { result };
    let negative = detail & RELU != 0 && result <= 0.0;
    let narrow = H::narrow(if negative { 0.0 } else { result });
    // Rounding first: what rounds up to a normal number is not flushed.
    if detail & FLUSH != 0 { H::narrow(flushed(H::widen(narrow))) } else { narrow }
}

crate::run! {
    fn halves<H: Half, F: Operation>(turn, instruction, mask) {
        let slots = instruction.operands;
        let detail = instruction.detail;
        let [a, b, c] = [slots[1], slots[2], slots[3]].map(|slot| turn.registers.get::<u32>(slot));
        let keep = if detail & PAIR != 0 { u32::MAX } else { 0xffff };
        let mut out = [0u32; LANES];
        for lane in 0..LANES {
            let (x, y, z) = (a[lane], b[lane], c[lane]);
            let low = one::<H, F>(x as u16, y as u16, z as u16, detail);
            let [x, y, z] = [x, y, z].map(|x| (x >> 16) as u16);
            let high = one::<H, F>(x, y, z, detail);
            out[lane] = (u32::from(low) | u32::from(high) << 16) & keep;
        }
        turn.registers.set(slots[0], mask, &out);
        Ok(Flow::Next)
    }
}

fn run<F: Operation>(host: Host, kind: Type) -> Option<Run> {
    Some(match kind {
        Type::F16 | Type::F16x2 => halves::<F16, F>(host),
        Type::Bf16 | Type::Bf16x2 => halves::<Bf16, F>(host),
        _ => return None,
    })
}

pub fn decode(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let host = site.host();
    let mut modifiers = site.modifiers();
    let kind = modifiers.take_last_type()?;
    let (run, sources) = match site.opcode() {
        "add" => (run::<Add>(host, kind), 2),
        "sub" => (run::<Sub>(host, kind), 2),
        "mul" => (run::<Mul>(host, kind), 2),
        "fma" => (run::<Fma>(host, kind), 3),
        "min" => (run::<Extreme<Smaller>>(host, kind), 2),
        "max" => (run::<Extreme<Larger>>(host, kind), 2),
        "abs" => (run::<Abs>(host, kind), 1),
        "neg" => (run::<Neg>(host, kind), 1),
        "ex2" => (run::<Exp2>(host, kind), 1),
        "tanh" => (run::<Tanh>(host, kind), 1),
        _ => (None, 0),
    };
    let run = run.ok_or_else(|| site.wrong_type(kind))?;
    let pair = matches!(kind, Type::F16x2 | Type::Bf16x2);
    let detail = detail(site, &mut modifiers, kind)? | flag(pair, PAIR);
    modifiers.finish()?;
    let mut operands = site.typed(&[kind; 4][..=sources])?;
    operands.resize(4, operands[1]);
    site.emit(Encoded { detail, ..Encoded::new(run, Family::Half, &operands) })
}

/// What the modifiers say, as far as the instruction takes them.
fn detail(site: &Site<'_, '_, '_>, modifiers: &mut Modifiers<'_>, kind: Type) -> LoadResult<u32> {
    let f16 = matches!(kind, Type::F16 | Type::F16x2);
    let mut detail = 0;
    let mut take = |modifiers: &mut Modifiers<'_>, name: &str, bit: u32| {
        detail |= flag(modifiers.take(name), bit);
    };
    match site.opcode() {
        "add" | "sub" | "mul" | "fma" => {
            let rounding = take_rounding(modifiers);
            if !matches!(rounding, None | Some(Rounding::Nearest))
                || (site.opcode() == "fma" && rounding.is_none())
            {
                return Err(site.error("arithmetic in half precision rounds to nearest (.rn)"));
            }
            if f16 {
                take(modifiers, "ftz", FLUSH);
                take(modifiers, "sat", HOLD);
            }
            if site.opcode() == "fma" {
                take(modifiers, "relu", RELU);
            }
        }
        "min" | "max" => {
            if f16 {
                take(modifiers, "ftz", FLUSH);
            }
            take(modifiers, "NaN", extreme::PASS_NAN);
            take(modifiers, "xorsign", extreme::XOR_SIGN);
            take(modifiers, "abs", extreme::MAGNITUDE);
        }
        "abs" | "neg" if f16 => take(modifiers, "ftz", FLUSH),
        "ex2" | "tanh" => {
            if !modifiers.take("approx") {
                return Err(site.error(format!("{} exists as .approx only", site.opcode())));
            }
            if site.opcode() == "ex2" && !f16 {
                take(modifiers, "ftz", FLUSH);
                if detail & FLUSH == 0 {
                    return Err(site.error("ex2 of bf16 exists as .ftz only"));
                }
            }
        }
        _ => {}
    }
    let one = detail & (extreme::XOR_SIGN | extreme::MAGNITUDE);
    if one != 0 && one != extreme::XOR_SIGN | extreme::MAGNITUDE {
        return Err(site.error(".xorsign and .abs go together"));
    }
    if detail & HOLD != 0 && detail & RELU != 0 {
        return Err(site.error("fma takes .sat or .relu, not both"));
    }
    Ok(detail)
}
