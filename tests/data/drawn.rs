//! The made data set: what is on disk, judged from pixels and English alone.

mod disk;
mod listener;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crformer::data::drawn::{Options, Summary, write};
use crformer::error::ErrorKind;
use disk::{Seen, Sight};
use serde_json::{Value, json};
use tempfile::TempDir;

const OPTIONS: Options = Options { seed: 7, train: 240, val: 40, test_a: 40, test_b: 40 };
const FEW: Options = Options { seed: 3, train: 6, val: 2, test_a: 2, test_b: 2 };

/// One data set for all tests that only read.
struct Made {
    folder: TempDir,
    summary: Summary,
    instances: Value,
    references: Vec<Value>,
    /// By image id.
    sights: BTreeMap<u64, Sight>,
}

fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = TempDir::new().unwrap();
        let summary = write(folder.path(), &OPTIONS).unwrap();
        let instances = disk::instances(folder.path());
        let references = disk::references(folder.path());
        let images = instances["images"].as_array().unwrap().iter();
        let sight = |image| disk::sight(folder.path(), &instances, image);
        let sights = images.map(|image| (image["id"].as_u64().unwrap(), sight(image))).collect();
        Made { summary, references, sights, instances, folder }
    })
}

impl Made {
    fn list(&self, key: &str) -> &Vec<Value> {
        self.instances[key].as_array().unwrap()
    }

    fn sight(&self, record: &Value) -> &Sight {
        &self.sights[&record["image_id"].as_u64().unwrap()]
    }

    fn target(&self, reference: &Value) -> &Seen {
        let id = reference["ann_id"].as_u64().unwrap();
        self.sight(reference).objects.iter().find(|object| object.id == id).unwrap()
    }
}

fn sentences(reference: &Value) -> &Vec<Value> {
    reference["sentences"].as_array().unwrap()
}

/// Every file below a folder with its content.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_owned();
                all.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    all
}

#[test]
fn every_sentence_means_its_object_and_needs_its_kind() {
    for reference in &made().references {
        let objects = &made().sight(reference).objects;
        for sentence in sentences(reference) {
            let text = sentence["sent"].as_str().unwrap();
            let found = listener::find(objects, text)
                .unwrap_or_else(|doubt| panic!("{text:?} in {}: {doubt}", reference["file_name"]));
            assert_eq!(found.id, made().target(reference).id, "{text:?}");
            assert_eq!(listener::kind(objects, text), sentence["kind"].as_str(), "{text:?}");
        }
    }
}

/// Small and large differ by 1.5 in length wherever a phrase rests on it.
#[test]
fn sizes_differ_clearly() {
    for object in made().sights.values().flat_map(|sight| &sight.objects) {
        let share = object.share;
        assert!((0.06..0.086).contains(&share) || (0.17..0.205).contains(&share), "{object:?}");
    }
}

#[test]
fn objects_lie_apart_and_within() {
    for annotation in made().list("annotations") {
        let sight = made().sight(annotation);
        let (width, height) = (sight.width as f64, sight.height as f64);
        let outline = disk::polygon(annotation);
        let inside =
            |p: &[f64; 2]| p[0] > 1.0 && p[0] < width - 1.0 && p[1] > 1.0 && p[1] < height - 1.0;
        assert!(outline.iter().all(inside), "{outline:?}");
        let id = annotation["id"].as_u64();
        let own = sight.objects.iter().find(|object| Some(object.id) == id).unwrap();
        // Two pixels in every direction belong to nobody else.
        for other in sight.objects.iter().filter(|other| Some(other.id) != id) {
            for i in (0..own.mask.len()).filter(|&i| own.mask[i]) {
                let near = [i - 2, i + 2, i - 2 * sight.width, i + 2 * sight.width];
                assert!(near.iter().all(|&j| !other.mask.get(j).copied().unwrap_or(false)));
            }
        }
    }
}

/// The edge of a mask is where the strong colour of a shape ends and the grey of the ground begins.
#[test]
fn masks_are_what_is_painted() {
    for image in made().list("images") {
        let pixels = disk::picture(made().folder.path(), image["file_name"].as_str().unwrap());
        let sight = &made().sights[&image["id"].as_u64().unwrap()];
        let strong = |rgb: &image::Rgb<u8>| {
            let [most, least] = [rgb.0.iter().max(), rgb.0.iter().min()].map(|x| *x.unwrap());
            f64::from(most - least) > 0.4 * f64::from(most)
        };
        let (mut both, mut either) = (0.0, 0.0);
        for (i, rgb) in pixels.pixels().enumerate() {
            let mask = sight.objects.iter().any(|object| object.mask[i]);
            both += f64::from(u8::from(mask && strong(rgb)));
            either += f64::from(u8::from(mask || strong(rgb)));
        }
        assert!(both > 0.95 * either, "{both} of {either} in {image}");
    }
}

