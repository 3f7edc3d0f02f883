//! What is in a picture: coloured shapes of two sizes, apart from each other, as outlines in pixels.

use std::f64::consts::{PI, TAU};
use std::sync::LazyLock;

use crate::rng::Reader;

/// `[x, y]` in pixels, x to the right and y down; the middle of the first pixel is `[0.5, 0.5]`.
pub type Point = [f64; 2];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Circle,
    Square,
    Triangle,
    Star,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    Red,
    Green,
    Blue,
    Yellow,
    Purple,
    Orange,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    Small,
    Large,
}

impl Shape {
    pub const ALL: [Shape; 4] = [Shape::Circle, Shape::Square, Shape::Triangle, Shape::Star];

    pub fn name(self) -> &'static str {
        match self {
            Shape::Circle => "circle",
            Shape::Square => "square",
            Shape::Triangle => "triangle",
            Shape::Star => "star",
        }
    }

    /// An outline round the origin with the area of the unit circle, so that one size means the
    /// same share of the picture for every shape.
    fn outline(self) -> Vec<Point> {
        let mut outline = match self {
            Shape::Circle => ring(32, 0.0, [1.0, 1.0]),
            Shape::Square => ring(4, 0.125, [1.0, 1.0]),
            Shape::Triangle => ring(3, 0.75, [1.0, 1.0]),
            Shape::Star => ring(10, 0.75, [1.0, 0.58]),
        };
        let scale = (PI / area(&outline)).sqrt();
        outline.iter_mut().flatten().for_each(|x| *x *= scale);
        outline
    }
}

impl Colour {
    pub const ALL: [Colour; 6] =
        [Colour::Red, Colour::Green, Colour::Blue, Colour::Yellow, Colour::Purple, Colour::Orange];

    pub fn name(self) -> &'static str {
        match self {
            Colour::Red => "red",
            Colour::Green => "green",
            Colour::Blue => "blue",
            Colour::Yellow => "yellow",
            Colour::Purple => "purple",
            Colour::Orange => "orange",
        }
    }

    pub fn rgb(self) -> [f64; 3] {
        match self {
            Colour::Red => [212.0, 38.0, 44.0],
            Colour::Green => [40.0, 158.0, 74.0],
            Colour::Blue => [40.0, 96.0, 214.0],
            Colour::Yellow => [246.0, 214.0, 48.0],
            Colour::Purple => [136.0, 60.0, 172.0],
            Colour::Orange => [244.0, 130.0, 32.0],
        }
    }
}

impl Size {
    /// Least and greatest radius of the circle of the same area, as a share of the square root of
    /// the picture's area. Between the two sizes lies a factor of 1.5 or more in length; a small
    /// shape covers 6.6 to 7.9 % of the picture, a large one 17.8 to 19.6 %.
    fn radii(self) -> [f64; 2] {
        match self {
            Size::Small => [0.145, 0.158],
            Size::Large => [0.238, 0.25],
        }
    }
}

/// What one can tell of an object without looking at the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    pub shape: Shape,
    pub colour: Colour,
    pub size: Size,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    pub look: Look,
    pub centre: Point,
    /// A simple polygon, rounded to hundredths of a pixel: what is painted is what is written.
    pub outline: Vec<Point>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    pub width: usize,
    pub height: usize,
    pub objects: Vec<Object>,
}

/// Pixels between an outline and the edge of the picture.
const RIM: f64 = 2.0;
/// Pixels between two outlines.
const GAP: f64 = 4.0;
/// Places tried for one object before the scene is given up.
const TRIES: usize = 40;

impl Scene {
    /// A scene of objects of these looks at random places, in the order given; none if they found
    /// no room.
    pub fn draw(width: usize, height: usize, looks: &[Look], reader: &mut Reader) -> Option<Scene> {
        let mut scene = Scene { width, height, objects: Vec::with_capacity(looks.len()) };
        let mut taken = Vec::with_capacity(looks.len());
        for &look in looks {
            let outline = scene.outline(look, reader);
            let extents = Extents::of(&outline);
            let free = |place: &Point| taken.iter().all(|other| extents.moved(*place).apart(other));
            let centre = scene.places(bounds(&outline), reader)?.find(free)?;
            taken.push(extents.moved(centre));
            scene.objects.push(Object { look, centre, outline: moved(&outline, centre) });
        }
        Some(scene)
    }

