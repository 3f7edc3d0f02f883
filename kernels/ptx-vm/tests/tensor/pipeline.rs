//! A product fed by tensor copies through a ring of two stages: right as it is, found out with any part of its
//! synchronisation removed.

use crate::bench::Bench;
use ptx_vm::error::Rule;
use ptx_vm::tensor_map::{ElementType, Interleave, MOST_DIMENSIONS, Outside, Swizzle, TensorMap};

/// Depth of the product, in steps of 64.
const STEPS: usize = 5;

/// Warps 0 to 3 multiply, thread 128 brings tiles: 64 x 64 of A and 16 x 64 of B a step, 10240 bytes a stage. `full` lies at
/// `tile + 61440` and `+ 8`, `empty` 16 bytes further. The maps are in the first and second buffers, sums go to the third.
const TEXT: &str = "mov.u32 %r100, tile; add.u32 %r101, %r100, 61440;
setp.eq.u32 %p15, %lane, 0;
@%p15 mbarrier.init.shared::cta.b64 [%r101], 1;
@%p15 mbarrier.init.shared::cta.b64 [%r101 + 8], 1;
@%p15 mbarrier.init.shared::cta.b64 [%r101 + 16], 128;
@%p15 mbarrier.init.shared::cta.b64 [%r101 + 24], 128;
@%p15 fence.mbarrier_init.release.cluster;
bar.sync 0;
mov.u32 %r1, 0;
setp.ge.u32 %p1, %lane, 128;
@%p1 bra PRODUCER;
mov.f32 %f0, 0f00000000; mov.f32 %f1, %f0; mov.f32 %f2, %f0; mov.f32 %f3, %f0; mov.f32 %f4, %f0; mov.f32 %f5, %f0; mov.f32 %f6, %f0; mov.f32 %f7, %f0;
setp.eq.u32 %p4, %r100, %r100;
CONSUME:
and.b32 %r2, %r1, 1; shr.u32 %r3, %r1, 1; and.b32 %r3, %r3, 1; mad.lo.u32 %r4, %r2, 8, %r101;
FULL: mbarrier.try_wait.parity.shared::cta.b64 %p2, [%r4], %r3; @!%p2 bra FULL;
mad.lo.u32 %r5, %r2, 10240, %r100; shr.u32 %r5, %r5, 4; cvt.u64.u32 %rd10, %r5; or.b64 %rd10, %rd10, 0x4000004000010000; add.u64 %rd11, %rd10, 512;
wgmma.fence.sync.aligned;
mov.u32 %r6, 0;
DEEP: wgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {%f0, %f1, %f2, %f3, %f4, %f5, %f6, %f7}, %rd10, %rd11, %p4, 1, 1, 0, 0;
add.u64 %rd10, %rd10, 2; add.u64 %rd11, %rd11, 2; add.u32 %r6, %r6, 1; setp.lt.u32 %p3, %r6, 4; @%p3 bra DEEP;
wgmma.commit_group.sync.aligned;
wgmma.wait_group.sync.aligned 0;
mbarrier.arrive.shared::cta.b64 _, [%r4 + 16];
add.u32 %r1, %r1, 1; setp.lt.u32 %p3, %r1, STEPS; @%p3 bra CONSUME;
st.global.f32 [%rd5], %f0; st.global.f32 [%rd5 + 512], %f1; st.global.f32 [%rd5 + 1024], %f2; st.global.f32 [%rd5 + 1536], %f3;
st.global.f32 [%rd5 + 2048], %f4; st.global.f32 [%rd5 + 2560], %f5; st.global.f32 [%rd5 + 3072], %f6; st.global.f32 [%rd5 + 3584], %f7;
bra END;
PRODUCER:
setp.ne.u32 %p1, %lane, 128; @%p1 bra END;
PRODUCE:
and.b32 %r2, %r1, 1; shr.u32 %r3, %r1, 1; and.b32 %r3, %r3, 1; xor.b32 %r3, %r3, 1; mad.lo.u32 %r4, %r2, 8, %r101;
EMPTY: mbarrier.try_wait.parity.shared::cta.b64 %p2, [%r4 + 16], %r3; @!%p2 bra EMPTY;
mad.lo.u32 %r5, %r2, 10240, %r100; add.u32 %r6, %r5, 8192; shl.b32 %r7, %r1, 6; mov.u32 %r8, 0;
mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r4], 10240;
cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r5], [%rd0, {%r7, %r8}], [%r4];
cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r6], [%rd2, {%r7, %r8}], [%r4];
add.u32 %r1, %r1, 1; setp.lt.u32 %p3, %r1, STEPS; @%p3 bra PRODUCE;
END:";

fn integer(row: usize, k: usize) -> i32 {
    ((row * 3 + k * 7 + row * k) % 11) as i32 - 5
}

