//! Bulk copies of bytes in a row, in both directions.

use crate::bench::{Bench, random, refused};
use ptx_vm::error::Rule;
use ptx_vm::random::Random;

/// An mbarrier for one arrival at `tile + 32768`, address in `%r100`; thread 0 has `%p15`.
const INIT: &str = "mov.u32 %r100, tile; add.u32 %r100, %r100, 32768; setp.eq.u32 %p15, %lane, 0; mov.u32 %r101, tile;
    @%p15 mbarrier.init.shared::cta.b64 [%r100], 1; bar.sync 0;\n";
const EXPECT: &str = "@%p15 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r100], 512;\n";
const COPY: &str = "@%p15 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r101], [%rd0], 512, [%r100];\n";
const WAIT: &str =
    "W: mbarrier.try_wait.parity.shared::cta.b64 %p14, [%r100], 0, 1000; @!%p14 bra W;\n";
/// Each thread reads its word of the tile.
const READ: &str =
    "mad.lo.u32 %r0, %lane, 4, %r101; ld.shared.u32 %r1, [%r0]; st.global.u32 [%rd3], %r1;\n";

fn seeds() -> impl Iterator<Item = Option<u64>> {
    [None].into_iter().chain((0..8).map(Some))
}

#[test]
fn bytes_arrive_with_the_phase() {
    let input = random(&mut Random::new(41), 128);
    for seed in seeds() {
        let mut bench = Bench::new(&format!("{INIT}{EXPECT}{COPY}{WAIT}{READ}"));
        bench.options.adversarial = seed;
        let out = bench.unset(128);
        let profile = bench.passes(128, [bench.words(&input), out, 0]);
        assert_eq!(bench.read(out, 128), input);
        assert!(profile.total() > 0);
    }
}

/// The destination as `.shared::cta`, a policy for the cache, a number of bytes in a register, and what only fetches.
#[test]
fn other_forms_of_the_copy() {
    let input = random(&mut Random::new(44), 128);
    for form in [
        COPY.replace("shared::cluster", "shared::cta"),
        COPY.replace("512, [%r100]", "%r5, [%r100]")
            .replace("@%p15 cp", "mov.u32 %r5, 512; @%p15 cp"),
        COPY.replace("tx::bytes", "tx::bytes.L2::cache_hint")
            .replace("[%r100];", "[%r100], %rd20;"),
        format!("cp.async.bulk.prefetch.L2.global [%rd0], 512; {COPY}"),
    ] {
        let bench = Bench::new(&format!("mov.u64 %rd20, 0; {INIT}{EXPECT}{form}{WAIT}{READ}"));
        let out = bench.unset(128);
        bench.passes(128, [bench.words(&input), out, 0]);
        assert_eq!(bench.read(out, 128), input, "{form}");
    }
}

#[test]
fn a_wait_too_few_is_found() {
    let input = random(&mut Random::new(42), 128);
    let mut pending = 0;
    for seed in seeds() {
        let mut bench = Bench::new(&format!("{INIT}{EXPECT}{COPY}{READ}"));
        bench.options.adversarial = seed;
        bench.options.races = false;
        let fault =
            bench.run(128, [bench.words(&input), bench.unset(128), 0]).expect_err("a fault");
        // A warp that reads before the copy has even begun finds bytes that nobody wrote.
        match fault.rule {
            Rule::Asynchronous => pending += 1,
            rule => assert_eq!(rule, Rule::Unwritten, "{fault}"),
        }
    }
    assert!(pending > 0);
}

