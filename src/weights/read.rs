//! A safetensors file, read strictly: the one door to the safetensors crate.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorInfo;
use safetensors::{Dtype, SafeTensors};
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};

use crate::error::{Error, Result};

/// A file of named tensors, whole in memory.
pub struct TensorFile {
    path: PathBuf,
    bytes: Vec<u8>,
    tensors: BTreeMap<String, Stored>,
}

/// Where a tensor's numbers lie among the file's bytes, and what they are.
struct Stored {
    dtype: Dtype,
    extents: Vec<usize>,
    place: Range<usize>,
}

impl TensorFile {
    /// Reads a file and checks its structure: names once each, extents and offsets that fit.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(|e| Error::io(path, "reading", e))?;
        // Before the crate looks: it would only see the gap that the first of the two leaves.
        if let Some(name) = doubled_name(&bytes) {
            return Err(Error::data(path, format!("tensor {name} is there twice")));
        }
        let (header_len, header) = SafeTensors::read_metadata(&bytes).map_err(|e| {
            let advice = "it may be cut off or no safetensors file at all; get it again";
            Error::data(path, format!("not a whole safetensors file ({e}); {advice}"))
        })?;
        let numbers = 8 + header_len;
        let stored = |(name, info): (String, &TensorInfo)| {
            let (start, end) = info.data_offsets;
            let place = numbers + start..numbers + end;
            (name, Stored { dtype: info.dtype, extents: info.shape.clone(), place })
        };
        let tensors = header.tensors().into_iter().map(stored).collect();
        Ok(Self { path: path.to_owned(), bytes, tensors })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    fn find(&self, name: &str) -> Result<(Dtype, &[u8])> {
        let found = self.tensors.get(name).ok_or_else(|| self.missing(name))?;
        Ok((found.dtype, &self.bytes[found.place.clone()])) // checked when the file was opened
    }

    /// Names in alphabetical order.
    pub fn names(&self) -> Vec<String> {
        self.tensors.keys().cloned().collect()
    }

    /// Extents of a tensor, if the file has it.
    pub fn extents(&self, name: &str) -> Option<Vec<usize>> {
        self.tensors.get(name).map(|tensor| tensor.extents.clone())
    }

    /// The numbers of a tensor of any floating-point type.
    ///
    /// # Errors
    /// No such tensor, or one of whole numbers.
    pub fn real(&self, name: &str) -> Result<Vec<f64>> {
        let (dtype, bytes) = self.find(name)?;
        match dtype {
            Dtype::F32 => Ok(numbers(bytes, |b| f64::from(f32::from_le_bytes(b)))),
            Dtype::F64 => Ok(numbers(bytes, f64::from_le_bytes)),
            Dtype::F16 => Ok(numbers(bytes, |b| half::f16::from_le_bytes(b).to_f64())),
            Dtype::BF16 => Ok(numbers(bytes, |b| half::bf16::from_le_bytes(b).to_f64())),
            other => Err(self.wrong_type(name, "floating-point numbers", other)),
        }
    }

    /// The numbers of a tensor of any type of whole numbers.
    ///
    /// # Errors
    /// No such tensor, one of another type, or a number beyond 32 bits.
    pub fn index(&self, name: &str) -> Result<Vec<i32>> {
        let (dtype, bytes) = self.find(name)?;
        let wide: Vec<i64> = match dtype {
            Dtype::U8 | Dtype::BOOL => numbers(bytes, |b: [u8; 1]| i64::from(b[0])),
            Dtype::I32 => numbers(bytes, |b| i64::from(i32::from_le_bytes(b))),
            Dtype::I64 => numbers(bytes, i64::from_le_bytes),
            other => return Err(self.wrong_type(name, "whole numbers", other)),
        };
        wide.into_iter().map(i32::try_from).collect::<std::result::Result<_, _>>().map_err(|_| {
            Error::data(&self.path, format!("tensor {name} holds a number beyond 32 bits"))
        })
    }

    /// Says that a tensor is missing.
    pub fn missing(&self, name: &str) -> Error {
        Error::data(&self.path, format!("tensor {name} is missing"))
    }

    fn wrong_type(&self, name: &str, expected: &str, found: Dtype) -> Error {
        let message = format!("tensor {name} should hold {expected}, it holds {found:?}");
        Error::data(&self.path, message)
    }
}

fn numbers<const N: usize, T>(bytes: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
    let exact = bytes.chunks_exact(N);
    exact.map(|b| convert(b.try_into().expect("chunks of this size"))).collect()
}

/// The first name that the header has twice: the format forbids it, the crate takes the last.
fn doubled_name(bytes: &[u8]) -> Option<String> {
    let len = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
    let header = bytes.get(8..8usize.checked_add(usize::try_from(len).ok()?)?)?;
    serde_json::Deserializer::from_slice(header).deserialize_map(Doubled).ok().flatten()
}

struct Doubled;

impl<'de> Visitor<'de> for Doubled {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a header of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(
        self,
        mut map: A,
    ) -> std::result::Result<Self::Value, A::Error> {
        let mut seen = HashSet::new();
        let mut doubled = None;
        while let Some((name, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
            if !seen.insert(name.clone()) {
                doubled.get_or_insert(name);
            }
        }
        Ok(doubled)
    }
}
