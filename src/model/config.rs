//! Every size of the model: `config.json` beside the weights.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Sizes and settings; the paper's values are `Config::default()`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Side of the square image, pixels; a multiple of 32.
    pub image_size: usize,
    /// Word positions, the two special tokens included.
    pub max_tokens: usize,
    pub vocab_size: usize,
    pub text_positions: usize,
    pub text_types: usize,
    pub text_layers: usize,
    pub text_width: usize,
    pub text_heads: usize,
    pub text_hidden: usize,
    pub patch_size: usize,
    /// Channels of the first stage; each next one has twice as many.
    pub swin_width: usize,
    pub swin_depths: [usize; 4],
    pub swin_heads: [usize; 4],
    pub swin_window: usize,
    pub swin_mlp_ratio: usize,
    /// Channels of neck, queries and decoder.
    pub width: usize,
    pub queries: usize,
    pub decoder_layers: usize,
    pub decoder_heads: usize,
    pub decoder_hidden: usize,
    /// Whether queries are recalibrated after each decoder layer (eq. 12).
    pub calibration: bool,
    /// Whether the reconstruction loss is trained (eq. 13-15).
    pub reconstruction: bool,
    /// Stops the reconstruction loss's gradient into the words.
    pub detach_words: bool,
    /// Rate of stochastic depth of the last Swin block.
    pub drop_path: f64,
    /// Rate of dropout on the decoder's branches.
    pub dropout: f64,
    /// Of background and object pixels in the cross-entropy.
    pub class_weights: [f64; 2],
    pub w_seg: f64,
    pub w_re: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            image_size: 480,
            max_tokens: 20,
            vocab_size: 30522,
            text_positions: 512,
            text_types: 2,
            text_layers: 12,
            text_width: 768,
            text_heads: 12,
            text_hidden: 3072,
            patch_size: 4,
            swin_width: 128,
            swin_depths: [2, 2, 18, 2],
            swin_heads: [4, 8, 16, 32],
            swin_window: 12,
            swin_mlp_ratio: 4,
            width: 512,
            queries: 24,
            decoder_layers: 3,
            decoder_heads: 8,
            decoder_hidden: 2048,
            calibration: true,
            reconstruction: true,
            detach_words: false,
            drop_path: 0.3,
            dropout: 0.0,
            class_weights: [0.9, 1.1],
            w_seg: 1.0,
            w_re: 0.1,
        }
    }
}

impl Config {
    /// Reads and checks `config.json`.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, "reading", e))?;
        let config: Self = serde_json::from_str(&text).map_err(|e| Error::data(path, e))?;
        config.check().map_err(|e| Error::data(path, e))?;
        Ok(config)
    }

    /// The file's text.
    pub fn to_json(&self) -> String {
        let text = serde_json::to_string_pretty(self);
        text.expect("numbers, flags and arrays of them are always JSON") + "\n"
    }

    /// Whether the sizes fit together.
    pub fn check(&self) -> Result<()> {
        self.check_ranges()?;
        require(self.patch_size == 4, || {
            format!("patch_size is {}, only 4 is built", self.patch_size)
        })?;
        require(self.image_size.is_multiple_of(32), || {
            format!("image_size is {}, it must be a multiple of 32", self.image_size)
        })?;
        require(self.max_tokens <= self.text_positions, || {
            let (tokens, positions) = (self.max_tokens, self.text_positions);
            format!("max_tokens is {tokens}, but there are only {positions} text_positions")
        })?;
        require(self.width.is_multiple_of(4), || {
            format!("width is {}, it must be a multiple of 4", self.width)
        })?;
        self.check_heads()?;
        self.check_rates()
    }

    /// Each size on its own: far beyond any model, but no graph takes forever to be laid out.
    fn check_ranges(&self) -> Result<()> {
        let sizes = [
            ("image_size", self.image_size, 1, 1 << 12),
            ("max_tokens", self.max_tokens, 1, 1 << 12),
            ("vocab_size", self.vocab_size, 1, 1 << 22),
            ("text_positions", self.text_positions, 1, 1 << 16),
            ("text_types", self.text_types, 1, 1 << 10),
            ("text_layers", self.text_layers, 0, 1 << 10),
            ("text_heads", self.text_heads, 1, 1 << 10),
            ("text_width", self.text_width, 1, 1 << 14),
            ("text_hidden", self.text_hidden, 1, 1 << 16),
            ("patch_size", self.patch_size, 1, 1 << 12),
            ("swin_width", self.swin_width, 1, 1 << 12),
            ("swin_window", self.swin_window, 1, 1 << 8),
            ("swin_mlp_ratio", self.swin_mlp_ratio, 1, 1 << 6),
            ("width", self.width, 1, 1 << 14),
            ("queries", self.queries, 1, 1 << 12),
            ("decoder_layers", self.decoder_layers, 0, 1 << 10),
            ("decoder_heads", self.decoder_heads, 1, 1 << 10),
            ("decoder_hidden", self.decoder_hidden, 1, 1 << 16),
        ];
        sizes.into_iter().try_for_each(|(key, size, least, most)| {
            require((least..=most).contains(&size), || {
                format!("{key} is {size}, it must lie in {least} ..= {most}")
            })
        })
    }

    fn check_heads(&self) -> Result<()> {
        let mut pairs = vec![
            ("text_width", self.text_width, "text_heads", self.text_heads),
            ("width", self.width, "decoder_heads", self.decoder_heads),
        ];
        for stage in 0..4 {
            let width = self.stage_width(stage);
            pairs.push(("width of a Swin stage", width, "swin_heads", self.swin_heads[stage]));
        }
        for (of, width, key, heads) in pairs {
            require(heads >= 1 && width.is_multiple_of(heads), || {
                format!("{of} {width} cannot be split into {key} = {heads}")
            })?;
        }
        require(self.swin_depths.iter().all(|&depth| depth <= 1 << 10), || {
            format!("swin_depths are {:?}, one is beyond 1024 blocks", self.swin_depths)
        })
    }

    fn check_rates(&self) -> Result<()> {
        for (key, rate) in [("drop_path", self.drop_path), ("dropout", self.dropout)] {
            require((0.0..1.0).contains(&rate), || {
                format!("{key} is {rate}, it must lie in 0 .. 1 (1 excluded)")
            })?;
        }
        let weights = [("w_seg", self.w_seg), ("w_re", self.w_re)];
        for (key, weight) in weights {
            require(weight.is_finite() && weight >= 0.0, || {
                format!("{key} is {weight}, it must be a number of at least 0")
            })?;
        }
        require(self.class_weights.iter().all(|w| w.is_finite() && *w > 0.0), || {
            format!("class_weights are {:?}, they must be larger than 0", self.class_weights)
        })
    }

    /// Channels of a Swin stage, counted from 0.
    pub fn stage_width(&self, stage: usize) -> usize {
        self.swin_width << stage
    }

    /// Side of the grid of the decoder and of the logits, `S / 16`.
    pub fn grid(&self) -> usize {
        self.image_size / 16
    }
}

fn require(holds: bool, otherwise: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::usage(otherwise())) }
}
