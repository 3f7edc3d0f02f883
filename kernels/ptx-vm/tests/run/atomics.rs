//! Atomics: totals over many threads, blocks and host threads, in every space and of every type.

use std::fmt::Write;

use crate::bench::{Bench, kernel, refused};

const GRID: u32 = 6;
const BLOCK: u32 = 72;

/// An operation whose result does not depend on the order: name and type, the first value, each thread's value as an
/// expression of PTX and of Rust, and what the operation does.
struct Case {
    name: &'static str,
    first: u64,
    value: fn(u32) -> u64,
    apply: fn(u64, u64) -> u64,
}

/// A value for each thread, from its number in the grid.
fn spread(thread: u32) -> u64 {
    u64::from(thread).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn low(thread: u32) -> u64 {
    u64::from(spread(thread) as u32)
}

const CASES: [Case; 24] = [
    Case {
        name: "add.u32",
        first: 5,
        value: low,
        apply: |a, b| u64::from((a as u32).wrapping_add(b as u32)),
    },
    Case {
        name: "add.s32",
        first: 5,
        value: low,
        apply: |a, b| u64::from((a as u32).wrapping_add(b as u32)),
    },
    Case { name: "add.u64", first: 5, value: spread, apply: u64::wrapping_add },
    Case { name: "min.u32", first: 0xffff_ffff, value: low, apply: u64::min },
    Case { name: "max.u32", first: 0, value: low, apply: u64::max },
    Case {
        name: "min.s32",
        first: 5,
        value: low,
        apply: |a, b| u64::from((a as i32).min(b as i32) as u32),
    },
    Case {
        name: "max.s32",
        first: 5,
        value: low,
        apply: |a, b| u64::from((a as i32).max(b as i32) as u32),
    },
    Case { name: "min.u64", first: u64::MAX, value: spread, apply: u64::min },
    Case { name: "max.u64", first: 0, value: spread, apply: u64::max },
    Case {
        name: "min.s64",
        first: 5,
        value: spread,
        apply: |a, b| (a as i64).min(b as i64) as u64,
    },
    Case {
        name: "max.s64",
        first: 5,
        value: spread,
        apply: |a, b| (a as i64).max(b as i64) as u64,
    },
    Case {
        name: "inc.u32",
        first: 3,
        value: |_| 100,
        apply: |a, b| if a >= b { 0 } else { a + 1 },
    },
    Case {
        name: "dec.u32",
        first: 3,
        value: |_| 100,
        apply: |a, b| if a == 0 || a > b { b } else { a - 1 },
    },
    Case {
        name: "inc.u32",
        first: 300,
        value: |_| 1000,
        apply: |a, b| if a >= b { 0 } else { a + 1 },
    },
    Case {
        name: "dec.u32",
        first: 3000,
        value: |_| 1000,
        apply: |a, b| if a == 0 || a > b { b } else { a - 1 },
    },
    Case {
        name: "and.b32",
        first: 0xffff_ffff,
        value: |t| low(t) | 0xffff_fff0,
        apply: |a, b| a & b,
    },
    Case { name: "and.b64", first: u64::MAX, value: |t| !(1 << (t % 60)), apply: |a, b| a & b },
    Case { name: "or.b32", first: 0x8000_0000, value: |t| 1 << (t % 20), apply: |a, b| a | b },
    Case { name: "or.b64", first: 1, value: |t| 1 << (t % 60), apply: |a, b| a | b },
    Case { name: "xor.b32", first: 1, value: low, apply: |a, b| a ^ b },
    Case { name: "xor.b64", first: 1, value: spread, apply: |a, b| a ^ b },
    Case {
        name: "add.f32",
        first: 0x3f80_0000,
        value: |t| u64::from((t as f32 - 100.0).to_bits()),
        apply: |a, b| u64::from((f32::from_bits(a as u32) + f32::from_bits(b as u32)).to_bits()),
    },
    Case {
        name: "add.f64",
        first: 0x3ff0_0000_0000_0000,
        value: |t| (f64::from(t) - 100.5).to_bits(),
        apply: |a, b| (f64::from_bits(a) + f64::from_bits(b)).to_bits(),
    },
    // Subnormals stay.
    Case {
        name: "add.f32",
        first: 1,
        value: |_| 1,
        apply: |a, b| u64::from((f32::from_bits(a as u32) + f32::from_bits(b as u32)).to_bits()),
    },
];

/// Word 0 of `a` and the words of `b`, all of 64 bits, after `statements`.
fn run(case: &Case, statements: &str, threads: usize) -> (u64, Vec<u64>) {
    let mut bench = Bench::kernel("", statements);
    bench.options.threads = threads;
    let count = GRID * BLOCK;
    let values: Vec<u8> = (0..count).flat_map(|t| (case.value)(t).to_le_bytes()).collect();
    let out = bench.bytes(&case.first.to_le_bytes());
    let values = bench.bytes(&values);
    bench.pass(GRID, BLOCK, &[out, values]);
    let bytes = |address, len| {
        let bytes = bench.read_bytes(address, len);
        bytes
            .chunks(8)
            .map(|b| u64::from_le_bytes(b.try_into().expect("eight")))
            .collect::<Vec<_>>()
    };
    (bytes(out, 8)[0], bytes(values, 8 * count as usize))
}

#[test]
fn totals_over_all_blocks() {
    for case in &CASES {
        let (wide, total) = (case.name.ends_with("64"), {
            (0..GRID * BLOCK).map(case.value).fold(case.first, case.apply)
        });
        let value = if wide { "%rd8" } else { "%r9" };
        let old = if wide { "%rd9" } else { "%r10" };
        let load =
            "mad.wide.u32 %rd6, %r4, 8, %rd2; ld.global.u64 %rd8, [%rd6]; cvt.u32.u64 %r9, %rd8;";
        for form in ["atom", "atom.global", "red", "red.global", "atom.relaxed.gpu.global"] {
            let result = if form.starts_with("atom") { format!("{old}, ") } else { String::new() };
            let statements = format!("{load} {form}.{} {result}[%rd1], {value};", case.name);
            for threads in [1, 2] {
                let (found, _) = run(case, &statements, threads);
                assert_eq!(found, total, "{form}.{}, {threads} host threads", case.name);
            }
        }
    }
}

/// Each old value is another one's new value: all but the first are results of the operation, each taken once.
#[test]
fn old_values_are_a_chain() {
    let statements = "atom.global.add.u32 %r9, [%rd1], 3; mad.wide.u32 %rd6, %r4, 8, %rd2; cvt.u64.u32 %rd7, %r9;
        st.global.u64 [%rd6], %rd7;";
    let case = Case { name: "", first: 7, value: |_| 0, apply: |a, _| a };
    for threads in [1, 2] {
        let (total, mut old) = run(&case, statements, threads);
        old.sort_unstable();
        let count = u64::from(GRID * BLOCK);
        assert_eq!(total, 7 + 3 * count);
        assert!(old.into_iter().eq((0..count).map(|i| 7 + 3 * i)));
    }
}

#[test]
fn exchanged_values_are_all_seen_once() {
    for (kind, register) in [("b32", "%r9"), ("b64", "%rd9")] {
        let load = match kind {
            "b32" => "add.u32 %r9, %r4, 1;",
            _ => "add.u32 %r9, %r4, 1; cvt.u64.u32 %rd9, %r9;",
        };
        let widen = if kind == "b32" { "cvt.u64.u32 %rd9, %r9;" } else { "" };
        let statements = format!(
            "{load} atom.global.exch.{kind} {register}, [%rd1], {register}; {widen}
            mad.wide.u32 %rd6, %r4, 8, %rd2; st.global.u64 [%rd6], %rd9;"
        );
        let case = Case { name: "", first: 0, value: |_| 0, apply: |a, _| a };
        let (last, mut seen) = run(&case, &statements, 2);
        seen.push(last);
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..=u64::from(GRID * BLOCK)));
    }
}

