//! Tests of the data room: one file a subject.

// Annotation files: forms of segmentation, what is kept, errors with line and column.
mod coco;
// Run lengths, polygons and resizing against what pycocotools and PIL give.
mod mask;
// Pickles of every protocol, hostile ones too.
mod pickle;
// Data sets in REFER's layout: joined, split, and every broken one refused.
mod refer;
