//! Both directions of one operation on random numbers, at given shapes, on the machine that was asked for.
//!
//! On a device, in bf16 and in f32. What does not fit in its memory is said and left out; the bench then ends with
//! an error. `elem/s` in the figures are floating-point operations a second.

use std::cell::{Cell, OnceCell, RefCell};

use crformer::cuda;
use crformer::cuda::precision::Precision;
use crformer::error::{Error, ErrorKind, Result};
use crformer::op::Op;
use crformer::op::contract::TensorType;
use criterion::Criterion;

use crate::device::{self, Repeated};
use crate::subject::Subject;
use crate::work::{Direction, Work};
use crate::{cpu, support};

/// Times forward, with what it keeps, and backward of all gradients, which sets them.
///
/// `inputs` are the types of the operation's inputs; indices are drawn below `indices_below`.
pub fn both_with_indices(
    c: &mut Criterion,
    name: &str,
    op: impl Into<Op>,
    inputs: &[TensorType],
    indices_below: usize,
) {
    let subject = Subject::new(op.into(), inputs, indices_below);
    match open() {
        None => on_cpu(c, name, &subject),
        Some(device) => {
            for precision in [Precision::Bf16, Precision::F32] {
                if let Err(error) = on_device(c, name, &subject, device, precision) {
                    leave_out(&format!("{name} in {}", label(precision)), error);
                }
            }
        }
    }
}

/// The same for an operation without indices, or with masks that are 0 or 1.
pub fn both(c: &mut Criterion, name: &str, op: impl Into<Op>, inputs: &[TensorType]) {
    both_with_indices(c, name, op, inputs, 2);
}

/// Numbers of pictures to measure linear layers for.
pub fn batches() -> Vec<usize> {
    or_end(support::batches()).unwrap_or_else(|| vec![1])
}

fn on_cpu(c: &mut Criterion, name: &str, subject: &Subject) {
    // Made only if the command line chooses one of its directions.
    let run = OnceCell::new();
    let run = || run.get_or_init(|| RefCell::new(cpu::Run::new(subject))).borrow_mut();
    let mut group = c.benchmark_group(name);
    group.throughput(Work::of(subject, Direction::Forward, Precision::F32).throughput());
    group.bench_function("forward", |b| b.iter(|| run().forward()));
    group.throughput(Work::of(subject, Direction::Backward, Precision::F32).throughput());
    group.bench_function("backward", |b| b.iter(|| run().backward()));
}

fn on_device(
    c: &mut Criterion,
    name: &str,
    subject: &Subject,
    device: &cuda::device::Device,
    precision: Precision,
) -> Result<()> {
    let run = device::blank(device, subject, precision)?;
    // Numbers are drawn only if the command line chooses one of its directions.
    let filled = OnceCell::new();
    let filled = || filled.get_or_init(|| or_end(device::fill(&run, subject)));
    let mut group = c.benchmark_group(name);
    for direction in [Direction::Forward, Direction::Backward] {
        let passes = OnceCell::new();
        group.throughput(Work::of(subject, direction, precision).throughput());
        group.bench_function(format!("{} {}", direction.name(), label(precision)), |b| {
            filled();
            let passes = passes.get_or_init(|| or_end(Repeated::new(device, &run, direction)));
            b.iter_custom(|count| or_end(passes.time(count)));
        });
    }
    Ok(())
}

fn label(precision: Precision) -> &'static str {
    match precision {
        Precision::F32 => "f32",
        Precision::Bf16 => "bf16",
    }
}

/// The device, unless it is the CPU; open until the program ends.
fn open() -> Option<&'static cuda::device::Device> {
    thread_local! {
        static OPEN: Cell<Option<Option<&'static cuda::device::Device>>> = const { Cell::new(None) };
    }
    OPEN.with(|open| {
        if open.get().is_none() {
            let device = or_end(support::device().and_then(crformer::exec::Device::open));
            open.set(Some(device.map(|device| &*Box::leak(Box::new(device)))));
        }
        open.get().flatten()
    })
}

thread_local! {
    static LEFT_OUT: Cell<usize> = const { Cell::new(0) };
}

/// How many subjects did not fit.
pub fn left_out() -> usize {
    LEFT_OUT.get()
}

/// Too little memory for one subject is no reason to leave out the next; anything else ends the bench, because after
/// a kernel that failed a device does nothing more.
fn leave_out(name: &str, error: Error) {
    match error.kind() {
        ErrorKind::Memory => {
            eprintln!("{name}: left out: {error}");
            LEFT_OUT.set(LEFT_OUT.get() + 1);
        }
        _ => end(&error.at(name)),
    }
}

fn or_end<T>(result: Result<T>) -> T {
    result.unwrap_or_else(|error| end(&error))
}

fn end(error: &Error) -> ! {
    eprintln!("{error}");
    std::process::exit(error.exit_code().into())
}
