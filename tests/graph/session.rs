//! Sessions in f64: gradients of whole graphs, accumulation, threads, errors.

use crformer::exec::{Machine, Session, Slot, Values, ValuesMut};
use crformer::graph::{Graph, Initial, Origin};
use crformer::op::add::Add;
use crformer::op::contract::TensorType;
use crformer::optim::adamw::{Decay, Rate, Update};

use crate::small::{Run, STEP, Small, draw, draw_without_mlps};
use crate::support::compare::{assert_close, relative_error};

fn training(small: &Small) -> Run {
    Run::new(&Machine::CpuInDouble, small, |_| true)
}

/// Every parameter and the input of graphs drawn at random, with tensors and weights that are used
/// once, several times, never.
#[test]
fn gradients_of_whole_graphs() {
    for seed in 0..25 {
        let small = draw(seed, 3 + seed as usize % 11);
        let mut machine = training(&small);
        machine.gradients();
        for (id, tensor) in small.graph.tensors() {
            let leaf = matches!(tensor.origin, Origin::Parameter(_) | Origin::Input);
            let Some(got) = leaf.then(|| read_gradient(&machine, &small, id)).flatten() else {
                continue;
            };
            let want = machine.differences(small.loss, id);
            let error = relative_error(&got, &want, 1e-3);
            assert!(error <= 1e-6, "seed {seed}: gradient of {} off by {error:.1e}", tensor.name);
        }
    }
}

/// The gradient, if there is one; else the loss must not depend on the tensor.
fn read_gradient(
    machine: &Run,
    small: &Small,
    tensor: crformer::graph::TensorId,
) -> Option<Vec<f64>> {
    let mut values = vec![f64::NAN; small.graph.shape(tensor).len()];
    let read = machine.0.read(tensor, Slot::Gradient, ValuesMut::F64(&mut values));
    read.is_ok().then_some(values)
}

#[test]
fn what_has_no_gradient_does_not_matter() {
    let mut found = 0;
    for seed in 0..25 {
        let small = draw(seed, 10);
        let mut machine = training(&small);
        machine.gradients();
        for (id, tensor) in small.graph.parameters() {
            if read_gradient(&machine, &small, id).is_none() {
                let flat = machine.differences(small.loss, id).iter().all(|d| *d == 0.0);
                assert!(flat, "seed {seed}: the loss depends on {}", tensor.name);
                found += 1;
            }
        }
    }
    assert!(found > 5, "only {found} parameters without a gradient");
}

#[test]
fn accumulation_over_micro_batches_is_the_gradient_of_the_sum() {
    for seed in 0..10 {
        let small = draw(seed, 12);
        let mut machine = training(&small);
        let mut sum = Vec::new();
        for batch in [5, 6, 7] {
            machine.fill(batch);
            machine.0.forward(STEP).expect("a pass");
            machine.0.backward(STEP, 0.25, false).expect("a pass");
            let gradients = machine.all_gradients();
            sum.resize(gradients.len(), 0.0);
            sum.iter_mut().zip(gradients).for_each(|(sum, g)| *sum += g);
        }
        for (i, batch) in [5, 6, 7].into_iter().enumerate() {
            machine.fill(batch);
            machine.0.forward(STEP).expect("a pass");
            machine.0.backward(STEP, 0.25, i > 0).expect("a pass");
        }
        assert_close(&format!("seed {seed}"), &machine.all_gradients(), &sum, 1e-13);
    }
}

#[test]
fn threads_do_not_change_bits() {
    let small = draw(4, 25);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.expect("a pool").install(|| {
            let mut machine = Run::new(&Machine::Cpu, &small, |_| true);
            let mut numbers = machine.gradients();
            numbers.push(machine.loss(small.loss));
            let rates = vec![Rate { learning_rate: 0.1, decay: 0.1 }; machine.0.trained().len()];
            machine.0.update(&UPDATE, &rates).expect("an update");
            numbers.push(machine.0.gradient_norm().expect("a norm"));
            numbers.extend(machine.parameters());
            numbers.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
        })
    };
    let one = run(1);
    assert!(one.len() > 20 && one == run(2) && one == run(3));
}

