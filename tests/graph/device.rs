//! Drawn graphs on a CUDA device in f32 against the CPU in f64: passes, accumulation, updates, and replays.
//!
//! The device is the PTX machine, which watches for races, or the one that `CRFORMER_TEST_DEVICE` names.

use crformer::exec::{Machine, Slot};
use crformer::optim::adamw::{Rate, Update};

use super::session::UPDATE;
use super::small::{Run, STEP, Small, draw};
use super::support::compare::assert_close;
use super::support::device::machine;

fn rates(run: &Run) -> Vec<Rate> {
    let rate = |i: usize| Rate { learning_rate: 0.01 * (1 + i % 3) as f64, decay: 0.1 };
    (0..run.0.trained().len()).map(rate).collect()
}

fn pair(small: &Small) -> [Run; 2] {
    [Machine::CpuInDouble, machine("f32")].map(|machine| Run::new(&machine, small, |_| true))
}

/// A step of two micro-batches and an update.
fn step(run: &mut Run, number: u64) {
    for (i, batch) in [3 * number, 3 * number + 1].into_iter().enumerate() {
        run.fill_inputs(batch);
        run.0.forward(batch).unwrap_or_else(|e| panic!("{e}"));
        run.0.backward(batch, 0.5, i > 0).unwrap_or_else(|e| panic!("{e}"));
    }
    let update = Update { step: number, clip: 0.7, ..UPDATE };
    let rates = rates(run);
    run.0.update(&update, &rates).unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn loss_and_gradients_are_the_cpu_s() {
    for seed in 0..6 {
        let small = draw(seed, 14);
        let [mut cpu, mut device] = pair(&small);
        let (want, got) = (cpu.loss(small.loss), device.loss(small.loss));
        assert_close(&format!("seed {seed}: loss"), &[got], &[want], 1e-5);
        let (want, got) = (cpu.gradients(), device.gradients());
        assert_close(&format!("seed {seed}: gradients"), &got, &want, 1e-4);
    }
}

/// Eager, recorded and replayed steps; every number that outlives them.
#[test]
fn steps_with_accumulation_and_updates_are_the_cpu_s() {
    let small = draw(4, 20);
    let [mut cpu, mut device] = pair(&small);
    for number in 1..=4 {
        step(&mut cpu, number);
        step(&mut device, number);
        let name = format!("step {number}");
        let norms = [&device, &cpu].map(|run| run.0.gradient_norm().expect("a norm"));
        assert_close(&format!("{name}: norm"), &norms[..1], &norms[1..], 1e-4);
        for slot in [Slot::Gradient, Slot::Value, Slot::FirstMoment, Slot::SecondMoment] {
            let [got, want] = [&device, &cpu].map(|run| run.of_trained(slot));
            assert_close(&format!("{name}: {slot:?}"), &got, &want, 1e-4);
        }
    }
}

#[test]
fn replays_have_the_bits_of_launches() {
    let small = draw(7, 20);
    let bits = |records: bool| {
        let mut run = Run::on_device(&machine("f32"), &small, records);
        (1..=4).for_each(|number| step(&mut run, number));
        let numbers = [Slot::Value, Slot::FirstMoment, Slot::SecondMoment];
        numbers.map(|slot| run.of_trained(slot).iter().map(|x| x.to_bits()).collect::<Vec<_>>())
    };
    assert!(bits(true) == bits(false));
}

#[test]
fn an_update_that_would_spoil_the_parameters_is_left_out() {
    let small = draw(3, 12);
    let mut run = Run::new(&machine("f32"), &small, |_| true);
    let (good, rates) = (run.parameters(), rates(&run));
    for seed in [f64::NAN, f64::INFINITY] {
        run.0.forward(STEP).expect("a pass");
        run.0.backward(STEP, seed, false).expect("a pass");
        run.0.update(&UPDATE, &rates).expect("an update");
        assert!(!run.0.gradient_norm().expect("a norm").is_finite());
        assert_eq!(run.parameters(), good);
    }
    let name = run.0.first_not_finite(STEP, f64::INFINITY).expect("passes").expect("a name");
    assert!(name.starts_with("gradient of ") && name.ends_with("(backward pass)"), "{name}");
    run.gradients();
    run.0.update(&UPDATE, &rates).expect("an update");
    assert!(run.parameters() != good);
}
