//! What is answered: masks against naive loops, order, names, pairs.

use std::fs;

use crformer::data::image::{self, Picture};
use crformer::data::mask::Rle;
use crformer::data::resize::{normalise, resize};
use crformer::exec::cpu::CpuSession;
use crformer::exec::{Session, Slot, Values, ValuesMut};
use crformer::model::folder::ModelFolder;
use crformer::model::{Build, Crformer};
use serde_json::{Value, json};

use super::{run, run_with_input};
use crate::fixture::{Folder, WORDS, config};

/// The difference of the two logits at every pixel, in f64 by the printed formula.
fn differences(folder: &Folder, picture: &Picture, words: &[&str]) -> Vec<f64> {
    let model = Crformer::new(&config(), Build::inference(1)).expect("a graph");
    let (image, tokens, mask) = (model.image, model.tokens, model.word_mask);
    let mut session = CpuSession::<f64>::new(model.graph, None, 0);
    let opened = ModelFolder::open(&folder.path("model")).expect("a model");
    opened.load(&mut session).expect("loaded");
    let id = |word: &&str| WORDS.iter().position(|w| w == word).expect("a word") as i32;
    let mut ids: Vec<i32> = words.iter().map(id).collect();
    let mut real = vec![1; ids.len()];
    ids.resize(6, 0);
    real.resize(6, 0);
    let pixels = normalise(&resize(picture, 64, 64).expect("resized"));
    session.write(image, Slot::Value, Values::F32(&pixels)).expect("written");
    session.write(tokens, Slot::Value, Values::Index(&ids)).expect("written");
    session.write(mask, Slot::Value, Values::Index(&real)).expect("written");
    session.forward(0).expect("a pass");
    let mut grid = [0.0; 32];
    session.read(model.logits_grid, Slot::Value, ValuesMut::F64(&mut grid)).expect("read");
    let grid: Vec<f64> = grid.chunks_exact(2).map(|logits| logits[1] - logits[0]).collect();
    let source = |i: usize, n: usize| if n == 1 { 0.0 } else { i as f64 * 3.0 / (n as f64 - 1.0) };
    let share = |i: usize, n: usize, k: usize| (1.0 - (source(i, n) - k as f64).abs()).max(0.0);
    let pixel = |(y, x): (usize, usize)| -> f64 {
        let weight = |k: usize| share(y, picture.height, k / 4) * share(x, picture.width, k % 4);
        (0..16).map(|k| weight(k) * grid[k]).sum()
    };
    let places = (0..picture.height).flat_map(|y| (0..picture.width).map(move |x| (y, x)));
    places.map(pixel).collect()
}

/// The mask that the line's run lengths are, checked against the line's other figures.
fn mask_of(line: &Value) -> Vec<u8> {
    let number = |value: &Value| value.as_u64().expect("a number") as usize;
    let (height, width) = (number(&line["size"][0]), number(&line["size"][1]));
    assert_eq!(line["rle"]["size"], line["size"]);
    let counts = line["rle"]["counts"].as_str().expect("text");
    let mask = Rle::from_text(height, width, counts).expect("run lengths").to_mask();
    let inside: Vec<(usize, usize)> = (0..height * width)
        .filter(|&i| mask.pixels[i] == 1)
        .map(|i| (i / width, i % width))
        .collect();
    assert_eq!(number(&line["area"]), inside.len());
    let span = |values: Vec<usize>| match (values.iter().min(), values.iter().max()) {
        (Some(&low), Some(&high)) => (low, high - low + 1),
        _ => (0, 0),
    };
    let (y, h) = span(inside.iter().map(|place| place.0).collect());
    let (x, w) = span(inside.iter().map(|place| place.1).collect());
    assert_eq!(line["box"], json!([x, y, w, h]));
    mask.pixels
}

