//! Addresses that are wrong, each beside the nearest right one.

use ptx_vm::error::{Fault, Rule};
use ptx_vm::syntax::Source;

use crate::bench::{Bench, kernel};

/// The program breaks `rule` in thread (block, thread) at `address`, an offset from `a` or in its own space.
#[track_caller]
fn breaks(
    bench: &Bench,
    arguments: &[u64],
    rule: Rule,
    at: &str,
    thread: u32,
    address: u64,
) -> Fault {
    let fault = bench.fault(1, 32, arguments);
    bench.assert_at(&fault, rule, at, (0, thread));
    assert_eq!(fault.address, Some(address), "{fault}");
    fault
}

/// Instructions that access four bytes at an address, `{}`, in a space, `{s}`.
const ACCESSES: [&str; 5] = [
    "ld{s}.u32 %r9, [{}];",
    "st{s}.u32 [{}], %r9;",
    "atom{s}.add.u32 %r9, [{}], 1;",
    "red{s}.or.b32 [{}], %r1;",
    "ld.volatile{s}.b32 %r9, [{}];",
];

fn access(template: &str, space: &str, address: &str) -> String {
    template.replace("{s}", space).replace("{}", address)
}

#[test]
fn bounds_of_global_memory() {
    for template in ACCESSES {
        for space in [".global", ""] {
            for (offset, thread) in [(0i64, None), (4, Some(31)), (-4, Some(0)), (400, Some(0))] {
                let instruction = access(template, space, &format!("%rd4+{offset}"));
                let bench = Bench::kernel("", &format!("mov.u32 %r9, 1;\n{instruction}\n"));
                let a = bench.words(&[5; 32]);
                match thread {
                    None => bench.pass(1, 32, &[a, 0]),
                    Some(thread) => {
                        let address = a.wrapping_add_signed(offset) + 4 * u64::from(thread);
                        breaks(&bench, &[a, 0], Rule::OutOfBounds, &instruction, thread, address);
                    }
                }
            }
        }
    }
}

#[test]
fn a_vector_that_runs_over_the_end() {
    let bench = Bench::kernel(
        "",
        "mul.wide.u32 %rd6, %r1, 8; add.s64 %rd6, %rd1, %rd6;\nld.global.v2.u32 {%r9, %r10}, [%rd6];\n",
    );
    bench.pass(1, 32, &[bench.words(&[1; 64]), 0]);
    let a = bench.words(&[1; 63]);
    let fault = breaks(&bench, &[a, 0], Rule::OutOfBounds, "ld.global.v2", 31, a + 248);
    assert!(fault.message.contains("runs over the end of the 252 bytes"), "{fault}");
}

#[test]
fn a_null_pointer() {
    let bench = Bench::kernel("", "\nst.global.u32 [%rd2], %r9;\n");
    let fault = breaks(&bench, &[0, 0], Rule::OutOfBounds, "st.global", 0, 0);
    assert!(fault.message.contains("a null pointer"), "{fault}");
}

#[test]
fn bounds_of_shared_memory() {
    for template in ACCESSES {
        for offset in [0u32, 4] {
            let instruction = access(template, ".shared", &format!("%r10+{offset}"));
            let bench = Bench::kernel(
                "",
                &format!(
                    ".shared .b32 s[32]; mov.u32 %r10, s; mad.lo.u32 %r10, %r1, 4, %r10; mov.u32 %r9, 2;
                    st.shared.b32 [%r10], %r9; bar.sync 0;\n{instruction}\n"
                ),
            );
            // The neighbour's word: only the bounds are looked at.
            let mut bench = bench;
            bench.options.races = false;
            match offset {
                0 => bench.pass(1, 32, &[0, 0]),
                _ => drop(breaks(&bench, &[0, 0], Rule::OutOfBounds, &instruction, 31, 128)),
            }
        }
    }
}

#[test]
fn bounds_of_local_memory_and_parameters() {
    for (address, bad) in
        [("%rd6+12", None), ("%rd6+16", Some(16)), ("%rd6+-4", Some(u64::MAX - 3))]
    {
        let instruction = format!("st.local.u32 [{address}], %r1;");
        let bench =
            Bench::kernel("", &format!(".local .b32 l[4]; mov.u64 %rd6, l;\n{instruction}\n"));
        match bad {
            None => bench.pass(1, 32, &[0, 0]),
            Some(bad) => drop(breaks(&bench, &[0, 0], Rule::OutOfBounds, &instruction, 0, bad)),
        }
    }
    let bench = Bench::kernel("", "\nld.param.u64 %rd6, [b+8];\n");
    breaks(&bench, &[0, 0], Rule::OutOfBounds, "[b+8]", 0, 16);
}

