//! Barriers, exchanges and flags that some never reach, each beside the program in which they do.

use ptx_vm::error::Rule;

use crate::bench::Bench;

/// The program breaks the rule at an instruction in (block 0, thread), checks on or off; its message has `part` in it.
#[track_caller]
fn breaks(statements: &str, block: u32, rule: Rule, at: &str, thread: u32, part: &str) {
    let mut bench = Bench::kernel("", statements);
    for checks in [true, false] {
        (bench.options.races, bench.options.written) = (checks, checks);
        let fault =
            bench.fault(1, block, &[bench.words(&vec![0; block as usize]), bench.words(&[0; 64])]);
        bench.assert_at(&fault, rule, at, (0, thread));
        assert!(fault.message.contains(part), "{fault}");
    }
    for seed in 1..=20 {
        bench.options.adversarial = Some(seed);
        let fault =
            bench.fault(1, block, &[bench.words(&vec![0; block as usize]), bench.words(&[0; 64])]);
        assert_eq!(fault.rule, rule, "seed {seed}: {fault}");
    }
}

#[track_caller]
fn passes(statements: &str, block: u32) {
    crate::bench::results("", statements, (1, block), &[0; 64]);
}

#[test]
fn threads_that_have_exited() {
    let warp = |limit: u32, barrier: &str| {
        format!("setp.ge.u32 %p1, %r1, {limit}; @%p1 exit;\n{barrier}\n")
    };
    let part = "barrier 0 is reached by 32 of 64 threads; 32 threads have not exited, 0 of them wait elsewhere";
    breaks(&warp(32, "bar.sync 0;"), 64, Rule::Barrier, "bar.sync 0;", 0, part);
    breaks(&warp(63, "bar.sync 0;"), 64, Rule::Barrier, "bar.sync 0;", 0, "reached by 63 of 64");
    breaks(
        &warp(63, "barrier.sync 0;"),
        64,
        Rule::Barrier,
        "barrier.sync 0;",
        0,
        "reached by 63 of 64",
    );
    passes(&warp(64, "bar.sync 0;"), 64);
    passes(&warp(32, "bar.sync 0, 32;"), 64);
}

#[test]
fn an_aligned_barrier_in_a_branch() {
    let branch = |barrier: &str| {
        format!(
            "and.b32 %r10, %r1, 1; setp.eq.u32 %p1, %r10, 1; @%p1 bra ODD;
            {barrier} // even
            bra END;
            ODD: {barrier}
            END:"
        )
    };
    breaks(
        &branch("bar.sync 0;"),
        64,
        Rule::Barrier,
        "// even",
        0,
        "lanes 0x55555555 wait here for lanes 0xaaaaaaaa",
    );
    breaks(&branch("barrier.sync.aligned 0;"), 64, Rule::Barrier, "// even", 0, "which never come");
    passes(&branch("barrier.sync 0;"), 64);
    breaks(
        "setp.lt.u32 %p1, %r1, 40;\n@%p1 bar.sync 1;\nbar.sync 0;",
        64,
        Rule::Barrier,
        "@%p1 bar.sync 1;",
        0,
        "reached by 32 of 64",
    );
    passes("setp.lt.u32 %p1, %r1, 64;\n@%p1 bar.sync 1;\nbar.sync 0;", 64);
}

#[test]
fn warps_at_different_barriers() {
    let statements = |modulus: u32| {
        format!("shr.u32 %r10, %r1, 5; rem.u32 %r10, %r10, {modulus};\nbar.sync %r10;\n")
    };
    breaks(
        &statements(2),
        64,
        Rule::Barrier,
        "bar.sync %r10;",
        0,
        "barrier 0 is reached by 32 of 64 threads; 64 threads have not exited, 32 of them wait elsewhere",
    );
    passes(&statements(1), 64);
    breaks(
        "and.b32 %r10, %r1, 1;\nbarrier.sync %r10;\n",
        64,
        Rule::Barrier,
        "barrier.sync %r10",
        1,
        "lanes of one warp at different barriers",
    );
}