#[test]
fn the_mask_is_what_the_formulas_say_at_the_pictures_own_size() {
    let folder = Folder::new();
    let picture = folder.picture("some picture.png", 37, 53);
    let lines = run(&folder, &["some picture.png", "the red circle"]).lines(0);
    let [line] = &lines[..] else { panic!("one line, not {lines:?}") };
    let keys: Vec<&str> = line.as_object().expect("an object").keys().map(|k| &**k).collect();
    let wanted = "picture phrase size area box rle score milliseconds mask overlay";
    assert_eq!(keys.join(" "), wanted);
    assert_eq!(line["size"], json!([53, 37]));
    let mask = mask_of(line);
    let differences = differences(&folder, &picture, &["[CLS]", "the", "red", "circle", "[SEP]"]);
    let inside = mask.iter().filter(|&&pixel| pixel == 1).count();
    assert!(inside > 100 && inside < mask.len() - 100, "a telling mask, not {inside} pixels");
    // Pixels nearer to the border than f32 can tell: there must be few of them.
    let clear = |d: f64| d.abs() > 1e-4;
    assert!(differences.iter().filter(|&&d| !clear(d)).count() < 10);
    for (i, (&pixel, &d)) in mask.iter().zip(&differences).enumerate() {
        assert!(!clear(d) || (pixel == 1) == (d > 0.0), "pixel {i}: {pixel} at {d}");
    }
    let sum: f64 = differences.iter().filter(|d| **d > 0.0).map(|d| 1.0 / (1.0 + (-d).exp())).sum();
    let score = line["score"].as_f64().expect("a number");
    assert!((score - sum / inside as f64).abs() < 1e-3, "{score}");
    check_files(&folder, line, &picture, &mask);
}

fn check_files(folder: &Folder, line: &Value, picture: &Picture, mask: &[u8]) {
    assert_eq!(line["mask"], "some picture-1.mask.png");
    assert_eq!(line["overlay"], "some picture-1.overlay.png");
    let read = |name: &str| image::read(&folder.path(name)).expect("a picture");
    let written = read("some picture-1.mask.png");
    assert_eq!((written.width, written.height), (37, 53));
    assert!(written.pixels.chunks_exact(3).zip(mask).all(|(p, &m)| p == [m * 255; 3]));
    let overlay = read("some picture-1.overlay.png");
    let pixels = overlay.pixels.chunks_exact(3).zip(picture.pixels.chunks_exact(3));
    for ((shown, before), &pixel) in pixels.zip(mask) {
        assert_eq!(shown != before, pixel == 1, "changed inside the mask and nowhere else");
    }
    let before = ["model", "some picture.png"].map(str::to_owned);
    let mut names = folder.names("");
    names.retain(|name| !before.contains(name));
    assert_eq!(names, ["some picture-1.mask.png", "some picture-1.overlay.png"]);
}

/// Without what differs from run to run or with the item's number.
fn essence(line: &Value) -> Value {
    let mut line = line.clone();
    for key in ["milliseconds", "mask", "overlay", "id"] {
        line.as_object_mut().expect("an object").remove(key);
    }
    line
}

#[test]
fn every_picture_is_asked_every_phrase_in_order() {
    let folder = Folder::new();
    folder.picture("a.png", 20, 30);
    folder.picture("b.png", 31, 9);
    let arguments = ["--picture", "a.png", "--picture", "b.png", "--out", "new/out"];
    let phrases = ["--phrase", "the circle", "--phrase", "left"];
    let lines = run(&folder, &[&arguments[..], &phrases].concat()).lines(0);
    let asked = [("a", "the circle"), ("a", "left"), ("b", "the circle"), ("b", "left")];
    assert_eq!(lines.len(), 4);
    for (number, (line, (name, phrase))) in (1..).zip(lines.iter().zip(asked)) {
        let picture = format!("{name}.png");
        assert_eq!((&line["picture"], &line["phrase"]), (&json!(picture), &json!(phrase)));
        assert_eq!(line["mask"], json!(format!("new/out/{name}-{number}.mask.png")));
        // Neither its place in a batch nor the number of threads changes an answer.
        let alone = run(&folder, &["--threads", "1", &picture, phrase]).lines(0);
        assert_eq!(essence(line), essence(&alone[0]));
    }
    assert_ne!(lines[2]["score"], lines[3]["score"], "the phrase matters");
    assert_eq!(folder.names("new/out").len(), 8);
}

