//! The package of mutants: one module for each copy of an operation, a program that judges each.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::table::{Mistake, Subject};

/// What stands for a mistake in the verdict on a copy without any.
pub const NONE: &str = "no mistake";

/// What the checks said of one copy.
pub struct Verdict {
    pub operation: &'static str,
    pub mistake: &'static str,
    /// `passed`, or what gave it away.
    pub found: String,
}

/// One copy of an operation.
struct Copy<'a> {
    module: String,
    operation: &'static str,
    mistake: Option<&'a Mistake>,
}

/// Files with their text, by their path in the package's `src`.
type Files = BTreeMap<PathBuf, String>;

/// Makes the package of all copies, compiles it and runs it.
pub fn run(subjects: &[Subject]) -> Vec<Verdict> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutants");
    let (mut copies, mut files) = (Vec::new(), Files::new());
    for subject in subjects {
        let mistakes = std::iter::once(None).chain(subject.mistakes.iter().map(Some));
        for (number, mistake) in mistakes.enumerate() {
            let module = format!("{}_{number}", subject.operation);
            add_module(&mut files, &module, subject, mistake);
            copies.push(Copy { module, operation: subject.operation, mistake });
        }
    }
    files.insert("main.rs".into(), program(&copies));
    remove_others(&folder.join("src"), Path::new(""), &files);
    files.iter().for_each(|(path, text)| write(&folder.join("src").join(path), text));
    write(&folder.join("Cargo.toml"), &manifest());
    write(&folder.join("Cargo.lock"), &read(&root().join("Cargo.lock")));
    judge(&folder, &copies)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("reading {}: {e}", path.display()))
}

/// Writes a file unless it holds the same already, so that cargo sees what changed.
fn write(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|was| was == text) {
        return;
    }
    let parent = path.parent().expect("a file in a folder");
    fs::create_dir_all(parent).unwrap_or_else(|e| panic!("making {}: {e}", parent.display()));
    fs::write(path, text).unwrap_or_else(|e| panic!("writing {}: {e}", path.display()));
}

/// Removes what an earlier run left in `below`, a folder of `src`, and this one does not have.
fn remove_others(src: &Path, below: &Path, files: &Files) {
    for entry in fs::read_dir(src.join(below)).into_iter().flatten() {
        let path = below.join(entry.expect("an entry of the package's sources").file_name());
        if src.join(&path).is_dir() {
            remove_others(src, &path, files);
        } else if !files.contains_key(&path) {
            fs::remove_file(src.join(&path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
    }
}

/// The files of an operation and of the shared code that its mistakes are in, as one module.
fn add_module(files: &mut Files, module: &str, subject: &Subject, mistake: Option<&Mistake>) {
    let (operation, cpu) = (root().join("src/op").join(subject.operation), root().join("src/cpu"));
    let mut sources = rust_files(&operation);
    for name in subject.shared {
        sources.extend(rust_files(&cpu.join(name)));
        sources.extend(Some(cpu.join(format!("{name}.rs"))).filter(|path| path.exists()));
    }
    if let Some(mistake) = mistake {
        let holding = sources.iter().filter(|path| path.ends_with(mistake.file)).count();
        assert_eq!(holding, 1, "{}: files called {}", subject.operation, mistake.file);
    }
    for source in sources {
        let mut text = read(&source);
        if let Some(mistake) = mistake.filter(|mistake| source.ends_with(mistake.file)) {
            text = with_mistake(&text, subject, mistake);
        }
        let is_index = source.ends_with("mod.rs") && source.starts_with(&cpu);
        let in_cpu = is_index || source.parent() == Some(&cpu);
        let mut text = moved(&text, module, subject.shared, in_cpu);
        let place = match (source.strip_prefix(&operation), source.strip_prefix(&cpu)) {
            (Ok(own), _) => own.to_owned(),
            (_, Ok(shared)) => Path::new("shared").join(shared),
            _ => unreachable!("a file of the operation or of src/cpu"),
        };
        if place == Path::new("mod.rs") {
            let modules = subject.shared.iter().map(|name| format!("pub mod {name};"));
            text += &format!("\npub mod shared {{ {} }}\n", modules.collect::<String>());
        }
        files.insert(Path::new(module).join(place), text);
    }
}

/// The Rust files in a folder and below it; none if there is no such folder.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let paths = entries.map(|entry| entry.expect("an entry of a folder of sources").path());
    let files = paths.flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|end| end == "rs")).collect()
}

