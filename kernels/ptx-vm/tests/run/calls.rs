//! Device functions: arguments, results, guards; what is refused; printing and assertions.

use ptx_vm::error::Rule;
use ptx_vm::launch::Dimensions;

use crate::bench::{Bench, kernel, refused, results};

fn factorial(n: i32) -> i32 {
    (2..=n).fold(1, |product, i: i32| product.wrapping_mul(i))
}

/// `choose` of `calls.cu`.
fn choose(k: i32, a: i32, b: i32) -> i32 {
    match k {
        0 => a + b,
        1 => a.wrapping_mul(b) - 7,
        2 => a / (b | 1),
        3 => a & b,
        4 => a << (b & 31),
        5 => factorial(a),
        6 => (a ^ b).count_ones() as i32,
        7 => i32::from(a > b),
        11 => 5,
        _ => -1,
    }
}

#[test]
fn functions_of_nvcc() {
    let mut bench = Bench::fixture("calls.ptx");
    const THREADS: usize = 40;
    for (n, threads) in [(3i32, 1), (12, 2), (-5, 1)] {
        bench.options.threads = threads;
        let out = bench.unset(THREADS);
        let range = |i: usize| (i as f64, 2.0 * i as f64, i as i32 - 3);
        let ranges: Vec<u8> = (0..THREADS)
            .flat_map(|i| {
                let (low, high, count) = range(i);
                [low.to_le_bytes().as_slice(), &high.to_le_bytes(), &count.to_le_bytes(), &[9; 4]]
                    .concat()
            })
            .collect();
        let ranges = bench.bytes(&ranges);
        let arguments =
            [out.to_le_bytes().as_slice(), &ranges.to_le_bytes(), &n.to_le_bytes()].concat();
        let dimensions =
            Dimensions { grid: [1; 3], block: [THREADS as u32, 1, 1], dynamic_shared: 0 };
        bench.launch("caller", dimensions, &arguments).unwrap_or_else(|e| panic!("{e}"));
        for (i, bits) in bench.read(out, THREADS).into_iter().enumerate() {
            let i = i as i32;
            let mut scratch = [0; 8];
            (0..8).for_each(|j| scratch[((i + j) & 7) as usize] = choose(j + i, i, n));
            let x = scratch[(n & 7) as usize] as f32;
            assert_eq!(f32::from_bits(bits), x * x, "thread {i}, n {n}");
        }
        let bytes = bench.read_bytes(ranges, 24 * THREADS);
        for (i, bytes) in bytes.chunks(24).enumerate() {
            let (low, high, count) = range(i);
            let by = f64::from(n);
            let expected = [
                &(low - by).to_le_bytes()[..],
                &(high + by).to_le_bytes(),
                &(count + 1).to_le_bytes(),
                &[9; 4],
            ];
            assert_eq!(bytes, expected.concat());
        }
    }
}

#[test]
fn structures_by_value() {
    let bench = Bench::fixture("calls.ptx");
    let out = bench.unset(3);
    let mut arguments = [2.5f64.to_le_bytes(), 4.0f64.to_le_bytes()].concat();
    arguments.extend(3i32.to_le_bytes());
    arguments.extend([0; 4]);
    [1.0f32, 20.0, 300.0].iter().for_each(|x| arguments.extend(x.to_le_bytes()));
    arguments.extend([0; 4]);
    arguments.extend(out.to_le_bytes());
    let dimensions = Dimensions { grid: [1; 3], block: [3, 1, 1], dynamic_shared: 0 };
    bench.launch("by_value", dimensions, &arguments).unwrap_or_else(|e| panic!("{e}"));
    let found: Vec<f32> = bench.read(out, 3).into_iter().map(f32::from_bits).collect();
    assert_eq!(found, [15.5, 34.5, 314.5]);
}

