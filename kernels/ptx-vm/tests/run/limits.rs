//! Launches beyond limits, kernels without end, traps: each beside the nearest that runs.

use ptx_vm::error::{Fault, Rule, Thread};
use ptx_vm::launch::{Dimensions, Launch};
use ptx_vm::target::Target;

use crate::bench::{Bench, kernel};

const DIMENSIONS: Dimensions = Dimensions { grid: [1; 3], block: [32, 1, 1], dynamic_shared: 0 };

/// Whether the launch is refused, and how. Nothing runs.
fn refusal(bench: &Bench, dimensions: Dimensions, bytes: usize, target: &Target) -> Option<Fault> {
    let arguments = vec![0; bytes];
    let kernel = &bench.program.kernels["k"];
    let view = bench.memory.view();
    Launch::new(&bench.program, kernel, dimensions, &arguments, view, &bench.options, target)
        .err()
        .map(|f| *f)
}

#[track_caller]
fn check(bench: &Bench, dimensions: Dimensions, message: Option<&str>) {
    let fault = refusal(bench, dimensions, 16, &Target::SM_90);
    assert_eq!(fault.as_ref().map(|fault| fault.message.as_str()), message);
    if let Some(fault) = fault {
        assert_eq!((fault.rule, fault.kernel.as_str(), fault.line), (Rule::Launch, "k", 0));
        assert_eq!((fault.thread, fault.address, fault.text.as_str()), (None, None, ""));
    }
}

#[test]
fn grids_and_blocks() {
    let bench = Bench::kernel("", "");
    let grid = |grid| Dimensions { grid, ..DIMENSIONS };
    let block = |block| Dimensions { block, ..DIMENSIONS };
    for good in [[i32::MAX as u32, 1, 1], [1, 65_535, 65_535]] {
        check(&bench, grid(good), None);
    }
    let most = |found: &str| format!("grid {found}; at most [2147483647, 65535, 65535]");
    check(&bench, grid([1 << 31, 1, 1]), Some(&most("[2147483648, 1, 1]")));
    check(&bench, grid([1, 65_536, 1]), Some(&most("[1, 65536, 1]")));
    check(&bench, grid([1, 1, 65_536]), Some(&most("[1, 1, 65536]")));
    let zero = "grid [1, 0, 1] with blocks of [32, 1, 1]: no dimension may be 0";
    check(&bench, grid([1, 0, 1]), Some(zero));
    let zero = "grid [1, 1, 1] with blocks of [0, 1, 1]: no dimension may be 0";
    check(&bench, block([0, 1, 1]), Some(zero));
    for good in [[1024, 1, 1], [1, 1024, 1], [16, 1, 64]] {
        check(&bench, block(good), None);
    }
    let most = |found: &str| {
        format!("blocks of {found} threads; at most [1024, 1024, 64] and 1024 threads")
    };
    check(&bench, block([1025, 1, 1]), Some(&most("[1025, 1, 1], 1025")));
    check(&bench, block([1, 1025, 1]), Some(&most("[1, 1025, 1], 1025")));
    check(&bench, block([1, 1, 65]), Some(&most("[1, 1, 65], 65")));
    check(&bench, block([32, 32, 2]), Some(&most("[32, 32, 2], 2048")));
    check(
        &bench,
        block([u32::MAX; 3]).clone(),
        Some(&most("[4294967295, 4294967295, 4294967295], 18446744073709551615")),
    );
}

#[test]
fn blocks_a_kernel_was_compiled_for() {
    let tuned =
        |tuning: &str| Bench::new(&kernel("").replacen(") {", &format!(") {tuning} {{"), 1));
    let block = |block| Dimensions { block, ..DIMENSIONS };
    let most = tuned(".maxntid 64, 2");
    check(&most, block([128, 1, 1]), None);
    let message = "blocks of 129 threads; the kernel was compiled for at most [64, 2, 1]";
    check(&most, block([129, 1, 1]), Some(message));
    let exact = tuned(".reqntid 64, 2");
    check(&exact, block([64, 2, 1]), None);
    let message = "blocks of [128, 1, 1]; the kernel was compiled for [64, 2, 1]";
    check(&exact, block([128, 1, 1]), Some(message));
}

