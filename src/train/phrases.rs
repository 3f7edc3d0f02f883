//! A split of a REFER data set as the model takes it: phrases tokenized, pictures and masks made
//! when asked for.

use std::path::PathBuf;

use rayon::prelude::*;

use crate::data::image::{Picture, read as read_picture};
use crate::data::loader::Sample;
use crate::data::mask::{Mask, Overlap};
use crate::data::refer::{ReferDataset, Reference};
use crate::data::resize::{normalise, resize};
use crate::data::wordpiece::{Tokenizer, Tokens};
use crate::error::{Error, Result};

/// Where a split lies and how its samples are made.
#[derive(Clone, Debug)]
pub struct SplitPlace {
    pub root: PathBuf,
    pub dataset: String,
    pub split_by: String,
    pub split: String,
    pub overlap: Overlap,
    /// Side of the square that pictures are resized to.
    pub image_size: usize,
    /// Length of the rows of tokens.
    pub max_tokens: usize,
}

/// One sentence, tokenized.
#[derive(Clone, Debug)]
pub struct Phrase {
    pub sent_id: i64,
    pub raw: String,
    pub kind: Option<String>,
    pub tokens: Tokens,
}

/// A reference of the split with its sentences.
#[derive(Clone, Debug)]
pub struct Referred {
    pub reference: Reference,
    pub phrases: Vec<Phrase>,
}

/// A split in memory, but for its pictures.
#[derive(Debug)]
pub struct Split {
    pub referred: Vec<Referred>,
    place: SplitPlace,
    /// What the user should be told of.
    pub notes: Vec<String>,
}

impl Split {
    /// Reads the records of a split and tokenizes all of its sentences. A sentence without a word
    /// cannot be learnt from or judged; it is left out, which a note says.
    pub fn open(place: SplitPlace, tokenizer: &Tokenizer) -> Result<Self> {
        let dataset = ReferDataset::open(&place.root, &place.dataset, &place.split_by)?;
        let chosen = dataset.split(&place.split)?;
        let mut references: Vec<Option<Reference>> =
            dataset.references.into_iter().map(Some).collect();
        let chosen: Vec<Reference> =
            chosen.into_iter().filter_map(|at| references[at].take()).collect();
        let sentences: usize = chosen.iter().map(|r| r.sentences.len()).sum();
        let referred: Vec<Referred> = chosen
            .into_par_iter()
            .map(|reference| Referred::new(reference, tokenizer, place.max_tokens))
            .filter(|referred| !referred.phrases.is_empty())
            .collect();
        // A missing picture is found now, not after hours.
        referred.par_iter().try_for_each(|referred| referred.reference.picture().map(|_| ()))?;
        let mut split = Self { referred, place, notes: Vec::new() };
        split.take_notes(sentences);
        match split.phrases() {
            0 => Err(Error::data(&split.place.root, "the split has no sentence with a word")),
            _ => Ok(split),
        }
    }

    fn take_notes(&mut self, sentences: usize) {
        let name = &self.place.split;
        let left_out = sentences - self.phrases();
        if left_out > 0 {
            self.notes.push(format!("{name}: left out {left_out} sentences without a word"));
        }
        let all = self.referred.iter().flat_map(|r| &r.phrases);
        let cut = all.filter(|phrase| phrase.tokens.truncated).count();
        if cut > 0 {
            let words = self.place.max_tokens;
            self.notes.push(format!("{name}: cut {cut} sentences to {words} tokens"));
        }
    }

    /// Number of sentences.
    pub fn phrases(&self) -> usize {
        self.referred.iter().map(|r| r.phrases.len()).sum()
    }

    pub fn place(&self) -> &SplitPlace {
        &self.place
    }

    /// A number that changes with what the split's sentences are: a resumed run compares it.
    pub fn fingerprint(&self) -> u64 {
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        let ids = self.referred.iter().flat_map(|r| {
            let sentences = r.phrases.iter().map(|phrase| phrase.sent_id);
            std::iter::once(r.reference.ref_id).chain(sentences)
        });
        ids.flat_map(i64::to_le_bytes).fold(0xcbf2_9ce4_8422_2325, step)
    }

    /// What messages call a sentence of a reference.
    pub fn id(&self, at: usize, phrase: usize) -> String {
        let referred = &self.referred[at];
        let sentence = referred.phrases[phrase].sent_id;
        format!("ref_id {} sent_id {sentence}", referred.reference.ref_id)
    }

    /// The picture of a reference at the model's size, and the object's mask in the picture's own.
    ///
    /// # Errors
    /// A picture that cannot be read, or is not of the size that the annotations are for.
    pub fn view(&self, at: usize) -> Result<(Picture, Mask)> {
        let reference = &self.referred[at].reference;
        let path = reference.picture()?;
        let picture = read_picture(path)?;
        let (found, expected) =
            ([picture.width, picture.height], [reference.width, reference.height]);
        if found != expected {
            let message = format!(
                "a picture of {} x {}, but instances.json says {} x {}; they do not belong together",
                found[0], found[1], expected[0], expected[1]
            );
            return Err(Error::data(path, message));
        }
        let side = self.place.image_size;
        Ok((resize(&picture, side, side)?, self.truth(at)?))
    }

    /// The object's mask in the size of the picture.
    pub fn truth(&self, at: usize) -> Result<Mask> {
        self.referred[at].reference.mask(self.place.overlap)
    }

    /// A sentence of a reference as the model takes it.
    pub fn sample(&self, at: usize, phrase: usize) -> Result<Sample> {
        let (picture, mask) = self.view(at)?;
        let side = self.place.image_size;
        let tokens = &self.referred[at].phrases[phrase].tokens;
        Ok(Sample {
            image: normalise(&picture),
            tokens: tokens.ids.clone(),
            word_mask: tokens.word_mask.clone(),
            mask: mask.resize_nearest(side, side).pixels.into_iter().map(i32::from).collect(),
            id: self.id(at, phrase),
        })
    }
}

impl Referred {
    fn new(mut reference: Reference, tokenizer: &Tokenizer, max_tokens: usize) -> Self {
        let sentences = std::mem::take(&mut reference.sentences);
        let phrases = sentences.into_iter().filter_map(|sentence| {
            let tokens = tokenizer.encode(&sentence.raw, max_tokens).ok()?;
            let (sent_id, raw, kind) = (sentence.sent_id, sentence.raw, sentence.kind);
            Some(Phrase { sent_id, raw, kind, tokens })
        });
        Self { phrases: phrases.collect(), reference }
    }
}
