//! `and or xor not cnot lop3`, of numbers and of predicates.

use crate::lanes::{one, run, two};
use crate::samples::{integer_pairs, integer_triples, low};

#[test]
fn bit_by_bit() {
    for bits in [16, 32, 64] {
        let register = format!("b{bits}");
        let (registers, pairs) = ([&*register; 3], integer_pairs(bits));
        two(&format!("and.b{bits}"), registers, &pairs, |a, b| a & b);
        two(&format!("or.b{bits}"), registers, &pairs, |a, b| a | b);
        two(&format!("xor.b{bits}"), registers, &pairs, |a, b| a ^ b);
        let values: Vec<u64> = pairs.iter().map(|p| p[1]).collect();
        one(&format!("not.b{bits}"), &register, &register, &values, |a| low(!a, bits));
        one(&format!("cnot.b{bits}"), &register, &register, &values, |a| u64::from(a == 0));
    }
}

#[test]
fn predicates() {
    let pairs = [[0, 0], [0, 1], [1, 0], [1, 1]];
    let registers = ["pred"; 3];
    two("and.pred", registers, &pairs, |a, b| a & b);
    two("or.pred", registers, &pairs, |a, b| a | b);
    two("xor.pred", registers, &pairs, |a, b| a ^ b);
    one("not.pred", "pred", "pred", &[0, 1], |a| 1 - a);
}

#[test]
fn every_table() {
    let triples = integer_triples(32);
    let columns: Vec<Vec<u64>> = (0..3).map(|i| triples.iter().map(|t| t[i]).collect()).collect();
    let (a, b, c) = (0xf0u64, 0xcc, 0xaa);
    for table in 0..=255u64 {
        let code = format!("lop3.b32 d, a, b, c, {table};");
        let columns: Vec<Vec<u64>> = columns.iter().map(|x| x[..40].to_vec()).collect();
        let found = run(&code, &["a:b32", "b:b32", "c:b32"], &columns, &["d:b32"]);
        for i in 0..40 {
            let bit = |k: u32| {
                let index = (columns[0][i] >> k & 1) << 2
                    | (columns[1][i] >> k & 1) << 1
                    | columns[2][i] >> k & 1;
                (table >> index & 1) << k
            };
            assert_eq!(found[0][i], (0..32).map(bit).sum::<u64>(), "table {table:#x}");
        }
    }
    // The manual's own examples of how a table comes about.
    three_named("a & b & c", a & b & c, |x, y, z| x & y & z);
    three_named("a | b | c", a | b | c, |x, y, z| x | y | z);
    three_named("a & b & ~c", a & b & !c, |x, y, z| x & y & !z);
    three_named("((a & b | c) ^ a)", (a & b | c) ^ a, |x, y, z| (x & y | z) ^ x);
}

fn three_named(what: &str, table: u64, expected: impl Fn(u64, u64, u64) -> u64) {
    let triples = integer_triples(32);
    let columns: Vec<Vec<u64>> = (0..3).map(|i| triples.iter().map(|t| t[i]).collect()).collect();
    let code = format!("lop3.b32 d, a, b, c, {};", table & 0xff);
    let found = run(&code, &["a:b32", "b:b32", "c:b32"], &columns, &["d:b32"]);
    for ([a, b, c], d) in triples.iter().zip(&found[0]) {
        assert_eq!(*d, low(expected(*a, *b, *c), 32), "{what} {a:#x} {b:#x} {c:#x}");
    }
}

#[test]
fn a_table_with_predicates() {
    let rows = [[0, 0, 0], [0, 0, 1], [1, 3, 0], [1, 3, 1], [4, 3, 0], [4, 3, 1]];
    let columns: Vec<Vec<u64>> = (0..3).map(|i| rows.iter().map(|r| r[i]).collect()).collect();
    for (name, negated) in [("or", false), ("and", false), ("or", true), ("and", true)] {
        let not = if negated { "!" } else { "" };
        let code = format!(
            "lop3.{name}.b32 d|p, a, b, 0, 0xc0, {not}q; lop3.{name}.b32 _|s, a, b, 0, 0xc0, {not}q;"
        );
        let results = ["d:b32", "p:pred", "s:pred"];
        let found = run(&code, &["a:b32", "b:b32", "q:pred"], &columns, &results);
        for (i, [a, b, q]) in rows.into_iter().enumerate() {
            let (some, q) = (a & b != 0, (q == 1) != negated);
            let p = u64::from(if name == "or" { some | q } else { some & q });
            assert_eq!(
                [found[0][i], found[1][i], found[2][i]],
                [a & b, p, p],
                "{code} {a} {b} {q}"
            );
        }
    }
}
