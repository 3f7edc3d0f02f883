//! The tables of operations: every one of the model's, in every direction, and sums.

use std::collections::BTreeMap;
use std::path::Path;

use crformer::error::{Error, Result};
use serde::Serialize;

use crate::limits::{self, Judge, SMALL};
use crate::measured::{Figures, Measured};
use crate::table::Table;
use crate::work::Direction;

const RULES: &str = "\
asked MB   bytes of global memory that lanes asked for
/least     against the least (benches/counts/least.rs): inputs, kept tensors, output and gradients once
sectors    bytes of the 32-byte sectors touched against bytes asked for
L2 MB      bytes between memory and a simulated 50 MB cache that is empty before, what stays written in it included
/least     against the least
shared     wavefronts of shared memory against those without bank conflicts
Gop        operations of matrix products on tensor cores
/useful    against the useful ones
tensor %   operations on tensor cores among those and lanes' instructions on f32 numbers
!          beyond the limit: bytes 1.15 (window attention, layer norm, linear, MLP, cross-entropy), sectors 1.05, shared 1.02
           a kernel; figures of less than 64 KiB are not judged; += adds to gradients";

const HEAD: [&str; 12] = [
    "operation",
    "direction",
    "times",
    "launches",
    "asked MB",
    "/least",
    "sectors",
    "L2 MB",
    "/least",
    "shared",
    "Gop",
    "/useful",
];

/// The cells from `times` on.
fn cells(figures: &Figures, times: u64, judge: &mut Judge, name: &str, at: &str) -> Vec<String> {
    let limit = |limit: Option<f64>| limit.filter(|_| figures.least_bytes >= SMALL);
    let bytes = limit(limits::bytes(name));
    let mega = |bytes: u64| format!("{:.2}", bytes as f64 / 1e6);
    let of = |what: &str| format!("{name}, {what}");
    let asked = judge.figure(&of("bytes asked for"), at, figures.asked(), bytes, 2);
    let sectors = limit(Some(limits::SECTORS));
    let sectors = judge.figure(&of("sectors"), at, figures.sectors(), sectors, 3);
    let memory = judge.figure(&of("bytes behind L2"), at, figures.memory(), bytes, 2);
    let products = match figures.useful {
        0 => [String::new(), String::new()],
        _ => [format!("{:.3}", figures.issued as f64 / 1e9), format!("{:.3}", figures.tensor())],
    };
    let [issued, useful] = products;
    let launches = figures.counted.launches;
    let share = 100.0 * figures.tensor_share();
    vec![
        times.to_string(),
        launches.to_string(),
        mega(figures.counted.bytes),
        asked,
        sectors,
        mega(figures.memory_bytes()),
        memory,
        format!("{:.3}", figures.wavefronts()),
        issued,
        useful,
        if figures.counted.tensor == 0 { String::new() } else { format!("{share:.1}") },
    ]
}

fn head() -> Table {
    let head: Vec<&str> = HEAD.iter().copied().chain(["tensor %"]).collect();
    Table::new(&head)
}

/// Every operation, those of one name together, the most bytes first.
pub fn print_all(all: &[Measured], judge: &mut Judge) {
    println!("\nOperations of the model, one call each\n\n{RULES}\n");
    let mut rows: Vec<&Measured> = all.iter().collect();
    let bytes = |m: &Measured| m.figures.counted.bytes * m.work.times;
    rows.sort_by_key(|m| (m.work.name(), m.work.direction, std::cmp::Reverse(bytes(m))));
    let mut table = head();
    for measured in rows {
        let work = &measured.work;
        let adds = work.writes.iter().flatten().any(|write| write.adds());
        let label = format!("{}{}", work.label(), if adds { " +=" } else { "" });
        let at = format!("{label}, {}", work.direction.name());
        let mut row = vec![label, work.direction.name().to_owned()];
        row.extend(cells(&measured.figures, work.times, judge, work.name(), &at));
        table.row(row);
    }
    table.print();
}

