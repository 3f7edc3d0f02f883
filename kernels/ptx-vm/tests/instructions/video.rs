//! `vabsdiff2 vabsdiff4`: differences of parts, by their definition.

use crate::lanes::three;
use crate::samples::{Random, low};

#[test]
fn differences_of_parts() {
    let mut random = Random(12);
    let mut triples: Vec<[u64; 3]> =
        (0..600).map(|_| [(); 3].map(|()| low(random.number(), 32))).collect();
    triples.extend([[0x8000_7f80, 0x7fff_807f, 5], [0, 0xffff_ffff, 9], [0x80, 0x7f, 1]]);
    for (name, parts) in [("vabsdiff2", 2u32), ("vabsdiff4", 4)] {
        let bits = 32 / parts;
        let part = |x: u64, i: u32, signed: bool| {
            let part = x >> (bits * i) & ((1 << bits) - 1);
            if signed && part >> (bits - 1) == 1 { part as i64 - (1 << bits) } else { part as i64 }
        };
        for (d, source) in [("u32", "u32"), ("u32", "s32"), ("s32", "u32"), ("s32", "s32")] {
            let signed = source == "s32";
            let exact = |a: u64, b: u64, i: u32| (part(a, i, signed) - part(b, i, signed)).abs();
            let most = if d == "s32" { (1i64 << (bits - 1)) - 1 } else { (1 << bits) - 1 };
            let whole = |a: u64, b: u64, most: i64| {
                let one =
                    |i: u32| (exact(a, b, i).min(most) as u64 & ((1 << bits) - 1)) << (bits * i);
                (0..parts).map(one).sum::<u64>()
            };
            let form = |end: &str| format!("{name}.{d}.{source}.{source}{end}");
            three(&form(""), ["b32"; 4], &triples, |a, b, _| whole(a, b, i64::MAX));
            three(&form(".sat"), ["b32"; 4], &triples, |a, b, _| whole(a, b, most));
            three(&form(".add"), ["b32"; 4], &triples, |a, b, c| {
                low((0..parts).map(|i| exact(a, b, i) as u64).sum::<u64>() + c, 32)
            });
        }
    }
}
