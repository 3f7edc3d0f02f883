//! From a scene to pixels: textured ground, soft shadows, shaded shapes with smooth edges.

use super::scene::{Point, Scene, between, bounds, direction, edges};
use crate::data::image::Picture;
use crate::rng::Reader;

/// Scan lines a pixel row is cut into. Along a line the covered share of a pixel is exact.
const LINES: usize = 5;

/// A picture in the making, in channel values 0 to 255.
struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<[f64; 3]>,
}

/// Paints a scene; the reader decides texture and tints.
pub fn paint(scene: &Scene, reader: &mut Reader) -> Picture {
    let (width, height) = (scene.width, scene.height);
    let mut canvas = Canvas { width, height, pixels: ground(width, height, reader) };
    let side = ((width * height) as f64).sqrt();
    for object in &scene.objects {
        for step in 1..=2 {
            let away = side * 0.012 * f64::from(step);
            canvas.fill(&shifted(&object.outline, away), |_, under| under.map(|x| 0.86 * x));
        }
    }
    for object in &scene.objects {
        let colour = object.look.colour.rgb().map(|x| x + between(reader, -14.0, 14.0));
        let [left, top, right, bottom] = bounds(&object.outline);
        canvas.fill(&object.outline, |[x, y], _| {
            let down = (x - left) / (right - left) + (y - top) / (bottom - top) - 1.0;
            colour.map(|value| value * (1.03 - 0.13 * down))
        });
    }
    let pixels = canvas.pixels.iter().flatten();
    Picture { width, height, pixels: pixels.map(|x| (x + 0.5) as u8).collect() }
}

impl Canvas {
    /// Paints a polygon: `colour` gets the middle of a pixel and what was there.
    fn fill(&mut self, outline: &[Point], colour: impl Fn(Point, [f64; 3]) -> [f64; 3]) {
        let [_, top, _, bottom] = bounds(outline);
        let rows = top.max(0.0) as usize..(bottom.max(0.0).ceil() as usize).min(self.height);
        for row in rows {
            let cover = row_cover(outline, row, self.width);
            for (column, share) in cover.into_iter().enumerate().filter(|(_, share)| *share > 0.0) {
                let pixel = &mut self.pixels[row * self.width + column];
                let new = colour([column as f64 + 0.5, row as f64 + 0.5], *pixel);
                *pixel = mixed(*pixel, new, share.min(1.0));
            }
        }
    }
}

/// The share of each pixel of a row that a polygon covers, by the even-odd rule.
fn row_cover(outline: &[Point], row: usize, width: usize) -> Vec<f64> {
    let mut cover = vec![0.0; width];
    for line in 0..LINES {
        let y = row as f64 + (line as f64 + 0.5) / LINES as f64;
        let crossed = edges(outline).filter(|(a, b)| (a[1] <= y) != (b[1] <= y));
        let mut crossings: Vec<f64> =
            crossed.map(|(a, b)| a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0])).collect();
        crossings.sort_by(f64::total_cmp);
        for span in crossings.chunks_exact(2) {
            let [from, to] = [span[0], span[1]].map(|x| x.clamp(0.0, width as f64));
            for (column, share) in
                cover.iter_mut().enumerate().take(to.ceil() as usize).skip(from as usize)
            {
                let inside = to.min(column as f64 + 1.0) - from.max(column as f64);
                *share += inside / LINES as f64;
            }
        }
    }
    cover
}

fn shifted(outline: &[Point], away: f64) -> Vec<Point> {
    outline.iter().map(|point| point.map(|x| x + away)).collect()
}

fn mixed(one: [f64; 3], other: [f64; 3], share: f64) -> [f64; 3] {
    [0, 1, 2].map(|c| one[c] + share * (other[c] - one[c]))
}

/// Two muted colours, mixed by a gradient, by stripes or by smooth noise, all of it a bit uneven.
fn ground(width: usize, height: usize, reader: &mut Reader) -> Vec<[f64; 3]> {
    let light = between(reader, 70.0, 215.0);
    let contrast = between(reader, 25.0, 45.0);
    let one = muted(light + contrast / 2.0, reader);
    let other = muted(light - contrast / 2.0, reader);
    let [x, y] = direction(reader.uniform());
    let period = between(reader, 10.0, 26.0);
    let style = reader.below(3);
    let coarse = Noise::new(width, height, between(reader, 16.0, 40.0), reader);
    let fine = Noise::new(width, height, 8.0, reader);
    let share = |column: usize, row: usize| {
        let [u, v] = [column as f64, row as f64];
        let along = (u - width as f64 / 2.0) * x + (v - height as f64 / 2.0) * y;
        let uneven = 0.3 * (fine.at(u, v) - 0.5);
        uneven
            + match style {
                0 => 0.5 + along / (width + height) as f64 * 1.6,
                1 => stripe(along / period),
                _ => 1.8 * (coarse.at(u, v) - 0.5) + 0.5,
            }
    };
    let places = (0..height).flat_map(|row| (0..width).map(move |column| (column, row)));
    places.map(|(column, row)| mixed(one, other, share(column, row).clamp(-0.2, 1.2))).collect()
}

/// 0 and 1 by turns, once each in a unit of length, with a soft step between.
fn stripe(at: f64) -> f64 {
    let ramp = (at - at.floor() - 0.5).abs();
    (0.5 + 6.0 * (ramp - 0.25)).clamp(0.0, 1.0)
}

/// A grey with a tint too slight to be taken for a colour.
fn muted(light: f64, reader: &mut Reader) -> [f64; 3] {
    [(); 3].map(|()| light * between(reader, 0.91, 1.09))
}

/// Random values on a coarse lattice, with smooth transitions between.
struct Noise {
    cell: f64,
    columns: usize,
    values: Vec<f64>,
}

impl Noise {
    fn new(width: usize, height: usize, cell: f64, reader: &mut Reader) -> Noise {
        let [columns, rows] = [width, height].map(|side| (side as f64 / cell) as usize + 2);
        Noise { cell, columns, values: (0..columns * rows).map(|_| reader.uniform()).collect() }
    }

    fn at(&self, x: f64, y: f64) -> f64 {
        let [x, y] = [x / self.cell, y / self.cell];
        let [column, row] = [x as usize, y as usize];
        let corner = row * self.columns + column;
        let [u, v] = [x - column as f64, y - row as f64].map(|t| t * t * (3.0 - 2.0 * t));
        let across = |corner: usize| {
            self.values[corner] + u * (self.values[corner + 1] - self.values[corner])
        };
        across(corner) + v * (across(corner + self.columns) - across(corner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pixel_is_covered_by_its_share() {
        let outline = [[1.25, 0.0], [3.5, 0.0], [3.5, 2.0], [1.25, 2.0]];
        assert_eq!(row_cover(&outline, 0, 5), [0.0, 0.75, 1.0, 0.5, 0.0]);
    }
}
