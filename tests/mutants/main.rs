//! Deliberate mistakes in backward rules, every one of which the checks of `support/case.rs` have
//! to catch: a missing term, a wrong sign, set for add, a dropped scale, a wrong index.
//!
//! The operations' own sources are copied into a package under `target/`, each mistake into a copy
//! of its own, beside one copy without any, which has to pass. The package is compiled and run
//! once. An operation without mistakes in the table is a failure too.

/// Makes the package, compiles it and runs it.
mod package;
/// The mistakes.
mod table;

use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn every_mistake_is_caught() {
    let verdicts = package::run(&table::subjects());
    let mut wrong = Vec::new();
    for verdict in &verdicts {
        println!("{}: {}: {}", verdict.operation, verdict.mistake, verdict.found);
        let passed = verdict.found == "passed";
        if passed != (verdict.mistake == package::NONE) {
            wrong.push(format!("{}, {}: {}", verdict.operation, verdict.mistake, verdict.found));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), verdicts.len(), wrong.join("\n"));
}

#[test]
fn every_operation_has_mistakes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/op");
    let entries = std::fs::read_dir(&folder).expect("the folder of operations");
    let folders = entries.map(|e| e.expect("an entry").path()).filter(|path| path.is_dir());
    let name = |path: &Path| path.file_name().map(|n| n.to_string_lossy().into_owned());
    let operations: BTreeSet<String> = folders.filter_map(|path| name(&path)).collect();
    let subjects = table::subjects();
    let in_table = subjects.iter().filter(|s| s.mistakes.len() >= 2);
    let in_table: BTreeSet<String> = in_table.map(|s| s.operation.to_owned()).collect();
    assert_eq!(operations, in_table, "operations, and those with two mistakes or more");
}
