//! Pictures: the one door to the image crate. Decoding, resizing as PIL does it, normalising, encoding.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};

/// An 8-bit RGB picture, row-major, `width * height * 3` bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<u8>,
}

/// Writes a picture as PNG.
pub fn write_png(path: &Path, picture: &Picture) -> Result<()> {
    let (width, height) = (picture.width as u32, picture.height as u32);
    image::save_buffer(path, &picture.pixels, width, height, image::ColorType::Rgb8)
        .map_err(|e| Error::new(ErrorKind::Io, format!("{}: writing failed: {e}", path.display())))
}
