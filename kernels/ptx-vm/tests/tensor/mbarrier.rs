//! `mbarrier`: phases, arrivals, bytes, states, and what is refused.

use crate::bench::{Bench, random, refused};
use ptx_vm::error::Rule;
use ptx_vm::random::Random;

/// Thread 0 makes an mbarrier for `count` arrivals at `tile + 1024`, whose address all have in `%r100`.
fn init(count: u32) -> String {
    format!(
        "mov.u32 %r100, tile; add.u32 %r100, %r100, 1024; setp.eq.u32 %p15, %lane, 0;
        @%p15 mbarrier.init.shared::cta.b64 [%r100], {count}; @%p15 fence.mbarrier_init.release.cluster; bar.sync 0;\n"
    )
}

/// Polls until the phase of this parity has ended.
fn wait(parity: &str, label: &str) -> String {
    format!(
        "{label}: mbarrier.try_wait.parity.shared::cta.b64 %p14, [%r100], {parity}; @!%p14 bra {label};\n"
    )
}

#[test]
fn a_phase_ends_with_its_last_arrival() {
    // Each thread stores a word, arrives, waits, and reads its neighbour's.
    let body = format!(
        "{} mov.u32 %r0, tile; mad.lo.u32 %r1, %lane, 4, %r0; st.shared.u32 [%r1], %lane;
        mbarrier.arrive.shared::cta.b64 %rd10, [%r100]; {}
        xor.b32 %r2, %lane, 33; mad.lo.u32 %r2, %r2, 4, %r0; ld.shared.u32 %r3, [%r2]; st.global.u32 [%rd1], %r3;",
        init(64),
        wait("0", "W")
    );
    for seed in [None, Some(1), Some(2), Some(3)] {
        let mut bench = Bench::new(&body);
        bench.options.adversarial = seed;
        let out = bench.unset(64);
        bench.passes(64, [out, 0, 0]);
        assert_eq!(bench.read(out, 64), (0..64).map(|i| i ^ 33).collect::<Vec<u32>>());
    }
    // Without the wait nothing orders the store and the load.
    let unordered = Bench::new(&body.replace(&wait("0", "W"), ""));
    let found = unordered.run(64, [unordered.unset(64), 0, 0]).map_err(|fault| fault.rule);
    assert!(matches!(found, Err(Rule::Race | Rule::Unwritten)));
    // One arrival too few.
    let few = Bench::new(&body.replace("], 64;", "], 65;"));
    let fault = few.breaks(64, [0; 3], Rule::Deadlock);
    assert!(fault.message.contains("waits for 1 of 65 arrivals"), "{fault}");
}

