//! A model on disk: a folder with `config.json`, `model.safetensors` and the tokenizer's file.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::config::Config;
use super::initial;
use crate::error::{Error, Result};
use crate::exec::{Session, Slot, Values};
use crate::graph::{Graph, Initial, Origin, TensorId};
use crate::weights::TensorFile;
use crate::weights::adapt::resize_places;

pub const CONFIG: &str = "config.json";
pub const WEIGHTS: &str = "model.safetensors";

/// A folder with a model, its sizes read and its weights open.
pub struct ModelFolder {
    pub path: PathBuf,
    pub config: Config,
    pub weights: TensorFile,
}

impl ModelFolder {
    pub fn open(path: &Path) -> Result<Self> {
        if !path.is_dir() {
            let needed = format!("no such folder; a model is a folder with {CONFIG}, {WEIGHTS}");
            return Err(Error::data(path, needed));
        }
        let config = Config::read(&path.join(CONFIG))?;
        let weights = TensorFile::open(&path.join(WEIGHTS))?;
        Ok(Self { path: path.to_owned(), config, weights })
    }

    /// Writes every parameter of the session's graph. Tensors that the graph has no use for are
    /// left alone (a graph for inference has fewer than the file).
    ///
    /// Returns what the user should be told: weights that had to be resized to the grid.
    ///
    /// # Errors
    /// A tensor that is missing or has another shape, or one that no model of this configuration
    /// has.
    pub fn load(&self, session: &mut dyn Session) -> Result<Vec<String>> {
        self.check(session.graph())?;
        let parameters: Vec<(TensorId, String, Vec<usize>)> = session
            .graph()
            .parameters()
            .map(|(id, t)| (id, t.name.clone(), t.of.shape.extents().to_vec()))
            .collect();
        let mut warnings = Vec::new();
        for (id, name, extents) in parameters {
            let found = self.weights.extents(&name).ok_or_else(|| self.weights.missing(&name))?;
            let mut numbers = self.weights.real(&name)?;
            if found != extents {
                let places = self.places(&name, &found, &extents)?;
                numbers = resize_places(&numbers, places.rows, places.from, places.to);
                warnings.push(format!(
                    "{name} was trained on another grid: resized from {found:?} to {extents:?}"
                ));
            }
            session.write(id, Slot::Value, Values::F64(&numbers))?;
        }
        Ok(warnings)
    }

    /// Whether the weights are those of `graph`: worth asking before a session takes memory for
    /// sizes that may be a mistake.
    ///
    /// # Errors
    /// As [`ModelFolder::load`], but for the type of the numbers.
    pub fn check(&self, graph: &Graph) -> Result<()> {
        for (_, tensor) in graph.parameters() {
            let (name, expected) = (&tensor.name, tensor.of.shape.extents());
            let found = self.weights.extents(name).ok_or_else(|| self.weights.missing(name))?;
            if found != expected {
                self.places(name, &found, expected)?;
            }
        }
        self.check_names()
    }

    /// How the spatial linear of a query generation module is brought to another grid.
    fn places(&self, name: &str, found: &[usize], expected: &[usize]) -> Result<Places> {
        let side = |places: usize| Some(places.isqrt()).filter(|s| s * s == places && *s > 0);
        if let (true, &[rows, from], &[wanted, to]) =
            (name.ends_with(".spatial.weight"), found, expected)
            && let (true, Some(from), Some(to)) = (rows == wanted, side(from), side(to))
        {
            return Ok(Places { rows, from, to });
        }
        let advice = "do config.json and the weights belong together?";
        let message = format!("tensor {name} is {found:?}, expected {expected:?}; {advice}");
        Err(Error::data(self.weights.path(), message))
    }

    /// Names that no graph of this configuration has are a sign of a wrong file.
    fn check_names(&self) -> Result<()> {
        let full = Config { calibration: true, reconstruction: true, ..self.config.clone() };
        let model = super::Crformer::new(&full, super::Build::training(1))?;
        match self.weights.names().into_iter().find(|name| {
            let known = model.graph.find(name);
            known.is_none_or(|id| !matches!(model.graph.get(id).origin, Origin::Parameter(_)))
        }) {
            None => Ok(()),
            Some(name) => {
                let message = format!("tensor {name} belongs to no CRFormer of this config.json");
                Err(Error::data(self.weights.path(), message))
            }
        }
    }
}

/// `rows` of `from x from` places to be resized to `to x to`.
struct Places {
    rows: usize,
    from: usize,
    to: usize,
}

/// Draws every parameter of the session's graph anew from a seed, several at a time.
pub fn initialise(session: &mut dyn Session, seed: u64) -> Result<()> {
    let parameters: Vec<(TensorId, Initial, String, usize)> = session
        .graph()
        .parameters()
        .filter_map(|(id, t)| match t.origin {
            Origin::Parameter(how) => Some((id, how, t.name.clone(), t.of.shape.len())),
            _ => None,
        })
        .collect();
    for some in parameters.chunks(rayon::current_num_threads() * 4) {
        let drawn: Vec<(TensorId, Vec<f32>)> = some
            .par_iter()
            .map(|(id, how, name, len)| (*id, initial::draw(*how, seed, name, *len)))
            .collect();
        for (id, numbers) in drawn {
            session.write(id, Slot::Value, Values::F32(&numbers))?;
        }
    }
    Ok(())
}
