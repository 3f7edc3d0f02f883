//! Sums over several registers: `add.cc addc sub.cc subc mad.cc madc` with their carry in a predicate of the machine's own.
//!
//! A difference is the sum with the complement, as the hardware does it: its carry says that nothing was borrowed. (The
//! manual calls it a borrow; in chains of differences that is the same. nvcc's division of 128 bits reads the carry of
//! `subc.cc` with `addc`, and what ptxas makes of that adds 1 where nothing was borrowed.)

use crate::arithmetic::integer::Integer;
use crate::decode::{Encoded, Site};
use crate::error::LoadResult;
use crate::program::{Family, Run, flag};
use crate::registers::{LANES, Lane};
use crate::shapes::{Host, lanes_where};
use crate::syntax::Type;
use crate::turn::Flow;

/// What is added (`detail`): `a + b`, `a - b`, `a * b + c` with the lower or the upper half of the product.
const SUM: u32 = 0;
const DIFFERENCE: u32 = 1;
const LOW: u32 = 2;
const HIGH: u32 = 3;
/// The carry comes in, goes out (`detail`).
const CARRY_IN: u32 = 4;
const CARRY_OUT: u32 = 8;
/// Slot of the carry among the operands.
const CARRY: usize = 4;

/// A number whose sum with two others can be looked at as a whole.
trait Carrying: Integer + Lane {
    /// `self + other + carry` and whether that is too large.
    fn sum(self, other: Self, carry: bool) -> (Self, bool);
    /// `self - other - borrow` and whether that is negative.
    fn difference(self, other: Self, borrow: bool) -> (Self, bool);
}

macro_rules! carrying {
    ($($t:ty),*) => {$(
        impl Carrying for $t {
            #[inline(always)]
            fn sum(self, other: Self, carry: bool) -> (Self, bool) {
                let (first, a) = self.overflowing_add(other);
                let (second, b) = first.overflowing_add(<$t>::from(carry));
                (second, a | b)
            }
            #[inline(always)]
            fn difference(self, other: Self, borrow: bool) -> (Self, bool) {
                let (first, a) = self.overflowing_sub(other);
                let (second, b) = first.overflowing_sub(<$t>::from(borrow));
                (second, a | b)
            }
        }
    )*};
}

carrying!(u32, u64);

pub fn decode(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let mut modifiers = site.modifiers();
    let kind = modifiers.take_last_type()?;
    let carry_in = site.opcode().ends_with('c');
    let carry_out = modifiers.take("cc");
    let what = match site.opcode() {
        "add" | "addc" => SUM,
        "sub" | "subc" => DIFFERENCE,
        _ if modifiers.take("lo") => LOW,
        _ if modifiers.take("hi") => HIGH,
        other => return Err(site.error(format!("{other} with a carry needs .lo or .hi"))),
    };
    modifiers.finish()?;
    let mut operands = site.typed(&[kind; 4][..if what >= LOW { 4 } else { 3 }])?;
    operands.resize(CARRY, operands[1]);
    operands.push(site.carry());
    let run = run(site.host(), kind, what).ok_or_else(|| site.wrong_type(kind))?;
    let detail = flag(carry_in, CARRY_IN) | flag(carry_out, CARRY_OUT) | what;
    site.emit(Encoded { detail, ..Encoded::new(run, Family::Integer, &operands) })
}

/// The upper half of a product knows of signs, nothing else does.
fn run(host: Host, kind: Type, what: u32) -> Option<Run> {
    Some(match (kind, what == HIGH) {
        (Type::U32, _) | (Type::S32, false) => with_carry::<u32, u32>(host),
        (Type::S32, true) => with_carry::<u32, i32>(host),
        (Type::U64, _) | (Type::S64, false) => with_carry::<u64, u64>(host),
        (Type::S64, true) => with_carry::<u64, i64>(host),
        _ => return None,
    })
}

/// The same bits as another type.
trait Bits<T> {
    fn bits(self) -> T;
}

macro_rules! bits {
    ($($from:ty => $to:ty),*) => {$(
        impl Bits<$to> for $from {
            #[inline(always)]
            fn bits(self) -> $to {
                self as $to
            }
        }
    )*};
}

bits!(u32 => u32, u64 => u64, i32 => u32, i64 => u64);

/// A factor of the product.
trait Factor<T>: Integer + Lane + Bits<T> {}

impl<T, F: Integer + Lane + Bits<T>> Factor<T> for F {}

crate::run! {
    fn with_carry<T: Carrying, F: Factor<T>>(turn, instruction, mask) {
        let [d, a, b, c] = [0, 1, 2, 3].map(|i| instruction.operands[i]);
        let detail = instruction.detail;
        let flag = instruction.operands[CARRY];
        let carries = match (detail & CARRY_IN != 0, detail & 3) {
            (true, _) => turn.registers.predicate(flag),
            (false, DIFFERENCE) => u32::MAX,
            (false, _) => 0,
        };
        let (x, y) = match detail & 3 {
            SUM | DIFFERENCE => (turn.registers.get::<T>(a), turn.registers.get::<T>(b)),
            half => {
                let (p, q) = (turn.registers.get::<F>(a), turn.registers.get::<F>(b));
                let product = |lane: usize| match half {
                    LOW => p[lane].times(q[lane]).bits(),
                    _ => p[lane].times_high(q[lane]).bits(),
                };
                (std::array::from_fn(product), turn.registers.get::<T>(c))
            }
        };
        let mut out = [T::default(); LANES];
        let carried = lanes_where(|lane| {
            let carry = carries >> lane & 1 == 1;
            let (result, over) = match detail & 3 {
                DIFFERENCE => {
                    let (result, borrowed) = x[lane].difference(y[lane], !carry);
                    (result, !borrowed)
                }
                _ => x[lane].sum(y[lane], carry),
            };
            out[lane] = result;
            over
        });
        turn.registers.set(d, mask, &out);
        if detail & CARRY_OUT != 0 {
            turn.registers.set_predicate(flag, mask, carried);
        }
        Ok(Flow::Next)
    }
}
