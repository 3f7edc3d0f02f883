//! Nanoseconds a warp instruction takes in a loop of copies of it, lanes all active; prints, asserts nothing:
//! `cargo test -p ptx-vm --test instructions speed -- --ignored --nocapture`.

use crate::bench::Bench;
use ptx_vm::launch::{Dimensions, Launch, Options};
use ptx_vm::target::Target;

const COPIES: usize = 64;
const ROUNDS: u32 = 60_000;

/// What this thread has run so far: others may want the processor too.
fn processor_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("a Linux host");
    let nanoseconds = text.split(' ').next().and_then(|n| n.parse::<u64>().ok());
    nanoseconds.expect("a number") as f64 * 1e-9
}

/// Seconds of one launch of one warp.
fn seconds(bench: &Bench, options: &Options) -> f64 {
    let dimensions = Dimensions { grid: [1; 3], block: [32, 1, 1], dynamic_shared: 0 };
    let (kernel, view) = (&bench.program.kernels["k"], bench.memory.view());
    let best = (0..5).map(|_| {
        let launch = Launch::new(
            &bench.program,
            kernel,
            dimensions,
            &[],
            view.clone(),
            options,
            &Target::SM_90,
        );
        let launch = launch.unwrap_or_else(|fault| panic!("{fault}"));
        let began = processor_seconds();
        launch.run().unwrap_or_else(|fault| panic!("{fault}"));
        processor_seconds() - began
    });
    best.fold(f64::INFINITY, f64::min)
}

fn bench(code: &str) -> Bench {
    let body = if code.is_empty() { String::new() } else { format!("{code};\n").repeat(COPIES) };
    Bench::new(&format!(
        ".visible .entry k() {{ .reg .pred p, q, done; .reg .b16 h<4>; .reg .b32 r<4>; .reg .f32 f<4>;
        .reg .b64 w<4>; .reg .f64 d<4>; .reg .u32 i;
        mov.u32 r1, %tid.x; mov.u32 r2, 3; mov.u32 r3, 5; mov.f32 f1, 0f3F800001; mov.f32 f2, 0f3F7FFFFF; mov.f32 f3, 0f3A000000;
        mov.u64 w1, 7; mov.u64 w2, 9; mov.f64 d1, 0d3FF0000000000001; mov.f64 d2, d1; mov.f64 d3, d1; mov.b16 h1, 15; mov.b16 h2, 16; mov.b16 h3, 3;
        mov.u32 i, 0; setp.lt.s32 p, r1, 7;
        AGAIN: {body} add.u32 i, i, 1; setp.lt.u32 done, i, {ROUNDS}; @done bra AGAIN; ret; }}"
    ))
}

#[test]
#[ignore = "a measurement"]
fn nanoseconds() {
    let options = Options { threads: 1, ..Options::default() };
    for code in [
        "add.f32 f0, f1, f2",
        "mul.f32 f0, f1, f2",
        "fma.rn.f32 f0, f1, f2, f3",
        "fma.rn.ftz.f32 f0, f1, f2, f3",
        "add.rz.f32 f0, f1, f2",
        "fma.rm.f32 f0, f1, f2, f3",
        "max.f32 f0, f1, f2",
        "div.rn.f32 f0, f1, f2",
        "sqrt.rn.f32 f0, f1",
        "ex2.approx.ftz.f32 f0, f1",
        "lg2.approx.f32 f0, f1",
        "tanh.approx.f32 f0, f1",
        "sin.approx.f32 f0, f1",
        "rcp.approx.ftz.f32 f0, f1",
        "add.s32 r0, r1, r2",
        "add.s64 w0, w1, w2",
        "mul.lo.s32 r0, r1, r2",
        "mad.lo.s32 r0, r1, r2, r3",
        "mul.wide.s32 w0, r1, r2",
        "mul.hi.u32 r0, r1, r2",
        "mul.lo.s64 w0, w1, w2",
        "shl.b32 r0, r1, 3",
        "shr.s32 r0, r1, r2",
        "and.b32 r0, r1, r2",
        "lop3.b32 r0, r1, r2, r3, 0x96",
        "bfi.b32 r0, r1, r2, 3, 4",
        "bfe.u32 r0, r1, 3, 4",
        "prmt.b32 r0, r1, r2, 0x5410",
        "popc.b32 r0, r1",
        "div.s32 r0, r1, r2",
        "setp.lt.s32 q, r1, r2",
        "setp.ge.ftz.f32 q, f1, f2",
        "setp.lt.s64 q, w1, w2",
        "selp.f32 f0, f1, f2, p",
        "and.pred q, p, p",
        "mov.b32 r0, r1",
        "cvt.s64.s32 w0, r1",
        "cvt.u32.u64 r0, w1",
        "cvt.rn.f32.s32 f0, r1",
        "cvt.rzi.s32.f32 r0, f1",
        "cvt.rn.bf16x2.f32 r0, f1, f2",
        "cvt.rn.f16x2.f32 r0, f1, f2",
        "cvt.rn.bf16.f32 h0, f1",
        "cvt.f32.bf16 f0, h1",
        "cvt.f32.f16 f0, h1",
        "cvt.rz.f16.f32 h0, f1",
        "cvt.u16.u8 h0, h1",
        "fma.rn.bf16x2 r0, r1, r2, r3",
        "add.f64 d0, d1, d2",
        "fma.rn.f64 d0, d1, d2, d3",
        "add.rz.f64 d0, d1, d2",
    ] {
        let nothing = seconds(&bench(""), &options);
        let time = seconds(&bench(code), &options) - nothing;
        println!("{code:36} {:7.1} ns", time * 1e9 / (COPIES as f64 * f64::from(ROUNDS)));
    }
}
