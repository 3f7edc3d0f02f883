//! Branches, loops, switches: lanes part and meet.

use ptx_vm::error::Rule;

use crate::bench::{Bench, refused, results};

const THREADS: u32 = 70;

/// Runs 2 blocks of 70 threads and compares each one's word with `expected(thread in the block)`.
#[track_caller]
fn check(statements: &str, expected: impl Fn(u32) -> u32) {
    let words =
        results("", &format!("{statements}\nst.global.u32 [%rd4], %r9;"), (2, THREADS), &[0]);
    let expected: Vec<u32> = (0..2).flat_map(|_| (0..THREADS).map(&expected)).collect();
    assert_eq!(words, expected);
}

/// The lanes of a thread's warp that exist.
fn full(thread: u32) -> u32 {
    if thread < 64 { u32::MAX } else { (1 << (THREADS - 64)) - 1 }
}

#[test]
fn if_and_else() {
    check(
        "and.b32 %r10, %r1, 1; setp.eq.u32 %p1, %r10, 1;
        @%p1 bra ODD;
        add.u32 %r9, %r1, 100; bra END;
        ODD: mul.lo.u32 %r9, %r1, 3;
        END:",
        |t| if t % 2 == 1 { 3 * t } else { t + 100 },
    );
}

#[test]
fn lanes_that_part_meet_again() {
    check(
        "and.b32 %r10, %r1, 3; setp.eq.u32 %p1, %r10, 1; setp.eq.u32 %p2, %r10, 2; mov.u32 %r11, 0;
        @%p1 bra ONE;
        @%p2 bra TWO;
        add.u32 %r11, %r11, 1; bra END;
        ONE: activemask.b32 %r11; bra END;
        TWO: activemask.b32 %r11; shl.b32 %r11, %r11, 1;
        END: activemask.b32 %r9; xor.b32 %r9, %r9, %r11;",
        |t| {
            full(t)
                ^ match t % 4 {
                    1 => 0x2222_2222 & full(t),
                    2 => (0x4444_4444 & full(t)) << 1,
                    _ => 1,
                }
        },
    );
}

#[test]
fn loops_with_different_trip_counts() {
    check(
        "rem.u32 %r10, %r1, 7; mov.u32 %r9, 0; mov.u32 %r11, 0;
        LOOP: setp.ge.u32 %p1, %r11, %r10; @%p1 bra END;
        mad.lo.u32 %r9, %r11, %r11, %r9; add.u32 %r9, %r9, 1; add.u32 %r11, %r11, 1; bra LOOP;
        END:",
        |t| (0..t % 7).map(|i| i * i + 1).sum(),
    );
}

#[test]
fn nested_loops_and_branches() {
    check(
        "rem.u32 %r10, %r1, 9; mov.u32 %r9, 0; mov.u32 %r11, 0;
        OUTER: setp.ge.u32 %p1, %r11, %r10; @%p1 bra END; mov.u32 %r12, 0;
        INNER: setp.ge.u32 %p2, %r12, %r11; @%p2 bra NEXT;
        add.u32 %r13, %r11, %r12; and.b32 %r14, %r13, 1; setp.eq.u32 %p3, %r14, 0;
        @%p3 bra EVEN; add.u32 %r9, %r9, %r13; bra JOIN;
        EVEN: xor.b32 %r9, %r9, %r13;
        JOIN: add.u32 %r12, %r12, 1; bra INNER;
        NEXT: add.u32 %r11, %r11, 1; bra OUTER;
        END:",
        |t| {
            let mut sum = 0;
            for i in 0..t % 9 {
                for j in 0..i {
                    if (i + j) % 2 == 0 { sum ^= i + j } else { sum += i + j }
                }
            }
            sum
        },
    );
}

#[test]
fn early_return_leaves_the_rest_running() {
    check(
        "rem.u32 %r10, %r1, 3; setp.eq.u32 %p1, %r10, 0; @%p1 ret;
        setp.eq.u32 %p1, %r10, 1; @%p1 exit;
        activemask.b32 %r9;",
        |t| {
            let alive =
                (0..32).filter(|lane| (t / 32 * 32 + lane) % 3 == 2).fold(0, |m, l| m | 1 << l);
            if t % 3 == 2 { alive & full(t) } else { 7777 }
        },
    );
}

#[test]
fn break_out_of_loops() {
    check(
        "add.u32 %r10, %r1, 1; mov.u32 %r9, 0;
        LOOP: setp.eq.u32 %p1, %r10, 1; @%p1 bra END;
        setp.ge.u32 %p2, %r9, 40; @%p2 bra END;
        add.u32 %r9, %r9, 1; and.b32 %r11, %r10, 1; setp.eq.u32 %p3, %r11, 0;
        @!%p3 mad.lo.u32 %r10, %r10, 3, 1;
        @%p3 shr.u32 %r10, %r10, 1;
        bra LOOP;
        END:",
        |t| {
            let (mut x, mut steps) = (t + 1, 0);
            while x != 1 && steps < 40 {
                x = if x % 2 == 0 { x / 2 } else { 3 * x + 1 };
                steps += 1;
            }
            steps
        },
    );
}

