//! State spaces: vectors of every width in each, generic addresses, constants, local and dynamic shared memory.

use ptx_vm::error::Rule;
use ptx_vm::launch::Dimensions;

use crate::bench::{Bench, kernel, results};

/// Every vector form: type, elements, registers to go through.
const VECTORS: [(&str, usize, &str); 14] = [
    ("u8", 1, "%h"),
    ("b8", 2, "%h"),
    ("u8", 4, "%h"),
    ("b16", 1, "%h"),
    ("u16", 2, "%h"),
    ("b16", 4, "%h"),
    ("u32", 1, "%r1"),
    ("b32", 2, "%r1"),
    ("u32", 4, "%r1"),
    ("f32", 2, "%f"),
    ("f32", 4, "%f"),
    ("b64", 1, "%rd1"),
    ("u64", 2, "%rd1"),
    ("f64", 2, "%fd"),
];

fn bytes(kind: &str) -> usize {
    kind[1..].parse::<usize>().expect("bits") / 8
}

fn operand(register: &str, count: usize) -> String {
    let names: Vec<String> = (0..count).map(|i| format!("{register}{}", i + 2)).collect();
    if count == 1 { names[0].clone() } else { format!("{{{}}}", names.join(", ")) }
}

/// Each thread copies 16 bytes from `b` to `a`, through `space`, in pieces of every form.
#[test]
fn vectors_through_every_space() {
    let input: Vec<u8> =
        (0..64 * 16).map(|i: u32| (i.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect();
    for (kind, count, register) in VECTORS {
        for (space, declaration, base) in [
            ("global", "", ""),
            (
                "shared",
                ".shared .align 16 .b8 s[1024];",
                "mov.u64 %rd8, s; mad.wide.u32 %rd8, %r1, 16, %rd8;",
            ),
            ("local", ".local .align 16 .b8 l[16];", "mov.u64 %rd8, l;"),
        ] {
            for generic in [false, true] {
                let (values, step) = (operand(register, count), bytes(kind) * count);
                let vector = if count > 1 { format!(".v{count}") } else { String::new() };
                let dot = if generic { String::new() } else { format!(".{space}") };
                let convert = if generic && space != "global" {
                    format!("cvta.{space}.u64 %rd8, %rd8;")
                } else {
                    String::new()
                };
                let mut copy = String::new();
                for at in (0..16).step_by(step) {
                    copy += &format!("ld.global{vector}.{kind} {values}, [%rd7+{at}];\n");
                    if space != "global" {
                        copy += &format!("st{dot}{vector}.{kind} [%rd8+{at}], {values};\n");
                        copy += &format!("ld{dot}{vector}.{kind} {values}, [%rd8+{at}];\n");
                    }
                    let out = if space == "global" { dot.as_str() } else { ".global" };
                    copy += &format!("st{out}{vector}.{kind} [%rd6+{at}], {values};\n");
                }
                let statements = format!(
                    "{declaration} mad.wide.u32 %rd6, %r1, 16, %rd1; mad.wide.u32 %rd7, %r1, 16, %rd2; {base} {convert}\n{copy}"
                );
                let bench = Bench::kernel("", &statements);
                let (out, from) = (bench.unset(256), bench.bytes(&input));
                bench.pass(1, 64, &[out, from]);
                assert_eq!(
                    bench.read_bytes(out, 1024),
                    input,
                    "{space} {kind} x {count}, generic {generic}"
                );
            }
        }
    }
}

/// Narrow loads fill wide registers with zeros or the sign; narrow stores take the low bits.
#[test]
fn narrow_numbers_in_wide_registers() {
    for (kind, bits) in
        [("u8", 8), ("s8", 8), ("b8", 8), ("u16", 16), ("s16", 16), ("u32", 32), ("s32", 32)]
    {
        let statements = format!(
            "ld.global.{kind} %rd6, [%rd5]; shr.u64 %rd7, %rd6, 32; cvt.u32.u64 %r9, %rd6; cvt.u32.u64 %r10, %rd7; xor.b32 %r9, %r9, %r10; st.global.u32 [%rd4], %r9;"
        );
        let words = [0x1234_5678u32, 0x8765_4321, 0xffff_ffff, 0x0000_8080];
        let expected = words.map(|word| {
            let shift = 64 - bits;
            let value = match kind.starts_with('s') {
                true => ((u64::from(word) << shift) as i64 >> shift) as u64,
                false => u64::from(word) << shift >> shift,
            };
            value as u32 ^ (value >> 32) as u32
        });
        assert_eq!(results("", &statements, (1, 4), &words), expected, "{kind}");
        let statements = format!(
            "ld.global.u32 %r9, [%rd5]; cvt.u64.u32 %rd6, %r9; mov.u32 %r10, 0; st.global.u32 [%rd4], %r10; st.global.{kind} [%rd4], %rd6;"
        );
        let expected = words.map(|word| (u64::from(word) << (64 - bits) >> (64 - bits)) as u32);
        assert_eq!(results("", &statements, (1, 4), &words), expected, "{kind}");
    }
}

/// Lanes of one warp point into different spaces by generic addresses.
#[test]
fn generic_addresses_of_several_spaces_at_once() {
    let module = ".const .b32 table[4] = {1000, 1001, 1002, 1003};";
    let statements = ".shared .b32 s[32]; .local .b32 l; mov.u64 %rd6, s; mad.wide.u32 %rd6, %r1, 4, %rd6; add.u32 %r9, %r1, 500; st.shared.u32 [%rd6], %r9;
        mul.lo.u32 %r9, %r1, 7; st.local.u32 [l], %r9; mov.u64 %rd7, l; mov.u64 %rd8, table; add.u64 %rd8, %rd8, 8;
        cvta.shared.u64 %rd6, %rd6; cvta.local.u64 %rd7, %rd7; cvta.const.u64 %rd8, %rd8; cvta.global.u64 %rd9, %rd5;
        and.b32 %r10, %r1, 3; setp.eq.u32 %p1, %r10, 1; setp.eq.u32 %p2, %r10, 2; setp.eq.u32 %p3, %r10, 3;
        selp.b64 %rd10, %rd6, %rd9, %p1; selp.b64 %rd10, %rd7, %rd10, %p2; selp.b64 %rd10, %rd8, %rd10, %p3;
        ld.u32 %r9, [%rd10];
        isspacep.shared %p4, %rd10; isspacep.local %p5, %rd10; isspacep.global %p6, %rd10;
        selp.u32 %r11, 10000, 0, %p4; selp.u32 %r12, 20000, 0, %p5; selp.u32 %r13, 40000, 0, %p6;
        add.u32 %r9, %r9, %r11; add.u32 %r9, %r9, %r12; add.u32 %r9, %r9, %r13;
        @%p3 bra END; atom.add.u32 %r14, [%rd10], 1; ld.u32 %r15, [%rd10]; sub.u32 %r15, %r15, %r14; mad.lo.u32 %r9, %r15, 100000, %r9;
        END: st.global.u32 [%rd4], %r9;";
    let words: Vec<u32> = (0..32).map(|t| 100 + t).collect();
    let expected = (0..32).map(|t| match t % 4 {
        0 => 140_100 + t,
        1 => 110_500 + t,
        2 => 120_000 + 7 * t,
        _ => 1002 + 40_000,
    });
    assert_eq!(results(module, statements, (1, 32), &words), expected.collect::<Vec<_>>());
}

/// Arguments of every size at their places, and a pointer to one.
#[test]
fn parameters() {
    let text = ".visible .entry k(.param .u8 a, .param .u16 b, .param .u32 c, .param .u64 d, .param .align 8 .b8 e[12], .param .u64 out) {
        .reg .b32 %r<8>; .reg .b64 %rd<8>; .reg .f32 %f;
        ld.param.u64 %rd1, [out]; ld.param.u8 %r1, [a]; ld.param.s16 %r2, [b]; ld.param.u32 %r3, [c]; ld.param.u64 %rd2, [d];
        ld.param.v2.u32 {%r4, %r5}, [e]; mov.u64 %rd3, e; cvta.param.u64 %rd3, %rd3; ld.u32 %r6, [%rd3+8];
        st.global.v2.u32 [%rd1], {%r1, %r2}; st.global.u32 [%rd1+8], %r3; st.global.u64 [%rd1+16], %rd2;
        st.global.v2.u32 [%rd1+24], {%r4, %r5}; st.global.u32 [%rd1+32], %r6; ret; }";
    let bench = Bench::new(text);
    let out = bench.words(&[0; 9]);
    let mut arguments = vec![200, 0, 0xfe, 0xff, 1, 2, 3, 4, 11, 12, 13, 14, 15, 16, 17, 18];
    [5u32, 6, 7, 0].iter().for_each(|word| arguments.extend(word.to_le_bytes()));
    arguments.extend(out.to_le_bytes());
    let dimensions = Dimensions { grid: [1; 3], block: [1; 3], dynamic_shared: 0 };
    bench.launch("k", dimensions, &arguments).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(
        bench.read(out, 9),
        [200, 0xffff_fffe, 0x0403_0201, 0, 0x0e0d_0c0b, 0x1211_100f, 5, 6, 7]
    );
}

/// Static variables of the kernel and the module, and the dynamic memory behind them.
#[test]
fn shared_memory_of_several_kinds() {
    let text = format!(
        ".extern .shared .align 16 .b8 dynamic[]; .shared .align 4 .b8 common[12];\n{}",
        kernel(
            ".shared .b8 odd[5]; mov.u32 %r9, dynamic; mov.u32 %r10, common; mov.u32 %r11, odd;
            mad.lo.u32 %r12, %r1, 4, %r9; mul.lo.u32 %r13, %r1, 5; st.shared.u32 [%r12], %r13;
            setp.lt.u32 %p1, %r1, 5; add.u32 %r14, %r11, %r1; cvt.u16.u32 %h1, %r1; @%p1 st.shared.u8 [%r14], %h1;
            setp.lt.u32 %p2, %r1, 3; mad.lo.u32 %r15, %r1, 4, %r10; @%p2 st.shared.u32 [%r15], %r13;
            bar.sync 0;
            sub.u32 %r16, %r3, %r1; sub.u32 %r16, %r16, 1; mad.lo.u32 %r16, %r16, 4, %r9; ld.shared.u32 %r17, [%r16];
            rem.u32 %r18, %r1, 5; add.u32 %r18, %r11, %r18; ld.shared.u8 %r19, [%r18];
            rem.u32 %r20, %r1, 3; mad.lo.u32 %r20, %r20, 4, %r10; ld.shared.u32 %r21, [%r20];
            mad.lo.u32 %r17, %r19, 1000, %r17; mad.lo.u32 %r17, %r21, 10000, %r17; and.b32 %r22, %r9, 15; mad.lo.u32 %r17, %r22, 1000000, %r17;
            st.global.u32 [%rd4], %r17;"
        )
    );
    let mut bench = Bench::new(&text);
    bench.options.threads = 2;
    let out = bench.unset(192);
    let arguments = [out.to_le_bytes(), [0; 8]].concat();
    let launch = |dynamic_shared| {
        bench.launch(
            "k",
            Dimensions { grid: [3, 1, 1], block: [64, 1, 1], dynamic_shared },
            &arguments,
        )
    };
    launch(256).unwrap_or_else(|e| panic!("{e}"));
    let expected =
        (0..192).map(|t| t % 64).map(|t| 5 * (63 - t) + 1000 * (t % 5) + 10_000 * 5 * (t % 3));
    assert_eq!(bench.read(out, 192), expected.collect::<Vec<u32>>());
    let fault = launch(252).expect_err("too little");
    assert_eq!(
        (fault.rule, fault.thread.map(|t| t.thread)),
        (ptx_vm::error::Rule::OutOfBounds, Some([63, 0, 0]))
    );
}

/// Each thread has local memory of its own, which the next block finds unwritten again.
#[test]
fn local_memory() {
    let statements = ".local .b32 l[8]; mov.u64 %rd6, l; mov.u32 %r10, 0;
        FILL: mad.lo.u32 %r11, %r10, %r4, 3; mad.wide.u32 %rd7, %r10, 4, %rd6; st.local.u32 [%rd7], %r11; add.u32 %r10, %r10, 1; setp.lt.u32 %p1, %r10, 8; @%p1 bra FILL;
        and.b32 %r12, %r1, 7; mad.wide.u32 %rd7, %r12, 4, %rd6; ld.local.u32 %r9, [%rd7]; st.global.u32 [%rd4], %r9;";
    let expected = (0..3 * 96).map(|t| t % 96 % 8 * t + 3);
    assert_eq!(results("", statements, (3, 96), &[0]), expected.collect::<Vec<_>>());
}

/// Registers of 128 bits through every space, whole and in halves, and the alignment they need.
#[test]
fn registers_of_128_bits() {
    let statements = ".reg .b128 q, w, v; .shared .align 16 .b8 s[512]; .local .align 16 .b8 l[16];
        mul.lo.u32 %r10, %r1, 16; cvt.u64.u32 %rd6, %r10; add.u64 %rd7, %rd2, %rd6;
        mov.u32 %r11, s; add.u32 %r11, %r11, %r10;
        ld.global.b128 q, [%rd7]; st.shared.b128 [%r11], q; ld.shared.b128 w, [%r11];
        st.local.b128 [l], w; ld.local.b128 w, [l];
        mov.b128 {%rd8, %rd9}, w; mov.b128 {%rd8, %rd9}, w; add.u64 %rd9, %rd9, 1;
        mov.b128 v, {%rd9, %rd8}; mov.b128 w, v; mov.b128 {%rd10, %rd11}, w;
        xor.b64 %rd10, %rd10, %rd11; cvt.u32.u64 %r12, %rd10; shr.u64 %rd10, %rd10, 32; cvt.u32.u64 %r13, %rd10;
        mad.lo.u32 %r12, %r13, 3, %r12; st.global.u32 [%rd4], %r12;";
    let b: Vec<u32> = (0..128u32).map(|i| i.wrapping_mul(0x9e37_79b9)).collect();
    let expected = |t: usize| {
        let half = |i: usize| u64::from(b[4 * t + i]) | u64::from(b[4 * t + i + 1]) << 32;
        let mixed = half(0) ^ half(2).wrapping_add(1);
        ((mixed >> 32) as u32).wrapping_mul(3).wrapping_add(mixed as u32)
    };
    assert_eq!(results("", statements, (1, 32), &b), (0..32).map(expected).collect::<Vec<_>>());
    let bench = Bench::kernel("", ".reg .b128 q;\nld.global.b128 q, [%rd2+8];\n");
    let fault = bench.fault(1, 1, &[0, bench.words(&[0; 16])]);
    bench.assert_at(&fault, Rule::Misaligned, "ld.global.b128", (0, 0));
    for (statement, why) in [
        (".reg .b128 q; mov.b128 {%r1, %r2}, q;", "does not fit a register"),
        (".reg .b128 q; mov.b128 {%rd1, %rd2, %rd3}, q;", "a B128 of 3 parts"),
        (".reg .b128 q; ld.global.b128 %rd1, [%rd2];", "does not fit a register"),
        (".reg .b128 q; ld.global.v2.b128 {q, q}, [%rd2];", "at most 16 bytes"),
        (".reg .b128 q; mov.b64 %rd1, q;", "expected a register for B64"),
    ] {
        let error = crate::bench::refused(&crate::bench::kernel(statement));
        assert!(error.message.contains(why), "{statement}: {error}");
    }
}
