//! The shape of an annotated object as COCO writes it, and the mask it stands for.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer};

use crate::data::mask::{Crossings, Mask, Overlap, Rle, check_polygon, check_size, paint};
use crate::error::{Error, ErrorKind, Result};

/// One object: polygons, or run lengths.
#[derive(Clone, Debug, PartialEq)]
pub enum Segmentation {
    /// Each `[x1, y1, x2, y2, ...]` in pixels; several where the object is hidden in part.
    Polygons(Vec<Vec<f64>>),
    /// Run lengths; a crowd has one.
    Runs(Vec<Runs>),
}

/// Run lengths with the picture's `[height, width]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Runs {
    pub size: [usize; 2],
    pub counts: Counts,
}

/// Run lengths as a list or as compressed text.
#[derive(Clone, Debug, PartialEq)]
pub enum Counts {
    List(Vec<u32>),
    Text(String),
}

impl Segmentation {
    /// Checks what can be checked at once, without a mask: polygons with enough finite
    /// coordinates, run lengths of the picture's size.
    pub fn check(&self, height: usize, width: usize) -> Result<()> {
        check_size(height, width)?;
        let parts = match self {
            Segmentation::Polygons(polygons) => {
                polygons.iter().try_for_each(|points| check_polygon(points))?;
                polygons.len()
            }
            Segmentation::Runs(runs) => {
                runs.iter().try_for_each(|runs| runs.decode(height, width).map(drop))?;
                runs.len()
            }
        };
        if parts > 0 {
            return Ok(());
        }
        Err(wrong("a segmentation of one or more polygons or run lengths is expected; found none"))
    }

    /// The object's pixels in a picture of `height` x `width`.
    pub fn mask(&self, height: usize, width: usize, overlap: Overlap) -> Result<Mask> {
        self.check(height, width)?;
        let mut budget = Crossings::default();
        let layers: Vec<Rle> = match self {
            Segmentation::Polygons(polygons) => polygons
                .iter()
                .map(|points| Rle::from_polygon(points, height, width, &mut budget))
                .collect::<Result<_>>()?,
            Segmentation::Runs(runs) => {
                runs.iter().map(|runs| runs.decode(height, width)).collect::<Result<_>>()?
            }
        };
        Ok(paint(height, width, &layers, overlap))
    }
}

impl Runs {
    fn decode(&self, height: usize, width: usize) -> Result<Rle> {
        if self.size != [height, width] {
            let [found_height, found_width] = self.size;
            return Err(wrong(format!(
                "run lengths for the picture's height {height} and width {width} are expected; \
                 found height {found_height} and width {found_width}"
            )));
        }
        match &self.counts {
            Counts::List(counts) => Rle::from_counts(height, width, counts.clone()),
            Counts::Text(text) => Rle::from_text(height, width, text),
        }
    }
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Data, message)
}

impl<'de> Deserialize<'de> for Segmentation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(SegmentationVisitor)
    }
}

struct SegmentationVisitor;

impl<'de> Visitor<'de> for SegmentationVisitor {
    type Value = Segmentation;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a list of polygons [[x1, y1, x2, y2, ...], ...] or run lengths {size, counts}")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<Self::Value, A::Error> {
        let runs = Runs::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Segmentation::Runs(vec![runs]))
    }

    fn visit_seq<A: SeqAccess<'de>>(
        self,
        mut seq: A,
    ) -> std::result::Result<Self::Value, A::Error> {
        let (mut polygons, mut all_runs) = (Vec::new(), Vec::new());
        while let Some(part) = seq.next_element()? {
            match part {
                Part::Polygon(points) => polygons.push(points),
                Part::Runs(runs) => all_runs.push(runs),
            }
            if !polygons.is_empty() && !all_runs.is_empty() {
                return Err(de::Error::custom("polygons and run lengths in one segmentation"));
            }
        }
        if all_runs.is_empty() {
            return Ok(Segmentation::Polygons(polygons));
        }
        Ok(Segmentation::Runs(all_runs))
    }
}

enum Part {
    Polygon(Vec<f64>),
    Runs(Runs),
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(PartVisitor)
    }
}

struct PartVisitor;

impl<'de> Visitor<'de> for PartVisitor {
    type Value = Part;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a polygon [x1, y1, x2, y2, ...] or run lengths {size, counts}")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<Part, A::Error> {
        Runs::deserialize(MapAccessDeserializer::new(map)).map(Part::Runs)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Part, A::Error> {
        let mut points = Vec::new();
        while let Some(x) = seq.next_element()? {
            points.push(x);
        }
        Ok(Part::Polygon(points))
    }
}

impl<'de> Deserialize<'de> for Counts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(CountsVisitor)
    }
}

struct CountsVisitor;

impl<'de> Visitor<'de> for CountsVisitor {
    type Value = Counts;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("run lengths as a list of integers or as compressed text")
    }

    fn visit_str<E>(self, text: &str) -> std::result::Result<Counts, E> {
        Ok(Counts::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Counts, A::Error> {
        let mut counts = Vec::new();
        while let Some(count) = seq.next_element()? {
            counts.push(count);
        }
        Ok(Counts::List(counts))
    }
}