    /// The outline of an object at the origin, turned a little.
    fn outline(&self, look: Look, reader: &mut Reader) -> Vec<Point> {
        let [least, most] = look.size.radii();
        let radius = between(reader, least, most) * ((self.width * self.height) as f64).sqrt();
        let turn = match look.shape {
            Shape::Star => between(reader, -0.1, 0.1),
            _ => between(reader, -0.04, 0.04),
        };
        turned(&look.shape.outline(), radius, turn)
    }

    /// Random places at which what has these bounds round the origin lies within the picture; none
    /// if it is too large for it.
    fn places(
        &self,
        [left, top, right, bottom]: [f64; 4],
        reader: &mut Reader,
    ) -> Option<impl Iterator<Item = Point>> {
        let free_x = self.width as f64 - 2.0 * RIM - (right - left);
        let free_y = self.height as f64 - 2.0 * RIM - (bottom - top);
        let place = move |_| {
            let [x, y] = [free_x * reader.uniform(), free_y * reader.uniform()];
            [RIM - left + x, RIM - top + y]
        };
        (free_x >= 0.0 && free_y >= 0.0).then(|| (0..TRIES).map(place))
    }
}

/// Uniform in `[low, high)`.
pub fn between(reader: &mut Reader, low: f64, high: f64) -> f64 {
    low + (high - low) * reader.uniform()
}

/// Area of a simple polygon (shoelace formula).
pub fn area(outline: &[Point]) -> f64 {
    let twice: f64 = edges(outline).map(|([x, y], [u, v])| x * v - u * y).sum();
    twice.abs() / 2.0
}

/// The sides of a polygon, the closing one last.
pub fn edges(outline: &[Point]) -> impl Iterator<Item = (Point, Point)> + '_ {
    outline.iter().copied().zip(outline.iter().copied().cycle().skip(1))
}

/// `[left, top, right, bottom]`.
pub fn bounds(outline: &[Point]) -> [f64; 4] {
    let [mut low, mut high] = [[f64::INFINITY; 2], [f64::NEG_INFINITY; 2]];
    for point in outline {
        for axis in 0..2 {
            low[axis] = low[axis].min(point[axis]);
            high[axis] = high[axis].max(point[axis]);
        }
    }
    [low[0], low[1], high[0], high[1]]
}

/// The unit vector at an angle given in turns. From the `libm` crate and not from the platform's
/// own library, which may round otherwise.
pub fn direction(turn: f64) -> Point {
    [libm::cos(TAU * turn), libm::sin(TAU * turn)]
}

/// Corners at equal angles, at the two radii by turns.
fn ring(count: usize, turn: f64, radii: [f64; 2]) -> Vec<Point> {
    (0..count)
        .map(|i| direction(turn + i as f64 / count as f64).map(|x| radii[i % 2] * x))
        .collect()
}

fn turned(outline: &[Point], scale: f64, turn: f64) -> Vec<Point> {
    let [cos, sin] = direction(turn).map(|x| scale * x);
    outline.iter().map(|[x, y]| [x * cos - y * sin, x * sin + y * cos]).collect()
}

fn moved(outline: &[Point], by: Point) -> Vec<Point> {
    let hundredths = |x: f64| (x * 100.0).round() / 100.0;
    outline.iter().map(|[x, y]| [hundredths(x + by[0]), hundredths(y + by[1])]).collect()
}

/// Directions along which outlines are compared: half a turn in steps of 15 degrees.
static DIRECTIONS: LazyLock<[Point; 12]> =
    LazyLock::new(|| std::array::from_fn(|i| direction(i as f64 / 24.0)));

/// From where to where an outline reaches along each of the directions.
#[derive(Clone, Copy)]
struct Extents([[f64; 2]; 12]);

impl Extents {
    fn of(outline: &[Point]) -> Extents {
        Extents(DIRECTIONS.map(|[x, y]| {
            let along = outline.iter().map(|point| point[0] * x + point[1] * y);
            along.fold([f64::INFINITY, f64::NEG_INFINITY], |[l, h], a| [l.min(a), h.max(a)])
        }))
    }

    fn moved(mut self, by: Point) -> Extents {
        for (extent, [x, y]) in self.0.iter_mut().zip(DIRECTIONS.iter()) {
            *extent = extent.map(|along| along + by[0] * x + by[1] * y);
        }
        self
    }

    /// Whether a straight band of width `GAP` runs between the two. Twelve directions turn away
    /// some pairs that are apart, but take none that touch.
    fn apart(&self, other: &Extents) -> bool {
        let mut pairs = self.0.iter().zip(&other.0);
        pairs.any(|(a, b)| a[0] - b[1] >= GAP || b[0] - a[1] >= GAP)
    }
}
