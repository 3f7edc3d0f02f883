//! Barriers of a block: all threads, some of them, named ones, those that only arrive, those that count.

use crate::bench::results;

/// The threads turn their words round in shared memory, 64 in a group if `barrier` says so.
fn turned(barrier: &str, group: u32, block: u32) {
    let statements = format!(
        ".shared .b32 words[256]; mov.u32 %r10, words; shl.b32 %r11, %r1, 2; add.u32 %r10, %r10, %r11;
        mul.lo.u32 %r12, %r1, 3; st.shared.u32 [%r10], %r12;
        {barrier}
        xor.b32 %r11, %r1, {}; shl.b32 %r11, %r11, 2; mov.u32 %r10, words; add.u32 %r10, %r10, %r11;
        ld.shared.u32 %r9, [%r10]; st.global.u32 [%rd4], %r9;",
        group - 1
    );
    let found = results("", &statements, (2, block), &[0]);
    let expected = (0..2).flat_map(|_| (0..block).map(|t| 3 * (t ^ (group - 1))));
    assert_eq!(found, expected.collect::<Vec<_>>(), "{barrier}");
}

#[test]
fn barriers_of_all_threads() {
    turned("bar.sync 0;", 256, 256);
    turned("barrier.sync 0;", 128, 128);
    turned("barrier.cta.sync.aligned 15;", 128, 128);
    turned("mov.u32 %r20, 7; bar.sync %r20;", 128, 128);
    turned("bar.sync 3, 128;", 128, 128);
    turned("bar.warp.sync -1;", 32, 128);
}

/// Each group of two warps has a barrier of its own.
#[test]
fn barriers_of_some_warps() {
    turned("shr.u32 %r20, %r1, 6; add.u32 %r20, %r20, 1; bar.sync %r20, 64;", 64, 256);
    turned("shr.u32 %r20, %r1, 6; mov.u32 %r21, 64; barrier.sync %r20, %r21;", 64, 256);
}

/// `barrier.sync` may stand on both sides of a branch, inside a warp too.
#[test]
fn a_barrier_on_both_sides_of_a_branch() {
    turned(
        "and.b32 %r20, %r1, 1; setp.eq.u32 %p1, %r20, 1; @%p1 bra ODD;
        barrier.sync 2; bra JOIN; ODD: barrier.sync 2; JOIN:",
        128,
        128,
    );
}

/// A barrier is used again and again.
#[test]
fn a_barrier_in_a_loop() {
    let statements = ".shared .b32 words[64]; mov.u32 %r10, words; shl.b32 %r11, %r1, 2; add.u32 %r10, %r10, %r11;
        add.u32 %r12, %r1, 1; and.b32 %r12, %r12, 63; shl.b32 %r12, %r12, 2; mov.u32 %r13, words; add.u32 %r13, %r13, %r12;
        mov.u32 %r9, %r1; mov.u32 %r14, 0;
        LOOP: st.shared.u32 [%r10], %r9; bar.sync 0; ld.shared.u32 %r15, [%r13]; bar.sync 0;
        add.u32 %r9, %r9, %r15; add.u32 %r14, %r14, 1; setp.lt.u32 %p1, %r14, 5; @%p1 bra LOOP;
        st.global.u32 [%rd4], %r9;";
    let mut words: Vec<u32> = (0..64).collect();
    for _ in 0..5 {
        words = (0..64).map(|t| words[t] + words[(t + 1) % 64]).collect();
    }
    assert_eq!(results("", statements, (1, 64), &[0]), words);
}

/// Warp 0 fills a buffer and arrives; warp 1 waits, reads and arrives in turn: two barriers, as CUTLASS does it.
#[test]
fn producer_and_consumer() {
    let statements = ".shared .b32 buffer[32]; mov.u32 %r10, buffer; mov.u32 %r11, %laneid; mad.lo.u32 %r10, %r11, 4, %r10;
        mov.u32 %r9, 0; mov.u32 %r14, 0; setp.ge.u32 %p1, %r1, 32; @%p1 bra CONSUMER;
        PRODUCER: bar.sync 2, 64; mad.lo.u32 %r12, %r14, 100, %r11; st.shared.u32 [%r10], %r12; bar.arrive 1, 64;
        add.u32 %r14, %r14, 1; setp.lt.u32 %p2, %r14, 4; @%p2 bra PRODUCER; bra END;
        CONSUMER: bar.arrive 2, 64; bar.sync 1, 64;
        xor.b32 %r13, %r11, 31; mov.u32 %r15, buffer; mad.lo.u32 %r13, %r13, 4, %r15; ld.shared.u32 %r12, [%r13];
        add.u32 %r9, %r9, %r12; add.u32 %r14, %r14, 1; setp.lt.u32 %p2, %r14, 4; @%p2 bra CONSUMER;
        END: st.global.u32 [%rd4], %r9;";
    let expected = (0..64).map(|t| if t < 32 { 0 } else { 600 + 4 * (63 - t) });
    assert_eq!(results("", statements, (1, 64), &[0]), expected.collect::<Vec<_>>());
}