#[test]
fn counts_that_are_wrong() {
    let count = |count: u32| format!("\nbar.sync 1, {count};\n");
    breaks(
        &count(96),
        64,
        Rule::Barrier,
        "bar.sync 1",
        0,
        "a barrier for 96 threads in a block of 64",
    );
    breaks(&count(40), 64, Rule::Barrier, "bar.sync 1", 0, "a multiple of 32 is needed");
    breaks(&count(0), 64, Rule::Barrier, "bar.sync 1", 0, "a barrier for 0 threads");
    breaks(
        &count(64),
        96,
        Rule::Barrier,
        "bar.sync 1",
        64,
        "barrier 1 is reached by 32 of 64 threads",
    );
    passes(&count(64), 64);
    passes(&count(32), 96);
    let differing = "shr.u32 %r10, %r1, 5; mad.lo.u32 %r10, %r10, 32, 64;\nbar.sync 1, %r10;\n";
    breaks(
        differing,
        96,
        Rule::Barrier,
        "bar.sync 1",
        32,
        "barrier 1 for 96 threads, but others wait at it for 64",
    );
    breaks(
        "mov.u32 %r10, 16;\nbar.sync %r10;\n",
        32,
        Rule::Barrier,
        "bar.sync",
        0,
        "barrier 16; a block has 0 to 15",
    );
    let overfull = "setp.lt.u32 %p1, %r1, 32; @%p1 bar.arrive 1, 64; setp.lt.u32 %p1, %r1, 16; @%p1 barrier.arrive 1, 64;
        setp.ge.u32 %p1, %r1, 32;\n@%p1 bar.sync 1, 64;\n";
    let mut bench = Bench::kernel("", overfull);
    bench.options.races = false;
    let fault = bench.fault(1, 64, &[0, 0]);
    bench.assert_at(&fault, Rule::Barrier, "@%p1 bar.sync 1, 64;", (0, 32));
    assert_eq!(fault.message, "80 threads at barrier 1, which is for 64");
}

#[test]
fn shuffles_from_lanes_that_take_no_part() {
    let read = |lane: u32| {
        format!(
            "setp.ge.u32 %p1, %r1, 16; @%p1 exit;\nshfl.sync.idx.b32 %r9, %r1, {lane}, 31, 0xffff;\n"
        )
    };
    breaks(
        &read(16),
        32,
        Rule::InactiveLane,
        "shfl.sync",
        0,
        "shfl reads lane 16, which is not active",
    );
    passes(&read(15), 32);
    let member = |members: &str| format!("\nshfl.sync.idx.b32 %r9, %r1, 0, 31, {members};\n");
    breaks(
        &member("0xfffffffe"),
        32,
        Rule::InactiveLane,
        "shfl.sync",
        0,
        "member mask 0xfffffffe in lane 0",
    );
    breaks(
        &member("%r1"),
        32,
        Rule::InactiveLane,
        "shfl.sync",
        0,
        "member mask 0x00000000 in lane 0",
    );
    passes(&member("-1"), 32);
    for exchange in [
        "vote.sync.any.pred %p2, %p1, 0xf0;",
        "match.any.sync.b32 %r9, %r1, 0xf0;",
        "redux.sync.add.u32 %r9, %r1, 0xf0;",
        "elect.sync %r9|%p2, 0xf0;",
        "bar.warp.sync 0xf0;",
    ] {
        let guarded = |first: u32| {
            format!(
                "sub.u32 %r10, %r1, {first}; setp.ge.u32 %p1, %r10, 4; @%p1 exit;\n{exchange}\n"
            )
        };
        breaks(&guarded(2), 32, Rule::InactiveLane, exchange, 2, "0x000000f0");
        passes(&guarded(4), 32);
    }
}

