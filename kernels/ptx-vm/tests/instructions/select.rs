//! `selp slct testp copysign`.

use crate::lanes::{one, run, three, two};
use crate::samples::{Random, f32s, f64s, float_pairs, low};

fn kinds() -> Vec<(String, String, u32)> {
    let widths = [16u32, 32, 64].into_iter();
    let integers =
        widths.flat_map(|w| ["b", "u", "s"].map(|l| (format!("{l}{w}"), format!("b{w}"), w)));
    let floats = [32u32, 64].into_iter().map(|w| (format!("f{w}"), format!("f{w}"), w));
    integers.chain(floats).collect()
}

#[test]
fn by_a_predicate() {
    let mut random = Random(20);
    for (kind, register, bits) in kinds() {
        let columns: Vec<Vec<u64>> = [bits, bits, 1]
            .map(|width| (0..300).map(|_| low(random.next(), width)).collect::<Vec<u64>>())
            .into();
        let [a, b, d, e] = ["a", "b", "d", "e"].map(|r| format!("{r}:{register}"));
        let code = format!("selp.{kind} d, a, b, p; selp.{kind} e, a, b, !p;");
        let found = run(&code, &[&a, &b, "p:pred"], &columns, &[&d, &e]);
        for i in 0..300 {
            let [a, b, p] = [0, 1, 2].map(|k| columns[k][i]);
            let expected = if p == 1 { [a, b] } else { [b, a] };
            assert_eq!([found[0][i], found[1][i]], expected, "selp.{kind}");
        }
    }
}

#[test]
fn by_a_sign() {
    let mut random = Random(21);
    let mut signs: Vec<u64> = f32s();
    signs.extend((0..100).map(|_| low(random.next(), 32)));
    for (kind, register, bits) in kinds() {
        let triples: Vec<[u64; 3]> = signs
            .iter()
            .map(|&c| [low(random.next(), bits), low(random.next(), bits), c])
            .collect();
        let number = |c: u64| f32::from_bits(c as u32);
        let registers = |c| [&*register, &register, &register, c];
        three(&format!("slct.{kind}.s32"), registers("b32"), &triples, |a, b, c| {
            if (c as u32 as i32) >= 0 { a } else { b }
        });
        three(&format!("slct.{kind}.f32"), registers("f32"), &triples, |a, b, c| {
            if number(c) >= 0.0 { a } else { b }
        });
        three(&format!("slct.ftz.{kind}.f32"), registers("f32"), &triples, |a, b, c| {
            if number(c) >= 0.0 || number(c).is_subnormal() { a } else { b }
        });
    }
}

/// Exponent field and fraction.
fn fields(bits: u64, exponent: u32, fraction: u32) -> (u64, u64, u64) {
    let largest = (1 << exponent) - 1;
    (bits >> fraction & largest, low(bits, fraction), largest)
}

#[test]
fn questions() {
    for (kind, exponent, fraction, values) in [("f32", 8, 23, f32s()), ("f64", 11, 52, f64s())] {
        let ask = |name: &str, expected: &dyn Fn(u64, u64, u64) -> bool| {
            one(&format!("testp.{name}.{kind}"), "pred", kind, &values, |x| {
                let (field, rest, largest) = fields(x, exponent, fraction);
                u64::from(expected(field, rest, largest))
            });
        };
        ask("finite", &|e, _, largest| e < largest);
        ask("infinite", &|e, f, largest| e == largest && f == 0);
        ask("number", &|e, f, largest| e < largest || f == 0);
        ask("notanumber", &|e, f, largest| e == largest && f != 0);
        ask("normal", &|e, f, largest| (e > 0 && e < largest) || (e == 0 && f == 0));
        ask("subnormal", &|e, f, _| e == 0 && f != 0);
    }
}

#[test]
fn the_sign_of_the_first_on_the_second() {
    let sign = 1 << 31;
    two("copysign.f32", ["f32"; 3], &float_pairs(8, 23, 50), |a, b| (a & sign) | (b & !sign));
    let sign = 1 << 63;
    two("copysign.f64", ["f64"; 3], &float_pairs(11, 52, 50), |a, b| (a & sign) | (b & !sign));
}
