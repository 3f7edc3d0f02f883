//! Loads that nvcc makes wider than what the program reads, and says so (`.pragma "used_bytes_mask"`).

use ptx_vm::error::Rule;

use crate::bench::{Bench, kernel};

/// What threads store after a load from the first buffer with this mask.
fn load(mask: &str, instruction: &str, store: &str) -> Bench {
    Bench::new(&kernel(&format!(
        "mov.u32 %r13, 13; .pragma \"used_bytes_mask {mask}\"; {instruction} {store}"
    )))
}

const FOUR: &str = "ld.global.v4.u32 {%r10, %r11, %r12, %r13}, [%rd1];";
const SUM: &str = "add.u32 %r10, %r10, %r11; add.u32 %r10, %r10, %r12; st.global.u32 [%rd5], %r10;";

#[test]
fn what_is_not_used_may_lie_outside() {
    let bench = load("4095", FOUR, SUM);
    let (from, out) = (bench.words(&[1, 20, 300]), bench.unset(2));
    bench.run(1, 2, &[from, out]).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(bench.read(out, 2), [321; 2]);
    for mask in ["65535", "0x1fff"] {
        let bench = load(mask, FOUR, SUM);
        let (from, out) = (bench.words(&[1, 20, 300]), bench.unset(2));
        let fault = bench.run(1, 2, &[from, out]).expect_err("outside");
        assert_eq!(fault.rule, Rule::OutOfBounds, "{fault}");
    }
    // It holds for one instruction.
    let twice = format!("{FOUR} {FOUR}");
    let bench = load("4095", &twice, SUM);
    let (from, out) = (bench.words(&[1, 20, 300]), bench.unset(2));
    assert_eq!(bench.run(1, 2, &[from, out]).expect_err("outside").rule, Rule::OutOfBounds);
}

#[test]
fn what_is_not_used_may_be_unwritten_or_somebody_elses() {
    let between = "ld.shared.v4.u32 {%r10, %r11, %r12, %r13}, [s]; add.u32 %r10, %r10, %r11; \
                   add.u32 %r10, %r10, %r13; st.global.u32 [%rd5], %r10;";
    let text = |mask: &str, other: &str| {
        let module = ".shared .align 16 .b8 s[16];";
        Bench::new(&format!(
            "{module}\n{}",
            kernel(&format!(
                "setp.ne.u32 %p1, %r1, 0; @%p1 bra OTHER; mov.u32 %r6, 5;
                st.shared.u32 [s], %r6; st.shared.u32 [s+4], %r6; st.shared.u32 [s+12], %r6;
                .pragma \"used_bytes_mask {mask}\"; {between} bra END; OTHER: {other} END:"
            ))
        ))
    };
    for other in ["", "st.shared.u32 [s+8], %r1;"] {
        let bench = text("61695", other);
        let out = bench.unset(2);
        bench.run(1, 2, &[out, out]).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(bench.read(out, 1), [15]);
    }
    assert_eq!(text("65535", "").fault(1, 2, &[0, 0]).rule, Rule::Unwritten);
}

#[test]
fn parts_of_elements_and_registers_of_the_address() {
    // Two bytes of the second word: the buffer ends there.
    let bench = load(
        "63",
        "ld.global.v2.u32 {%r10, %r11}, [%rd1];",
        "and.b32 %r11, %r11, 65535; add.u32 %r10, %r10, %r11; st.global.u32 [%rd5], %r10;",
    );
    let (from, out) = (bench.bytes(&[1, 0, 0, 0, 7, 2]), bench.unset(1));
    bench.run(1, 1, &[from, out]).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(bench.read(out, 1), [1 + 7 + 512]);
    // The first element goes where the address was.
    let bench = load(
        "0xff",
        "ld.global.v2.u64 {%rd1, %rd6}, [%rd1];",
        "cvt.u32.u64 %r10, %rd1; st.global.u32 [%rd5], %r10;",
    );
    let (from, out) = (bench.words(&[9, 0]), bench.unset(1));
    bench.run(1, 1, &[from, out]).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(bench.read(out, 1), [9]);
    let bench = load(
        "0x0fff",
        "ld.global.v4.u32 {%r10, %r11, %r12, %r13}, [%rd1];",
        "st.global.u32 [%rd5], %r12;",
    );
    let (from, out) = (bench.words(&[4, 5, 6]), bench.unset(1));
    bench.run(1, 1, &[from, out]).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(bench.read(out, 1), [6]);
}
