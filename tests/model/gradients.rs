//! Every parameter's gradient of a small model against central differences in f64.

use crformer::exec::cpu::CpuSession;
use crformer::exec::{Session, Slot, Values, ValuesMut};
use crformer::graph::{Reverse, TensorId};
use crformer::model::folder::initialise;
use crformer::model::{Build, Config, Crformer, Losses};
use crformer::rng::Philox;

/// Every path at its smallest: padding with and without shift, all three losses' paths, dropout.
pub fn tiny() -> Config {
    Config {
        image_size: 96,
        max_tokens: 5,
        vocab_size: 11,
        text_positions: 6,
        text_layers: 1,
        text_width: 8,
        text_heads: 2,
        text_hidden: 12,
        swin_width: 4,
        swin_depths: [2, 2, 1, 1],
        swin_heads: [1, 2, 2, 4],
        swin_window: 5,
        swin_mlp_ratio: 2,
        width: 8,
        queries: 3,
        decoder_layers: 2,
        decoder_heads: 2,
        decoder_hidden: 10,
        drop_path: 0.3,
        dropout: 0.2,
        w_re: 0.7,
        ..Config::default()
    }
}

struct Model {
    session: CpuSession<f64>,
    losses: Losses,
}

/// A session with random numbers everywhere: also where new weights are zeros or ones.
fn model(config: &Config) -> Model {
    let batch = 2;
    let mut model = Crformer::new(config, Build::training(batch)).expect("a graph");
    let losses = model.losses.take().expect("losses");
    let reverse = Reverse::new(&model.graph, losses.total, |name| name != "image");
    let mut session = CpuSession::<f64>::new(model.graph, Some(reverse.expect("scalar")), 3);
    initialise(&mut session, 1).expect("numbers");
    let mut reader = Philox::new(8, 8).reader();
    for (id, mut numbers) in parameters(&session) {
        numbers.iter_mut().for_each(|x| *x += 0.1 * reader.normal());
        session.write(id, Slot::Value, Values::F64(&numbers)).expect("a parameter");
    }
    let (side, words) = (config.image_size, config.max_tokens);
    let image: Vec<f64> = (0..batch * 3 * side * side).map(|_| reader.normal()).collect();
    let tokens: Vec<i32> = (0..batch * words).map(|i| (i * 7 % 11) as i32).collect();
    let word_mask: Vec<i32> = (0..batch * words).map(|i| i32::from(i < 8)).collect();
    let mask: Vec<i32> = (0..batch * side * side).map(|i| i32::from(i / 7 % 3 == 0)).collect();
    let mut write = |tensor, values: Values| {
        session.write(tensor, Slot::Value, values).expect("an input");
    };
    write(model.image, Values::F64(&image));
    write(model.tokens, Values::Index(&tokens));
    write(model.word_mask, Values::Index(&word_mask));
    write(losses.mask, Values::Index(&mask));
    Model { session, losses }
}

fn parameters(session: &CpuSession<f64>) -> Vec<(TensorId, Vec<f64>)> {
    let read = |id: TensorId| {
        let mut numbers = vec![0.0; session.graph().shape(id).len()];
        session.read(id, Slot::Value, ValuesMut::F64(&mut numbers)).expect("a parameter");
        (id, numbers)
    };
    session.graph().parameters().map(|(id, _)| read(id)).collect()
}

impl Model {
    fn loss(&mut self) -> f64 {
        self.session.forward(7).expect("a pass");
        let mut loss = [0.0];
        let read = self.session.read(self.losses.total, Slot::Value, ValuesMut::F64(&mut loss));
        read.expect("the loss");
        loss[0]
    }

    fn gradient(&self, id: TensorId) -> Vec<f64> {
        let mut numbers = vec![0.0; self.session.graph().shape(id).len()];
        let read = self.session.read(id, Slot::Gradient, ValuesMut::F64(&mut numbers));
        read.expect("a gradient");
        numbers
    }