#[test]
fn a_pass_without_gradients_gives_the_same_loss() {
    for seed in 0..10 {
        let small = draw(seed, 15);
        let with = training(&small).loss(small.loss);
        let without = Run::forward_only(&Machine::CpuInDouble, &small).loss(small.loss);
        // Not to the bit: without a backward pass weights lie transposed, and products of them may
        // be summed in another order.
        assert!((with - without).abs() <= 1e-13 * with.abs(), "seed {seed}: {with}, {without}");
    }
}

pub const UPDATE: Update =
    Update { decay: Decay::Decoupled, betas: (0.9, 0.999), eps: 1e-8, step: 1, clip: 0.0 };

/// Updates change exactly the wanted parameters.
#[test]
fn a_frozen_parameter_stays() {
    let small = draw(2, 12);
    let all = training(&small).0.trained().to_vec();
    let (frozen, rest) = all.split_first().expect("parameters");
    let name = &small.graph.get(*frozen).name;
    let mut machine = Run::new(&Machine::CpuInDouble, &small, |wanted| wanted != name);
    assert_eq!(machine.0.trained(), rest);
    let before: Vec<Vec<f64>> = all.iter().map(|&t| machine.read(t, Slot::Value)).collect();
    machine.gradients();
    let rates = vec![Rate { learning_rate: 0.01, decay: 0.1 }; rest.len()];
    machine.0.update(&UPDATE, &rates).expect("an update");
    for (&tensor, before) in all.iter().zip(&before) {
        let changed = machine.read(tensor, Slot::Value) != *before;
        assert_eq!(changed, tensor != *frozen, "{}", small.graph.get(tensor).name);
    }
    let mut values = vec![0.0; small.graph.shape(*frozen).len()];
    assert!(machine.0.read(*frozen, Slot::Gradient, ValuesMut::F64(&mut values)).is_err());
}

#[test]
fn one_tensor_twice_in_an_operation_is_an_error() {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorType::activation([2, 3])).expect("a first tensor");
    let error = graph.add("sum", Add { relu: false }, &[x, x]).expect_err("x + x");
    assert!(error.to_string().contains("sum: x is its input twice"), "{error}");
    let taken = graph.input("x", TensorType::activation([2, 3])).expect_err("a second x");
    assert!(taken.to_string().contains("called x"), "{taken}");
}

#[test]
fn what_is_not_finite_is_named() {
    let small = draw_without_mlps(4, 8);
    let mut machine = training(&small);
    assert_eq!(machine.0.first_not_finite(STEP, 1.0).expect("passes"), None);
    let inp = small.graph.find("inp").expect("the input");
    let values = machine.read(inp, Slot::Value);
    let mut broken = values.clone();
    broken[1] = f64::NAN;
    machine.write(inp, &broken);
    let name = machine.0.first_not_finite(STEP, 1.0).expect("passes").expect("a name");
    assert_eq!(name, "inp (before the forward pass)");
    // Large enough that its square is not finite.
    broken[1] = 1e200;
    machine.write(inp, &broken);
    let name = machine.0.first_not_finite(STEP, 1.0).expect("passes").expect("a name");
    assert!(name.ends_with("(forward pass)"), "{name}");
    machine.write(inp, &values);
    let name = machine.0.first_not_finite(STEP, f64::INFINITY).expect("passes").expect("a name");
    assert!(name.starts_with("gradient of ") && name.ends_with("(backward pass)"), "{name}");
    // The search leaves nothing behind.
    assert_eq!(machine.gradients(), training(&small).gradients());
}

