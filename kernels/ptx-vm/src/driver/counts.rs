//! What launches did, kernel by kernel: by families of instructions, memory traffic, the hottest lines; as JSON and as text.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::memory::{Counts, Traffic};
use crate::profile::Profile;
use crate::program::{Family, Kernel, Program};
use crate::syntax::Source;

/// Lines that are named as the hottest.
const HOTTEST: usize = 10;

/// All launches of one kernel.
#[derive(Clone)]
pub struct Counted {
    program: Arc<Program>,
    kernel: Arc<Kernel>,
    launches: u64,
    profile: Profile,
}

/// How often instructions ran: by warps, and by lanes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ran {
    pub warps: u64,
    pub lanes: u64,
}

impl Ran {
    fn add(&mut self, other: Ran) {
        self.warps += other.warps;
        self.lanes += other.lanes;
    }
}

/// A line of the PTX text with what ran of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub line: u32,
    pub text: String,
    /// File and line of the source, where the PTX names them.
    pub source: Option<(String, u32)>,
    /// File and line where the function of that line was inlined.
    pub inlined_at: Option<(String, u32)>,
    pub ran: Ran,
}

/// Adds a launch to the counts of its kernel.
pub fn add(
    all: &mut Vec<Counted>,
    program: &Arc<Program>,
    kernel: &Arc<Kernel>,
    profile: &Profile,
) {
    match all.iter_mut().find(|counted| Arc::ptr_eq(&counted.kernel, kernel)) {
        Some(counted) => {
            counted.launches += 1;
            counted.profile.add(profile);
        }
        None => all.push(of_one(program, kernel, profile.clone())),
    }
}

/// The counts of one launch.
pub fn of_one(program: &Arc<Program>, kernel: &Arc<Kernel>, profile: Profile) -> Counted {
    Counted { program: program.clone(), kernel: kernel.clone(), launches: 1, profile }
}

impl Counted {
    fn each(&self) -> impl Iterator<Item = (usize, Ran)> {
        let pairs = self.profile.executed.iter().zip(&self.profile.lanes).enumerate();
        pairs.map(|(pc, (&warps, &lanes))| (pc, Ran { warps, lanes }))
    }

    pub fn total(&self) -> Ran {
        let mut sum = Ran::default();
        self.each().for_each(|(_, ran)| sum.add(ran));
        sum
    }

    /// Operations of matrix products, an addition and a multiplication counted as two.
    pub fn tensor_operations(&self) -> u64 {
        self.profile.tensor_operations.iter().sum()
    }

    pub fn families(&self) -> BTreeMap<Family, Ran> {
        let mut sums = BTreeMap::<Family, Ran>::new();
        for (pc, ran) in self.each().filter(|(_, ran)| ran.warps > 0) {
            if let Some(origin) = self.kernel.origins.get(pc) {
                sums.entry(origin.family).or_default().add(ran);
            }
        }
        sums
    }

    /// The lines that most warps ran, the hottest first.
    pub fn hottest(&self) -> Vec<Line> {
        let mut sums = BTreeMap::<u32, (Ran, Option<Source>)>::new();
        for (pc, ran) in self.each().filter(|(_, ran)| ran.warps > 0) {
            if let Some(origin) = self.kernel.origins.get(pc) {
                let (sum, source) = sums.entry(origin.line).or_default();
                sum.add(ran);
                *source = source.or(origin.source);
            }
        }
        let mut lines: Vec<_> = sums.into_iter().collect();
        lines.sort_by_key(|&(line, (ran, _))| (std::cmp::Reverse(ran.warps), line));
        lines.truncate(HOTTEST);
        lines.into_iter().map(|(line, (ran, source))| self.line(line, ran, source)).collect()
    }

    fn line(&self, line: u32, ran: Ran, source: Option<Source>) -> Line {
        let text = (line as usize).checked_sub(1).and_then(|i| self.program.lines.get(i));
        Line {
            line,
            text: text.map_or(String::new(), |t| t.trim().to_owned()),
            source: source.and_then(|source| self.program.place(source.at)),
            inlined_at: source.and_then(|source| self.program.place(source.inlined_at?)),
            ran,
        }
    }

    /// As a JSON object.
    pub fn to_json(&self) -> String {
        let total = self.total();
        let families: Vec<String> = (self.families().iter())
            .map(|(family, ran)| format!("\"{}\":{}", name(*family), ran_json(*ran)))
            .collect();
        let lines: Vec<String> = self.hottest().iter().map(line_json).collect();
        let mut json = format!(
            "{{\"kernel\":{},\"launches\":{},\"warp_instructions\":{},\"lane_instructions\":{},\"tensor_operations\":{},\"families\":{{{}}}",
            quoted(&self.kernel.name),
            self.launches,
            total.warps,
            total.lanes,
            self.tensor_operations(),
            families.join(",")
        );
        if !self.profile.memory.is_empty() {
            let _ = write!(json, ",{}", memory_json(&self.profile.total_memory()));
        }
        let _ = write!(json, ",\"hottest\":[{}]}}", lines.join(","));
        json
    }

