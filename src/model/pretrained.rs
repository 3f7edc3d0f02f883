//! Pretrained backbones into a new model: public Swin and BERT weights for `visual.*` and `text.*`.

use std::path::Path;

use super::config::Config;
use crate::error::{Error, Result};
use crate::exec::{Session, Slot, Values};
use crate::weights::TensorFile;
use crate::weights::pretrained::{self, Sources, gather};

/// Writes the image encoder's parameters from a safetensors file with Microsoft's, timm's or
/// Hugging Face's names.
///
/// # Errors
/// A tensor that is missing or has the sizes of another model.
pub fn load_swin(session: &mut dyn Session, config: &Config, path: &Path) -> Result<()> {
    let file = TensorFile::open(path)?;
    load(session, &file, pretrained::swin(&file, config.swin_depths)?)
}

/// Writes the text encoder's parameters (but for `text.proj` and `text.global_proj`, which BERT
/// does not have) from a safetensors file with Hugging Face's names.
///
/// # Errors
/// As for [`load_swin`].
pub fn load_bert(session: &mut dyn Session, config: &Config, path: &Path) -> Result<()> {
    let file = TensorFile::open(path)?;
    load(session, &file, pretrained::bert(&file, config.text_layers)?)
}

fn load(session: &mut dyn Session, file: &TensorFile, sources: Sources) -> Result<()> {
    for (ours, theirs) in sources {
        let id = session.graph().find(&ours).ok_or_else(|| {
            Error::usage(format!("the configured model has no tensor {ours} to be pretrained"))
        })?;
        let extents = session.graph().shape(id).extents().to_vec();
        let numbers = gather(file, &ours, &theirs, &extents)?;
        session.write(id, Slot::Value, Values::F64(&numbers))?;
    }
    Ok(())
}
