//! Clusters, which have one block here: their barrier with its two halves, and addresses in other blocks.

use ptx_vm::error::Rule;

use crate::bench::{Bench, refused, results};

/// Neighbours exchange words with what stands between the stores and the loads.
fn exchange(between: &str) -> String {
    format!(
        ".shared .b32 s[96]; mov.u32 %r10, s; mad.lo.u32 %r11, %r1, 4, %r10; xor.b32 %r12, %r1, 33; mad.lo.u32 %r12, %r12, 4, %r10;
        mul.lo.u32 %r9, %r1, 3; st.shared.u32 [%r11], %r9;
        {between}
        ld.shared.u32 %r13, [%r12]; // read
        st.global.u32 [%rd4], %r13;"
    )
}

#[test]
fn the_barrier_of_the_cluster_orders_its_threads() {
    let expected: Vec<u32> = (0..64).map(|t| 3 * (t ^ 33)).collect();
    for between in [
        "barrier.cluster.arrive; barrier.cluster.wait;",
        "barrier.cluster.arrive.release.aligned; mov.u32 %r14, 1; barrier.cluster.wait.acquire.aligned;",
        // Twice, and once for nothing.
        "barrier.cluster.arrive; barrier.cluster.wait; barrier.cluster.arrive.relaxed; barrier.cluster.wait;",
        // Warps come to it in different places, and lanes by themselves.
        "setp.lt.u32 %p1, %r1, 40; @%p1 bra LOW; barrier.cluster.arrive; bra WAIT; LOW: barrier.cluster.arrive; WAIT: barrier.cluster.wait;",
    ] {
        assert_eq!(results("", &exchange(between), (1, 64), &[0]), expected, "{between}");
    }
    for between in
        ["", "barrier.cluster.arrive.relaxed; barrier.cluster.wait;", "barrier.cluster.arrive;"]
    {
        let mut bench = Bench::kernel("", &exchange(between));
        bench.options.written = false;
        let fault = bench.fault(1, 64, &[bench.unset(64), 0]);
        assert_eq!(fault.rule, Rule::Race, "{between}: {fault}");
    }
}

/// Threads that have exited are not waited for, as the manual says of this barrier.
#[test]
fn threads_that_have_exited() {
    let statements = "setp.ge.u32 %p1, %r1, 50; @%p1 exit; barrier.cluster.arrive; barrier.cluster.wait; st.global.u32 [%rd4], %r1;";
    let expected: Vec<u32> = (0..70).map(|t| if t < 50 { t } else { 7777 }).collect();
    assert_eq!(results("", statements, (1, 70), &[0]), expected);
    // Those that leave after the others wait.
    let statements = "setp.lt.u32 %p1, %r1, 32; @%p1 bra WAIT; nanosleep.u32 9; exit; WAIT: barrier.cluster.arrive; barrier.cluster.wait; st.global.u32 [%rd4], %r1;";
    let expected: Vec<u32> = (0..64).map(|t| if t < 32 { t } else { 7777 }).collect();
    assert_eq!(results("", statements, (1, 64), &[0]), expected);
}

#[test]
fn halves_that_do_not_match() {
    let broken = |statements: &str, rule: Rule, at: &str, thread: u32, message: &str| {
        let bench = Bench::kernel("", statements);
        let fault = bench.fault(1, 64, &[0, 0]);
        bench.assert_at(&fault, rule, at, (0, thread));
        assert!(fault.message.contains(message), "{fault}");
    };
    let twice = "barrier.cluster.arrive;\nbarrier.cluster.arrive; // again\nbarrier.cluster.wait;";
    broken(twice, Rule::Barrier, "// again", 0, "without a wait between");
    let absent = "\nbarrier.cluster.wait;\n";
    broken(absent, Rule::Barrier, "barrier.cluster.wait", 0, "without having arrived");
    let some = "setp.lt.u32 %p1, %r1, 32; @%p1 bra WAIT; STAY: bra STAY; WAIT: barrier.cluster.arrive;\nbarrier.cluster.wait;\n";
    let mut bench = Bench::kernel("", some);
    bench.options.instruction_limit = Some(100_000);
    assert_eq!(bench.fault(1, 64, &[0, 0]).rule, Rule::InstructionLimit);
    let unmatched = "setp.lt.u32 %p1, %r1, 32; @!%p1 bra OTHER; barrier.cluster.arrive;\nbarrier.cluster.wait; // cluster\nbra END; OTHER: bar.sync 1, 64; END:";
    let bench = Bench::kernel("", unmatched);
    let fault = bench.fault(1, 64, &[0, 0]);
    assert!(matches!(fault.rule, Rule::Barrier | Rule::Deadlock), "{fault}");
}

#[test]
fn addresses_in_the_only_block() {
    let statements = ".shared .b32 s[64]; .reg .b32 %q<4>; mov.u32 %q0, s; mad.lo.u32 %q0, %r1, 4, %q0; st.shared.u32 [%q0], %r1;
        mapa.shared::cluster.u32 %q1, %q0, %r2; ld.shared::cluster.u32 %r9, [%q1];
        cvt.u64.u32 %rd6, %q0; cvta.shared.u64 %rd6, %rd6; mapa.u64 %rd7, %rd6, 0; ld.u32 %r10, [%rd7];
        getctarank.shared::cluster.u32 %r11, %q1; getctarank.u64 %r12, %rd7;
        mad.lo.u32 %r9, %r10, 100, %r9; add.u32 %r9, %r9, %r11; add.u32 %r9, %r9, %r12; st.global.u32 [%rd4], %r9;";
    let expected: Vec<u32> = (0..64).map(|t| 101 * t).collect();
    assert_eq!(results("", statements, (1, 64), &[0]), expected);
    let bench = Bench::kernel(
        "",
        &format!("\n{statements}")
            .replace("mapa.u64", "\nmapa.u64")
            .replace("%rd6, 0;", "%rd6, 1;\n"),
    );
    let fault = bench.fault(1, 32, &[bench.unset(32), 0]);
    bench.assert_at(&fault, Rule::Trap, "mapa.u64", (0, 0));
    assert_eq!(fault.message, "block 1 of a cluster of one block");
}

#[test]
fn what_is_refused() {
    for (statement, why) in [
        ("barrier.cluster.sync;", "expected .arrive or .wait"),
        ("barrier.cluster.arrive.acquire;", "unknown modifier .acquire"),
        ("barrier.cluster.wait.relaxed;", "unknown modifier .relaxed"),
        ("barrier.cluster.wait 0;", "expected 0 operands"),
        ("mapa.s32 %r1, %r2, 0;", "mapa does not exist for S32"),
    ] {
        let error = refused(&crate::bench::kernel(statement));
        assert!(error.message.contains(why), "{statement}: {error}");
    }
}