/// Measured on a raster of a quarter pixel, which is slow: on every seventh object.
#[test]
fn area_and_box_are_those_of_the_polygon() {
    for annotation in made().list("annotations").iter().step_by(7) {
        let sight = made().sight(annotation);
        let fine: Vec<_> = disk::polygon(annotation).iter().map(|p| p.map(|x| 4.0 * x)).collect();
        let width = 4 * sight.width;
        let mask = disk::raster(&fine, width, 4 * sight.height);
        let (mut area, mut low, mut high) = (0.0, [f64::INFINITY; 2], [0.0f64; 2]);
        for i in (0..mask.len()).filter(|&i| mask[i]) {
            area += 1.0 / 16.0;
            for (axis, at) in [i % width, i / width].into_iter().enumerate() {
                low[axis] = low[axis].min(at as f64 / 4.0);
                high[axis] = high[axis].max((at + 1) as f64 / 4.0);
            }
        }
        let written = annotation["area"].as_f64().unwrap();
        assert!((written - area).abs() < 0.02 * written, "{area} in {annotation}");
        let expected = [low[0], low[1], high[0] - low[0], high[1] - low[1]];
        for (expected, found) in expected.iter().zip(annotation["bbox"].as_array().unwrap()) {
            assert!((expected - found.as_f64().unwrap()).abs() < 1.0, "{expected} in {annotation}");
        }
    }
}

#[test]
fn records_join() {
    let annotations: BTreeMap<u64, &Value> =
        made().list("annotations").iter().map(|a| (a["id"].as_u64().unwrap(), a)).collect();
    assert_eq!(annotations.len(), made().list("annotations").len());
    let mut sentence_ids = 0..made().summary.sentences;
    for (i, reference) in made().references.iter().enumerate() {
        let annotation = annotations[&reference["ann_id"].as_u64().unwrap()];
        assert_eq!(reference["ref_id"], json!(i));
        assert_eq!(reference["image_id"], annotation["image_id"]);
        assert_eq!(reference["category_id"], annotation["category_id"]);
        for (sentence, id) in
            sentences(reference).iter().zip(reference["sent_ids"].as_array().unwrap())
        {
            assert_eq!(sentence["sent_id"], *id);
            assert_eq!(*id, json!(sentence_ids.next().unwrap()));
            let text = sentence["sent"].as_str().unwrap();
            assert_eq!(sentence["raw"], json!(text));
            assert_eq!(sentence["tokens"], json!(text.split(' ').collect::<Vec<_>>()));
        }
    }
    assert_eq!(sentence_ids.len(), 0);
    assert_eq!(made().summary.references, made().references.len());
    assert_eq!(made().summary.pictures, made().list("images").len());
}

#[test]
fn splits_hold_what_they_promise() {
    let held_out = |object: &Seen| {
        [("red", "triangle"), ("green", "circle"), ("blue", "star"), ("yellow", "square")]
            .contains(&(object.colour, object.shape))
    };
    let mut pictures: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for reference in &made().references {
        let split = reference["split"].as_str().unwrap();
        let objects = &made().sight(reference).objects;
        pictures.entry(split).or_default().insert(reference["image_id"].as_u64().unwrap());
        match split {
            "testA" => assert_eq!(objects.len(), 4),
            _ => assert!((2..=3).contains(&objects.len())),
        }
        match split {
            "testB" => assert!(held_out(made().target(reference))),
            _ => assert!(!objects.iter().any(held_out)),
        }
        let texts: BTreeSet<_> = sentences(reference).iter().map(|s| s["sent"].as_str()).collect();
        assert!((1..=3).contains(&texts.len()) && texts.len() == sentences(reference).len());
    }
    let counts: Vec<_> = pictures.iter().map(|(split, ids)| (*split, ids.len())).collect();
    assert_eq!(counts, [("testA", 40), ("testB", 40), ("train", 240), ("val", 40)]);
}

/// 40, 20, 25 and 15 of a hundred are meant; with some 550 sentences two standard deviations are 4.
#[test]
fn kinds_and_shapes_are_mixed() {
    let train = || made().references.iter().filter(|reference| reference["split"] == "train");
    let kinds: Vec<_> = train().flat_map(sentences).map(|s| s["kind"].as_str().unwrap()).collect();
    for (kind, meant) in [("colour", 40.0), ("size", 20.0), ("place", 25.0), ("relation", 15.0)] {
        let found =
            kinds.iter().filter(|k| **k == kind).count() as f64 * 100.0 / kinds.len() as f64;
        assert!((found - meant).abs() < 7.0, "{kind}: {found} of a hundred");
    }
    let shapes: Vec<_> = train().map(|reference| made().target(reference).shape).collect();
    for shape in ["circle", "square", "triangle", "star"] {
        let share = shapes.iter().filter(|s| **s == shape).count() as f64 / shapes.len() as f64;
        assert!((0.15..0.4).contains(&share), "{shape}: {share}");
    }
}

