//! Public weights under their own names, translated to ours: Swin as Microsoft's, timm's and
//! Hugging Face's files have it, BERT as Hugging Face's has it.

use std::collections::BTreeMap;

use super::read::TensorFile;
use crate::error::{Error, Result};

/// A tensor of ours and where its rows come from: the named tensors of the file, one after the
/// other (three for a query-key-value projection that the file keeps apart).
pub type Sources = BTreeMap<String, Vec<String>>;

/// Whose names a file of Swin weights uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SwinNames {
    /// Microsoft's and old timm's: patch merging at the end of a stage.
    Official,
    /// timm from 0.9 on: patch merging at the start of the next stage.
    Timm,
    HuggingFace,
}

/// Where each of our `visual.*` tensors comes from in a file of Swin weights with these `depths`.
pub fn swin(file: &TensorFile, depths: [usize; 4]) -> Result<Sources> {
    let names = file.names();
    let has = |part: &str| names.iter().any(|name| name.contains(part));
    let style = match () {
        () if has("encoder.layers.") => SwinNames::HuggingFace,
        () if has("layers.3.downsample.") => SwinNames::Timm,
        () if has("layers.0.downsample.") => SwinNames::Official,
        () => {
            let message = "no Swin weights: no tensor is called layers.0.downsample.*, \
                           layers.3.downsample.* or encoder.layers.*";
            return Err(Error::data(file.path(), message));
        }
    };
    let prefix = prefix(
        &names,
        if style == SwinNames::HuggingFace { "embeddings." } else { "patch_embed." },
    );
    let mut sources = Sources::new();
    let mut put = |ours: String, theirs: Vec<String>| {
        sources.insert(ours, theirs.iter().map(|name| format!("{prefix}{name}")).collect());
    };
    let hugging_face = style == SwinNames::HuggingFace;
    for kind in ["weight", "bias"] {
        let (projection, norm) = match hugging_face {
            true => ("embeddings.patch_embeddings.projection", "embeddings.norm"),
            false => ("patch_embed.proj", "patch_embed.norm"),
        };
        put(format!("visual.patch_embed.proj.{kind}"), vec![format!("{projection}.{kind}")]);
        put(format!("visual.patch_embed.norm.{kind}"), vec![format!("{norm}.{kind}")]);
    }
    let layers = if hugging_face { "encoder.layers" } else { "layers" };
    for (stage, depth) in depths.into_iter().enumerate() {
        if stage > 0 {
            let at = if style == SwinNames::Timm { stage } else { stage - 1 };
            for part in ["norm.weight", "norm.bias", "reduction.weight"] {
                let theirs = format!("{layers}.{at}.downsample.{part}");
                put(format!("visual.stages.{stage}.merge.{part}"), vec![theirs]);
            }
        }
        for block in 0..depth {
            let ours = format!("visual.stages.{stage}.blocks.{block}");
            let theirs = format!("{layers}.{stage}.blocks.{block}");
            for (part, names) in swin_block(&names, &format!("{prefix}{theirs}"), hugging_face) {
                let theirs = names.iter().map(|name| format!("{theirs}.{name}")).collect();
                put(format!("{ours}.{part}"), theirs);
            }
        }
    }
    Ok(sources)
}

/// Our name and theirs of each tensor of a block.
fn swin_block(names: &[String], block: &str, hugging_face: bool) -> Vec<(String, Vec<String>)> {
    let mut pairs = Vec::new();
    // transformers 5 renamed the parts of a block.
    let new = names.iter().any(|name| name.starts_with(&format!("{block}.attention.q_proj.")));
    let table = match (hugging_face, new) {
        (false, _) => "attn.relative_position_bias_table",
        (true, false) => "attention.self.relative_position_bias_table",
        (true, true) => "attention.relative_position_bias.relative_position_bias_table",
    };
    pairs.push(("attn.relative_position_bias.weight".to_owned(), vec![table.to_owned()]));
    let qkv: &[&str] = match (hugging_face, new) {
        (false, _) => &["attn.qkv"],
        (true, false) => &["attention.self.query", "attention.self.key", "attention.self.value"],
        (true, true) => &["attention.q_proj", "attention.k_proj", "attention.v_proj"],
    };
    let parts: [(&str, &[&str]); 6] = match (hugging_face, new) {
        (false, _) => [
            ("norm1", &["norm1"]),
            ("attn.qkv", qkv),
            ("attn.proj", &["attn.proj"]),
            ("norm2", &["norm2"]),
            ("mlp.fc1", &["mlp.fc1"]),
            ("mlp.fc2", &["mlp.fc2"]),
        ],
        (true, false) => [
            ("norm1", &["layernorm_before"]),
            ("attn.qkv", qkv),
            ("attn.proj", &["attention.output.dense"]),
            ("norm2", &["layernorm_after"]),
            ("mlp.fc1", &["intermediate.dense"]),
            ("mlp.fc2", &["output.dense"]),
        ],
        (true, true) => [
            ("norm1", &["layernorm_before"]),
            ("attn.qkv", qkv),
            ("attn.proj", &["attention.o_proj"]),
            ("norm2", &["layernorm_after"]),
            ("mlp.fc1", &["mlp.fc1"]),
            ("mlp.fc2", &["mlp.fc2"]),
        ],
    };
    for kind in ["weight", "bias"] {
        for (ours, theirs) in parts {
            let theirs = theirs.iter().map(|name| format!("{name}.{kind}")).collect();
            pairs.push((format!("{ours}.{kind}"), theirs));
        }
    }
    pairs
}

