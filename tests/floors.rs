//! The map in `src/lib.rs` is true: no import runs up or sideways, and each foreign crate has one
//! door.

use std::fs;
use std::path::{Path, PathBuf};

/// Rooms by floor, from the ground up.
const FLOORS: [&[&str]; 8] = [
    &["error", "file", "shape", "scalar", "write", "rng"],
    &["cpu", "cuda", "data", "weights"],
    &["op"],
    &["graph", "optim"],
    &["exec", "nn"],
    &["model"],
    &["train", "infer"],
    &["bin"],
];

/// Foreign crates that only these files name.
const DOORS: [(&str, &[&str]); 9] = [
    ("cudarc::", &["cuda/device.rs", "cuda/memory.rs", "cuda/upload.rs"]),
    ("libloading::", &["cuda/library.rs"]),
    ("pulp::", &["cpu/simd.rs"]),
    ("image::", &["data/image.rs"]),
    ("tokenizers::", &["data/wordpiece.rs"]),
    ("safetensors::", &["weights/read.rs"]),
    ("indicatif::", &["train/progress.rs"]),
    ("signal_hook::", &["train/signals.rs", "file.rs"]),
    ("clap::", &["bin/train.rs", "bin/infer.rs"]),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Every source file: its path below `src/` and its code without comments.
fn code() -> Vec<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&src, &mut paths);
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).expect("a source file");
        let without_comments =
            |line: &str| line.split("//").next().unwrap_or_default().to_owned() + "\n";
        let name = path.strip_prefix(&src).expect("below src").to_string_lossy().into_owned();
        (name, text.lines().map(without_comments).collect())
    };
    paths.iter().map(read).collect()
}

fn floor_of(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// The rooms that a file imports: what follows `crate::`, or `crformer::` in the binaries.
fn imports(room: &str, text: &str) -> Vec<String> {
    let door = if room == "bin" { "crformer::" } else { "crate::" };
    let names = text.match_indices(door).map(|(at, _)| first_name(&text[at + door.len()..]));
    names.collect()
}

fn first_name(path: &str) -> String {
    path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn imports_run_down() {
    let mut checked = 0;
    for (name, text) in code().iter().filter(|(name, _)| name != "lib.rs") {
        let room = name.split(['/', '.']).next().unwrap_or_default();
        let floor = floor_of(room).unwrap_or_else(|| panic!("{name} is in no room of the map"));
        for import in imports(room, text).iter().filter(|import| *import != room) {
            // A macro or a re-export at the root has no floor; there is none in this crate.
            let below = floor_of(import).unwrap_or_else(|| panic!("{name} imports {import}"));
            let sideways_ground = floor == 0 && below == 0;
            assert!(
                below < floor || sideways_ground,
                "{name} imports {import}, which is not below"
            );
            checked += 1;
        }
    }
    assert!(checked > 100, "only {checked} imports were found");
}

#[test]
fn operations_do_not_know_each_other() {
    for (name, text) in code().iter().filter(|(name, _)| name.starts_with("op/")) {
        let own = name.split('/').nth(1).unwrap_or_default();
        for (at, _) in text.match_indices("op::") {
            let other = first_name(&text[at + "op::".len()..]);
            let allowed = ["contract", "device", own, "Op", ""].contains(&other.as_str());
            assert!(allowed, "{name} imports op::{other}");
        }
    }
}

#[test]
fn every_foreign_crate_has_one_door() {
    for (name, text) in code() {
        for (krate, doors) in DOORS {
            for (at, _) in text.match_indices(krate) {
                let before = text[..at].chars().next_back().unwrap_or(' ');
                let other_path = before.is_alphanumeric() || "_:".contains(before);
                assert!(other_path || doors.contains(&name.as_str()), "{name} names {krate}");
            }
        }
    }
}

#[test]
fn the_map_in_lib_rs_names_every_room() {
    let lib = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let lib = fs::read_to_string(lib).expect("lib.rs");
    for room in FLOORS.iter().flat_map(|rooms| rooms.iter()).filter(|room| **room != "bin") {
        assert!(lib.contains(&format!("`{room}`")), "lib.rs does not speak of {room}");
    }
}
