//! What lanes tell each other: shuffles, votes, matches, reductions over a warp, against the manual's definitions.

use crate::bench::results;

const THREADS: u32 = 64;

/// A word for each thread that looks random.
fn values() -> Vec<u32> {
    (0..THREADS).map(|t| (t + 1).wrapping_mul(0x9e37_79b9) ^ (t << 7)).collect()
}

/// `shfl` as PTX ISA 9.7.9.6 writes it down: the lane read from, and whether it is in range.
fn source(mode: &str, lane: u32, b: u32, c: u32) -> (u32, bool) {
    let (segment, clamp) = (c >> 8 & 31, c & 31);
    let max_lane = (lane & segment) | (clamp & !segment & 31);
    let min_lane = lane & segment;
    let (j, inside) = match mode {
        "up" => (lane as i32 - b as i32, lane as i32 - b as i32 >= max_lane as i32),
        "down" => ((lane + b) as i32, lane + b <= max_lane),
        "bfly" => ((lane ^ b) as i32, lane ^ b <= max_lane),
        _ => {
            let j = min_lane | (b & !segment & 31);
            (j as i32, j <= max_lane)
        }
    };
    if inside { (j as u32, true) } else { (lane, false) }
}

#[test]
fn shuffles() {
    let words = values();
    for mode in ["up", "down", "bfly", "idx"] {
        for c in [0u32, 31, 0x1c07, 0x181f, 0x1000, 0x100f, 0x1e1f, 9] {
            for b in [0u32, 1, 2, 5, 8, 16, 31] {
                let statements = format!(
                    "ld.global.u32 %r9, [%rd5];
                    shfl.sync.{mode}.b32 %r10|%p1, %r9, {b}, {c}, 0xffffffff;
                    selp.u32 %r11, 1, 0, %p1; xor.b32 %r9, %r10, %r11; st.global.u32 [%rd4], %r9;"
                );
                let bench = crate::bench::Bench::kernel("", &statements);
                let arguments = [bench.unset(64), bench.words(&words)];
                bench.pass(1, THREADS, &arguments);
                for (t, found) in (0..).zip(bench.read(arguments[0], 64)) {
                    let (lane, inside) = source(mode, t % 32, b, c);
                    let expected = words[(t / 32 * 32 + lane) as usize] ^ u32::from(inside);
                    assert_eq!(found, expected, "{mode} {b} {c:#x} thread {t}");
                }
            }
        }
    }
}

/// Lanes with shifts of their own, the value and its predicate in one.
#[test]
fn shuffles_with_a_source_for_each_lane() {
    let statements = "ld.global.u32 %r9, [%rd5]; mul.lo.u32 %r10, %r1, 5; and.b32 %r10, %r10, 31;
        shfl.sync.idx.b32 %r9, %r9, %r10, 31, -1; st.global.u32 [%rd4], %r9;";
    let words = values();
    let expected: Vec<u32> =
        (0..THREADS).map(|t| words[(t / 32 * 32 + t * 5 % 32) as usize]).collect();
    assert_eq!(results("", statements, (1, THREADS), &words), expected);
}

/// The lanes of a member mask only; those outside run another shuffle.
#[test]
fn shuffles_among_some_lanes() {
    let statements = "ld.global.u32 %r9, [%rd5]; and.b32 %r10, %r1, 8; setp.eq.u32 %p1, %r10, 0;
        @!%p1 bra HIGH;
        shfl.sync.bfly.b32 %r9, %r9, 3, 31, 0x00ff00ff; bra END;
        HIGH: shfl.sync.bfly.b32 %r9, %r9, 16, 31, 0xff00ff00;
        END: st.global.u32 [%rd4], %r9;";
    let words = values();
    let expected: Vec<u32> =
        (0..THREADS).map(|t| words[(t ^ if t & 8 == 0 { 3 } else { 16 }) as usize]).collect();
    assert_eq!(results("", statements, (1, THREADS), &words), expected);
}

#[test]
fn votes() {
    for (pattern, members) in [
        (0u32, u32::MAX),
        (u32::MAX, u32::MAX),
        (0x8421_f00d, u32::MAX),
        (0x8421_f00d, 0x0000_f009),
        (6, 6),
        (8, 6),
    ] {
        for negated in [false, true] {
            let not = if negated { "!" } else { "" };
            let statements = format!(
                "mov.u32 %r10, {pattern}; mov.u32 %r13, %laneid; shr.u32 %r11, %r10, %r13; and.b32 %r11, %r11, 1; setp.eq.u32 %p1, %r11, 1;
                mov.u32 %r12, {members}; shr.u32 %r11, %r12, %r13; and.b32 %r11, %r11, 1; setp.eq.u32 %p2, %r11, 0; @%p2 exit;
                vote.sync.ballot.b32 %r9, {not}%p1, %r12;
                vote.sync.all.pred %p3, {not}%p1, %r12; vote.sync.any.pred %p4, {not}%p1, %r12; vote.sync.uni.pred %p5, {not}%p1, %r12;
                selp.u32 %r14, 1, 0, %p3; selp.u32 %r15, 2, 0, %p4; selp.u32 %r16, 4, 0, %p5;
                or.b32 %r14, %r14, %r15; or.b32 %r14, %r14, %r16; mul.lo.u32 %r14, %r14, 0x10000001; xor.b32 %r9, %r9, %r14;
                st.global.u32 [%rd4], %r9;"
            );
            let found = results("", &statements, (1, 32), &[0]);
            let holds = members & if negated { !pattern } else { pattern };
            let (all, any) = (holds == members, holds != 0);
            let bits = u32::from(all) | u32::from(any) << 1 | u32::from(all || !any) << 2;
            for (lane, word) in found.into_iter().enumerate() {
                let expected = holds ^ bits.wrapping_mul(0x1000_0001);
                let expected = if members >> lane & 1 == 1 { expected } else { 7777 };
                assert_eq!(word, expected, "{not}{pattern:#x} among {members:#x}");
            }
        }
    }
}

