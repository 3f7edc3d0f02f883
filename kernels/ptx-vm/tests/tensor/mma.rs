//! `mma.sync`: every shape against sums computed from the manual's layouts, bit for bit where sums are exact.

/// Types of 8, 4 and 1 bits.
mod narrow;

use crate::bench::{Bench, refused};
use ptx_vm::error::Rule;
use ptx_vm::random::Random;
use ptx_vm::shapes::Host;

/// A shape as the manual gives it: element `i` of a lane's fragment to row and column, `g` and `t` being the lane's
/// group and its place in it.
struct Shape {
    name: &'static str,
    /// Rows of A: 16 or 8.
    rows: usize,
    depth: usize,
    /// Elements in a register.
    packed: usize,
    left: fn(usize, usize, usize) -> (usize, usize),
    right: fn(usize, usize, usize) -> (usize, usize),
}

const SHAPES: [Shape; 6] = [
    Shape {
        name: "m16n8k16 16-bit",
        rows: 16,
        depth: 16,
        packed: 2,
        left: |i, g, t| {
            let row = if i < 2 || (4..6).contains(&i) { g } else { g + 8 };
            (row, t * 2 + (i & 1) + if i >= 4 { 8 } else { 0 })
        },
        right: |i, g, t| (t * 2 + (i & 1) + if i >= 2 { 8 } else { 0 }, g),
    },
    Shape {
        name: "m16n8k8 16-bit",
        rows: 16,
        depth: 8,
        packed: 2,
        left: |i, g, t| (if i < 2 { g } else { g + 8 }, t * 2 + (i & 1)),
        right: |i, g, t| (t * 2 + i, g),
    },
    Shape {
        name: "m16n8k4 tf32",
        rows: 16,
        depth: 4,
        packed: 1,
        left: |i, g, t| (if i == 0 { g } else { g + 8 }, t),
        right: |_, g, t| (t, g),
    },
    Shape {
        name: "m16n8k8 tf32",
        rows: 16,
        depth: 8,
        packed: 1,
        left: |i, g, t| (if i % 2 == 0 { g } else { g + 8 }, if i < 2 { t } else { t + 4 }),
        right: |i, g, t| (if i == 0 { t } else { t + 4 }, g),
    },
    Shape {
        name: "m16n8k16 8-bit",
        rows: 16,
        depth: 16,
        packed: 4,
        left: |i, g, t| (if i < 4 { g } else { g + 8 }, t * 4 + (i & 3)),
        right: |i, g, t| (t * 4 + (i & 3), g),
    },
    Shape {
        name: "m16n8k32 8-bit",
        rows: 16,
        depth: 32,
        packed: 4,
        left: |i, g, t| {
            let row = if i < 4 || (8..12).contains(&i) { g } else { g + 8 };
            (row, t * 4 + (i & 3) + if i >= 8 { 16 } else { 0 })
        },
        right: |i, g, t| (t * 4 + (i & 3) + if i >= 4 { 16 } else { 0 }, g),
    },
];

fn accumulator(i: usize, g: usize, t: usize) -> (usize, usize) {
    (if i < 2 { g } else { g + 8 }, t * 2 + (i & 1))
}

/// Registers of all lanes, register after register, from a matrix of element bits.
fn lay(
    count: usize,
    packed: usize,
    place: fn(usize, usize, usize) -> (usize, usize),
    element: impl Fn(usize, usize) -> u32,
) -> Vec<u32> {
    let width = 32 / packed;
    let word = |register: usize, lane: usize| {
        (0..packed).fold(0, |word, i| {
            let (row, column) = place(register * packed + i, lane / 4, lane % 4);
            word | element(row, column) << (width * i)
        })
    };
    (0..count)
        .flat_map(|register| (0..32).map(move |lane| (register, lane)))
        .map(|(r, l)| word(r, l))
        .collect()
}

/// The kernel that loads A and B from the first buffer, C from the second, and stores D to the third.
fn text(instruction: &str, a: usize, b: usize, c: usize) -> String {
    let list = |first: usize, count: usize| {
        let names: Vec<String> = (first..first + count).map(|i| format!("%r{i}")).collect();
        format!("{{{}}}", names.join(", "))
    };
    let mut body = String::new();
    (0..a + b).for_each(|i| body += &format!("ld.global.u32 %r{i}, [%rd1 + {}];", 128 * i));
    (0..c).for_each(|i| body += &format!("ld.global.u32 %r{}, [%rd3 + {}];", 20 + i, 128 * i));
    body +=
        &format!("{instruction} {}, {}, {}, {};", list(30, c), list(0, a), list(a, b), list(20, c));
    (0..c).for_each(|i| body += &format!("st.global.u32 [%rd5 + {}], %r{};", 128 * i, 30 + i));
    body
}

