//! Every subcommand once, from the data to a model, its figures and its pictures.

use std::path::Path;

use crformer::data::image;
use crformer::data::mask::Rle;
use serde_json::Value;

use crate::train::{Tiny, fails, learnt, names, program, succeeds};

fn on_shapes(tiny: &Tiny, command: &str, split: &str) -> std::process::Command {
    let mut command = program(&[command, "--dataset", "shapes", "--split-by", "drawn"]);
    command.args(["--split", split]);
    match command.get_args().next().and_then(|name| name.to_str()) {
        Some("evaluate") => command.arg("--data").arg(tiny.path("data")),
        _ => command.arg(tiny.path("data")),
    };
    command
}

#[test]
fn a_run_leaves_a_model_that_can_be_judged() {
    let tiny = Tiny::new();
    let out = tiny.trained("run", &[]);
    for file in ["model.safetensors", "config.json", "vocab.txt", "metrics.jsonl", "config.toml"] {
        assert!(out.join(file).is_file(), "{file} is missing: {:?}", names(&out));
    }
    for link in ["last", "best"] {
        assert!(out.join("checkpoints").join(link).join("model.safetensors").is_file(), "{link}");
    }
    let judged = |more: &[&str]| {
        let line = succeeds(on_shapes(&tiny, "evaluate", "val").arg(&out).arg("--json").args(more));
        serde_json::from_str::<Value>(&line).expect("JSON")
    };
    let lavt = judged(&[]);
    let best = std::fs::read_to_string(out.join("metrics.jsonl")).expect("a log");
    let best: Vec<Value> = best.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    let best = best.iter().rev().find(|line| line["best"] == true).expect("an evaluation");
    for figure in ["mIoU", "oIoU", "Pr@50", "Pr@90", "samples"] {
        assert_eq!(lavt[figure], best[figure], "{figure}: the model is not the best one");
    }
    assert_eq!(lavt, judged(&["--batch", "1"]));
    let original = judged(&["--protocol", "original", "--by-kind"]);
    assert_eq!(original["protocol"], "original");
    let kinds = original["kinds"].as_object().expect("kinds");
    let of_kinds: u64 = kinds.values().map(|k| k["samples"].as_u64().expect("a number")).sum();
    assert_eq!(original["samples"].as_u64(), Some(of_kinds));
    let table = succeeds(on_shapes(&tiny, "evaluate", "testA").arg(&out));
    assert!(table.contains("mIoU") && table.contains("shapes testA"), "{table}");
    let said = fails(on_shapes(&tiny, "evaluate", "test-a").arg(&out), 2);
    assert!(said.contains("selects no reference; the file has train"), "{said}");
}

#[test]
fn a_loss_that_is_not_finite_stops_the_run() {
    let tiny = Tiny::new();
    let out = tiny.path("run");
    succeeds(&mut tiny.train(&out, &["--stop-at", "1", "-o", "optimiser.learning_rate=1e30"]));
    let before = learnt(&out);
    let said = fails(program(&["train", "--resume", "--out"]).arg(&out), 5);
    for expected in
        ["error: step ", "ref_id ", "sent_id ", "the first tensor that is not finite is"]
    {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert!(before == learnt(&out), "the last checkpoint changed");
}

#[test]
fn a_run_begins_with_the_weights_of_a_model() {
    let tiny = Tiny::new();
    let model = tiny.path("first");
    succeeds(&mut tiny.train(&model, &["--stop-at", "3"]));
    let out = tiny.path("second");
    let from = format!("initial.model={}", model.display());
    succeeds(&mut tiny.train(&out, &["--stop-at", "0", "-o", &from]));
    let ([first, _], [second, moments]) = (learnt(&model), learnt(&out));
    assert!(first == second, "other weights");
    let header = u64::from_le_bytes(moments[..8].try_into().expect("a length")) as usize;
    assert!(moments[8 + header..].iter().all(|&byte| byte == 0), "old moments");
}

#[test]
fn what_a_run_begins_with_must_be_there() {
    let tiny = Tiny::new();
    let out = tiny.path("run");
    for key in ["initial.model", "initial.image_encoder", "initial.text_encoder"] {
        let said = fails(&mut tiny.train(&out, &["-o", &format!("{key}=nowhere")]), 3);
        assert!(said.contains("nowhere: "), "{key}: {said}");
        assert!(!out.exists(), "{key}: something was left behind");
    }
    let pictures = tiny.path("data/images/mscoco/images/train2014");
    let picture = pictures.join(&names(&pictures)[0]);
    std::fs::remove_file(&picture).expect("removed");
    let said = fails(&mut tiny.train(&out, &[]), 3);
    let picture = picture.to_string_lossy();
    assert!(said.contains(&*picture) && said.contains("is not there"), "{said}");
    assert!(!out.exists(), "something was left behind");
}

#[test]
fn samples_are_what_the_data_set_says() {
    let tiny = Tiny::new();
    let out = tiny.path("samples");
    let mut command = on_shapes(&tiny, "samples", "val");
    command.args(["--image-size", "64", "--max-tokens", "5", "--count", "4", "--out"]).arg(&out);
    succeeds(&mut command);
    let text = std::fs::read_to_string(out.join("samples.jsonl")).expect("lines");
    let lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    assert_eq!(lines.len(), 4);
    for line in &lines {
        assert_eq!(line["tokens"].as_array().map(Vec::len), Some(5));
        assert_eq!(line["word_mask"].as_array().map(Vec::len), Some(5));
        let name = |key: &str| out.join(line[key].as_str().expect("a name"));
        let picture = image::read(&name("image_png")).expect("a picture");
        assert_eq!((picture.width, picture.height), (64, 64));
        assert_same_mask(line, &name("mask_png"));
    }
}

/// The run lengths, resized, are the written mask.
fn assert_same_mask(line: &Value, png: &Path) {
    let size = |i: usize| line["mask"]["size"][i].as_u64().expect("a size") as usize;
    let counts = line["mask"]["counts"].as_str().expect("counts");
    let mask = Rle::from_text(size(0), size(1), counts).expect("run lengths").to_mask();
    let written = image::read(png).expect("a mask");
    let resized = mask.resize_nearest(64, 64);
    let grey: Vec<u8> = written.pixels.chunks_exact(3).map(|p| p[0] / 255).collect();
    assert_eq!(resized.pixels, grey);
    assert!(mask.area() > 0);
}

#[test]
fn the_demo_goes_from_nothing_to_pictures() {
    let tiny = Tiny::new();
    let out = tiny.path("demo");
    let settings: toml::Table = crate::tiny::SETTINGS.parse().expect("TOML");
    let mut command = program(&["demo", "--train", "12", "--val", "6", "--test-a", "1"]);
    command.args(["--test-b", "1", "--out"]).arg(&out);
    for section in ["training", "evaluation", "run", "model"] {
        for (key, value) in settings[section].as_table().expect("a section") {
            command.arg("-o").arg(format!("{section}.{key}={value}"));
        }
    }
    let said = succeeds(&mut command);
    for kind in ["shapes val", "colour", "size", "place"] {
        assert!(said.contains(kind), "{kind} is missing: {said}");
    }
    assert!(out.join("run/model.safetensors").is_file());
    let pictures = names(&out.join("pictures"));
    assert!(!pictures.is_empty() && pictures.iter().all(|p| p.ends_with(".png")), "{pictures:?}");
    // A second time everything stands already and is only judged again.
    assert_eq!(said, succeeds(&mut command));
}
