//! Where things are: sine encodings (Vaswani et al., 2017) and plain coordinates.

/// `PE1d [rows, width]`: `sin(p / 10000^(2k / width))` at `2k`, its cosine at `2k + 1`.
pub fn sine_1d(rows: usize, width: usize) -> Vec<f64> {
    let encode = |p: usize| {
        (0..width).map(move |c| {
            let frequency = 10000f64.powf(-((c / 2 * 2) as f64) / width as f64);
            let angle = p as f64 * frequency;
            if c % 2 == 0 { angle.sin() } else { angle.cos() }
        })
    };
    (0..rows).flat_map(encode).collect()
}

/// `PE2d [side, side, width]`: the first half of the channels encodes the column, the second the
/// row.
pub fn sine_2d(side: usize, width: usize) -> Vec<f64> {
    let half = width / 2;
    let line = sine_1d(side, half);
    let at = |p: usize| line[p * half..(p + 1) * half].iter().copied();
    let place = |i: usize| at(i % side).chain(at(i / side)).collect::<Vec<f64>>();
    (0..side * side).flat_map(place).collect()
}

/// `F_coord [batch, side, side, 2]`: x and y, each from -1 to 1 with both ends.
pub fn coordinates(batch: usize, side: usize) -> Vec<f64> {
    let line = |i: usize| match side {
        1 => -1.0,
        _ => -1.0 + 2.0 * i as f64 / (side - 1) as f64,
    };
    let place = |i: usize| [line(i % side), line(i / side % side)];
    (0..batch * side * side).flat_map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sine_encodes_columns_then_rows() {
        let (side, width) = (3, 8);
        let encoding = sine_2d(side, width);
        let at = |row: usize, col: usize, c: usize| encoding[(row * side + col) * width + c];
        assert_eq!(at(2, 1, 0), 1f64.sin());
        assert_eq!(at(2, 1, 1), 1f64.cos());
        assert!((at(2, 1, 2) - (1.0 / 100f64).sin()).abs() < 1e-15);
        assert_eq!(at(2, 1, 4), 2f64.sin());
        assert_eq!(at(2, 1, 5), 2f64.cos());
    }

    #[test]
    fn coordinates_run_over_columns_first() {
        let places = coordinates(2, 3);
        assert_eq!(&places[..6], [-1.0, -1.0, 0.0, -1.0, 1.0, -1.0]);
        assert_eq!(places[18..], places[..18]);
    }
}
