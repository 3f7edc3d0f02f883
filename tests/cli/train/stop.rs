//! Ten steps, a stop, a resume and ten steps give the bits of twenty steps.

use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::train::{Tiny, errors, fails, learnt, metrics, succeeds};

/// With accumulation, drop path and dropout on, between an evaluation and a checkpoint.
#[test]
fn ten_steps_and_ten_steps_are_twenty() {
    let tiny = Tiny::new();
    let whole = tiny.trained("whole", &[]);
    let halves = tiny.path("halves");
    succeeds(&mut tiny.train(&halves, &["--stop-at", "10"]));
    assert_eq!(metrics(&halves).last().expect("a line")["step"], 10);
    succeeds(&mut tiny.train(&halves, &["--resume"]));
    assert!(learnt(&whole) == learnt(&halves), "other weights or moments");
    assert_eq!(metrics(&whole), metrics(&halves));
    let steps = metrics(&whole).iter().filter(|line| line.get("loss").is_some()).count();
    assert_eq!(steps, 20);
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let tiny = Tiny::new();
    let one = tiny.trained("one", &["--threads", "1"]);
    let two = tiny.trained("two", &["--threads", "2", "-o", "run.loader_threads=3"]);
    assert!(learnt(&one) == learnt(&two), "other weights or moments");
    let other = tiny.trained("other", &["-o", "training.seed=1"]);
    assert!(learnt(&one) != learnt(&other), "the seed has no effect");
}

/// Starts a run that is slow to end and waits until it has done some steps.
fn started(command: &mut Command, log: &std::path::Path) -> Child {
    let child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("starts");
    let begun = Instant::now();
    while std::fs::metadata(log).map_or(0, |found| found.len()) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(120), "no step was done");
        sleep(Duration::from_millis(2));
    }
    child
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status();
    assert!(sent.expect("kill").success());
}

#[test]
fn signals_finish_the_step_and_save() {
    let tiny = Tiny::new();
    let long = ["-o", "training.steps=400", "-o", "run.save_every=0", "-o", "evaluation.split="];
    let whole = tiny.trained("whole", &[&long[..], &["--stop-at", "60"]].concat());
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let out = tiny.path(name);
        let child = started(&mut tiny.train(&out, &long), &out.join("metrics.jsonl"));
        signal(&child, name);
        let output = child.wait_with_output().expect("it ends");
        let said = errors(&output);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains("the state is saved, --resume goes on"), "{said}");
        let done = metrics(&out).last().expect("a line")["step"].as_u64().expect("a number");
        if done >= 60 {
            println!("skipped: {name} came after step 60, at {done}");
            continue;
        }
        succeeds(&mut tiny.train(&out, &[&long[..], &["--resume", "--stop-at", "60"]].concat()));
        assert!(learnt(&whole) == learnt(&out), "{name}: other weights or moments");
        assert_eq!(metrics(&whole), metrics(&out), "{name}");
    }
}

#[test]
fn a_run_goes_on_only_as_it_began() {
    let tiny = Tiny::new();
    let out = tiny.path("run");
    succeeds(&mut tiny.train(&out, &["--stop-at", "2"]));
    let before = learnt(&out);
    let said = fails(&mut tiny.train(&out, &[]), 2);
    assert!(said.contains("a run stands there already; add --resume"), "{said}");
    let said = fails(&mut tiny.train(&out, &["--resume", "-o", "training.batch=2"]), 2);
    assert!(said.contains("begun with training.batch = 3 and cannot go on with 2"), "{said}");
    assert!(before == learnt(&out), "a refused run changed something");
    // What does not change what is learnt may change.
    let free = ["--resume", "--stop-at", "3", "-o", "run.log_every=7", "-o", "evaluation.every=9"];
    succeeds(&mut tiny.train(&out, &free));
    assert!(before != learnt(&out), "nothing was learnt");
}

/// With `--resume` alone the settings are those of the run; without a run there are none.
#[test]
fn resume_needs_no_settings() {
    let tiny = Tiny::new();
    let out = tiny.path("run");
    succeeds(&mut tiny.train(&out, &["--stop-at", "2"]));
    let mut command = crate::train::program(&["train", "--resume", "--stop-at", "4", "--out"]);
    succeeds(command.arg(&out));
    assert_eq!(metrics(&out).last().expect("a line")["step"], 4);
    let mut command = crate::train::program(&["train", "--resume", "--out"]);
    let said = fails(command.arg(tiny.path("nothing")), 2);
    assert!(said.contains("which settings?"), "{said}");
    assert!(!tiny.path("nothing").exists());
}
