//! Index: object pixels, from polygons or run lengths to a mask.

mod outline;
mod pixels;
mod run_length;

pub use outline::{COORDINATE_MAX, Crossings, check_polygon};
pub(crate) use pixels::paint;
pub use pixels::{Mask, Overlap};
pub use run_length::{PIXELS_MAX, Rle, check_size};
