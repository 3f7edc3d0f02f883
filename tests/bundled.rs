//! What `tests/bundle` packs is whole: `tests/bundle-run` hands compute-sanitizer the tests of operations that have
//! `device` in their names, so every test that uses one has.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder of tests");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let files = paths.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    files.collect()
}

/// Functions of a file by their names, with their code.
fn functions(text: &str) -> Vec<(&str, String)> {
    let mut functions: Vec<(&str, String)> = Vec::new();
    for line in text.lines() {
        let code = line.split("//").next().unwrap_or_default();
        let head = code.trim_start().trim_start_matches("pub ").strip_prefix("fn ");
        match (head, functions.last_mut()) {
            (Some(head), _) => {
                let end = head.find(['(', '<']).expect("a name before parameters");
                functions.push((&head[..end], String::new()));
            }
            (None, Some((_, body))) => *body += code,
            (None, None) => {}
        }
    }
    functions
}

#[test]
fn what_uses_a_device_is_called_so() {
    let mut found = 0;
    for path in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ops")) {
        let in_module = path.ends_with("device.rs");
        let text = fs::read_to_string(&path).expect("a source file");
        for (name, body) in functions(&text) {
            let uses = body.contains("device");
            let called_so = in_module || name.contains("device");
            assert!(!uses || called_so, "{}: {name} uses a device", path.display());
            found += usize::from(uses);
        }
    }
    assert!(found > 20, "only {found} functions were found that use one");
}
