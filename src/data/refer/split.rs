//! Which references a split name selects, by the rules of the REFER API (`getRefIds`).

use std::collections::HashSet;

use super::reference::Reference;

/// What a split holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitCounts {
    pub split: String,
    pub references: usize,
    pub sentences: usize,
    /// Different pictures.
    pub images: usize,
}

/// Whether a reference of split `own` belongs to the split asked for: `testA`, `testB` and `testC`
/// are looked for by their last letter, so that a reference of `testAB` is in both; `test` takes
/// all whose split contains it; other names mean themselves.
pub(super) fn selects(asked: &str, own: &str) -> bool {
    match asked {
        "testA" => own.contains('A'),
        "testB" => own.contains('B'),
        "testC" => own.contains('C'),
        "test" => own.contains("test"),
        _ => asked == own,
    }
}

/// Counts per split as written in the records, in the order of first appearance.
pub(super) fn count(references: &[Reference]) -> Vec<SplitCounts> {
    let mut counts: Vec<SplitCounts> = Vec::new();
    let mut images = HashSet::new();
    for reference in references {
        let split = &reference.split;
        let place = counts.iter().position(|found| found.split == *split).unwrap_or_else(|| {
            counts.push(SplitCounts {
                split: split.clone(),
                references: 0,
                sentences: 0,
                images: 0,
            });
            counts.len() - 1
        });
        counts[place].references += 1;
        counts[place].sentences += reference.sentences.len();
        counts[place].images += usize::from(images.insert((place, reference.image_id)));
    }
    counts
}
