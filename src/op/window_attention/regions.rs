//! How one axis of the padded, rolled map falls into pieces within which everything sees
//! everything.

use arrayvec::ArrayVec;

/// The most runs of equal pieces an axis has: whole windows, one that the map's end cuts, and the
/// two halves of the last window.
pub const MAX_RUNS: usize = 4;

/// Equal pieces of an axis, one window after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Where on the map the first piece begins; each further one begins a window later.
    pub start: usize,
    pub count: usize,
    /// Positions of a piece, padding included.
    pub len: usize,
    /// How many of them lie on the map; the rest, padding, comes after.
    pub real: usize,
}

/// The pieces of an axis of `extent` positions that hold positions of the map.
///
/// Rolled position `r` is position `r + shift` of the padded axis, or lies around the seam at
/// `r + shift - padded`. The seam is the only place where a window holds two regions, and as the
/// padding ends there, it always comes last within a piece.
pub fn runs(extent: usize, window: usize, shift: usize) -> ArrayVec<Run, MAX_RUNS> {
    let padded = extent.next_multiple_of(window);
    let mut runs: ArrayVec<Run, MAX_RUNS> = ArrayVec::new();
    let mut add = |start: usize, len: usize| {
        let real = extent.saturating_sub(start).min(len);
        match runs.last_mut() {
            _ if real == 0 => {}
            Some(last) if (last.len, last.real) == (len, real) && len == window => last.count += 1,
            _ => runs.push(Run { start, count: 1, len, real }),
        }
    };
    for rolled in (0..padded).step_by(window) {
        if rolled + window < padded || shift == 0 {
            add(rolled + shift, window);
        } else {
            add(rolled + shift, window - shift);
            add(0, shift);
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(extent: usize, window: usize, shift: usize) -> Vec<(usize, usize, usize, usize)> {
        let runs = runs(extent, window, shift);
        runs.iter().map(|r| (r.start, r.count, r.len, r.real)).collect()
    }

    #[test]
    fn the_models_grids() {
        assert_eq!(found(120, 12, 0), [(0, 10, 12, 12)]);
        assert_eq!(found(120, 12, 6), [(6, 9, 12, 12), (114, 1, 6, 6), (0, 1, 6, 6)]);
        assert_eq!(found(30, 12, 0), [(0, 2, 12, 12), (24, 1, 12, 6)]);
        assert_eq!(found(30, 12, 6), [(6, 2, 12, 12), (0, 1, 6, 6)]);
        assert_eq!(found(15, 12, 0), [(0, 1, 12, 12), (12, 1, 12, 3)]);
        assert_eq!(found(15, 12, 6), [(6, 1, 12, 9), (0, 1, 6, 6)]);
    }

    #[test]
    fn every_position_is_in_one_piece() {
        for (extent, window) in (1..40).flat_map(|e| (1..14).map(move |w| (e, w))) {
            for shift in 0..window {
                let mut times = vec![0; extent];
                for run in runs(extent, window, shift) {
                    for piece in 0..run.count {
                        let start = run.start + piece * window;
                        (start..start + run.real).for_each(|at| times[at] += 1);
                    }
                }
                assert!(times.iter().all(|&t| t == 1), "{extent}, window {window}, {shift}");
            }
        }
    }
}
