//! Evaluation of a model that was never trained: its masks are as good as any for these questions.

use std::path::Path;
use std::sync::Arc;

use crformer::data::loader::{Loader, Source};
use crformer::data::mask::Overlap;
use crformer::data::wordpiece::Tokenizer;
use crformer::exec::cpu::CpuSession;
use crformer::exec::{Machine, Session, Slot, Values, ValuesMut};
use crformer::model::folder::initialise;
use crformer::model::{Build, Config, Crformer};
use crformer::train::evaluate::Evaluator;
use crformer::train::layers::read;
use crformer::train::metrics::{Agreement, Protocol};
use crformer::train::phrases::{Split, SplitPlace};
use crformer::train::signals::Stop;
use crformer::train::source::EvaluationSource;

fn source(folder: &Path) -> (Config, Arc<EvaluationSource>) {
    let config = read(&crate::tiny::prepare(folder)).expect("settings").model;
    let root = folder.join("data");
    let tokenizer = Tokenizer::load(&root.join("shapes/vocab.txt")).expect("a tokenizer");
    let place = SplitPlace {
        root,
        dataset: "shapes".to_owned(),
        split_by: "drawn".to_owned(),
        split: "val".to_owned(),
        overlap: Overlap::Union,
        image_size: config.image_size,
        max_tokens: config.max_tokens,
    };
    let split = Split::open(place, &tokenizer).expect("a split");
    (config, Arc::new(EvaluationSource::new(Arc::new(split))))
}

/// Weights with biases that make both classes appear.
fn draw(session: &mut dyn Session) -> crformer::error::Result<()> {
    initialise(session, 1)
}

fn judged(
    config: &Config,
    source: &Arc<EvaluationSource>,
    batch: usize,
    p: Protocol,
) -> Vec<Agreement> {
    let mut evaluator = Evaluator::new(config, batch, &Machine::Cpu, draw).expect("an evaluator");
    let judged = evaluator.run(source, p, 2, &Stop::default(), |_| {});
    judged.expect("judged").expect("not stopped")
}

#[test]
fn figures_do_not_depend_on_the_batch() {
    let folder = tempfile::tempdir().expect("a folder");
    let (config, source) = source(folder.path());
    assert!(source.len() % 5 != 0 && source.len() > 10, "{} samples", source.len());
    for protocol in [Protocol::Lavt, Protocol::Original] {
        let one = judged(&config, &source, 1, protocol);
        assert_eq!(one.len(), source.len());
        assert_eq!(one, judged(&config, &source, 5, protocol));
        assert_eq!(one, judged(&config, &source, 64, protocol));
        assert!(one.iter().any(|a| a.intersection > 0), "nothing was ever predicted");
        assert!(one.iter().any(|a| a.intersection < a.union), "everything was right");
    }
}

/// Against the graph's own upsampling and a plain count.
#[test]
fn figures_are_those_of_upsampled_logits() {
    let folder = tempfile::tempdir().expect("a folder");
    let (config, source) = source(folder.path());
    let found = judged(&config, &source, 4, Protocol::Lavt);
    let side = config.image_size;
    let build = Build { upsampled: Some(side), ..Build::inference(1) };
    let model = Crformer::new(&config, build).expect("a model");
    let logits = model.logits.expect("upsampled logits");
    let mut session = CpuSession::<f64>::new(model.graph, None, 0);
    draw(&mut session).expect("weights");
    let shared: Arc<dyn Source> = source.clone();
    let order = (0..source.len()).collect();
    for (i, batch) in Loader::new(shared, order, 1, false, 1, 1).expect("a loader").enumerate() {
        let batch = batch.expect("a sample");
        session.write(model.image, Slot::Value, Values::F32(&batch.images)).expect("image");
        session.write(model.tokens, Slot::Value, Values::Index(&batch.tokens)).expect("tokens");
        session.write(model.word_mask, Slot::Value, Values::Index(&batch.word_mask)).expect("mask");
        session.forward(0).expect("a pass");
        let mut values = vec![0.0; side * side * 2];
        session.read(logits, Slot::Value, ValuesMut::F64(&mut values)).expect("logits");
        let (mut intersection, mut union, mut close) = (0u64, 0u64, 0u64);
        for (pair, &truth) in values.chunks_exact(2).zip(&batch.masks) {
            let predicted = pair[1] > pair[0];
            intersection += u64::from(predicted && truth == 1);
            union += u64::from(predicted || truth == 1);
            // The evaluator's logits are f32: a pixel this close to a tie may fall either way.
            close += u64::from((pair[1] - pair[0]).abs() < 1e-4);
        }
        assert!(found[i].intersection.abs_diff(intersection) <= close, "{i}: {:?}", found[i]);
        assert!(found[i].union.abs_diff(union) <= close, "{i}: {:?}", found[i]);
        assert!(close < (side * side / 50) as u64, "{close} pixels are close to a tie");
    }
}