#[test]
fn matches() {
    let words: Vec<u32> = (0..THREADS).map(|t| [4, 9, 4, 100 + t, 9][t as usize % 5]).collect();
    let statements = "ld.global.u32 %r9, [%rd5]; cvt.u64.u32 %rd6, %r9; shl.b64 %rd6, %rd6, 20;
        match.any.sync.b32 %r10, %r9, -1; match.any.sync.b64 %r11, %rd6, -1; sub.u32 %r11, %r11, %r10;
        match.all.sync.b32 %r12|%p1, %r9, -1; selp.u32 %r13, 1, 0, %p1;
        or.b32 %r11, %r11, %r12; or.b32 %r11, %r11, %r13;
        xor.b32 %r9, %r10, %r11; st.global.u32 [%rd4], %r9;";
    let any = |t: u32| {
        (0..32)
            .filter(|l| words[(t / 32 * 32 + l) as usize] == words[t as usize])
            .fold(0u32, |m, l| m | 1 << l)
    };
    assert_eq!(
        results("", statements, (1, THREADS), &words),
        (0..THREADS).map(any).collect::<Vec<_>>()
    );
    let statements = "ld.global.u32 %r9, [%rd5]; cvt.u64.u32 %rd6, %r9; and.b32 %r14, %r1, 3; setp.eq.u32 %p2, %r14, 1; @%p2 bra SKIP;
        match.all.sync.b32 %r12|%p1, %r9, 0xdddddddd; selp.u32 %r13, 1, 0, %p1;
        match.all.sync.b64 %r10|%p1, %rd6, 0xdddddddd; selp.u32 %r11, 4, 0, %p1;
        xor.b32 %r12, %r12, %r13; xor.b32 %r9, %r12, %r11; st.global.u32 [%rd4], %r9; SKIP:";
    // The lanes 1, 5, ... hold something else and take no part.
    let words: Vec<u32> = (0..64).map(|t| if t % 4 == 1 { t } else { 5 + t / 40 }).collect();
    let expected = |t: u32| match (t % 4, t / 32) {
        (1, _) => 7777,
        (_, 0) => 0xdddd_dddd ^ 5,
        _ => 0,
    };
    assert_eq!(results("", statements, (1, 64), &words), (0..64).map(expected).collect::<Vec<_>>());
}

#[test]
fn reductions_over_a_warp() {
    let words = values();
    for members in [u32::MAX, 0x00ff_0f01] {
        for (operation, apply) in [
            ("add.u32", (|a, b| a.wrapping_add(b)) as fn(u32, u32) -> u32),
            ("add.s32", |a, b| a.wrapping_add(b)),
            ("min.u32", u32::min),
            ("max.u32", u32::max),
            ("min.s32", |a, b| (a as i32).min(b as i32) as u32),
            ("max.s32", |a, b| (a as i32).max(b as i32) as u32),
            ("and.b32", |a, b| a & b),
            ("or.b32", |a, b| a | b),
            ("xor.b32", |a, b| a ^ b),
        ] {
            let statements = format!(
                "mov.u32 %r12, {members}; mov.u32 %r13, %laneid; shr.u32 %r11, %r12, %r13; and.b32 %r11, %r11, 1; setp.eq.u32 %p2, %r11, 0;
                @%p2 exit; ld.global.u32 %r9, [%rd5]; redux.sync.{operation} %r9, %r9, %r12; st.global.u32 [%rd4], %r9;"
            );
            let lanes =
                |t: u32| (0..32).filter(|l| members >> l & 1 == 1).map(move |l| t / 32 * 32 + l);
            let expected = (0..THREADS).map(|t| match members >> (t % 32) & 1 {
                0 => 7777,
                _ => lanes(t).map(|t| words[t as usize]).reduce(apply).unwrap_or(0),
            });
            let found = results("", &statements, (1, THREADS), &words);
            assert_eq!(found, expected.collect::<Vec<_>>(), "{operation} among {members:#x}");
        }
    }
}