/// A pipe gives a picture once, so a second reading would fail.
#[test]
fn a_picture_with_several_phrases_is_read_once() {
    let folder = Folder::new();
    folder.picture("a.png", 20, 30);
    let bytes = fs::read(folder.path("a.png")).expect("read");
    let arguments =
        ["--picture", "/dev/stdin", "--phrase", "left", "--phrase", "", "--phrase", "red"];
    let lines = run_with_input(&folder, &arguments, &bytes).lines(6);
    assert_eq!(lines[0]["size"], json!([30, 20]));
    assert!(lines[1]["error"].as_str().expect("an error").contains("empty"));
    assert_eq!(lines[2]["mask"], "stdin-3.mask.png");
}

#[test]
fn pairs_come_from_a_file_or_from_standard_input() {
    let folder = Folder::new();
    folder.picture("a.png", 20, 30);
    let list = "{\"picture\": \"a.png\", \"phrase\": \"left\", \"id\": \"first\"}\r\n\n\
                {\"id\": 18446744073709551615, \"phrase\": \"red\", \"picture\": \"a.png\"}";
    fs::write(folder.path("pairs.jsonl"), list).expect("written");
    let lines = run(&folder, &["--pairs", "pairs.jsonl"]).lines(0);
    let ids: Vec<&Value> = lines.iter().map(|line| &line["id"]).collect();
    assert_eq!(ids, [&json!("first"), &json!(u64::MAX)]);
    assert_eq!(lines[1]["mask"], "a-2.mask.png");
    let piped = run_with_input(&folder, &["--pairs", "-"], list.as_bytes()).lines(0);
    let essences = |lines: &[Value]| lines.iter().map(essence).collect::<Vec<_>>();
    assert_eq!(essences(&piped), essences(&lines));
    let alone = run(&folder, &["a.png", "red"]).lines(0);
    assert_eq!(essence(&alone[0]), essence(&lines[1]));
    assert!(run_with_input(&folder, &["--pairs", "-"], b"").lines(0).is_empty());
}

#[test]
fn a_picture_of_one_pixel_and_a_long_phrase_are_answered() {
    let folder = Folder::new();
    folder.picture("one.png", 1, 1);
    let lines = run(&folder, &["one.png", &"circle ".repeat(500)]).lines(0);
    assert_eq!((&lines[0]["size"], &lines[0]["truncated"]), (&json!([1, 1]), &json!(true)));
    mask_of(&lines[0]);
    // Four words and both specials just fit.
    let fits = run(&folder, &["one.png", "circle circle circle circle"]).lines(0);
    assert_eq!(fits[0].get("truncated"), None);
    folder.picture("row.png", 70, 1);
    mask_of(&run(&folder, &["row.png", "left"]).lines(0)[0]);
}

#[test]
fn an_earlier_run_is_replaced_but_a_picture_never() {
    let folder = Folder::new();
    folder.picture("a.png", 20, 30);
    folder.picture("a-1.mask.png", 40, 10);
    let before = fs::read(folder.path("a-1.mask.png")).expect("read");
    let both = ["--picture", "a.png", "--picture", "a-1.mask.png", "--phrase", "left"];
    let lines = run(&folder, &both).lines(6);
    let error = lines[0]["error"].as_str().expect("an error");
    assert!(error.contains("a-1.mask.png: is a picture that was asked about"), "{error}");
    assert_eq!(lines[1]["mask"], "a-1.mask-2.mask.png");
    assert_eq!(fs::read(folder.path("a-1.mask.png")).expect("read"), before);
    for _ in 0..2 {
        run(&folder, &["--out", "out", "a.png", "left"]).lines(0);
    }
    assert_eq!(folder.names("out"), ["a-1.mask.png", "a-1.overlay.png"]);
}
