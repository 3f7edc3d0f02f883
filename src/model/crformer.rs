//! The whole model as a graph, for training or for inference.

use super::config::Config;
use super::decoder::{self, decoder};
use super::fusion::fusion;
use super::neck::neck;
use super::reconstruction::{Reconstruction, reconstruction};
use super::swin;
use super::text::{Text, global_feature, text};
use crate::error::Result;
use crate::graph::{Graph, TensorId};
use crate::nn::Scope;
use crate::nn::linear::conv3x3;
use crate::op::add::Add;
use crate::op::contract::TensorType;
use crate::op::cross_entropy::CrossEntropy;
use crate::op::resize::Resize;
use crate::op::weighted_sum::WeightedSum;

/// What a graph is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Build {
    pub batch: usize,
    /// Whether the losses are computed. Without, the graph has no node for the last calibration
    /// and the reconstruction.
    pub losses: bool,
    /// Whether drop path and dropout are on, at the rates of the configuration.
    pub dropout: bool,
    /// Whether what is hidden in the MLPs stays for the backward pass, or is made again: less memory, a
    /// product more. The CPU gives the same bits.
    pub keep_hidden: bool,
    /// Side of the square the logits are upsampled to, if they are wanted in full size.
    pub upsampled: Option<usize>,
}

impl Build {
    /// One step of training.
    pub fn training(batch: usize) -> Self {
        Self { batch, losses: true, dropout: true, keep_hidden: true, upsampled: None }
    }

    /// Logits on the grid only.
    pub fn inference(batch: usize) -> Self {
        Self { batch, losses: false, dropout: false, keep_hidden: true, upsampled: None }
    }
}

/// The scalars of a training graph.
#[derive(Clone, Copy, Debug)]
pub struct Losses {
    /// index `[B, S, S]`: 1 on the object's pixels
    pub mask: TensorId,
    /// `w_seg L_seg + w_re L_re` (eq. 15)
    pub total: TensorId,
    pub segmentation: TensorId,
    pub reconstruction: Option<TensorId>,
    /// `F_re` and `F_pt` `[B, C]`, whose size tells whether both shrink to nothing.
    pub features: Option<[TensorId; 2]>,
}

/// CRFormer: its graph, and the tensors to write and read.
#[derive(Debug)]
pub struct Crformer {
    pub graph: Graph,
    /// `[B, 3, S, S]`, normalised
    pub image: TensorId,
    /// index `[B, L]`
    pub tokens: TensorId,
    /// index `[B, L]`
    pub word_mask: TensorId,
    /// `[B, Hv, Wv, 2]`
    pub logits_grid: TensorId,
    /// `[B, side, side, 2]`
    pub logits: Option<TensorId>,
    pub losses: Option<Losses>,
}

impl Crformer {
    pub fn new(config: &Config, build: Build) -> Result<Self> {
        config.check()?;
        let mut graph = Graph::new();
        let mut scope = Scope::root(&mut graph);
        let (batch, side, words) = (build.batch, config.image_size, config.max_tokens);
        let image = scope.input("image", TensorType::activation([batch, 3, side, side]))?;
        let tokens = scope.input("tokens", TensorType::index([batch, words]))?;
        let word_mask = scope.input("word_mask", TensorType::index([batch, words]))?;

        let text = text(&mut scope, config, tokens, word_mask)?;
        let fused = encode(&mut scope, config, image, text.words, word_mask, build.dropout)?;
        let map = neck(&mut scope, config, fused)?;
        let inputs = decoder::Inputs { words: text.words, word_mask, map };
        let needs_queries = build.losses && config.reconstruction;
        let decoded = decoder(&mut scope, config, inputs, needs_queries, build.dropout)?;
        let logits_grid = conv3x3(&mut scope, "head", decoded.map, 2)?;
        let logits = match build.upsampled {
            Some(side) => {
                let op = Resize { height: side, width: side, align_corners: true };
                Some(scope.add("logits", op, &[logits_grid])?)
            }
            None => None,
        };
        let losses = match build.losses {
            true => {
                let of = Predicted { text, word_mask, queries: decoded.queries, logits_grid };
                Some(losses(&mut scope, config, build, of)?)
            }
            false => None,
        };
        let read = [Some(logits_grid), logits].into_iter().chain(losses.iter().flat_map(outputs));
        read.flatten().for_each(|tensor| graph.output(tensor));
        if !build.keep_hidden {
            graph.recompute_hidden()?;
        }
        Ok(Self { graph, image, tokens, word_mask, logits_grid, logits, losses })
    }
}

/// Eq. (1): the stages of the image encoder with words fused between them; `F_v2, F_v3, F_v4`.
fn encode(
    scope: &mut Scope,
    config: &Config,
    image: TensorId,
    words: TensorId,
    word_mask: TensorId,
    drop: bool,
) -> Result<[TensorId; 3]> {
    let patches = swin::patch_embedding(scope, config, image)?;
    let v1 = swin::stage(scope, config, 0, patches, drop)?;
    let v2 = swin::stage(scope, config, 1, v1, drop)?;
    let f_v2 = fusion(scope, config, 1, v2, words, word_mask)?;
    let inp = scope.add("fusion.1.added", Add { relu: true }, &[v2, f_v2])?;
    let v3 = swin::stage(scope, config, 2, inp, drop)?;
    let f_v3 = fusion(scope, config, 2, v3, words, word_mask)?;
    let inp = scope.add("fusion.2.added", Add { relu: true }, &[v3, f_v3])?;
    let v4 = swin::stage(scope, config, 3, inp, drop)?;
    let f_v4 = fusion(scope, config, 3, v4, words, word_mask)?;
    Ok([f_v2, f_v3, f_v4])
}

/// What the losses are computed from.
struct Predicted {
    text: Text,
    word_mask: TensorId,
    queries: Option<TensorId>,
    logits_grid: TensorId,
}

fn losses(scope: &mut Scope, config: &Config, build: Build, of: Predicted) -> Result<Losses> {
    let side = config.image_size;
    let mask = scope.input("mask", TensorType::index([build.batch, side, side]))?;
    let op = CrossEntropy { class_weights: config.class_weights };
    let segmentation = scope.add("loss_seg", op, &[of.logits_grid, mask])?;
    let Some(queries) = of.queries else {
        let op = WeightedSum { weights: vec![config.w_seg] };
        let total = scope.add("loss", op, &[segmentation])?;
        return Ok(Losses { mask, total, segmentation, reconstruction: None, features: None });
    };
    let global = global_feature(scope, config, of.text.hidden)?;
    let words = of.text.words;
    let Reconstruction { from_queries, from_words, loss } =
        reconstruction(scope, config, queries, words, global, of.word_mask)?;
    let op = WeightedSum { weights: vec![config.w_seg, config.w_re] };
    let total = scope.add("loss", op, &[segmentation, loss])?;
    let features = Some([from_queries, from_words]);
    Ok(Losses { mask, total, segmentation, reconstruction: Some(loss), features })
}

fn outputs(losses: &Losses) -> Vec<Option<TensorId>> {
    let mut outputs = vec![Some(losses.total), Some(losses.segmentation), losses.reconstruction];
    outputs.extend(losses.features.iter().flatten().map(|&t| Some(t)));
    outputs
}
