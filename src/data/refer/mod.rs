//! Index: the REFER data sets (RefCOCO, RefCOCO+, RefCOCOg and others in their layout).

mod dataset;
mod join;
mod record;
mod reference;
mod split;

pub use dataset::ReferDataset;
pub use record::Sentence;
pub use reference::Reference;
pub use split::SplitCounts;
