//! The mask at a picture's own size against the operation that upsamples logits in a graph.

use crformer::error::ErrorKind;
use crformer::exec::cpu::CpuSession;
use crformer::exec::{Session, Slot, Values, ValuesMut};
use crformer::graph::Graph;
use crformer::model::prediction::predict;
use crformer::nn::Scope;
use crformer::op::contract::TensorType;
use crformer::op::resize::Resize;
use crformer::rng::Philox;

/// Logits on a grid, a few places with both alike.
fn grid(side: usize) -> Vec<f32> {
    let mut random = Philox::new(7, side as u64).reader();
    let mut grid: Vec<f32> = (0..side * side * 2).map(|_| random.normal() as f32).collect();
    grid.chunks_exact_mut(2).step_by(5).for_each(|logits| logits[1] = logits[0]);
    grid
}

/// The operation's differences of class 1 and class 0, in f64.
fn differences(grid: &[f32], side: usize, height: usize, width: usize) -> Vec<f64> {
    let mut graph = Graph::new();
    let mut scope = Scope::root(&mut graph);
    let inp = scope.input("grid", TensorType::activation([1, side, side, 2])).expect("an input");
    let op = Resize { height, width, align_corners: true };
    let out = scope.add("logits", op, &[inp]).expect("a node");
    graph.output(out);
    let mut session = CpuSession::<f64>::new(graph, None, 0);
    session.write(inp, Slot::Value, Values::F32(grid)).expect("written");
    session.forward(0).expect("a pass");
    let mut logits = vec![0.0; height * width * 2];
    session.read(out, Slot::Value, ValuesMut::F64(&mut logits)).expect("read");
    logits.chunks_exact(2).map(|logits| logits[1] - logits[0]).collect()
}

#[test]
fn the_mask_is_that_of_the_upsampled_logits() {
    let sizes = [(1, 1), (1, 40), (53, 1), (4, 4), (37, 53), (97, 240)];
    for side in [1, 2, 4, 6, 30] {
        for (height, width) in sizes {
            let grid = grid(side);
            let found = predict(&grid, side, height, width).expect("a prediction");
            let differences = differences(&grid, side, height, width);
            assert_eq!((found.mask.height, found.mask.width), (height, width));
            assert_eq!(found.mask.pixels.len(), differences.len());
            for (i, (&pixel, &d)) in found.mask.pixels.iter().zip(&differences).enumerate() {
                // A tie is settled by the order of additions.
                let settled = d.abs() > 1e-12;
                assert!(!settled || (pixel == 1) == (d > 0.0), "{side}: pixel {i} at {d}");
            }
            let inside: Vec<f64> = differences.into_iter().filter(|&d| d > 1e-12).collect();
            let sum: f64 = inside.iter().map(|d| d.exp() / (1.0 + d.exp())).sum();
            // A tie that is in the mask has probability 1/2.
            let ties = found.mask.area() - inside.len();
            let mean = (sum + 0.5 * ties as f64) / (found.mask.area() as f64).max(1.0);
            assert!((found.score - mean).abs() < 1e-9, "{} is not {mean}", found.score);
        }
    }
}

/// Differences -1, 1, 3, -3 in the corners of a 2 x 2 grid: `-1 0 1 / 1 0 -1 / 3 0 -3` at 3 x 3.
#[test]
fn corners_stay_and_the_middle_is_the_mean() {
    let grid = [1.0, 0.0, 0.0, 1.0, 0.0, 3.0, 3.0, 0.0];
    let mask = |grid: &[f32], height, width| {
        predict(grid, 2, height, width).expect("a prediction").mask.pixels
    };
    assert_eq!(mask(&grid, 3, 3), [0, 0, 1, 1, 0, 0, 1, 0, 0]);
    assert_eq!(mask(&grid, 2, 2), [0, 1, 1, 0]);
    let grid = [0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0];
    assert_eq!(mask(&grid, 1, 4), [1, 1, 0, 0]);
    assert_eq!(mask(&grid, 3, 2), [1, 0, 1, 0, 1, 0]);
}

#[test]
fn equal_logits_are_background_and_large_ones_certain() {
    let empty = predict(&[3.0; 8], 2, 5, 7).expect("a prediction");
    assert_eq!((empty.mask.area(), empty.score), (0, 0.0));
    let full = predict(&[-1e30, 1e30], 1, 5, 7).expect("a prediction");
    assert_eq!((full.mask.area(), full.score), (35, 1.0));
}

#[test]
fn a_logit_that_is_no_number_is_named() {
    let mut grid = grid(3);
    grid[2 * (3 + 2)] = f32::NAN;
    let error = predict(&grid, 3, 5, 7).expect_err("no mask");
    assert_eq!(error.kind(), ErrorKind::Numeric);
    assert!(error.to_string().contains("row 1, column 2"), "{error}");
}