/// A maximum made from compare-and-swap, of 16, 32 and 64 bits.
#[test]
fn compare_and_swap() {
    for (bits, register) in [("16", "%h"), ("32", "%r2"), ("64", "%rd1")] {
        let convert = match bits {
            "64" => "cvt.u64.u32 %rd13, %r9;".to_owned(),
            "32" => "mov.u32 %r23, %r9;".to_owned(),
            _ => "cvt.u16.u32 %h3, %r9;".to_owned(),
        };
        let r = |i: u32| format!("{register}{i}");
        let statements = format!(
            "mul.lo.u32 %r9, %r4, 7919; rem.u32 %r9, %r9, 60000; {convert}
            ld.relaxed.gpu.global.u{bits} {old}, [%rd1];
            LOOP: setp.ge.u{bits} %p1, {old}, {new}; @%p1 bra END;
            mov.b{bits} {expected}, {old};
            atom.global.cas.b{bits} {old}, [%rd1], {expected}, {new};
            setp.ne.u{bits} %p2, {old}, {expected}; @%p2 bra LOOP;
            END:",
            old = r(1),
            expected = r(2),
            new = r(3)
        );
        let case = Case { name: "", first: 0, value: |_| 0, apply: |a, _| a };
        let most = (0..GRID * BLOCK).map(|t| t * 7919 % 60000).max();
        let (found, _) = run(&case, &statements, 2);
        assert_eq!(Some(found as u32), most, "{bits} bits");
    }
}

