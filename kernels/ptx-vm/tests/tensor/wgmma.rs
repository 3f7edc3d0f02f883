//! `wgmma`: layouts of operands and sums, signs, and what has to be waited for.

/// Types of 8 bits and of one.
mod narrow;

use crate::bench::{Bench, random, refused};
use ptx_vm::error::Rule;
use ptx_vm::random::Random;

/// Where the 16 bytes `chunk` (along its line) of `line` lie; a line goes along the depth, or across it.
#[derive(Debug, Clone, Copy)]
struct Layout {
    /// Bits 62 and 63 of the descriptor.
    mode: u64,
    leading: usize,
    stride: usize,
}

impl Layout {
    fn span(self) -> usize {
        [16, 128, 64, 32][self.mode as usize]
    }

    /// The swizzle of the manual on offsets from a place where the pattern begins.
    fn exchange(self, offset: usize) -> usize {
        let bits = self.span() / 16 - 1;
        offset ^ (((offset / 128) & bits) * 16)
    }

    /// Along the depth: `line` is a row of A or a column of B, two chunks each.
    fn along(self, line: usize, chunk: usize) -> usize {
        let (inside, outside) = (line % 8, line / 8);
        self.exchange(match self.mode {
            0 => inside * 16 + outside * self.stride + chunk * self.leading,
            _ => inside * self.span() + outside * self.stride + chunk * 16,
        })
    }

    /// Across the depth: `line` is an index of the depth, and chunks hold eight rows of A or columns of B.
    fn across(self, line: usize, chunk: usize) -> usize {
        let (inside, outside, wide) = (line % 8, line / 8, self.span() / 16);
        self.exchange(match self.mode {
            0 => chunk * self.stride + inside * 16 + outside * self.leading,
            _ => {
                chunk % wide * 16
                    + chunk / wide * self.leading
                    + inside * self.span()
                    + outside * self.stride
            }
        })
    }

    fn bits(self) -> u64 {
        (self.leading as u64 / 16) << 16 | (self.stride as u64 / 16) << 32 | self.mode << 62
    }
}

/// Puts 16-bit elements into memory: `lines` of `chunks * 8` elements.
fn fill(
    memory: &mut [u8],
    base: usize,
    place: impl Fn(usize, usize) -> usize,
    lines: usize,
    chunks: usize,
    element: impl Fn(usize, usize) -> u16,
) {
    for line in 0..lines {
        for chunk in 0..chunks {
            for i in 0..8 {
                let at = base + place(line, chunk) + 2 * i;
                memory[at..at + 2].copy_from_slice(&element(line, chunk * 8 + i).to_le_bytes());
            }
        }
    }
}

const B_AT: usize = 16384;
const TILE: usize = 32768;

/// 128 threads bring 32 KB from the first buffer into the tile; `%rd20` and `%rd21` become descriptors.
fn text(a_bits: u64, b_bits: u64, body: &str) -> String {
    format!(
        "mov.u32 %r101, tile; mov.u32 %r0, %lane;
        COPY: mad.lo.u32 %r1, %r0, 16, %r101; mul.wide.u32 %rd10, %r0, 16; add.u64 %rd10, %rd0, %rd10;
        ld.global.v4.u32 {{%r2, %r3, %r4, %r5}}, [%rd10]; st.shared.v4.u32 [%r1], {{%r2, %r3, %r4, %r5}};
        add.u32 %r0, %r0, 128; setp.lt.u32 %p1, %r0, {}; @%p1 bra COPY;
        fence.proxy.async.shared::cta; bar.sync 0;
        shr.u32 %r6, %r101, 4; cvt.u64.u32 %rd20, %r6; or.b64 %rd20, %rd20, {a_bits};
        add.u32 %r6, %r6, {}; cvt.u64.u32 %rd21, %r6; or.b64 %rd21, %rd21, {b_bits};
        setp.eq.u32 %p2, %r101, %r101;
        {body}",
        TILE / 16,
        B_AT / 16,
    )
}

fn names(prefix: &str, count: usize) -> String {
    let names: Vec<String> = (0..count).map(|i| format!("{prefix}{i}")).collect();
    names.join(", ")
}

