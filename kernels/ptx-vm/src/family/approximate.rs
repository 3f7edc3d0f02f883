//! Functions the hardware approximates: `ex2 lg2 sin cos tanh` in single precision. (In half: the `half` family.)

use crate::arithmetic::approximate::{cos, exp2, log2, sin, tanh};
use crate::arithmetic::single::flushed_if;
use crate::decode::{Encoded, Site};
use crate::error::LoadResult;
use crate::program::{Family, Run};
use crate::shapes::{Host, Unary, unary};
use crate::syntax::Type;

struct Exp2<const FLUSH: bool>;
struct Log2<const FLUSH: bool>;
struct Sin<const FLUSH: bool>;
struct Cos<const FLUSH: bool>;
struct Tanh<const FLUSH: bool>;

macro_rules! functions {
    ($($name:ident = $f:ident;)*) => {$(
        impl<const FLUSH: bool> Unary<f32, f32> for $name<FLUSH> {
            #[inline(always)]
            fn of(a: f32) -> f32 {
                flushed_if(FLUSH, $f(flushed_if(FLUSH, a)))
            }
        }
    )*};
}

functions! {
    Exp2 = exp2;
    Log2 = log2;
    Sin = sin;
    Cos = cos;
    Tanh = tanh;
}

pub fn decode(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let mut modifiers = site.modifiers();
    let kind = modifiers.take_last_type()?;
    if kind != Type::F32 {
        return match site.opcode() {
            "ex2" | "tanh" => super::half::decode(site),
            _ => Err(site.wrong_type(kind)),
        };
    }
    if !modifiers.take("approx") {
        return Err(site.error(format!("{} exists as .approx only", site.opcode())));
    }
    let flush = site.opcode() != "tanh" && modifiers.take("ftz");
    modifiers.finish()?;
    let run = run(site.host(), site.opcode(), flush);
    let operands = site.typed(&[kind; 2])?;
    site.emit(Encoded::new(run, Family::Approximate, &operands))
}

fn run(host: Host, name: &str, flush: bool) -> Run {
    match (name, flush) {
        ("ex2", false) => unary::<Exp2<false>, f32, f32>(host),
        ("ex2", true) => unary::<Exp2<true>, f32, f32>(host),
        ("lg2", false) => unary::<Log2<false>, f32, f32>(host),
        ("lg2", true) => unary::<Log2<true>, f32, f32>(host),
        ("sin", false) => unary::<Sin<false>, f32, f32>(host),
        ("sin", true) => unary::<Sin<true>, f32, f32>(host),
        ("cos", false) => unary::<Cos<false>, f32, f32>(host),
        ("cos", true) => unary::<Cos<true>, f32, f32>(host),
        _ => unary::<Tanh<false>, f32, f32>(host),
    }
}
