//! What steers caches changes no result; what of it is wrong is refused.

use crate::bench::{kernel, refused, results};

#[test]
fn loads_stores_and_atomics_with_a_policy() {
    for policy in [
        "createpolicy.fractional.L2::evict_last.b64 %rd9, 0.25;",
        "createpolicy.fractional.L2::evict_first.L2::evict_unchanged.b64 %rd9, %f1;",
        "createpolicy.fractional.L2::evict_normal.b64 %rd9;",
        "createpolicy.range.global.L2::evict_last.L2::evict_first.b64 %rd9, [%rd2], 256, 512;",
        "createpolicy.range.L2::evict_last.b64 %rd9, [%rd2], %r1, %r2;",
        "createpolicy.cvt.L2.b64 %rd9, 0x14F0000000000000;",
    ] {
        let statements = format!(
            "mov.f32 %f1, 0f3F000000; {policy} prefetch.global.L2::evict_last [%rd2]; applypriority.global.L2::evict_normal [%rd2], 128;
            ld.global.nc.L1::no_allocate.L2::cache_hint.L2::128B.u32 %r9, [%rd5], %rd9;
            ld.global.L1::evict_last.L2::cache_hint.v2.b32 {{%r10, %r11}}, [%rd2+8], %rd9;
            red.global.add.L2::cache_hint.u32 [%rd2], 5, %rd9;
            atom.global.add.L2::cache_hint.u32 %r12, [%rd2+4], 0, %rd9;
            atom.relaxed.gpu.global.cas.L2::cache_hint.b32 %r13, [%rd2+4], 0, 0, %rd9;
            add.u32 %r9, %r9, %r10; add.u32 %r9, %r9, %r12; add.u32 %r9, %r9, %r13;
            st.global.L1::no_allocate.L2::cache_hint.u32 [%rd4], %r9, %rd9;"
        );
        let statements = statements.replace("[%rd5]", "[%rd5+8]");
        // Words 0 and 1 are counted in, those behind are read.
        let b: Vec<u32> = (0..34).map(|i| if i < 2 { 0 } else { 10 * i }).collect();
        let expected: Vec<u32> = (0..32).map(|t| 10 * (t + 2) + 20).collect();
        assert_eq!(results("", &statements, (1, 32), &b), expected, "{policy}");
    }
}

#[test]
fn what_is_refused() {
    for (statement, why) in [
        ("ld.global.L2::cache_hint.u32 %r1, [%rd1];", "expected 3 operands, found 2"),
        ("ld.global.u32 %r1, [%rd1], %rd2;", "expected 2 operands, found 3"),
        ("ld.global.L2::cache_hint.u32 %r1, [%rd1], %r2;", "expected a B64"),
        ("st.global.L2::cache_hint.u32 [%rd1], %r1, %f1;", "expected a B64"),
        ("atom.global.add.L2::cache_hint.u32 %r1, [%rd1], 1;", "expected 4 operands, found 3"),
        ("red.global.add.u32 [%rd1], 1, %rd2;", "expected 2 operands, found 3"),
        ("createpolicy.fractional.L2::evict_last.b64 %rd1, 0.5, 0.5;", "expected .fractional"),
        ("createpolicy.range.L2::evict_last.b64 %rd1, [%rd2], 5;", "expected .fractional"),
        ("createpolicy.fractional.L2::evict_last.b32 %r1;", "expected .b64"),
    ] {
        let error = refused(&kernel(statement));
        assert!(error.message.contains(why), "{statement}: {error}");
    }
}
