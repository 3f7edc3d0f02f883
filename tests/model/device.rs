//! The whole model on a CUDA device against the CPU in f64: loss, every gradient, updates, ten steps; and a replay
//! against launches, runs against their repetition.
//!
//! The device is the PTX machine, or the one that `CRFORMER_TEST_DEVICE` names.

use crformer::exec::cuda::CudaSession;
use crformer::exec::{Machine, Session, Slot, Values, ValuesMut};
use crformer::graph::{Reverse, TensorId};
use crformer::model::folder::initialise;
use crformer::model::{Build, Config, Crformer};
use crformer::optim::adamw::{Decay, Rate, Update};
use crformer::rng::Philox;

use super::gradients::tiny;
use super::support::device::machine;

struct Run {
    session: Box<dyn Session>,
    inputs: [TensorId; 4],
    loss: TensorId,
    config: Config,
    batch: usize,
}

/// A tensor by name, and its numbers.
type Named = (String, Vec<f64>);

impl Run {
    fn new(
        config: Config,
        batch: usize,
        session: impl FnOnce(crformer::graph::Graph, Reverse) -> Box<dyn Session>,
    ) -> Self {
        let mut model = Crformer::new(&config, Build::training(batch)).expect("a graph");
        let losses = model.losses.take().expect("losses");
        let reverse = Reverse::new(&model.graph, losses.total, |name| name != "image");
        let inputs = [model.image, model.tokens, model.word_mask, losses.mask];
        let mut session = session(model.graph, reverse.expect("a scalar"));
        initialise(session.as_mut(), 1).expect("numbers");
        Self { session, inputs, loss: losses.total, config, batch }
    }

    fn on(machine: &Machine) -> Self {
        Self::of(tiny(), 2, machine)
    }

    fn of(config: Config, batch: usize, machine: &Machine) -> Self {
        let made = |graph, reverse| machine.session(graph, Some(reverse), 3);
        Self::new(config, batch, |graph, reverse| {
            made(graph, reverse).unwrap_or_else(|e| panic!("{e}"))
        })
    }

    /// Launch by launch, nothing recorded.
    fn eager(machine: &Machine) -> Self {
        let Machine::Cuda { device, precision } = machine else { panic!("a CUDA device") };
        Self::new(tiny(), 2, |graph, reverse| {
            let session = CudaSession::new(device.clone(), graph, Some(reverse), 3, *precision);
            let mut session = session.unwrap_or_else(|e| panic!("{e}"));
            session.record(false);
            Box::new(session)
        })
    }

    fn fill(&mut self, number: u64) {
        let mut reader = Philox::new(number, 8).reader();
        let (side, words) = (self.config.image_size, self.config.max_tokens);
        let (pixels, places) = (self.batch * side * side, self.batch * words);
        let image: Vec<f64> = (0..3 * pixels).map(|_| reader.normal()).collect();
        let tokens: Vec<i32> = (0..places).map(|_| reader.below(11) as i32).collect();
        let word_mask: Vec<i32> = (0..places).map(|i| i32::from(i % words < 4)).collect();
        let object = |i: usize| i32::from(((i + number as usize) / 7).is_multiple_of(3));
        let mask: Vec<i32> = (0..pixels).map(object).collect();
        let values = [
            Values::F64(&image),
            Values::Index(&tokens),
            Values::Index(&word_mask),
            Values::Index(&mask),
        ];
        for (tensor, values) in self.inputs.into_iter().zip(values) {
            self.session.write(tensor, Slot::Value, values).expect("an input");
        }
    }

    fn passes(&mut self, number: u64) -> f64 {
        self.micro_batch(number, 1.0, false)
    }

    fn micro_batch(&mut self, number: u64, seed: f64, accumulate: bool) -> f64 {
        self.fill(number);
        self.session.forward(number).unwrap_or_else(|e| panic!("{e}"));
        self.session.backward(number, seed, accumulate).unwrap_or_else(|e| panic!("{e}"));
        self.read(self.loss, Slot::Value)[0]
    }

    fn step(&mut self, number: u64) -> f64 {
        let loss = self.passes(number);
        self.update(number);
        loss
    }

    /// A step of two micro-batches, which drop other numbers; their losses.
    fn accumulated_step(&mut self, number: u64) -> [f64; 2] {
        let losses = [(0, false), (1, true)]
            .map(|(micro, accumulate)| self.micro_batch(2 * number + micro, 0.5, accumulate));
        self.update(number);
        losses
    }

    fn update(&mut self, number: u64) {
        let decay = Decay::Decoupled;
        let update = Update { decay, betas: (0.9, 0.98), eps: 1e-3, step: number, clip: 1.0 };
        let rates = vec![Rate { learning_rate: 1e-3, decay: 0.01 }; self.session.trained().len()];
        self.session.update(&update, &rates).unwrap_or_else(|e| panic!("{e}"));
    }

    fn read(&self, tensor: TensorId, slot: Slot) -> Vec<f64> {
        let mut numbers = vec![f64::NAN; self.session.graph().shape(tensor).len()];
        self.session.read(tensor, slot, ValuesMut::F64(&mut numbers)).expect("numbers");
        numbers
    }

    fn of_trained(&self, slot: Slot) -> Vec<Named> {
        let name = |t: TensorId| self.session.graph().get(t).name.clone();
        self.session.trained().iter().map(|&t| (name(t), self.read(t, slot))).collect()
    }

