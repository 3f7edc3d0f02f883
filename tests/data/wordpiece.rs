//! The tokenizer against an independent one; damaged, doubled and foreign vocabularies.

use std::fs;
use std::path::{Path, PathBuf};

use crformer::data::wordpiece::Tokenizer;
use crformer::error::ErrorKind;
use serde::Deserialize;

#[derive(Deserialize)]
struct Phrase {
    text: String,
    ids: Vec<i32>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wordpiece")
}

fn tokenizer() -> Tokenizer {
    Tokenizer::load(&folder().join("vocab.txt")).unwrap()
}

fn phrases() -> Vec<Phrase> {
    let text = fs::read_to_string(folder().join("phrases.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Loads a vocabulary of these bytes and wants an error of the user's data that names the file and
/// says `part`.
fn assert_refused(name: &str, bytes: &[u8], part: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    let error = Tokenizer::load(&path).err().unwrap_or_else(|| panic!("accepted; wanted {part}"));
    assert_eq!(error.kind(), ErrorKind::Data);
    let message = error.to_string();
    assert!(message.contains(name) && message.contains(part), "{message}");
}

fn json_with(change: impl Fn(&mut serde_json::Value)) -> Vec<u8> {
    let text = fs::read_to_string(folder().join("tokenizer.json")).unwrap();
    let mut value = serde_json::from_str(&text).unwrap();
    change(&mut value);
    serde_json::to_vec(&value).unwrap()
}

#[test]
fn phrases_get_the_ids_of_the_public_tokenizer() {
    let from_text = tokenizer();
    let from_json = Tokenizer::load(&folder().join("tokenizer.json")).unwrap();
    let mut compared = 0;
    for Phrase { text, ids } in phrases() {
        if ids.len() == 2 {
            continue; // empty after cleaning; the next test
        }
        let tokens = from_text.encode(&text, ids.len()).unwrap();
        assert_eq!(tokens.ids, ids, "{text:?}");
        assert!(!tokens.truncated && tokens.word_mask.iter().all(|&m| m == 1));
        assert_eq!(from_json.encode(&text, ids.len()).unwrap(), tokens, "{text:?}");
        compared += 1;
    }
    assert!(compared > 90, "{compared} phrases");
}

#[test]
fn a_phrase_without_a_token_is_an_error() {
    for text in ["", " ", "\t\n\u{3000}", "\0\u{7}", "\u{200b}", "\u{301}"] {
        let error = tokenizer().encode(text, 20).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data);
        assert!(error.to_string().contains("empty"), "{error}");
    }
}

#[test]
fn a_long_phrase_is_cut_after_its_specials_are_added_and_loses_its_end() {
    let phrase = phrases().pop().unwrap();
    assert!(phrase.text.split(' ').count() > 500 && phrase.ids.len() == 512);
    let tokens = tokenizer().encode(&phrase.text, 20).unwrap();
    assert_eq!(tokens.ids, phrase.ids[..20]);
    assert_eq!((tokens.word_mask, tokens.truncated), (vec![1; 20], true));
    // Exactly as long as allowed is not cut.
    let tokens = tokenizer().encode("the man in the red shirt", 8).unwrap();
    assert!(!tokens.truncated && tokens.ids.len() == 8);
    let tokens = tokenizer().encode("the man in the red shirt", 7).unwrap();
    assert!(tokens.truncated && !tokens.ids.contains(&5));
}

#[test]
fn a_short_phrase_is_padded_with_zero_and_masked() {
    let tokens = tokenizer().encode("man", 6).unwrap();
    assert_eq!(tokens.ids[0], 4);
    assert_eq!(tokens.ids[2..], [5, 0, 0, 0]);
    assert_eq!(tokens.word_mask, [1, 1, 1, 0, 0, 0]);
    assert_eq!(tokenizer().encode("man", 1).unwrap_err().kind(), ErrorKind::Usage);
}

/// One tokenizer serves all loader threads.
#[test]
fn threads_share_a_tokenizer() {
    let tokenizer = tokenizer();
    let encode = || tokenizer.encode("the man", 9).unwrap();
    let results = std::thread::scope(|scope| {
        [scope.spawn(encode), scope.spawn(encode)].map(|thread| thread.join().unwrap())
    });
    assert_eq!(results, [encode(), encode()]);
}

#[test]
fn the_size_is_the_largest_id_plus_one() {
    let lines = fs::read_to_string(folder().join("vocab.txt")).unwrap().lines().count();
    assert_eq!(tokenizer().vocab_size(), lines);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokenizer.json");
    fs::write(&path, json_with(|v| v["model"]["vocab"]["zz"] = 30521.into())).unwrap();
    assert_eq!(Tokenizer::load(&path).unwrap().vocab_size(), 30522);
}

#[test]
fn a_saved_tokenizer_is_the_same_bytes_and_loads_from_its_folder() {
    for name in ["vocab.txt", "tokenizer.json"] {
        let dir = tempfile::tempdir().unwrap();
        let path = folder().join(name);
        let saved = Tokenizer::load(&path).unwrap().save(dir.path()).unwrap();
        assert_eq!(saved, dir.path().join(name));
        assert_eq!(fs::read(&saved).unwrap(), fs::read(&path).unwrap());
        let again = Tokenizer::load(dir.path()).unwrap();
        assert_eq!(again.encode("the man", 9).unwrap(), tokenizer().encode("the man", 9).unwrap());
    }
}

#[test]
fn a_file_of_another_name_or_with_windows_line_ends_loads() {
    let text = fs::read_to_string(folder().join("vocab.txt")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bert-vocabulary");
    fs::write(&path, text.replace('\n', "\r\n").trim_end()).unwrap();
    let loaded = Tokenizer::load(&path).unwrap();
    assert_eq!(loaded.vocab_size(), tokenizer().vocab_size());
    assert_eq!(loaded.encode("the man", 9).unwrap(), tokenizer().encode("the man", 9).unwrap());
}

#[test]
fn missing_files_and_folders_without_one_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |path: &Path| Tokenizer::load(path).err().unwrap().to_string();
    assert!(refused(&dir.path().join("vocab.txt")).contains("vocab.txt: reading failed"));
    assert!(refused(dir.path()).contains("neither tokenizer.json nor vocab.txt"));
}

#[test]
fn vocabularies_without_their_specials_are_refused() {
    assert_refused("vocab.txt", b"", "[PAD] is missing");
    assert_refused("vocab.txt", b"[PAD]\n[CLS]\n[SEP]\nman\n", "[UNK] is missing");
    assert_refused("vocab.txt", b"[PAD]\n[UNK]\n[SEP]\nman\n", "[CLS] is missing");
    assert_refused("vocab.txt", b"[PAD]\n[UNK]\n[CLS]\nman\n", "[SEP] is missing");
    assert_refused("vocab.txt", b"[UNK]\n[PAD]\n[CLS]\n[SEP]\n", "[PAD] has id 1; it must be 0");
    assert_refused("vocab.txt", b"\xef\xbb\xbf[PAD]\n[UNK]\n[CLS]\n[SEP]\n", "[PAD] is missing");
}

#[test]
fn damaged_vocabularies_are_refused_with_the_place() {
    let doubled = b"[PAD]\n[UNK]\n[CLS]\n[SEP]\nman\nman\n";
    assert_refused("vocab.txt", doubled, "\"man\" stands twice, at line 5 and at line 6");
    assert_refused("vocab.txt", b"[PAD]\n[UNK]\n\n[CLS]\n[SEP]\n", "line 3 is empty");
    assert_refused("vocab.txt", b"[PAD]\nma\xffn\n", "not UTF-8 at byte 8");
    assert_refused("tokenizer.json", b"{\"model\": {\"vocab\": {", "not a BERT tokenizer.json");
    assert_refused("tokenizer.json", b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n", "not a BERT tokenizer.json");
    assert_refused("tokenizer.json", b"", "not a BERT tokenizer.json");
    let text = fs::read_to_string(folder().join("tokenizer.json")).unwrap();
    let twice = text.replacen("\"vocab\": {", "\"vocab\": {\"man\": 900,", 1);
    assert_refused("tokenizer.json", twice.as_bytes(), "\"man\" stands twice, at id 900");
    let shared = json_with(|v| v["model"]["vocab"]["zz"] = 7.into());
    assert_refused("tokenizer.json", &shared, "has id 7");
    let negative = json_with(|v| v["model"]["vocab"]["zz"] = (-1).into());
    assert_refused("tokenizer.json", &negative, "-1");
    let huge = json_with(|v| v["model"]["vocab"]["zz"] = 3_000_000_000u32.into());
    assert_refused("tokenizer.json", &huge, "int32");
}

#[test]
fn tokenizers_that_are_not_uncased_berts_are_refused() {
    let cased = json_with(|v| v["normalizer"]["lowercase"] = false.into());
    assert_refused("tokenizer.json", &cased, "uncased");
    let accents = json_with(|v| v["normalizer"]["strip_accents"] = false.into());
    assert_refused("tokenizer.json", &accents, "uncased");
    let none = json_with(|v| v["normalizer"] = serde_json::Value::Null);
    assert_refused("tokenizer.json", &none, "uncased");
    let other = json_with(|v| v["pre_tokenizer"]["type"] = "Whitespace".into());
    assert_refused("tokenizer.json", &other, "BertPreTokenizer");
    let bpe = json_with(|v| v["model"]["type"] = "BPE".into());
    assert_refused("tokenizer.json", &bpe, "BPE");
    let unknown = json_with(|v| v["model"]["unk_token"] = "<unk>".into());
    assert_refused("tokenizer.json", &unknown, "<unk>");
    let added = json_with(|v| v["added_tokens"][0]["content"] = "[NEW]".into());
    assert_refused("tokenizer.json", &added, "[NEW]");
}
