//! The presets against the settings of the paper, its lineage and the demonstration.

use crformer::model::Config;
use crformer::train::layers::{Base, resolve};
use crformer::train::settings::{OptimiserKind, OverlapRule, Settings};

fn preset(name: &str) -> Settings {
    resolve(Base::Preset(name), &[]).expect(name)
}

#[test]
fn the_paper() {
    let paper = preset("paper");
    assert_eq!(paper.model, Config::default());
    assert_eq!(paper.training.batch * paper.training.accumulation, 64);
    assert_eq!(paper.training.epochs, 40);
    assert_eq!(paper.optimiser.kind, OptimiserKind::Adam);
    assert_eq!(paper.optimiser.learning_rate, 0.005);
}

#[test]
fn the_lineage() {
    let lineage = preset("lineage");
    assert_eq!(lineage.model, Config::default());
    let (training, optimiser) = (&lineage.training, &lineage.optimiser);
    assert_eq!(training.batch * training.accumulation, 32);
    assert_eq!((training.epochs, training.warmup), (40, 0));
    assert_eq!((training.power, training.clip), (0.9, 0.0));
    assert_eq!(optimiser.kind, OptimiserKind::AdamW);
    assert_eq!((optimiser.learning_rate, optimiser.decay), (5e-5, 0.01));
    assert_eq!((optimiser.betas, optimiser.eps), ([0.9, 0.999], 1e-8));
    assert_eq!(lineage.data.overlap, OverlapRule::Lineage);
}

#[test]
fn the_demo() {
    let demo = preset("demo");
    assert_eq!((demo.model.image_size, demo.model.width, demo.model.swin_width), (96, 32, 16));
    assert_eq!(demo.model.swin_depths, [1, 1, 2, 1]);
    assert_eq!(demo.training.batch * demo.training.accumulation, 16);
}

/// Overrides count in their order, and values are TOML or, failing that, text.
#[test]
fn overrides() {
    let texts =
        ["training.seed=7", "training.seed=8", "optimiser.learning_rate=1", "data.root=a b"];
    let more = ["data.dataset=12", "evaluation.select=\"oIoU\"", "optimiser.frozen=['head.*']"];
    let all: Vec<String> = texts.iter().chain(&more).map(|t| (*t).to_owned()).collect();
    let settings = resolve(Base::Preset("demo"), &all).expect("settings");
    assert_eq!(settings.training.seed, 8);
    assert_eq!(settings.optimiser.learning_rate, 1.0);
    assert_eq!((settings.data.root.as_str(), settings.data.dataset.as_str()), ("a b", "12"));
    assert_eq!(settings.evaluation.select.to_string(), "oIoU");
    assert_eq!(settings.optimiser.frozen, ["head.*"]);
}