/// Arrivals and waits under all their names, at the address in shared memory and as a generic one.
#[test]
fn every_form_of_arrivals_and_waits() {
    let places = [(".shared", "[%r100]"), (".shared::cta", "[%r100]"), ("", "[%rd30]")];
    let mut arrivals = Vec::new();
    for strength in ["", ".release.cta", ".release.cluster"] {
        for (space, at) in places {
            for end in ["", ".expect_tx"] {
                let bytes = if end.is_empty() { "" } else { ", 0" };
                let finish = format!("mbarrier.arrive{end}{strength}{space}.b64");
                arrivals.push(format!("{finish} %rd10, {at}{bytes};"));
                // Of threads that leave for good.
                arrivals.push(format!(
                    "{} %rd10, {at}{bytes};",
                    finish.replace("arrive", "arrive_drop")
                ));
            }
            arrivals.push(format!("mbarrier.arrive{strength}{space}.b64 %rd10, {at}, 1;"));
        }
        arrivals.push(format!(
            "mbarrier.arrive{strength}.shared::cluster.b64 _, [%r100]; mov.u64 %rd10, 0;"
        ));
        arrivals.push(format!(
            "mbarrier.arrive.expect_tx{strength}.shared::cluster.b64 _, [%r100], 0; mov.u64 %rd10, 0;"
        ));
    }
    let mut waits = Vec::new();
    for strength in ["", ".acquire.cta", ".acquire.cluster"] {
        for (space, at) in places {
            for name in ["test_wait", "try_wait"] {
                let suspended = if name == "try_wait" { &["", ", 100"][..] } else { &[""] };
                for limit in suspended {
                    waits.push(format!(
                        "mbarrier.{name}{strength}{space}.b64 %p14, {at}, %rd10{limit};"
                    ));
                    waits.push(format!(
                        "mbarrier.{name}.parity{strength}{space}.b64 %p14, {at}, 0{limit};"
                    ));
                }
            }
        }
    }
    let body = |arrive: &str, wait: &str| {
        format!(
            "{} cvt.u64.u32 %rd30, %r100; cvta.shared.u64 %rd30, %rd30;
            mov.u32 %r0, tile; mad.lo.u32 %r1, %lane, 4, %r0; st.shared.u32 [%r1], %lane;
            {arrive} W: {wait} @!%p14 bra W;
            xor.b32 %r2, %lane, 33; mad.lo.u32 %r2, %r2, 4, %r0; ld.shared.u32 %r3, [%r2]; st.global.u32 [%rd1], %r3;",
            init(64)
        )
    };
    // A state that was not given back (`_`) cannot be waited for: those go with a parity.
    let by_parity = |arrive: &str| {
        if arrive.contains(" _,") {
            "mbarrier.try_wait.parity.shared.b64 %p14, [%r100], 0;"
        } else {
            &waits[0]
        }
    };
    let mut texts: Vec<String> =
        arrivals.iter().map(|arrive| body(arrive, by_parity(arrive))).collect();
    texts.extend(waits.iter().map(|wait| body(&arrivals[0], wait)));
    for text in texts {
        for seed in [None, Some(5)] {
            let mut bench = Bench::new(&text);
            bench.options.adversarial = seed;
            let out = bench.unset(64);
            bench.passes(64, [out, 0, 0]);
            assert_eq!(
                bench.read(out, 64),
                (0..64).map(|i| i ^ 33).collect::<Vec<u32>>(),
                "{text}"
            );
        }
    }
    // What is relaxed counts, and hands nothing on.
    for (arrive, wait) in [
        ("mbarrier.arrive.relaxed.cta.shared.b64 %rd10, [%r100];", &*waits[0]),
        ("mbarrier.arrive.expect_tx.relaxed.cluster.shared.b64 %rd10, [%r100], 0;", &waits[0]),
        (&arrivals[0], "mbarrier.test_wait.relaxed.cta.shared.b64 %p14, [%r100], %rd10;"),
        (&arrivals[0], "mbarrier.try_wait.parity.relaxed.cluster.shared.b64 %p14, [%r100], 0;"),
    ] {
        let mut bench = Bench::new(&body(arrive, wait));
        bench.breaks(64, [bench.unset(64), 0, 0], Rule::Race);
        bench.options.races = false;
        bench.passes(64, [bench.unset(64), 0, 0]);
    }
}

/// Bytes announced and brought, under all names.
#[test]
fn every_form_of_byte_counts() {
    for strength in ["", ".relaxed.cta", ".relaxed.cluster"] {
        for (space, at) in [(".shared", "[%r100]"), (".shared::cta", "[%r100]"), ("", "[%rd30]")] {
            let text = format!(
                "{} cvt.u64.u32 %rd30, %r100; cvta.shared.u64 %rd30, %rd30;
                mbarrier.expect_tx{strength}{space}.b64 {at}, 24; mbarrier.arrive{space}.b64 _, {at};
                mbarrier.test_wait.parity.shared.b64 %p1, [%r100], 0; selp.u32 %r1, 1, 0, %p1; st.global.u32 [%rd1], %r1;
                mbarrier.complete_tx{strength}{space}.b64 {at}, 24;
                mbarrier.test_wait.parity.shared.b64 %p1, [%r100], 0; selp.u32 %r1, 1, 0, %p1; st.global.u32 [%rd1+4], %r1;
                mbarrier.inval{space}.b64 {at}; mbarrier.init{space}.b64 {at}, 3;",
                init(1)
            );
            let bench = Bench::new(&text);
            let out = bench.unset(2);
            bench.passes(1, [out, 0, 0]);
            assert_eq!(bench.read(out, 2), [0, 1], "{strength}{space}");
        }
    }
}

