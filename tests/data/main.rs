//! What a model learns from: files in, batches out, one file a subject.

/// Annotation files: forms of segmentation, what is kept, errors with line and column.
mod coco;
/// The made data set: what is on disk, judged from pixels and English alone.
mod drawn;
/// Decoding against PIL, damaged and oversized files, writing, overlays.
mod image;
/// Order, memory, errors and shutdown of the threads that decode ahead.
mod loader;
/// Run lengths, polygons and resizing against what pycocotools and PIL give.
mod mask;
/// Pickles of every protocol, hostile ones too.
mod pickle;
/// Data sets in REFER's layout: joined, split, and every broken one refused.
mod refer;
/// The resampling against PIL, byte for byte.
mod resize;
/// The tokenizer against the public one, damaged vocabularies.
mod wordpiece;