#[test]
fn alignment() {
    // Four bytes at odd places, eight and sixteen at every fourth byte.
    for (instruction, thread) in [
        ("ld.global.u32 %r9, [%rd4+2];", 0),
        ("st.global.u16 [%rd4+1], %h1;", 0),
        ("ld.global.v2.u32 {%r9, %r10}, [%rd4];", 1),
        ("ld.global.u64 %rd7, [%rd4];", 1),
        ("st.global.v4.u32 [%rd4], {%r1, %r1, %r1, %r1};", 1),
        ("red.global.add.u32 [%rd4+3], 1;", 0),
    ] {
        let bench = Bench::kernel("", &format!("\n{instruction}\n"));
        let a = bench.words(&[1; 64]);
        let offset =
            instruction.split_once("%rd4+").map_or(0, |(_, x)| u64::from(x.as_bytes()[0] - b'0'));
        breaks(
            &bench,
            &[a, 0],
            Rule::Misaligned,
            instruction,
            thread,
            a + 4 * u64::from(thread) + offset,
        );
    }
    for instruction in ["ld.global.u8 %h1, [%rd4+1];", "ld.global.v2.u8 {%h1, %h2}, [%rd4+2];"] {
        let bench = Bench::kernel("", instruction);
        bench.pass(1, 32, &[bench.words(&[1; 64]), 0]);
    }
    for (space, address) in [("shared", "s"), ("local", "l")] {
        let instruction = format!("st.{space}.u32 [{address}+2], %r1;");
        let bench =
            Bench::kernel("", &format!(".shared .b32 s[4]; .local .b32 l[4];\n{instruction}\n"));
        breaks(&bench, &[0, 0], Rule::Misaligned, &instruction, 0, 2);
    }
}

#[test]
fn freed_memory() {
    for template in ACCESSES {
        let instruction = access(template, ".global", "%rd4");
        let bench = Bench::kernel("", &format!("mov.u32 %r9, 1;\n{instruction}\n"));
        let a = bench.words(&[1; 32]);
        bench.pass(1, 32, &[a, 0]);
        bench.memory.free(a).expect("allocated");
        let fault = breaks(&bench, &[a, 0], Rule::Freed, &instruction, 0, a);
        assert!(fault.message.contains("which were freed"), "{fault}");
        bench.pass(1, 32, &[bench.words(&[1; 32]), 0]);
    }
}

/// Runs with and without the detector: with it the last thread is at fault, without it nobody.
#[track_caller]
fn unwritten(statements: &str, near: &str, at: &str, written: usize, address: impl Fn(u64) -> u64) {
    let mut bench = Bench::kernel("", statements);
    let a = bench.unset(32);
    bench.memory.write(a, &vec![1; 4 * written]).expect("in bounds");
    let fault = breaks(&bench, &[a, 0], Rule::Unwritten, at, 31, address(a));
    assert!(fault.message.contains("nobody wrote byte 0 of it"), "{fault}");
    bench.options.written = false;
    bench.pass(1, 32, &[a, 0]);
    let bench = Bench::kernel("", near);
    bench.pass(1, 32, &[bench.words(&[1; 32]), 0]);
}

#[test]
fn memory_nobody_wrote() {
    for instruction in ["ld.global.u32 %r9, [%rd4];", "atom.global.max.u32 %r9, [%rd4], 1;"] {
        let statements = format!("\n{instruction}\n");
        unwritten(&statements, &statements, instruction, 31, |a| a + 124);
    }
    let shared = |limit: u32| {
        format!(
            ".shared .b32 s[32]; mov.u32 %r10, s; mad.lo.u32 %r10, %r1, 4, %r10; setp.lt.u32 %p1, %r1, {limit};
            @%p1 st.shared.u32 [%r10], %r1; bar.sync 0;\nld.shared.u32 %r9, [%r10];\n"
        )
    };
    unwritten(&shared(31), &shared(32), "ld.shared.u32", 0, |_| 124);
    let local = |limit: u32| {
        format!(
            ".local .b32 l[2]; setp.lt.u32 %p1, %r1, {limit}; mov.u64 %rd6, l;
            @%p1 st.local.u32 [%rd6+4], %r1;\nld.local.u32 %r9, [%rd6+4];\n"
        )
    };
    unwritten(&local(31), &local(32), "ld.local.u32", 0, |_| 4);
}

/// The next block does not find what the one before it wrote into shared memory.
#[test]
fn shared_memory_is_new_for_each_block() {
    let bench = Bench::kernel(
        "",
        ".shared .b32 s; setp.eq.u32 %p1, %r2, 0; @%p1 st.shared.u32 [s], %r2;\nld.shared.u32 %r9, [s];\n",
    );
    let fault = bench.fault(2, 1, &[0, 0]);
    bench.assert_at(&fault, Rule::Unwritten, "ld.shared.u32", (1, 0));
    bench.pass(1, 1, &[0, 0]);
}

