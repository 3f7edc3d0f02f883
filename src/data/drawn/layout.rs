//! The made data set as files: drawn beside the place where it is to stand, then moved there.
//!
//! ```text
//! <root>/shapes/refs(drawn).p     pickle: list of dicts as REFER has them; a sentence has one more
//!                                 key, "kind": "colour", "size", "place" or "relation"
//! <root>/shapes/instances.json    COCO: pictures, objects as polygons, shapes as categories
//! <root>/shapes/vocab.txt         WordPiece vocabulary: [PAD], every word used, every letter
//! <root>/shapes/drawn.json        what it was made from, by which it is known again
//! <root>/images/mscoco/images/train2014/COCO_train2014_%012d.png
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::compose::{Composition, Reference, Split, compose, stream};
use super::paint::paint;
use super::phrase;
use super::pickling::pickle;
use super::scene::{Object, Shape, area, bounds};
use crate::data::image::write_png;
use crate::error::{Error, ErrorKind, Result};
use crate::rng::Philox;

const DATASET: &str = "shapes";
const PICTURES: &str = "images/mscoco/images/train2014";
const MARKER: &str = "drawn.json";
/// Counts up when the same options begin to give other files.
const VERSION: u32 = 2;

/// How many scenes each split has. The same options give the same bytes on every machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    pub seed: u64,
    pub train: usize,
    pub val: usize,
    /// Scenes of four objects; other splits have two or three.
    pub test_a: usize,
    /// Scenes with references to red triangles, green circles, blue stars and yellow squares, which
    /// no other split shows.
    pub test_b: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { seed: 0, train: 3000, val: 300, test_a: 150, test_b: 150 }
    }
}

/// What stands on disk after `write`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// False if it stood there already.
    pub made: bool,
    pub pictures: usize,
    pub references: usize,
    pub sentences: usize,
}

/// The content of `drawn.json`.
#[derive(Serialize, Deserialize)]
struct Marker {
    version: u32,
    options: Options,
    pictures: usize,
    references: usize,
    sentences: usize,
}

/// Makes the data set `shapes`, split by `drawn`, under `root`, or finds that it stands there.
///
/// Nothing is written over: a folder `shapes` of other origin or options is a usage error, and so
/// is a picture of the same name with other content. `shapes` appears last, complete; what an
/// interrupted run leaves are pictures, which the next one takes over, and folders named
/// `shapes.unfinished-*`, which may be removed.
pub fn write(root: &Path, options: &Options) -> Result<Summary> {
    let scenes = scenes(options);
    if scenes.is_empty() {
        return Err(Error::usage("a made data set of no scenes: ask for one at least"));
    }
    let home = root.join(DATASET);
    if home.exists() {
        return standing(root, options);
    }
    let pictures = root.join(PICTURES);
    make_folder(&pictures)?;
    let made_pictures = Unfinished::new(&pictures)?;
    let made_home = Unfinished::new(root)?;
    let compositions = scenes
        .par_iter()
        .enumerate()
        .map(|(i, &(split, index))| {
            let composition = compose(options.seed, split, index);
            let texture = Philox::new(options.seed, stream(split, index, 1));
            let picture = paint(&composition.scene, &mut texture.reader());
            write_png(&made_pictures.0.join(picture_name(i)), &picture)?;
            Ok((split, composition))
        })
        .collect::<Result<Vec<_>>>()?;
    let marker = write_records(&made_home.0, options, &compositions)?;
    settle_pictures(&made_pictures.0, &pictures, compositions.len())?;
    fs::rename(&made_home.0, &home).map_err(|e| Error::io(&home, "moving into place", e))?;
    Ok(marker.summary(true))
}

impl Marker {
    fn summary(&self, made: bool) -> Summary {
        let &Marker { pictures, references, sentences, .. } = self;
        Summary { made, pictures, references, sentences }
    }
}

