//! Where the outputs of a bilinear resizing lie between its inputs, along one axis.
//!
//! Positions are ratios of whole numbers, so the index is exact and the fraction is rounded once,
//! in `f64`, whatever the precision of the map.

use std::ops::Range;

/// One axis of a resizing: output `i` lies at `max(start + i step, 0) / unit` inputs.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    inputs: usize,
    outputs: usize,
    start: i64,
    step: i64,
    unit: i64,
}

/// The two inputs that an output lies between: `(1 - fraction) first + fraction second`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbours {
    pub first: usize,
    pub second: usize,
    pub fraction: f64,
}

impl Neighbours {
    /// How much of input `n` is in this output.
    #[inline(always)]
    pub fn weight(&self, n: usize) -> f64 {
        let first = if self.first == n { 1.0 - self.fraction } else { 0.0 };
        let second = if self.second == n { self.fraction } else { 0.0 };
        first + second
    }
}

impl Axis {
    /// From `inputs` to `outputs` positions, at least one each. The source of output `i` is
    /// `i (inputs - 1) / (outputs - 1)` with aligned corners (0 for a single output), and
    /// `max((i + 1/2) inputs / outputs - 1/2, 0)` without.
    pub fn new(inputs: usize, outputs: usize, align_corners: bool) -> Self {
        let (n, m) = (inputs as i64, outputs as i64);
        let (start, step, unit) = match (align_corners, m) {
            (true, 1) => (0, 0, 1),
            (true, _) => (0, n - 1, m - 1),
            (false, _) => (n - m, 2 * n, 2 * m),
        };
        Self { inputs, outputs, start, step, unit }
    }

    /// Where output `i` lies.
    #[inline(always)]
    pub fn at(&self, i: usize) -> Neighbours {
        let position = (self.start + i as i64 * self.step).max(0);
        let first = (position / self.unit) as usize;
        let fraction = (position % self.unit) as f64 / self.unit as f64;
        Neighbours { first, second: (first + 1).min(self.inputs - 1), fraction }
    }

    /// The outputs whose first neighbour is input `n`; together, in order, they are all outputs.
    #[inline(always)]
    pub fn cell(&self, n: usize) -> Range<usize> {
        self.start_of(n)..self.start_of(n + 1)
    }

    /// The outputs that have input `n` as a neighbour.
    #[inline(always)]
    pub fn touching(&self, n: usize) -> Range<usize> {
        self.start_of(n.saturating_sub(1))..self.start_of(n + 1)
    }

    /// The first output whose first neighbour is `n` or more.
    #[inline(always)]
    fn start_of(&self, n: usize) -> usize {
        if n == 0 {
            return 0;
        }
        if n >= self.inputs || self.step == 0 {
            return self.outputs;
        }
        // start + i step >= n unit; what is below 0 has neighbour 0
        let distance = (n as i64 * self.unit - self.start).max(0);
        (((distance + self.step - 1) / self.step) as usize).min(self.outputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: [usize; 8] = [1, 2, 3, 5, 15, 30, 48, 97];

    fn axes() -> impl Iterator<Item = Axis> {
        let pairs = SIZES.iter().flat_map(|&n| SIZES.iter().map(move |&m| (n, m)));
        pairs.flat_map(|(n, m)| [false, true].map(|align| Axis::new(n, m, align)))
    }

    #[test]
    fn positions_are_those_of_the_formula() {
        for axis in axes() {
            let (n, m) = (axis.inputs as f64, axis.outputs as f64);
            for i in 0..axis.outputs {
                let at = axis.at(i);
                let source = match (axis.unit == 2 * axis.outputs as i64, axis.outputs) {
                    (true, _) => ((i as f64 + 0.5) * n / m - 0.5).max(0.0),
                    (false, 1) => 0.0,
                    (false, _) => i as f64 * (n - 1.0) / (m - 1.0),
                };
                let got = at.first as f64 + at.fraction;
                assert!((got - source).abs() < 1e-12, "{axis:?} at {i}: {got}, not {source}");
                assert!(at.first < axis.inputs && (0.0..1.0).contains(&at.fraction));
                assert_eq!(at.second, (at.first + 1).min(axis.inputs - 1));
            }
        }
    }

    #[test]
    fn cells_and_touching_are_what_a_search_finds() {
        for axis in axes() {
            for n in 0..axis.inputs {
                let having = |has: &dyn Fn(Neighbours) -> bool| {
                    (0..axis.outputs).filter(|&i| has(axis.at(i))).collect::<Vec<_>>()
                };
                let cell: Vec<_> = axis.cell(n).collect();
                assert_eq!(cell, having(&|at| at.first == n), "{axis:?} cell {n}");
                let missed = having(&|at| at.weight(n) > 0.0);
                let touching = axis.touching(n);
                assert!(missed.iter().all(|i| touching.contains(i)), "{axis:?} touching {n}");
            }
        }
    }
}
