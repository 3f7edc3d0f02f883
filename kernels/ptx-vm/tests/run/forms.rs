//! Every form of a load, a store and an atomic operation: spaces, strengths, scopes, hints, types and vectors. All move
//! the same bits.

use ptx_vm::shapes::Host;

use crate::bench::Bench;

const THREADS: u32 = 32;
/// Bytes a thread has of its own in each buffer.
const OWN: usize = 16;

/// A type with its width in bits and the registers it goes through.
const TYPES: [(&str, usize, &str); 14] = [
    ("b8", 8, "%h"),
    ("u8", 8, "%h"),
    ("s8", 8, "%h"),
    ("b16", 16, "%h"),
    ("u16", 16, "%h"),
    ("s16", 16, "%h"),
    ("b32", 32, "%r"),
    ("u32", 32, "%r"),
    ("s32", 32, "%r"),
    ("f32", 32, "%f"),
    ("b64", 64, "%rd"),
    ("u64", 64, "%rd"),
    ("s64", 64, "%rd"),
    ("f64", 64, "%fd"),
];

/// Bytes that look random, the same for everybody.
fn bytes(seed: u64, count: usize) -> Vec<u8> {
    let mut random = ptx_vm::random::Random::new(seed);
    (0..count).map(|_| random.next() as u8).collect()
}

/// A kernel with the thread's places in `%rd1` (input), `%rd2` (results; the thread's own of the first form), `%r3` and
/// `%r4` (shared memory), `%rd5` and `%rd6` (the same as generic addresses), local memory `l`, constants `c` and a
/// parameter `q`.
fn text(statements: &str) -> String {
    let constants: Vec<String> =
        bytes(5, OWN * THREADS as usize).iter().map(u8::to_string).collect();
    format!(
        ".const .align 16 .b8 c[{}] = {{{}}};
        .visible .entry k(.param .u64 a, .param .u64 out, .param .align 16 .b8 q[16]) {{
        .reg .b16 %h<8>; .reg .b32 %r<24>; .reg .b64 %rd<24>; .reg .f32 %f<8>; .reg .f64 %fd<8>;
        .shared .align 16 .b8 s[{}]; .shared .align 16 .b8 s2[{}]; .local .align 16 .b8 l[16];
        ld.param.u64 %rd1, [a]; ld.param.u64 %rd2, [out]; mov.u32 %r1, %tid.x; mul.lo.u32 %r2, %r1, 16; cvt.u64.u32 %rd3, %r2;
        add.u64 %rd1, %rd1, %rd3; add.u64 %rd2, %rd2, %rd3;
        mov.u32 %r3, s; add.u32 %r3, %r3, %r2; mov.u32 %r4, s2; add.u32 %r4, %r4, %r2;
        cvt.u64.u32 %rd5, %r3; cvta.shared.u64 %rd5, %rd5; cvt.u64.u32 %rd6, %r4; cvta.shared.u64 %rd6, %rd6;
        mov.u64 %rd7, l; cvta.local.u64 %rd7, %rd7; mov.u64 %rd8, c; add.u64 %rd8, %rd8, %rd3;
        ld.global.v2.u64 {{%rd10, %rd11}}, [%rd1]; st.shared.v2.u64 [%r3], {{%rd10, %rd11}}; st.shared.v2.u64 [%r4], {{%rd10, %rd11}};
        st.local.v2.u64 [l], {{%rd10, %rd11}};
        {statements}
        ret; }}",
        OWN * THREADS as usize,
        constants.join(", "),
        OWN * THREADS as usize,
        OWN * THREADS as usize,
    )
}

/// Runs the kernel on every host; the bytes of the results, form after form.
fn run(statements: &str, forms: usize) -> Vec<u8> {
    let [found, portable] = [Host::detect(), Host::Any].map(|host| {
        let bench = Bench::new_on(host, &text(statements));
        let count = OWN * THREADS as usize;
        let input = bench.bytes(&bytes(4, count));
        let out = bench.bytes(&vec![0; forms * count]);
        let q = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        bench.pass(1, THREADS, &[input, out, q[0], q[1]]);
        bench.read_bytes(out, forms * count)
    });
    assert_eq!(found, portable);
    found
}

