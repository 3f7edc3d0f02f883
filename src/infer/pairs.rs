//! What is asked: pictures and phrases, from a command line or a JSON Lines file.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};
use crate::file;

/// Longest list of pairs that is read, in bytes: half a million of them.
const BYTE_LIMIT: usize = 64 << 20;

/// Where in `picture` is what `phrase` says?
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    pub picture: PathBuf,
    pub phrase: String,
    /// A string or a whole number, given back with the answer.
    pub id: Option<Value>,
}

/// One pair, or the line of the list that holds none and why.
#[derive(Debug)]
pub enum Item {
    Pair(Pair),
    Unreadable { line: usize, error: Error },
}

/// Every picture with every phrase: all phrases of the first picture, then of the second.
pub fn combine(pictures: &[PathBuf], phrases: &[String]) -> Vec<Item> {
    let with = |picture: &PathBuf, phrase: &String| {
        Item::Pair(Pair { picture: picture.clone(), phrase: phrase.clone(), id: None })
    };
    pictures.iter().flat_map(|picture| phrases.iter().map(|phrase| with(picture, phrase))).collect()
}

/// Reads a JSON Lines file, or standard input if it is called `-`: one
/// `{"picture": "...", "phrase": "...", "id": ...}` a line, `id` optional; lines of spaces are left
/// out. Pictures are relative to the current folder.
///
/// # Errors
/// Only what cannot be read at all; a wrong line is an item of the list.
pub fn read(path: &Path) -> Result<Vec<Item>> {
    let (name, bytes) = match path.as_os_str() == "-" {
        true => ("standard input".into(), read_input()?),
        false => (path.display().to_string(), file::read(path, BYTE_LIMIT)?),
    };
    let lines = bytes.split(|&byte| byte == b'\n').enumerate();
    let filled = lines.filter(|(_, text)| !text.trim_ascii().is_empty());
    let item = |(before, text): (usize, &[u8])| {
        let line = before + 1;
        match pair(text) {
            Ok(pair) => Item::Pair(pair),
            Err(message) => {
                let error = Error::data(&name, format!("line {line}: {message}"));
                Item::Unreadable { line, error }
            }
        }
    };
    Ok(filled.map(item).collect())
}

fn read_input() -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let input = io::stdin().lock().take(BYTE_LIMIT as u64 + 1).read_to_end(&mut bytes);
    input.map_err(|error| Error::io("standard input", "reading", error))?;
    match bytes.len() > BYTE_LIMIT {
        true => Err(Error::new(
            ErrorKind::Data,
            format!("standard input: longer than the {BYTE_LIMIT} bytes allowed for a list"),
        )),
        false => Ok(bytes),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    picture: PathBuf,
    phrase: String,
    id: Option<Value>,
}

fn pair(text: &[u8]) -> std::result::Result<Pair, String> {
    let wanted = r#"one {"picture": "...", "phrase": "..."} was expected"#;
    // The derived reader would also take a bare array for an object.
    if text.trim_ascii_start().first() != Some(&b'{') {
        return Err(format!("no JSON object; {wanted}"));
    }
    let line: Line = serde_json::from_slice(text).map_err(|error| {
        let (column, message) = (error.column(), error.to_string());
        let message = message.split(" at line ").next().unwrap_or_default();
        format!("column {column}: {message}; {wanted}")
    })?;
    match line.id {
        None | Some(Value::String(_)) => {}
        Some(Value::Number(ref id)) if id.is_i64() || id.is_u64() => {}
        Some(other) => return Err(format!("the id is {other}; a string or a whole number is one")),
    }
    Ok(Pair { picture: line.picture, phrase: line.phrase, id: line.id })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        pair(text.as_bytes()).expect_err("no pair")
    }

    #[test]
    fn a_line_is_a_pair_or_says_why_not() {
        let read = pair(br#" {"phrase": "the \u0063at", "id": 7, "picture": "a b.png"} "#);
        let wanted =
            Pair { picture: "a b.png".into(), phrase: "the cat".into(), id: Some(7.into()) };
        assert_eq!(read, Ok(wanted));
        let cases = [
            (r#"{"picture": "a", "phra"#, "column 22: EOF while parsing a string"),
            (r#"{"picture": "a"}"#, "missing field `phrase`"),
            (r#"{"picture": "a", "phrase": "b", "score": 1}"#, "unknown field `score`"),
            (r#"{"picture": "a", "picture": "c", "phrase": "b"}"#, "duplicate field `picture`"),
            (r#"{"picture": "a", "phrase": 3}"#, "invalid type: integer `3`"),
            (r#"{"picture": "a", "phrase": "b"} {}"#, "trailing characters"),
            (r#"{"picture": "a", "phrase": "b", "id": 1.5}"#, "the id is 1.5"),
            (r#"["a", "b", null]"#, "no JSON object"),
        ];
        for (text, wanted) in cases {
            assert!(refusal(text).contains(wanted), "{text}: {}", refusal(text));
        }
        assert!(pair(b"{\"picture\": \"a\", \"phrase\": \"\xff\"}").is_err());
    }

    #[test]
    fn every_picture_is_asked_every_phrase() {
        let (pictures, phrases) = (["a", "b"].map(PathBuf::from), ["x", "y"].map(str::to_owned));
        let asked = combine(&pictures, &phrases).into_iter().map(|item| match item {
            Item::Pair(pair) => (pair.picture.display().to_string(), pair.phrase),
            Item::Unreadable { error, .. } => panic!("{error}"),
        });
        let wanted = [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")];
        assert!(asked.eq(wanted.map(|(a, b)| (a.to_owned(), b.to_owned()))));
    }
}
