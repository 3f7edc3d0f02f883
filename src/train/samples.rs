//! What the model will see, to look at and to compare with other implementations.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde_json::{Value, json};

use super::phrases::{Split, SplitPlace};
use crate::data::image::{write_mask_png, write_png};
use crate::data::mask::{Mask, Rle};
use crate::data::wordpiece::Tokenizer;
use crate::error::{Error, Result};
use crate::file::write_whole;

pub const LINES: &str = "samples.jsonl";

/// Writes the first `count` samples (all, if none is given): every sentence of every reference in
/// order. For each reference `<number>-image.png` and `<number>-mask.png` at the model's size, and
/// for each sentence a line in `samples.jsonl` with the mask as COCO run lengths at the picture's
/// own size. Returns how many samples there are, and what the user should be told.
pub fn write(
    place: SplitPlace,
    tokenizer: &Tokenizer,
    count: Option<usize>,
    out: &Path,
) -> Result<(usize, Vec<String>)> {
    let split = Split::open(place, tokenizer)?;
    fs::create_dir_all(out).map_err(|e| Error::io(out, "making the folder", e))?;
    let path = out.join(LINES);
    let mut failure = None;
    let (mut left, mut written) = (count.unwrap_or(usize::MAX), 0);
    let lines = write_whole(&path, |file: &mut BufWriter<fs::File>| {
        for at in 0..split.referred.len() {
            if left == 0 {
                break;
            }
            let lines = match reference(&split, at, out) {
                Ok(lines) => lines,
                Err(error) => {
                    failure = Some(error);
                    return Err(std::io::Error::other("a sample could not be made"));
                }
            };
            for line in lines.into_iter().take(left) {
                writeln!(file, "{line}")?;
                left -= 1;
                written += 1;
            }
        }
        Ok(())
    });
    match failure {
        Some(error) => Err(error),
        None => lines.map(|()| (written, split.notes.clone())),
    }
}

/// Writes the pictures of a reference and gives the lines of its sentences.
fn reference(split: &Split, at: usize, out: &Path) -> Result<Vec<Value>> {
    let (picture, mask) = split.view(at)?;
    let side = split.place().image_size;
    let [image_name, mask_name] = ["image", "mask"].map(|what| format!("{at:06}-{what}.png"));
    write_png(&out.join(&image_name), &picture)?;
    write_mask_png(&out.join(&mask_name), &mask.resize_nearest(side, side).pixels, side, side)?;
    let run_lengths = run_lengths(&mask)?;
    let referred = &split.referred[at];
    let reference = &referred.reference;
    let line = |phrase: &super::phrases::Phrase| {
        json!({
            "ref_id": reference.ref_id,
            "ann_id": reference.ann_id,
            "image_id": reference.image_id,
            "sent_id": phrase.sent_id,
            "sentence": phrase.raw,
            "tokens": phrase.tokens.ids,
            "word_mask": phrase.tokens.word_mask,
            "mask": run_lengths,
            "image_png": image_name,
            "mask_png": mask_name,
        })
    };
    Ok(referred.phrases.iter().map(line).collect())
}

/// As pycocotools has it: `size` is height and width.
fn run_lengths(mask: &Mask) -> Result<Value> {
    let counts = Rle::from_mask(mask)?.to_text();
    Ok(json!({"size": [mask.height, mask.width], "counts": counts}))
}
