//! Writing a safetensors file: a header of names, extents and offsets, then the numbers, streamed.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::error::Result;
use crate::file::write_whole;

/// A tensor to write: how many numbers follows from the extents, the numbers come when asked for,
/// so that a checkpoint is never in memory twice.
pub struct Entry {
    pub name: String,
    pub extents: Vec<usize>,
    /// Whether its numbers are written as `f64` instead of `f32`.
    pub double: bool,
}

impl Entry {
    pub fn new(name: &str, extents: &[usize], double: bool) -> Self {
        Self { name: name.to_owned(), extents: extents.to_vec(), double }
    }

    fn len(&self) -> usize {
        self.extents.iter().product()
    }
}

/// Writes the entries in order; `fill` puts the numbers of entry `i` into the room it is given
/// (as `f64`, which holds every `f32`).
pub fn save(
    path: &Path,
    metadata: &[(&str, String)],
    entries: &[Entry],
    mut fill: impl FnMut(usize, &mut [f64]) -> Result<()>,
) -> Result<()> {
    let header = header(metadata, entries);
    let mut room = Vec::new();
    let mut failure = None;
    let written = write_whole(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        for (i, entry) in entries.iter().enumerate() {
            room.resize(entry.len(), 0.0);
            if let Err(error) = fill(i, &mut room) {
                failure = Some(error);
                return Err(io::Error::other("the numbers could not be read"));
            }
            put(file, &room, entry.double)?;
        }
        Ok(())
    });
    match failure {
        Some(error) => Err(error),
        None => written,
    }
}

fn put(file: &mut impl Write, numbers: &[f64], double: bool) -> io::Result<()> {
    for chunk in numbers.chunks(1 << 16) {
        if double {
            file.write_all(bytemuck::cast_slice(chunk))?;
        } else {
            let single: Vec<f32> = chunk.iter().map(|&x| x as f32).collect();
            file.write_all(bytemuck::cast_slice(&single))?;
        }
    }
    Ok(())
}

/// The JSON header, padded with spaces so that the numbers begin at a multiple of 8.
fn header(metadata: &[(&str, String)], entries: &[Entry]) -> Vec<u8> {
    let mut map = Map::new();
    let about: Map<String, Value> =
        metadata.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    map.insert("__metadata__".to_owned(), Value::Object(about));
    let mut end = 0;
    for entry in entries {
        let (width, dtype) = if entry.double { (8, "F64") } else { (4, "F32") };
        let start = end;
        end += entry.len() * width;
        let value = json!({"dtype": dtype, "shape": entry.extents, "data_offsets": [start, end]});
        map.insert(entry.name.clone(), value);
    }
    let mut header = Value::Object(map).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    header
}
