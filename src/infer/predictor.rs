//! A model made ready to answer: loaded once, one picture and one phrase at a time.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::data::image::Picture;
use crate::data::resize::{normalise, resize};
use crate::data::wordpiece::Tokenizer;
use crate::error::{Error, Result};
use crate::exec::{Machine, Session, Slot, Values, ValuesMut};
use crate::graph::TensorId;
use crate::model::folder::ModelFolder;
use crate::model::prediction::{Prediction, predict};
use crate::model::{Build, Config, Crformer};

/// A model on a machine, with batch size 1.
pub struct Predictor {
    config: Config,
    tokenizer: Tokenizer,
    session: Box<dyn Session>,
    image: TensorId,
    tokens: TensorId,
    word_mask: TensorId,
    logits_grid: TensorId,
    grid: Vec<f32>,
}

/// A picture as the model takes it, with the size its masks will have.
pub struct Prepared {
    height: usize,
    width: usize,
    /// `[3, S, S]`
    image: Vec<f32>,
}

/// What the model says about one phrase.
pub struct Answer {
    pub prediction: Prediction,
    /// Whether the phrase had more tokens than the model has places and lost its end.
    pub truncated: bool,
    /// From the phrase to the mask: tokens, model, mask at the picture's size.
    pub took: Duration,
}

impl Predictor {
    /// Loads a model folder: `config.json`, `model.safetensors` and `vocab.txt` or
    /// `tokenizer.json`. Returns with it what the user should be told.
    ///
    /// # Errors
    /// Files that are missing, damaged or do not belong together.
    pub fn open(path: &Path, machine: &Machine) -> Result<(Self, Vec<String>)> {
        let folder = ModelFolder::open(path)?;
        let tokenizer = Tokenizer::load(path)?;
        let (ids, rows) = (tokenizer.vocab_size(), folder.config.vocab_size);
        if ids > rows {
            let message = format!(
                "its tokenizer has ids up to {}, but config.json says vocab_size {rows}; do they \
                 belong together?",
                ids - 1
            );
            return Err(Error::data(path, message));
        }
        let model = Crformer::new(&folder.config, Build::inference(1))?;
        folder.check(&model.graph)?;
        let Crformer { image, tokens, word_mask, logits_grid, .. } = model;
        let grid = vec![0.0; model.graph.shape(logits_grid).len()];
        let mut session = machine.session(model.graph, None, 0)?;
        let warnings = folder.load(session.as_mut())?;
        let config = folder.config;
        Ok((
            Self { config, tokenizer, session, image, tokens, word_mask, logits_grid, grid },
            warnings,
        ))
    }

    /// Resizes a picture to the model's and normalises it.
    pub fn prepare(&self, picture: &Picture) -> Result<Prepared> {
        let side = self.config.image_size;
        let image = normalise(&resize(picture, side, side)?);
        Ok(Prepared { height: picture.height, width: picture.width, image })
    }

    /// Where in the picture is what the phrase says?
    ///
    /// # Errors
    /// A phrase without a word, or weights that give a number that is not finite.
    pub fn answer(&mut self, picture: &Prepared, phrase: &str) -> Result<Answer> {
        let start = Instant::now();
        let tokens = self.tokenizer.encode(phrase, self.config.max_tokens)?;
        let session = self.session.as_mut();
        session.write(self.image, Slot::Value, Values::F32(&picture.image))?;
        session.write(self.tokens, Slot::Value, Values::Index(&tokens.ids))?;
        session.write(self.word_mask, Slot::Value, Values::Index(&tokens.word_mask))?;
        session.forward(0)?;
        session.read(self.logits_grid, Slot::Value, ValuesMut::F32(&mut self.grid))?;
        let prediction = predict(&self.grid, self.config.grid(), picture.height, picture.width)?;
        Ok(Answer { prediction, truncated: tokens.truncated, took: start.elapsed() })
    }
}