#[test]
fn states_and_counts() {
    let body = format!(
        "{} mbarrier.arrive.shared.b64 %rd10, [%r100], 2; mbarrier.pending_count.b64 %r1, %rd10;
        mbarrier.arrive.noComplete.release.cta.shared::cta.b64 %rd11, [%r100], 1; mbarrier.pending_count.b64 %r2, %rd11;
        mbarrier.test_wait.shared.b64 %p1, [%r100], %rd10; selp.u32 %r3, 1, 0, %p1;
        mbarrier.arrive_drop.shared.b64 %rd12, [%r100]; mbarrier.pending_count.b64 %r4, %rd12;
        mbarrier.test_wait.shared.b64 %p1, [%r100], %rd10; selp.u32 %r5, 1, 0, %p1;
        mbarrier.arrive.shared.b64 %rd13, [%r100]; mbarrier.pending_count.b64 %r6, %rd13;
        mbarrier.test_wait.shared.b64 %p1, [%r100], %rd13; selp.u32 %r7, 1, 0, %p1;
        mbarrier.test_wait.parity.shared.b64 %p1, [%r100], 0; selp.u32 %r8, 1, 0, %p1;
        mbarrier.test_wait.parity.shared.b64 %p1, [%r100], 1; selp.u32 %r9, 1, 0, %p1;
        st.global.u32 [%rd0], %r1; st.global.u32 [%rd0+4], %r2; st.global.u32 [%rd0+8], %r3; st.global.u32 [%rd0+12], %r4;
        st.global.u32 [%rd0+16], %r5; st.global.u32 [%rd0+20], %r6; st.global.u32 [%rd0+24], %r7; st.global.u32 [%rd0+28], %r8;
        st.global.u32 [%rd0+32], %r9;",
        init(4)
    );
    let bench = Bench::new(&body);
    let out = bench.unset(9);
    bench.passes(1, [out, 0, 0]);
    // 4 pending, then 2; not ended; 1 left; ended; the next phase waits for 3, and has not ended.
    assert_eq!(bench.read(out, 9), [4, 2, 0, 1, 1, 3, 0, 1, 0]);
}

#[test]
fn a_fresh_barrier_has_ended_the_phase_before() {
    let text = |parity: u32| {
        format!(
            "{} mbarrier.test_wait.parity.shared.b64 %p1, [%r100], {parity}; selp.u32 %r1, 1, 0, %p1; st.global.u32 [%rd1], %r1;",
            init(1)
        )
    };
    for (parity, result) in [(1, 1), (0, 0)] {
        let bench = Bench::new(&text(parity));
        let out = bench.unset(32);
        bench.passes(32, [out, 0, 0]);
        assert_eq!(bench.read(out, 32), vec![result; 32]);
    }
    Bench::new(&text(2)).breaks(32, [0; 3], Rule::Asynchronous);
}

#[test]
fn bytes_count_too() {
    let body = |first: u32, second: u32| {
        format!(
            "{} mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r100], {first}; mbarrier.complete_tx.shared::cta.b64 [%r100], 16;
            mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%r100], 8; mbarrier.complete_tx.shared::cta.b64 [%r100], {second};
            mbarrier.test_wait.parity.shared.b64 %p1, [%r100], 0; selp.u32 %r1, 1, 0, %p1; st.global.u32 [%rd1], %r1;",
            init(1)
        )
    };
    for (first, second, ended) in [(48, 40, 1), (48, 39, 0)] {
        let bench = Bench::new(&body(first, second));
        let out = bench.unset(1);
        bench.passes(1, [out, 0, 0]);
        assert_eq!(bench.read(out, 1), [ended]);
    }
    Bench::new(&body(1 << 20, 0)).breaks(1, [0; 3], Rule::Asynchronous);
}

#[test]
fn misuse_is_reported() {
    let after =
        |text: &str, rule| Bench::new(&format!("{}{text}", init(2))).breaks(1, [0; 3], rule);
    let arrive = "mbarrier.arrive.shared.b64 _, [%r100];";
    after("mbarrier.arrive.shared.b64 _, [%r100], 3;", Rule::Asynchronous);
    after("mbarrier.arrive.noComplete.shared.b64 _, [%r100], 2;", Rule::Asynchronous);
    after("mbarrier.init.shared.b64 [%r100], 1;", Rule::Asynchronous);
    after("mbarrier.init.shared.b64 [%r100 + 8], 0;", Rule::Asynchronous);
    after("mbarrier.init.shared.b64 [%r100 + 4], 1;", Rule::Misaligned);
    after("mbarrier.init.shared.b64 [%r100 + 65536], 1;", Rule::OutOfBounds);
    after("mbarrier.arrive.shared.b64 _, [%r100 + 8];", Rule::Unwritten);
    after(&format!("mbarrier.inval.shared.b64 [%r100]; {arrive}"), Rule::Unwritten);
    after("mbarrier.inval.shared.b64 [%r100]; mbarrier.inval.shared.b64 [%r100];", Rule::Unwritten);
    after(&format!("st.shared.u32 [%r100], %lane; {arrive}"), Rule::Asynchronous);
    after(
        "mov.u64 %rd10, 5; mbarrier.test_wait.shared.b64 %p1, [%r100], %rd10;",
        Rule::Asynchronous,
    );
    // The same without the mistake.
    let good =
        format!("mbarrier.inval.shared.b64 [%r100]; mbarrier.init.shared.b64 [%r100], 1; {arrive}");
    Bench::new(&format!("{}{good}", init(2))).passes(1, [0; 3]);
    // Made by one thread, used by another with nothing between.
    let racing = init(2).replace("bar.sync 0;", "");
    Bench::new(&format!("{racing}{arrive}")).breaks(64, [0; 3], Rule::Race);
}

