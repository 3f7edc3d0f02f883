//! Functions that are called by their address or call themselves: they stand in the code once, with a stack.

use ptx_vm::error::Rule;
use ptx_vm::launch::Dimensions;

use crate::bench::{Bench, kernel, refused, results};

/// `fibonacci` with a 64-bit register and an array that must be there again after each call.
const FIBONACCI: &str = "
    .func (.param .b64 r) fibonacci(.param .b32 n) {
        .reg .pred %p; .reg .b32 %n, %m; .reg .b64 %a, %b, %s; .local .align 8 .b8 kept[16];
        .param .b32 x; .param .b64 y;
        ld.param.b32 %n, [n]; cvt.u64.u32 %a, %n; setp.lt.u32 %p, %n, 2;
        st.param.b64 [r], %a;
        @%p ret;
        mov.u64 %s, kept; st.local.u64 [%s+8], %a;
        sub.u32 %m, %n, 1; st.param.b32 [x], %m;
        call (y), fibonacci, (x);
        ld.param.b64 %b, [y];
        sub.u32 %m, %n, 2; st.param.b32 [x], %m;
        call (y), fibonacci, (x);
        ld.param.b64 %a, [y]; add.u64 %b, %b, %a;
        ld.local.u64 %a, [kept+8]; cvt.u64.u32 %s, %n; sub.u64 %a, %a, %s; add.u64 %b, %b, %a;
        st.param.b64 [r], %b;
        ret;
    }";

#[test]
fn a_function_calls_itself() {
    let statements = ".param .b32 x; .param .b64 y; rem.u32 %r5, %r4, 13; st.param.b32 [x], %r5;
        setp.ne.u32 %p1, %r5, 5;
        st.param.b64 [y], 77;
        @%p1 call (y), fibonacci, (x);
        ld.param.b64 %rd6, [y]; cvt.u32.u64 %r6, %rd6; st.global.u32 [%rd4], %r6;";
    let numbers = [0, 1, 1, 2, 3, 77, 8, 13, 21, 34, 55, 89, 144];
    let words = results(FIBONACCI, statements, (2, 70), &[0]);
    assert_eq!(words, (0..140).map(|i| numbers[i % 13]).collect::<Vec<_>>());
}

#[test]
fn functions_call_each_other() {
    let module = ".func (.param .b32 r) even(.param .b32 n);
        .func (.param .b32 r) odd(.param .b32 n) {
            .reg .pred %p; .reg .b32 %n; .param .b32 x, y;
            ld.param.b32 %n, [n]; setp.eq.u32 %p, %n, 0; st.param.b32 [r], 0; @%p ret;
            sub.u32 %n, %n, 1; st.param.b32 [x], %n; call (y), even, (x);
            ld.param.b32 %n, [y]; st.param.b32 [r], %n;
        }
        .func (.param .b32 r) even(.param .b32 n) {
            .reg .pred %p; .reg .b32 %n; .param .b32 x, y;
            ld.param.b32 %n, [n]; setp.eq.u32 %p, %n, 0; st.param.b32 [r], 1; @%p ret;
            sub.u32 %n, %n, 1; st.param.b32 [x], %n; call (y), odd, (x);
            ld.param.b32 %n, [y]; st.param.b32 [r], %n;
        }";
    let statements = ".param .b32 x, y; st.param.b32 [x], %r1; call (y), even, (x);
        ld.param.b32 %r5, [y]; st.global.u32 [%rd4], %r5;";
    let words = results(module, statements, (1, 40), &[0]);
    assert_eq!(words, (0..40).map(|i| 1 - i % 2).collect::<Vec<_>>());
}

