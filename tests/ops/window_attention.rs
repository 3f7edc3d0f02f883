//! Window attention against the literal one: pad, roll, partition, mask, softmax, merge, roll
//! back, crop.

use crformer::op::contract::{Operation, TensorType};
use crformer::op::window_attention::WindowAttention;

use crate::support::attend::{attend, dot};
use crate::support::case::{Case, Input};

/// A map of rows of numbers.
#[derive(Clone)]
struct Map {
    height: usize,
    width: usize,
    rows: Vec<Vec<f64>>,
}

impl Map {
    fn at(&self, y: usize, x: usize) -> &[f64] {
        &self.rows[y * self.width + x]
    }

    fn from(height: usize, width: usize, at: impl Fn(usize, usize) -> Vec<f64>) -> Self {
        let rows = (0..height).flat_map(|y| (0..width).map(move |x| (y, x)));
        Self { height, width, rows: rows.map(|(y, x)| at(y, x)).collect() }
    }

    /// Moves what is at `(y, x)` to `(y + by, x + by)`, around the edges.
    fn roll(&self, by: isize) -> Self {
        let (h, w) = (self.height as isize, self.width as isize);
        Self::from(self.height, self.width, |y, x| {
            let (y, x) = ((y as isize - by).rem_euclid(h), (x as isize - by).rem_euclid(w));
            self.at(y as usize, x as usize).to_vec()
        })
    }
}

/// The region of a position of the rolled, padded map.
fn region(op: &WindowAttention, y: usize, x: usize, padded: (usize, usize)) -> usize {
    let band = |r: usize, padded: usize| {
        usize::from(r >= padded - op.window) + usize::from(r >= padded - op.shift)
    };
    if op.shift == 0 { 0 } else { 3 * band(y, padded.0) + band(x, padded.1) }
}

/// What each position of a rolled, padded map of q, k and v sees, in all heads.
fn attend_windows(op: &WindowAttention, map: &Map, table: &[f64]) -> Map {
    let (w, channels) = (op.window, map.at(0, 0).len() / 3);
    let (head_dim, padded) = (channels / op.heads, (map.height, map.width));
    Map::from(map.height, map.width, |y, x| {
        let (first_row, first_col) = (y / w * w, x / w * w);
        let window = || (0..w * w).map(|i| (first_row + i / w, first_col + i % w));
        let mut out = Vec::new();
        for head in 0..op.heads {
            let part = |y, x, which: usize| {
                let start = which * channels + head * head_dim;
                &map.at(y, x)[start..start + head_dim]
            };
            let score = |(ky, kx): (usize, usize)| {
                let row = (y + w - 1 - ky) * (2 * w - 1) + x + w - 1 - kx;
                let same = region(op, y, x, padded) == region(op, ky, kx, padded);
                let score = dot(part(y, x, 0), part(ky, kx, 1)) / (head_dim as f64).sqrt();
                score + table[row * op.heads + head] + if same { 0.0 } else { -100.0 }
            };
            let scores: Vec<f64> = window().map(score).collect();
            let values: Vec<&[f64]> = window().map(|(ky, kx)| part(ky, kx, 2)).collect();
            out.extend(attend(&scores, &values));
        }
        out
    })
}

fn naive(op: &WindowAttention, inputs: &[Input]) -> Vec<f64> {
    let [batch, height, width, columns] = inputs[0].of.shape.extents() else { panic!("a map") };
    let (height, width) = (*height, *width);
    let padded = (height.next_multiple_of(op.window), width.next_multiple_of(op.window));
    let mut out = Vec::new();
    for image in 0..*batch {
        let map = Map::from(padded.0, padded.1, |y, x| {
            if y < height && x < width {
                let start = ((image * height + y) * width + x) * columns;
                inputs[0].real[start..start + columns].to_vec()
            } else {
                inputs[1].real.clone()
            }
        });
        let rolled = map.roll(-(op.shift as isize));
        let seen = attend_windows(op, &rolled, &inputs[2].real).roll(op.shift as isize);
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            out.extend(seen.at(y, x));
        }
    }
    out
}

