//! `malloc` and `free` in kernels.

use ptx_vm::error::Rule;

use crate::bench::{Bench, kernel};

const HEAP: &str = "
    .extern .func (.param .b64 r) malloc(.param .b64 n);
    .extern .func free(.param .b64 p);";

/// `%rd6` becomes a piece of as many words as the thread's number and one.
const TAKE: &str = ".param .b64 n, p; add.u32 %r5, %r1, 1; mul.wide.u32 %rd6, %r5, 4;
    st.param.b64 [n], %rd6; call (p), malloc, (n); ld.param.b64 %rd6, [p];";
const FREE: &str = "st.param.b64 [n], %rd6; call free, (n);";

fn bench(statements: &str) -> Bench {
    Bench::kernel(HEAP, &format!("{TAKE} {statements}"))
}

#[test]
fn every_thread_has_its_own_piece() {
    // Each fills its piece with its number, and counts what is there when all have.
    let fill = "mov.u32 %r6, 0;
        FILL: mad.wide.u32 %rd7, %r6, 4, %rd6; st.u32 [%rd7], %r1; add.u32 %r6, %r6, 1;
        setp.lt.u32 %p1, %r6, %r5; @%p1 bra FILL;
        bar.sync 0; mov.u32 %r6, 0; mov.u32 %r7, 0;
        SUM: mad.wide.u32 %rd7, %r6, 4, %rd6; ld.u32 %r8, [%rd7]; add.u32 %r7, %r7, %r8; add.u32 %r6, %r6, 1;
        setp.lt.u32 %p1, %r6, %r5; @%p1 bra SUM; st.global.u32 [%rd4], %r7;";
    let bench = bench(&format!("{fill} {FREE}"));
    let out = bench.unset(120);
    for _ in 0..3 {
        bench.run(2, 60, &[out, out]).unwrap_or_else(|e| panic!("{e}"));
        let expected = |t: u32| t * (t + 1);
        assert_eq!(bench.read(out, 120), (0..120).map(|i| expected(i % 60)).collect::<Vec<_>>());
    }
}

/// What one launch takes another may read and free.
#[test]
fn pieces_outlive_a_launch() {
    let second = ".visible .entry second(.param .u64 a, .param .u64 b) {
        .reg .b64 %rd<8>; .reg .b32 %r<4>; .param .b64 n;
        ld.param.u64 %rd1, [a]; ld.global.u64 %rd2, [%rd1]; ld.u32 %r1, [%rd2];
        ld.param.u64 %rd3, [b]; st.global.u32 [%rd3], %r1;
        st.param.b64 [n], %rd2; call free, (n); ret; }";
    let statements = format!("{TAKE} st.u32 [%rd6], 77; st.global.u64 [%rd1], %rd6;");
    let bench = Bench::new(&format!("{HEAP}\n{}\n{second}", kernel(&statements)));
    let (place, out) = (bench.unset(2), bench.unset(1));
    bench.run(1, 1, &[place, out]).unwrap_or_else(|e| panic!("{e}"));
    let arguments = [place.to_le_bytes(), out.to_le_bytes()].concat();
    let one = ptx_vm::launch::Dimensions { grid: [1; 3], block: [1; 3], dynamic_shared: 0 };
    bench.launch("second", one, &arguments).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(bench.read(out, 1), [77]);
    // A second time there is nothing to read.
    let fault = bench.launch("second", one, &arguments).expect_err("freed");
    assert_eq!(fault.rule, Rule::Unwritten, "{fault}");
}

#[test]
fn a_heap_without_room_gives_zero() {
    let statements = "
        MORE: st.param.b64 [n], 1048576; call (p), malloc, (n); ld.param.b64 %rd6, [p];
        add.u32 %r6, %r6, 1; setp.ne.u64 %p1, %rd6, 0; @%p1 bra MORE; st.global.u32 [%rd4], %r6;";
    let bench = Bench::kernel(HEAP, &format!(".param .b64 n, p; mov.u32 %r6, 0; {statements}"));
    let out = bench.unset(1);
    bench.run(1, 1, &[out, out]).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(bench.read(out, 1), [9]);
}

#[test]
fn mistakes() {
    let fault = |statements: &str| bench(statements).fault(1, 2, &[0, 0]);
    assert_eq!(fault("ld.u32 %r6, [%rd6];").rule, Rule::Unwritten);
    assert_eq!(fault(&format!("{FREE} {FREE}")).rule, Rule::Freed);
    assert_eq!(fault(&format!("add.u64 %rd6, %rd6, 4; {FREE}")).rule, Rule::Freed);
    assert_eq!(
        fault(&format!("st.u32 [%rd6], 1; {FREE} ld.u32 %r6, [%rd6];")).rule,
        Rule::Unwritten
    );
    assert_eq!(fault("add.u64 %rd6, %rd6, 16777216; st.u32 [%rd6], 1;").rule, Rule::OutOfBounds);
    let nothing = format!("mov.u64 %rd6, 0; {FREE}");
    bench(&nothing).run(1, 2, &[0, 0]).unwrap_or_else(|e| panic!("{e}"));
}