const NESTED: &str = "
    .func (.param .b32 r) twice(.param .b32 x) {
        .reg .b32 %a; ld.param.b32 %a, [x]; add.u32 %a, %a, %a; st.param.b32 [r], %a; ret;
    }
    .func (.param .b32 r) odd_or_four_times(.param .b32 x) {
        .reg .b32 %a, %b; .reg .pred %q; .param .b32 p, s;
        ld.param.b32 %a, [x]; and.b32 %b, %a, 1; setp.eq.u32 %q, %b, 1;
        st.param.b32 [r], %a;
        @%q ret;
        st.param.b32 [p], %a;
        call (s), twice, (p);
        call (s), twice, (s);
        ld.param.b32 %a, [s]; st.param.b32 [r], %a;
    }
    .func leave(.param .b32 x) .noreturn {
        .reg .b32 %a; .reg .pred %q; ld.param.b32 %a, [x]; setp.gt.u32 %q, %a, 6; @%q bra OUT; ret;
        OUT: exit;
    }";

#[test]
fn functions_that_call_functions_under_guards() {
    let statements =
        ".param .b32 x, y; st.param.b32 [x], %r1; setp.ne.u32 %p1, %r1, 4; mov.u32 %r9, 1;
        st.param.b32 [y], 99;
        @%p1 call (y), odd_or_four_times, (x);
        @!%p1 mov.u32 %r9, 2;
        ld.param.b32 %r10, [y]; mad.lo.u32 %r9, %r9, 1000, %r10;
        call leave, (x);
        st.global.u32 [%rd4], %r9;";
    let words = results(NESTED, statements, (2, 40), &[0]);
    let expected = |t: u32| match t {
        4 => 2099,
        _ if t > 6 => 7777,
        _ if t % 2 == 1 => 1000 + t,
        _ => 1000 + 4 * t,
    };
    assert_eq!(words, (0..2).flat_map(|_| (0..40).map(expected)).collect::<Vec<_>>());
}

#[test]
fn textures_are_refused() {
    for text in [
        "tex.1d.v4.f32.s32 {%f1, %f2, %f3, %f4}, [%rd6, {%r1}];",
        "suld.b.1d.b32.trap %r5, [%rd6, {%r1}];",
        "txq.width.b32 %r5, [%rd6];",
    ] {
        let error = refused(&kernel(text));
        assert_eq!(error.message, "textures and surfaces are no part of this machine");
        assert_eq!(error.text, text);
    }
}

#[test]
fn calls_that_are_refused() {
    let refused = |module: &str, statements: &str| {
        refused(&format!("{module}\n{}", kernel(statements))).message
    };
    assert_eq!(refused(".entry e() { ret; }", "call e;"), "e is a kernel: those are launched");
    let unknown = "realloc has no body in this module; of the runtime's functions vprintf, __assertfail, malloc and free are known";
    let realloc = ".extern .func (.param .b64 r) realloc(.param .b64 n);";
    assert_eq!(refused(realloc, ".param .b64 p, n; call (p), realloc, (n);"), unknown);
    let wide = ".func f(.param .b64 x) { ret; }";
    assert_eq!(refused(wide, ".param .b32 p; call f, (p);"), "4 bytes for x, which has 8");
    assert_eq!(refused(wide, "call f;"), "f takes 1 arguments and gives 0 results");
    assert_eq!(
        refused(".func f(.reg .b32 x) { ret; }", ".param .b32 p; call f, (p);"),
        "x is a register: .param variables only"
    );
    assert_eq!(
        refused(wide, "call f, (%rd1);").split(',').next(),
        Some("expected a .param variable")
    );
}

/// A declared function that nobody calls needs no body.
#[test]
fn an_external_function_nobody_calls() {
    let malloc = ".extern .func (.param .b64 r) malloc(.param .b64 n);";
    Bench::kernel(malloc, "").pass(1, 1, &[0, 0]);
}

#[test]
fn calls_without_end_are_refused_soon() {
    let chain = |count: usize, calls: usize| {
        let function = |i: usize| {
            format!(".func f{i}() {{ {} }}\n", format!("call f{};", i + 1).repeat(calls))
        };
        let functions: String = (0..count).rev().map(function).collect();
        refused(&format!(".func f{count}() {{ }}\n{functions}{}", kernel("call f0;"))).message
    };
    assert_eq!(chain(100, 1), "functions call each other 64 deep");
    assert_eq!(chain(40, 2), "more than 65536 calls with all calls written out");
}