#[test]
fn every_word_is_in_the_vocabulary_and_short_enough() {
    let text = fs::read_to_string(made().folder.path().join("shapes/vocab.txt")).unwrap();
    let tokens: Vec<_> = text.lines().collect();
    let known: BTreeSet<_> = tokens.iter().copied().collect();
    assert_eq!(known.len(), tokens.len());
    assert_eq!(tokens[..5], ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]);
    for letter in 'a'..='z' {
        assert!(known.contains(&*letter.to_string()) && known.contains(&*format!("##{letter}")));
    }
    let mut used = BTreeSet::new();
    for sentence in made().references.iter().flat_map(sentences) {
        let words: Vec<_> = sentence["sent"].as_str().unwrap().split(' ').collect();
        assert!(words.len() <= 8, "{words:?}");
        used.extend(words);
    }
    assert!(used.is_subset(&known), "{:?}", used.difference(&known));
    let spare = known.difference(&used).filter(|token| token.len() > 3 && !token.starts_with('['));
    assert_eq!(spare.count(), 0, "words that no phrase uses");
}

#[test]
fn the_same_options_give_the_same_bytes() {
    let [one, two, more] = [(); 3].map(|()| TempDir::new().unwrap());
    write(one.path(), &FEW).unwrap();
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    alone.install(|| write(two.path(), &FEW)).unwrap();
    assert_eq!(files(one.path()), files(two.path()));
    write(more.path(), &Options { train: 9, ..FEW }).unwrap();
    let name = |id| format!("images/mscoco/images/train2014/COCO_train2014_{id:012}.png");
    let same = |a: u32, b: u32| {
        files(one.path())[Path::new(&name(a))] == files(more.path())[Path::new(&name(b))]
    };
    assert!(same(6, 6), "a longer split begins with the shorter");
    assert!(same(7, 10), "the validation scenes do not depend on the number of training scenes");
}

/// A number frozen over records and decoded pixels: another machine, compiler or library must give
/// it again. Who changes the pictures on purpose counts `VERSION` up and freezes it anew.
#[test]
fn the_content_is_frozen() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), &FEW).unwrap();
    let mut bytes = fs::read(folder.path().join("shapes/refs(drawn).p")).unwrap();
    bytes.extend(fs::read(folder.path().join("shapes/instances.json")).unwrap());
    for image in disk::instances(folder.path())["images"].as_array().unwrap() {
        bytes.extend(disk::picture(folder.path(), image["file_name"].as_str().unwrap()).into_raw());
    }
    let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    assert_eq!(
        format!("{:016x}", bytes.iter().fold(0xcbf2_9ce4_8422_2325, fnv)),
        "efb70ed43861fb31"
    );
}

#[test]
fn what_stands_is_found_again() {
    let folder = TempDir::new().unwrap();
    let first = write(folder.path(), &FEW).unwrap();
    assert!(first.made);
    let before = files(folder.path());
    assert_eq!(before.len(), first.pictures + 4, "nothing unfinished is left");
    assert_eq!(write(folder.path(), &FEW).unwrap(), Summary { made: false, ..first });
    let error = write(folder.path(), &Options { seed: 4, ..FEW }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().contains("seed: 3"), "{error}");
    assert_eq!(files(folder.path()), before);
    fs::remove_file(folder.path().join(before.keys().next().unwrap())).unwrap();
    assert!(write(folder.path(), &FEW).unwrap_err().to_string().contains("is missing"));
}

#[test]
fn nothing_of_others_is_written_over() {
    let folder = TempDir::new().unwrap();
    let theirs = folder.path().join("shapes/instances.json");
    fs::create_dir(folder.path().join("shapes")).unwrap();
    fs::write(&theirs, "theirs").unwrap();
    let error = write(folder.path(), &FEW).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().contains("not a made data set"), "{error}");
    assert_eq!(files(folder.path()).len(), 1);
    assert_eq!(fs::read(theirs).unwrap(), b"theirs");
}

/// A run that was interrupted leaves pictures but no `shapes`: the same pictures are taken over,
/// a different one is not touched.
#[test]
fn pictures_that_stand_are_taken_over_only_if_they_are_the_same() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), &FEW).unwrap();
    let whole = files(folder.path());
    fs::remove_dir_all(folder.path().join("shapes")).unwrap();
    write(folder.path(), &FEW).unwrap();
    assert_eq!(files(folder.path()), whole);
    fs::remove_dir_all(folder.path().join("shapes")).unwrap();
    let picture = whole.keys().find(|name| name.starts_with("images")).unwrap();
    fs::write(folder.path().join(picture), "theirs").unwrap();
    let before = files(folder.path());
    let error = write(folder.path(), &FEW).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().contains(picture.to_str().unwrap()), "{error}");
    assert_eq!(files(folder.path()), before);
}

#[test]
fn no_scenes_are_refused() {
    let folder = TempDir::new().unwrap();
    let none = Options { seed: 0, train: 0, val: 0, test_a: 0, test_b: 0 };
    assert_eq!(write(folder.path(), &none).unwrap_err().kind(), ErrorKind::Usage);
    assert!(files(folder.path()).is_empty());
}
