//! Products of 8-bit floats and integers, and of bits, with matrices in memory.

use super::{B_AT, Bench, TILE, layouts, memory_words, names, place, product, text};
use crate::bench::refused;

/// The sums of a product of 32 columns, one register after the other, from operands given as bytes of their rows of 32.
fn sums(
    types: &str,
    depth: usize,
    behind: &str,
    [a, b]: [&dyn Fn(usize, usize) -> u8; 2],
    kind: &str,
) -> Vec<u32> {
    let (layout, _) = layouts()[2];
    let mut memory = vec![0; TILE];
    for (base, lines, byte) in [(0, 64, a), (B_AT, 32, b)] {
        for (line, k) in (0..lines).flat_map(|line| (0..32).map(move |k| (line, k))) {
            memory[base + layout.along(line, k / 16) + k % 16] = byte(line, k);
        }
    }
    let (count, prefix) = match kind {
        "f32" => (16, "%f"),
        "s32" => (16, "%r1"),
        _ => (8, "%r1"),
    };
    let registers = names(prefix, count);
    let instruction = format!(
        "wgmma.mma_async.sync.aligned.m64n32k{depth}{types} {{{registers}}}, %rd20, %rd21, %p2{behind};"
    );
    let mut bench =
        Bench::new(&text(layout.bits(), layout.bits(), &product(&instruction, count, kind)));
    bench.options.adversarial = Some(3);
    let out = bench.unset(128 * count);
    let profile = bench.passes(128, [bench.words(&memory_words(&memory)), out, 0]);
    assert_eq!(profile.tensor_operations.iter().sum::<u64>(), (2 * 64 * 32 * depth) as u64);
    bench.read(out, 128 * count)
}

fn byte(row: usize, k: usize) -> u8 {
    (row * 37 + k * 91 + row * k + 11) as u8
}

/// What the sums held before.
const BEFORE: u32 = 0x3c00_3c00;

#[test]
fn bytes_are_signed_or_not() {
    for (left, right) in [("s8", "s8"), ("s8", "u8"), ("u8", "s8"), ("u8", "u8")] {
        let value = |kind: &str, bits: u8| match kind {
            "s8" => i32::from(bits as i8),
            _ => i32::from(bits),
        };
        for modifier in ["", ".satfinite"] {
            let types = format!("{modifier}.s32.{left}.{right}");
            let words = sums(&types, 32, "", [&byte, &|n, k| byte(n + 5, k)], "s32");
            for (index, word) in words.into_iter().enumerate() {
                let (row, column) = place(index % 128, index / 128);
                let term = |k| value(left, byte(row, k)) * value(right, byte(column + 5, k));
                let dot: i32 = (0..32).map(term).sum();
                assert_eq!(word, BEFORE.wrapping_add(dot as u32), "{types} at {row} {column}");
            }
        }
    }
}

#[test]
fn sums_of_bytes_stay_at_the_end() {
    // 32 times 255 times 255 is a little above 2^21: a chain of products gets there.
    let (layout, _) = layouts()[2];
    let memory = vec![255u8; TILE];
    let registers = names("%r1", 4);
    let instruction = format!(
        "mov.u32 %r7, 0;
        MORE: wgmma.mma_async.sync.aligned.m64n8k32.satfinite.s32.u8.u8 {{{registers}}}, %rd20, %rd21, %p2;
        add.u32 %r7, %r7, 1; setp.lt.u32 %p3, %r7, 600; @%p3 bra MORE;"
    );
    let bench = Bench::new(&text(layout.bits(), layout.bits(), &product(&instruction, 4, "s32")));
    let out = bench.unset(128 * 4);
    bench.passes(128, [bench.words(&memory_words(&memory)), out, 0]);
    assert_eq!(bench.read(out, 128 * 4), vec![i32::MAX as u32; 512]);
}

#[test]
fn bits_are_counted() {
    let words = sums(".s32.b1.b1.and.popc", 256, "", [&byte, &|n, k| byte(n + 5, k)], "s32");
    for (index, word) in words.into_iter().enumerate() {
        let (row, column) = place(index % 128, index / 128);
        let count: u32 = (0..32).map(|k| (byte(row, k) & byte(column + 5, k)).count_ones()).sum();
        assert_eq!(word, BEFORE + count, "at {row} {column}");
    }
}

/// -2 to 2 in both formats.
fn small(kind: &str, row: usize, k: usize) -> (u8, f32) {
    let [one, two] = if kind == "e4m3" { [0x38, 0x40] } else { [0x3c, 0x40] };
    [(0, 0.0), (one, 1.0), (two, 2.0), (one | 0x80, -1.0), (two | 0x80, -2.0)]
        [(row * 3 + k * 7 + row * k) % 5]
}

#[test]
fn floats_of_eight_bits() {
    for (left, right) in [("e4m3", "e4m3"), ("e4m3", "e5m2"), ("e5m2", "e4m3"), ("e5m2", "e5m2")] {
        let operands: [&dyn Fn(usize, usize) -> u8; 2] =
            [&|row, k| small(left, row, k).0, &|n, k| small(right, n + 1, k).0];
        let dot = |row: usize, column: usize| -> f32 {
            (0..32).map(|k| small(left, row, k).1 * small(right, column + 1, k).1).sum()
        };
        let words = sums(&format!(".f32.{left}.{right}"), 32, ", 1, -1", operands, "f32");
        for (index, word) in words.into_iter().enumerate() {
            let (row, column) = place(index % 128, index / 128);
            assert_eq!(
                f32::from_bits(word),
                1.0 - dot(row, column),
                "{left} {right} {row} {column}"
            );
        }
        let words = sums(&format!(".f16.{left}.{right}"), 32, ", 1, 1", operands, "f16");
        for (index, word) in words.into_iter().enumerate() {
            let (row, column) = place(index % 128, 2 * (index / 128));
            for (half, column) in
                [(word as u16, column), (word.wrapping_shr(16) as u16, column + 1)]
            {
                let expected = super::f16(dot(row, column) as i32 + 1);
                assert_eq!(half, expected, "{left} {right} {row} {column}");
            }
        }
    }
}

#[test]
fn what_there_is_not() {
    for (types, count, behind) in [
        ("m64n8k32.s32.s8.s8", 4, ", 1, 1"),
        ("m64n8k16.s32.s8.s8", 4, ""),
        ("m64n40k32.s32.s8.s8", 20, ""),
        ("m64n8k256.s32.b1.b1", 4, ""),
        ("m64n8k256.satfinite.s32.b1.b1.and.popc", 4, ""),
        ("m64n8k32.f32.e4m3.e4m3", 4, ", 1, 1, 0, 0"),
        ("m64n8k16.satfinite.f32.bf16.bf16", 4, ", 1, 1, 0, 0"),
    ] {
        let text = format!(
            "wgmma.mma_async.sync.aligned.{types} {{{}}}, %rd20, %rd21, %p2{behind};",
            names("%r1", count)
        );
        assert!(refused(&text).text.contains("wgmma"), "{types}");
    }
}