#[test]
fn wrong_exchanges_are_errors() {
    let small = draw(6, 8);
    let mut machine = training(&small);
    machine.gradients();
    let session = machine.0.as_mut();
    let find = |name: &str| small.graph.find(name).expect("a tensor of this name");
    let (inp, mask, node) = (find("inp"), find("mask"), find("node0"));
    let write = |session: &mut dyn Session, tensor, slot, values| {
        let error = session.write(tensor, slot, values).expect_err("a wrong write");
        error.to_string()
    };
    let short = vec![0.0; 59];
    assert!(write(session, inp, Slot::Value, Values::F64(&short)).contains("inp [2, 5, 6]"));
    let whole = vec![0.0; 60];
    assert!(write(session, inp, Slot::Value, Values::Index(&[0; 60])).contains("inp"));
    assert!(write(session, mask, Slot::Value, Values::F64(&whole[..6])).contains("mask"));
    assert!(write(session, mask, Slot::Value, Values::Index(&[1; 5])).contains("mask"));
    assert!(write(session, node, Slot::Value, Values::F64(&whole)).contains("node0"));
    assert!(write(session, find("fixed"), Slot::Value, Values::F64(&whole)).contains("fixed"));
    assert!(write(session, inp, Slot::FirstMoment, Values::F64(&whole)).contains("inp"));
    let mut room = vec![0.0; 60];
    let mut read = |tensor, slot, len: usize| {
        session.read(tensor, slot, ValuesMut::F64(&mut room[..len])).map_err(|e| e.to_string())
    };
    assert_eq!(read(inp, Slot::Value, 60), Ok(()));
    assert!(read(inp, Slot::Value, 59).expect_err("59 of 60").contains("59 numbers"));
    assert!(read(node, Slot::Value, 60).expect_err("not kept").contains("node0"));
    assert!(read(inp, Slot::SecondMoment, 60).expect_err("no parameter").contains("inp"));
}

#[test]
fn moments_can_be_exchanged() {
    let mut graph = Graph::new();
    let p = graph.parameter("p", [3].into(), Initial::Constant(0.0)).expect("a parameter");
    let small = Small { graph, loss: p };
    let mut machine = Run::forward_only(&Machine::CpuInDouble, &small);
    let write = machine.0.write(p, Slot::FirstMoment, Values::F64(&[1.0, 2.0, 3.0]));
    assert!(write.is_err(), "nothing is trained without a backward pass");
    let small = draw(2, 12);
    let mut machine = training(&small);
    let tensor = machine.0.trained()[0];
    let len = small.graph.shape(tensor).len();
    let values: Vec<f64> = (0..len).map(|i| i as f64).collect();
    for slot in [Slot::FirstMoment, Slot::SecondMoment] {
        machine.0.write(tensor, slot, Values::F64(&values)).expect("moments");
        assert_eq!(machine.read(tensor, slot), values);
    }
}

/// What is not finite reaches no parameter and no moment: not from the gradients, not with the loss.
#[test]
fn an_update_that_would_spoil_the_parameters_is_left_out() {
    let small = draw(3, 12);
    let mut machine = training(&small);
    let rates = vec![Rate { learning_rate: 0.01, decay: 0.1 }; machine.0.trained().len()];
    let good = machine.parameters();
    for seed in [f64::NAN, f64::INFINITY] {
        machine.0.forward(STEP).expect("a pass");
        machine.0.backward(STEP, seed, false).expect("a pass");
        machine.0.update(&UPDATE, &rates).expect("an update");
        assert!(!machine.0.gradient_norm().expect("a norm").is_finite());
        assert_eq!(machine.parameters(), good);
    }
    machine.gradients();
    machine.0.update(&UPDATE, &rates).expect("an update");
    assert!(machine.0.gradient_norm().expect("a norm") > 0.0);
    let changed = machine.parameters();
    assert!(changed != good && changed.iter().all(|x| x.is_finite()));
}

/// Clipped gradients have the limit's norm: an update of plain gradients scaled beforehand is the same.
#[test]
fn longer_gradients_are_scaled_to_the_limit() {
    let small = draw(5, 12);
    let rates =
        |machine: &Run| vec![Rate { learning_rate: 0.01, decay: 0.0 }; machine.0.trained().len()];
    let mut clipped = training(&small);
    clipped.gradients();
    let norm = clipped.all_gradients().iter().map(|g| g * g).sum::<f64>().sqrt();
    let update = Update { clip: norm / 8.0, ..UPDATE };
    let rates = rates(&clipped);
    clipped.0.update(&update, &rates).expect("an update");
    let seen = clipped.0.gradient_norm().expect("a norm");
    assert!((seen - norm).abs() <= 1e-12 * norm, "{seen}, {norm}");
    let mut scaled = training(&small);
    scaled.0.forward(STEP).expect("a pass");
    scaled.0.backward(STEP, 0.125, false).expect("a pass");
    scaled.0.update(&UPDATE, &rates).expect("an update");
    assert_close("parameters", &clipped.parameters(), &scaled.parameters(), 1e-9);
}