#[test]
fn bytes_that_do_not_add_up_are_found() {
    let input = random(&mut Random::new(43), 256);
    // Fewer bytes come than were announced.
    let more = EXPECT.replace("512", "528");
    let bench = Bench::new(&format!("{INIT}{more}{COPY}{WAIT}{READ}"));
    let fault = bench.breaks(128, [bench.words(&input), bench.unset(128), 0], Rule::Deadlock);
    assert!(fault.message.contains("16 bytes"), "{fault}");
    // More come: the phase ends before the second copy has.
    let second = COPY.replace("[%r101], [%rd0]", "[%r101 + 512], [%rd0 + 512]");
    let read = READ.replace("[%r0]", "[%r0 + 512]");
    let bench = Bench::new(&format!("{INIT}{EXPECT}{COPY}{second}{WAIT}{read}"));
    bench.breaks(128, [bench.words(&input), bench.unset(128), 0], Rule::Asynchronous);
}

#[test]
fn bad_copies_are_reported_where_they_start() {
    let input = random(&mut Random::new(44), 128);
    for (from, to, rule) in [
        ("512", "520", Rule::Asynchronous),
        ("[%rd0]", "[%rd0 + 8]", Rule::Asynchronous),
        ("[%r101]", "[%r101 + 8]", Rule::Asynchronous),
        ("[%rd0]", "[%rd0 + 16]", Rule::OutOfBounds),
        ("[%r101]", "[%r101 + 65536]", Rule::OutOfBounds),
        ("[%rd0]", "[%rd2]", Rule::Unwritten),
        ("[%r100]", "[%r100 + 8]", Rule::Unwritten),
    ] {
        let bench = Bench::new(&format!("{INIT}{}{WAIT}", COPY.replace(from, to)));
        let fault = bench.breaks(32, [bench.words(&input), bench.unset(128), 0], rule);
        assert!(fault.text.contains("cp.async.bulk"), "{fault}");
    }
}

#[test]
fn a_source_changed_too_early_is_found() {
    let input = random(&mut Random::new(45), 128);
    let change = "@%p15 st.global.u32 [%rd0], %r100;\n";
    let early = Bench::new(&format!("{INIT}{EXPECT}{COPY}{change}{WAIT}{READ}")).adversarial(1);
    early.breaks(128, [early.words(&input), early.unset(128), 0], Rule::Asynchronous);
    let late = Bench::new(&format!("{INIT}{EXPECT}{COPY}{WAIT}{change}")).adversarial(1);
    late.passes(128, [late.words(&input), late.unset(128), 0]);
}

/// Each thread stores its word, all meet, thread 0 copies them out.
const FILL: &str = "mov.u32 %r101, tile; setp.eq.u32 %p15, %lane, 0; mad.lo.u32 %r0, %lane, 4, %r101; add.u32 %r1, %lane, 7;
    st.shared.u32 [%r0], %r1;\n";
const FENCE: &str = "fence.proxy.async.shared::cta; bar.sync 0;\n";
const OUT: &str = "@%p15 cp.async.bulk.global.shared::cta.bulk_group [%rd0], [%r101], 512;\n";
const COMMIT: &str = "@%p15 cp.async.bulk.commit_group;\n";
const DONE: &str = "@%p15 cp.async.bulk.wait_group 0;\n";

#[test]
fn bytes_go_out_in_groups() {
    for wait in [DONE, "@%p15 cp.async.bulk.wait_group.read 0;\n"] {
        for seed in seeds() {
            let mut bench = Bench::new(&format!("{FILL}{FENCE}{OUT}{COMMIT}{wait}"));
            bench.options.adversarial = seed;
            let out = bench.unset(128);
            bench.passes(128, [out, 0, 0]);
            assert_eq!(bench.read(out, 128), (7..135).collect::<Vec<u32>>());
        }
    }
}

#[test]
fn a_group_is_waited_for() {
    for text in [
        format!("{FILL}{FENCE}{OUT}{COMMIT}"),
        format!("{FILL}{FENCE}{OUT}{DONE}"),
        format!("{FILL}{FENCE}{OUT}{COMMIT}{}", DONE.replace(" 0;", " 1;")),
    ] {
        let bench = Bench::new(&text);
        let fault = bench.breaks(128, [bench.unset(128), 0, 0], Rule::Asynchronous);
        assert!(fault.message.contains("wait_group is missing"), "{fault}");
    }
}

