//! Index: object pixels, from polygons or run lengths to a mask.

mod outline;
mod paint;
mod pixels;
mod run_length;

pub use outline::{COORDINATE_MAX, Crossings, check_polygon};
pub use paint::Overlap;
pub(crate) use paint::paint;
pub use pixels::Mask;
pub use run_length::{PIXELS_MAX, Rle, check_size};
