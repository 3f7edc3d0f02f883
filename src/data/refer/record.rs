//! The records of a `refs(<split by>).p` file: which object is meant, and by which sentences.

use std::collections::HashSet;
use std::path::Path;

use crate::data::pickle::{Pickle, Value};
use crate::error::{Error, Result};

/// How many times the file's size the sentences may take in memory together. Sentences that many
/// references share would be copied for each of them; honest files need about once their size.
const TEXT_TIMES_MAX: usize = 8;

/// The most fields of a record (REFER's have eight): bounds the search for one, which is linear.
const FIELDS_MAX: usize = 256;

/// A phrase as the annotator wrote it: the `raw` field, upper case and punctuation kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence {
    pub sent_id: i64,
    pub raw: String,
    /// What it speaks of, where the data set says so (the drawn one does): a group of its own in
    /// reports.
    pub kind: Option<String>,
}

/// One reference as it stands in the file, its ids not looked up yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub ref_id: i64,
    pub ann_id: i64,
    pub image_id: i64,
    pub category_id: i64,
    pub split: String,
    pub sentences: Vec<Sentence>,
}

/// Reads all records of a file, in its order.
pub(super) fn read_records(path: &Path) -> Result<Vec<Record>> {
    let bytes = std::fs::read(path).map_err(|error| Error::io(path, "reading", error))?;
    let pickle = Pickle::parse(&bytes).map_err(|error| Error::data(path, error))?;
    let root = pickle.root();
    let Some(items) = root.items() else {
        let message = format!("expected a list of references; found {}", root.kind());
        return Err(Error::data(path, message));
    };
    let mut reader = RecordReader { text_left: bytes.len().saturating_mul(TEXT_TIMES_MAX) };
    let mut seen = HashSet::new();
    let mut records = Vec::new();
    for (i, item) in items.enumerate() {
        let record = reader.record(item);
        let record =
            record.map_err(|message| Error::data(path, format!("reference {i} {message}")))?;
        if !seen.insert(record.ref_id) {
            let message =
                format!("ref_id {} stands twice, the second time in reference {i}", record.ref_id);
            return Err(Error::data(path, message));
        }
        records.push(record);
    }
    Ok(records)
}

struct RecordReader {
    text_left: usize,
}

type Field<T> = std::result::Result<T, String>;

impl RecordReader {
    fn record(&mut self, item: Value) -> Field<Record> {
        let ref_id =
            integer(item, "ref_id").map_err(|message| format!("(counted from 0): {message}"))?;
        self.body(item, ref_id).map_err(|message| format!("(ref_id {ref_id}): {message}"))
    }

    fn body(&mut self, item: Value, ref_id: i64) -> Field<Record> {
        let sentences = field(item, "sentences")?;
        let items = sentences.items().ok_or_else(|| wrong("sentences", "a list", sentences))?;
        Ok(Record {
            ref_id,
            ann_id: integer(item, "ann_id")?,
            image_id: integer(item, "image_id")?,
            category_id: integer(item, "category_id")?,
            split: self.copy(string(item, "split")?)?,
            sentences: items.map(|item| self.sentence(item)).collect::<Field<_>>()?,
        })
    }

    fn sentence(&mut self, item: Value) -> Field<Sentence> {
        let kind = item.get("kind").and_then(|kind| kind.as_str());
        Ok(Sentence {
            sent_id: integer(item, "sent_id")?,
            raw: self.copy(string(item, "raw")?)?,
            kind: kind.map(|kind| self.copy(kind)).transpose()?,
        })
    }

    fn copy(&mut self, text: &str) -> Field<String> {
        let size = text.len() + size_of::<Sentence>();
        self.text_left = self.text_left.checked_sub(size).ok_or_else(|| {
            format!(
                "the sentences so far take more than {TEXT_TIMES_MAX} times the size of the file; \
                 expected references that do not share theirs"
            )
        })?;
        Ok(text.to_owned())
    }
}

fn field<'a>(item: Value<'a>, key: &str) -> Field<Value<'a>> {
    let Some(fields) = item.entries() else {
        return Err(format!("expected a dict with the field {key:?}; found {}", item.kind()));
    };
    if fields.len() > FIELDS_MAX {
        return Err(format!(
            "expected a dict of at most {FIELDS_MAX} fields; found {}",
            fields.len()
        ));
    }
    item.get(key).ok_or_else(|| format!("the field {key:?} is missing"))
}

fn integer(item: Value, key: &str) -> Field<i64> {
    let value = field(item, key)?;
    value.as_int().ok_or_else(|| wrong(key, "an integer", value))
}

fn string<'a>(item: Value<'a>, key: &str) -> Field<&'a str> {
    let value = field(item, key)?;
    value.as_str().ok_or_else(|| wrong(key, "a string", value))
}

fn wrong(key: &str, expected: &str, found: Value) -> String {
    format!("the field {key:?} is {expected}; found {}", found.kind())
}
