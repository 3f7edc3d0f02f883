//! Counted efficiency of every operation and of the whole step, on the PTX machine, without a GPU.
//! `cargo bench --bench counts`
//!
//! Every different node of the model (480 x 480, Swin-B, BERT-B, bf16) runs once in each direction it is there, through the
//! launch code that a session calls; what the whole model does is the sum. `--model` runs whole sessions besides and
//! compares. Figures beyond their limits are marked and listed at the end; `--check` makes them an error.

use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Instant;

use clap::Parser;
use crformer::cuda::device::Device;
use crformer::cuda::library::set_machine;
use crformer::cuda::precision::Precision;
use crformer::error::Result;
use crformer::exec;

mod compiler;
mod counted;
mod counters;
mod kernels;
mod least;
mod limits;
mod measured;
mod memory;
mod model;
mod numbers;
mod operations;
mod optimiser;
mod session;
mod table;
mod work;

#[path = "../../tests/support/allocations.rs"]
mod allocations;

/// Counts what the kernels do, on the PTX machine.
#[derive(Parser)]
struct Arguments {
    /// Runs a whole inference and a whole training step too: minutes, and 6 GB of memory
    #[arg(long)]
    model: bool,
    /// Fails if a figure is outside its limit
    #[arg(long)]
    check: bool,
    /// Samples of a batch
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Writes the figures of every operation to this file
    #[arg(long)]
    json: Option<PathBuf>,
    /// What cargo gives to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("counts: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether nothing is wrong that was to be checked.
fn run(arguments: &Arguments) -> Result<bool> {
    let began = Instant::now();
    let device = exec::Device::Vm.open()?.expect("the machine is a CUDA device");
    let device: Rc<Device> = Rc::new(device);
    // The tests have the machine refuse reads of memory nobody wrote; here that would only cost time.
    set_machine("written=0")?;
    let works = work::of_model(arguments.batch);
    let mut all = Vec::new();
    for work in works.clone() {
        all.push(measured::measure(&device, Precision::Bf16, work)?);
    }
    let sums = operations::Sums::new(&all);
    let mut judge = limits::Judge::default();
    operations::print_all(&all, &mut judge);
    sums.print();
    sums.print_launches();
    let layouts = kernels::layouts(&device, &works)?;
    let taken = compiler::ask();
    if let Err(why) = &taken {
        println!("\nNothing from the compiler: {why}");
    }
    let known = taken.as_ref().ok();
    kernels::print(&all, &layouts, known.unwrap_or(&Default::default()), &mut judge);
    let subject = counters::Subject {
        device: &device,
        batch: arguments.batch,
        all: &all,
        sums: &sums,
        taken: known,
    };
    counters::print(&subject, &mut judge)?;
    if arguments.model {
        model::print(&device, arguments.batch, &sums, &mut judge)?;
    }
    if let Some(path) = &arguments.json {
        operations::write(&all, path)?;
    }
    let good = judge.report();
    println!("\n{:.0} s", began.elapsed().as_secs_f64());
    Ok(good || !arguments.check)
}
