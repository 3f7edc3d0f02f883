//! Safetensors files that are cut off, doubled or of another type are refused in words.

use std::path::Path;

use crformer::error::ErrorKind;
use crformer::weights::TensorFile;
use crformer::weights::save::{Entry, save};

/// A file by its header and data, as nobody's library would write it.
fn raw(path: &Path, header: &str, data: &[u8]) {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(data);
    std::fs::write(path, bytes).expect("written");
}

fn refused(path: &Path) -> String {
    match TensorFile::open(path) {
        Ok(_) => panic!("{} was accepted", path.display()),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Data);
            error.to_string()
        }
    }
}

#[test]
fn what_is_saved_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.safetensors");
    let entries = [Entry::new("a", &[2, 3], false), Entry::new("b", &[], true)];
    save(&path, &[("format", "pt".to_owned())], &entries, |i, room| {
        room.iter_mut().enumerate().for_each(|(k, x)| *x = k as f64 + 0.1 + 10.0 * i as f64);
        Ok(())
    })
    .expect("saved");
    let file = TensorFile::open(&path).expect("read");
    assert_eq!(file.names(), ["a", "b"]);
    assert_eq!(file.extents("a"), Some(vec![2, 3]));
    let single: Vec<f64> = (0..6).map(|k| f64::from((f64::from(k) + 0.1) as f32)).collect();
    assert_eq!(file.real("a").expect("numbers"), single);
    assert_eq!(file.real("b").expect("numbers"), [10.1]);
    assert!(file.index("a").expect_err("no whole numbers").to_string().contains("F32"));
    assert!(file.real("c").expect_err("no such tensor").to_string().contains("c is missing"));
}

#[test]
fn cut_off_anywhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.safetensors");
    save(&path, &[], &[Entry::new("a", &[40], false)], |_, _| Ok(())).expect("saved");
    let whole = std::fs::read(&path).expect("bytes");
    for len in 0..whole.len() {
        std::fs::write(&path, &whole[..len]).expect("written");
        assert!(refused(&path).contains("t.safetensors"), "cut at {len}");
    }
}

#[test]
fn a_doubled_tensor() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.safetensors");
    let entry = r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
    raw(&path, &format!(r#"{{"twice":{entry},"twice":{entry}}}"#), &[0; 4]);
    assert!(refused(&path).contains("tensor twice is there twice"));
}

#[test]
fn a_failed_save_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.safetensors");
    let failed = save(&path, &[], &[Entry::new("a", &[4], false)], |_, _| {
        Err(crformer::error::Error::numeric("no numbers"))
    });
    assert!(failed.expect_err("it failed").to_string().contains("no numbers"));
    assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 0);
}
