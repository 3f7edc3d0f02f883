//! The command: what it prints, writes and answers.

use std::process::{Command, Output};

const KERNELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/driver/kernels.ptx");

fn run(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ptx-vm")).args(words).output().expect("the command starts")
}

fn run_kernel(name: &str, words: &[&str]) -> Output {
    run(&[&[KERNELS, "--kernel", name], words].concat())
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn said(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn a_kernel_runs_and_its_result_is_written() {
    let folder = std::env::temp_dir().join(format!("ptx-vm-command-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let (inp, out) = (folder.join("inp.bin"), folder.join("out.bin"));
    let values: Vec<f32> = (0..40).map(|i| i as f32 * 0.5).collect();
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    std::fs::write(&inp, bytes).expect("written");
    let target = format!("f32[40]=zeros>{}", out.display());
    let source = format!("f32[..]=@{}", inp.display());
    let words =
        ["--grid", "2", "--block", "32", "--arg", &target, "--arg", &source, "--arg", "f32:-2"];
    let output = run_kernel("scale", &[&words[..], &["--arg", "u32:40"]].concat());
    assert_eq!(code(&output), Some(0), "{}", said(&output.stderr));
    let text = said(&output.stdout);
    for part in [
        "scale: 1 launches",
        "global loads: 2 requests, 160 bytes in 5 sectors",
        "5 written sectors still in the cache",
        "23: mad.lo.s32",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let found = std::fs::read(&out).expect("the result");
    let expected: Vec<u8> = values.iter().flat_map(|v| (v * -2.0).to_le_bytes()).collect();
    assert_eq!(found, expected);
    std::fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn counts_come_as_json_too() {
    let output = run_kernel("add_one", &["--block", "32", "--arg", "u32[32]=iota", "--json"]);
    let text = said(&output.stdout);
    assert!(text.starts_with("{\"seconds\":"), "{text}");
    assert!(text.contains("\"kernel\":\"add_one\",\"launches\":1,"), "{text}");
    assert!(text.contains("\"stores\":{\"requests\":1,\"bytes\":128,\"sectors\":4}"), "{text}");
}

#[test]
fn lines_of_inlined_functions_come_with_those_of_their_callers() {
    let text = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/lines.ptx");
    let arguments = ["--arg", "f32[1]=unset", "--arg", "f32[900]=iota", "--arg", "u32:900"];
    let words = [&[text, "--kernel", "mean", "--block", "32"], &arguments[..]].concat();
    let output = run(&words);
    assert!(said(&output.stdout).contains("  (lines.cu:4, inlined at lines.cu:10)\n"));
    let output = run(&[&words[..], &["--json"]].concat());
    let place = "\"source\":\"lines.cu\",\"source_line\":4,\
                 \"inlined_at\":\"lines.cu\",\"inlined_at_line\":10,";
    assert!(said(&output.stdout).contains(place), "{}", said(&output.stdout));
}

#[test]
fn a_broken_rule_is_exit_code_1() {
    let output = run_kernel("add_one", &["--block", "33", "--arg", "u32[32]=zeros"]);
    assert_eq!(code(&output), Some(1));
    let text = said(&output.stderr);
    for part in ["OutOfBounds in kernel add_one", "thread (32, 0, 0)", "ld.global.u32"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let unset = run_kernel("add_one", &["--arg", "u32[1]=unset"]);
    assert_eq!(code(&unset), Some(1));
    let allowed = run_kernel("add_one", &["--arg", "u32[1]=unset", "--set", "written=0"]);
    assert_eq!(code(&allowed), Some(0), "{}", said(&allowed.stderr));
    let races = ["--grid", "2", "--arg", "u32[1]=zeros"];
    assert_eq!(code(&run_kernel("add_one", &races)), Some(0));
    assert_eq!(code(&run_kernel("add_one", &[&races[..], &["--races"]].concat())), Some(1));
}

#[test]
fn wrong_words_are_exit_code_2() {
    for (words, part) in [
        (&["--kernel", "add_two"][..], "no kernel add_two; the text has add_one"),
        (&[], "--kernel is missing"),
        (&["--kernel", "add_one"], "0 arguments; add_one takes 1"),
        (&["--kernel", "add_one", "--arg", "u32:1"], "argument 0 has 4 bytes, the parameter 8"),
        (&["--arg", "u8:256"], "--arg u8:256: 256: no value of 1 bytes"),
        (&["--arg", "i8:-129"], "no value of 1 bytes"),
        (&["--arg", "u33:1"], "u33: no type"),
        (&["--arg", "f32[0]=zeros"], "0 elements"),
        (&["--arg", "f32[3]=@/nowhere"], "/nowhere"),
        (&["--arg", "f32"], "expected TYPE:VALUE"),
        (&["--grid", "1,2,3,4"], "expected X, X,Y or X,Y,Z"),
        (&["--block"], "its value is missing"),
        (&["--target", "sm_70"], "expected sm_80, sm_89 or sm_90"),
        (&["--colour"], "--colour: no such option"),
        (&["other.ptx"], "one PTX file is enough"),
    ] {
        let output = run(&[&[KERNELS], words].concat());
        assert_eq!(code(&output), Some(2), "{words:?}: {}", said(&output.stderr));
        assert!(said(&output.stderr).contains(part), "{part}: {}", said(&output.stderr));
    }
    assert_eq!(code(&run(&["/nowhere.ptx"])), Some(2));
    assert_eq!(code(&run(&[])), Some(2));
    let help = run(&["--help"]);
    assert_eq!(code(&help), Some(0));
    assert!(said(&help.stdout).contains("--adversarial SEED"));
}

#[test]
fn a_refused_text_is_exit_code_3() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let output = run(&[path]);
    assert_eq!(code(&output), Some(3), "{}", said(&output.stderr));
    assert!(said(&output.stderr).contains("PTX line 1"), "{}", said(&output.stderr));
}
