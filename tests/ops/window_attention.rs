//! Window attention against the literal one: pad, roll, partition, mask, softmax, merge, roll
//! back, crop.

use crformer::cuda::precision::Precision;
use crformer::op::contract::{Operation, TensorType};
use crformer::op::device::{OnCuda, Passes};
use crformer::op::window_attention::WindowAttention;

use crate::support::attend::{attend, dot};
use crate::support::case::{Case, Input};
use crate::support::device::rounded;

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

/// Gradients by plain loops in f32 whose products read probabilities and their gradients in the device's format,
/// as tensor cores do. All padding is one key, as for the kernels.
struct Backward<'a> {
    op: &'a WindowAttention,
    precision: Precision,
    /// Of `qkv`, `qkv_bias`, `table` and `dout`.
    inputs: [Vec<f32>; 4],
    gradients: [Vec<f32>; 3],
    extents: [usize; 3],
    channels: usize,
}

fn naive_backward(
    case: &Case<WindowAttention>,
    dout: &[f64],
    precision: Precision,
) -> Vec<Option<Vec<f64>>> {
    let single = |values: &[f64]| values.iter().map(|&x| x as f32).collect::<Vec<f32>>();
    let of = |i: usize| single(&case.inputs[i].real);
    let [batch, height, width, columns] = case.inputs[0].of.shape.extents() else {
        panic!("a map")
    };
    let mut backward = Backward {
        op: &case.op,
        precision,
        inputs: [of(0), of(1), of(2), single(dout)],
        gradients: [0, 1, 2].map(|i| vec![0.0; case.inputs[i].real.len()]),
        extents: [*batch, *height, *width],
        channels: columns / 3,
    };
    for (image, y, x) in
        (0..batch * height * width).map(|i| (i / width / height, i / width % height, i % width))
    {
        (0..case.op.heads).for_each(|head| backward.query(image, y, x, head));
    }
    let double = |values: Vec<f32>| Some(values.into_iter().map(f64::from).collect::<Vec<f64>>());
    backward.gradients.map(double).into()
}

impl Backward<'_> {
    /// Where a row of `qkv` is, or of its bias.
    fn row(&self, image: usize, place: Option<(usize, usize)>) -> (usize, usize) {
        let [_, height, width] = self.extents;
        place.map_or((1, 0), |(y, x)| (0, ((image * height + y) * width + x) * 3 * self.channels))
    }

    fn query(&mut self, image: usize, y: usize, x: usize, head: usize) {
        let (w, shift, channels) = (self.op.window, self.op.shift, self.channels);
        let (side, head_dim) = (2 * w - 1, channels / self.op.heads);
        let padded = [self.extents[1], self.extents[2]].map(|n| n.next_multiple_of(w));
        let roll = |a: usize, axis: usize| (a + padded[axis] - shift) % padded[axis];
        let (ry, rx) = (roll(y, 0), roll(x, 1));
        // Keys of the same region: where they are, if on the map, and their row of the table.
        let keys: Vec<(Option<(usize, usize)>, usize)> = (0..w * w)
            .map(|i| (ry / w * w + i / w, rx / w * w + i % w))
            .filter(|&(ky, kx)| {
                let of = |y, x| region(self.op, y, x, (padded[0], padded[1]));
                of(ry, rx) == of(ky, kx)
            })
            .map(|(ky, kx)| {
                let at = ((ky + shift) % padded[0], (kx + shift) % padded[1]);
                let on_map = at.0 < self.extents[1] && at.1 < self.extents[2];
                (on_map.then_some(at), (ry + w - 1 - ky) * side + rx + w - 1 - kx)
            })
            .collect();
        let q = self.row(image, Some((y, x))).1 + head * head_dim;
        let out = q / (3 * channels) * channels + head * head_dim;
        let scale = 1.0 / (head_dim as f32).sqrt();
        let part = |this: &Self, key: Option<(usize, usize)>, part: usize, c: usize| {
            let (input, row) = this.row(image, key);
            (input, row + part * channels + head * head_dim + c)
        };
        let product = |this: &Self, key, which: usize, input: usize, at: usize| {
            let terms = (0..head_dim).map(|c| {
                let (from, k) = part(this, key, which, c);
                this.inputs[input][at + c] * this.inputs[from][k]
            });
            terms.sum::<f32>()
        };
        let score = |&(key, row): &(Option<_>, usize)| {
            product(self, key, 1, 0, q) * scale + self.inputs[2][row * self.op.heads + head]
        };
        let scores: Vec<f32> = keys.iter().map(score).collect();
        let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let lse = most + scores.iter().map(|s| (s - most).exp()).sum::<f32>().ln();
        let p: Vec<f32> = scores.iter().map(|s| (s - lse).exp()).collect();
        let dp: Vec<f32> = keys.iter().map(|k| product(self, k.0, 2, 3, out)).collect();
        let sum: f32 = p.iter().zip(&dp).map(|(p, dp)| p * dp).sum();
        let round = |x: f32| rounded(&[f64::from(x)], self.precision)[0] as f32;
        let padding: f32 = keys.iter().zip(&p).filter(|(k, _)| k.0.is_none()).map(|(_, p)| p).sum();
        for (i, &(key, row)) in keys.iter().enumerate() {
            // What of its own probability, or of all padding's, is this key's.
            let (whole, share) =
                if key.is_some() { (p[i], 1.0) } else { (padding, p[i] / padding) };
            let (p, ds) = (share * round(whole), share * round(whole * (dp[i] - sum)));
            self.gradients[2][row * self.op.heads + head] += ds;
            for c in 0..head_dim {
                let (input, k) = part(self, key, 1, c);
                self.gradients[0][q + c] += scale * ds * self.inputs[input][k];
                self.gradients[input][k] += scale * ds * self.inputs[0][q + c];
                self.gradients[input][k + channels] += p * self.inputs[3][out + c];
            }
        }
    }
}