/// Every scene as split and index within it, in the order of the files.
fn scenes(options: &Options) -> Vec<(Split, usize)> {
    let count = |split| match split {
        Split::Train => options.train,
        Split::Val => options.val,
        Split::TestA => options.test_a,
        Split::TestB => options.test_b,
    };
    Split::ALL.into_iter().flat_map(|split| (0..count(split)).map(move |i| (split, i))).collect()
}

/// Says that the data set is there, or why what is there is not it.
fn standing(root: &Path, options: &Options) -> Result<Summary> {
    let home = root.join(DATASET);
    let path = home.join(MARKER);
    let refused = |why: &str| {
        let advice = "choose another folder, or remove this one and its pictures";
        Err(Error::usage(format!("{}: stands there already and {why}; {advice}", home.display())))
    };
    let Ok(bytes) = fs::read(&path) else {
        return refused(&format!("has no {MARKER}, so it is not a made data set"));
    };
    let Ok(marker) = serde_json::from_slice::<Marker>(&bytes) else {
        return refused(&format!("its {MARKER} is not readable"));
    };
    if marker.options != *options || marker.version != VERSION {
        let found = format!("version {}, {:?}", marker.version, marker.options);
        return refused(&format!("was made from {found}, not from version {VERSION}, {options:?}"));
    }
    let pictures = root.join(PICTURES);
    match (0..marker.pictures).map(|i| pictures.join(picture_name(i))).find(|p| !p.is_file()) {
        Some(missing) => refused(&format!("its picture {} is missing", missing.display())),
        None => Ok(marker.summary(false)),
    }
}

/// File name of the picture at a place in the order of all; its COCO id is one more.
fn picture_name(index: usize) -> String {
    format!("COCO_train2014_{:012}.png", index + 1)
}

/// A folder for unfinished files, removed when dropped unless it was moved away.
struct Unfinished(PathBuf);

impl Unfinished {
    fn new(parent: &Path) -> Result<Self> {
        let names = (0..1000).map(|i| parent.join(format!("{DATASET}.unfinished-{i}")));
        for path in names {
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(Error::io(&path, "making the folder", e)),
            }
        }
        let message = format!("{}: remove its {DATASET}.unfinished-* folders", parent.display());
        Err(Error::new(ErrorKind::Io, message))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Best effort: an error on the way out would hide the one that led here.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|e| Error::io(path, "making the folder", e))
}

/// Moves the pictures to their place, once it is certain that none hides another's.
fn settle_pictures(from: &Path, to: &Path, count: usize) -> Result<()> {
    let read = |path: &Path| fs::read(path).map_err(|e| Error::io(path, "reading", e));
    let pairs = || (0..count).map(picture_name).map(|name| (from.join(&name), to.join(&name)));
    for (new, old) in pairs().filter(|(_, old)| old.exists()) {
        if read(&new)? != read(&old)? {
            let message = "is another picture than the one to be made; choose another folder";
            return Err(Error::usage(format!("{}: {message}, or remove it", old.display())));
        }
    }
    for (new, place) in pairs() {
        fs::rename(&new, &place).map_err(|e| Error::io(&place, "moving into place", e))?;
    }
    Ok(())
}

/// Writes everything but the pictures.
fn write_records(
    folder: &Path,
    options: &Options,
    compositions: &[(Split, Composition)],
) -> Result<Marker> {
    let mut records = Records::default();
    for (split, composition) in compositions {
        records.add(*split, composition);
    }
    let (references, sentences) = (records.references.len(), records.sentences);
    let pictures = compositions.len();
    let options = options.clone();
    let marker = Marker { version: VERSION, options, pictures, references, sentences };
    let put = |name: &str, bytes: Vec<u8>| {
        let path = folder.join(name);
        fs::write(&path, bytes).map_err(|e| Error::io(&path, "writing", e))
    };
    put("refs(drawn).p", pickle(&Value::Array(std::mem::take(&mut records.references))))?;
    put("instances.json", records.instances().to_string().into_bytes())?;
    put("vocab.txt", vocabulary().into_bytes())?;
    put(MARKER, (json!(marker).to_string() + "\n").into_bytes())?;
    Ok(marker)
}

