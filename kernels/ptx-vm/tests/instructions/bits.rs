//! Bits inside a number, expected values bit by bit as the manual's pseudocode has them.

use ptx_vm::error::Rule;

use crate::bench::Bench;
use crate::lanes::{one, run, three, two};
use crate::samples::{Random, integer_pairs, integers, low};

fn values(bits: u32) -> Vec<u64> {
    integer_pairs(bits).iter().map(|p| p[1]).collect()
}

fn bit(x: u64, i: u32) -> bool {
    x >> i & 1 == 1
}

#[test]
fn counts() {
    for bits in [32, 64] {
        let (register, values) = (format!("b{bits}"), values(bits));
        one(&format!("popc.b{bits}"), "b32", &register, &values, |a| {
            (0..bits).filter(|&i| bit(a, i)).count() as u64
        });
        one(&format!("clz.b{bits}"), "b32", &register, &values, |a| {
            (0..bits).rev().take_while(|&i| !bit(a, i)).count() as u64
        });
        one(&format!("brev.b{bits}"), &register, &register, &values, |a| {
            (0..bits).filter(|&i| bit(a, i)).map(|i| 1 << (bits - 1 - i)).sum()
        });
    }
}

#[test]
fn the_highest_bit_that_is_no_sign() {
    for bits in [32, 64] {
        for sign in ["u", "s"] {
            let (register, values) = (format!("b{bits}"), values(bits));
            let find = |a: u64| {
                let looked = if sign == "s" && bit(a, bits - 1) { !a } else { a };
                (0..bits).rev().find(|&i| bit(looked, i))
            };
            let nothing = 0xffff_ffff;
            one(&format!("bfind.{sign}{bits}"), "b32", &register, &values, |a| {
                find(a).map_or(nothing, u64::from)
            });
            one(&format!("bfind.shiftamt.{sign}{bits}"), "b32", &register, &values, |a| {
                find(a).map_or(nothing, |i| u64::from(bits - 1 - i))
            });
        }
    }
}

/// A number, and positions and lengths of which some are out of range.
fn fields(bits: u32) -> Vec<[u64; 3]> {
    let mut random = Random(5);
    let mut place = || match random.next() % 4 {
        0 => [0, 1, 31, 32, 33, 63, 64, 65, 255, 256, 257, 0xffff_ff00]
            [(random.next() % 12) as usize],
        _ => random.next() % 70,
    };
    let values = values(bits);
    values.iter().cycle().take(2500).map(|&x| [x, place(), place()]).collect()
}

#[test]
fn fields_taken_out() {
    for bits in [32, 64] {
        for sign in [false, true] {
            let (register, letter) = (format!("b{bits}"), if sign { "s" } else { "u" });
            let name = format!("bfe.{letter}{bits}");
            three(&name, [&register, &register, "b32", "b32"], &fields(bits), |a, b, c| {
                let (position, length, top) = ((b & 0xff) as u32, (c & 0xff) as u32, bits - 1);
                let filler = sign && length != 0 && bit(a, (position + length - 1).min(top));
                let of = |i| match i < length && position + i <= top {
                    true => bit(a, position + i),
                    false => filler,
                };
                (0..bits).filter(|&i| of(i)).map(|i| 1 << i).sum()
            });
        }
    }
}

#[test]
fn fields_put_in() {
    for bits in [32, 64] {
        let register = format!("b{bits}");
        let [d, a, b] = ["d", "a", "b"].map(|r| format!("{r}:{register}"));
        let fields = fields(bits);
        let mut random = Random(6);
        let into: Vec<u64> = fields.iter().map(|_| low(random.next(), bits)).collect();
        let column = |i: usize| fields.iter().map(|f| f[i]).collect::<Vec<_>>();
        let columns = [column(0), into, column(1), column(2)];
        let code = format!("bfi.b{bits} d, a, b, c, e;");
        let found = run(&code, &[&a, &b, "c:b32", "e:b32"], &columns, &[&d]);
        for i in 0..fields.len() {
            let [a, b, c, e] = [0, 1, 2, 3].map(|k| columns[k][i]);
            let (position, length) = ((c & 0xff) as u32, (e & 0xff) as u32);
            let mut expected = b;
            for i in (0..length).take_while(|i| position + i < bits) {
                expected &= !(1 << (position + i));
                expected |= u64::from(bit(a, i)) << (position + i);
            }
            assert_eq!(found[0][i], expected, "bfi.b{bits} {a:#x} {b:#x} {c} {e}");
        }
    }
}