    fn bits(&self) -> Vec<u64> {
        let of = |slot| self.of_trained(slot).into_iter().flat_map(|(_, numbers)| numbers);
        of(Slot::Value).chain(of(Slot::SecondMoment)).map(f64::to_bits).collect()
    }
}

/// The largest difference as a share of the largest number, over all tensors of which the largest is at least
/// a thousandth of the largest of all.
fn worst(got: &[Named], want: &[Named]) -> (f64, String) {
    let largest = |numbers: &[f64]| numbers.iter().fold(0.0f64, |a, x| a.max(x.abs()));
    let floor = 1e-3 * want.iter().map(|(_, numbers)| largest(numbers)).fold(0.0, f64::max);
    assert!(floor > 0.0 && got.len() == want.len());
    let error = |((name, got), (_, want)): (&Named, &Named)| {
        let differences = got.iter().zip(want).map(|(g, w)| (g - w).abs());
        let largest_difference =
            differences.fold(0.0, |a: f64, x| if x > a || x.is_nan() { x } else { a });
        (largest_difference / largest(want).max(floor), name.clone())
    };
    let errors = got.iter().zip(want).map(error);
    errors.max_by(|a, b| a.0.total_cmp(&b.0)).expect("tensors")
}

/// A training step in f32: loss, every gradient, every updated parameter.
#[test]
fn a_training_step_is_the_cpu_s() {
    let (mut cpu, mut device) = (Run::on(&Machine::CpuInDouble), Run::on(&machine("f32")));
    let (want, got) = (cpu.step(1), device.step(1));
    assert!((got - want).abs() <= 1e-5 * want, "loss {got}, on the CPU {want}");
    for slot in [Slot::Gradient, Slot::Value] {
        let (error, name) = worst(&device.of_trained(slot), &cpu.of_trained(slot));
        assert!(error <= 1e-3, "{slot:?} of {name} is off by {error:.1e}");
    }
}

/// Ten steps, recorded from the second on; the CPU's f32 is as far from f64 as a device may be.
#[test]
fn ten_steps_follow_the_cpu_s_losses() {
    let (mut cpu, mut device) = (Run::on(&Machine::CpuInDouble), Run::on(&machine("f32")));
    let mut coarse = Run::on(&machine("bf16"));
    for number in 1..=10 {
        let [want, got, rounded] = [&mut cpu, &mut device, &mut coarse].map(|r| r.step(number));
        assert!((got - want).abs() <= 1e-4 * want, "step {number}: {got}, on the CPU {want}");
        assert!(
            (rounded - want).abs() <= 3e-2 * want,
            "step {number}: {rounded}, on the CPU {want}"
        );
    }
}

/// The directions of bf16's gradients are those of f64's.
#[test]
fn bf16_gradients_point_the_same_way() {
    let (mut cpu, mut device) = (Run::on(&Machine::CpuInDouble), Run::on(&machine("bf16")));
    let (want, got) = (cpu.passes(1), device.passes(1));
    assert!((got - want).abs() <= 2e-2 * want, "loss {got}, on the CPU {want}");
    let all = |run: &Run| -> Vec<f64> {
        run.of_trained(Slot::Gradient).into_iter().flat_map(|(_, numbers)| numbers).collect()
    };
    let (want, got) = (all(&cpu), all(&device));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let cosine = dot(&got, &want) / (dot(&got, &got) * dot(&want, &want)).sqrt();
    assert!(cosine > 0.99, "cosine {cosine}");
}

#[test]
fn replays_have_the_bits_of_launches_and_of_another_run() {
    let machine = machine("bf16");
    let mut runs = [Run::on(&machine), Run::on(&machine), Run::eager(&machine)];
    let bits = runs.each_mut().map(|run| {
        (1..=4).for_each(|number| {
            run.step(number);
        });
        run.bits()
    });
    assert!(bits[0] == bits[1], "another run has other bits");
    assert!(bits[0] == bits[2], "launches have other bits than replays");
}

/// Every kind of layer at its smallest, with drop path and dropout: steps that the PTX machine makes many of.
fn smallest() -> Config {
    let (image_size, swin_window, swin_depths) = (64, 3, [1, 2, 1, 1]);
    Config { image_size, swin_window, swin_depths, decoder_layers: 2, queries: 2, ..tiny() }
}

/// Steps of two micro-batches of one picture each.
#[test]
fn twenty_steps_have_the_bits_of_another_run() {
    for precision in ["bf16", "f32"] {
        let machine = machine(precision);
        let mut runs = [(); 2].map(|()| Run::of(smallest(), 1, &machine));
        let first = runs.each_ref().map(Run::bits);
        assert!(first[0] == first[1], "{precision}: they begin differently");
        for number in 1..=20 {
            let [a, b] = runs.each_mut().map(|run| run.accumulated_step(number));
            let same = a.map(f64::to_bits) == b.map(f64::to_bits);
            assert!(same, "{precision}, step {number}: {a:?}, then {b:?}");
        }
        let last = runs.each_ref().map(Run::bits);
        assert!(last[0] == last[1], "{precision}: other bits after twenty steps");
        assert!(last[0] != first[0], "{precision}: nothing was learnt");
    }
}