/// What the files hold, in the making; ids count from 1, those of references and sentences from 0.
#[derive(Default)]
struct Records {
    images: Vec<Value>,
    annotations: Vec<Value>,
    references: Vec<Value>,
    sentences: usize,
}

impl Records {
    fn add(&mut self, split: Split, composition: &Composition) {
        let scene = &composition.scene;
        let name = picture_name(self.images.len());
        let image = self.images.len() + 1;
        self.images.push(json!({
            "license": 1, "file_name": name, "height": scene.height, "width": scene.width, "id": image,
        }));
        let first = self.annotations.len() + 1;
        for (i, object) in scene.objects.iter().enumerate() {
            self.annotations.push(annotation(object, image, first + i));
        }
        for reference in &composition.references {
            let category = category(scene.objects[reference.object].look.shape);
            let id = first + reference.object;
            let mut record = self.reference(reference);
            record.insert("ann_id".into(), json!(id));
            record.insert("image_id".into(), json!(image));
            record.insert("category_id".into(), json!(category));
            record.insert("split".into(), json!(split.name()));
            // As in REFER, where this is not the name of a file.
            let name = name.replace(".png", &format!("_{id}.png"));
            record.insert("file_name".into(), json!(name));
            self.references.push(record.into());
        }
    }

    fn reference(&mut self, reference: &Reference) -> Map<String, Value> {
        let first = self.sentences;
        self.sentences += reference.sentences.len();
        let sentences = reference.sentences.iter().enumerate().map(|(i, sentence)| {
            let (text, kind) = (&sentence.text, sentence.kind.name());
            let tokens: Vec<_> = text.split(' ').collect();
            json!({"tokens": tokens, "raw": text, "sent_id": first + i, "sent": text, "kind": kind})
        });
        let mut record = Map::new();
        record.insert("sentences".into(), sentences.collect());
        record.insert("sent_ids".into(), (first..self.sentences).collect());
        record.insert("ref_id".into(), json!(self.references.len()));
        record
    }

    fn instances(self) -> Value {
        let name = |shape: &Shape| json!({"supercategory": "shape", "id": category(*shape), "name": shape.name()});
        json!({
            "info": {"description": "crformer's made data set of shapes", "version": VERSION.to_string()},
            "licenses": [{"id": 1, "name": "CC0"}],
            "images": self.images,
            "annotations": self.annotations,
            "categories": Shape::ALL.iter().map(name).collect::<Value>(),
        })
    }
}

fn category(shape: Shape) -> usize {
    shape as usize + 1
}

fn annotation(object: &Object, image: usize, id: usize) -> Value {
    let [left, top, right, bottom] = bounds(&object.outline);
    let hundredths = |x: f64| (x * 100.0).round() / 100.0;
    let [width, height] = [right - left, bottom - top].map(hundredths);
    let polygon: Vec<_> = object.outline.iter().flatten().collect();
    json!({
        "segmentation": [polygon], "area": hundredths(area(&object.outline)), "iscrowd": 0,
        "image_id": image, "bbox": [left, top, width, height],
        "category_id": category(object.look.shape), "id": id,
    })
}

/// One token a line: specials, every word of the phrases, then letters, digits and punctuation so
/// that other words come apart instead of becoming `[UNK]`.
fn vocabulary() -> String {
    let mut tokens: Vec<String> =
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(String::from).into();
    tokens.extend(phrase::words().into_iter().map(String::from));
    let printable = || ('!'..='~').filter(|c| !c.is_ascii_uppercase());
    tokens.extend(printable().map(String::from));
    tokens.extend(printable().filter(char::is_ascii_alphanumeric).map(|c| format!("##{c}")));
    tokens.join("\n") + "\n"
}