fn check_on_device(extents: [usize; 5], window: usize, shift: usize) {
    case(extents, window, shift).check_on_device_against(naive_backward);
}

#[test]
fn small_windows_on_a_device() {
    check_on_device([2, 6, 6, 2, 3], 3, 0);
    check_on_device([1, 5, 4, 2, 3], 3, 1);
    check_on_device([2, 7, 5, 1, 20], 4, 2);
    check_on_device([1, 2, 3, 1, 2], 4, 2);
    check_on_device([1, 2, 3, 1, 2], 15, 14);
    check_on_device([1, 1, 1, 1, 1], 3, 1);
    check_on_device([1, 3, 2, 2, 3], 1, 0);
    check_on_device([2, 12, 12, 2, 16], 6, 3);
}

#[test]
fn the_models_windows_on_a_device() {
    check_on_device([1, 24, 15, 1, 32], 12, 6);
    check_on_device([1, 15, 18, 2, 32], 12, 0);
    check_on_device([1, 13, 14, 1, 64], 12, 6);
}

/// Heads enough that a block has several rectangles.
#[test]
fn shares_of_rectangles_on_a_device() {
    check_on_device([1, 5, 5, 60, 2], 3, 1);
}

/// Where scores are this large, one of them decides, and its probability has to be exactly 1.
#[test]
fn scores_of_ten_thousand_on_a_device() {
    let mut case = case([1, 6, 5, 2, 8], 4, 2);
    case.inputs[0].real.iter_mut().for_each(|x| *x *= 100.0);
    case.inputs[1].real.iter_mut().for_each(|x| *x *= 100.0);
    case.check_on_device_against(naive_backward);
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

/// Cards for graphics have 99 KB for a block: too little for a backward pass in f32, and for nothing else.
#[test]
fn blocks_with_too_little_shared_memory_are_refused() {
    let case = case([1, 12, 12, 1, 32], 12, 0);
    let types: Vec<&TensorType> = case.inputs.iter().map(|input| &input.of).collect();
    let check = |precision, passes| case.op.check(&types, precision, 99 << 10, passes);
    check(Precision::Bf16, Passes::Both).expect("room in bf16");
    check(Precision::F32, Passes::Forward).expect("room for a forward pass");
    let error = check(Precision::F32, Passes::Both).expect_err("too little").to_string();
    assert!(error.contains("101376") && error.contains("--precision bf16"), "{error}");
}