#[test]
fn masks() {
    let mut pairs: Vec<[u64; 2]> = (0..70).flat_map(|a| (0..70).map(move |b| [a, b])).collect();
    pairs.extend([[u32::MAX.into(), 4], [4, u32::MAX.into()], [u32::MAX.into(); 2]]);
    let ones = |from: u64, to: u64| (from..to.min(32)).map(|i| 1u64 << i).sum::<u64>();
    two("bmsk.clamp.b32", ["b32"; 3], &pairs, |a, b| ones(a, a + b));
    two("bmsk.wrap.b32", ["b32"; 3], &pairs, |a, b| ones(a % 32, a % 32 + b % 32));
}

#[test]
fn extensions() {
    let pairs: Vec<[u64; 2]> = integers(32)
        .iter()
        .flat_map(|&x| [0, 1, 7, 16, 31, 32, 33, 40, 63, 64, u32::MAX.into()].map(|n| [x, n]))
        .collect();
    for (mode, clamp) in [("clamp", true), ("wrap", false)] {
        for (kind, sign) in [("u32", false), ("s32", true)] {
            two(&format!("szext.{mode}.{kind}"), ["b32"; 3], &pairs, |a, n| {
                let n = if clamp { n.min(32) } else { n % 32 } as u32;
                let kept = (0..n).filter(|&i| bit(a, i)).map(|i| 1u64 << i).sum::<u64>();
                let negative = sign && n > 0 && bit(a, n - 1);
                kept | if negative { (n..32).map(|i| 1u64 << i).sum() } else { 0 }
            });
        }
    }
}

#[test]
fn the_nth_bit_set() {
    let mut random = Random(8);
    let triples: Vec<[u64; 3]> = (0..2000)
        .map(|_| {
            let offset = (random.next() % 20) as i32 - 10;
            [low(random.number(), 32), random.next() % 32, u64::from(offset as u32)]
        })
        .collect();
    three("fns.b32", ["b32"; 4], &triples, |mask, base, offset| {
        let offset = offset as i32;
        if offset == 0 {
            return if bit(mask, base as u32) { base } else { 0xffff_ffff };
        }
        let (mut position, mut count) = (base as i32, offset.abs() - 1);
        while (0..32).contains(&position) {
            if bit(mask, position as u32) {
                if count == 0 {
                    return position as u64;
                }
                count -= 1;
            }
            position += offset.signum();
        }
        0xffff_ffff
    });
}

#[test]
fn a_base_beyond_the_number_is_a_fault() {
    let with_base = |base: u32| {
        let text = format!(
            ".visible .entry k() {{ .reg .b32 r<4>; mov.u32 r1, {base}; fns.b32 r2, 7, r1, 1; ret; }}"
        );
        Bench::new(&text).run(1, 32, &[])
    };
    assert_eq!(with_base(32).expect_err("a base of 32").rule, Rule::Trap);
    assert!(with_base(31).is_ok());
}

/// Which byte of `{b, a}` goes to each place, from the manual's table: for a mode the four rows of selectors, highest first.
const MODES: [(&str, [[usize; 4]; 4]); 6] = [
    ("f4e", [[3, 2, 1, 0], [4, 3, 2, 1], [5, 4, 3, 2], [6, 5, 4, 3]]),
    ("b4e", [[5, 6, 7, 0], [6, 7, 0, 1], [7, 0, 1, 2], [0, 1, 2, 3]]),
    ("rc8", [[0, 0, 0, 0], [1, 1, 1, 1], [2, 2, 2, 2], [3, 3, 3, 3]]),
    ("ecl", [[3, 2, 1, 0], [3, 2, 1, 1], [3, 2, 2, 2], [3, 3, 3, 3]]),
    ("ecr", [[0, 0, 0, 0], [1, 1, 1, 0], [2, 2, 1, 0], [3, 2, 1, 0]]),
    ("rc16", [[1, 0, 1, 0], [3, 2, 3, 2], [1, 0, 1, 0], [3, 2, 3, 2]]),
];

#[test]
fn bytes_picked() {
    let mut random = Random(10);
    let triples: Vec<[u64; 3]> =
        (0..2000).map(|_| [(); 3].map(|()| low(random.next(), 32))).collect();
    let bytes = |a: u64, b: u64| -> Vec<u8> { (a | b << 32).to_le_bytes().to_vec() };
    three("prmt.b32", ["b32"; 4], &triples, |a, b, c| {
        let of = |i: u32| {
            let selector = c >> (4 * i) & 15;
            let byte = bytes(a, b)[(selector & 7) as usize];
            let sign = if byte & 0x80 != 0 { 0xff } else { 0 };
            u64::from(if selector & 8 != 0 { sign } else { byte }) << (8 * i)
        };
        (0..4).map(of).sum()
    });
    for (mode, rows) in MODES {
        three(&format!("prmt.b32.{mode}"), ["b32"; 4], &triples, |a, b, c| {
            let row = rows[(c & 3) as usize];
            row.iter().fold(0, |d, &i| d << 8 | u64::from(bytes(a, b)[i]))
        });
    }
}
