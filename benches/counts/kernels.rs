//! The table of kernels: how often the model launches each, its bank conflicts, what it takes of a device.

use std::collections::BTreeMap;

use crformer::cuda::arguments::Layout;
use crformer::cuda::device::Device;
use crformer::cuda::kernels::Kernel;
use crformer::cuda::precision::Precision;
use crformer::error::Result;

use crate::compiler::{AllTaken, TARGETS};
use crate::counted::Counted;
use crate::limits::{Judge, WAVEFRONTS};
use crate::measured::{Measured, launches, ratio};
use crate::table::Table;
use crate::work::{Direction, Work};

/// One launch with the most shared memory, of every kernel that the model launches in f32 or bf16.
///
/// # Errors
/// The device failed.
pub fn layouts(device: &Device, works: &[Work]) -> Result<BTreeMap<&'static str, Layout>> {
    Kernel::ALL.iter().try_for_each(|&kernel| device.prepare(kernel, 0))?;
    let mut largest = BTreeMap::<&'static str, Layout>::new();
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

/// Counts of every kernel over one inference, and over both passes of a training step.
fn of_kernels(all: &[Measured]) -> BTreeMap<&str, [Counted; 2]> {
    let mut sums = BTreeMap::<&str, [Counted; 2]>::new();
    for measured in all {
        let which = usize::from(measured.work.direction != Direction::Inference);
        for of in &measured.kernels {
            let sum = sums.entry(of.kernel.as_str()).or_default();
            sum[which] += of.counted.times(measured.work.times);
        }
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
    "dynamic",
    "sm_80: registers",
    "spilled",
    "blocks",
    "sm_90a: registers",
    "spilled",
    "blocks",
    "static",
];

/// `taken` is empty where there is no compiler.
pub fn print(
    all: &[Measured],
    layouts: &BTreeMap<&'static str, Layout>,
    taken: &AllTaken,
    judge: &mut Judge,
) {
    println!(
        "\nKernels: launches of one inference and of one training step in bf16, bytes asked for by both, wavefronts of shared\n\
         memory against those without bank conflicts; threads of a block; bytes of shared memory, dynamic and static; registers,\n\
         bytes spilled and blocks a multiprocessor holds by the pinned compiler\n"
    );
    let counted = of_kernels(all);
    let mut table = Table::new(&HEAD);
    for kernel in Kernel::ALL.map(Kernel::name) {
        let [inference, training] = counted.get(kernel).copied().unwrap_or_default();
        let mut both = inference;
        both += training;
        let mut row = vec![kernel.to_owned()];
        row.extend([inference, training].map(|of| of.launches.to_string()));
        row.push(format!("{:.1}", both.bytes as f64 / 1e6));
        row.push(match both.wavefronts_least {
            0 => String::new(),
            least => {
                let value = ratio(both.wavefronts, least);
                judge.figure("bank conflicts of kernels", kernel, value, Some(WAVEFRONTS), 3)
            }
        });
        row.extend(device_cells(kernel, layouts.get(kernel).copied(), taken, judge));
        table.row(row);
    }
    table.print();
}

fn device_cells(
    kernel: &str,
    layout: Option<Layout>,
    taken: &AllTaken,
    judge: &mut Judge,
) -> Vec<String> {
    let threads = |layout: Layout| layout.block.iter().product::<u32>().to_string();
    let nothing = || "-".to_owned();
    let mut cells = vec![
        layout.map_or_else(nothing, threads),
        layout.map_or_else(nothing, |layout| layout.shared.to_string()),
    ];
    let mut shared = nothing();
    for target in TARGETS {
        let Some(of) = taken.get(&(target.name, kernel.to_owned())) else {
            cells.extend([nothing(), nothing(), nothing()]);
            continue;
        };
        shared = of.shared.to_string();
        let spilled = (of.spilled + of.stack) as f64;
        cells.extend([
            of.registers.to_string(),
            judge.figure("bytes spilled by kernels", kernel, spilled, Some(0.0), 0),
            layout.map_or_else(nothing, |layout| of.blocks(target, layout).to_string()),
        ]);
    }
    cells.push(shared);
    cells
}
