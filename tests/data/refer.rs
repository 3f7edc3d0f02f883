//! REFER data sets: joined and split as the REFER API does, every dangling id named.

use std::fs;
use std::path::{Path, PathBuf};

use crformer::data::mask::{Overlap, Rle};
use crformer::data::refer::{ReferDataset, Reference, SplitCounts};
use crformer::error::{Error, ErrorKind};
use crformer::rng::Philox;
use tempfile::TempDir;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/refer/root")
}

fn open(split_by: &str) -> ReferDataset {
    ReferDataset::open(&root(), "refcoco+", split_by).unwrap()
}

/// A reference as `make_root.py` writes it.
fn describe(split_by: &str, reference: &Reference) -> String {
    let mask = |overlap| Rle::from_mask(&reference.mask(overlap).unwrap()).unwrap().to_text();
    let raws: Vec<&str> =
        reference.sentences.iter().map(|sentence| sentence.raw.as_str()).collect();
    let Reference { ref_id, image_id, split, height, width, .. } = reference;
    let file_name = reference.picture().unwrap().file_name().unwrap().to_str().unwrap();
    let (union, lavt) = (mask(Overlap::Union), mask(Overlap::Lavt));
    let raws = raws.join("|");
    format!(
        "{split_by} {ref_id} {image_id} {split} {file_name} {height} {width} {union} {lavt} {raws}"
    )
}

#[test]
fn references_are_those_of_the_refer_api() {
    let expected = include_str!("../fixtures/refer/expected.txt");
    let found: Vec<String> = ["unc", "google"]
        .into_iter()
        .flat_map(|by| open(by).references.into_iter().map(move |found| describe(by, &found)))
        .collect();
    assert_eq!(found, expected.lines().collect::<Vec<_>>());
}

#[test]
fn ids_are_joined() {
    let dataset = open("unc");
    let first = &dataset.references[0];
    assert_eq!((first.ref_id, first.ann_id, first.category_id), (0, 1719310, 1));
    assert_eq!(first.sentences.iter().map(|s| s.sent_id).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(dataset.categories[&1].name, "person");
    let same = &dataset.references[5];
    assert!(std::sync::Arc::ptr_eq(&first.segmentation, &same.segmentation), "one shape, shared");
}

#[test]
fn splits_are_selected_as_the_refer_api_does() {
    let (unc, google) = (open("unc"), open("google"));
    let ids = |name| -> Vec<i64> {
        unc.split(name).unwrap().iter().map(|&i| unc.references[i].ref_id).collect()
    };
    assert_eq!(ids("train"), [0, 6]);
    assert_eq!(ids("val"), [7]);
    assert_eq!(ids("testA"), [3, 5], "testAB counts as testA");
    assert_eq!(ids("testB"), [4, 5]);
    assert_eq!(ids("testAB"), [5]);
    assert_eq!(ids("test"), [3, 4, 5], "all tests, in the order of the file");
    assert_eq!(google.split("test").unwrap(), [1]);
}

#[test]
fn a_split_that_selects_nothing_names_those_there_are() {
    let error = open("google").split("val").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    let message = error.to_string();
    assert!(message.contains("refs(google).p: split \"val\" selects no reference"), "{message}");
    assert!(message.contains("train (1 references), test (1 references)"), "{message}");
    assert!(open("unc").split("testC").is_err());
    assert!(open("unc").split("").is_err());
}

#[test]
fn counts_are_per_split() {
    let counts = |split: &str, references, sentences, images| SplitCounts {
        split: split.to_owned(),
        references,
        sentences,
        images,
    };
    let expected = [
        counts("train", 2, 4, 1),
        counts("val", 1, 1, 1),
        counts("testA", 1, 2, 1),
        counts("testB", 1, 1, 1),
        counts("testAB", 1, 1, 1),
    ];
    assert_eq!(open("unc").counts(), expected);
}

#[test]
fn other_splits_of_the_folder_are_named() {
    let error = ReferDataset::open(&root(), "refcoco+", "umd").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    let message = error.to_string();
    assert!(message.contains("refs(umd).p: no such file"), "{message}");
    assert!(message.contains("refs(google).p, refs(unc).p"), "{message}");
    let message = ReferDataset::open(&root(), "refcoco", "unc").unwrap_err().to_string();
    assert!(message.contains("root/refcoco: listing the data set's folder failed"), "{message}");
}

/// A data set of one's own, written by hand in protocol 0.
struct Written(TempDir);

const INSTANCES: &str = r#"{"images": [{"id": 4, "file_name": "4.png", "width": 8, "height": 6}],
 "annotations": [{"id": 5, "image_id": 4, "segmentation": [[1, 1, 4, 1, 4, 3, 1, 3]]},
                 {"id": 6, "image_id": 3, "segmentation": [[1, 1, 4, 1, 4, 3, 1, 3]]}]}"#;