/// Where each of our `text.*` tensors of BERT comes from.
pub fn bert(file: &TensorFile, layers: usize) -> Result<Sources> {
    let names = file.names();
    if !names.iter().any(|name| name.ends_with("embeddings.word_embeddings.weight")) {
        let message = "no BERT weights: no tensor is called embeddings.word_embeddings.weight";
        return Err(Error::data(file.path(), message));
    }
    let prefix = prefix(&names, "embeddings.word_embeddings.");
    let mut sources = Sources::new();
    let mut put = |ours: &str, theirs: &[String]| {
        sources.insert(
            format!("text.{ours}"),
            theirs.iter().map(|name| format!("{prefix}{name}")).collect(),
        );
    };
    // Old files call a norm's weight gamma and its bias beta.
    let legacy = names.iter().any(|name| name.ends_with("LayerNorm.gamma"));
    let norm_kind = |kind: &str| match (legacy, kind) {
        (true, "weight") => "gamma".to_owned(),
        (true, _) => "beta".to_owned(),
        (false, kind) => kind.to_owned(),
    };
    for table in ["word", "position", "token_type"] {
        let theirs = format!("embeddings.{table}_embeddings.weight");
        put(&format!("embeddings.{table}.weight"), &[theirs]);
    }
    for kind in ["weight", "bias"] {
        let norm = norm_kind(kind);
        put(&format!("embeddings.norm.{kind}"), &[format!("embeddings.LayerNorm.{norm}")]);
        for i in 0..layers {
            let (ours, theirs) = (format!("layers.{i}"), format!("encoder.layer.{i}"));
            let qkv = ["query", "key", "value"]
                .map(|part| format!("{theirs}.attention.self.{part}.{kind}"));
            put(&format!("{ours}.attn.qkv.{kind}"), &qkv);
            let parts = [
                ("attn.proj", "attention.output.dense", kind),
                ("attn_norm", "attention.output.LayerNorm", norm.as_str()),
                ("mlp.fc1", "intermediate.dense", kind),
                ("mlp.fc2", "output.dense", kind),
                ("mlp_norm", "output.LayerNorm", norm.as_str()),
            ];
            for (part, name, their_kind) in parts {
                put(&format!("{ours}.{part}.{kind}"), &[format!("{theirs}.{name}.{their_kind}")]);
            }
        }
    }
    Ok(sources)
}

/// What stands before `part` in the file's names, such as `swin.` or `bert.`.
fn prefix(names: &[String], part: &str) -> String {
    let found = names.iter().filter_map(|name| name.find(part).map(|at| &name[..at]));
    found.min_by_key(|prefix| prefix.len()).unwrap_or_default().to_owned()
}

/// The numbers of one of our tensors, its sources' rows one after the other.
///
/// # Errors
/// A source that is missing, or another number of elements than `extents` has.
pub fn gather(
    file: &TensorFile,
    ours: &str,
    theirs: &[String],
    extents: &[usize],
) -> Result<Vec<f64>> {
    let mut numbers = Vec::new();
    for name in theirs {
        numbers.extend(file.real(name)?);
    }
    let expected: usize = extents.iter().product();
    if numbers.len() != expected {
        let found: Vec<String> = theirs
            .iter()
            .map(|n| format!("{n} {:?}", file.extents(n).unwrap_or_default()))
            .collect();
        let message = format!(
            "{ours} {extents:?} cannot be made of {}: is this the model size of the configuration?",
            found.join(", ")
        );
        return Err(Error::data(file.path(), message));
    }
    Ok(numbers)
}
