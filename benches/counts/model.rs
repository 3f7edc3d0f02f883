//! Whole sessions of the full model, counted as they run: one cache for a whole pass, and the same launches as node by node.

use std::rc::Rc;
use std::time::Instant;

use crformer::cuda::device::Device;
use crformer::error::Result;
use crformer::model::{Build, Config};

use crate::counted::{Counted, OfWork, SECTOR};
use crate::limits::Judge;
use crate::measured::ratio;
use crate::operations::Sums;
use crate::session::Run;
use crate::table::Table;
use crate::work::Direction;

const HEAD: [&str; 9] = [
    "pass",
    "launches",
    "node by node",
    "asked GB",
    "node by node",
    "behind L2 GB",
    "shared",
    "Gop",
    "seconds",
];

/// # Errors
/// The device failed.
pub fn print(device: &Rc<Device>, batch: usize, sums: &Sums, judge: &mut Judge) -> Result<()> {
    println!(
        "\nWhole sessions, batch {batch}, one 50 MB cache for a pass; node by node as above\n"
    );
    let mut table = Table::new(&HEAD);
    let passes: [(Build, &[_]); 2] = [
        (Build::inference(batch), &[("inference", Some(Direction::Inference))]),
        (
            Build::training(batch),
            &[
                ("forward", Some(Direction::Forward)),
                ("backward", Some(Direction::Backward)),
                ("update", None),
            ],
        ),
    ];
    for (build, names) in passes {
        let mut run = Run::new(device, &Config::default(), build)?;
        let began = Instant::now();
        let counted = run.counted()?;
        let seconds = began.elapsed().as_secs_f64() / counted.len() as f64;
        for ((name, direction), of) in names.iter().zip(&counted) {
            let expected = direction.map(|direction| sums.of(direction).counted);
            table.row(row(name, of, expected, seconds, judge));
        }
    }
    table.print();
    Ok(())
}

fn row(
    name: &str,
    of: &OfWork,
    expected: Option<Counted>,
    seconds: f64,
    judge: &mut Judge,
) -> Vec<String> {
    let giga = |bytes: u64| format!("{:.3}", bytes as f64 / 1e9);
    let sum = of.sum;
    let mut cells = vec![name.to_owned(), sum.launches.to_string()];
    let differs = expected.map(|expected| sum.launches.abs_diff(expected.launches) as f64);
    cells.push(differs.map_or_else(String::new, |differs| {
        let subject = "launches of a session against those node by node";
        judge.figure(subject, name, differs, Some(0.0), 0);
        expected.map_or_else(String::new, |expected| expected.launches.to_string())
    }));
    cells.push(giga(sum.bytes));
    cells.push(expected.map_or_else(String::new, |expected| giga(expected.bytes)));
    cells.push(giga(sum.memory_sectors * SECTOR));
    cells.push(format!("{:.3}", ratio(sum.wavefronts, sum.wavefronts_least)));
    cells.push(format!("{:.2}", sum.tensor as f64 / 1e9));
    cells.push(format!("{seconds:.0}"));
    cells
}
