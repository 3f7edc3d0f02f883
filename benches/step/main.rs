//! The full model (480 x 480, Swin-B, BERT-B, random weights, f32, batch 1): whole inference, whole
//! training step. `cargo bench --bench step`
//!
//! `CRFORMER_PROFILE=1` prints where one pass's time goes. `CRFORMER_ON_REQUEST=inference` or `training` makes
//! one pass for each line on standard input and prints its milliseconds: `benches/peers/side_by_side.py` alternates
//! such passes with the peer's.

use std::collections::BTreeMap;
use std::io::{BufRead, stdin};
use std::time::{Duration, Instant};

use crformer::exec::cpu::CpuSession;
use crformer::exec::{Session, Slot, Values};
use crformer::graph::Reverse;
use crformer::model::folder::initialise;
use crformer::model::{Build, Config, Crformer};
use crformer::optim::adamw::{Decay, Rate, Update};
use criterion::{Criterion, criterion_group};

/// A session with random weights and inputs, and how many parameters it trains.
fn session(build: Build) -> CpuSession<f32> {
    let config = Config::default();
    let model = Crformer::new(&config, build).expect("the paper's model");
    let reverse = model.losses.as_ref().map(|losses| {
        Reverse::new(&model.graph, losses.total, |_| true).expect("the loss is a scalar")
    });
    let mask = model.losses.as_ref().map(|losses| losses.mask);
    let (image, tokens, word_mask) = (model.image, model.tokens, model.word_mask);
    let mut session = CpuSession::<f32>::new(model.graph, reverse, 0);
    initialise(&mut session, 1).expect("weights");
    let side = config.image_size;
    let pixels: Vec<f32> = (0..3 * side * side).map(|i| (i as f32 * 0.37).sin()).collect();
    session.write(image, Slot::Value, Values::F32(&pixels)).expect("image");
    let ids: Vec<i32> = (1000..1000 + config.max_tokens as i32).collect();
    session.write(tokens, Slot::Value, Values::Index(&ids)).expect("tokens");
    let real: Vec<i32> = (0..config.max_tokens).map(|i| i32::from(i < 8)).collect();
    session.write(word_mask, Slot::Value, Values::Index(&real)).expect("word mask");
    if let Some(mask) = mask {
        let object: Vec<i32> = (0..side * side).map(|i| i32::from(i % side < 200)).collect();
        session.write(mask, Slot::Value, Values::Index(&object)).expect("mask");
    }
    session
}

fn inference(c: &mut Criterion) {
    let mut session = session(Build::inference(1));
    c.bench_function("inference/batch 1", |b| b.iter(|| session.forward(0).expect("a pass")));
}

/// Forward, backward and AdamW's update; counts `step` up.
fn training_step(session: &mut CpuSession<f32>, rates: &[Rate], step: &mut u64) {
    session.forward(*step).expect("a pass");
    session.backward(*step, 1.0, false).expect("a pass");
    *step += 1;
    let (decay, step) = (Decay::Decoupled, *step);
    let update = Update { decay, betas: (0.9, 0.999), eps: 1e-8, step, clip: 0.0 };
    session.update(&update, rates).expect("an update");
}

fn rates(session: &CpuSession<f32>) -> Vec<Rate> {
    vec![Rate { learning_rate: 1e-9, decay: 0.01 }; session.trained().len()]
}

fn training(c: &mut Criterion) {
    let mut session = session(Build::training(1));
    let (rates, mut step) = (rates(&session), 0);
    c.bench_function("training step/batch 1", |b| {
        b.iter(|| training_step(&mut session, &rates, &mut step));
    });
    println!(
        "memory of the training session: {:.2} GiB",
        session.memory() as f64 / (1u64 << 30) as f64
    );
}

/// Where one pass's time goes: the operations, by their share (`CRFORMER_PROFILE=1`).
fn profile() {
    for build in [Build::inference(1), Build::training(1)] {
        let mut session = session(build);
        session.time_nodes(0);
        let times = session.time_nodes(1);
        let mut sums: BTreeMap<&str, [f64; 3]> = BTreeMap::new();
        for time in &times {
            let sum = sums.entry(time.operation).or_default();
            *sum = [sum[0] + time.forward, sum[1] + time.backward, sum[2] + 1.0];
        }
        let total = |i: usize| sums.values().map(|s| s[i]).sum::<f64>() * 1e3;
        println!("{build:?}: forward {:.0} ms, backward {:.0} ms", total(0), total(1));
        let mut rows: Vec<_> = sums.iter().collect();
        rows.sort_by(|a, b| (b.1[0] + b.1[1]).total_cmp(&(a.1[0] + a.1[1])));
        for (operation, [forward, backward, count]) in rows {
            let (forward, backward) = (forward * 1e3, backward * 1e3);
            println!("  {operation:22} {count:4} x  {forward:8.1} ms  {backward:8.1} ms");
        }
    }
}

/// One pass for each line read; prints its milliseconds.
fn on_request(what: &str) {
    let mut pass: Box<dyn FnMut()> = match what {
        "inference" => {
            let mut session = session(Build::inference(1));
            Box::new(move || session.forward(0).expect("a pass"))
        }
        "training" => {
            let mut session = session(Build::training(1));
            let (rates, mut step) = (rates(&session), 0);
            Box::new(move || training_step(&mut session, &rates, &mut step))
        }
        other => panic!("CRFORMER_ON_REQUEST is {other:?}; expected inference or training"),
    };
    println!("ready");
    for line in stdin().lock().lines() {
        line.expect("standard input");
        let began = Instant::now();
        pass();
        println!("{:.3}", began.elapsed().as_secs_f64() * 1e3);
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(20));
    targets = inference, training
}

fn main() {
    if std::env::var_os("CRFORMER_PROFILE").is_some() {
        rayon::scope(|_| profile());
    } else if let Ok(what) = std::env::var("CRFORMER_ON_REQUEST") {
        on_request(&what);
    } else {
        benches();
    }
}
