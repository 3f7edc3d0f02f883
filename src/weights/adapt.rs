//! Weights that are bound to one grid, resized to another.

/// Resizes the input axis of a `[rows, from x from]` weight to `to x to` places: bilinear
/// (`align_corners = false`, no antialiasing), times `from^2 / to^2` so that a constant map gives
/// the same output (`query.spatial`, section 5 of the model's description).
pub fn resize_places(weight: &[f64], rows: usize, from: usize, to: usize) -> Vec<f64> {
    let scale = (from * from) as f64 / (to * to) as f64;
    let taps: Vec<(usize, usize, f64)> = (0..to).map(|i| tap(i, from, to)).collect();
    let mut resized = Vec::with_capacity(rows * to * to);
    for row in weight.chunks_exact(from * from).take(rows) {
        let at = |y: usize, x: usize| row[y * from + x];
        for &(y0, y1, fy) in &taps {
            for &(x0, x1, fx) in &taps {
                let top = at(y0, x0) * (1.0 - fx) + at(y0, x1) * fx;
                let bottom = at(y1, x0) * (1.0 - fx) + at(y1, x1) * fx;
                resized.push(scale * (top * (1.0 - fy) + bottom * fy));
            }
        }
    }
    resized
}

/// The two source places of place `i` and the share of the second.
fn tap(i: usize, from: usize, to: usize) -> (usize, usize, f64) {
    let source = ((i as f64 + 0.5) * from as f64 / to as f64 - 0.5).max(0.0);
    let first = (source as usize).min(from - 1);
    (first, (first + 1).min(from - 1), source - first as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_map_keeps_its_output() {
        let weight: Vec<f64> = (0..2 * 36).map(|i| (i as f64 * 0.37).sin()).collect();
        let constant = vec![0.25f64; 2 * 36];
        for to in [3, 6, 7, 12] {
            let resized = resize_places(&constant, 2, 6, to);
            let sum: f64 = resized[..to * to].iter().sum();
            assert!((sum - 9.0).abs() < 1e-12, "{to}: {sum}");
        }
        assert_eq!(resize_places(&weight, 2, 6, 6), weight);
    }

    #[test]
    fn doubling_follows_the_formula() {
        // Sources of 4 places from 2: 0, 0.25, 0.75, 1 (clamped); scale 4 / 16.
        let resized = resize_places(&[0.0, 4.0, 0.0, 4.0], 1, 2, 4);
        assert_eq!(&resized[..4], [0.0, 0.25, 0.75, 1.0]);
    }
}