/// Sets `%f0..` to 1, makes one product, stores the sums register by register.
fn product(instruction: &str, count: usize, kind: &str) -> String {
    let (prefix, one) = if kind == "f32" { ("%f", "0x3f800000") } else { ("%r1", "0x3c003c00") };
    let mut body = String::new();
    (0..count).for_each(|i| body += &format!("mov.b32 {prefix}{i}, {one}; "));
    body += &format!(
        "wgmma.fence.sync.aligned;\n{instruction}\nwgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;\n"
    );
    (0..count).for_each(|i| body += &format!("st.global.b32 [%rd3 + {}], {prefix}{i}; ", 512 * i));
    body
}

fn integer(row: usize, column: usize) -> i32 {
    ((row * 7 + column * 5 + row * column) % 13) as i32 - 6
}

fn bf16(x: i32) -> u16 {
    ((x as f32).to_bits() >> 16) as u16
}

fn f16(x: i32) -> u16 {
    let bits = (x as f32).to_bits();
    if x == 0 {
        0
    } else {
        ((bits >> 16 & 0x8000) | ((bits >> 23 & 255) - 112) << 10 | (bits >> 13 & 0x3ff)) as u16
    }
}

/// Row and column of a lane's sum (manual: "WGMMA .m64nNk16 register fragment layout for accumulator matrix D").
fn place(thread: usize, i: usize) -> (usize, usize) {
    let (warp, g, t) = (thread / 32, thread % 32 / 4, thread % 4);
    (16 * warp + g + 8 * (i / 2 % 2), 8 * (i / 4) + 2 * t + i % 2)
}

fn expected(row: usize, column: usize, depth: usize) -> i32 {
    (0..depth).map(|k| integer(row, k) * integer(k + 3, column)).sum()
}

fn layouts() -> [(Layout, Layout); 4] {
    // Along the depth: rows in blocks of eight, `stride` apart; without swizzle the halves are `leading` apart.
    // Across: without swizzle `stride` from chunk to chunk and `leading` between the halves of the depth, else the
    // other way round.
    [
        (
            Layout { mode: 0, leading: 2048, stride: 128 },
            Layout { mode: 0, leading: 128, stride: 256 },
        ),
        (
            Layout { mode: 1, leading: 16, stride: 1024 },
            Layout { mode: 1, leading: 2048, stride: 1024 },
        ),
        (
            Layout { mode: 2, leading: 16, stride: 512 },
            Layout { mode: 2, leading: 1024, stride: 512 },
        ),
        (
            Layout { mode: 3, leading: 16, stride: 256 },
            Layout { mode: 3, leading: 512, stride: 256 },
        ),
    ]
}

