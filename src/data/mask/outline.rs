//! Polygon to run lengths: the pixels that the COCO mask API gives, without walking the outline.
//!
//! The API (`rleFrPoly` of maskApi.c, Dollar and Lin 2015) magnifies the polygon five times, rounds
//! it to integers, walks every edge point by point and keeps the points where the walk steps from
//! `u = 5x + 2` to `5x + 3`, which is the middle of pixel column `x`. Such a crossing, at height
//! `y`, toggles all pixels from `x * height + y` on in column-major order: even-odd filling.
//!
//! Here only the crossings are computed, each with the arithmetic of the walk (truncation towards
//! zero, doubles in the same order), so the runs are the same to the bit while the work per edge is
//! bounded by the picture's width, however long the edge.

use super::run_length::{Rle, check_size};
use crate::error::{Error, ErrorKind, Result};

/// The largest absolute coordinate of a polygon, in pixels: five times it, and the difference of
/// two such, fit the 32-bit integers of the COCO mask API.
pub const COORDINATE_MAX: f64 = 1e8;

/// How finely the outline is rounded: points per pixel.
const SCALE: f64 = 5.0;

/// How many column crossings the polygons of one annotation may still have: bounds time and memory
/// (an honest outline has some thousands, the limit is 2^24).
pub struct Crossings(usize);

impl Default for Crossings {
    fn default() -> Self {
        Self(1 << 24)
    }
}

/// Refuses what is no polygon: an odd number of coordinates, fewer than three points, coordinates
/// that are not finite or beyond [`COORDINATE_MAX`]. A polygon outside the picture is legal.
pub fn check_polygon(points: &[f64]) -> Result<()> {
    let refuse = |message: String| Err(Error::new(ErrorKind::Data, message));
    if points.len() < 6 || !points.len().is_multiple_of(2) {
        return refuse(format!(
            "a polygon [x1, y1, x2, y2, ...] has an even number of coordinates, 6 or more; found {}",
            points.len()
        ));
    }
    match points.iter().find(|x| x.is_nan() || x.abs() > COORDINATE_MAX) {
        Some(x) => refuse(format!(
            "a polygon coordinate is a finite number of at most {COORDINATE_MAX:e} pixels; found {x}"
        )),
        None => Ok(()),
    }
}

impl Rle {
    /// The pixels inside a polygon `[x1, y1, x2, y2, ...]` (pixels, the origin is the corner of the
    /// picture) of a `height` x `width` picture, as `rleFrPoly` counts them. Parts outside the
    /// picture are clipped. `budget` is used up by all polygons of one annotation together.
    pub fn from_polygon(
        points: &[f64],
        height: usize,
        width: usize,
        budget: &mut Crossings,
    ) -> Result<Self> {
        check_size(height, width)?;
        check_polygon(points)?;
        let magnified: Vec<[i64; 2]> = points
            .chunks_exact(2)
            .map(|p| [(SCALE * p[0] + 0.5) as i64, (SCALE * p[1] + 0.5) as i64])
            .collect();
        let mut toggles = Vec::new();
        let next = magnified.iter().cycle().skip(1);
        for (&start, &end) in magnified.iter().zip(next) {
            Edge::new(start, end).cross(height, width, budget, &mut toggles)?;
        }
        toggles.push((height * width) as u32);
        toggles.sort_unstable();
        Ok(Self::trusted(height, width, runs_between(&toggles)))
    }
}

/// An edge in magnified coordinates, turned so that it runs forward along its longer axis.
struct Edge {
    /// The axis it is walked along: 0 (x) or 1 (y).
    along: usize,
    start: [i64; 2],
    end: [i64; 2],
    /// Change of the other coordinate per step.
    slope: f64,
}

impl Edge {
    fn new(mut start: [i64; 2], mut end: [i64; 2]) -> Self {
        let [dx, dy] = [(end[0] - start[0]).abs(), (end[1] - start[1]).abs()];
        let (along, length) = if dx >= dy { (0, dx) } else { (1, dy) };
        if start[along] > end[along] {
            (start, end) = (end, start);
        }
        let across = 1 - along;
        let slope = (end[across] - start[across]) as f64 / length as f64;
        Self { along, start, end, slope }
    }

    /// The other coordinate after `step` steps.
    fn across(&self, step: i64) -> i64 {
        (self.start[1 - self.along] as f64 + self.slope * step as f64 + 0.5) as i64
    }

    /// The smaller height of the two points between which the walk steps over `u | u + 1`.
    fn height_at(&self, u: i64) -> i64 {
        if self.along == 0 {
            let step = u - self.start[0];
            return self.across(step).min(self.across(step + 1));
        }
        // `across` is monotone (rounding keeps order), so the step over `u` is found by halving.
        let rising = self.end[0] > self.start[0];
        let [mut before, mut after] = [0, self.end[1] - self.start[1]];
        while after - before > 1 {
            let middle = before + (after - before) / 2;
            if (self.across(middle) > u) == rising { after = middle } else { before = middle }
        }
        self.start[1] + before
    }

    /// Adds the crossings of this edge. A point edge has none: its slope, 0 / 0, is not used.
    fn cross(
        &self,
        height: usize,
        width: usize,
        budget: &mut Crossings,
        toggles: &mut Vec<u32>,
    ) -> Result<()> {
        let [left, right] =
            [self.start[0].min(self.end[0]), self.start[0].max(self.end[0])].map(|u| u.max(0));
        // Columns x with left <= 5x + 2 and 5x + 3 <= right.
        let (first, past) = ((left + 2) / 5, ((right + 2) / 5).min(width as i64));
        let count = (past - first).max(0) as usize;
        budget.0 = budget.0.checked_sub(count).ok_or_else(|| {
            let message = "the polygons of this annotation cross more than 2^24 pixel columns";
            Error::new(ErrorKind::Data, format!("{message}; expected the outline of one object"))
        })?;
        for x in first..past {
            let v = self.height_at(5 * x + 2) as f64;
            let y = ((v + 0.5) / SCALE - 0.5).clamp(0.0, height as f64).ceil();
            toggles.push((x as usize * height + y as usize) as u32);
        }
        Ok(())
    }
}

/// The lengths between sorted toggles, counted from 0; two toggles at one place cancel.
fn runs_between(toggles: &[u32]) -> Vec<u32> {
    let mut runs: Vec<u32> = Vec::with_capacity(toggles.len());
    let (mut place, mut joins) = (0, false);
    for &toggle in toggles {
        let length = toggle - place;
        place = toggle;
        match runs.last_mut() {
            Some(last) if joins => {
                *last += length;
                joins = false;
            }
            Some(_) if length == 0 => joins = true,
            _ => runs.push(length),
        }
    }
    runs
}