#[test]
fn shared_memory_stays_until_it_is_read() {
    let change = "@%p15 st.shared.u32 [%r101 + 4], %r100;\n";
    let bench = Bench::new(&format!("mov.u32 %r100, 0; {FILL}{FENCE}{OUT}{COMMIT}{change}{DONE}"));
    bench.breaks(128, [bench.unset(128), 0, 0], Rule::Asynchronous);
    let read = "@%p15 cp.async.bulk.wait_group.read 0;\n";
    let bench = Bench::new(&format!("mov.u32 %r100, 0; {FILL}{FENCE}{OUT}{COMMIT}{read}{change}"));
    bench.passes(128, [bench.unset(128), 0, 0]);
}

#[test]
fn global_memory_is_written_at_the_wait() {
    let look = "@%p15 ld.global.u32 %r2, [%rd0];\n";
    let early = Bench::new(&format!("{FILL}{FENCE}{OUT}{COMMIT}{look}{DONE}")).adversarial(1);
    early.breaks(128, [early.unset(128), 0, 0], Rule::Unwritten);
    let late = Bench::new(&format!("{FILL}{FENCE}{OUT}{COMMIT}{DONE}{look}")).adversarial(1);
    late.passes(128, [late.unset(128), 0, 0]);
}

#[test]
fn stores_need_a_proxy_fence_before_the_copy() {
    let bench = Bench::new(&format!("{FILL} bar.sync 0;\n{OUT}{COMMIT}{DONE}"));
    let fault = bench.breaks(128, [bench.unset(128), 0, 0], Rule::Asynchronous);
    assert!(fault.message.contains("fence.proxy.async"), "{fault}");
    // The fence of the other proxy's space is no help.
    let other = FENCE.replace("shared::cta", "global");
    let bench = Bench::new(&format!("{FILL}{other}{OUT}{COMMIT}{DONE}"));
    bench.breaks(128, [bench.unset(128), 0, 0], Rule::Asynchronous);
}

