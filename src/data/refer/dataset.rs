//! A REFER data set: references joined with their annotations and pictures.
//!
//! On disk: `<root>/<dataset>/refs(<split by>).p`, `<root>/<dataset>/instances.json`, and pictures
//! in `<root>/images/mscoco/images/train2014/` or `<root>/images/train2014/`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::join::Join;
use super::record::read_records;
use super::reference::Reference;
use super::split::{SplitCounts, count, selects};
use crate::data::coco::{Category, Instances, Wanted};
use crate::error::{Error, ErrorKind, Result};

/// All references of a data set, in the order of their file, and what they refer to.
#[derive(Debug)]
pub struct ReferDataset {
    pub references: Vec<Reference>,
    pub categories: HashMap<i64, Category>,
    records_path: PathBuf,
}

impl ReferDataset {
    /// Reads `<root>/<dataset>/refs(<split_by>).p` and what it refers to of `instances.json`.
    ///
    /// Everything but the pictures themselves is looked up and checked here, so that a run does
    /// not stop halfway. Of `instances.json` only what is referred to is kept.
    pub fn open(root: &Path, dataset: &str, split_by: &str) -> Result<Self> {
        let folder = root.join(dataset);
        let records_path = folder.join(format!("refs({split_by}).p"));
        if !records_path.is_file() {
            return Err(missing_records(&folder, &records_path));
        }
        let records = read_records(&records_path)?;
        let instances_path: Arc<Path> = folder.join("instances.json").into();
        let wanted = Wanted {
            images: records.iter().map(|record| record.image_id).collect(),
            annotations: records.iter().map(|record| record.ann_id).collect(),
        };
        let mut instances = Instances::open(&instances_path, &wanted)?;
        let categories = std::mem::take(&mut instances.categories);
        let mut join = Join::new(root, &records_path, instances_path, instances);
        let references = records.into_iter().map(|record| join.reference(record));
        Ok(Self { references: references.collect::<Result<_>>()?, categories, records_path })
    }

    /// The places in `references` of a split, in their order. The name is taken as the REFER API
    /// takes it: `test` selects `testA` and `testB` too.
    pub fn split(&self, name: &str) -> Result<Vec<usize>> {
        let selected: Vec<usize> = (0..self.references.len())
            .filter(|&place| selects(name, &self.references[place].split))
            .collect();
        if !selected.is_empty() {
            return Ok(selected);
        }
        let present: Vec<String> = self
            .counts()
            .iter()
            .map(|found| format!("{} ({} references)", found.split, found.references))
            .collect();
        let message = format!(
            "{}: split {name:?} selects no reference; the file has {}",
            self.records_path.display(),
            if present.is_empty() { "none".to_owned() } else { present.join(", ") }
        );
        Err(Error::new(ErrorKind::Usage, message))
    }

    /// References, sentences and pictures of every split in the file, by first appearance.
    pub fn counts(&self) -> Vec<SplitCounts> {
        count(&self.references)
    }
}

/// The error of a `refs(...).p` that is not there: says what is.
fn missing_records(folder: &Path, records_path: &Path) -> Error {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return Error::io(folder, "listing the data set's folder", error),
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("refs(") && name.ends_with(").p"))
        .collect();
    names.sort();
    let found = if names.is_empty() { "no refs(...).p".to_owned() } else { names.join(", ") };
    let message = format!(
        "no such file; the folder has {found}; name one of these by what stands in its parentheses"
    );
    Error::data(records_path, message)
}
