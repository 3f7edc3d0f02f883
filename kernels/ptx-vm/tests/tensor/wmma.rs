//! `wmma`: matrices of whole numbers from memory and back in every shape, type and order, exact sums; and what lanes may
//! not do.

use crate::bench::{Bench, refused};
use ptx_vm::error::Rule;
use ptx_vm::shapes::Host;

/// Registers of a lane for A, B and the sums, as the manual lists them (PTX ISA, "Matrix Fragments for WMMA").
struct Form {
    shape: [usize; 3],
    /// Types of D, A (and B) and C.
    types: [&'static str; 3],
    counts: [usize; 3],
}

const fn form(shape: [usize; 3], types: [&'static str; 3], counts: [usize; 3]) -> Form {
    Form { shape, types, counts }
}

const SQUARE: [usize; 3] = [16, 16, 16];
const HIGH: [usize; 3] = [32, 8, 16];
const WIDE: [usize; 3] = [8, 32, 16];
const FORMS: [Form; 17] = [
    form(SQUARE, ["f32", "f16", "f32"], [8, 8, 8]),
    form(HIGH, ["f32", "f16", "f32"], [8, 8, 8]),
    form(WIDE, ["f32", "f16", "f32"], [8, 8, 8]),
    form(SQUARE, ["f16", "f16", "f16"], [8, 8, 4]),
    form(HIGH, ["f16", "f16", "f16"], [8, 8, 4]),
    form(WIDE, ["f16", "f16", "f16"], [8, 8, 4]),
    form(SQUARE, ["f32", "f16", "f16"], [8, 8, 4]),
    form(SQUARE, ["f16", "f16", "f32"], [8, 8, 8]),
    form(SQUARE, ["f32", "bf16", "f32"], [4, 4, 8]),
    form(HIGH, ["f32", "bf16", "f32"], [8, 2, 8]),
    form(WIDE, ["f32", "bf16", "f32"], [2, 8, 8]),
    form([16, 16, 8], ["f32", "tf32", "f32"], [4, 4, 8]),
    form([8, 8, 4], ["f64", "f64", "f64"], [1, 1, 2]),
    form(SQUARE, ["s32", "s8", "s32"], [2, 2, 8]),
    form(HIGH, ["s32", "u8", "s32"], [4, 1, 8]),
    form(WIDE, ["s32", "s8", "s32"], [1, 4, 8]),
    form(SQUARE, ["s32", "u8", "s32"], [2, 2, 8]),
];

fn bytes(kind: &str) -> usize {
    match kind {
        "u8" | "s8" => 1,
        "f16" | "bf16" => 2,
        "f64" => 8,
        _ => 4,
    }
}

/// A small whole number in a format.
fn encoded(kind: &str, x: i32) -> Vec<u8> {
    let x32 = (x as f32).to_bits();
    match kind {
        "u8" | "s8" => vec![x as u8],
        "bf16" => ((x32 >> 16) as u16).to_le_bytes().to_vec(),
        "f16" => half(x).to_le_bytes().to_vec(),
        "f64" => f64::from(x).to_bits().to_le_bytes().to_vec(),
        "s32" => x.to_le_bytes().to_vec(),
        _ => x32.to_le_bytes().to_vec(),
    }
}

/// A whole number below 2048 as f16.
fn half(x: i32) -> u16 {
    let magnitude = x.unsigned_abs();
    if magnitude == 0 {
        return 0;
    }
    let exponent = magnitude.ilog2();
    let fraction = (magnitude << (10 - exponent)) & 0x3ff;
    (if x < 0 { 0x8000 } else { 0 }) | ((exponent + 15) << 10) as u16 | fraction as u16
}

/// The matrix in memory, `stride` elements from line to line, bytes 0xee between.
fn laid(
    kind: &str,
    [rows, columns]: [usize; 2],
    by_rows: bool,
    stride: usize,
    x: impl Fn(usize, usize) -> i32,
) -> Vec<u32> {
    let lines = if by_rows { rows } else { columns };
    let size = bytes(kind);
    let mut memory = vec![0xee; (lines * stride * size).next_multiple_of(4)];
    for row in 0..rows {
        for column in 0..columns {
            let [line, place] = if by_rows { [row, column] } else { [column, row] };
            let at = (line * stride + place) * size;
            memory[at..at + size].copy_from_slice(&encoded(kind, x(row, column)));
        }
    }
    memory.chunks(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn name([m, n, k]: [usize; 3]) -> String {
    format!("m{m}n{n}k{k}")
}

fn order(by_rows: bool) -> &'static str {
    if by_rows { "row" } else { "col" }
}

/// Strides that keep lines at multiples of 32 bytes.
fn stride(kind: &str, length: usize) -> usize {
    length.next_multiple_of(32 / bytes(kind)) + 32 / bytes(kind)
}

/// Registers named from `first` on, of the type's class.
fn list(kind: &str, first: usize, count: usize) -> String {
    let class = match kind {
        "f32" => "%f",
        "f64" => "d",
        _ => "%r",
    };
    let names: Vec<String> = (first..first + count).map(|i| format!("{class}{i}")).collect();
    format!("{{{}}}", names.join(", "))
}

/// A with B behind it in the first buffer, C in the second, D goes to the third.
fn text(form: &Form, [a, b, c]: [bool; 3], space: &str, extra: &str) -> String {
    let Form { shape, types: [d, kind, sum], counts } = form;
    let [m, n, k] = *shape;
    let strides = [
        stride(kind, if a { k } else { m }),
        stride(kind, if b { n } else { k }),
        stride(sum, if c { n } else { m }),
        stride(d, if c { n } else { m }),
    ];
    let lines = if a { m } else { k };
    let at = (lines * strides[0] * bytes(kind)).next_multiple_of(64);
    let shape = name(*shape);
    let [ra, rb, rc] =
        [list(kind, 10, counts[0]), list(kind, 20, counts[1]), list(sum, 30, counts[2])];
    let count = match *d == *sum {
        true => counts[2],
        false => 12 - counts[2],
    };
    let rd = list(d, 50, count);
    let product = match *kind {
        "f16" => format!("{d}.{sum}"),
        "f64" => "f64.f64.f64.f64.rn".to_owned(),
        kind => format!("{d}.{kind}.{kind}.{sum}"),
    };
    format!(
        ".reg .f64 d<64>; add.u64 %rd8, %rd0, {at};
        wmma.load.a.sync.aligned.{}.{shape}{space}.{kind} {ra}, [%rd0], {};
        wmma.load.b.sync.aligned.{}.{shape}{space}.{kind} {rb}, [%rd8], {};
        wmma.load.c.sync.aligned.{c}.{shape}{space}.{sum} {rc}, [%rd2], {};
        wmma.mma.sync.aligned.{}.{}.{shape}.{product}{extra} {rd}, {ra}, {rb}, {rc};
        wmma.store.d.sync.aligned.{c}.{shape}{space}.{d} [%rd4], {rd}, {};",
        order(a),
        strides[0],
        order(b),
        strides[1],
        strides[2],
        order(a),
        order(b),
        strides[3],
        c = order(c),
    )
}

#[test]
fn whole_numbers_in_every_form_and_order() {
    for form in &FORMS {
        let Form { shape: [m, n, k], types: [d, kind, sum], .. } = form;
        let signed = !kind.starts_with('u');
        let x = |i: usize| ((i * 7 + i / 5) % 7) as i32 - if signed { 3 } else { 0 };
        let (xa, xb) = (|r: usize, c: usize| x(r * k + c), |r: usize, c: usize| x(r * n + c + 3));
        let xc = |r: usize, c: usize| (r * n + c) as i32 % 11 - 5;
        let exact =
            |r: usize, c: usize| (0..*k).fold(xc(r, c), |total, i| total + xa(r, i) * xb(i, c));
        for orders in 0..8 {
            let [a, b, c] = [0, 1, 2].map(|bit| orders >> bit & 1 == 0);
            let stride_of = |kind: &str, rows: usize, columns: usize, by_rows: bool| {
                stride(kind, if by_rows { columns } else { rows })
            };
            let mut first = laid(kind, [*m, *k], a, stride_of(kind, *m, *k, a), xa);
            first.resize(first.len().next_multiple_of(16), 0xeeee_eeee);
            first.extend(laid(kind, [*k, *n], b, stride_of(kind, *k, *n, b), xb));
            let second = laid(sum, [*m, *n], c, stride_of(sum, *m, *n, c), xc);
            let third = laid(d, [*m, *n], c, stride_of(d, *m, *n, c), exact);
            for host in [Host::detect(), Host::Any] {
                let space = if orders % 2 == 0 { ".global" } else { "" };
                let bench = Bench::new_on(host, &text(form, [a, b, c], space, ""));
                let to = bench.words(&vec![0xeeee_eeee; third.len()]);
                let profile = bench.passes(32, [bench.words(&first), bench.words(&second), to]);
                let shown = format!("{:?} {:?} {a} {b} {c}", form.shape, form.types);
                assert_eq!(bench.read(to, third.len()), third, "{shown}");
                let operations: u64 = profile.tensor_operations.iter().sum();
                assert_eq!(operations, 2 * (m * n * k) as u64, "{shown}");
            }
        }
    }
}

#[test]
fn sums_of_bytes_stay_in_range_where_that_is_said() {
    let form = &FORMS[13];
    let a = laid("s8", [16, 16], true, 64, |_, _| 127);
    let b = laid("s8", [16, 16], true, 64, |_, _| 127);
    let c = laid("s32", [16, 16], true, 16, |_, _| i32::MAX - 5);
    // Strides of C and D as `text` has them.
    let spread: Vec<u32> = c.chunks(16).flat_map(|row| row.iter().copied().chain([0; 8])).collect();
    for (extra, sum) in
        [("", (i32::MAX - 5).wrapping_add(16 * 127 * 127)), (".satfinite", i32::MAX)]
    {
        let bench = Bench::new(&text(form, [true, true, true], "", extra));
        let to = bench.unset(16 * 24);
        bench.memory.fill(to, &[0], 16 * 24 * 4).expect("in bounds");
        let first = bench.words(&[&a[..], &b[..]].concat());
        bench.passes(32, [first, bench.words(&spread), to]);
        let found = bench.read(to, 16 * 24);
        assert_eq!((found[0], found[15 * 24 + 15]), (sum as u32, sum as u32), "{extra}");
    }
}

/// A program may change all elements alike, and turn f32 sums into f16 sums element by element.
#[test]
fn elements_of_sums_have_one_order() {
    let convert: String = (0..4)
        .map(|i| format!("cvt.rn.f16x2.f32 %r{}, %f{}, %f{};", 50 + i, 31 + 2 * i, 30 + 2 * i))
        .collect();
    let text = format!(
        "wmma.load.c.sync.aligned.row.m16n16k16.f32 {}, [%rd0];
        {convert} wmma.store.d.sync.aligned.row.m16n16k16.f16 [%rd4], {};",
        list("f32", 30, 8),
        list("f16", 50, 4)
    );
    let bench = Bench::new(&text);
    let x = |r: usize, c: usize| (r * 16 + c) as i32;
    let from = bench.words(&laid("f32", [16, 16], true, 16, x));
    let to = bench.unset(128);
    bench.passes(32, [from, 0, to]);
    assert_eq!(bench.read(to, 128), laid("f16", [16, 16], true, 16, x));
}

#[test]
fn shared_memory_with_the_guide_s_padding() {
    let fill = "mov.u32 %r0, %lane; mov.u32 %r101, tile;
        NEXT: shr.u32 %r1, %r0, 4; and.b32 %r2, %r0, 15; mad.lo.u32 %r1, %r1, 24, %r2; mad.lo.u32 %r1, %r1, 2, %r101;
        cvt.rn.f16.u32 %h1, %r2; st.shared.b16 [%r1], %h1; add.u32 %r0, %r0, 32; setp.lt.u32 %p1, %r0, 256; @%p1 bra NEXT;
        bar.sync 0; cvta.shared.u64 %rd9, tile;";
    let text = |address: &str, stride: u32| {
        let space = if address.contains("%rd") { "" } else { ".shared" };
        let fragment = list("f16", 10, 8);
        format!(
            "{fill}
            wmma.load.a.sync.aligned.row.m16n16k16{space}.f16 {fragment}, {address}, {stride};
            st.global.u32 [%rd5], %r10;"
        )
    };
    for address in ["[tile]", "[%rd9]", "[%r101]"] {
        let bench = Bench::new(&text(address, 24));
        let to = bench.unset(32);
        bench.passes(32, [0, 0, to]);
        // Rows of 0 to 15: the first register has the first two of them, in pairs.
        let pair = |i: i32| u32::from(half(2 * i)) | u32::from(half(2 * i + 1)) << 16;
        assert_eq!(
            bench.read(to, 32),
            (0..32).map(|l| pair(l % 8)).collect::<Vec<_>>(),
            "{address}"
        );
    }
    Bench::new(&text("[tile]", 20)).breaks(32, [0, 0, 0], Rule::Misaligned);
    Bench::new(&text("[tile+16]", 24)).breaks(32, [0, 0, 0], Rule::Misaligned);
    // Beyond the sixteenth row nothing was written.
    let bench = Bench::new(&text("[tile+32]", 24));
    bench.breaks(32, [0, 0, 0], Rule::Unwritten);
}

#[test]
fn lanes_have_to_agree() {
    let load = |address: &str, stride: &str| {
        format!(
            "and.b32 %r2, %lane, 16; cvt.u64.u32 %rd6, %r2; shl.b64 %rd6, %rd6, 1; add.u64 %rd7, %rd0, %rd6; add.u32 %r3, %r2, 16;
            wmma.load.b.sync.aligned.col.m16n16k16.global.f16 {}, [{address}], {stride};",
            list("f16", 10, 8)
        )
    };
    let run = |address: &str, stride: &str, threads: u32| {
        let bench = Bench::new(&load(address, stride));
        let from = bench.words(&[0; 512]);
        bench.run(threads, [from, 0, 0]).err().map(|fault| (fault.rule, fault.message))
    };
    assert_eq!(run("%rd0", "16", 32), None);
    let differ = "lanes of one warp with different addresses or strides of one matrix";
    assert_eq!(run("%rd7", "16", 32), Some((Rule::Trap, differ.to_owned())));
    assert_eq!(run("%rd0", "%r3", 32), Some((Rule::Trap, differ.to_owned())));
    assert_eq!(run("%rd0", "16", 16).map(|(rule, _)| rule), Some(Rule::InactiveLane));
    // A matrix that reaches over the end.
    assert_eq!(run("%rd0", "144", 32).map(|(rule, _)| rule), Some(Rule::OutOfBounds));
}

#[test]
fn unknown_forms_do_not_load() {
    for (text, why) in [
        ("wmma.load.a.sync.aligned.row.m16n16k16.f32 {%f1}, [%rd0];", "no such matrix"),
        ("wmma.load.a.sync.aligned.row.m16n16k8.f16 {%r1}, [%rd0];", "no such matrix"),
        ("wmma.load.d.sync.aligned.row.m16n16k16.f32 {%f1}, [%rd0];", "unknown modifier .d"),
        (
            "wmma.load.a.sync.aligned.row.m16n16k16.f16 {%r1}, [%rd0];",
            "has 1 registers, expected 8",
        ),
        ("wmma.load.a.sync.aligned.m16n16k16.f16 {%r1}, [%rd0];", "expected a matrix, a layout"),
        ("wmma.load.a.sync.aligned.row.m8n8k32.s4 {%r1}, [%rd0];", "unknown modifier"),
        ("wmma.mma.sync.aligned.row.m16n16k16.f32.f32 {%f1}, {%r1}, {%r1}, {%f1};", "the layouts"),
        (
            "wmma.mma.sync.aligned.row.col.m16n16k16.s32.s8.u8.s32 {%r1}, {%r1}, {%r1}, {%r1};",
            "is not known",
        ),
        (
            "wmma.mma.aligned.row.col.m16n16k16.f32.f32 {%f1}, {%r1}, {%r1}, {%f1};",
            "expected .sync",
        ),
    ] {
        let error = refused(text);
        assert!(error.message.contains(why), "{text}: {error}");
    }
}
