//! Two 16-bit integers in one register: `add min max` of `.u16x2` and `.s16x2`.

use crate::decode::{Encoded, Modifiers, Site};
use crate::error::LoadResult;
use crate::program::{Family, Run};
use crate::shapes::{Binary, rare_binary};
use crate::syntax::Type;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pair {
    Unsigned,
    Signed,
}

impl Pair {
    pub fn parse(name: &str) -> Option<Pair> {
        match name {
            "u16x2" => Some(Pair::Unsigned),
            "s16x2" => Some(Pair::Signed),
            _ => None,
        }
    }
}

/// What is done with each half.
trait Halves {
    fn of(a: u16, b: u16) -> u16;
}

struct Each<F>(std::marker::PhantomData<F>);

impl<F: Halves> Binary<u32, u32, u32> for Each<F> {
    #[inline(always)]
    fn of(a: u32, b: u32) -> u32 {
        let low = F::of(a as u16, b as u16);
        let high = F::of((a >> 16) as u16, (b >> 16) as u16);
        u32::from(low) | u32::from(high) << 16
    }
}

macro_rules! halves {
    ($($name:ident = $f:expr;)*) => {$(
        struct $name;
        impl Halves for $name {
            #[inline(always)]
            fn of(a: u16, b: u16) -> u16 {
                $f(a, b)
            }
        }
    )*};
}

halves! {
    Add = u16::wrapping_add;
    Min = u16::min;
    Max = u16::max;
    MinSigned = |a: u16, b: u16| (a as i16).min(b as i16) as u16;
    MaxSigned = |a: u16, b: u16| (a as i16).max(b as i16) as u16;
    MinPositive = |a: u16, b: u16| (a as i16).min(b as i16).max(0) as u16;
    MaxPositive = |a: u16, b: u16| (a as i16).max(b as i16).max(0) as u16;
}

fn each<F: Halves + 'static>() -> Run {
    rare_binary::<Each<F>, u32, u32, u32>()
}

pub fn decode(
    site: &mut Site<'_, '_, '_>,
    mut modifiers: Modifiers<'_>,
    pair: Pair,
) -> LoadResult<()> {
    let signed = pair == Pair::Signed;
    let positive = signed && site.opcode() != "add" && modifiers.take("relu");
    let run = match (site.opcode(), signed, positive) {
        ("add", ..) => each::<Add>(),
        ("min", false, _) => each::<Min>(),
        ("max", false, _) => each::<Max>(),
        ("min", true, false) => each::<MinSigned>(),
        ("max", true, false) => each::<MaxSigned>(),
        ("min", true, true) => each::<MinPositive>(),
        ("max", true, true) => each::<MaxPositive>(),
        (other, ..) => {
            return Err(site.error(format!("{other} does not exist for pairs of 16 bits")));
        }
    };
    modifiers.finish()?;
    let operands = site.typed(&[Type::B32; 3])?;
    site.emit(Encoded::new(run, Family::Integer, &operands))
}
