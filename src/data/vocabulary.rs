//! The vocabulary of a WordPiece tokenizer, out of `vocab.txt` or `tokenizer.json`, and its checks.
//!
//! The tokenizers crate reads both without looking: a token that stands twice moves silently to its
//! last id, and a cased tokenizer would be taken for an uncased one.

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

pub const PADDING: &str = "[PAD]";
pub const UNKNOWN: &str = "[UNK]";
pub const START: &str = "[CLS]";
pub const END: &str = "[SEP]";

/// Tokens and their ids, each once; `[PAD]` is 0, the other specials exist.
pub struct Vocabulary {
    pub ids: HashMap<String, u32>,
    /// The largest id plus one.
    pub size: usize,
}

/// `vocab.txt`: one token a line, its id the line's number from 0.
pub fn from_text(text: &str) -> Result<Vocabulary, String> {
    let mut entries = Entries::default();
    for (id, line) in text.lines().enumerate() {
        if line.is_empty() {
            return Err(format!(
                "line {} is empty; a vocabulary has one token a line, so the ids after it would \
                 be shifted; restore the file",
                id + 1
            ));
        }
        entries.0.push((line.to_owned(), id as u32));
    }
    checked(entries, |id| format!("line {}", id + 1))
}

/// `tokenizer.json`, as the tokenizers library writes it for BERT-uncased. Its truncation, padding
/// and template are not used: the specials are set here.
pub fn from_json(text: &str) -> Result<Vocabulary, String> {
    let file: TokenizerFile =
        serde_json::from_str(text).map_err(|e| format!("not a BERT tokenizer.json: {e}"))?;
    file.check()?;
    let added = file.added_tokens;
    let vocabulary = checked(file.model.vocab, |id| format!("id {id}"))?;
    for token in added {
        if vocabulary.ids.get(&token.content) != Some(&token.id) {
            return Err(format!(
                "the added token {:?} with id {} is not so in model.vocab; added tokens beyond \
                 the vocabulary are not supported",
                token.content, token.id
            ));
        }
    }
    Ok(vocabulary)
}

fn checked(entries: Entries, place: impl Fn(u32) -> String) -> Result<Vocabulary, String> {
    let mut ids = HashMap::with_capacity(entries.0.len());
    let mut seen = HashSet::with_capacity(entries.0.len());
    let mut size = 0;
    for (token, id) in entries.0 {
        if let Some(&first) = ids.get(&token) {
            return Err(format!(
                "the token {token:?} stands twice, at {} and at {}; one of them must go",
                place(first),
                place(id)
            ));
        }
        if !seen.insert(id) || id > i32::MAX as u32 {
            return Err(format!("the token {token:?} has id {id}, which another has or no int32"));
        }
        size = size.max(id as usize + 1);
        ids.insert(token, id);
    }
    for token in [PADDING, UNKNOWN, START, END] {
        if !ids.contains_key(token) {
            return Err(format!(
                "the token {token} is missing among {} tokens; the vocabulary of an uncased BERT \
                 was expected",
                ids.len()
            ));
        }
    }
    match ids[PADDING] {
        0 => Ok(Vocabulary { ids, size }),
        id => Err(format!("{PADDING} has id {id}; it must be 0, with which the model pads")),
    }
}

#[derive(serde::Deserialize)]
struct TokenizerFile {
    normalizer: Option<Normalizer>,
    pre_tokenizer: Option<Typed>,
    model: Model,
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
}

#[derive(serde::Deserialize)]
struct Normalizer {
    #[serde(rename = "type")]
    kind: String,
    clean_text: Option<bool>,
    handle_chinese_chars: Option<bool>,
    strip_accents: Option<bool>,
    lowercase: Option<bool>,
}

#[derive(serde::Deserialize)]
struct Typed {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(serde::Deserialize)]
struct Model {
    /// Files of the library's first versions lack it.
    #[serde(rename = "type")]
    kind: Option<String>,
    unk_token: Option<String>,
    continuing_subword_prefix: Option<String>,
    max_input_chars_per_word: Option<usize>,
    vocab: Entries,
}

#[derive(serde::Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
}

impl TokenizerFile {
    fn check(&self) -> Result<(), String> {
        let bert = |n: &Normalizer| {
            n.kind == "BertNormalizer"
                && n.clean_text == Some(true)
                && n.handle_chinese_chars == Some(true)
                && n.strip_accents != Some(false)
                && n.lowercase == Some(true)
        };
        if !self.normalizer.as_ref().is_some_and(bert) {
            return Err("the normalizer is not the uncased BERT's (BertNormalizer that cleans, \
                 splits CJK, lower-cases and strips accents); take the tokenizer of \
                 bert-base-uncased"
                .to_owned());
        }
        if self.pre_tokenizer.as_ref().is_none_or(|p| p.kind != "BertPreTokenizer") {
            return Err("the pre_tokenizer is not BertPreTokenizer; take the tokenizer of \
                 bert-base-uncased"
                .to_owned());
        }
        self.model.check()
    }
}

impl Model {
    fn check(&self) -> Result<(), String> {
        let is = |found: &Option<String>, wanted| found.as_deref().is_none_or(|f| f == wanted);
        if is(&self.kind, "WordPiece")
            && is(&self.unk_token, UNKNOWN)
            && is(&self.continuing_subword_prefix, "##")
            && self.max_input_chars_per_word.is_none_or(|n| n == 100)
        {
            return Ok(());
        }
        Err(format!(
            "the model is {} with unk_token {:?}, prefix {:?} and {:?} characters a word; WordPiece \
             with \"{UNKNOWN}\", \"##\" and 100 was expected",
            self.kind.as_deref().unwrap_or("WordPiece"),
            self.unk_token,
            self.continuing_subword_prefix,
            self.max_input_chars_per_word
        ))
    }
}

/// The pairs of a JSON object in the file's order: a token that stands twice stays visible.
#[derive(Default)]
struct Entries(Vec<(String, u32)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a map of tokens to ids")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
        let mut entries = Entries::default();
        while let Some(entry) = map.next_entry()? {
            entries.0.push(entry);
        }
        Ok(entries)
    }
}