/// Rows of `STEPS * 64` bf16, and their map.
fn matrix(bench: &Bench, rows: usize, shift: usize) -> u64 {
    let depth = STEPS * 64;
    let bits = |row: usize, k: usize| (integer(row + shift, k) as f32).to_bits() >> 16;
    let words: Vec<u32> = (0..rows * depth / 2)
        .map(|i| (2 * i / depth, 2 * i % depth))
        .map(|(row, k)| bits(row, k) | bits(row, k + 1) << 16)
        .collect();
    let mut map = TensorMap {
        element: ElementType::Bf16,
        rank: 2,
        address: bench.words(&words),
        dimensions: [1; MOST_DIMENSIONS],
        strides: [0; MOST_DIMENSIONS],
        box_dimensions: [1; MOST_DIMENSIONS],
        element_strides: [1; MOST_DIMENSIONS],
        interleave: Interleave::None,
        swizzle: Swizzle::Bytes128,
        cache_bytes: 128,
        outside: Outside::Zero,
    };
    (map.dimensions[0], map.dimensions[1]) = (depth as u64, rows as u64);
    (map.strides[0], map.strides[1]) = (2, 2 * depth as u64);
    (map.box_dimensions[0], map.box_dimensions[1]) = (64, rows as u32);
    let map: Vec<u32> =
        map.encode().chunks(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    bench.words(&map)
}

/// Runs a text: whether its sums are right, or the rule it broke.
fn outcome(text: &str, seed: Option<u64>, races: bool) -> Result<bool, Rule> {
    let mut bench = Bench::new(&text.replace("STEPS", &STEPS.to_string()));
    bench.options.adversarial = seed;
    bench.options.races = races;
    let out = bench.unset(128 * 8);
    let arguments = [matrix(&bench, 64, 0), matrix(&bench, 16, 100), out];
    bench.run(160, arguments).map_err(|fault| fault.rule)?;
    let right = bench.read(out, 128 * 8).into_iter().enumerate().all(|(index, word)| {
        let (thread, i) = (index % 128, index / 128);
        let row = 16 * (thread / 32) + thread % 32 / 4 + 8 * (i / 2 % 2);
        let column = 8 * (i / 4) + 2 * (thread % 4) + i % 2;
        let sum: i32 = (0..STEPS * 64).map(|k| integer(row, k) * integer(column + 100, k)).sum();
        f32::from_bits(word) == sum as f32
    });
    Ok(right)
}

#[test]
fn it_is_right_in_every_order() {
    assert_eq!(outcome(TEXT, None, true), Ok(true));
    for seed in 0..40 {
        assert_eq!(outcome(TEXT, Some(seed), seed % 4 == 0), Ok(true), "seed {seed}");
    }
}

#[test]
fn no_part_of_its_synchronisation_can_go() {
    for line in [
        "FULL: mbarrier.try_wait.parity.shared::cta.b64 %p2, [%r4], %r3; @!%p2 bra FULL;",
        "EMPTY: mbarrier.try_wait.parity.shared::cta.b64 %p2, [%r4 + 16], %r3; @!%p2 bra EMPTY;",
        "mbarrier.arrive.shared::cta.b64 _, [%r4 + 16];",
        "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r4], 10240;",
        "wgmma.fence.sync.aligned;",
        "wgmma.commit_group.sync.aligned;",
        "wgmma.wait_group.sync.aligned 0;",
        "bar.sync 0;",
        "@%p15 mbarrier.init.shared::cta.b64 [%r101 + 8], 1;",
    ] {
        assert_eq!(TEXT.matches(line).count(), 1, "{line}");
        let text = TEXT.replace(line, "");
        let found = (0..8).any(|seed| outcome(&text, Some(seed), false) != Ok(true));
        assert!(found, "nothing shows without {line}");
    }
}

/// One thread gives a stage back for its warpgroup, as CUTLASS does: the products of the other warps are over too.
#[test]
fn one_thread_may_give_a_stage_back() {
    let wait = "wgmma.wait_group.sync.aligned 0;";
    let arrive = "mbarrier.arrive.shared::cta.b64 _, [%r4 + 16];";
    let one = TEXT
        .replace("[%r101 + 16], 128;", "[%r101 + 16], 1;")
        .replace("[%r101 + 24], 128;", "[%r101 + 24], 1;")
        .replace(arrive, &format!("@%p15 {arrive}"));
    assert_eq!(outcome(&one, None, true), Ok(true));
    for seed in 0..40 {
        assert_eq!(outcome(&one, Some(seed), seed % 4 == 0), Ok(true), "seed {seed}");
    }
    // Before its wait it may not, and one group too few is no wait.
    let early = one
        .replace(wait, "")
        .replace(&format!("@%p15 {arrive}"), &format!("@%p15 {arrive} {wait}"));
    let short = one.replace(wait, "wgmma.wait_group.sync.aligned 1;");
    for text in [early, short] {
        assert!((0..8).any(|seed| outcome(&text, Some(seed), false) != Ok(true)), "{text}");
    }
    // A warp that never comes to the product keeps the others waiting.
    let absent = one.replace("CONSUME:", "setp.ge.u32 %p5, %lane, 96; @%p5 bra END; CONSUME:");
    assert_eq!(outcome(&absent, None, false), Err(Rule::Deadlock));
}

#[test]
fn a_store_into_the_stage_needs_a_proxy_fence() {
    // The consumers change a word of A that has arrived, then multiply.
    let change = "wgmma.fence.sync.aligned;";
    let store =
        "mad.lo.u32 %r9, %r2, 10240, %r100; ld.shared.u32 %r10, [%r9]; st.shared.u32 [%r9], %r10;";
    let text =
        TEXT.replace(change, &format!("{store} fence.proxy.async; bar.sync 1, 128; {change}"));
    // All 128 store the same word: a race, but no other fault.
    assert_eq!(outcome(&text, Some(1), false), Ok(true));
    let text = text.replace("fence.proxy.async;", "");
    assert_eq!(outcome(&text, Some(1), false), Err(Rule::Asynchronous));
}