/// Runs `D = A B + C` with element bits from the given functions; D's register words come back, and the operations.
fn product(
    instruction: &str,
    shape: &Shape,
    sum_packed: usize,
    [a, b, c]: [&dyn Fn(usize, usize) -> u32; 3],
) -> Vec<u32> {
    let registers = |rows: usize| shape.depth * rows / 32 / shape.packed;
    let (left, right) = (registers(shape.rows), registers(8));
    let sums = shape.rows / 4 / sum_packed;
    let text = text(instruction, left, right, sums);
    let mut input = lay(left, shape.packed, shape.left, a);
    input.extend(lay(right, shape.packed, shape.right, b));
    let accumulators = lay(sums, sum_packed, accumulator, c);
    let [found, portable] = [Host::detect(), Host::Any].map(|host| {
        let bench = Bench::new_on(host, &text);
        let out = bench.unset(32 * sums);
        let profile = bench.passes(32, [bench.words(&input), bench.words(&accumulators), out]);
        let operations = profile.tensor_operations.iter().sum::<u64>();
        assert_eq!(operations, (2 * shape.rows * 8 * shape.depth) as u64, "{}", shape.name);
        bench.read(out, 32 * sums)
    });
    assert_eq!(found, portable, "{}", shape.name);
    found
}

/// Small integers, different at every place.
fn integer(seed: i32) -> impl Fn(usize, usize) -> i32 {
    move |row, column| (row as i32 * 7 + column as i32 * 13 + seed) % 17 - 8
}

fn dot(shape: &Shape, row: usize, column: usize) -> i32 {
    (0..shape.depth).map(|k| integer(3)(row, k) * integer(5)(k, column)).sum()
}

/// Compares all of D with `expected` bits at a row and column.
fn compare(shape: &Shape, words: &[u32], packed: usize, expected: impl Fn(usize, usize) -> u32) {
    let expected = lay(shape.rows / 4 / packed, packed, accumulator, expected);
    assert_eq!(words, expected, "{}", shape.name);
}

fn bf16(x: f32) -> u32 {
    x.to_bits() >> 16
}

/// Exact for the small integers used here.
fn f16(x: f32) -> u32 {
    let bits = x.to_bits();
    if x == 0.0 {
        0
    } else {
        (bits >> 16 & 0x8000) | (((bits >> 23 & 255) - 112) << 10) | (bits >> 13 & 0x3ff)
    }
}

#[test]
fn sums_of_integers_are_exact_in_every_shape() {
    type Encode = fn(f32) -> u32;
    let encoders: [(usize, &str, Encode); 6] = [
        (0, "m16n8k16.row.col.f32.bf16.bf16.f32", bf16),
        (1, "m16n8k8.row.col.f32.bf16.bf16.f32", bf16),
        (0, "m16n8k16.row.col.f32.f16.f16.f32", f16),
        (1, "m16n8k8.row.col.f32.f16.f16.f32", f16),
        (2, "m16n8k4.row.col.f32.tf32.tf32.f32", f32::to_bits),
        (3, "m16n8k8.row.col.f32.tf32.tf32.f32", f32::to_bits),
    ];
    for (index, name, encode) in encoders {
        let shape = &SHAPES[index];
        let a = |row, column| encode(integer(3)(row, column) as f32);
        let b = |row, column| encode(integer(5)(row, column) as f32);
        let c = |row, column| (integer(9)(row, column) as f32).to_bits();
        let found = product(&format!("mma.sync.aligned.{name}"), shape, 1, [&a, &b, &c]);
        compare(shape, &found, 1, |row, column| {
            ((dot(shape, row, column) + integer(9)(row, column)) as f32).to_bits()
        });
    }
}

#[test]
fn half_sums_are_pairs() {
    for (index, name) in [(0, "m16n8k16"), (1, "m16n8k8")] {
        let shape = &SHAPES[index];
        let a = |row, column| f16(integer(3)(row, column) as f32);
        let b = |row, column| f16(integer(5)(row, column) as f32);
        let c = |row, column| f16(integer(9)(row, column) as f32);
        let text = format!("mma.sync.aligned.{name}.row.col.f16.f16.f16.f16");
        let found = product(&text, shape, 2, [&a, &b, &c]);
        // Sums stay below 2048: exact in f16.
        compare(shape, &found, 2, |row, column| {
            f16((dot(shape, row, column) + integer(9)(row, column)) as f32)
        });
    }
}

#[test]
fn integer_sums_wrap_or_stay_at_the_end() {
    let shape = &SHAPES[4];
    let ones = |_, _| 1;
    for (c, wrapped, held) in [
        (i32::MAX as u32, i32::MIN.wrapping_add(15) as u32, i32::MAX as u32),
        (i32::MAX as u32 - 16, i32::MAX as u32, i32::MAX as u32),
    ] {
        let c = move |_, _| c;
        let plain = product(
            "mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32",
            shape,
            1,
            [&ones, &ones, &c],
        );
        assert_eq!(plain, vec![wrapped; 128]);
        let text = "mma.sync.aligned.m16n8k16.row.col.satfinite.s32.s8.s8.s32";
        assert_eq!(product(text, shape, 1, [&ones, &ones, &c]), vec![held; 128]);
    }
}

