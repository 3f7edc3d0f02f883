//! The counters that need no GPU, each beside its limit.

use std::rc::Rc;

use crformer::cpu::activation::Activation;
use crformer::cuda::device::Device;
use crformer::cuda::precision::Precision;
use crformer::error::Result;
use crformer::graph::plan::{Content, Widths};
use crformer::graph::{Plan, Reverse};
use crformer::model::Build;
use crformer::op::Op;

use crate::compiler::{self, AllTaken};
use crate::counted::Counted;
use crate::limits::Judge;
use crate::measured::{Figures, Measured, measure, ratio};
use crate::operations::Sums;
use crate::optimiser;
use crate::session::{self, OfStep};
use crate::table::Table;
use crate::work::{Direction, Work, model};

/// The batch at which what is kept for the backward pass has a limit.
const BATCH_OF_KEPT: usize = 8;

/// Limits of the bytes that one inference and one training step ask for, GB: those of the best fused schedule whose
/// layers meet in memory.
fn bytes_limits(batch: usize) -> [Option<f64>; 2] {
    match batch {
        1 => [Some(1.18), Some(4.3)],
        8 => [Some(6.7), Some(23.3)],
        64 => [None, Some(175.0)],
        _ => [None, None],
    }
}

/// The table under construction.
struct Counters<'a> {
    table: Table,
    judge: &'a mut Judge,
}

impl Counters<'_> {
    fn add(&mut self, name: &str, value: f64, limit: Option<f64>, digits: usize) {
        let text = self.judge.figure(name, "the model", value, limit, digits);
        let limit = limit.map_or_else(String::new, |limit| format!("<= {limit}"));
        self.table.row(vec![name.to_owned(), text, limit]);
    }

    fn blank(&mut self, name: &str, why: &str, limit: &str) {
        self.table.row(vec![name.to_owned(), why.to_owned(), limit.to_owned()]);
    }
}

/// What is counted, beside the sums.
pub struct Subject<'a> {
    pub device: &'a Rc<Device>,
    pub batch: usize,
    pub all: &'a [Measured],
    pub sums: &'a Sums,
    pub taken: Option<&'a AllTaken>,
}

/// # Errors
/// The device failed.
pub fn print(subject: &Subject<'_>, judge: &mut Judge) -> Result<()> {
    println!("\nCounters of the whole model, batch {}, bf16\n", subject.batch);
    let mut counters = Counters { table: Table::new(&["counter", "figure", "limit"]), judge };
    let Subject { device, sums, .. } = *subject;
    let (update, parameters) = optimiser::update(device)?;
    let inference = session::of_step(device, Build::inference(1))?;
    let training = session::of_step(device, Build::training(1))?;
    steps(&mut counters, sums, [inference, training], update.launches);
    bytes(&mut counters, sums, subject.batch);
    let per_parameter = update.bytes as f64 / parameters as f64;
    counters.add("optimiser, bytes a parameter", per_parameter, Some(26.0), 2);
    sectors(&mut counters, sums, &update);
    products(&mut counters, sums);
    scores(&mut counters, subject.all);
    gelu(&mut counters, subject)?;
    rest(&mut counters, subject, [inference, training]);
    counters.table.print();
    Ok(())
}

fn passes(sums: &Sums) -> [Figures; 2] {
    let mut training = sums.of(Direction::Forward);
    training += sums.of(Direction::Backward);
    [sums.of(Direction::Inference), training]
}

fn steps(counters: &mut Counters<'_>, sums: &Sums, of: [OfStep; 2], update: u64) {
    let [inference, training] = passes(sums).map(|figures| figures.counted.launches);
    counters.add("kernel nodes per inference", inference as f64, Some(200.0), 0);
    let training = (training + update) as f64;
    counters.add("kernel nodes per training step, with update", training, Some(500.0), 0);
    for (name, of) in ["inference", "training step"].into_iter().zip(of) {
        let name = format!("calls of the driver that queue work, {name} with its inputs");
        counters.add(&name, of.calls as f64, Some(1.0), 0);
    }
}