impl Written {
    fn new(records: &[u8], instances: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("shapes")).unwrap();
        fs::write(folder.path().join("shapes/refs(me).p"), records).unwrap();
        fs::write(folder.path().join("shapes/instances.json"), instances).unwrap();
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn open(&self) -> Result<ReferDataset, Error> {
        ReferDataset::open(self.path(), "shapes", "me")
    }

    fn refusal(&self) -> String {
        let error = self.open().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
        error.to_string()
    }
}

fn record(ref_id: i64, ann_id: i64, image_id: i64) -> String {
    format!(
        "(dS'ref_id'\nI{ref_id}\nsS'ann_id'\nI{ann_id}\nsS'image_id'\nI{image_id}\nsS'category_id'\nI1\ns\
         S'split'\nS'train'\nsS'sentences'\n(l(dS'sent_id'\nI9\nsS'raw'\nS'a box'\nsas"
    )
}

fn records(list: &[String]) -> Vec<u8> {
    let items: String = list.iter().map(|record| format!("{record}a")).collect();
    format!("(l{items}.").into_bytes()
}

#[test]
fn a_folder_of_any_name_is_read() {
    let written = Written::new(&records(&[record(1, 5, 4)]), INSTANCES);
    let dataset = written.open().unwrap();
    assert_eq!(dataset.references[0].mask(Overlap::Union).unwrap().area(), 6);
    assert_eq!(dataset.references[0].sentences[0].raw, "a box");
}

#[test]
fn pictures_lie_in_either_folder() {
    let written = Written::new(&records(&[record(1, 5, 4)]), INSTANCES);
    let picture = |written: &Written| written.open().unwrap().references[0].image_path.clone();
    let first = written.path().join("images/mscoco/images/train2014/4.png");
    let second = written.path().join("images/train2014/4.png");
    assert_eq!(picture(&written), first, "neither folder: the one of the REFER API is named");
    fs::create_dir_all(second.parent().unwrap()).unwrap();
    assert_eq!(picture(&written), second);
    fs::create_dir_all(first.parent().unwrap()).unwrap();
    assert_eq!(picture(&written), first);
}

#[test]
fn a_missing_picture_is_an_error_at_use() {
    let written = Written::new(&records(&[record(17, 5, 4)]), INSTANCES);
    let dataset = written.open().unwrap();
    let error = dataset.references[0].picture().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    let message = error.to_string();
    assert!(message.contains("images/mscoco/images/train2014/4.png: the picture of reference 17"));
}