/// Random elements: each sum may be off by one rounding a product, of the sum of magnitudes.
#[test]
fn random_sums_keep_their_bound() {
    let mut stream = Random::new(7);
    for (index, name, keep) in [
        (0, "m16n8k16.row.col.f32.bf16.bf16.f32", 0xffff_0000u32),
        (3, "m16n8k8.row.col.f32.tf32.tf32.f32", 0xffff_e000),
    ] {
        let shape = &SHAPES[index];
        let mut draw = |count: usize| -> Vec<f32> {
            (0..count)
                .map(|_| (stream.below(1 << 24) as f32 / (1 << 23) as f32 - 1.0) * 8.0)
                .collect()
        };
        let (a, b, c) = (draw(16 * 32), draw(32 * 8), draw(16 * 8));
        let narrow = |x: f32| f32::from_bits(x.to_bits() & keep);
        let bits = |x: f32| if shape.packed == 2 { x.to_bits() >> 16 } else { x.to_bits() };
        let found = product(
            &format!("mma.sync.aligned.{name}"),
            shape,
            1,
            [&|r, k| bits(a[32 * r + k]), &|k, n| bits(b[8 * k + n]), &|r, n| {
                c[8 * r + n].to_bits()
            }],
        );
        for (index, word) in found.iter().enumerate() {
            let (lane, register) = (index % 32, index / 32);
            let (row, column) = accumulator(register, lane / 4, lane % 4);
            let terms = (0..shape.depth)
                .map(|k| f64::from(narrow(a[32 * row + k])) * f64::from(narrow(b[8 * k + column])));
            let terms: Vec<f64> = terms.chain([f64::from(c[8 * row + column])]).collect();
            let (sum, size) =
                (terms.iter().sum::<f64>(), terms.iter().map(|x| x.abs()).sum::<f64>());
            let bound = size * (shape.depth as f64) * 2f64.powi(-24);
            assert!(
                (f64::from(f32::from_bits(*word)) - sum).abs() <= bound,
                "{} at {row} {column}",
                shape.name
            );
        }
    }
}

#[test]
fn not_a_number_and_infinity_pass_through() {
    let shape = &SHAPES[0];
    let a = |row, column| if (row, column) == (2, 3) { 0x7f80 } else { bf16(1.0) };
    let b = |row, column| if (row, column) == (3, 5) { 0 } else { bf16(1.0) };
    let found = product(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32",
        shape,
        1,
        [&a, &b, &|_, _| 0],
    );
    let value = |row: usize, column: usize| {
        let lane = row % 8 * 4 + column / 2;
        f32::from_bits(found[(row / 8 * 2 + column % 2) * 32 + lane])
    };
    assert!(value(2, 5).is_nan());
    assert_eq!((value(2, 0), value(3, 5), value(3, 0)), (f32::INFINITY, 15.0, 16.0));
}

#[test]
fn results_may_take_the_place_of_sums() {
    let body = "mov.f32 %f0, 0f3F800000; mov.f32 %f1, %f0; mov.f32 %f2, %f0; mov.f32 %f3, %f0;
        mov.b32 %r0, 0x3F803F80; mov.u32 %r9, 0;
        AGAIN: mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%f0, %f1, %f2, %f3}, {%r0, %r0}, {%r0}, {%f0, %f1, %f2, %f3};
        add.u32 %r9, %r9, 1; setp.lt.u32 %p1, %r9, 5; @%p1 bra AGAIN; st.global.f32 [%rd1], %f3;";
    let bench = Bench::new(body);
    let out = bench.unset(32);
    let profile = bench.passes(32, [out, 0, 0]);
    assert_eq!(bench.read(out, 32), vec![41f32.to_bits(); 32]);
    assert_eq!(profile.tensor_operations.iter().sum::<u64>(), 5 * 2048);
}

#[test]
fn a_parted_warp_is_reported() {
    let body = "setp.lt.u32 %p1, %lane, 31; mov.b32 %r0, 0;
        @%p1 mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%f0, %f1, %f2, %f3}, {%r0, %r0}, {%r0}, {%f0, %f1, %f2, %f3};";
    Bench::new(body).breaks(32, [0; 3], Rule::InactiveLane);
    Bench::new(&body.replace("lane, 31", "lane, 32")).passes(32, [0; 3]);
}

#[test]
fn unknown_shapes_do_not_load() {
    for text in [
        "mma.sync.aligned.m8n8k8.row.col.f64.f64.f64.f64 {%rd10, %rd11}, {%rd12}, {%rd13}, {%rd10, %rd11};",
        "mma.sync.aligned.m16n8k16.row.row.f32.bf16.bf16.f32 {%f0, %f1, %f2, %f3}, {%r0, %r1, %r2, %r3}, {%r4, %r5}, {%f0, %f1, %f2, %f3};",
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.f16.f32 {%f0, %f1, %f2, %f3}, {%r0, %r1, %r2, %r3}, {%r4, %r5}, {%f0, %f1, %f2, %f3};",
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f0, %f1, %f2, %f3}, {%r0, %r1, %r2}, {%r4, %r5}, {%f0, %f1, %f2, %f3};",
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%rd0, %f1, %f2, %f3}, {%r0, %r1, %r2, %r3}, {%r4, %r5}, {%f0, %f1, %f2, %f3};",
    ] {
        assert!(refused(text).text.contains("mma.sync"), "{text}");
    }
}