fn bytes(counters: &mut Counters<'_>, sums: &Sums, batch: usize) {
    let names = ["inference", "training step without update"];
    for ((name, figures), limit) in names.iter().zip(passes(sums)).zip(bytes_limits(batch)) {
        let giga = |bytes: u64| bytes as f64 / 1e9;
        let asked = giga(figures.counted.bytes);
        counters.add(&format!("GB asked for, {name}"), asked, limit, 3);
        let sectors = figures.counted.sectors as f64 / 1e6;
        let most = limit.map(|limit| (limit * 1e3 / 32.0 * 10.0).round() / 10.0);
        counters.add(&format!("million sectors, {name}"), sectors, most, 1);
        let least = giga(figures.least_bytes);
        counters.add(&format!("GB least, node by node, {name}"), least, None, 3);
        let behind = giga(figures.memory_bytes());
        counters.add(&format!("GB behind 50 MB L2, each node alone, {name}"), behind, None, 3);
    }
}

fn sectors(counters: &mut Counters<'_>, sums: &Sums, update: &Counted) {
    let groups: [(&str, &[&str], f64); 5] = [
        ("products (linear, conv)", &["linear", "conv"], 1.0),
        ("attention", &["self_attention", "cross_attention"], 1.0),
        ("layer norm", &["layer_norm"], 1.0),
        ("window attention, patch merging", &["window_attention", "patch_merging"], 1.02),
        ("everything", &[], 1.1),
    ];
    for (name, operations, limit) in groups {
        let mut sum = Figures::default();
        let wanted = |of: &&str| operations.is_empty() || operations.contains(of);
        let chosen = sums.by_operation.iter().filter(|((_, of), _)| wanted(of));
        chosen.for_each(|(_, (_, figures))| sum += *figures);
        // To four digits: a row's odd end is no pattern of access.
        let value = (sum.sectors() * 1e3).round() / 1e3;
        counters.add(&format!("sectors / ideal, {name}"), value, Some(limit), 3);
    }
    let of_update = Figures { counted: *update, ..Figures::default() }.sectors();
    counters.add("sectors / ideal, update", (of_update * 1e3).round() / 1e3, Some(1.0), 3);
}

fn products(counters: &mut Counters<'_>, sums: &Sums) {
    for ((name, figures), limit) in
        ["inference", "training step"].iter().zip(passes(sums)).zip([1.06, 1.10])
    {
        let useful = figures.useful as f64 / 1e9;
        counters.add(&format!("useful Gop of products, {name}"), useful, None, 2);
        let name = format!("tensor operations issued / useful, {name}");
        counters.add(&name, figures.tensor(), Some(limit), 3);
    }
}

/// Of window attention: a score is one query with one key, whether padded or not.
fn scores(counters: &mut Counters<'_>, all: &[Measured]) {
    let of = |direction, what: fn(&Counted) -> u64| {
        let chosen = all.iter().filter(|m| m.work.direction == direction);
        let sums = chosen.filter_map(|m| {
            let Op::WindowAttention(op) = &m.work.op else { return None };
            let [batch, height, width, _] = *m.work.inputs[0].of.shape.extents() else {
                return None;
            };
            let windows = batch * height.div_ceil(op.window) * width.div_ceil(op.window);
            let scores = windows * op.heads * op.window.pow(4);
            Some([what(&m.figures.counted), scores as u64].map(|n| n * m.work.times))
        });
        let [a, b] = sums.fold([0, 0], |[a, b], [c, d]| [a + c, b + d]);
        ratio(a, b)
    };
    let float: fn(&Counted) -> u64 = |c| c.float + c.approximate;
    let name = "window attention, approximations (exp) a score, padding too";
    counters.add(name, of(Direction::Forward, |c| c.approximate), Some(1.0), 3);
    let name = "window attention, f32 instructions a score";
    counters.add(&format!("{name}, forward"), of(Direction::Forward, float), Some(8.0), 2);
    counters.add(&format!("{name}, backward"), of(Direction::Backward, float), Some(13.0), 2);
}