    /// The loss with `parameters` moved by `h` along `directions`.
    fn moved(&mut self, parameters: &[Moved], h: f64) -> f64 {
        for Moved { id, numbers, direction } in parameters {
            let there: Vec<f64> = numbers.iter().zip(direction).map(|(x, d)| x + h * d).collect();
            self.session.write(*id, Slot::Value, Values::F64(&there)).expect("a parameter");
        }
        self.loss()
    }

    /// Fails unless backward's derivative along the directions is the limit of differences (of
    /// fourth order). A ReLU that switches within a step makes that step's difference wrong, so
    /// shorter steps follow until one agrees: a wrong gradient agrees with none.
    fn check(&mut self, what: &str, parameters: &[Moved], gradients: &[Vec<f64>], scale: f64) {
        let by_backward = parameters.iter().zip(gradients).map(|(moved, gradient)| {
            moved.direction.iter().zip(gradient).map(|(d, g)| d * g).sum::<f64>()
        });
        let by_backward: f64 = by_backward.sum();
        let mut tried = Vec::new();
        for h in [2e-5, 4e-6, 8e-7] {
            let near = self.moved(parameters, h) - self.moved(parameters, -h);
            let far = self.moved(parameters, 2.0 * h) - self.moved(parameters, -2.0 * h);
            let difference = (8.0 * near - far) / (12.0 * h);
            tried.push(difference);
            if (by_backward - difference).abs() <= 1e-6 * scale {
                self.moved(parameters, 0.0);
                return;
            }
        }
        panic!("{what}: backward says {by_backward}, differences {tried:?}, scale {scale}");
    }
}

/// A parameter, where it is, and where it is moved to.
struct Moved {
    id: TensorId,
    numbers: Vec<f64>,
    direction: Vec<f64>,
}

fn check(config: &Config) {
    let mut model = model(config);
    model.loss();
    model.session.backward(7, 1.0, false).expect("a pass");
    let trained = model.session.trained().to_vec();
    let all = parameters(&model.session);
    assert_eq!(trained.len(), all.len(), "every parameter has a gradient");
    let gradients: Vec<Vec<f64>> = trained.iter().map(|&id| model.gradient(id)).collect();
    let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
    let largest = gradients.iter().map(|g| norm(g)).fold(0.0, f64::max);
    let mut reader = Philox::new(4, 4).reader();
    let mut moved = Vec::new();
    for ((id, numbers), gradient) in all.into_iter().zip(&gradients) {
        let mut direction: Vec<f64> = numbers.iter().map(|_| reader.normal()).collect();
        let length = norm(&direction);
        direction.iter_mut().for_each(|d| *d /= length);
        let one = Moved { id, numbers, direction };
        let name = model.session.graph().get(id).name.clone();
        let one = [one];
        let scale = norm(gradient).max(1e-4 * largest);
        model.check(&name, &one, std::slice::from_ref(gradient), scale);
        moved.extend(one);
    }
    let scale = gradients.iter().map(|g| norm(g).powi(2)).sum::<f64>().sqrt();
    model.check("jointly", &moved, &gradients, scale);
}

#[test]
fn whole_model_with_dropout() {
    check(&tiny());
}

#[test]
fn standard_decoder() {
    check(&Config { calibration: false, ..tiny() });
}

#[test]
fn without_reconstruction() {
    check(&Config { reconstruction: false, ..tiny() });
}

#[test]
fn detached_words_get_no_gradient_from_the_reconstruction() {
    let config = Config { detach_words: true, w_seg: 0.0, ..tiny() };
    let mut model = model(&config);
    model.loss();
    model.session.backward(7, 1.0, false).expect("a pass");
    for name in ["reconstruction.words.0.weight", "text.global_proj.weight"] {
        let id = model.session.graph().find(name).expect("a parameter");
        assert!(!model.session.trained().contains(&id), "{name} has a gradient");
    }
}
