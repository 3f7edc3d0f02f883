//! One look at a model: logits, losses and every parameter's gradient for given inputs, to compare
//! with other implementations.

use std::path::Path;

use crate::error::{Error, Result};
use crate::exec::{Machine, Session, Slot, Values, ValuesMut};
use crate::graph::{Reverse, TensorId};
use crate::model::folder::ModelFolder;
use crate::model::{Build, Crformer, Losses};
use crate::weights::TensorFile;
use crate::weights::save::{Entry, save};

/// Reads a model folder and `image`, `tokens`, `word_mask`, `mask` from `inputs`; writes
/// `logits [B, 2, S, S]`, `loss`, `loss_seg`, `loss_re` and `grad.<parameter>` for every parameter
/// of the weights' file, zeros where no gradient flows. Drop path and dropout are off.
///
/// # Errors
/// Files that do not fit together; see [`ModelFolder::load`].
pub fn probe(model_dir: &Path, inputs: &Path, out: &Path, machine: &Machine) -> Result<()> {
    let folder = ModelFolder::open(model_dir)?;
    let inputs = Inputs::read(inputs, &folder)?;
    let (batch, side) = (inputs.batch, folder.config.image_size);
    let build = Build { batch, losses: true, dropout: false, upsampled: Some(side) };
    let mut model = Crformer::new(&folder.config, build)?;
    let losses = model.losses.take().ok_or_else(|| Error::usage("a graph without losses"))?;
    let logits = model.logits.ok_or_else(|| Error::usage("a graph without logits"))?;
    let reverse = Reverse::new(&model.graph, losses.total, |name| name != "image")?;
    let mut session = machine.session(model.graph, Some(reverse), 0)?;
    folder.load(session.as_mut())?;
    session.write(model.image, Slot::Value, Values::F64(&inputs.image))?;
    session.write(model.tokens, Slot::Value, Values::Index(&inputs.tokens))?;
    session.write(model.word_mask, Slot::Value, Values::Index(&inputs.word_mask))?;
    session.write(losses.mask, Slot::Value, Values::Index(&inputs.mask))?;
    session.forward(0)?;
    session.backward(0, 1.0, false)?;
    let double = matches!(machine, Machine::CpuInDouble);
    write(&folder, session.as_ref(), logits, &losses, [batch, side], (out, double))
}

/// The tensors of an inputs file, checked against the model's sizes.
struct Inputs {
    batch: usize,
    image: Vec<f64>,
    tokens: Vec<i32>,
    word_mask: Vec<i32>,
    mask: Vec<i32>,
}

impl Inputs {
    fn read(path: &Path, folder: &ModelFolder) -> Result<Self> {
        let file = TensorFile::open(path)?;
        let extents = |name: &str| file.extents(name).ok_or_else(|| file.missing(name));
        let batch = extents("image")?.first().copied().unwrap_or(0);
        let config = &folder.config;
        let (side, words) = (config.image_size, config.max_tokens);
        let expected = [
            ("image", vec![batch, 3, side, side]),
            ("tokens", vec![batch, words]),
            ("word_mask", vec![batch, words]),
            ("mask", vec![batch, side, side]),
        ];
        for (name, expected) in expected {
            let found = extents(name)?;
            if found != expected || batch == 0 {
                let message = format!("tensor {name} is {found:?}, expected {expected:?}");
                return Err(Error::data(path, message));
            }
        }
        let tokens = file.index("tokens")?;
        let beyond = |&id: &i32| usize::try_from(id).map_or(true, |id| id >= config.vocab_size);
        if let Some(id) = tokens.iter().copied().find(beyond) {
            let size = config.vocab_size;
            return Err(Error::data(path, format!("token id {id} in a vocabulary of {size}")));
        }
        for name in ["word_mask", "mask"] {
            if let Some(x) = file.index(name)?.into_iter().find(|x| !matches!(x, 0 | 1)) {
                return Err(Error::data(path, format!("tensor {name} holds {x}, expected 0 or 1")));
            }
        }
        Ok(Self {
            batch,
            image: file.real("image")?,
            tokens,
            word_mask: file.index("word_mask")?,
            mask: file.index("mask")?,
        })
    }
}

/// Where a written tensor's numbers come from.
enum Source {
    Scalar(TensorId),
    /// `[B, S, S, 2]`, to be written as `[B, 2, S, S]`
    Logits(TensorId),
    Gradient(TensorId),
    Zeros,
}

fn write(
    folder: &ModelFolder,
    session: &dyn Session,
    logits: TensorId,
    losses: &Losses,
    [batch, side]: [usize; 2],
    (out, double): (&Path, bool),
) -> Result<()> {
    let mut entries = vec![Entry::new("logits", &[batch, 2, side, side], double)];
    let mut sources = vec![Source::Logits(logits)];
    let scalars = [
        ("loss", Some(losses.total)),
        ("loss_seg", Some(losses.segmentation)),
        ("loss_re", losses.reconstruction),
    ];
    for (name, tensor) in scalars {
        entries.push(Entry::new(name, &[], double));
        sources.push(tensor.map_or(Source::Zeros, Source::Scalar));
    }
    let trained = session.trained();
    for name in folder.weights.names() {
        let of_graph = session.graph().find(&name);
        let extents = match of_graph {
            Some(id) => session.graph().shape(id).extents().to_vec(),
            None => folder.weights.extents(&name).unwrap_or_default(),
        };
        entries.push(Entry::new(&format!("grad.{name}"), &extents, double));
        let flows = of_graph.filter(|id| trained.contains(id));
        sources.push(flows.map_or(Source::Zeros, Source::Gradient));
    }
    save(out, &[], &entries, |i, room| match sources[i] {
        Source::Scalar(tensor) => session.read(tensor, Slot::Value, ValuesMut::F64(room)),
        Source::Gradient(tensor) => session.read(tensor, Slot::Gradient, ValuesMut::F64(room)),
        Source::Logits(tensor) => {
            session.read(tensor, Slot::Value, ValuesMut::F64(room))?;
            planar(room, side * side);
            Ok(())
        }
        Source::Zeros => {
            room.fill(0.0);
            Ok(())
        }
    })
}

/// `[B, places, 2]` to `[B, 2, places]`.
fn planar(logits: &mut [f64], places: usize) {
    for image in logits.chunks_exact_mut(2 * places) {
        let of_class = |class| image.iter().skip(class).step_by(2).copied();
        let turned: Vec<f64> = of_class(0).chain(of_class(1)).collect();
        image.copy_from_slice(&turned);
    }
}