fn report(bench: &Bench, values: &[i32], n: i32) -> Result<(), Box<ptx_vm::error::Fault>> {
    let words: Vec<u32> = values.iter().map(|x| *x as u32).collect();
    let mut arguments = bench.words(&words).to_le_bytes().to_vec();
    arguments.extend(n.to_le_bytes());
    arguments.extend([0; 4]);
    arguments.extend(0.5f64.to_le_bytes());
    let block = [values.len() as u32, 1, 1];
    let dimensions = Dimensions { grid: [1; 3], block, dynamic_shared: 0 };
    bench.launch("_Z6reportPKiid", dimensions, &arguments).map(|_| ())
}

#[test]
fn printing_of_nvcc() {
    let mut bench = Bench::fixture("print_assert.ptx");
    let printed = bench.printed();
    report(&bench, &[3, -4, 0, -77], 4).unwrap_or_else(|e| panic!("{e}"));
    let text = String::from_utf8(printed.lock().expect("whole").clone()).expect("text");
    assert_eq!(
        text,
        "thread 1: \"-4\" is negative, -2.000000\nthread 3: \"-77\" is negative, -38.500000\n"
    );
}

#[test]
fn assertions_traps_and_breakpoints_of_nvcc() {
    let mut bench = Bench::fixture("print_assert.ptx");
    bench.printed();
    let fault = report(&bench, &[1, 2, 3], 2).expect_err("a failed assertion");
    assert_eq!(
        (fault.rule, fault.message.as_str()),
        (
            Rule::Trap,
            "assertion `i < n && \"too many threads\"` failed at print_assert.cu:7 in \
             void report(const int *, int, double)"
        )
    );
    assert_eq!(fault.text, "call.uni");
    assert_eq!(fault.thread.map(|t| t.thread), Some([2, 0, 0]));
    for (value, text) in [(-1001, "trap;"), (12345, "brkpt;")] {
        let fault = report(&bench, &[1, value, 3], 3).expect_err("a trap");
        assert_eq!((fault.rule, fault.text.as_str()), (Rule::Trap, text));
        assert_eq!(fault.message, "the kernel ran into a trap");
        assert_eq!(fault.thread.map(|t| t.thread), Some([1, 0, 0]));
    }
    report(&bench, &[1, -1000, 12344], 3).unwrap_or_else(|e| panic!("{e}"));
}