#[test]
fn read_only_memory() {
    for (space, rule) in [(".const", Some(Rule::ReadOnly)), (".global", None)] {
        for template in ["st.u32 [%rd6+4], %r9;", "atom.exch.b32 %r9, [%rd6+4], %r9;"] {
            let bench = Bench::kernel(
                &format!("{space} .b32 table[2] = {{1, 2}};"),
                &format!(
                    "mov.u32 %r9, 2; mov.u64 %rd6, table; cvta{space}.u64 %rd6, %rd6;\n{template}\n"
                ),
            );
            let mut bench = bench;
            bench.options.races = false;
            match rule {
                None => bench.pass(1, 32, &[0, 0]),
                Some(rule) => {
                    let address = bench.program.variables[0].address + 4;
                    breaks(&bench, &[0, 0], rule, template, 0, address);
                }
            }
        }
    }
    let bench = Bench::kernel("", "\nst.param.u32 [a], %r1;\n");
    breaks(&bench, &[0, 0], Rule::ReadOnly, "st.param", 0, 0);
}

#[test]
fn division_by_zero() {
    for (operation, kind, zero) in [
        ("div", "u32", "%r1"),
        ("div", "s32", "%r1"),
        ("rem", "u32", "%r1"),
        ("rem", "s32", "%r1"),
        ("div", "u64", "%rd3"),
        ("rem", "s64", "%rd3"),
        ("div", "s64", "%rd3"),
        ("rem", "u64", "%rd3"),
    ] {
        let register = if kind.ends_with("64") { "%rd7" } else { "%r9" };
        for near in [false, true] {
            let one = format!("add.{kind} {zero}, {zero}, 1;");
            let one = if near { one } else { String::new() };
            let instruction = format!("{operation}.{kind} {register}, {register}, {zero};");
            let text = format!("mov.b64 %rd7, 5; mov.u32 %r9, 5; {one}\n{instruction}\n");
            let bench = Bench::kernel("", &text);
            match near {
                true => bench.pass(1, 32, &[0, 0]),
                false => {
                    let fault = bench.fault(1, 32, &[0, 0]);
                    bench.assert_at(&fault, Rule::DivisionByZero, &instruction, (0, 0));
                }
            }
        }
    }
}

/// Rule, place, thread, and the text a person reads.
#[test]
fn a_fault_reads_as_a_report() {
    let text = format!("\n\n{}", kernel("\n  st.global.u32 [%rd4], %r1; // too far\n"));
    let bench = Bench::new(&text);
    let a = bench.unset(70);
    let fault = bench.fault(3, 32, &[a, 0]);
    let address = a + 280;
    assert_eq!(
        fault.to_string(),
        format!(
            "OutOfBounds in kernel k: 4-byte store at 0x{address:x}: 0 bytes past the end of the 280 bytes allocated at 0x{a:x}
  address 0x{address:x}
  block (2, 0, 0) thread (6, 0, 0)
  PTX line {}: st.global.u32 [%rd4], %r1; // too far",
            bench.line("// too far")
        )
    );
}

#[test]
fn a_fault_in_an_inlined_function_names_the_callers_line_too() {
    let place = ".loc 2 7 1, function_name $L__info_string0, inlined_at 1 6 2\n";
    let text = kernel(&format!("{place} st.global.u32 [%rd4], %r1;"));
    let bench = Bench::new(&format!("{text}\n.file 1 \"a.cu\"\n.file 2 \"b.cuh\"\n"));
    let fault = bench.fault(1, 1, &[0, 0]);
    let end = "\n  source b.cuh:7, inlined at a.cu:6";
    assert!(fault.to_string().ends_with(end), "{fault}");
}

/// With `-lineinfo` a fault names the line of the source.
#[test]
fn source_lines() {
    let bench = Bench::fixture("lines.ptx");
    let run = |count: usize, n: u32| {
        let input = bench.words(&vec![1.5f32.to_bits(); count]);
        let out = bench.unset(1);
        let arguments =
            [out.to_le_bytes().as_slice(), &input.to_le_bytes(), &n.to_le_bytes()].concat();
        let dimensions =
            ptx_vm::launch::Dimensions { grid: [1; 3], block: [32, 1, 1], dynamic_shared: 0 };
        bench.launch("mean", dimensions, &arguments).map(|_| bench.read(out, 1)[0])
    };
    assert_eq!(run(75, 75), Ok(1.5f32.to_bits()));
    let fault = run(74, 75).expect_err("one too few");
    assert_eq!((fault.rule, fault.kernel.as_str()), (Rule::OutOfBounds, "mean"));
    assert_eq!(fault.source, Some(("lines.cu".to_owned(), 10)));
    assert_eq!(fault.thread.map(|t| t.thread), Some([10, 0, 0]));
    assert_eq!(fault.text, "ld.global.f32 \t%f12, [%rd14];");
    assert!(fault.to_string().ends_with("\n  source lines.cu:10"), "{fault}");
    assert_eq!(fault.inlined_at, None);
    // Inlined code counts to the function it was written in, and names the line it was inlined at.
    let add = |line: &str| bench.text.lines().position(|l| l.trim() == line);
    let origins = &bench.program.kernels["mean"].origins;
    let at = add("add.f32 \t%f14, %f27, %f13;").expect("an addition") as u32 + 1;
    let origin = origins.iter().find(|origin| origin.line == at).expect("decoded");
    assert_eq!(origin.source, Some(Source { at: (1, 4), inlined_at: Some((1, 10)) }));
}
