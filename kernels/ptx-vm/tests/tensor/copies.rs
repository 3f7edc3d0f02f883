//! `cp.async`: sizes, groups, and what happens with a wait too few.

use crate::bench::{Bench, random, refused};
use ptx_vm::error::Rule;
use ptx_vm::random::Random;

/// Addresses of 16 bytes a thread: `%r0` in the tile, `%rd10` in the first buffer, `%rd11` in the second.
const PLACES: &str = "mad.lo.u32 %r0, %lane, 16, tile; mul.wide.u32 %rd10, %lane, 16;
    add.u64 %rd11, %rd2, %rd10; add.u64 %rd10, %rd0, %rd10;";
/// The thread's own 16 bytes go to the second buffer.
const OWN: &str =
    "ld.shared.v4.u32 {%r1, %r2, %r3, %r4}, [%r0]; st.global.v4.u32 [%rd11], {%r1, %r2, %r3, %r4};";
/// A neighbour's do.
const OTHER: &str = "xor.b32 %r0, %r0, 16; ld.shared.v4.u32 {%r1, %r2, %r3, %r4}, [%r0]; xor.b32 %r9, %lane, 1;
    mul.wide.u32 %rd12, %r9, 16; add.u64 %rd12, %rd2, %rd12; st.global.v4.u32 [%rd12], {%r1, %r2, %r3, %r4};";

fn copied(body: &str, threads: u32) -> Result<(Vec<u32>, Vec<u32>), Rule> {
    let input = random(&mut Random::new(11), 4 * threads as usize);
    let bench = Bench::new(&format!("{PLACES}{body}"));
    let out = bench.unset(4 * threads as usize);
    let result = bench.run(threads, [bench.words(&input), out, 0]);
    result.map(|_| (input, bench.read(out, 4 * threads as usize))).map_err(|fault| fault.rule)
}

#[test]
fn every_width_copies_its_bytes() {
    for text in [
        "cp.async.cg.shared.global [%r0], [%rd10], 16;",
        "cp.async.ca.shared.global.L2::128B [%r0], [%rd10], 16;",
        "cp.async.cg.shared::cta.global.L2::256B [%r0], [%rd10], 16, 16;",
        "cp.async.ca.shared::cta.global.L2::64B [%r0], [%rd10], 16;",
        "cp.async.ca.shared.global.L2::256B [%r0], [%rd10], 16;",
        "cp.async.cg.shared.global.L2::64B [%r0], [%rd10], 16;",
        "mov.u64 %rd20, 0; cp.async.cg.shared.global.L2::cache_hint [%r0], [%rd10], 16, %rd20;",
        "mov.u64 %rd20, 0; cp.async.cg.shared::cta.global.L2::cache_hint.L2::128B [%r0], [%rd10], 16, 16, %rd20;",
        "mov.u64 %rd20, 0; setp.ne.u32 %p1, %r0, %r0; cp.async.ca.shared.global.L2::cache_hint [%r0], [%rd10], 16, %p1, %rd20;",
        "cp.async.ca.shared.global [%r0], [%rd10], 8; cp.async.ca.shared.global [%r0 + 8], [%rd10 + 8], 8;",
        "cp.async.ca.shared.global [%r0], [%rd10], 4; cp.async.ca.shared.global [%r0 + 4], [%rd10 + 4], 4;
         cp.async.ca.shared.global [%r0 + 8], [%rd10 + 8], 8;",
    ] {
        let (input, found) = copied(&format!("{text} cp.async.wait_all; {OWN}"), 64).expect(text);
        assert_eq!(found, input, "{text}");
    }
}

#[test]
fn what_is_not_read_is_zero() {
    for (size, keep) in
        [(0u32, [0u32, 0, 0, 0]), (4, [!0, 0, 0, 0]), (6, [!0, 0xffff, 0, 0]), (16, [!0; 4])]
    {
        let body = format!(
            "mov.u32 %r5, {size}; cp.async.cg.shared.global [%r0], [%rd10], 16, %r5; cp.async.wait_all; {OWN}"
        );
        let (input, found) = copied(&body, 32).expect("copies");
        let expected: Vec<u32> = input.iter().enumerate().map(|(i, x)| x & keep[i % 4]).collect();
        assert_eq!(found, expected, "{size} bytes");
    }
    assert_eq!(
        copied("mov.u32 %r5, 17; cp.async.cg.shared.global [%r0], [%rd10], 16, %r5;", 32).err(),
        Some(Rule::Asynchronous)
    );
}

#[test]
fn nothing_is_read_where_nothing_is_wanted() {
    // No allocation at address 8.
    for text in [
        "mov.u32 %r5, 0; cp.async.cg.shared.global [%r0], [8], 16, %r5;",
        "setp.eq.u32 %p1, %r0, %r0; cp.async.cg.shared.global [%r0], [8], 16, %p1;",
        "setp.ne.u32 %p1, %r0, %r0; cp.async.cg.shared.global [%r0], [8], 16, !%p1;",
    ] {
        let (_, found) = copied(&format!("{text} cp.async.wait_all; {OWN}"), 32).expect(text);
        assert_eq!(found, vec![0; 128], "{text}");
    }
    assert_eq!(
        copied("mov.u32 %r5, 16; cp.async.cg.shared.global [%r0], [16], 16, %r5;", 32).err(),
        Some(Rule::OutOfBounds)
    );
}