/// Extents of a case: `[batch, height, width, heads, head_dim]`.
fn case(extents: [usize; 5], window: usize, shift: usize) -> Case<WindowAttention> {
    let [batch, height, width, heads, head_dim] = extents;
    let side = 2 * window - 1;
    let inputs = vec![
        Input::normal([batch, height, width, 3 * heads * head_dim], 1.0, 1),
        Input::normal([3 * heads * head_dim], 1.0, 2),
        Input::normal([side * side, heads], 1.0, 3),
    ];
    let op = WindowAttention { heads, window, shift };
    Case::new(&format!("{extents:?}, window {window}, shift {shift}"), op, inputs)
}

fn check(extents: [usize; 5], window: usize, shift: usize) {
    let case = case(extents, window, shift);
    case.check(|inputs| naive(&case.op, inputs));
}

/// Everything but central differences, which cost too much at this size.
fn check_large(extents: [usize; 5], window: usize, shift: usize) {
    let case = case(extents, window, shift);
    case.check_forward(&naive(&case.op, &case.inputs));
    case.check_set_and_add();
    case.check_threads();
    case.check_f32();
}

#[test]
fn whole_windows() {
    check([2, 6, 3, 2, 3], 3, 0);
    check([1, 4, 4, 1, 2], 2, 1);
}

#[test]
fn padded_windows() {
    check([1, 5, 4, 2, 3], 3, 0);
    check([2, 1, 4, 1, 2], 3, 0);
}

#[test]
fn shifted_and_padded_windows() {
    check([1, 5, 4, 2, 3], 3, 1);
    check([2, 7, 5, 1, 2], 4, 2);
    check([1, 5, 6, 1, 3], 4, 3);
}

#[test]
fn a_map_smaller_than_a_window() {
    check([2, 2, 3, 2, 3], 4, 0);
    check([1, 2, 3, 1, 2], 4, 2);
    check([1, 1, 1, 1, 1], 3, 1);
}

#[test]
fn rectangles_much_smaller_than_the_table() {
    check([1, 2, 3, 1, 2], 15, 14);
}

#[test]
fn windows_of_one_position() {
    check([1, 3, 2, 2, 3], 1, 0);
}

#[test]
fn the_models_windows() {
    check_large([1, 36, 24, 1, 32], 12, 6);
    check_large([2, 30, 30, 2, 32], 12, 0);
    check_large([1, 30, 30, 2, 32], 12, 6);
    check_large([1, 15, 15, 2, 32], 12, 0);
    check_large([1, 15, 15, 2, 32], 12, 6);
}

#[test]
fn more_windows_than_a_task_has() {
    check_large([3, 17, 22, 2, 5], 4, 2);
}

#[test]
fn scores_of_ten_thousand() {
    let mut case = case([1, 6, 5, 2, 4], 4, 2);
    case.inputs[0].real.iter_mut().for_each(|x| *x *= 100.0);
    case.inputs[1].real.iter_mut().for_each(|x| *x *= 100.0);
    // The literal -100 no longer hides a score of another region: exclude it exactly.
    let (out, kept) = case.forward::<f32>(&case.inputs, true);
    let gradients = case.backward::<f32>(&out, &kept, &vec![1.0; out.len()], None);
    let written = gradients.into_iter().flatten().flatten();
    assert!(out.into_iter().chain(written).all(f64::is_finite));
    case.op.shift = 0;
    case.check_forward(&naive(&case.op, &case.inputs));
    case.check_threads();
}

#[test]
fn wrong_inputs_are_named() {
    let op = |heads, window, shift| WindowAttention { heads, window, shift };
    let (qkv, bias) = (TensorType::activation([2, 5, 4, 12]), TensorType::activation([12]));
    let table = TensorType::activation([9, 2]);
    let refused = |op: WindowAttention, inputs: [&TensorType; 3], found: &str| {
        let error = op.signature(&inputs).expect_err("wrong inputs");
        assert!(error.to_string().contains(found), "{error}");
    };
    assert!(op(2, 2, 1).signature(&[&qkv, &bias, &table]).is_ok());
    refused(op(3, 2, 1), [&qkv, &bias, &table], "[2, 5, 4, 12]");
    refused(op(2, 2, 2), [&qkv, &bias, &table], "shift smaller");
    refused(op(2, 0, 0), [&qkv, &bias, &table], "at least one position");
    refused(op(2, 3, 1), [&qkv, &bias, &table], "table [(2w-1)^2, heads]");
    refused(op(2, 2, 1), [&qkv, &table, &table], "qkv_bias [3C]");
    refused(op(2, 2, 1), [&bias, &bias, &table], "qkv [B, H, W, 3C]");
}
