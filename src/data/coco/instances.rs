//! `instances.json`, read in one pass: of its pictures and annotations only the wanted are kept.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read};
use std::marker::PhantomData;
use std::path::Path;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::segmentation::Segmentation;
use crate::error::{Error, Result};

/// The ids of what to keep.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub images: HashSet<i64>,
    pub annotations: HashSet<i64>,
}

/// The wanted part of an `instances.json`, by id.
#[derive(Debug, Default)]
pub struct Instances {
    pub images: HashMap<i64, Image>,
    pub annotations: HashMap<i64, Annotation>,
    /// All of them, whose number is small; empty if the file has none.
    pub categories: HashMap<i64, Category>,
}

/// A picture; sizes in pixels.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Image {
    pub id: i64,
    pub file_name: String,
    pub width: usize,
    pub height: usize,
}

/// An object in a picture. `area` and `bbox` (`[x, y, width, height]`, pixels) are as the file
/// gives them, not checked against the segmentation.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Annotation {
    pub id: i64,
    pub image_id: i64,
    pub category_id: Option<i64>,
    pub segmentation: Option<Segmentation>,
    pub area: Option<f64>,
    pub bbox: Option<[f64; 4]>,
    #[serde(default)]
    pub iscrowd: u8,
}

/// A class of objects.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Category {
    pub id: i64,
    pub name: String,
}

impl Instances {
    /// Reads a file. Memory: what is wanted and one annotation. A wanted id, or a category, that
    /// stands twice is an error.
    pub fn open(path: &Path, wanted: &Wanted) -> Result<Self> {
        let file = File::open(path).map_err(|error| Error::io(path, "opening", error))?;
        Self::read(BufReader::with_capacity(1 << 20, file), path, wanted)
    }

    /// Reads from `reader`; `path` is for messages, which give line and column.
    pub fn read(reader: impl Read, path: &Path, wanted: &Wanted) -> Result<Self> {
        let mut json = serde_json::Deserializer::from_reader(reader);
        let read = InstancesVisitor { wanted };
        let instances = json.deserialize_map(read).and_then(|found| json.end().map(|()| found));
        instances.map_err(|error| match error.classify() {
            serde_json::error::Category::Io => Error::io(path, "reading", error.into()),
            serde_json::error::Category::Eof => {
                Error::data(path, format!("the file is cut off ({error}); fetch it again"))
            }
            serde_json::error::Category::Syntax | serde_json::error::Category::Data => Error::data(
                path,
                format!("{error}; expected COCO's {{images, annotations, categories}}"),
            ),
        })
    }
}

struct InstancesVisitor<'a> {
    wanted: &'a Wanted,
}

impl<'de> Visitor<'de> for InstancesVisitor<'_> {
    type Value = Instances;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object with images and annotations")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Instances, A::Error> {
        let (mut images, mut annotations, mut categories) = (None, None, None);
        while let Some(key) = map.next_key::<String>()? {
            let before = match key.as_str() {
                "images" => {
                    images.replace(map.next_value_seed(kept(Some(&self.wanted.images)))?).is_some()
                }
                "annotations" => {
                    let kept = kept(Some(&self.wanted.annotations));
                    annotations.replace(map.next_value_seed(kept)?).is_some()
                }
                "categories" => categories.replace(map.next_value_seed(kept(None))?).is_some(),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    false
                }
            };
            if before {
                return Err(de::Error::custom(format!("{key:?} stands twice")));
            }
        }
        Ok(Instances {
            images: images.ok_or_else(|| de::Error::missing_field("images"))?,
            annotations: annotations.ok_or_else(|| de::Error::missing_field("annotations"))?,
            categories: categories.unwrap_or_default(),
        })
    }
}

/// An entry of one of the file's lists.
trait Entry {
    const NAME: &'static str;
    fn id(&self) -> i64;
}

impl Entry for Image {
    const NAME: &'static str = "image";
    fn id(&self) -> i64 {
        self.id
    }
}

impl Entry for Annotation {
    const NAME: &'static str = "annotation";
    fn id(&self) -> i64 {
        self.id
    }
}

impl Entry for Category {
    const NAME: &'static str = "category";
    fn id(&self) -> i64 {
        self.id
    }
}

/// Reads a list and keeps the entries with a wanted id, or all.
struct Kept<'a, T> {
    wanted: Option<&'a HashSet<i64>>,
    entry: PhantomData<T>,
}

fn kept<T>(wanted: Option<&HashSet<i64>>) -> Kept<'_, T> {
    Kept { wanted, entry: PhantomData }
}

impl<'de, T: Entry + Deserialize<'de>> DeserializeSeed<'de> for Kept<'_, T> {
    type Value = HashMap<i64, T>;

    fn deserialize<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> std::result::Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Entry + Deserialize<'de>> Visitor<'de> for Kept<'_, T> {
    type Value = HashMap<i64, T>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "a list with one {} after the other", T::NAME)
    }

    fn visit_seq<A: SeqAccess<'de>>(
        self,
        mut seq: A,
    ) -> std::result::Result<Self::Value, A::Error> {
        let mut entries = HashMap::new();
        while seq.next_element_seed(Next { wanted: self.wanted, entries: &mut entries })?.is_some()
        {
        }
        Ok(entries)
    }
}

/// Reads one entry of a list and keeps it if it is wanted. That its id is new is checked here, in
/// the reading of the entry itself, so that the error's line is that of the entry.
struct Next<'a, T> {
    wanted: Option<&'a HashSet<i64>>,
    entries: &'a mut HashMap<i64, T>,
}

impl<'de, T: Entry + Deserialize<'de>> DeserializeSeed<'de> for Next<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, entry: D) -> std::result::Result<(), D::Error> {
        entry.deserialize_map(self)
    }
}

impl<'de, T: Entry + Deserialize<'de>> Visitor<'de> for Next<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "an object, the {}", T::NAME)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<(), A::Error> {
        let entry = T::deserialize(MapAccessDeserializer::new(map))?;
        let id = entry.id();
        if self.wanted.is_some_and(|wanted| !wanted.contains(&id)) {
            return Ok(());
        }
        match self.entries.insert(id, entry) {
            None => Ok(()),
            Some(_) => Err(de::Error::custom(format!("{} id {id} stands twice", T::NAME))),
        }
    }
}
