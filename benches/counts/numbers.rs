//! What the model is given: any numbers will do, counts do not depend on them, but a sentence has padding and a mask an
//! object.

/// Words of a sentence, and those that are no padding.
const WORDS: usize = 20;
const REAL_WORDS: usize = 8;
/// Side of the picture, and columns of it that are the object's.
const SIDE: usize = 480;
const OBJECT: usize = 200;

/// Numbers in -1 .. 1 that do not repeat soon.
pub fn reals(len: usize) -> impl Iterator<Item = f32> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_769) >> 8) as f32 / (1 << 23) as f32 - 1.0)
}

/// The indices of one of the model's inputs.
pub fn indices(name: &str, len: usize) -> Vec<i32> {
    let index = |i: usize| match name {
        "tokens" => 1000 + (i % WORDS) as i32,
        "word_mask" => i32::from(i % WORDS < REAL_WORDS),
        "mask" => i32::from(i % SIDE < OBJECT),
        other => panic!("no indices are known for the input {other:?}"),
    };
    (0..len).map(index).collect()
}
