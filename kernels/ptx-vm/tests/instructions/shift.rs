//! Shifts by amounts within and beyond the width.

use crate::lanes::{three, two};
use crate::samples::{Random, integers, low, signed};

fn shifts(bits: u32) -> Vec<[u64; 2]> {
    let amounts =
        [0, 1, 2, 7, 15, 16, 17, 31, 32, 33, 47, 63, 64, 65, 255, 256, 0x8000_0000, 0xffff_ffff];
    let mut random = Random(11);
    let mut pairs: Vec<_> = integers(bits).iter().flat_map(|&x| amounts.map(|n| [x, n])).collect();
    pairs.extend((0..500).map(|_| [low(random.next(), bits), random.next() % 70]));
    pairs
}

#[test]
fn shifts_beyond_the_width_leave_nothing_or_the_sign() {
    for bits in [16u32, 32, 64] {
        let register = format!("b{bits}");
        let registers = [&*register, &register, "b32"];
        let pairs = shifts(bits);
        two(&format!("shl.b{bits}"), registers, &pairs, |a, n| {
            if n >= u64::from(bits) { 0 } else { low((u128::from(a) << n) as u64, bits) }
        });
        for letter in ["b", "u"] {
            two(&format!("shr.{letter}{bits}"), registers, &pairs, |a, n| {
                if n >= u64::from(bits) { 0 } else { a >> n }
            });
        }
        two(&format!("shr.s{bits}"), registers, &pairs, |a, n| {
            low((signed(a, bits) >> n.min(64)) as u64, bits)
        });
    }
}

#[test]
fn funnels() {
    let mut random = Random(12);
    let triples: Vec<[u64; 3]> = (0..1500)
        .map(|_| {
            let amount = if random.next().is_multiple_of(5) {
                low(random.next(), 32)
            } else {
                random.next() % 66
            };
            [low(random.next(), 32), low(random.next(), 32), amount]
        })
        .collect();
    let left = |a: u64, b: u64, n: u64| low(((a | b << 32) << n) >> 32, 32);
    let right = |a: u64, b: u64, n: u64| low((a | b << 32) >> n, 32);
    three("shf.l.clamp.b32", ["b32"; 4], &triples, |a, b, n| left(a, b, n.min(32)));
    three("shf.l.wrap.b32", ["b32"; 4], &triples, |a, b, n| left(a, b, n % 32));
    three("shf.r.clamp.b32", ["b32"; 4], &triples, |a, b, n| right(a, b, n.min(32)));
    three("shf.r.wrap.b32", ["b32"; 4], &triples, |a, b, n| right(a, b, n % 32));
}
