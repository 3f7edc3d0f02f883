//! An inference graph holds nothing that only training needs, and gives the same logits.

use crformer::exec::cpu::CpuSession;
use crformer::exec::{Session, Slot, Values, ValuesMut};
use crformer::graph::Reverse;
use crformer::model::folder::initialise;
use crformer::model::{Build, Config, Crformer};

use crate::support::compare::assert_close;
use crate::support::in_repository;

fn small() -> Config {
    let path = in_repository("tests/fixtures/golden/small/config.json");
    Config::read(&path).expect("the configuration")
}

#[test]
fn no_node_for_the_last_calibration_and_the_reconstruction() {
    let config = small();
    let model = Crformer::new(&config, Build::inference(1)).expect("a graph");
    let last = format!("decoder.layers.{}.calibration", config.decoder_layers - 1);
    for (_, tensor) in model.graph.tensors() {
        for absent in [last.as_str(), "reconstruction", "text.global_proj", "loss"] {
            assert!(!tensor.name.starts_with(absent), "{} is in the graph", tensor.name);
        }
    }
    let training = Crformer::new(&config, Build::training(1)).expect("a graph");
    assert!(training.graph.tensors().any(|(_, t)| t.name.starts_with(&last)));
}

#[test]
fn the_same_logits_with_and_without_losses() {
    let config = small();
    let logits = |build: Build| {
        let model = Crformer::new(&config, build).expect("a graph");
        let reverse = model.losses.as_ref().map(|losses| {
            Reverse::new(&model.graph, losses.total, |_| true).expect("a backward list")
        });
        let (image, tokens) = (model.image, model.tokens);
        let (word_mask, out) = (model.word_mask, model.logits_grid);
        let mut session = CpuSession::<f32>::new(model.graph, reverse, 0);
        initialise(&mut session, 4).expect("weights");
        let side = config.image_size;
        let pixels: Vec<f32> = (0..3 * side * side).map(|i| (i as f32 * 0.37).sin()).collect();
        session.write(image, Slot::Value, Values::F32(&pixels)).expect("image");
        let ids: Vec<i32> = (0..config.max_tokens as i32).collect();
        session.write(tokens, Slot::Value, Values::Index(&ids)).expect("tokens");
        let ones = vec![1; config.max_tokens];
        session.write(word_mask, Slot::Value, Values::Index(&ones)).expect("mask");
        session.forward(0).expect("a pass");
        let mut logits = vec![0f32; session.graph().shape(out).len()];
        session.read(out, Slot::Value, ValuesMut::F32(&mut logits)).expect("logits");
        logits
    };
    let losses = Build { batch: 1, losses: true, dropout: false, upsampled: None };
    let wide = |logits: Vec<f32>| logits.into_iter().map(f64::from).collect::<Vec<f64>>();
    // To rounding: without a backward pass weights lie transposed, which changes sums' order.
    assert_close("logits", &wide(logits(Build::inference(1))), &wide(logits(losses)), 1e-5);
}