fn with_mistake(text: &str, subject: &Subject, mistake: &Mistake) -> String {
    let Mistake { name, file, from, to } = mistake;
    let found = text.matches(from).count();
    assert!(
        found == 1,
        "{}, {name}: its text has to stand in {file} once, but stands there {found} times; write \
         it into tests/mutants/table as the source has it now:\n{from}",
        subject.operation
    );
    text.replace(from, to)
}

/// A source file of the library as one of a module that has copies of the `shared` files.
/// `in_cpu`: what is above it is `src/cpu`.
fn moved(text: &str, module: &str, shared: &[&str], in_cpu: bool) -> String {
    let mut text = text.replace("crate::", "crformer::");
    text = match in_cpu {
        true => text.replace("use super::", "use crformer::cpu::"),
        false => text.replace("super::contract", "crformer::op::contract"),
    };
    for name in shared {
        for end in ["::", ";"] {
            let theirs = format!("crformer::cpu::{name}{end}");
            text = text.replace(&theirs, &format!("crate::{module}::shared::{name}{end}"));
        }
    }
    text
}

/// The program: the tests' own checks, the cases, and a call for every copy.
fn program(copies: &[Copy<'_>]) -> String {
    let mut text = String::from("//! Made by tests/mutants.\n#![allow(warnings)]\n");
    for (name, path) in [
        ("support", "tests/support/mod.rs"),
        ("cases", "tests/mutants/package/cases.rs"),
        ("verdict", "tests/mutants/package/verdict.rs"),
    ] {
        let path = root().join(path);
        text += &format!("#[macro_use]\n#[path = {:?}]\nmod {name};\n", path.display().to_string());
    }
    copies.iter().for_each(|copy| text += &format!("mod {};\n", copy.module));
    text += "fn main() {\n    verdict::silence();\n";
    for Copy { module, operation, .. } in copies {
        text += &format!("    verdict::tell(\"{module}\", cases!({operation}, {module}));\n");
    }
    text + "}\n"
}

/// A manifest with the library's own dependencies and profiles, so that what is compiled already
/// serves here.
fn manifest() -> String {
    let manifest: toml::Table = read(&root().join("Cargo.toml")).parse().expect("a manifest");
    let table = |name: &str| manifest.get(name).and_then(|t| t.as_table()).cloned();
    let mut dependencies = table("dependencies").unwrap_or_default();
    dependencies.extend(table("dev-dependencies").unwrap_or_default());
    for path in dependencies.iter_mut().filter_map(|(_, of)| of.get_mut("path")) {
        *path = root().join(path.as_str().unwrap_or_default()).display().to_string().into();
    }
    let path = root().display().to_string();
    dependencies.insert("crformer".into(), toml::toml! { path = path }.into());
    let mut profiles = table("profile").unwrap_or_default();
    profiles.iter_mut().filter_map(|(_, p)| p.as_table_mut()).for_each(optimise_less);
    let mut made = toml::toml! {
        [package]
        name = "mutants"
        version = "0.0.0"
        edition = "2024"
        publish = false

        [workspace]
    };
    made.insert("dependencies".into(), dependencies.into());
    made.insert("profile".into(), profiles.into());
    made.to_string()
}

/// Keeps a profile for the library only: the copies are many and their cases small, so compiling
/// them without optimisation saves five times what running them costs.
fn optimise_less(profile: &mut toml::Table) {
    let mut library = profile.clone();
    library.retain(|key, _| key == "opt-level" || key == "debug");
    profile.insert("opt-level".into(), 0.into());
    profile.insert("debug".into(), false.into());
    let packages = profile.entry("package").or_insert(toml::Table::new().into());
    if let Some(packages) = packages.as_table_mut() {
        packages.insert("crformer".into(), library.into());
    }
}

/// Compiles the package into the same target folder and runs it.
fn judge(folder: &Path, copies: &[Copy<'_>]) -> Vec<Verdict> {
    let target = folder.ancestors().nth(2).expect("a folder in target/tmp");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args(["run", "--offline", "--quiet", "--manifest-path"]).arg(folder.join("Cargo.toml"));
    cargo.arg("--target-dir").arg(target);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let output = cargo.output().expect("cargo starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the mutants do not compile or run:\n{errors}");
    let told: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once('\t')).collect();
    let found = |module: &str| told.iter().find(|(m, _)| *m == module).map(|(_, found)| *found);
    let verdict = |copy: &Copy| Verdict {
        operation: copy.operation,
        mistake: copy.mistake.map_or(NONE, |m| m.name),
        found: found(&copy.module).expect("a verdict on every copy").to_owned(),
    };
    copies.iter().map(verdict).collect()
}
