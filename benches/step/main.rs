//! The full model (480 x 480, Swin-B, BERT-B, random weights): whole inference, up to logits at the picture's
//! size, and whole training step. `cargo bench --bench step`
//!
//! On the CPU in f32 with batch 1, or on the device that `CRFORMER_BENCH_DEVICE` names (`cuda:0`, `vm`) in bf16 and
//! f32 with batches of 1, 8 and 64. `CRFORMER_BENCH_PRECISION=bf16` and `CRFORMER_BENCH_BATCH="1 8"` choose among
//! them; `CRFORMER_BENCH_CONFIG=config.json` measures another model. What does not fit in a device's memory is said
//! and left out; the bench then ends with an error.
//!
//! `CRFORMER_PROFILE=1` prints where the time of a pass on the CPU goes. `CRFORMER_ON_REQUEST=inference` or `training`
//! makes one pass for each line on standard input and prints its milliseconds: `benches/peers/side_by_side.py`
//! alternates such passes with the peer's.

use std::io::{BufRead, stdin};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crformer::error::{Error, ErrorKind, Result};
use crformer::exec::Machine;
use criterion::Criterion;

use case::{Case, Settings};

mod case;
mod profile;
#[path = "../support/mod.rs"]
mod support;

/// Every case; those that do not fit in memory are left out, and the last of them is the error.
fn measure(settings: &Settings) -> Result<()> {
    let criterion = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(20));
    let mut criterion = criterion.configure_from_args();
    let mut left_out = None;
    for precision in &settings.precisions {
        let machine = Machine::open(settings.device, Some(precision))?;
        for &batch in &settings.batches {
            for (what, build) in ["inference", "training step"].iter().zip(settings.builds(batch)) {
                let name = format!("{what}/batch {batch}{}", label(&machine, precision));
                let case = Case::new(settings, &machine, build);
                match case.and_then(|mut case| time(&mut criterion, &name, &mut case)) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::Memory => {
                        eprintln!("{name}: left out: {error}");
                        left_out = Some(error.at(name));
                    }
                    Err(error) => return Err(error.at(name)),
                }
            }
        }
    }
    criterion.final_summary();
    left_out.map_or(Ok(()), Err)
}

/// Machine and precision, unless it is the CPU.
fn label(machine: &Machine, precision: &str) -> String {
    match machine {
        Machine::Cuda { .. } => format!(" {precision}"),
        Machine::Cpu | Machine::CpuInDouble => String::new(),
    }
}

fn time(criterion: &mut Criterion, name: &str, case: &mut Case) -> Result<()> {
    // Kernels are loaded by the first pass and recorded by the second.
    (0..2).try_for_each(|_| case.pass())?;
    let mut failed = None;
    criterion.bench_function(name, |b| {
        b.iter_custom(|count| {
            let start = Instant::now();
            for _ in 0..count {
                if failed.is_none() {
                    failed = case.pass().err();
                }
            }
            start.elapsed().max(Duration::from_nanos(1))
        });
    });
    println!("memory of {name}: {:.2} GiB", case.memory());
    failed.map_or(Ok(()), Err)
}

/// One pass for each line read; prints its milliseconds.
fn on_request(settings: &Settings, what: &str) -> Result<()> {
    let builds = settings.builds(settings.first_batch());
    let build = match what {
        "inference" => builds[0],
        "training" => builds[1],
        other => {
            let expected = "expected inference or training";
            return Err(Error::usage(format!("CRFORMER_ON_REQUEST is {other:?}; {expected}")));
        }
    };
    let mut case = Case::new(settings, &settings.machine()?, build)?;
    println!("ready");
    for line in stdin().lock().lines() {
        line.map_err(|error| Error::io("standard input", "reading", error))?;
        let began = Instant::now();
        case.pass()?;
        println!("{:.3}", began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(())
}

fn main() -> ExitCode {
    let done = Settings::from_environment().and_then(|settings| {
        if std::env::var_os("CRFORMER_PROFILE").is_some() {
            rayon::scope(|_| profile::profile(&settings))
        } else if let Ok(what) = std::env::var("CRFORMER_ON_REQUEST") {
            on_request(&settings, &what)
        } else {
            measure(&settings)
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(error.exit_code())
        }
    }
}