#[test]
fn masks_that_lanes_do_not_agree_on() {
    for exchange in [
        "shfl.sync.idx.b32 %r9, %r1, %r1, 31, %r11;",
        "vote.sync.any.pred %p2, 1, %r11;",
        "match.any.sync.b32 %r9, %r1, %r11;",
        "redux.sync.add.u32 %r9, %r1, %r11;",
        "bar.warp.sync %r11;",
    ] {
        // Lanes 0 to 7 name themselves, or lane 8 too, which has another mask.
        let masks = |low: u32| {
            format!(
                "setp.lt.u32 %p1, %r1, 8; selp.b32 %r11, {low:#x}, 0xffffff00, %p1;\n{exchange}\n"
            )
        };
        let differs = "member mask 0xffffff00 in lane 8, 0x000001ff in lane 0";
        breaks(&masks(0x1ff), 32, Rule::InactiveLane, exchange, 8, differs);
        passes(&masks(0xff), 32);
    }
    // A lane reads from one that is here, but of another tile.
    let tiles =
        "setp.lt.u32 %p1, %r1, 8; selp.b32 %r11, 0xff, 0xffffff00, %p1; xor.b32 %r12, %r1, 8;";
    let shuffle = |from: &str| format!("{tiles}\nshfl.sync.idx.b32 %r9, %r1, {from}, 31, %r11;\n");
    breaks(
        &shuffle("%r12"),
        32,
        Rule::InactiveLane,
        "shfl",
        0,
        "shfl reads lane 8, which is not active",
    );
    passes(&shuffle("%r1"), 32);
}

#[test]
fn lanes_that_wait_for_each_other_in_different_places() {
    let branches = |low: &str, high: &str| {
        format!(
            "setp.lt.u32 %p1, %r1, 16; @%p1 bra LOW;
            shfl.sync.idx.b32 %r9, %r1, 0, 31, {high}; // high
            bra END;
            LOW: shfl.sync.idx.b32 %r9, %r1, 16, 31, {low}; // low
            END:"
        )
    };
    let bench = Bench::kernel("", &branches("-1", "-1"));
    let fault = bench.fault(1, 32, &[0, 0]);
    assert_eq!(fault.rule, Rule::InactiveLane, "{fault}");
    assert!(fault.text.starts_with("shfl.sync") || fault.text.starts_with("LOW:"), "{fault}");
    assert!(fault.message.contains("which never come"), "{fault}");
    let near = branches("0x0000ffff", "0xffff0000")
        .replace("%r1, 16, 31", "%r1, 15, 31")
        .replace("%r1, 0, 31", "%r1, 16, 31");
    passes(&near, 32);
    let sync = "setp.lt.u32 %p1, %r1, 16;\n@%p1 bar.warp.sync -1;\nbarrier.sync 0;";
    let bench = Bench::kernel("", sync);
    assert_eq!(bench.fault(1, 32, &[0, 0]).rule, Rule::Barrier);
    passes(&sync.replace("-1", "0xffff"), 32);
}

/// Warp 0 and warp 1 each set a flag for the other, after (`wait_first`) or before they wait for theirs.
fn flags(wait_first: bool) -> String {
    let wait = "WAIT: ld.volatile.shared.u32 %r9, [%r11]; setp.eq.u32 %p1, %r9, 0; @%p1 bra WAIT;";
    let set = "st.volatile.shared.u32 [%r12], 1;";
    let (first, second) = if wait_first { (wait, set) } else { (set, wait) };
    format!(
        ".shared .b32 flags[2]; mov.u32 %r10, flags; shr.u32 %r11, %r1, 5; xor.b32 %r12, %r11, 1;
        mad.lo.u32 %r11, %r11, 4, %r10; mad.lo.u32 %r12, %r12, 4, %r10;
        and.b32 %r13, %r1, 31; setp.ne.u32 %p2, %r13, 0; @%p2 bra READY; st.volatile.shared.u32 [%r11], 0; READY: bar.sync 0;
        @%p2 exit;
        {first}
        {second}"
    )
}