/// Shared memory, by its own addresses and generic ones; every block on its own.
#[test]
fn atomics_in_shared_memory() {
    for address in ["mov.u64 %rd6, sum;", "mov.u64 %rd6, sum; cvta.shared.u64 %rd6, %rd6;"] {
        let space = if address.contains("cvta") { "" } else { ".shared" };
        let statements = format!(
            ".shared .align 8 .b8 sum[16]; {address}
            setp.ne.u32 %p1, %r1, 0; @%p1 bra READY;
            st{space}.u64 [%rd6], 0; st{space}.u64 [%rd6+8], 0;
            READY: bar.sync 0;
            cvt.u64.u32 %rd7, %r4;
            red{space}.add.u32 [%rd6], %r4; atom{space}.max.u64 %rd8, [%rd6+8], %rd7;
            bar.sync 0;
            ld{space}.u32 %r9, [%rd6]; ld{space}.u64 %rd8, [%rd6+8]; cvt.u32.u64 %r10, %rd8;
            mad.lo.u32 %r9, %r10, 100000, %r9; st.global.u32 [%rd4], %r9;"
        );
        let words = crate::bench::results("", &statements, (3, 64), &[0]);
        for (thread, word) in words.into_iter().enumerate() {
            let first = thread as u32 / 64 * 64;
            let sum: u32 = (first..first + 64).sum();
            assert_eq!(word, (first + 63) * 100_000 + sum);
        }
    }
}

/// Half-precision sums; the expected bits are exact sums, or rounded by hand where noted.
#[test]
fn half_precision_sums() {
    let run = |statements: &str, first: &[u32], threads: u32| {
        let bench = Bench::kernel("", statements);
        let out = bench.words(first);
        bench.pass(1, threads, &[out, 0]);
        bench.read(out, first.len())
    };
    // 100 times 1.0 onto 0.5 and 2.0 onto -3.0.
    assert_eq!(
        run(
            "mov.b32 %r9, 0x40003c00; red.global.add.noftz.f16x2 [%rd1], %r9;",
            &[0xc200_3800],
            100
        ),
        [0x5a28_5648]
    );
    assert_eq!(
        run(
            "mov.b32 %r9, 0x40003f80; atom.global.add.noftz.bf16x2 %r10, [%rd1], %r9;",
            &[0xc040_3f00],
            100
        ),
        [0x4345_42c9]
    );
    let single = |kind: &str, old: u32, value: u32| {
        let statements = format!(
            "mov.b16 %h1, {value}; atom.global.add.noftz.{kind} %h2, [%rd1], %h1; st.global.b16 [%rd1+2], %h2;"
        );
        let found = run(&statements, &[old], 1)[0];
        assert_eq!(found >> 16, old, "the old value comes back");
        found & 0xffff
    };
    // 2048 + 1 and 2048 + 3 lie between two numbers: to the even one.
    assert_eq!(single("f16", 0x6800, 0x3c00), 0x6800);
    assert_eq!(single("f16", 0x6800, 0x4200), 0x6802);
    // 65504 + 16 rounds to infinity, + 8 does not.
    assert_eq!(single("f16", 0x7bff, 0x4c00), 0x7c00);
    assert_eq!(single("f16", 0x7bff, 0x4800), 0x7bff);
    // Subnormals stay; infinities of both signs give the NaN.
    assert_eq!(single("f16", 0x0001, 0x0002), 0x0003);
    assert_eq!(single("f16", 0x7c00, 0xfc00), 0x7fff);
    // 256 + 1 and 256 + 3 in bf16.
    assert_eq!(single("bf16", 0x4380, 0x3f80), 0x4380);
    assert_eq!(single("bf16", 0x4380, 0x4040), 0x4382);
    assert_eq!(single("bf16", 0x0001, 0x0001), 0x0002);
}