/// Every conversion; the expected texts are those of glibc's `printf`.
#[test]
fn formats() {
    let data: String = {
        let text = b"[%5d|%-5d|%05d|%+d|% d|%.3d][%u|%x|%#X|%o|%#o][%lld|%llx|%hhd|%hu][%c%c|%3c][%s|%6.2s|%-5s][%p][%%]\n\0";
        text.iter().map(|byte| format!("{byte},")).collect()
    };
    let floats = b"[%f|%.2f|%10.3f|%-9.1f|%+.0f|%#.0f][%e|%.0e|%E][%g|%g|%g|%G|%.3g|%#g][%a|%.1a|%a][%f|%5.1F|%08f|%*.*f]\0";
    let floats: String = floats.iter().map(|byte| format!("{byte},")).collect();
    let module = format!(
        ".extern .func (.param .b32 r) vprintf(.param .b64 f, .param .b64 v);
        .global .b8 first[] = {{{}}}; .global .b8 second[] = {{{}}}; .global .b8 name[] = {{97, 98, 99, 0}};",
        data.trim_end_matches(','),
        floats.trim_end_matches(',')
    );
    let integers: [i64; 6] = [42, -42, 42, 42, 42, 7];
    let mut store = String::new();
    let mut at = 0;
    let mut put = |kind: &str, value: String| {
        let bytes = if kind.ends_with("64") { 8 } else { 4 };
        at = (at + bytes - 1) / bytes * bytes;
        store += &format!("st.local.{kind} [buffer+{at}], {value};\n");
        at += bytes;
    };
    integers.iter().for_each(|x| put("b32", x.to_string()));
    for x in [4294967295i64, 255, 255, 8, 8] {
        put("b32", x.to_string());
    }
    put("b64", "-5000000000".into());
    put("b64", "0xabcdef0123".into());
    put("b32", "200".into());
    put("b32", "70000".into());
    [72, 105, 33].iter().for_each(|x| put("b32", x.to_string()));
    (0..3).for_each(|_| put("b64", "%rd6".into()));
    put("b64", "0xbeef".into());
    let words = "mov.u64 %rd6, name; cvta.global.u64 %rd6, %rd6;";
    let call = |format: &str| {
        format!(
            "mov.u64 %rd7, {format}; cvta.global.u64 %rd7, %rd7; st.param.b64 [f], %rd7;
            mov.u64 %rd8, buffer; cvta.local.u64 %rd8, %rd8; st.param.b64 [v], %rd8;
            call.uni (r), vprintf, (f, v); ld.param.b32 %r9, [r];"
        )
    };
    let numbers: [f64; 21] = [
        1.5,
        2.005,
        -1234.5678,
        9.96,
        0.5,
        2.0,
        12345.678,
        5e-7,
        1e100,
        100000.0,
        1000000.0,
        0.0001,
        1e-5,
        1234.5,
        2.0,
        1.0,
        1.96875,
        5e-324,
        f64::INFINITY,
        f64::NAN,
        -3.25,
    ];
    let mut float_store = String::new();
    for (i, x) in numbers.iter().enumerate() {
        float_store += &format!("st.local.b64 [buffer+{}], {};\n", 8 * i, x.to_bits() as i64);
    }
    float_store += "st.local.b32 [buffer+168], 9; st.local.b32 [buffer+172], 1;\n";
    float_store += &format!("st.local.b64 [buffer+176], {};\n", 6.25f64.to_bits());
    let statements = format!(
        ".local .align 8 .b8 buffer[256]; .param .b64 f, v; .param .b32 r;
        {words} {store} {} st.global.u32 [%rd4], %r9; {float_store} {} st.global.u32 [%rd4+4], %r9;",
        call("first"),
        call("second")
    );
    let mut bench = Bench::kernel(&module, &statements);
    let printed = bench.printed();
    let counts = bench.unset(2);
    bench.pass(1, 1, &[counts, 0]);
    let text = String::from_utf8(printed.lock().expect("whole").clone()).expect("text");
    let (first, second) = text.split_once('\n').expect("two lines");
    assert_eq!(
        first,
        "[   42|-42  |00042|+42| 42|007][4294967295|ff|0XFF|10|010][-5000000000|abcdef0123|-56|4464]\
         [Hi|  !][abc|    ab|abc  ][0xbeef][%]"
    );
    assert_eq!(
        second,
        "[1.500000|2.00| -1234.568|10.0     |+0|2.][1.234568e+04|5e-07|1.000000E+100]\
         [100000|1e+06|0.0001|1E-05|1.23e+03|2.00000][0x1p+0|0x2.0p+0|0x0.0000000000001p-1022]\
         [inf|  NAN|-3.250000|      6.2]"
    );
    assert_eq!(bench.read(counts, 2), [22, 24]);
}

#[test]
fn a_format_that_cannot_be_followed_is_a_fault() {
    let module = ".extern .func (.param .b32 r) vprintf(.param .b64 f, .param .b64 v);
        .global .b8 text[] = {37, 113, 0}; .global .b8 endless[] = {97, 98};";
    let call = |text: &str| {
        format!(
            ".param .b64 f, v; .param .b32 r; mov.u64 %rd7, {text}; st.param.b64 [f], %rd7; st.param.b64 [v], 0;
            call (r), vprintf, (f, v);"
        )
    };
    let bench = Bench::kernel(module, &call("text"));
    let fault = bench.fault(1, 1, &[0, 0]);
    bench.assert_at(&fault, Rule::Trap, "call (r)", (0, 0));
    assert_eq!(fault.message, "printf: unknown conversion %q");
    let bench = Bench::kernel(module, &call("endless"));
    let fault = bench.fault(1, 1, &[0, 0]);
    bench.assert_at(&fault, Rule::OutOfBounds, "call (r)", (0, 0));
}