#[test]
fn a_leader_is_elected() {
    let statements = "and.b32 %r10, %r1, 31; setp.lt.u32 %p2, %r10, 6; @%p2 bra SKIP;
        elect.sync %r9|%p1, 0xffffffc0; selp.u32 %r10, 100, 0, %p1; add.u32 %r9, %r9, %r10; st.global.u32 [%rd4], %r9; SKIP:";
    let expected = (0..THREADS).map(|t| match t % 32 {
        0..6 => 7777,
        6 => 106,
        _ => 6,
    });
    assert_eq!(results("", statements, (1, THREADS), &[0]), expected.collect::<Vec<_>>());
}

/// Tiles of eight lanes, each with the mask of its own lanes in a register, as cooperative groups have them.
#[test]
fn tiles_with_their_own_masks() {
    let words = values();
    let tile = "and.b32 %r10, %r1, 24; mov.u32 %r11, 255; shl.b32 %r11, %r11, %r10; ld.global.u32 %r9, [%rd5];";
    let in_tile = |t: u32| words[t as usize / 8 * 8..][..8].iter().copied();
    let own = |t: u32| 0xff << (t % 32 / 8 * 8);
    let check = |exchange: &str, expected: &dyn Fn(u32) -> u32| {
        let statements =
            format!("{tile} {exchange} bar.warp.sync %r11; st.global.u32 [%rd4], %r9;");
        let found = results("", &statements, (1, THREADS), &words);
        assert_eq!(found, (0..THREADS).map(expected).collect::<Vec<_>>(), "{exchange}");
    };
    check("shfl.sync.bfly.b32 %r9, %r9, 3, 31, %r11;", &|t| words[(t ^ 3) as usize]);
    check("redux.sync.max.u32 %r9, %r9, %r11;", &|t| in_tile(t).max().unwrap_or(0));
    check("elect.sync %r9|%p1, %r11;", &|t| t % 32 / 8 * 8);
    let even = "and.b32 %r12, %r9, 1; setp.eq.u32 %p1, %r12, 0;";
    let evens = |t: u32| {
        let bits = (t % 32 / 8 * 8..).zip(in_tile(t)).filter(|(_, x)| x % 2 == 0);
        bits.fold(0u32, |bits, (i, _)| bits | 1 << i)
    };
    check(&format!("{even} vote.sync.ballot.b32 %r9, %p1, %r11;"), &evens);
    check(&format!("{even} vote.sync.all.pred %p2, %p1, %r11; selp.u32 %r9, 1, 0, %p2;"), &|t| {
        u32::from(evens(t) == own(t))
    });
    check("and.b32 %r12, %r1, 8; match.any.sync.b32 %r9, %r12, %r11;", &own);
    check("and.b32 %r12, %r1, 8; match.all.sync.b32 %r9|%p1, %r12, %r11;", &own);
    // Tiles of a branch, and those of the other, each in its own loop.
    let branches = "setp.lt.u32 %p1, %r10, 16; mov.u32 %r12, 0; @%p1 bra LOW;
        HIGH: shfl.sync.down.b32 %r13, %r9, 1, 0x1807, %r11; add.u32 %r9, %r9, %r13; add.u32 %r12, %r12, 1;
        setp.lt.u32 %p2, %r12, %r10; @%p2 bra HIGH; bra END;
        LOW: shfl.sync.up.b32 %r9, %r9, 1, 0x1800, %r11; END:";
    let mut sums: Vec<u32> = words.clone();
    for t in (0..THREADS as usize).step_by(8) {
        let tile = &mut sums[t..t + 8];
        match t % 32 {
            0 | 8 => tile.rotate_right(1),
            rounds => (0..rounds).for_each(|_| {
                let next: Vec<u32> = tile.iter().skip(1).copied().chain([tile[7]]).collect();
                tile.iter_mut().zip(next).for_each(|(x, y)| *x = x.wrapping_add(y));
            }),
        }
        if t % 32 < 16 {
            sums[t] = words[t];
        }
    }
    check(branches, &|t| sums[t as usize]);
}

/// A tile that is complete goes on, though another waits for what only that one brings about.
#[test]
fn a_tile_does_not_wait_for_another() {
    let statements =
        ".shared .b32 flag; mov.u32 %r9, 0; st.volatile.shared.u32 [flag], %r9; bar.sync 0;
        and.b32 %r10, %r1, 16; mov.u32 %r11, 0xffff; shl.b32 %r11, %r11, %r10;
        setp.ne.u32 %p1, %r1, 20; @%p1 bra MEET;
        WAIT: ld.volatile.shared.u32 %r9, [flag]; setp.eq.u32 %p2, %r9, 0; @%p2 bra WAIT;
        MEET: vote.sync.ballot.b32 %r12, 1, %r11;
        setp.eq.u32 %p3, %r1, 3; @%p3 st.volatile.shared.u32 [flag], 1;
        st.global.u32 [%rd4], %r12;";
    let expected: Vec<u32> = (0..32).map(|t| if t < 16 { 0xffff } else { 0xffff_0000 }).collect();
    assert_eq!(results("", statements, (1, 32), &[0]), expected);
}