#[test]
fn half_precision_vectors() {
    let run = |operation: &str, first: &[u32], values: [u32; 2]| {
        let mut statements = String::new();
        for (i, value) in values.iter().enumerate() {
            let (low, high) = (value & 0xffff, value >> 16);
            write!(
                statements,
                "mov.b16 %h{}, {low}; mov.b16 %h{}, {high}; mov.b32 %r{}, {value};",
                2 * i,
                2 * i + 1,
                20 + i
            )
            .expect("a string");
        }
        let operands = match (operation.contains("x2"), operation.contains("v4")) {
            (true, _) => "{%r20, %r21}",
            (false, true) => "{%h0, %h1, %h2, %h3}",
            (false, false) => "{%h0, %h1}",
        };
        write!(statements, "red.global.{operation} [%rd1], {operands};").expect("a string");
        let bench = Bench::kernel("", &statements);
        let out = bench.words(first);
        bench.pass(1, 1, &[out, 0]);
        bench.read(out, first.len())
    };
    // 1, -2 | NaN, -0   with   0.5, -1 | 3, +0.
    let (first, values) = ([0xc000_3c00, 0x8000_7e00], [0xbc00_3800, 0x0000_4200]);
    assert_eq!(run("min.noftz.v4.f16", &first, values), [0xc000_3800, 0x8000_4200]);
    assert_eq!(run("max.noftz.v2.f16x2", &first, values), [0xbc00_3c00, 0x0000_4200]);
    assert_eq!(run("add.noftz.v2.f16", &first, values), [0xc200_3e00, 0x8000_7e00]);
    let (first, values) = ([0xc000_3f80, 0x8000_7fc0], [0xbf80_3f00, 0x0000_4040]);
    assert_eq!(run("min.noftz.v2.bf16x2", &first, values), [0xc000_3f00, 0x8000_4040]);
    assert_eq!(run("max.noftz.v4.bf16", &first, values), [0xbf80_3f80, 0x0000_4040]);
}

#[test]
fn vectors_of_singles() {
    let statements = "mov.f32 %f1, 0f3F800000; mov.f32 %f2, 0f40000000;
        red.global.add.v4.f32 [%rd1], {%f1, %f2, %f1, %f2};
        atom.global.add.v2.f32 {%f3, %f4}, [%rd1+16], {%f1, %f2};";
    let bench = Bench::kernel("", statements);
    let out = bench.words(&[0; 6]);
    bench.pass(2, 50, &[out, 0]);
    let found: Vec<f32> = bench.read(out, 6).into_iter().map(f32::from_bits).collect();
    assert_eq!(found, [100.0, 200.0, 100.0, 200.0, 100.0, 200.0]);
}

#[test]
fn atomics_that_do_not_exist() {
    let refused = |statement: &str| {
        let text = kernel(&format!(".reg .b128 %q<3>; {statement}"));
        refused(&text).message
    };
    assert_eq!(refused("atom.global.exch.b128 %q0, [%rd1], %q1;"), "no atomic exch of B128");
    assert_eq!(refused("atom.global.cas.b128 %q0, [%rd1], %q1, %q2;"), "no atomic cas of B128");
    let noftz = ".noftz belongs to atomics of half-precision numbers, and only there";
    assert_eq!(refused("red.global.add.f16x2 [%rd1], %r9;"), noftz);
    assert_eq!(refused("red.global.add.noftz.f32 [%rd1], %f1;"), noftz);
    assert_eq!(refused("atom.global.min.noftz.f16 %h1, [%rd1], %h2;"), "no atomic min of F16");
    assert_eq!(refused("atom.global.inc.u64 %rd6, [%rd1], %rd7;"), "no atomic inc of U64");
    assert_eq!(refused("atom.global.min.f32 %f1, [%rd1], %f2;"), "no atomic min of F32");
    let vectors = "vectors are for f32 and half-precision numbers in global memory";
    assert_eq!(refused("red.global.add.v2.u32 [%rd1], {%r1, %r2};"), vectors);
    assert_eq!(refused("red.shared.add.v2.f32 [%r1], {%f1, %f2};"), vectors);
    let space = "atomics are for global and shared memory";
    assert_eq!(refused("atom.local.add.u32 %r9, [%rd1], 1;"), space);
    assert_eq!(refused("red.global.add.u32 %r9, [%rd1], 1;"), "expected 2 operands, found 3");
    let nothing = "red gives nothing back that could be acquired";
    assert_eq!(refused("red.acq_rel.gpu.global.add.u32 [%rd1], 1;"), nothing);
    assert_eq!(refused("ld.release.gpu.global.u32 %r1, [%rd1];"), "loads acquire, stores release");
    assert_eq!(refused("st.acquire.gpu.global.u32 [%rd1], 1;"), "loads acquire, stores release");
    assert_eq!(refused("st.acq_rel.gpu.global.u32 [%rd1], 1;"), "loads acquire, stores release");
}
