//! Runs one instruction, or a few, over many lanes of inputs, and hands back the bits of its results.

use std::fmt::Write;

use ptx_vm::shapes::Host;

use crate::bench::Bench;

/// A register with a type: `"a:b32"`; `"p:pred"` is a predicate, 0 or 1.
pub type Typed<'a> = &'a str;

/// Threads of a block.
const BLOCK: usize = 256;

fn parts(register: Typed<'_>) -> (&str, &str) {
    register.split_once(':').expect("name:type")
}

/// Bits moved to and from memory for a register.
fn width(kind: &str) -> &'static str {
    match kind {
        "pred" => "b32",
        _ if kind.ends_with("x2") => "b32",
        _ if kind.ends_with("64") => "b64",
        _ if kind.ends_with("32") => "b32",
        _ => "b16",
    }
}

/// The kernel: each thread loads its inputs from words of 64 bits, runs `code`, and stores its results likewise.
fn text(code: &str, inputs: &[Typed<'_>], results: &[Typed<'_>]) -> String {
    let mut text = String::from(
        ".visible .entry k(.param .u64 count, .param .u64 from, .param .u64 into) {
        .reg .pred in_range, z<20>; .reg .b32 i<8>; .reg .b64 w<8>;\n",
    );
    for register in inputs.iter().chain(results) {
        let (name, kind) = parts(register);
        writeln!(text, ".reg .{kind} {name};").expect("a string");
    }
    text += "ld.param.u64 w0, [count]; ld.param.u64 w1, [from]; ld.param.u64 w2, [into];
        mov.u32 i0, %ctaid.x; mov.u32 i1, %ntid.x; mov.u32 i2, %tid.x; mad.lo.s32 i0, i0, i1, i2;
        cvt.u64.u32 w3, i0; setp.lt.u64 in_range, w3, w0; @!in_range exit;\n";
    for register in inputs {
        let (name, kind) = parts(register);
        text += "mad.lo.s64 w4, w3, 8, w1; mad.lo.s64 w1, w0, 8, w1;\n";
        let _ = match kind {
            "pred" => writeln!(text, "ld.global.b32 i3, [w4]; setp.ne.b32 {name}, i3, 0;"),
            _ => writeln!(text, "ld.global.{} {name}, [w4];", width(kind)),
        };
    }
    writeln!(text, "{code}").expect("a string");
    for register in results {
        let (name, kind) = parts(register);
        text += "mad.lo.s64 w4, w3, 8, w2; mad.lo.s64 w2, w0, 8, w2;\n";
        let _ = match kind {
            "pred" => writeln!(text, "selp.b32 i3, 1, 0, {name}; st.global.b32 [w4], i3;"),
            _ => writeln!(text, "st.global.{} [w4], {name};", width(kind)),
        };
    }
    text + "ret; }\n"
}

/// Runs `code` for each row of `values` (a column for each input); the results come back as columns. The bodies for
/// processors without AVX2 give the same bits.
#[track_caller]
pub fn run(
    code: &str,
    inputs: &[Typed<'_>],
    values: &[Vec<u64>],
    results: &[Typed<'_>],
) -> Vec<Vec<u64>> {
    let found = run_on(Host::detect(), code, inputs, values, results);
    assert_eq!(run_on(Host::Any, code, inputs, values, results), found, "{code}");
    found
}

#[track_caller]
fn run_on(
    host: Host,
    code: &str,
    inputs: &[Typed<'_>],
    values: &[Vec<u64>],
    results: &[Typed<'_>],
) -> Vec<Vec<u64>> {
    let count = values.first().map_or(1, Vec::len);
    assert!(values.len() == inputs.len() && values.iter().all(|column| column.len() == count));
    let bench = Bench::new_on(host, &text(code, inputs, results));
    let words = |x: &u64| [*x as u32, (*x >> 32) as u32];
    let from: Vec<u32> = values.iter().flatten().flat_map(words).collect();
    let from = bench.words(if from.is_empty() { &[0] } else { &from });
    let into = bench.words(&vec![0; 2 * count * results.len()]);
    let grid = count.div_ceil(BLOCK) as u32;
    let ran = bench.run(grid, BLOCK as u32, &[count as u64, from, into]);
    ran.unwrap_or_else(|fault| panic!("{fault}"));
    let all = bench.read(into, 2 * count * results.len());
    let all: Vec<u64> = all.chunks(2).map(|w| u64::from(w[0]) | u64::from(w[1]) << 32).collect();
    all.chunks(count).map(<[u64]>::to_vec).collect()
}

/// Whether the text is refused when it is loaded, and why.
pub fn refused(code: &str, registers: &[Typed<'_>]) -> Option<String> {
    let text =
        format!(".version 8.0\n.target sm_90a\n.address_size 64\n{}", text(code, &[], registers));
    let memory = ptx_vm::memory::Memory::default();
    ptx_vm::module::load(&text, &memory).err().map(|error| error.to_string())
}

/// `name d, a;` for each of `a`, against `expected`.
#[track_caller]
pub fn one(name: &str, d: &str, a: &str, values: &[u64], expected: impl Fn(u64) -> u64) {
    let (result, source) = (format!("d:{d}"), format!("a:{a}"));
    let found = run(&format!("{name} d, a;"), &[&source], &[values.to_vec()], &[&result]);
    for (x, d) in values.iter().zip(&found[0]) {
        let e = expected(*x);
        assert_eq!(*d, e, "{name} {x:#x}: {d:#x}, expected {e:#x}");
    }
}

/// `name d, a, b;` for each pair.
#[track_caller]
pub fn two(
    name: &str,
    [d, a, b]: [&str; 3],
    pairs: &[[u64; 2]],
    expected: impl Fn(u64, u64) -> u64,
) {
    let registers = [format!("d:{d}"), format!("a:{a}"), format!("b:{b}")];
    let columns: Vec<Vec<u64>> = (0..2).map(|i| pairs.iter().map(|p| p[i]).collect()).collect();
    let code = format!("{name} d, a, b;");
    let found = run(&code, &[&registers[1], &registers[2]], &columns, &[&registers[0]]);
    for ([x, y], d) in pairs.iter().zip(&found[0]) {
        let e = expected(*x, *y);
        assert_eq!(*d, e, "{name} {x:#x}, {y:#x}: {d:#x}, expected {e:#x}");
    }
}

/// `name d, a, b, c;` for each triple.
#[track_caller]
pub fn three(
    name: &str,
    [d, a, b, c]: [&str; 4],
    triples: &[[u64; 3]],
    expected: impl Fn(u64, u64, u64) -> u64,
) {
    let registers = [format!("d:{d}"), format!("a:{a}"), format!("b:{b}"), format!("c:{c}")];
    let columns: Vec<Vec<u64>> = (0..3).map(|i| triples.iter().map(|p| p[i]).collect()).collect();
    let inputs = [&*registers[1], &registers[2], &registers[3]];
    let found = run(&format!("{name} d, a, b, c;"), &inputs, &columns, &[&registers[0]]);
    for ([x, y, z], d) in triples.iter().zip(&found[0]) {
        let e = expected(*x, *y, *z);
        assert_eq!(*d, e, "{name} {x:#x}, {y:#x}, {z:#x}: {d:#x}, expected {e:#x}");
    }
}