#[test]
fn reductions_add_to_what_is_there() {
    for (operation, expected) in [
        ("add.u32", |i: u32| (i + 7).wrapping_add(i ^ 77)),
        ("add.s32", |i: u32| (i + 7).wrapping_add(i ^ 77)),
        ("min.u32", |i: u32| (i + 7).min(i ^ 77)),
        ("min.s32", |i: u32| (i + 7).min(i ^ 77)),
        ("max.u32", |i: u32| (i + 7).max(i ^ 77)),
        ("max.s32", |i: u32| (i + 7).max(i ^ 77)),
        ("inc.u32", |i: u32| if i ^ 77 >= i + 7 { 0 } else { (i ^ 77) + 1 }),
        ("dec.u32", |i: u32| if i ^ 77 == 0 || i ^ 77 > i + 7 { i + 7 } else { (i ^ 77) - 1 }),
        ("and.b32", |i: u32| (i + 7) & (i ^ 77)),
        ("or.b32", |i: u32| (i + 7) | (i ^ 77)),
        ("xor.b32", |i: u32| (i + 7) ^ (i ^ 77)),
    ] as [(&str, fn(u32) -> u32); 11]
    {
        for seed in [None, Some(3)] {
            let reduce = OUT.replace(
                "cp.async.bulk.global.shared::cta.bulk_group",
                &format!("cp.reduce.async.bulk.global.shared::cta.bulk_group.{operation}"),
            );
            let mut bench = Bench::new(&format!("{FILL}{FENCE}{reduce}{COMMIT}{DONE}"));
            bench.options.adversarial = seed;
            let out = bench.words(&(0..128).map(|i| i ^ 77).collect::<Vec<u32>>());
            bench.passes(128, [out, 0, 0]);
            assert_eq!(
                bench.read(out, 128),
                (0..128).map(expected).collect::<Vec<u32>>(),
                "{operation}"
            );
        }
    }
    // Numbers of 64 bits, and floats: every word pair gets the same.
    let wide = |x: u64| [x as u32, (x >> 32) as u32];
    for (operation, new, old, result) in [
        ("add.u64", 0xffff_ffff, 1, 1 << 32),
        ("add.s64", u64::MAX, 5, 4),
        ("min.u64", 1 << 40, 7, 7),
        ("min.s64", u64::MAX, 7, u64::MAX),
        ("max.u64", u64::MAX, 7, u64::MAX),
        ("max.s64", u64::MAX, 7, 7),
        ("and.b64", 0xf0f0 << 40, 0xff << 44, 0xf0f0 << 40 & 0xff << 44),
        ("or.b64", 1 << 63, 1, 1 << 63 | 1),
        ("xor.b64", 3 << 40, 1 << 40, 2 << 40),
        ("add.f64", 1.5f64.to_bits(), 2f64.to_bits(), 3.5f64.to_bits()),
        ("add.f32", 0x3fc0_0000_3fc0_0000, 0x4000_0000_4000_0000, 0x4060_0000_4060_0000),
    ] {
        let [low, high] = wide(new);
        let text = format!(
            "mov.u32 %r101, tile; mov.u32 %r1, {low}; mov.u32 %r2, {high}; mad.lo.u32 %r0, %lane, 8, %r101; st.shared.v2.u32 [%r0], {{%r1, %r2}}; setp.eq.u32 %p15, %lane, 0; {FENCE}
            @%p15 cp.reduce.async.bulk.global.shared::cta.bulk_group.{operation} [%rd0], [%r101], 256; {COMMIT}{DONE}"
        );
        let bench = Bench::new(&text);
        let out = bench.words(&wide(old).repeat(32));
        bench.passes(32, [out, 0, 0]);
        assert_eq!(bench.read(out, 64), wide(result).repeat(32), "{operation}");
    }
    // Halves: 1.5 and 2 in both.
    for (operation, one, two, result) in [
        ("add.noftz.f16", 0x3e00u32, 0x4000u32, 0x4300u32),
        ("add.noftz.bf16", 0x3fc0, 0x4000, 0x4060),
        ("min.f16", 0x3e00, 0x4000, 0x3e00),
        ("max.f16", 0x3e00, 0xc000, 0x3e00),
        ("min.bf16", 0x3fc0, 0xc000, 0xc000),
        ("max.bf16", 0x3fc0, 0x4000, 0x4000),
    ] {
        let text = format!(
            "mov.u32 %r101, tile; mov.u32 %r1, {}; mad.lo.u32 %r0, %lane, 4, %r101; st.shared.u32 [%r0], %r1; setp.eq.u32 %p15, %lane, 0; {FENCE}
            @%p15 cp.reduce.async.bulk.global.shared::cta.bulk_group.{operation} [%rd0], [%r101], 128; {COMMIT}{DONE}",
            one << 16 | one
        );
        let bench = Bench::new(&text);
        let out = bench.words(&[two << 16 | two; 32]);
        bench.passes(32, [out, 0, 0]);
        assert_eq!(bench.read(out, 32), vec![result << 16 | result; 32], "{operation}");
    }
}

#[test]
fn unknown_copies_do_not_load() {
    for text in [
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%r1], [%rd0], 16, [%r2], %h1;",
        "cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes [%r1], [%r3], 16, [%r2];",
        "cp.async.bulk.tensor.6d.global.shared::cta.bulk_group [%rd0, {%r1}], [%r2];",
        "cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%rd0, {%r1}], [%r2];",
        "cp.async.bulk.tensor.3d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes [%r1], [%rd0, {%r1, %r2, %r3}], [%r2], {%h1};",
        "cp.reduce.async.bulk.global.shared::cta.bulk_group.mul.f32 [%rd0], [%r1], 16;",
        "cp.async.bulk.wait_group %r1;",
    ] {
        assert!(refused(text).text.contains("cp."), "{text}");
    }
}
