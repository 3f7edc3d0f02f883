//! Words to numbers: BERT-uncased's tokenizer. The one door to the tokenizers crate.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use tokenizers::models::bpe::Vocab as Map; // the map type that the crate takes, by its public name
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::bert::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{AddedToken, DecoderWrapper, PostProcessorWrapper, TokenizerImpl};

use super::vocabulary::{self, END, PADDING, START, UNKNOWN};
use crate::error::{Error, ErrorKind, Result};
use crate::file;

const TOKENIZER_JSON: &str = "tokenizer.json";
const VOCAB_TXT: &str = "vocab.txt";
/// Longest vocabulary file that is read, in bytes; BERT's are below one MiB.
const FILE_LIMIT: usize = 64 << 20;

type Bert = TokenizerImpl<
    WordPiece,
    BertNormalizer,
    BertPreTokenizer,
    PostProcessorWrapper,
    DecoderWrapper,
>;

/// One phrase as the model takes it: both of `max_tokens` entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// `[CLS] ... [SEP]`, then 0.
    pub ids: Vec<i32>,
    /// 1 on the real tokens, specials included; then 0.
    pub word_mask: Vec<i32>,
    /// Whether the phrase was longer and lost its end and its `[SEP]`.
    pub truncated: bool,
}

/// BERT-uncased: text is cleaned, CJK set apart, accents stripped, lower-cased, split at spaces and
/// punctuation, and each word cut into the longest pieces the vocabulary has. As in the public
/// tokenizer, specials written out in a phrase (`[MASK]`) are those specials. Its first version, in
/// Python, differs on a word-final Greek sigma and on characters that came after Unicode 8.
pub struct Tokenizer {
    bert: Bert,
    vocab_size: usize,
    start: i32,
    end: i32,
    file_name: &'static str,
    bytes: Vec<u8>,
}

impl Tokenizer {
    /// Reads a `vocab.txt`, a `tokenizer.json` (told by the ending `.json`), or a folder with one
    /// of them; of a folder with both the `tokenizer.json`, which says more about itself.
    pub fn load(path: &Path) -> Result<Self> {
        let path = find(path)?;
        let bytes = file::read(&path, FILE_LIMIT)?;
        Self::from_bytes(&path, bytes)
    }

    fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self> {
        let text = std::str::from_utf8(&bytes).map_err(|e| {
            let place = e.valid_up_to();
            Error::data(path, format!("not UTF-8 at byte {place}; a BERT vocabulary is UTF-8 text"))
        })?;
        let json = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json"));
        let (file_name, read) = match json {
            true => (TOKENIZER_JSON, vocabulary::from_json(text)),
            false => (VOCAB_TXT, vocabulary::from_text(text)),
        };
        let vocabulary = read.map_err(|message| Error::data(path, message))?;
        let special = |token| vocabulary.ids[token] as i32; // checked when it was read
        let (start, end, vocab_size) = (special(START), special(END), vocabulary.size);
        let bert = build(vocabulary.ids)
            .map_err(|e| Error::data(path, format!("building the tokenizer failed: {e}")))?;
        Ok(Self { bert, vocab_size, start, end, file_name, bytes })
    }

    /// The largest id plus one: the rows of word embeddings that the model needs at least.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The ids of a phrase, `[CLS]` before and `[SEP]` behind it, cut to `max_tokens` (at least 2)
    /// and then padded to it with 0. A phrase without a token is an error.
    pub fn encode(&self, text: &str, max_tokens: usize) -> Result<Tokens> {
        if max_tokens < 2 {
            return Err(Error::usage(format!(
                "max_tokens is {max_tokens}; at least 2 are needed, [CLS] and one word"
            )));
        }
        let refuse = |message| Error::new(ErrorKind::Data, message);
        let encoding = self
            .bert
            .encode_fast(text, false)
            .map_err(|e| refuse(format!("the phrase {text:?} cannot be tokenized: {e}")))?;
        let words = encoding.get_ids();
        if words.is_empty() {
            return Err(refuse(format!(
                "the phrase {text:?} is empty after cleaning; at least one word was expected"
            )));
        }
        let inner = words.iter().map(|&id| id as i32);
        let mut ids: Vec<i32> =
            std::iter::once(self.start).chain(inner).chain([self.end]).take(max_tokens).collect();
        let mut word_mask = vec![1; ids.len()];
        ids.resize(max_tokens, 0);
        word_mask.resize(max_tokens, 0);
        Ok(Tokens { ids, word_mask, truncated: words.len() + 2 > max_tokens })
    }

    /// Writes the file this was read from, byte for byte, into a folder, as `vocab.txt` or
    /// `tokenizer.json`. Returns where.
    pub fn save(&self, folder: &Path) -> Result<PathBuf> {
        let path = folder.join(self.file_name);
        file::write(&path, &self.bytes)?;
        Ok(path)
    }
}

fn find(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let candidates = [TOKENIZER_JSON, VOCAB_TXT].map(|name| path.join(name));
    candidates.into_iter().find(|file| file.exists()).ok_or_else(|| {
        let message = format!("has neither {TOKENIZER_JSON} nor {VOCAB_TXT}; put BERT's there");
        Error::data(path, message)
    })
}

fn build(ids: HashMap<String, u32>) -> tokenizers::Result<Bert> {
    let specials: Vec<AddedToken> = [PADDING, UNKNOWN, START, END, "[MASK]"]
        .into_iter()
        .filter(|&token| ids.contains_key(token))
        .map(|token| AddedToken::from(token, true))
        .collect();
    let model = WordPiece::builder()
        .vocab::<Map>(ids.into_iter().collect())
        .unk_token(UNKNOWN.to_owned())
        .continuing_subword_prefix("##".to_owned())
        .max_input_chars_per_word(100)
        .build()?;
    let mut bert = Bert::new(model);
    bert.with_normalizer(Some(BertNormalizer::new(true, true, Some(true), true)))?;
    bert.with_pre_tokenizer(Some(BertPreTokenizer));
    bert.add_special_tokens(specials)?;
    Ok(bert)
}