#[test]
fn a_wait_lets_in_all_groups_but_the_last() {
    let issue = "cp.async.cg.shared.global [%r0], [%rd10], 16; cp.async.commit_group;
        cp.async.cg.shared.global [%r0 + 8192], [%rd10], 16; cp.async.commit_group;";
    let second = OWN.replace("[%r0]", "[%r0 + 8192]");
    for (wait, read, result) in [
        ("cp.async.wait_group 1;", OWN, None),
        ("cp.async.wait_group 2;", OWN, Some(Rule::Asynchronous)),
        ("cp.async.wait_group 0;", second.as_str(), None),
        ("cp.async.wait_group 1;", second.as_str(), Some(Rule::Asynchronous)),
        ("cp.async.wait_group 1; cp.async.wait_group 0;", second.as_str(), None),
        ("cp.async.commit_group; cp.async.wait_group 1;", second.as_str(), None),
    ] {
        let found = copied(&format!("{issue}{wait}{read}"), 32);
        assert_eq!(found.clone().err(), result, "{wait}{read}");
        if let Ok((input, found)) = found {
            assert_eq!(found, input);
        }
    }
}

#[test]
fn a_copy_outside_a_group_is_not_waited_for() {
    let copy = "cp.async.cg.shared.global [%r0], [%rd10], 16;";
    let read = format!("cp.async.wait_group 0; {OWN}");
    assert_eq!(copied(&format!("{copy}{read}"), 32).err(), Some(Rule::Asynchronous));
    assert!(copied(&format!("{copy} cp.async.commit_group; {read}"), 32).is_ok());
}

#[test]
fn another_thread_needs_the_wait_and_the_barrier() {
    let copy = "cp.async.cg.shared.global [%r0], [%rd10], 16; cp.async.commit_group;";
    let wait = "cp.async.wait_group 0;";
    let (input, found) = copied(&format!("{copy}{wait} bar.sync 0; {OTHER}"), 64).expect("copies");
    assert_eq!(found, input);
    assert_eq!(copied(&format!("{copy} bar.sync 0; {OTHER}"), 64).err(), Some(Rule::Asynchronous));
    assert_eq!(copied(&format!("{copy} bar.sync 0; {wait} {OTHER}"), 64).err(), Some(Rule::Race));
}

#[test]
fn the_report_names_the_copy() {
    let bench = Bench::new(&format!(
        "{PLACES}\ncp.async.ca.shared.global [%r0], [%rd10], 4;\nld.shared.u32 %r1, [%r0];"
    ));
    let fault = bench.breaks(32, [bench.words(&[1; 128]), 0, 0], Rule::Asynchronous);
    assert!(fault.message.contains(&format!("PTX line {}", fault.line - 1)), "{fault}");
    assert!(fault.text.starts_with("ld.shared"), "{fault}");
}

#[test]
fn bad_places_are_reported_at_the_copy() {
    for (text, rule) in [
        ("cp.async.cg.shared.global [%r0 + 8], [%rd10], 16;", Rule::Misaligned),
        ("cp.async.cg.shared.global [%r0], [%rd10 + 8], 16;", Rule::Misaligned),
        ("cp.async.cg.shared.global [%r0 + 65536], [%rd10], 16;", Rule::OutOfBounds),
        ("cp.async.cg.shared.global [%r0], [%rd10 + 16], 16;", Rule::OutOfBounds),
        ("cp.async.cg.shared.global [%r0], [%rd11], 16;", Rule::Unwritten),
    ] {
        assert_eq!(copied(text, 32).err(), Some(rule), "{text}");
    }
}

#[test]
fn a_source_changed_too_early_shows_in_adversarial_mode() {
    let copy =
        format!("{PLACES} cp.async.cg.shared.global [%r0], [%rd10], 16; cp.async.commit_group;");
    let (change, wait) = ("mov.u32 %r7, 5; st.global.u32 [%rd10], %r7;", "cp.async.wait_group 0;");
    let early = Bench::new(&format!("{copy}{change}{wait}")).adversarial(1);
    early.breaks(32, [early.words(&[1; 128]), 0, 0], Rule::Asynchronous);
    let late = Bench::new(&format!("{copy}{wait}{change}")).adversarial(1);
    late.passes(32, [late.words(&[1; 128]), 0, 0]);
}

#[test]
fn lanes_wait_each_for_their_own() {
    // The upper half commits once more, so that one group of each lane may stay pending.
    let body = format!(
        "cp.async.cg.shared.global [%r0], [%rd10], 16; cp.async.commit_group;
        setp.ge.u32 %p1, %lane, 16; @%p1 cp.async.commit_group; cp.async.wait_group 1; @%p1 bra READ;
        cp.async.wait_group 0; READ: {OWN}"
    );
    let (input, found) = copied(&body, 32).expect("copies");
    assert_eq!(found, input);
    let missing = body.replace("cp.async.wait_group 0;", "");
    assert_eq!(copied(&missing, 32).err(), Some(Rule::Asynchronous));
}

#[test]
fn unknown_copies_do_not_load() {
    for text in [
        "cp.async.cg.shared.global [%r0], [%rd10], 8;",
        "cp.async.ca.shared.global [%r0], [%rd10], 12;",
        "cp.async.ca.shared.global [%r0], [%rd10], %r1;",
        "cp.async.shared.global [%r0], [%rd10], 16;",
        "cp.async.wait_group %r1;",
        "cp.sync.ca.shared.global [%r0], [%rd10], 16;",
    ] {
        assert!(refused(text).text.contains("cp."), "{text}");
    }
}