/// Each call has an array of its own, and hands its address to the next.
#[test]
fn arrays_of_several_calls_live_side_by_side() {
    let module = ".func (.param .b32 r) chain(.param .b64 before, .param .b32 n) {
            .reg .pred %p; .reg .b32 %n, %v; .reg .b64 %b, %s; .local .align 4 .b8 own[4];
            .param .b64 x; .param .b32 y, z;
            ld.param.b64 %b, [before]; ld.param.b32 %n, [n];
            ld.u32 %v, [%b]; mad.lo.u32 %v, %v, 10, %n;
            mov.u64 %s, own; st.local.u32 [%s], %v; cvta.local.u64 %s, %s;
            st.param.b32 [r], %v; setp.eq.u32 %p, %n, 0; @%p ret;
            st.param.b64 [x], %s; sub.u32 %n, %n, 1; st.param.b32 [y], %n;
            call (z), chain, (x, y);
            ld.u32 %v, [%b]; ld.param.b32 %n, [z]; mad.lo.u32 %n, %v, 1000000, %n; st.param.b32 [r], %n;
        }";
    let statements = ".local .align 4 .b8 first[4]; .param .b64 x; .param .b32 y, z;
        st.local.u32 [first], 7; mov.u64 %rd6, first; cvta.local.u64 %rd6, %rd6;
        st.param.b64 [x], %rd6; st.param.b32 [y], 2; call (z), chain, (x, y);
        ld.param.b32 %r5, [z]; st.global.u32 [%rd4], %r5;";
    // 7, then 72, 721, 7210; on the way back the arrays of the callers are as they were.
    let expected = 7 * 1_000_000 + 72 * 1_000_000 + 7210;
    assert_eq!(results(module, statements, (1, 3), &[0]), [expected; 3]);
}

const OPERATIONS: &str = "
    .func (.param .b32 r) add(.param .b32 a, .param .b32 b) {
        .reg .b32 %a, %b; ld.param.b32 %a, [a]; ld.param.b32 %b, [b];
        add.u32 %a, %a, %b; st.param.b32 [r], %a; ret;
    }
    .func (.param .b32 r) times(.param .b32 a, .param .b32 b) {
        .reg .b32 %a, %b; ld.param.b32 %a, [a]; ld.param.b32 %b, [b];
        mul.lo.u32 %a, %a, %b; st.param.b32 [r], %a; ret;
    }
    .func nothing() { ret; }
    .global .align 8 .u64 table[2] = {add, times};
    .const .align 8 .u64 single = times;";

/// Calls what lies at `table[%r1 & 1]`, or elsewhere.
fn call_of(address: &str) -> String {
    format!(
        ".param .b32 x, y, z; and.b32 %r5, %r1, 1; mul.wide.u32 %rd6, %r5, 8; mov.u64 %rd7, table;
        add.u64 %rd6, %rd6, %rd7; {address}
        st.param.b32 [x], %r1; st.param.b32 [y], 5;
        prototype: .callprototype (.param .b32 _) _ (.param .b32 _, .param .b32 _);
        call (z), %rd8, (x, y), prototype;
        ld.param.b32 %r6, [z]; st.global.u32 [%rd4], %r6;"
    )
}

#[test]
fn functions_by_their_address() {
    let words = results(OPERATIONS, &call_of("ld.global.u64 %rd8, [%rd6];"), (2, 40), &[0]);
    let expected = |t: u32| if t.is_multiple_of(2) { t + 5 } else { t * 5 };
    assert_eq!(words, (0..2).flat_map(|_| (0..40).map(expected)).collect::<Vec<_>>());
    let words = results(OPERATIONS, &call_of("ld.const.u64 %rd8, [single];"), (1, 9), &[0]);
    assert_eq!(words, (0..9).map(|t| 5 * t).collect::<Vec<_>>());
    let words = results(OPERATIONS, &call_of("mov.u64 %rd8, add;"), (1, 9), &[0]);
    assert_eq!(words, (0..9).map(|t| t + 5).collect::<Vec<_>>());
    let empty = "mov.u64 %rd6, nothing; p: .callprototype _ (); call %rd6, p; call %rd6, (), p; \
                 st.global.u32 [%rd4], %r1;";
    assert_eq!(results(OPERATIONS, empty, (1, 3), &[0]), [0, 1, 2]);
}