#[test]
fn warps_that_wait_for_each_other() {
    for seed in [None, Some(1), Some(2)] {
        for threads in [1, 2] {
            let mut bench = Bench::kernel("", &flags(true));
            (bench.options.adversarial, bench.options.threads) = (seed, threads);
            let fault = bench.fault(3, 64, &[0, 0]);
            assert_eq!(fault.rule, Rule::Deadlock, "{fault}");
            assert_eq!(fault.message, "every warp polls and nothing changes");
            assert!(fault.text.starts_with("WAIT: ld.volatile.shared.u32"), "{fault}");
        }
    }
    passes(&flags(false), 64);
}

/// One warp polls for what another would do behind a barrier that the first never reaches.
#[test]
fn a_barrier_and_a_flag() {
    let statements = ".shared .b32 flag; setp.ne.u32 %p2, %r1, 0; @%p2 bra READY; st.volatile.shared.u32 [flag], 0; READY: bar.sync 0;
        setp.lt.u32 %p1, %r1, 32; @%p1 bra WAIT;
        bar.sync 1; // barrier
        st.volatile.shared.u32 [flag], 1; exit;
        WAIT: ld.volatile.shared.u32 %r9, [flag]; setp.eq.u32 %p3, %r9, 0; @%p3 bra WAIT; bar.sync 1;";
    let bench = Bench::kernel("", statements);
    let fault = bench.fault(1, 64, &[0, 0]);
    bench.assert_at(&fault, Rule::Deadlock, "// barrier", (0, 32));
    let near = statements
        .replace("bar.sync 1; // barrier", "")
        .replace("bra WAIT; bar.sync 1;", "bra WAIT;");
    assert_eq!(near.matches("bar.sync 1").count(), 0);
    Bench::kernel("", &near).pass(1, 64, &[0, 0]);
}

/// A block polls for a long time while another one works: no deadlock, with one host thread or two.
#[test]
fn a_block_that_waits_long_for_another() {
    let statements = "setp.eq.u32 %p1, %r2, 0; @%p1 bra WORK;
        WAIT: ld.acquire.gpu.global.u32 %r9, [%rd2]; setp.eq.u32 %p2, %r9, 0; @%p2 bra WAIT;
        st.global.u32 [%rd4], %r9; exit;
        WORK: mov.u32 %r9, 0; mov.u32 %r10, 1;
        LOOP: mad.lo.u32 %r10, %r10, 1664525, 1013904223; add.u32 %r9, %r9, 1; setp.lt.u32 %p3, %r9, 2000000; @%p3 bra LOOP;
        st.release.gpu.global.u32 [%rd2], %r9;";
    let mut bench = Bench::kernel("", statements);
    for threads in [1, 2] {
        bench.options.threads = threads;
        let arguments = [bench.unset(2), bench.words(&[0])];
        bench.pass(2, 1, &arguments);
        assert_eq!(bench.read(arguments[0] + 4, 1), [2_000_000]);
    }
}

/// The block that would set the flag broke a rule: its fault is told, not that another block waits for it.
#[test]
fn a_block_that_waits_for_one_at_fault() {
    let statements = "setp.eq.u32 %p1, %r2, 1; @%p1 bra WORK;
        WAIT: ld.acquire.gpu.global.u32 %r9, [%rd2]; setp.eq.u32 %p2, %r9, 0; @%p2 bra WAIT;
        exit;
        WORK:\ntrap;\n";
    let mut bench = Bench::kernel("", statements);
    bench.options.threads = 2;
    let fault = bench.fault(2, 1, &[0, bench.words(&[0])]);
    bench.assert_at(&fault, Rule::Trap, "trap;", (1, 0));
    // With one host thread the block that waits comes first, and nobody else ever runs.
    bench.options.threads = 1;
    let fault = bench.fault(2, 1, &[0, bench.words(&[0])]);
    assert_eq!(fault.rule, Rule::Deadlock);
}