/// A linear layer with GELU against the same without.
fn gelu(counters: &mut Counters<'_>, subject: &Subject<'_>) -> Result<()> {
    for (name, direction, limit) in
        [("GELU", Direction::Forward, 12.0), ("GELU'", Direction::Backward, 18.0)]
    {
        let with_gelu = |m: &&Measured| {
            let gelu = matches!(&m.work.op, Op::Linear(op) if op.activation == Activation::Gelu);
            gelu && m.work.direction == direction
        };
        let name = format!("{name}, f32 instructions a number");
        let chosen = subject.all.iter().filter(with_gelu).max_by_key(|m| m.work.times);
        let Some((measured, Op::Linear(op))) = chosen.map(|m| (m, &m.work.op)) else {
            counters.blank(&name, "no linear layer with it", &format!("<= {limit}"));
            continue;
        };
        let plain = crformer::op::linear::Linear { activation: Activation::None, ..op.clone() };
        let signature = Op::from(plain.clone()).operation().signature(&measured.work.types())?;
        let work = Work { op: plain.into(), signature, ..measured.work.clone() };
        let numbers = work.signature.out.shape.len() as f64;
        let plain = measure(subject.device, Precision::Bf16, work)?.figures.counted;
        let float = |c: &Counted| (c.float + c.approximate) as f64;
        let value = (float(&measured.figures.counted) - float(&plain)) / numbers;
        counters.add(&name, value, Some(limit), 2);
    }
    Ok(())
}

fn rest(counters: &mut Counters<'_>, subject: &Subject<'_>, of: [OfStep; 2]) {
    match subject.taken {
        Some(taken) => {
            let spilled: u64 = taken.values().map(|of| of.spilled + of.stack).sum();
            counters.add("bytes of local memory, all kernels", spilled as f64, Some(0.0), 0);
        }
        None => counters.blank("bytes of local memory, all kernels", "no ptxas", "<= 0"),
    }
    let atomics = compiler::float_atomics() as f64;
    counters.add("float atomics in the PTX", atomics, Some(0.0), 0);
    for (name, of) in ["inference", "training"].into_iter().zip(of) {
        let name = format!("allocations of four steps after warm-up, {name}");
        counters.add(&name, of.allocations as f64, Some(0.0), 0);
    }
    let [kept, arena] = kept(BATCH_OF_KEPT).map(|bytes| bytes as f64 / 1e9);
    let name = format!("GB kept for the backward pass, batch {BATCH_OF_KEPT}");
    counters.add(&name, kept, Some(2.2), 3);
    counters.add(&format!("GB of the arena, training, batch {BATCH_OF_KEPT}"), arena, None, 3);
}

/// Bytes that a training step keeps from its forward to its backward pass, inputs and positions aside; and of its arena.
fn kept(batch: usize) -> [usize; 2] {
    let model = model(Build::training(batch));
    let (graph, losses) = (&model.graph, model.losses.as_ref().expect("a training graph"));
    let reverse = Reverse::new(graph, losses.total, |_| true).expect("a scalar loss");
    let widths = Widths { activation: Precision::Bf16.bytes(), statistic: size_of::<f32>() };
    let workspaces = |node: usize| {
        let node = &graph.nodes()[node];
        let types: Vec<_> = node.inputs.iter().map(|&t| graph.of(t)).collect();
        let need = node.op.on_cuda().workspace(&types, Precision::Bf16);
        [need.forward, need.backward]
    };
    let plan = Plan::with_workspaces(graph, Some(&reverse), widths, workspaces);
    let nodes = graph.nodes().len();
    let made = |content: Content| match content {
        Content::Value(tensor) => {
            matches!(graph.get(tensor).origin, crformer::graph::Origin::Node(_))
        }
        content => matches!(content, Content::Kept(..)),
    };
    let crosses = plan.residents.iter().filter(|r| r.first < nodes && r.last >= nodes);
    let kept = crosses.filter(|r| made(r.content)).map(|r| r.place.len).sum();
    [kept, plan.arena_len]
}