#[test]
fn addresses_of_no_function() {
    let bench = Bench::kernel(OPERATIONS, &call_of("add.u64 %rd8, %rd7, %rd3;"));
    let fault = bench.fault(1, 2, &[0, 0]);
    assert_eq!(fault.rule, Rule::OutOfBounds, "{fault}");
    assert!(fault.message.ends_with("no function has this address"), "{fault}");
    let bench = Bench::kernel(OPERATIONS, &call_of("mov.u64 %rd8, nothing;"));
    let fault = bench.fault(1, 1, &[0, 0]);
    assert_eq!(fault.rule, Rule::Trap, "{fault}");
    assert_eq!(fault.message, "nothing takes or gives other arguments than the call");
    // Functions are not read.
    let bench = Bench::kernel(OPERATIONS, "mov.u64 %rd6, add; ld.u32 %r5, [%rd6];");
    assert_eq!(bench.fault(1, 1, &[0, 0]).rule, Rule::OutOfBounds);
}

#[test]
fn a_recursion_without_end() {
    let module = ".func f() { call f; ret; }";
    let fault = Bench::kernel(module, "call f;").fault(1, 33, &[0, 0]);
    assert_eq!(fault.rule, Rule::OutOfBounds, "{fault}");
    assert_eq!(fault.message, "no room for f in 65536 bytes of stack, 4096 calls deep");
    let module =
        ".func f() { .reg .b32 %a<100>; .local .b8 much[1024]; mov.u32 %a99, 1; call f; ret; }";
    let fault = Bench::kernel(module, "call f;").fault(1, 33, &[0, 0]);
    assert_eq!(fault.message, "no room for f in 65536 bytes of stack, 62 calls deep");
}

#[test]
fn what_a_call_by_address_may_not_be() {
    let refused =
        |statements: &str| refused(&format!("{OPERATIONS}\n{}", kernel(statements))).message;
    let prototype = "p: .callprototype (.param .b32 _) _ (.param .b64 _);";
    let call = |call: &str| refused(&format!(".param .b32 x; .param .b64 y; {prototype} {call}"));
    assert_eq!(
        call("call (x), %rd6, (x), p;"),
        "4 bytes for a parameter of the prototype, which has 8"
    );
    assert_eq!(call("call (x), %rd6, p;"), "the prototype has 1 arguments and 1 results");
    assert_eq!(call("call (x), %r5, (y), p;"), "expected a U64, found a register of type B32");
    let register = ".func f(.reg .b32 x) { ret; }";
    let text =
        format!("{register}\n{}", kernel("mov.u64 %rd6, f; p: .callprototype _ (); call %rd6, p;"));
    assert_eq!(crate::bench::refused(&text).message, "x is a register: .param variables only");
}

/// Barriers, shuffles and prints inside; lanes that call meet again behind the call.
#[test]
fn lanes_meet_again_behind_a_call() {
    let module = ".func (.param .b32 r) sum(.param .b32 n) {
            .reg .pred %p; .reg .b32 %n, %m, %s; .param .b32 x, y;
            ld.param.b32 %n, [n]; st.param.b32 [r], 0; setp.eq.u32 %p, %n, 0; @%p ret;
            sub.u32 %m, %n, 1; st.param.b32 [x], %m; call (y), sum, (x);
            ld.param.b32 %s, [y]; add.u32 %s, %s, %n; st.param.b32 [r], %s; ret;
        }";
    let statements = ".param .b32 x, y; and.b32 %r5, %r1, 7; st.param.b32 [x], %r5;
        setp.gt.u32 %p1, %r5, 2; mov.u32 %r6, 0;
        @!%p1 bra NEXT;
        call (y), sum, (x); ld.param.b32 %r6, [y];
        NEXT: activemask.b32 %r7; popc.b32 %r7, %r7; mad.lo.u32 %r6, %r7, 100, %r6;
        bar.sync 0; st.global.u32 [%rd4], %r6;";
    let expected = |t: u32| 3200 + [0, 0, 0, 6, 10, 15, 21, 28][t as usize % 8];
    for seed in [None, Some(5)] {
        let mut bench = Bench::kernel(module, statements);
        bench.options.adversarial = seed;
        let out = bench.unset(64);
        let dimensions = Dimensions { grid: [1; 3], block: [64, 1, 1], dynamic_shared: 0 };
        let arguments = [out.to_le_bytes(), out.to_le_bytes()].concat();
        bench.launch("k", dimensions, &arguments).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(bench.read(out, 64), (0..64).map(expected).collect::<Vec<_>>());
    }
}
