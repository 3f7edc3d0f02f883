//! The JSON line of an answer, and that of a failure.

use std::borrow::Cow;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::files::Files;
use super::pairs::{Item, Pair};
use super::predictor::Answer;
use crate::data::mask::Rle;
use crate::error::{Error, Result};

/// One line of output. Paths that are no Unicode are given with replacement characters.
#[derive(Serialize)]
struct AnswerLine<'a> {
    picture: Cow<'a, str>,
    phrase: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a Value>,
    /// `[height, width]`
    size: [usize; 2],
    /// Pixels in the mask.
    area: usize,
    /// `[x, y, width, height]`
    #[serde(rename = "box")]
    bounding_box: [usize; 4],
    rle: RleText,
    score: f64,
    milliseconds: f64,
    mask: Cow<'a, str>,
    overlay: Cow<'a, str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

/// Run lengths as COCO's tools take them.
#[derive(Serialize)]
struct RleText {
    size: [usize; 2],
    counts: String,
}

#[derive(Serialize)]
struct FailureLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    picture: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phrase: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a Value>,
    error: String,
}

/// The line of an answer whose files were written.
pub fn answer(pair: &Pair, answer: &Answer, files: &Files) -> Result<String> {
    let mask = &answer.prediction.mask;
    let rle = Rle::from_mask(mask)?;
    let size = [mask.height, mask.width];
    to_text(&AnswerLine {
        picture: text(&pair.picture),
        phrase: &pair.phrase,
        id: pair.id.as_ref(),
        size,
        area: rle.area(),
        bounding_box: rle.bounding_box(),
        rle: RleText { size, counts: rle.to_text() },
        score: answer.prediction.score,
        milliseconds: answer.took.as_micros() as f64 / 1000.0,
        mask: text(&files.mask),
        overlay: text(&files.overlay),
        truncated: answer.truncated,
    })
}

/// The line of an item that failed: what is known of it, and why.
pub fn failure(item: &Item, error: &Error) -> Result<String> {
    let error = error.to_string();
    to_text(&match item {
        Item::Pair(pair) => FailureLine {
            line: None,
            picture: Some(text(&pair.picture)),
            phrase: Some(&pair.phrase),
            id: pair.id.as_ref(),
            error,
        },
        Item::Unreadable { line, .. } => {
            FailureLine { line: Some(*line), picture: None, phrase: None, id: None, error }
        }
    })
}

fn text(path: &Path) -> Cow<'_, str> {
    path.to_string_lossy()
}

fn to_text(line: &impl Serialize) -> Result<String> {
    serde_json::to_string(line).map_err(|error| Error::numeric(format!("as JSON: {error}")))
}
