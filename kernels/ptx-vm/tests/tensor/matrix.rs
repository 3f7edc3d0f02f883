//! `ldmatrix`, `stmatrix`, `movmatrix`: which lane gets which element, addresses, conflicts.

use crate::bench::{Bench, random, refused};
use ptx_vm::error::Rule;
use ptx_vm::random::Random;

/// Lane `l` fills row `l` of 16 bytes, pitch bytes apart, from four words of the first buffer.
fn fill(pitch: u32) -> String {
    format!(
        "mad.lo.u32 %r0, %lane, {pitch}, tile; mul.wide.u32 %rd10, %lane, 16; add.u64 %rd10, %rd0, %rd10;
        ld.global.v4.u32 {{%r1, %r2, %r3, %r4}}, [%rd10]; st.shared.v4.u32 [%r0], {{%r1, %r2, %r3, %r4}}; bar.sync 0;"
    )
}

/// Element of 16 bits at a row and column of the matrix whose row `r` is words `4 r ..`.
fn element(words: &[u32], row: usize, column: usize) -> u32 {
    words[4 * row + column / 2] >> (16 * (column % 2)) & 0xffff
}

/// How an address in shared memory may be given; `%rd12` is `%r0` as a generic one.
const SPACES: [(&str, &str); 3] =
    [(".shared", "[%r0]"), (".shared::cta", "[%r0]"), ("", "[%rd12]")];
const GENERIC: &str = "cvt.u64.u32 %rd12, %r0; cvta.shared.u64 %rd12, %rd12;";

#[test]
fn lanes_get_pairs_of_rows_or_columns() {
    let input = random(&mut Random::new(1), 128);
    for count in [1usize, 2, 4] {
        for (trans, space, address) in ["", ".trans"]
            .into_iter()
            .flat_map(|t| SPACES.map(|(space, address)| (t, space, address)))
        {
            let list = ["%r10", "%r11", "%r12", "%r13"][..count].join(", ");
            let stores: String = (0..count)
                .map(|i| format!("st.global.u32 [%rd3 + {}], %r1{i};", 128 * i))
                .collect();
            let body = format!(
                "{} {GENERIC} ldmatrix.sync.aligned.m8n8.x{count}{trans}{space}.b16 {{{list}}}, {address}; {stores}",
                fill(16)
            );
            let bench = Bench::new(&body);
            let out = bench.unset(32 * count);
            bench.passes(32, [bench.words(&input), out, 0]);
            let found = bench.read(out, 32 * count);
            for (index, word) in found.into_iter().enumerate() {
                let (matrix, lane) = (&input[index / 32 * 32..], index % 32);
                let (group, pair) = (lane / 4, lane % 4 * 2);
                let expected = match trans {
                    "" => element(matrix, group, pair) | element(matrix, group, pair + 1) << 16,
                    _ => element(matrix, pair, group) | element(matrix, pair + 1, group) << 16,
                };
                assert_eq!(word, expected, "x{count}{trans} register {} lane {lane}", index / 32);
            }
        }
    }
}

#[test]
fn stored_matrices_are_those_loaded() {
    let input = random(&mut Random::new(2), 128);
    let counts = [(1, ""), (2, ""), (4, ""), (1, ".trans"), (2, ".trans"), (4, ".trans")];
    for ((count, trans), (space, address)) in
        counts.into_iter().flat_map(|form| SPACES.map(|space| (form, space)))
    {
        let address = address.replace(']', " + 4096]");
        let list = ["%r10", "%r11", "%r12", "%r13"][..count].join(", ");
        // Through registers and back into other rows; then read word by word.
        let body = format!(
            "{} {GENERIC} ldmatrix.sync.aligned.m8n8.x{count}{trans}.shared.b16 {{{list}}}, [%r0];
            stmatrix.sync.aligned.m8n8.x{count}{trans}{space}.b16 {address}, {{{list}}};
            bar.sync 0; setp.lt.u32 %p1, %lane, {}; @!%p1 bra DONE;
            mul.wide.u32 %rd11, %lane, 16; add.u64 %rd11, %rd2, %rd11;
            ld.shared.v4.u32 {{%r1, %r2, %r3, %r4}}, [%r0 + 4096]; st.global.v4.u32 [%rd11], {{%r1, %r2, %r3, %r4}};
            DONE:",
            fill(16),
            8 * count
        );
        let bench = Bench::new(&body);
        let out = bench.unset(32 * count);
        bench.passes(32, [bench.words(&input), out, 0]);
        assert_eq!(bench.read(out, 32 * count), input[..32 * count], "x{count}{trans}");
    }
}