#[test]
fn barriers_that_count() {
    for (limit, all, any) in [(0u32, 0, 0), (37, 0, 1), (96, 1, 1)] {
        let statements = format!(
            "setp.lt.u32 %p1, %r1, {limit};
            barrier.red.popc.u32 %r9, 1, %p1; bar.red.popc.u32 %r10, 0, 96, !%p1;
            bar.red.and.pred %p2, 2, %p1; barrier.cta.red.or.pred %p3, 3, 96, %p1; bar.red.or.pred %p4, 4, !%p1;
            mad.lo.u32 %r9, %r10, 1000, %r9; selp.u32 %r11, 1000000, 0, %p2; selp.u32 %r12, 2000000, 0, %p3; selp.u32 %r13, 4000000, 0, %p4;
            add.u32 %r9, %r9, %r11; add.u32 %r9, %r9, %r12; add.u32 %r9, %r9, %r13; st.global.u32 [%rd4], %r9;"
        );
        let none = u32::from(limit < 96);
        let expected = limit + 1000 * (96 - limit) + 1_000_000 * (all + 2 * any + 4 * none);
        assert_eq!(results("", &statements, (2, 96), &[0]), [expected; 192]);
    }
}

/// Blocks of no whole number of warps.
#[test]
fn barriers_of_a_block_that_ends_inside_a_warp() {
    let statements = "setp.ne.u32 %p1, %r1, 3; bar.red.popc.u32 %r9, 0, %p1; barrier.sync 1; bar.sync 2, 64; st.global.u32 [%rd4], %r9;";
    assert_eq!(results("", statements, (1, 40), &[0]), [39; 40]);
}

/// The names `bar` and `barrier`, with `.cta`, with `.aligned`, with registers and constants.
#[test]
fn every_form() {
    let names = ["bar", "bar.cta", "barrier", "barrier.cta"];
    for name in names {
        for aligned in
            ["", ".aligned"].into_iter().filter(|a| a.is_empty() || name.starts_with("barrier"))
        {
            for operands in ["1", "1, 128", "%r20", "%r20, %r21", "%r20, 128"] {
                turned(
                    &format!(
                        "mov.u32 %r20, 4; mov.u32 %r21, 128; {name}.sync{aligned} {operands};"
                    ),
                    128,
                    128,
                );
            }
            // The upper warps only arrive, at a barrier that the lower ones wait at; a second one turns the words round.
            turned(
                &format!(
                    "mov.u32 %r20, 3; mov.u32 %r21, 128; setp.lt.u32 %p1, %r1, 64; @%p1 bra WAIT; {name}.arrive{aligned} %r20, %r21; bra END;
                    WAIT: {name}.sync{aligned} 3, 128; END: {name}.sync{aligned} 0;"
                ),
                128,
                128,
            );
            for (operands, barrier) in [("1", ""), ("%r20", ""), ("2, 96", ""), ("%r20, %r21", "!")]
            {
                let statements = format!(
                    "mov.u32 %r20, 5; mov.u32 %r21, 96; setp.lt.u32 %p1, %r1, 37;
                    {name}.red.popc{aligned}.u32 %r9, {operands}, {barrier}%p1; {name}.red.and{aligned}.pred %p2, {operands}, {barrier}%p1;
                    {name}.red.or{aligned}.pred %p3, {operands}, {barrier}%p1;
                    selp.u32 %r11, 1000, 0, %p2; selp.u32 %r12, 2000, 0, %p3; add.u32 %r9, %r9, %r11; add.u32 %r9, %r9, %r12;
                    st.global.u32 [%rd4], %r9;"
                );
                let count = if barrier.is_empty() { 37 } else { 59 };
                assert_eq!(
                    results("", &statements, (1, 96), &[0]),
                    [2000 + count; 96],
                    "{statements}"
                );
            }
        }
    }
}
