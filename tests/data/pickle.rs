//! Pickles: every protocol read, code refused, hostile input survived.

use std::fmt::Write;
use std::path::PathBuf;

use crformer::data::pickle::{Pickle, PickleError, Value};
use crformer::rng::{Philox, Reader};

fn fixture(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/refer/pickles");
    std::fs::read(folder.join(name)).unwrap()
}

/// All pickles of the fixtures with the name of the object they hold.
fn pickles() -> Vec<(String, &'static str)> {
    let python3 = (0..6).map(|protocol| (format!("plain-python3-{protocol}.pickle"), "plain"));
    let python2 = (0..3).map(|protocol| (format!("plain-python2-{protocol}.pickle"), "plain"));
    let modern = (4..6).map(|protocol| (format!("modern-python3-{protocol}.pickle"), "modern"));
    let buffer = [("buffer-python3-5.pickle".to_owned(), "buffer")];
    python3.chain(python2).chain(modern).chain(buffer).collect()
}

/// Writes an object as `make_pickles.py` does, and stops after `budget` objects.
fn describe(value: Value, out: &mut String, budget: &mut usize) {
    if *budget == 0 {
        return;
    }
    *budget -= 1;
    if let Some(number) = value.as_int() {
        write!(out, "{number}").unwrap();
    } else if let Some(number) = value.as_float() {
        out.push_str(&float(number));
    } else if let Some(text) = value.as_str() {
        let codes: Vec<String> = text.chars().map(|c| format!("{:x}", c as u32)).collect();
        write!(out, "'{}'", codes.join(".")).unwrap();
    } else if let Some(bytes) = value.as_bytes() {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        write!(out, "b{digits}").unwrap();
    } else if let Some(flag) = value.as_bool() {
        out.push_str(if flag { "True" } else { "False" });
    } else if let Some(entries) = value.entries() {
        describe_all(["{", "}"], entries.map(|(key, value)| vec![key, value]), out, budget);
    } else if let Some(items) = value.items() {
        let brackets = match value.kind() {
            "a list" => ["[", "]"],
            "a tuple" => ["(", ")"],
            _ => ["<", ">"],
        };
        describe_all(brackets, items.map(|item| vec![item]), out, budget);
    } else {
        out.push_str(if value.kind() == "None" { "None" } else { "long" });
    }
}

fn describe_all<'a>(
    brackets: [&str; 2],
    parts: impl Iterator<Item = Vec<Value<'a>>>,
    out: &mut String,
    budget: &mut usize,
) {
    out.push_str(brackets[0]);
    for (i, part) in parts.enumerate() {
        out.push_str(if i > 0 { "," } else { "" });
        describe(part[0], out, budget);
        if let Some(&second) = part.get(1) {
            out.push(':');
            describe(second, out, budget);
        }
        if *budget == 0 {
            return;
        }
    }
    out.push_str(brackets[1]);
}

fn float(number: f64) -> String {
    match number.to_bits() {
        0 => "f0".to_owned(),
        0xbff8_0000_0000_0000 => "f-0x1.8000000000000p+0".to_owned(),
        bits if number == 1e300 => format!("f0x1.{:013x}p+996", bits & ((1 << 52) - 1)),
        bits if number == 0.1 => format!("f0x1.{:013x}p-4", bits & ((1 << 52) - 1)),
        _ => format!("f{number}"),
    }
}

fn description(pickle: &Pickle) -> String {
    let mut out = String::new();
    describe(pickle.root(), &mut out, &mut 10_000);
    out
}

fn refusal(bytes: &[u8]) -> PickleError {
    Pickle::parse(bytes).unwrap_err()
}