#[test]
fn movmatrix_transposes() {
    let input = random(&mut Random::new(3), 32);
    let bench = Bench::new(
        "ld.global.u32 %r1, [%rd1]; movmatrix.sync.aligned.m8n8.trans.b16 %r2, %r1; st.global.u32 [%rd3], %r2;",
    );
    let out = bench.unset(32);
    bench.passes(32, [bench.words(&input), out, 0]);
    for (lane, word) in bench.read(out, 32).into_iter().enumerate() {
        let (row, column) = (lane / 4, lane % 4 * 2);
        let expected = element(&input, column, row) | element(&input, column + 1, row) << 16;
        assert_eq!(word, expected, "lane {lane}");
    }
}

#[test]
fn generic_addresses_of_shared_memory_are_taken() {
    let input = random(&mut Random::new(4), 128);
    let body = format!(
        "{} cvt.u64.u32 %rd12, %r0; cvta.shared.u64 %rd12, %rd12;
        ldmatrix.sync.aligned.m8n8.x1.b16 {{%r10}}, [%rd12]; st.global.u32 [%rd3], %r10;",
        fill(16)
    );
    let bench = Bench::new(&body);
    let out = bench.unset(32);
    bench.passes(32, [bench.words(&input), out, 0]);
    assert_eq!(bench.read(out, 32), input[..32]);
    let global = Bench::new("ldmatrix.sync.aligned.m8n8.x1.b16 {%r10}, [%rd0];");
    global.breaks(32, [global.words(&input), 0, 0], Rule::OutOfBounds);
}

#[test]
fn rows_in_one_bank_take_turns() {
    let input = random(&mut Random::new(5), 128);
    for (pitch, wavefronts) in [(16, 4), (80, 4), (128, 32), (64, 16)] {
        let body = format!(
            "{} ldmatrix.sync.aligned.m8n8.x4.shared.b16 {{%r10, %r11, %r12, %r13}}, [%r0];",
            fill(pitch)
        );
        let bench = Bench::new(&body).counting();
        let profile = bench.passes(32, [bench.words(&input), 0, 0]);
        let counts = profile.memory.iter().rfind(|c| c.shared_wavefronts > 0);
        let counts = counts.expect("the matrices were counted");
        assert_eq!((counts.shared_wavefronts, counts.shared_wavefronts_least), (wavefronts, 4));
    }
}

#[test]
fn bad_rows_are_reported() {
    let input = random(&mut Random::new(6), 128);
    let load = |address: &str| {
        let body = format!(
            "{} ldmatrix.sync.aligned.m8n8.x2.shared.b16 {{%r10, %r11}}, [{address}];",
            fill(16)
        );
        let bench = Bench::new(&body);
        bench.run(32, [bench.words(&input), 0, 0]).err().map(|fault| fault.rule)
    };
    assert_eq!(load("%r0"), None);
    assert_eq!(load("%r0 + 8"), Some(Rule::Misaligned));
    // Two matrices take the addresses of 16 lanes; lane 15's row is the last that was written.
    assert_eq!(load("%r0 + 256"), None);
    assert_eq!(load("%r0 + 272"), Some(Rule::Unwritten));
    assert_eq!(load("%r0 + 65536"), Some(Rule::OutOfBounds));
}

#[test]
fn all_lanes_have_to_come() {
    let part = "setp.lt.u32 %p1, %lane, 16; mov.b32 %r1, 0;";
    let parted =
        Bench::new(&format!("{part} @%p1 movmatrix.sync.aligned.m8n8.trans.b16 %r2, %r1;"));
    parted.breaks(32, [0; 3], Rule::InactiveLane);
    let exited =
        Bench::new(&format!("{part} @!%p1 exit; movmatrix.sync.aligned.m8n8.trans.b16 %r2, %r1;"));
    exited.breaks(32, [0; 3], Rule::InactiveLane);
    let short = Bench::new("mov.b32 %r1, 0; movmatrix.sync.aligned.m8n8.trans.b16 %r2, %r1;");
    short.breaks(31, [0; 3], Rule::InactiveLane);
    short.passes(32, [0; 3]);
    // Lanes that come by two ways wait for one another.
    let meeting = format!(
        "{part} @%p1 bra A; mov.b32 %r1, 1; bra B; A: mov.b32 %r1, 2; B: movmatrix.sync.aligned.m8n8.trans.b16 %r2, %r1;"
    );
    Bench::new(&meeting).passes(32, [0; 3]);
}

#[test]
fn unknown_forms_do_not_load() {
    for text in [
        "ldmatrix.sync.aligned.m8n8.x3.shared.b16 {%r1, %r2, %r3}, [tile];",
        "ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%r1}, [tile];",
        "ldmatrix.sync.aligned.m16n16.x1.shared.b8 {%r1, %r2}, [tile];",
        "ldmatrix.aligned.m8n8.x1.shared.b16 {%r1}, [tile];",
        "movmatrix.sync.aligned.m8n8.b16 %r1, %r2;",
    ] {
        let error = refused(text);
        assert!(error.text.contains("matrix") && error.line > 0, "{error}");
    }
}
