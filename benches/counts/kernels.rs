//! The table of kernels: how often the model launches each, its bank conflicts, what it takes of a device.

use std::collections::BTreeMap;

use crformer::cuda::arguments::Layout;
use crformer::cuda::device::Device;
use crformer::cuda::kernels::Kernel;
use crformer::cuda::precision::Precision;
use crformer::error::Result;

use crate::compiler::{AllTaken, TARGETS, Taken, Target};
use crate::counted::Counted;
use crate::limits::{Judge, WAVEFRONTS};
use crate::measured::{Measured, launches, ratio};
use crate::optimiser;
use crate::table::Table;
use crate::work::{Direction, Work};

/// One launch with the most shared memory, of every kernel that the model launches in f32 or bf16 and that `others` has.
///
/// # Errors
/// The device failed.
pub fn layouts(
    device: &Device,
    works: &[Work],
    others: &[(Kernel, Layout)],
) -> Result<BTreeMap<&'static str, Layout>> {
    Kernel::ALL.iter().try_for_each(|&kernel| device.prepare(kernel, 0))?;
    let others = others.iter().map(|(kernel, layout)| (kernel.name(), *layout));
    let mut largest: BTreeMap<&'static str, Layout> = others.collect();
    for precision in [Precision::Bf16, Precision::F32] {
        for work in works {
            for (kernel, layout) in launches(device, precision, work)?.into_iter().flatten() {
                let known = largest.entry(kernel.name()).or_insert(layout);
                if layout.shared > known.shared {
                    *known = layout;
                }
            }
        }
    }
    Ok(largest)
}

/// Counts of every kernel over one inference, and over a training step.
fn of_kernels<'a>(
    all: &'a [Measured],
    update: &'a optimiser::Counted,
) -> BTreeMap<&'a str, [Counted; 2]> {
    let mut sums = BTreeMap::<&str, [Counted; 2]>::new();
    for measured in all {
        let which = usize::from(measured.work.direction != Direction::Inference);
        for of in &measured.kernels {
            let sum = sums.entry(of.kernel.as_str()).or_default();
            sum[which] += of.counted.times(measured.work.times);
        }
    }
    for of in &update.of.kernels {
        sums.entry(of.kernel.as_str()).or_default()[1] += of.counted;
    }
    sums
}

const HEAD: [&str; 14] = [
    "kernel",
    "inference",
    "training",
    "asked MB",
    "shared",
    "threads",
    "static",
    "dynamic",
    "sm_80: registers",
    "spilled",
    "blocks",
    "sm_90a: registers",
    "spilled",
    "blocks",
];

const RULES: &str = "\
Kernels: launches of one inference and of one training step in bf16, and what both ask for (the update's: for 2^20 parameters);
shared: wavefronts of shared memory against those without bank conflicts. Threads of a block, bytes of its shared memory
(of several launches the one with the most), and by the pinned compiler registers, bytes of local memory, and blocks that a
multiprocessor then holds. Kernels without a launch are not launched by the model.";

/// What the table of kernels is made of; `taken` is empty where there is no compiler.
pub struct Subject<'a> {
    pub all: &'a [Measured],
    pub update: &'a optimiser::Counted,
    pub layouts: &'a BTreeMap<&'static str, Layout>,
    pub taken: &'a AllTaken,
}

pub fn print(subject: &Subject<'_>, judge: &mut Judge) {
    println!("\n{RULES}\n");
    let counted = of_kernels(subject.all, subject.update);
    let mut table = Table::new(&HEAD);
    for kernel in Kernel::ALL.map(Kernel::name) {
        let [inference, training] = counted.get(kernel).copied().unwrap_or_default();
        let mut both = inference;
        both += training;
        let mut row = vec![kernel.to_owned()];
        row.extend([inference, training].map(|of| match of.launches {
            0 => String::new(),
            launches => launches.to_string(),
        }));
        row.push(match both.launches {
            0 => String::new(),
            _ => format!("{:.1}", both.bytes as f64 / 1e6),
        });
        row.push(match both.wavefronts_least {
            0 => String::new(),
            least => {
                let value = ratio(both.wavefronts, least);
                judge.figure("bank conflicts of kernels", kernel, value, Some(WAVEFRONTS), 3)
            }
        });
        row.extend(device_cells(kernel, subject, judge));
        table.row(row);
    }
    table.print();
}

fn device_cells(kernel: &str, subject: &Subject<'_>, judge: &mut Judge) -> Vec<String> {
    let layout = subject.layouts.get(kernel).copied();
    let of = |target: Target| subject.taken.get(&(target.name, kernel.to_owned()));
    let or_nothing = |number: Option<String>| number.unwrap_or_else(|| "-".to_owned());
    let mut cells = vec![
        or_nothing(layout.map(|layout| layout.block.iter().product::<u32>().to_string())),
        or_nothing(of(TARGETS[1]).map(|taken| taken.shared.to_string())),
        or_nothing(layout.map(|layout| layout.shared.to_string())),
    ];
    for target in TARGETS {
        let spilled = |taken: &Taken| {
            let bytes = (taken.spilled + taken.stack) as f64;
            judge.figure("bytes of local memory of kernels", kernel, bytes, Some(0.0), 0)
        };
        let blocks = of(target).zip(layout).map(|(taken, layout)| taken.blocks(target, layout));
        cells.extend([
            or_nothing(of(target).map(|taken| taken.registers.to_string())),
            or_nothing(of(target).map(spilled)),
            or_nothing(blocks.map(|blocks| blocks.to_string())),
        ]);
    }
    cells
}
