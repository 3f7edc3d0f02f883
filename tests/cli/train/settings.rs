//! Presets, files and overrides, as far as they are refused or printed.

use crate::train::{Tiny, fails, program, succeeds};

#[test]
fn help_names_commands_and_exit_codes() {
    let help = succeeds(&mut program(&["--help"]));
    for word in ["train", "evaluate", "samples", "demo", "probe", "draw", "config", "Exit codes"] {
        assert!(help.contains(word), "{word} is missing: {help}");
    }
    assert_eq!(succeeds(&mut program(&[])).lines().next(), help.lines().next());
}

#[test]
fn a_printed_preset_is_a_file_of_settings() {
    let tiny = Tiny::new();
    for preset in ["paper", "lineage", "demo"] {
        let text = succeeds(&mut program(&["config", "--preset", preset]));
        let path = tiny.path(preset);
        std::fs::write(&path, &text).expect("written");
        let out = tiny.path("run");
        let mut command = program(&["train", "-o", "data.root=nowhere", "-o", "data.vocabulary="]);
        command.arg("--config");
        // It resolves; what is missing is the data.
        let said = fails(command.arg(&path).arg("--out").arg(&out), 3);
        assert!(said.contains("nowhere/") && said.contains("vocab.txt"), "{said}");
        assert!(!out.exists(), "{preset}: something was left behind");
    }
    let said = fails(&mut program(&["config", "--preset", "small"]), 2);
    assert!(said.contains("no preset \"small\"; there are paper, lineage, demo"), "{said}");
}

#[test]
fn what_is_wrong_with_an_override_is_said() {
    let tiny = Tiny::new();
    for (text, expected) in [
        ("optimizer.decay=1", "unknown key optimizer.decay; did you mean optimiser.decay?"),
        ("training.bach=1", "unknown key training.bach; did you mean training.batch?"),
        ("training.batch", "expected section.key=value"),
        ("training.batch=many", "training.batch: expected integer, found string"),
        ("training.batch=0", "training.batch is 0, expected a number from 1 to 1048576"),
        ("training.batch=-1", "training.batch"),
        ("training=1", "training: expected table, found integer"),
        ("optimiser.kind=sgd", "unknown variant `sgd`"),
        ("optimiser.betas=[0.9]", "betas"),
        ("optimiser.eps=0", "optimiser.eps is 0, expected a number larger than 0"),
        ("optimiser.frozen=[\"text.layers.7.*\"]", "the pattern \"text.layers.7.*\" matches no"),
        ("model.image_size=100", "image_size is 100, it must be a multiple of 32"),
        ("model.vocab_size=10", "model.vocab_size is 10; set it to"),
        ("evaluation.select=IoU", "unknown variant `IoU`"),
        ("training.batch=500", "references, but one update needs 1000"),
    ] {
        let out = tiny.path("run");
        let said = fails(&mut tiny.train(&out, &["-o", text]), 2);
        assert!(said.contains(expected), "{text}: {said}");
        assert!(!out.exists(), "{text}: something was left behind");
    }
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let tiny = Tiny::new();
    for (text, expected) in [
        ("[training\n", "line 1"),
        ("[training]\nbatch = 1\n", "is missing; name it, or put a line such as preset"),
        ("preset = \"demo\"\n[training]\nbatches = 1\n", "unknown key training.batches"),
        ("preset = \"large\"\n", "no preset \"large\""),
        ("preset = 1\n", "preset is the name of one, found integer"),
    ] {
        let path = tiny.path("wrong.toml");
        std::fs::write(&path, text).expect("written");
        let mut command = program(&["train", "--out", "nowhere", "--config"]);
        let said = fails(command.arg(&path), 3);
        assert!(said.contains("wrong.toml") && said.contains(expected), "{text}: {said}");
    }
}

/// On a machine without a driver, with one but without a GPU, and with a GPU.
#[test]
fn a_gpu_that_cannot_be_used_ends_with_2_and_says_what_to_do() {
    for device in ["cuda:0", "cuda:99"] {
        let said = fails(&mut program(&["--device", device, "config", "--preset", "demo"]), 2);
        assert!(said.contains("use --device cpu") && said.lines().count() == 1, "{said}");
    }
    let said = fails(&mut program(&["--device", "gpu", "config", "--preset", "demo"]), 2);
    assert!(said.contains("no device \"gpu\"; there are cpu, cuda:N and vm"), "{said}");
}