fn memory_words(memory: &[u8]) -> Vec<u32> {
    memory.chunks(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

#[test]
fn operands_lie_as_their_descriptors_say() {
    for columns in [8, 24, 64] {
        for (along, across) in layouts() {
            for (trans_a, trans_b) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                let mut memory = vec![0; TILE];
                let (a, b) = ([along, across][trans_a], [along, across][trans_b]);
                match trans_a {
                    0 => fill(
                        &mut memory,
                        0,
                        |l, c| a.along(l, c),
                        64,
                        2,
                        |row, k| bf16(integer(row, k)),
                    ),
                    _ => fill(
                        &mut memory,
                        0,
                        |l, c| a.across(l, c),
                        16,
                        8,
                        |k, row| bf16(integer(row, k)),
                    ),
                }
                match trans_b {
                    0 => fill(
                        &mut memory,
                        B_AT,
                        |l, c| b.along(l, c),
                        columns,
                        2,
                        |n, k| bf16(integer(k + 3, n)),
                    ),
                    _ => fill(
                        &mut memory,
                        B_AT,
                        |l, c| b.across(l, c),
                        16,
                        columns / 8,
                        |k, n| bf16(integer(k + 3, n)),
                    ),
                }
                let count = columns / 2;
                let instruction = format!(
                    "wgmma.mma_async.sync.aligned.m64n{columns}k16.f32.bf16.bf16 {{{}}}, %rd20, %rd21, %p2, 1, 1, {trans_a}, {trans_b};",
                    names("%f", count)
                );
                let mut bench =
                    Bench::new(&text(a.bits(), b.bits(), &product(&instruction, count, "f32")));
                bench.options.adversarial = (trans_a == trans_b).then_some(1);
                bench.options.races = columns == 8;
                let out = bench.unset(128 * count);
                let profile = bench.passes(128, [bench.words(&memory_words(&memory)), out, 0]);
                assert_eq!(
                    profile.tensor_operations.iter().sum::<u64>(),
                    2 * 64 * 16 * columns as u64
                );
                for (index, word) in bench.read(out, 128 * count).into_iter().enumerate() {
                    let (row, column) = place(index % 128, index / 128);
                    let sum = (expected(row, column, 16) + 1) as f32;
                    assert_eq!(
                        f32::from_bits(word),
                        sum,
                        "{a:?} {trans_a} {b:?} {trans_b} at {row} {column}"
                    );
                }
            }
        }
    }
}

#[test]
fn signs_and_scale_and_halves() {
    let (layout, _) = layouts()[1];
    let mut memory = vec![0; TILE];
    fill(&mut memory, 0, |l, c| layout.along(l, c), 64, 2, |row, k| f16(integer(row, k)));
    fill(&mut memory, B_AT, |l, c| layout.along(l, c), 16, 2, |n, k| f16(integer(k + 3, n)));
    for (keep, sign_a, sign_b) in
        [("%p2", 1, 1), ("!%p2", 1, 1), ("%p2", -1, 1), ("0", 1, -1), ("1", -1, -1)]
    {
        let scale = if keep == "%p2" || keep == "1" { 1 } else { 0 };
        let whole = format!(
            "wgmma.mma_async.sync.aligned.m64n16k16.f32.f16.f16 {{{}}}, %rd20, %rd21, {keep}, {sign_a}, {sign_b}, 0, 0;",
            names("%f", 8)
        );
        let half = format!(
            "wgmma.mma_async.sync.aligned.m64n16k16.f16.f16.f16 {{{}}}, %rd20, %rd21, {keep}, {sign_a}, {sign_b}, 0, 0;",
            names("%r1", 4)
        );
        let value = |row, column| sign_a * sign_b * expected(row, column, 16) + scale;
        let bench = Bench::new(&text(layout.bits(), layout.bits(), &product(&whole, 8, "f32")));
        let out = bench.unset(1024);
        bench.passes(128, [bench.words(&memory_words(&memory)), out, 0]);
        for (index, word) in bench.read(out, 1024).into_iter().enumerate() {
            let (row, column) = place(index % 128, index / 128);
            assert_eq!(f32::from_bits(word), value(row, column) as f32, "{whole} {row} {column}");
        }
        let bench = Bench::new(&text(layout.bits(), layout.bits(), &product(&half, 4, "f16")));
        let out = bench.unset(512);
        bench.passes(128, [bench.words(&memory_words(&memory)), out, 0]);
        for (index, word) in bench.read(out, 512).into_iter().enumerate() {
            for i in 0..2 {
                let (row, column) = place(index % 128, index / 128 * 2 + i);
                assert_eq!(
                    (word >> (16 * i)) as u16,
                    f16(value(row, column)),
                    "{half} {row} {column}"
                );
            }
        }
    }
}

#[test]
fn left_operands_may_lie_in_registers() {
    let (layout, _) = layouts()[1];
    let mut memory = vec![0; TILE];
    fill(&mut memory, B_AT, |l, c| layout.along(l, c), 8, 2, |n, k| bf16(integer(k + 3, n)));
    let instruction = format!(
        "ld.global.u32 %r20, [%rd5]; ld.global.u32 %r21, [%rd5 + 512]; ld.global.u32 %r22, [%rd5 + 1024]; ld.global.u32 %r23, [%rd5 + 1536];
        wgmma.fence.sync.aligned; wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {{{}}}, {{%r20, %r21, %r22, %r23}}, %rd21, %p2, 1, 1, 0;",
        names("%f", 4)
    );
    let mut left = vec![0; 512];
    for thread in 0..128 {
        for i in 0..8 {
            // Manual: "WGMMA .m64nNk16 register fragment layout for matrix A".
            let row = 16 * (thread / 32) + thread % 32 / 4 + 8 * (i / 2 % 2);
            let k = 2 * (thread % 4) + i % 2 + 8 * (i / 4);
            left[i / 2 * 128 + thread] |= u32::from(bf16(integer(row, k))) << (16 * (i % 2));
        }
    }
    for seed in [None, Some(1)] {
        let mut bench = Bench::new(&text(0, layout.bits(), &product(&instruction, 4, "f32")));
        bench.options.adversarial = seed;
        let out = bench.unset(512);
        bench.passes(128, [bench.words(&memory_words(&memory)), out, bench.words(&left)]);
        for (index, word) in bench.read(out, 512).into_iter().enumerate() {
            let (row, column) = place(index % 128, index / 128);
            assert_eq!(
                f32::from_bits(word),
                (expected(row, column, 16) + 1) as f32,
                "{row} {column}"
            );
        }
    }
}

#[test]
fn tf32_goes_eight_deep() {
    let (layout, _) = layouts()[3];
    let mut memory = vec![0; TILE];
    let put =
        |memory: &mut [u8], base: usize, lines: usize, value: &dyn Fn(usize, usize) -> i32| {
            for line in 0..lines {
                for k in 0..8 {
                    // The lowest bits do not count.
                    let bits = (value(line, k) as f32).to_bits()
                        | (0x1fff * u32::from(value(line, k) != 0));
                    let at = base + layout.along(line, k / 4) + k % 4 * 4;
                    memory[at..at + 4].copy_from_slice(&bits.to_le_bytes());
                }
            }
        };
    put(&mut memory, 0, 64, &integer);
    put(&mut memory, B_AT, 32, &|n, k| integer(k + 3, n));
    let instruction = format!(
        "wgmma.mma_async.sync.aligned.m64n32k8.f32.tf32.tf32 {{{}}}, %rd20, %rd21, %p2, 1, 1;",
        names("%f", 16)
    );
    let bench = Bench::new(&text(layout.bits(), layout.bits(), &product(&instruction, 16, "f32")));
    let out = bench.unset(128 * 16);
    bench.passes(128, [bench.words(&memory_words(&memory)), out, 0]);
    for (index, word) in bench.read(out, 128 * 16).into_iter().enumerate() {
        let (row, column) = place(index % 128, index / 128);
        assert_eq!(f32::from_bits(word), (expected(row, column, 8) + 1) as f32, "{row} {column}");
    }
}

/// A product of random memory (finite numbers) with one line of the text changed.
fn with(from: &str, to: &str) -> Result<Vec<u32>, Rule> {
    let (layout, _) = layouts()[1];
    let memory: Vec<u32> =
        random(&mut Random::new(51), TILE / 4).iter().map(|x| x & 0xbfff_bfff).collect();
    let mma = format!(
        "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {{{}}}, %rd20, %rd21, %p2, 1, 1, 0, 0;",
        names("%f", 4)
    );
    let body = text(layout.bits(), layout.bits(), &product(&mma, 4, "f32"));
    assert!(body.contains(from), "{from}");
    let bench = Bench::new(&body.replace(from, to)).adversarial(1);
    let out = bench.unset(512);
    bench
        .run(128, [bench.words(&memory), out, 0])
        .map(|_| bench.read(out, 512))
        .map_err(|fault| fault.rule)
}

const COMMIT: &str = "wgmma.commit_group.sync.aligned;\n";
const WAIT: &str = "wgmma.wait_group.sync.aligned 0;\n";

#[test]
fn waits_and_fences_left_out_are_found() {
    let good = with("bar.sync 0;", "bar.sync 0;").expect("no fault");
    let nan = |words: Vec<u32>| words.iter().all(|w| f32::from_bits(*w).is_nan());
    assert!(!nan(good.clone()));
    // Sums that were not waited for are NaN.
    assert!(nan(with(WAIT, "").expect("no fault")));
    assert!(nan(with(WAIT, "wgmma.wait_group.sync.aligned 1;").expect("no fault")));
    assert!(nan(with(COMMIT, "").expect("no fault")));
    assert_eq!(with("wgmma.fence.sync.aligned;", ""), Err(Rule::Asynchronous));
    assert_eq!(
        with("wgmma.fence.sync.aligned;", "wgmma.fence.sync.aligned; mov.f32 %f1, 0f00000000;"),
        Err(Rule::Asynchronous)
    );
    assert_eq!(with("fence.proxy.async.shared::cta;", ""), Err(Rule::Asynchronous));
    assert_eq!(with("bar.sync 0;", ""), Err(Rule::Unwritten));
    assert_eq!(with(WAIT, &format!("mov.f32 %f1, 0f00000000; {WAIT}")), Err(Rule::Asynchronous));
    assert_eq!(with(WAIT, &format!("st.shared.u32 [%r101], %lane; {WAIT}")), Err(Rule::Race));
    assert_eq!(with(WAIT, &format!("{WAIT} mov.f32 %f1, %f1;")), Ok(good));
}

#[test]
fn products_chain_on_the_same_sums() {
    let (layout, _) = layouts()[1];
    let mut memory = vec![0; TILE];
    fill(&mut memory, 0, |l, c| layout.along(l, c), 64, 2, |row, k| bf16(integer(row, k)));
    fill(&mut memory, B_AT, |l, c| layout.along(l, c), 8, 2, |n, k| bf16(integer(k + 3, n)));
    let mma = format!(
        "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {{{}}}, %rd20, %rd21, %p2, 1, 1, 0, 0;",
        names("%f", 4)
    );
    let twice =
        format!("{mma} {mma} {COMMIT} {mma} {COMMIT} wgmma.wait_group.sync.aligned 1; {mma}");
    for seed in [None, Some(1)] {
        let mut bench = Bench::new(&text(layout.bits(), layout.bits(), &product(&twice, 4, "f32")));
        bench.options.adversarial = seed;
        let out = bench.unset(512);
        bench.passes(128, [bench.words(&memory_words(&memory)), out, 0]);
        for (index, word) in bench.read(out, 512).into_iter().enumerate() {
            let (row, column) = place(index % 128, index / 128);
            assert_eq!(f32::from_bits(word), (4 * expected(row, column, 16) + 1) as f32);
        }
    }
}

#[test]
fn bad_descriptors_are_reported() {
    assert_eq!(
        with("or.b64 %rd20, %rd20,", "or.b64 %rd20, %rd20, 0x2000000000000; or.b64 %rd20, %rd20,"),
        Err(Rule::Asynchronous)
    );
    assert_eq!(
        with("or.b64 %rd20, %rd20,", "mov.u64 %rd20, 0x3fff; or.b64 %rd20, %rd20,"),
        Err(Rule::OutOfBounds)
    );
    assert_eq!(
        with("or.b64 %rd20, %rd20,", "cvt.u64.u32 %rd20, %lane; or.b64 %rd20, %rd20,"),
        Err(Rule::Asynchronous)
    );
}

#[test]
fn settings_are_checked_and_do_nothing() {
    let bench = Bench::new(
        "setmaxnreg.dec.sync.aligned.u32 40; setmaxnreg.inc.sync.aligned.u32 232; griddepcontrol.wait; griddepcontrol.launch_dependents;",
    );
    bench.passes(128, [0; 3]);
    for text in [
        "setmaxnreg.dec.sync.aligned.u32 41;",
        "setmaxnreg.inc.sync.aligned.u32 264;",
        "griddepcontrol.stop;",
        "wgmma.mma_async.sync.aligned.m64n12k16.f32.bf16.bf16 {%f0, %f1, %f2, %f3, %f4, %f5}, %rd20, %rd21, %p2, 1, 1, 0, 0;",
        "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f0, %f1, %f2, %f3}, %rd20, %rd21, %p2, 1, 2, 0, 0;",
        "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f0, %f1, %f2, %f3}, %rd20, %rd21, %p2, 1, 1, 0;",
        "wgmma.mma_async.sync.aligned.m64n8k32.s32.s8.s4 {%r0, %r1, %r2, %r3}, %rd20, %rd21, %p2;",
        "wgmma.fence.aligned;",
    ] {
        let error = refused(text);
        assert!(text.starts_with(error.text.split('.').next().unwrap_or("?")), "{error}");
    }
}