#[test]
fn a_reference_to_nothing_names_both_files() {
    let message = Written::new(&records(&[record(1, 99, 4)]), INSTANCES).refusal();
    for part in ["refs(me).p: ref_id 1 (ann_id 99) refers to ann_id 99", "instances.json"] {
        assert!(message.contains(part), "{message}");
    }
    let no_image = INSTANCES.replace(r#"{"id": 4"#, r#"{"id": 44"#);
    let message = Written::new(&records(&[record(1, 5, 4)]), &no_image).refusal();
    for part in ["ref_id 1 (ann_id 5) refers to image_id 4", "instances.json"] {
        assert!(message.contains(part), "{message}");
    }
    let message = Written::new(&records(&[record(1, 6, 4)]), INSTANCES).refusal();
    assert!(message.contains("annotation 6 (of ref_id 1): expected an object of image 4"));
    assert!(message.contains("refs(me).p says; found one of image 3"), "{message}");
}

#[test]
fn ids_that_stand_twice_are_refused() {
    let message = Written::new(&records(&[record(1, 5, 4), record(1, 5, 4)]), INSTANCES).refusal();
    assert!(message.contains("ref_id 1 stands twice, the second time in reference 1"), "{message}");
    let twice = INSTANCES.replace(r#"{"id": 6"#, r#"{"id": 5"#);
    let message = Written::new(&records(&[record(1, 5, 4)]), &twice).refusal();
    assert!(message.contains("annotation id 5 stands twice at line 3 column"), "{message}");
}

#[test]
fn broken_files_are_refused() {
    let whole = records(&[record(1, 5, 4)]);
    let message = Written::new(b"cos\nsystem\n(S'true'\ntR.", INSTANCES).refusal();
    assert!(message.contains("refs(me).p: byte 0: opcode GLOBAL"), "{message}");
    let message = Written::new(&whole[..40], INSTANCES).refusal();
    assert!(message.contains("refs(me).p: byte 32: the file is cut off"), "{message}");
    let message = Written::new(&whole, &INSTANCES[..100]).refusal();
    assert!(message.contains("instances.json: the file is cut off (EOF while"), "{message}");
    assert!(message.contains("at line 2 column"), "{message}");
    let written = Written::new(&whole, INSTANCES);
    fs::remove_file(written.path().join("shapes/instances.json")).unwrap();
    assert!(written.refusal().contains("instances.json: opening failed"));
}

#[test]
fn broken_records_are_refused() {
    let refused = |right: &str, wrong: &str| {
        let whole = record(8, 5, 4);
        assert!(whole.contains(right));
        Written::new(&records(&[whole.replacen(right, wrong, 1)]), INSTANCES).refusal()
    };
    let message = refused("S'raw'", "S'sent'");
    assert!(message.contains("reference 0 (ref_id 8): the field \"raw\" is missing"), "{message}");
    let message = refused("S'ref_id'", "S'id'");
    assert!(message.contains("reference 0 (counted from 0): the field \"ref_id\""), "{message}");
    let message = refused("I5\n", "(l");
    assert!(message.contains("\"ann_id\" is an integer; found a list"), "{message}");
    let message = refused("S'train'\n", "N");
    assert!(message.contains("\"split\" is a string; found None"), "{message}");
    let message = Written::new(b"(d.", INSTANCES).refusal();
    assert!(message.contains("expected a list of references; found a dict"), "{message}");
    let message = Written::new(b"(lI1\na.", INSTANCES).refusal();
    assert!(message.contains("expected a dict with the field \"ref_id\"; found an integer"));
}

#[test]
fn wrong_annotations_are_refused_when_opened() {
    let refused = |right: &str, wrong: &str| {
        assert!(INSTANCES.contains(right));
        Written::new(&records(&[record(1, 5, 4)]), &INSTANCES.replacen(right, wrong, 1)).refusal()
    };
    let message = refused("[[1, 1, 4, 1, 4, 3, 1, 3]]", "[[1, 1, 4, 1]]");
    assert!(message.contains("instances.json: annotation 5 (of ref_id 1): a polygon"), "{message}");
    let message = refused("\"segmentation\": [[1, 1, 4, 1, 4, 3, 1, 3]]", "\"area\": 1");
    assert!(message.contains("annotation 5 (of ref_id 1): the segmentation is missing"));
    let message = refused("\"width\": 8", "\"width\": 0");
    assert!(message.contains("found height 6, width 0"), "{message}");
    for name in ["../4.png", "/etc/4.png", ""] {
        let message = refused("4.png", name);
        assert!(message.contains("image 4: file_name is expected to name a file in"), "{message}");
    }
}

/// A polygon outside the picture is legal: it is clipped.
#[test]
fn a_polygon_outside_the_picture_is_clipped() {
    let mask = |polygon: &str| {
        let instances = INSTANCES.replacen("[1, 1, 4, 1, 4, 3, 1, 3]", polygon, 1);
        let written = Written::new(&records(&[record(1, 5, 4)]), &instances);
        written.open().unwrap().references[0].mask(Overlap::Union).unwrap()
    };
    assert_eq!(mask("[-3, -3, 2, -3, 2, 2, -3, 2]").area(), 4);
    assert_eq!(mask("[100, 100, 120, 100, 120, 120]").area(), 0);
}

/// Thousands of references that share one list of sentences would be copied: refused.
#[test]
fn shared_sentences_do_not_blow_up() {
    let mut list = vec![record(0, 5, 4).replacen(
        "(l(d",
        &format!("(lp7\n{}(d", "(dS'sent_id'\nI9\nsS'raw'\nS'x'\nsa".repeat(999)),
        1,
    )];
    for ref_id in 1..1000 {
        let whole = record(ref_id, 5, 4);
        let start = whole.find("(l(d").unwrap();
        list.push(format!("{}g7\ns", &whole[..start]));
    }
    let message = Written::new(&records(&list), INSTANCES).refusal();
    assert!(message.contains("the sentences so far take more than 8 times"), "{message}");
    let wide: String = (0..300).map(|i| format!("I{i}\nI0\ns")).collect();
    let message = Written::new(format!("(l(d{wide}a.").as_bytes(), INSTANCES).refusal();
    assert!(message.contains("at most 256 fields; found 300"), "{message}");
}

#[test]
fn mutated_files_never_panic() {
    let whole = records(&[record(1, 5, 4), record(2, 5, 4)]);
    let mut random = Philox::new(31, 0).reader();
    let written = Written::new(&whole, INSTANCES);
    let mut read = 0;
    for i in 0..1000 {
        let (name, original) =
            [("refs(me).p", &whole[..]), ("instances.json", INSTANCES.as_bytes())][i % 2];
        let mut bytes = original.to_vec();
        let place = random.below(bytes.len());
        bytes[place] = b"0123456789[]{}()\",:.-e as\n"[random.below(26)];
        fs::write(written.path().join("shapes").join(name), &bytes).unwrap();
        if let Ok(dataset) = written.open() {
            read += 1;
            for reference in &dataset.references {
                let _ = (reference.mask(Overlap::Lavt), reference.picture());
            }
        }
        fs::write(written.path().join("shapes").join(name), original).unwrap();
    }
    assert!((1..1000).contains(&read), "{read}");
}