#[test]
fn shared_memory() {
    let bench = Bench::kernel(
        ".extern .shared .align 16 .b8 dynamic[];",
        ".shared .b8 fixed[1000]; mov.u32 %r9, dynamic; mov.u32 %r10, fixed;",
    );
    let dynamic = |dynamic_shared| Dimensions { dynamic_shared, ..DIMENSIONS };
    // The dynamic memory starts at the next multiple of 16 behind the 1000 bytes.
    let most = (227 << 10) - 1008;
    check(&bench, dynamic(most), None);
    let message = "232449 bytes of shared memory; sm_90 has 232448 a block";
    check(&bench, dynamic(most + 1), Some(message));
    check(
        &bench,
        dynamic(u32::MAX),
        Some("4294968303 bytes of shared memory; sm_90 has 232448 a block"),
    );
    let ampere =
        refusal(&bench, dynamic((163 << 10) - 1007), 16, &Target::SM_80).expect("too much");
    assert_eq!(ampere.message, "166913 bytes of shared memory; sm_80 has 166912 a block");
    assert_eq!(refusal(&bench, dynamic((163 << 10) - 1008), 16, &Target::SM_80), None);
}

#[test]
fn arguments() {
    let bench = Bench::kernel("", "");
    for (bytes, refused) in [(16, false), (15, true), (17, true), (0, true)] {
        let message = refusal(&bench, DIMENSIONS, bytes, &Target::SM_90).map(|fault| fault.message);
        assert_eq!(
            message,
            refused.then(|| format!("{bytes} bytes of arguments; the kernel takes 16"))
        );
    }
}

#[test]
fn kernels_without_end() {
    let mut bench =
        Bench::kernel("", "LOOP: add.u32 %r9, %r9, 1; setp.ne.u32 %p1, %r9, %r1; bra LOOP;");
    bench.options.instruction_limit = Some(100_000);
    for seed in [None, Some(1)] {
        bench.options.adversarial = seed;
        let fault = bench.fault(2, 64, &[0, 0]);
        assert_eq!(
            (fault.rule, fault.message.as_str()),
            (Rule::InstructionLimit, "more than 100000 instructions")
        );
        assert_eq!((fault.kernel.as_str(), fault.line, fault.address), ("k", 0, None));
        assert_eq!(fault.thread, Some(Thread::default()));
    }
    let text =
        "mov.u32 %r9, 0; LOOP: add.u32 %r9, %r9, 1; setp.lt.u32 %p1, %r9, 16000; @%p1 bra LOOP;";
    let mut bench = Bench::kernel("", text);
    bench.options.instruction_limit = Some(100_000);
    // The limit is each block's: 20 of them run twice as many instructions together.
    bench.pass(20, 64, &[0, 0]);
    bench.options.instruction_limit = Some(90_000);
    assert_eq!(bench.fault(1, 64, &[0, 0]).rule, Rule::InstructionLimit);
}

#[test]
fn traps() {
    let trap = |number: u32| format!("setp.eq.u32 %p1, %r4, {number};\n@%p1 trap;\n");
    let mut bench = Bench::kernel("", &trap(100));
    for checks in [true, false] {
        (bench.options.races, bench.options.written) = (checks, checks);
        let fault = bench.fault(4, 40, &[0, 0]);
        bench.assert_at(&fault, Rule::Trap, "@%p1 trap;", (2, 20));
        assert_eq!(fault.message, "the kernel ran into a trap");
    }
    Bench::kernel("", &trap(160)).pass(4, 40, &[0, 0]);
}

/// Of several blocks that break rules the lowest is told, with any number of host threads.
#[test]
fn the_lowest_block_at_fault() {
    let mut bench = Bench::kernel("", "setp.ge.u32 %p1, %r2, 3;\n@%p1 trap;\n");
    for threads in 1..=4 {
        bench.options.threads = threads;
        let fault = bench.fault(50, 32, &[0, 0]);
        bench.assert_at(&fault, Rule::Trap, "@%p1 trap;", (3, 0));
    }
}