fn registers(class: &str, first: usize, count: usize) -> String {
    let names: Vec<String> = (first..first + count).map(|i| format!("{class}{i}")).collect();
    if count == 1 { names[0].clone() } else { format!("{{{}}}", names.join(", ")) }
}

fn vector(count: usize) -> String {
    if count == 1 { String::new() } else { format!(".v{count}") }
}

/// Strengths and scopes, before the space.
fn strengths(load: bool) -> Vec<String> {
    let mut all: Vec<String> =
        ["", ".weak", ".volatile", ".mmio.relaxed.sys"].map(str::to_owned).to_vec();
    for strength in ["relaxed", if load { "acquire" } else { "release" }] {
        all.extend(["cta", "cluster", "gpu", "sys"].map(|scope| format!(".{strength}.{scope}")));
    }
    all
}

/// How an access is written: its strength before the space, a hint behind it, and the policy that the hint takes.
type Form = (String, String, &'static str);

/// Hints, behind the space; those that take a policy come with it.
fn hints(load: bool) -> Vec<(String, &'static str)> {
    let caches: &[&str] = match load {
        true => &["ca", "cg", "cs", "lu", "cv", "nc", "nc.L1::no_allocate", "nc.L2::256B"],
        false => &["wb", "cg", "cs", "wt"],
    };
    let mut all: Vec<(String, &str)> = caches.iter().map(|c| (format!(".{c}"), "")).collect();
    for hint in ["evict_normal", "evict_unchanged", "evict_first", "evict_last", "no_allocate"] {
        all.push((format!(".L1::{hint}"), ""));
        all.push((format!(".L1::{hint}.L2::cache_hint"), ", %rd10"));
    }
    if load {
        all.extend(["64B", "128B", "256B"].map(|size| (format!(".L2::{size}"), "")));
        all.push((".L2::cache_hint.L2::128B".to_owned(), ", %rd10"));
    }
    all
}

/// Every type and vector of at most 16 bytes.
fn shapes() -> impl Iterator<Item = (&'static str, usize, &'static str, usize)> {
    TYPES.into_iter().flat_map(|(kind, bits, class)| {
        let counts = [1, 2, 4].into_iter().filter(move |count| bits * count <= 128);
        counts.map(move |count| (kind, bits, class, count))
    })
}

#[test]
fn loads() {
    let strong: Vec<Form> = strengths(true).into_iter().map(|s| (s, String::new(), "")).collect();
    let hinted = || hints(true).into_iter().map(|(hint, policy)| (String::new(), hint, policy));
    let global: Vec<_> = strong.iter().cloned().chain(hinted()).collect();
    let weak = vec![(String::new(), String::new(), ""), (".weak".to_owned(), String::new(), "")];
    let plain = vec![(String::new(), String::new(), "")];
    let own = |seed: u64| bytes(seed, OWN * THREADS as usize);
    let parameter: Vec<u8> = (0..OWN as u8).collect::<Vec<_>>().repeat(THREADS as usize);
    let spaces: [(&str, &str, &[Form], Vec<u8>); 12] = [
        (".global", "[%rd1]", &global, own(4)),
        ("", "[%rd1]", &strong, own(4)),
        (".shared", "[%r3]", &strong, own(4)),
        (".shared::cta", "[%r4]", &strong, own(4)),
        (".shared::cluster", "[%r4]", &weak, own(4)),
        ("", "[%rd6]", &strong, own(4)),
        (".local", "[l]", &weak, own(4)),
        ("", "[%rd7]", &weak, own(4)),
        (".const", "[%rd8]", &weak, own(5)),
        ("", "[%rd8]", &weak, own(5)),
        (".param", "[q]", &plain, parameter.clone()),
        (".param::entry", "[q]", &plain, parameter),
    ];
    for (kind, bits, class, count) in shapes() {
        for (space, address, forms, expected) in &spaces {
            // The first registers hold addresses.
            let first = if class == "%r" || class == "%rd" { 12 } else { 1 };
            let list = registers(class, first, count);
            let mut statements = "mov.u64 %rd10, 0;".to_owned();
            for (i, (strength, hint, policy)) in forms.iter().enumerate() {
                let v = vector(count);
                statements += &format!(
                    "ld{strength}{space}{hint}{v}.{kind} {list}, {address}{policy};
                    st.global{v}.b{bits} [%rd2+{}], {list};\n",
                    i * OWN * THREADS as usize
                );
            }
            let found = run(&statements, forms.len());
            let width = bits / 8 * count;
            for (i, (strength, hint, _)) in forms.iter().enumerate() {
                for t in 0..THREADS as usize {
                    let at = (i * THREADS as usize + t) * OWN;
                    let shown = format!("ld{strength}{space}{hint}.{kind} x {count} of {address}");
                    assert_eq!(
                        found[at..at + width],
                        expected[t * OWN..t * OWN + width],
                        "{shown}"
                    );
                }
            }
        }
    }
}

#[test]
fn stores() {
    let strong: Vec<Form> = strengths(false).into_iter().map(|s| (s, String::new(), "")).collect();
    let hinted = || hints(false).into_iter().map(|(hint, policy)| (String::new(), hint, policy));
    let global: Vec<_> = strong.iter().cloned().chain(hinted()).collect();
    let weak = vec![(String::new(), String::new(), ""), (".weak".to_owned(), String::new(), "")];
    let expected = bytes(4, OWN * THREADS as usize);
    let spaces: [(&str, &str, &[Form]); 7] = [
        (".global", "%rd2", &global),
        ("", "%rd2", &strong),
        (".shared", "%r4", &strong),
        (".shared::cta", "%r4", &strong),
        ("", "%rd6", &strong),
        (".local", "l", &weak),
        ("", "%rd7", &weak),
    ];
    for (kind, bits, class, count) in shapes() {
        let first = if class == "%r" || class == "%rd" { 12 } else { 1 };
        let (list, v) = (registers(class, first, count), vector(count));
        for (space, base, forms) in spaces {
            let mut statements = format!(
                "mov.u64 %rd10, 0; mov.u64 %rd16, 0; ld.global{v}.b{bits} {list}, [%rd1];\n"
            );
            for (i, (strength, hint, policy)) in forms.iter().enumerate() {
                let at = i * OWN * THREADS as usize;
                let store = format!("st{strength}{space}{hint}{v}.{kind}");
                statements += &match base {
                    "%rd2" => format!("{store} [%rd2+{at}], {list}{policy};\n"),
                    // What is there first is not what is stored.
                    _ => format!(
                        "st.v2.u64 [{generic}], {{%rd16, %rd16}}; {store} [{base}], {list}{policy};
                        ld.v2.u64 {{%rd17, %rd18}}, [{generic}]; st.global.v2.u64 [%rd2+{at}], {{%rd17, %rd18}};\n",
                        generic = if base == "l" || base == "%rd7" { "%rd7" } else { "%rd6" },
                    ),
                };
            }
            let found = run(&statements, forms.len());
            let width = bits / 8 * count;
            for (i, (strength, hint, _)) in forms.iter().enumerate() {
                for t in 0..THREADS as usize {
                    let at = (i * THREADS as usize + t) * OWN;
                    let mut whole = [0; OWN];
                    whole[..width].copy_from_slice(&expected[t * OWN..t * OWN + width]);
                    let shown = format!("st{strength}{space}{hint}.{kind} x {count} to [{base}]");
                    assert_eq!(found[at..at + OWN], whole, "{shown}");
                }
            }
        }
    }
}

/// An atomic operation: name, type, bits, registers, and what it makes of the old bits and a source.
type Operation = (&'static str, &'static str, usize, &'static str, fn(u64, u64) -> u64);

fn operations() -> Vec<Operation> {
    let mut all: Vec<Operation> = vec![
        ("exch", "b32", 32, "%r", |_, b| b),
        ("exch", "b64", 64, "%rd", |_, b| b),
        ("and", "b32", 32, "%r", |a, b| a & b),
        ("and", "b64", 64, "%rd", |a, b| a & b),
        ("or", "b32", 32, "%r", |a, b| a | b),
        ("or", "b64", 64, "%rd", |a, b| a | b),
        ("xor", "b32", 32, "%r", |a, b| a ^ b),
        ("xor", "b64", 64, "%rd", |a, b| a ^ b),
        ("add", "u32", 32, "%r", |a, b| u64::from((a as u32).wrapping_add(b as u32))),
        ("add", "s32", 32, "%r", |a, b| u64::from((a as u32).wrapping_add(b as u32))),
        ("add", "u64", 64, "%rd", u64::wrapping_add),
        ("inc", "u32", 32, "%r", |a, b| if a >= b { 0 } else { a + 1 }),
        ("dec", "u32", 32, "%r", |a, b| if a == 0 || a > b { b } else { a - 1 }),
        ("min", "u32", 32, "%r", u64::min),
        ("max", "u32", 32, "%r", u64::max),
        ("min", "u64", 64, "%rd", u64::min),
        ("max", "u64", 64, "%rd", u64::max),
        ("min", "s32", 32, "%r", |a, b| u64::from((a as i32).min(b as i32) as u32)),
        ("max", "s32", 32, "%r", |a, b| u64::from((a as i32).max(b as i32) as u32)),
        ("min", "s64", 64, "%rd", |a, b| (a as i64).min(b as i64) as u64),
        ("max", "s64", 64, "%rd", |a, b| (a as i64).max(b as i64) as u64),
    ];
    // Sums of floats: 1.5 and 2 give 3.5 (`floats` below).
    all.push(("add", "f32", 32, "%f", |_, _| 0x4060_0000));
    all.push(("add", "f64", 64, "%fd", |_, _| 0x400c_0000_0000_0000));
    all.push(("add.noftz", "f16", 16, "%h", |_, _| 0x4300));
    all.push(("add.noftz", "bf16", 16, "%h", |_, _| 0x4060));
    all.push(("add.noftz", "f16x2", 32, "%r", |_, _| 0x4300_4300));
    all.push(("add.noftz", "bf16x2", 32, "%r", |_, _| 0x4060_4060));
    all
}

/// 1.5 and 2 in a float type.
fn floats(kind: &str) -> Option<[u64; 2]> {
    Some(match kind {
        "f32" => [0x3fc0_0000, 0x4000_0000],
        "f64" => [0x3ff8_0000_0000_0000, 0x4000_0000_0000_0000],
        "f16" => [0x3e00, 0x4000],
        "bf16" => [0x3fc0, 0x4000],
        "f16x2" => [0x3e00_3e00, 0x4000_4000],
        "bf16x2" => [0x3fc0_3fc0, 0x4000_4000],
        _ => return None,
    })
}

#[test]
fn atomic_operations() {
    let mut forms = vec![String::new()];
    for strength in ["", ".relaxed", ".acquire", ".release", ".acq_rel"] {
        forms.extend(
            ["", ".cta", ".cluster", ".gpu", ".sys"].map(|scope| format!("{strength}{scope}")),
        );
    }
    for (name, kind, bits, class, of) in operations() {
        for (space, address) in [
            (".global", "%rd2"),
            ("", "%rd2"),
            (".shared", "%r4"),
            (".shared::cta", "%r4"),
            ("", "%rd6"),
        ] {
            let (old, source, width) = (format!("{class}7"), format!("{class}6"), bits / 8);
            let (old, source) = match class {
                "%r" => ("%r13".to_owned(), "%r12".to_owned()),
                "%rd" => ("%rd13".to_owned(), "%rd12".to_owned()),
                _ => (old, source),
            };
            // The old number, then the new one at 8 bytes from it; the source is the input's second half.
            let mut statements = format!("ld.global.b{bits} {source}, [%rd1+8];");
            if let Some([_, two]) = floats(kind) {
                statements += &format!("mov.b{bits} {source}, {two};");
            }
            let start = match floats(kind) {
                Some([one, _]) => format!("mov.b{bits} {old}, {one};"),
                None => format!("ld.global.b{bits} {old}, [%rd1];"),
            };
            for (i, form) in forms.iter().enumerate() {
                for (half, instruction) in ["atom", "red"].into_iter().enumerate() {
                    if half == 1 && (name == "exch" || form.starts_with(".ac")) {
                        continue;
                    }
                    let at = (2 * i + half) * OWN * THREADS as usize;
                    let place = match address {
                        "%rd2" => format!("[%rd2+{}]", at + 8),
                        other => format!("[{other}]"),
                    };
                    let plain = |name: &str| format!("{name}{space}.b{bits}");
                    statements += &format!("{start} {} {place}, {old};", plain("st"));
                    statements += &match half {
                        0 => format!("atom{form}{space}.{name}.{kind} {old}, {place}, {source};"),
                        _ => format!("{instruction}{form}{space}.{name}.{kind} {place}, {source};"),
                    };
                    statements += &format!("st.global.b{bits} [%rd2+{at}], {old};");
                    if address != "%rd2" {
                        statements += &format!(
                            "{} {old}, {place}; st.global.b{bits} [%rd2+{}], {old};",
                            plain("ld"),
                            at + 8
                        );
                    }
                    statements += "\n";
                }
            }
            let found = run(&statements, 2 * forms.len());
            let input = bytes(4, OWN * THREADS as usize);
            let number = |bytes: &[u8]| {
                bytes[..width].iter().rev().fold(0u64, |x, byte| x << 8 | u64::from(*byte))
            };
            for (i, form) in forms.iter().enumerate() {
                for half in 0..2 {
                    if half == 1 && (name == "exch" || form.starts_with(".ac")) {
                        continue;
                    }
                    for t in 0..THREADS as usize {
                        let own = &input[t * OWN..];
                        let [a, b] = floats(kind).unwrap_or([number(own), number(&own[8..])]);
                        let at = ((2 * i + half) * THREADS as usize + t) * OWN;
                        let shown =
                            format!("{form}{space}.{name}.{kind} of [{address}], {a:#x}, {b:#x}");
                        assert_eq!(number(&found[at..]), a, "old {shown}");
                        assert_eq!(number(&found[at + 8..]), of(a, b), "new {shown}");
                    }
                }
            }
        }
    }
}

#[test]
fn compare_and_swap_in_every_form() {
    for (bits, class) in [(16, "%h"), (32, "%r"), (64, "%rd")] {
        let [old, expected, new] =
            [13, 14, 15].map(|i| format!("{class}{}", if class == "%h" { i - 10 } else { i }));
        let mut statements = String::new();
        let mut forms = 0;
        for strength in ["", ".relaxed", ".acquire", ".release", ".acq_rel"] {
            for scope in ["", ".cta", ".cluster", ".gpu", ".sys"] {
                for (space, address) in
                    [(".global", "%rd2"), ("", "%rd2"), (".shared", "%r4"), ("", "%rd6")]
                {
                    let at = forms * OWN * THREADS as usize;
                    let place = if address == "%rd2" {
                        format!("[%rd2+{at}]")
                    } else {
                        format!("[{address}]")
                    };
                    // Even threads expect what is there.
                    statements += &format!(
                        "cvt.u{bits}.u32 {expected}, %r1; and.b{bits} {expected}, {expected}, 1; mov.b{bits} {old}, 0; st{space}.b{bits} {place}, {old};
                        mov.b{bits} {new}, 77; atom{strength}{scope}{space}.cas.b{bits} {old}, {place}, {expected}, {new};
                        st.global.b{bits} [%rd2+{}], {old}; ld{space}.b{bits} {new}, {place}; st.global.b{bits} [%rd2+{at}], {new};\n",
                        at + 8
                    );
                    forms += 1;
                }
            }
        }
        let found = run(&statements, forms);
        for (i, own) in found.chunks(OWN).enumerate() {
            let swapped = (i % THREADS as usize).is_multiple_of(2);
            assert_eq!(
                (own[0], own[8]),
                (if swapped { 77 } else { 0 }, 0),
                "form {}",
                i / THREADS as usize
            );
        }
    }
}
