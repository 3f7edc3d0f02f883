//! `div rem` of integers: quotients toward zero, and the fault of a division by zero.

use ptx_vm::error::Rule;

use crate::bench::Bench;
use crate::integer::{TYPES, meaning, wrapped};
use crate::lanes::two;
use crate::samples::integer_pairs;

#[test]
fn quotients_and_remainders() {
    for (name, width, sign, register) in TYPES {
        let of = |x| meaning(x, width, sign);
        let pairs: Vec<_> = integer_pairs(width).into_iter().filter(|p| p[1] != 0).collect();
        two(&format!("div.{name}"), [register; 3], &pairs, |a, b| wrapped(of(a) / of(b), width));
        two(&format!("rem.{name}"), [register; 3], &pairs, |a, b| wrapped(of(a) % of(b), width));
    }
}

/// Lane 5 has a divisor of zero.
fn divide(instruction: &str) -> Bench {
    let text = format!(
        ".visible .entry k() {{ .reg .pred p; .reg .b32 r<4>; .reg .b64 d<4>; .reg .b16 h<4>;
        mov.u32 r1, %tid.x; sub.s32 r2, r1, 5; setp.ne.s32 p, r2, 0;
        cvt.s64.s32 d2, r2; cvt.u16.u32 h2, r2;
        {instruction}
        ret; }}"
    );
    Bench::new(&text)
}

#[test]
fn division_by_zero_is_a_fault() {
    for name in ["div", "rem"] {
        for (kind, register) in
            [("s16", "h"), ("u16", "h"), ("s32", "r"), ("u32", "r"), ("s64", "d"), ("u64", "d")]
        {
            let instruction = format!("{name}.{kind} {register}3, {register}2, {register}2;");
            let fault = divide(&instruction).run(1, 32, &[]).expect_err("lane 5 divides by zero");
            assert_eq!(fault.rule, Rule::DivisionByZero, "{instruction}");
            assert_eq!(fault.thread.expect("known").thread, [5, 0, 0]);
            assert!(fault.text.contains(&instruction), "{}", fault.text);
            // The lane with the zero takes no part.
            let guarded = format!("@p {instruction}");
            divide(&guarded).run(1, 32, &[]).unwrap_or_else(|fault| panic!("{fault}"));
        }
    }
}