#[test]
fn copies_arrive_at_it() {
    // The lower warp copies, the upper reads once the mbarrier says so.
    let body = |noinc: &str, count: u32| {
        format!(
            "{} setp.lt.u32 %p1, %lane, 32; @!%p1 bra READ;
            mov.u32 %r0, tile; mad.lo.u32 %r0, %lane, 16, %r0; mul.wide.u32 %rd10, %lane, 16; add.u64 %rd10, %rd0, %rd10;
            cp.async.cg.shared.global [%r0], [%rd10], 16; cp.async.mbarrier.arrive{noinc}.shared::cta.b64 [%r100];
            {} bra END;
            READ: {} mov.u32 %r0, tile; sub.u32 %r1, %lane, 32; mad.lo.u32 %r0, %r1, 16, %r0; mul.wide.u32 %rd11, %r1, 16;
            add.u64 %rd11, %rd2, %rd11; ld.shared.v4.u32 {{%r2, %r3, %r4, %r5}}, [%r0]; st.global.v4.u32 [%rd11], {{%r2, %r3, %r4, %r5}};
            END:",
            init(count),
            if noinc.is_empty() { "mbarrier.arrive.shared.b64 _, [%r100];" } else { "" },
            wait("0", "W")
        )
    };
    for arrive in [
        "cp.async.mbarrier.arrive.noinc.shared.b64 [%r100];",
        "cp.async.mbarrier.arrive.noinc.b64 [%rd30];",
    ] {
        let named = "cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%r100];";
        let text = body(".noinc", 32).replace(
            named,
            &format!("cvt.u64.u32 %rd30, %r100; cvta.shared.u64 %rd30, %rd30; {arrive}"),
        );
        let bench = Bench::new(&text);
        let (input, out) = (random(&mut Random::new(30), 128), bench.unset(128));
        bench.passes(64, [bench.words(&input), out, 0]);
        assert_eq!(bench.read(out, 128), input, "{arrive}");
    }
    let input = random(&mut Random::new(31), 128);
    for (noinc, count) in [(".noinc", 32), ("", 32)] {
        for seed in [None, Some(1), Some(2), Some(3), Some(4)] {
            let mut bench = Bench::new(&body(noinc, count));
            bench.options.adversarial = seed;
            let out = bench.unset(128);
            bench.passes(64, [bench.words(&input), out, 0]);
            assert_eq!(bench.read(out, 128), input, "{noinc} {seed:?}");
        }
        let unwaited = Bench::new(&body(noinc, count).replace(&wait("0", "W"), ""));
        let out = unwaited.unset(128);
        let fault = unwaited.run(64, [unwaited.words(&input), out, 0]).expect_err("a fault");
        assert!(matches!(fault.rule, Rule::Asynchronous | Rule::Race), "{fault}");
    }
    let short = Bench::new(&body(".noinc", 33));
    short.breaks(64, [short.words(&input), short.unset(128), 0], Rule::Deadlock);
}

#[test]
fn unknown_forms_do_not_load() {
    for text in [
        "mbarrier.arrive.shared.b32 _, [%r1];",
        "mbarrier.arrive.expect_tx.shared.b64 _, [%r1];",
        "mbarrier.try_wait.parity.shared.b64 %r2, [%r1], 0;",
        "mbarrier.test_wait.parity.shared.b64 %p1, [%r1], 0, 100;",
        "mbarrier.observe.shared.b64 _, [%r1];",
        "mbarrier.init.shared.b64 [%r1];",
    ] {
        assert!(refused(text).text.contains("mbarrier"), "{text}");
    }
}
