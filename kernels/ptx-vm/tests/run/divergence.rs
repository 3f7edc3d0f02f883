//! Branches, loops, calls: lanes part and meet.

use crate::bench::Bench;

const HEAD: &str = ".visible .entry k(.param .u64 out) {
    .reg .pred %p<4>; .reg .b32 %r<16>; .reg .b64 %rd<8>;
    ld.param.u64 %rd1, [out];
    mov.u32 %r1, %tid.x;
";

/// Instructions for the address of the thread's word, and the store of `%r9`.
const TAIL: &str = "
    cvta.to.global.u64 %rd2, %rd1;
    mov.u64 %rd3, 4;
    mov.b64 %rd4, {%r1, %r8};
";

#[test]
fn lanes_that_part_meet_again() {
    let text = format!(
        "{HEAD}
        mov.u32 %r2, 7;
        mov.pred %p1, 1;
        @%p1 bra TAKEN;
        mov.u32 %r2, 8;
        TAKEN:
        st.global.u32 [%rd1], %r2;
        ret; }}"
    );
    let bench = Bench::new(&text);
    let out = bench.unset(1);
    bench.run(1, 1, &[out]).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(bench.read(out, 1), [7]);
    let _ = TAIL;
}