#[test]
fn every_protocol_of_python_2_and_3_is_read() {
    let objects = String::from_utf8(fixture("objects.txt")).unwrap();
    for (name, object) in pickles() {
        let pickle = Pickle::parse(&fixture(&name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let expected = objects.lines().find_map(|line| line.strip_prefix(object)).unwrap().trim();
        assert_eq!(description(&pickle), expected, "{name}");
    }
}

#[test]
fn dicts_are_searched_by_key() {
    let pickle = Pickle::parse(&fixture("plain-python2-0.pickle")).unwrap();
    let root = pickle.root();
    assert_eq!(root.get("long text").and_then(Value::as_str).map(str::len), Some(400));
    assert_eq!(root.get("many").and_then(|many| many.items()).map(|items| items.len()), Some(1234));
    assert_eq!(
        root.get("table").and_then(|table| table.get("17")).and_then(Value::as_int),
        Some(17)
    );
    assert!(root.get("absent").is_none());
    assert!(root.get("many").and_then(|many| many.get("0")).is_none());
    let twice = Pickle::parse(b"(dS'a'\nI1\nsS'a'\nI2\ns.").unwrap();
    assert_eq!(twice.root().get("a").and_then(Value::as_int), Some(2), "the last one counts");
}

#[test]
fn a_shared_list_is_one_list() {
    // x = []; d = {'a': x, 'b': x}; x.append(5)
    let pickle = Pickle::parse(b"(dp0\nS'a'\n(lp1\nsS'b'\ng1\nI5\nas.").unwrap();
    assert_eq!(description(&pickle), "{'61':[5],'62':[5]}");
}

#[test]
fn a_list_that_holds_itself_is_read() {
    let pickle = Pickle::parse(b"(lp0\ng0\na.").unwrap();
    let mut inner = pickle.root();
    for _ in 0..1000 {
        inner = inner.items().unwrap().next().unwrap();
    }
    assert_eq!(inner.kind(), "a list");
}

#[test]
fn strings_of_python_2_are_unescaped() {
    let text = |bytes: &[u8]| Pickle::parse(bytes).unwrap().root().as_str().unwrap().to_owned();
    assert_eq!(
        text(
            br#"S'\\\'\"\n\t\x41\101\0\q'
."#
        ),
        "\\'\"\n\tAA\0\\q"
    );
    assert_eq!(text(b"S\"it's\"\r\n."), "it's");
    assert_eq!(text(b"S'caf\\xe9'\n."), "caf\u{e9}", "Latin-1");
    assert_eq!(text(b"S'caf\\xc3\\xa9'\n."), "caf\u{e9}", "UTF-8");
    assert_eq!(text(b"Vcaf\\u00e9 \\ud83d\\ude00 \\U0001f600\n."), "caf\u{e9} \u{1f600} \u{1f600}");
    assert_eq!(text(b"V\\\\u0041 \xe9\n."), "\\\\u0041 \u{e9}");
}

#[test]
fn numbers_of_every_kind() {
    let int = |bytes: &[u8]| Pickle::parse(bytes).unwrap().root().as_int();
    assert_eq!(int(b"I-42\n."), Some(-42));
    assert_eq!(int(b"L12345678901L\n."), Some(12_345_678_901));
    assert_eq!(int(b"L7\n."), Some(7));
    assert_eq!(int(b"\x8a\x00."), Some(0));
    assert_eq!(int(b"\x8a\x01\xff."), Some(-1));
    assert_eq!(int(b"\x8b\x02\x00\x00\x00\xff\x00."), Some(255));
    assert_eq!(int(b"\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x00."), None, "2^64 - 1");
    assert_eq!(int(b"\x8a\x09\xff\xff\xff\xff\xff\xff\xff\x7f\x00."), Some(i64::MAX));
    assert_eq!(Pickle::parse(b"I01\n.").unwrap().root().as_bool(), Some(true));
    for wrong in [&b"I4x\n."[..], b"I\n.", b"L-\n.", b"Fone\n.", b"\x8b\xff\xff\xff\xff."] {
        assert_eq!(refusal(wrong).offset, 0);
    }
}

#[test]
fn opcodes_that_run_code_are_refused() {
    let opcodes: [(&[u8], usize, &str); 9] = [
        (b"cos\nsystem\n(S'true'\ntR.", 0, "GLOBAL"),
        (b"(S'true'\nios\nsystem\n.", 9, "INST"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", 14, "STACK_GLOBAL"),
        (b"I1\n)R.", 4, "REDUCE"),
        (b"I1\nI2\nb.", 6, "BUILD"),
        (b"(I1\no.", 4, "OBJ"),
        (b"N)\x81.", 2, "NEWOBJ"),
        (b"\x82\x01.", 0, "EXT1"),
        (b"Pid\n.", 0, "PERSID"),
    ];
    for (bytes, offset, name) in opcodes {
        let error = refusal(bytes);
        assert_eq!(error.offset, offset, "{name}");
        assert!(error.message.contains(&format!("opcode {name} (")), "{error}");
        assert!(error.message.contains("write the file again"), "{error}");
    }
    for opcode in [b"Q", b"\x83", b"\x84", b"\x92", b"\x97", b"\x98"] {
        assert!(refusal(opcode).message.contains("refused"));
    }
    assert!(refusal(b"<html>").message.contains("no pickle"));
}

/// Cut anywhere, it is an error that names the opcode.
#[test]
fn a_pickle_that_is_cut_off_is_refused() {
    for (name, _) in pickles() {
        let bytes = fixture(&name);
        for end in (0..bytes.len()).step_by(7) {
            let error = refusal(&bytes[..end]);
            assert!(error.offset <= end && error.message.contains("cut off"), "{name}: {error}");
        }
    }
}

/// A length is believed only if the bytes are there: nothing is reserved for it before.
#[test]
fn lengths_beyond_the_file_are_refused() {
    for opcode in [b"\x8d", b"\x8e", b"\x96", b"\x95"] {
        let error = refusal(&[opcode, &[0xff; 8][..], b"abc."].concat());
        assert!(error.message.contains("18446744073709551615 bytes are needed"), "{error}");
    }
    for opcode in [b"T", b"X", b"B"] {
        assert!(
            refusal(&[opcode, &[0xff; 4][..], b"abc."].concat()).message.contains("4294967295")
        );
    }
    assert!(refusal(b"\x8b\xff\xff\xff\x7f.").message.contains("2147483647"));
}

#[test]
fn a_broken_stack_is_refused() {
    let broken: [(&[u8], &str); 12] = [
        (b".", "stack has none"),
        (b"a.", "stack has none"),
        (b"I1\nI2\na.", "no list, dict or set"),
        (b"(I1\nd.", "without a value"),
        (b"t.", "a mark is needed"),
        (b"](a.", "stack has none"),
        (b"I1\n(.", "stack has none"),
        (b"g5\n.", "object 5 is recalled"),
        (b"h\x05.", "object 5 is recalled"),
        (b"p0\n.", "stack has none"),
        (b"\x80\x06N.", "protocol 0 to 5; found 6"),
        (b"\x8c\x01\xff.", "not UTF-8"),
    ];
    for (bytes, reason) in broken {
        assert!(refusal(bytes).message.contains(reason), "{bytes:?}: {}", refusal(bytes));
    }
    assert!(refusal(b"V\\ud83d\n.").message.contains("no character"));
    assert!(refusal(b"V\\u12\n.").message.contains("hexadecimal"));
    assert!(refusal(b"S'\\x4'\n.").message.contains("hexadecimal"));
    assert!(refusal(b"S'open\n.").message.contains("quotes"));
}

/// Nesting a million deep, read and dropped on a small stack.
#[test]
fn deep_nesting_costs_no_stack() {
    let depth = 1_000_000;
    let nested = [vec![b']'; depth], vec![b'a'; depth - 1], vec![b'.']].concat();
    let tuples = [vec![b')'], vec![0x85; depth], vec![b'.']].concat();
    let read = move || {
        for bytes in [&nested, &tuples] {
            let pickle = Pickle::parse(bytes).unwrap();
            let mut value = pickle.root();
            let mut levels = 0;
            while let Some(inner) = value.items().and_then(|mut items| items.next()) {
                (value, levels) = (inner, levels + 1);
            }
            assert!(levels >= depth - 1);
        }
    };
    std::thread::Builder::new().stack_size(64 << 10).spawn(read).unwrap().join().unwrap();
}

/// 200 lists, each holding the one before twice: 2^199 items if they were copied.
#[test]
fn a_memo_bomb_stays_small() {
    let mut bytes = b"(lp0\n".to_vec();
    for level in 1..200 {
        bytes.extend(format!("(g{before}\ng{before}\nlp{level}\n", before = level - 1).bytes());
    }
    bytes.push(b'.');
    let pickle = Pickle::parse(&bytes).unwrap();
    assert_eq!(pickle.root().items().unwrap().len(), 2);
}

fn mutate(bytes: &mut Vec<u8>, random: &mut Reader) {
    const OPCODES: &[u8] = b"(.012FIJKLMNPQRSTUVXabcd}eghijl]opqrst)uG\
        \x80\x81\x82\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x96BC";
    for _ in 0..1 + random.below(4) {
        let place = random.below(bytes.len().max(1)).min(bytes.len());
        let stretch = place..(place + random.below(9)).min(bytes.len());
        match random.below(6) {
            0 => bytes.truncate(place),
            1 => bytes.insert(place, OPCODES[random.below(OPCODES.len())]),
            2 => drop(bytes.drain(stretch)),
            3 => {
                let copy = bytes[stretch].to_vec();
                let other = random.below(bytes.len() + 1);
                drop(bytes.splice(other..other, copy));
            }
            4 => bytes.insert(place, [0, 1, 0x7f, 0xff][random.below(4)]),
            _ => {
                if let Some(byte) = bytes.get_mut(place) {
                    *byte = random.below(256) as u8;
                }
            }
        }
    }
}

/// 200 000 mutated pickles; `CRFORMER_MUTATIONS` asks for more.
#[test]
fn mutated_pickles_never_panic() {
    let wanted = std::env::var("CRFORMER_MUTATIONS").ok().map(|number| number.parse().unwrap());
    let small: [&[u8]; 4] = [
        b"(lp0\n(dp1\nS'ref_id'\np2\nI0\nsS'sentences'\np3\n(lp4\n(dS'raw'\nVthe\\u00e9\np5\nsasa.",
        b"\x80\x02]q\x00}q\x01(U\x06ref_idK\x00X\x03\x00\x00\x00rawU\x02hiT\x01\x00\x00\x00xh\x01ue.",
        b"\x80\x04\x95\x20\x00\x00\x00\x00\x00\x00\x00]\x94}\x94(\x8c\x03raw\x94\x8c\x02hi\x94K\x01M\x01\x02ua.",
        b"\x80\x05(\x8f\x94(K\x01\x8a\x01\xff\x90G?\xf0\x00\x00\x00\x00\x00\x00C\x01x\x88\x89N\x86t.",
    ];
    let mut random = Philox::new(5, 0).reader();
    let (mut read, mut refused) = (0, 0);
    for i in 0..wanted.unwrap_or(200_000) {
        let mut bytes = small[i % small.len()].to_vec();
        mutate(&mut bytes, &mut random);
        match Pickle::parse(&bytes) {
            Ok(pickle) => {
                describe(pickle.root(), &mut String::new(), &mut 100);
                read += 1;
            }
            Err(error) => {
                assert!(error.offset <= bytes.len());
                refused += 1;
            }
        }
    }
    assert!(read > 0 && refused > 0, "{read} read, {refused} refused");
}