#[test]
fn lanes_leave_a_loop_for_good_one_by_one() {
    check(
        "and.b32 %r10, %r1, 31; mov.u32 %r9, 0;
        LOOP: add.u32 %r9, %r9, 1; activemask.b32 %r11; popc.b32 %r11, %r11;
        setp.eq.u32 %p1, %r9, %r10;
        @!%p1 bra STAY;
        mad.lo.u32 %r11, %r11, 1000, %r9; st.global.u32 [%rd4], %r11; exit;
        STAY: setp.lt.u32 %p2, %r9, 50; @%p2 bra LOOP;",
        |t| match t % 32 {
            0 => 50,
            lane => (full(t).count_ones() - (lane - 1)) * 1000 + lane,
        },
    );
}

const SWITCH: &str = "rem.u32 %r10, %r1, 5; mov.u32 %r9, 1;
    setp.ne.u32 %p1, %r10, 4;
    targets: .branchtargets ONE, TWO, ONE, FOUR;
    @%p1 brx.idx %r10, targets;
    mov.u32 %r9, 2; bra END;
    ONE: add.u32 %r9, %r9, 10; bra END;
    TWO: add.u32 %r9, %r9, 20;
    FOUR: add.u32 %r9, %r9, 40;
    END:";

#[test]
fn switch_by_table() {
    check(SWITCH, |t| [11, 61, 11, 41, 2][t as usize % 5]);
}

#[test]
fn an_index_past_the_table_is_a_fault() {
    let bench = Bench::kernel("", &SWITCH.replace("@%p1 ", ""));
    let fault = bench.fault(1, 32, &[bench.unset(32), 0]);
    bench.assert_at(&fault, Rule::Trap, "brx.idx", (0, 4));
    assert_eq!(fault.message, "brx.idx with index 4 of a list of 4 labels");
    bench.pass(1, 4, &[bench.unset(4), 0]);
}

#[test]
fn a_table_is_named_by_its_list() {
    let refused = |statements| refused(&crate::bench::kernel(statements)).message;
    assert_eq!(refused("A: brx.idx %r1, A;"), "`A` is no `.branchtargets` list declared before");
    assert_eq!(refused("A: t: .branchtargets A; brx %r1, t;"), "expected brx.idx");
}

/// Lanes of one warp take turns in a critical section; so do warps and blocks.
#[test]
fn a_spin_lock_between_lanes() {
    let statements = "
        LOCK: atom.global.cas.b32 %r10, [%rd2], 0, 1; setp.ne.u32 %p1, %r10, 0; @%p1 bra LOCK;
        fence.acq_rel.gpu;
        ld.global.u32 %r9, [%rd2+4]; add.u32 %r9, %r9, 1; st.global.u32 [%rd2+4], %r9;
        fence.acq_rel.gpu;
        atom.global.exch.b32 %r10, [%rd2], 0;
        st.global.u32 [%rd4], %r9;";
    let mut bench = Bench::kernel("", statements);
    for (threads, seed) in [(1, None), (2, None), (1, Some(1)), (2, Some(2))] {
        (bench.options.threads, bench.options.adversarial) = (threads, seed);
        let (turns, lock) = (bench.unset(4 * 70), bench.words(&[0, 0]));
        bench.pass(4, 70, &[turns, lock]);
        assert_eq!(bench.read(lock, 2), [0, 280]);
        let mut turns = bench.read(turns, 280);
        turns.sort_unstable();
        assert!(turns.into_iter().eq(1..=280));
    }
}

#[test]
fn lanes_wait_in_a_shuffle_for_others() {
    check(
        "and.b32 %r10, %r1, 31; mov.u32 %r9, 0;
        setp.lt.u32 %p1, %r10, 3; @%p1 bra SHUFFLE;
        LOOP: add.u32 %r9, %r9, %r10; sub.u32 %r11, %r10, %r9; setp.gt.s32 %p2, %r11, -200; @%p2 bra LOOP;
        SHUFFLE: shfl.sync.bfly.b32 %r9, %r9, 1, 31, 0xffffffff;",
        |t| {
            let value = |t: u32| match t % 32 {
                0..3 => 0,
                lane => (1..).map(|i| i * lane).find(|sum| sum - lane >= 200).unwrap_or(0),
            };
            value(t ^ 1)
        },
    );
}

/// A lane that polls a flag which another lane of its warp sets later.
#[test]
fn a_lane_waits_for_another_of_its_warp() {
    check(
        ".shared .u32 flag; setp.ne.u32 %p1, %r1, 5; mov.u32 %r9, %r1;
        @%p1 bra SKIP; st.shared.u32 [flag], 0; SKIP: bar.sync 0;
        setp.eq.u32 %p2, %r1, 5; @%p2 bra SETTER;
        WAIT: ld.acquire.cta.shared.u32 %r10, [flag]; setp.eq.u32 %p3, %r10, 0; @%p3 bra WAIT;
        add.u32 %r9, %r9, %r10; bra END;
        SETTER: mov.u32 %r11, 1000; st.release.cta.shared.u32 [flag], %r11;
        END:",
        |t| if t == 5 { 5 } else { t + 1000 },
    );
}