/// Sums over the model.
pub struct Sums {
    pub by_operation: BTreeMap<(Direction, &'static str), (u64, Figures)>,
    pub by_direction: BTreeMap<Direction, Figures>,
}

impl Sums {
    pub fn new(all: &[Measured]) -> Self {
        let (mut by_operation, mut by_direction) = (BTreeMap::new(), BTreeMap::new());
        for measured in all {
            let work = &measured.work;
            let figures = measured.figures.times(work.times);
            let entry = by_operation.entry((work.direction, work.name()));
            let sum: &mut (u64, Figures) = entry.or_default();
            sum.0 += work.times;
            sum.1 += figures;
            *by_direction.entry(work.direction).or_insert_with(Figures::default) += figures;
        }
        Self { by_operation, by_direction }
    }

    pub fn of(&self, direction: Direction) -> Figures {
        self.by_direction.get(&direction).copied().unwrap_or_default()
    }

    /// Nodes and launches of every operation, and its figures.
    pub fn print(&self) {
        println!(
            "\nThe whole model: sums over the calls of one inference and of one training step\n"
        );
        let mut judge = Judge::default();
        let mut table = head();
        for direction in Direction::ALL {
            let mut rows: Vec<_> =
                self.by_operation.iter().filter(|((d, _), _)| *d == direction).collect();
            rows.sort_by_key(|(_, (_, figures))| std::cmp::Reverse(figures.counted.bytes));
            let all = (rows.iter().map(|(_, (times, _))| times).sum(), self.of(direction));
            let rows = rows.iter().map(|((_, name), sums)| (*name, **sums));
            for (name, (times, figures)) in rows.chain([("all", all)]) {
                let mut row = vec![name.to_owned(), direction.name().to_owned()];
                row.extend(cells(&figures, times, &mut judge, name, name));
                table.row(row);
            }
        }
        table.print();
    }

    /// Launches by operation and direction alone: what a recording is made of.
    pub fn print_launches(&self) {
        println!("\nLaunches of one inference and of one training step, nodes in brackets\n");
        let mut names: Vec<&str> = self.by_operation.keys().map(|(_, name)| *name).collect();
        names.sort_unstable();
        names.dedup();
        let launches = |direction, name: &str| {
            let sums = self.by_operation.iter().find(|((d, n), _)| (*d, *n) == (direction, name));
            sums.map_or((0, 0), |(_, (times, figures))| (figures.counted.launches, *times))
        };
        names.sort_by_key(|name| {
            std::cmp::Reverse(Direction::ALL.iter().map(|&d| launches(d, name).0).sum::<u64>())
        });
        let mut table = Table::new(&["operation", "inference", "forward", "backward"]);
        for name in names {
            let cell = |direction| {
                let (launches, times) = launches(direction, name);
                if times == 0 { String::new() } else { format!("{launches} ({times})") }
            };
            table.row([vec![name.to_owned()], Direction::ALL.map(cell).to_vec()].concat());
        }
        let all = Direction::ALL.map(|direction| self.of(direction).counted.launches.to_string());
        table.row([vec!["all".to_owned()], all.to_vec()].concat());
        table.print();
    }
}

/// An operation in the file of figures.
#[derive(Serialize)]
struct Row<'a> {
    operation: &'a str,
    label: String,
    direction: &'a str,
    times: u64,
    figures: Figures,
}

/// Writes every operation's figures as JSON.
///
/// # Errors
/// The file cannot be written.
pub fn write(all: &[Measured], path: &Path) -> Result<()> {
    let row = |measured: &Measured| Row {
        operation: measured.work.name(),
        label: measured.work.label(),
        direction: measured.work.direction.name(),
        times: measured.work.times,
        figures: measured.figures,
    };
    let rows: Vec<Row<'_>> = all.iter().map(row).collect();
    let text = serde_json::to_string_pretty(&rows).expect("numbers and texts are JSON");
    std::fs::write(path, text + "\n").map_err(|error| Error::io(path, "writing", error))
}
