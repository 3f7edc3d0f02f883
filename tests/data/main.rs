//! Tests of the data room: one file a subject.

// Run lengths, polygons and resizing against what pycocotools and PIL give.
mod mask;
// Pickles of every protocol, hostile ones too.
mod pickle;