    /// For people.
    pub fn to_text(&self) -> String {
        let total = self.total();
        let mut text = format!(
            "{}: {} launches, {} warp instructions, {} lane instructions ({:.1} lanes each)\n",
            self.kernel.name,
            self.launches,
            total.warps,
            total.lanes,
            total.lanes as f64 / total.warps.max(1) as f64
        );
        for (family, ran) in self.families() {
            let share = 100.0 * ran.warps as f64 / total.warps.max(1) as f64;
            let _ = writeln!(text, "  {:<13} {:>12} {share:>5.1} %", name(family), ran.warps);
        }
        if self.tensor_operations() > 0 {
            let _ = writeln!(text, "  matrix products: {} operations", self.tensor_operations());
        }
        if !self.profile.memory.is_empty() {
            text.push_str(&memory_text(&self.profile.total_memory()));
        }
        text.push_str("  hottest lines (warps, lanes)\n");
        for line in self.hottest() {
            let _ = write!(
                text,
                "  {:>12} {:>12}  {}: {}",
                line.ran.warps, line.ran.lanes, line.line, line.text
            );
            if let Some((file, number)) = line.source {
                let _ = write!(text, "  ({file}:{number}");
                if let Some((file, number)) = line.inlined_at {
                    let _ = write!(text, ", inlined at {file}:{number}");
                }
                text.push(')');
            }
            text.push('\n');
        }
        text
    }
}

/// All kernels as one JSON object, with the written sectors of live memory that are still in the cache and how many calls gave work.
pub fn to_json(all: &[Counted], sectors_in_cache: u64, calls: u64) -> String {
    let kernels: Vec<String> = all.iter().map(Counted::to_json).collect();
    let kernels = kernels.join(",");
    format!("{{\"kernels\":[{kernels}],\"sectors_in_cache\":{sectors_in_cache},\"calls\":{calls}}}")
}

fn name(family: Family) -> String {
    format!("{family:?}").to_lowercase()
}

fn ran_json(ran: Ran) -> String {
    format!("{{\"warps\":{},\"lanes\":{}}}", ran.warps, ran.lanes)
}

fn line_json(line: &Line) -> String {
    let place = |name: &str, place: &Option<(String, u32)>| match place {
        Some((file, number)) => format!(",\"{name}\":{},\"{name}_line\":{number}", quoted(file)),
        None => String::new(),
    };
    format!(
        "{{\"line\":{},\"text\":{}{}{},\"warps\":{},\"lanes\":{}}}",
        line.line,
        quoted(&line.text),
        place("source", &line.source),
        place("inlined_at", &line.inlined_at),
        line.ran.warps,
        line.ran.lanes
    )
}

fn memory_json(counts: &Counts) -> String {
    let traffic = |t: &Traffic| {
        format!("{{\"requests\":{},\"bytes\":{},\"sectors\":{}}}", t.requests, t.bytes, t.sectors)
    };
    format!(
        "\"global\":{{\"loads\":{},\"stores\":{},\"atomics\":{}}},\
         \"dram_sectors\":{{\"read\":{},\"written\":{}}},\
         \"shared\":{{\"requests\":{},\"wavefronts\":{},\"wavefronts_least\":{}}}",
        traffic(&counts.loads),
        traffic(&counts.stores),
        traffic(&counts.atomics),
        counts.dram_read,
        counts.dram_written,
        counts.shared_requests,
        counts.shared_wavefronts,
        counts.shared_wavefronts_least
    )
}

fn memory_text(counts: &Counts) -> String {
    let mut text = String::new();
    for (what, t) in
        [("loads", &counts.loads), ("stores", &counts.stores), ("atomics", &counts.atomics)]
    {
        if let Some(efficiency) = t.efficiency() {
            let _ = writeln!(
                text,
                "  global {what}: {} requests, {} bytes in {} sectors ({:.0} % of what moved was asked for)",
                t.requests,
                t.bytes,
                t.sectors,
                100.0 * efficiency
            );
        }
    }
    let _ = writeln!(
        text,
        "  DRAM: {} sectors read, {} written\n  shared: {} requests, {} wavefronts, {} without conflicts",
        counts.dram_read,
        counts.dram_written,
        counts.shared_requests,
        counts.shared_wavefronts,
        counts.shared_wavefronts_least
    );
    text
}

/// A JSON string.
fn quoted(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            '\n' => json.push_str("\\n"),
            '\t' => json.push_str("\\t"),
            c if c < ' ' => drop(write!(json, "\\u{:04x}", c as u32)),
            c => json.push(c),
        }
    }
    json.push('"');
    json
}
