//! Pictures: the one door to the image crate. Decoding to RGB as PIL does it, encoding, overlays.

use std::io::Cursor;
use std::path::Path;

use ::image::codecs::jpeg::JpegDecoder;
use ::image::codecs::png::{PngDecoder, PngEncoder};
use ::image::{
    ColorType, ExtendedColorType, ImageDecoder, ImageEncoder, ImageError, ImageFormat, Limits,
};

use super::jpeg;
use crate::error::{Error, Result};
use crate::file;

/// Longest side of a picture that is decoded, in pixels.
pub const SIDE_LIMIT: usize = 16384;
/// Most memory that one decoded picture may take, in bytes; also the longest file that is read.
pub const BYTE_LIMIT: usize = 256 << 20;

/// An 8-bit RGB picture, row-major, `width * height * 3` bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<u8>,
}

/// Reads a JPEG or PNG file, told by its content and not by its name, as PIL's
/// `Image.open(path).convert("RGB")` does: grey is repeated, alpha is dropped (not blended), a
/// palette is looked up, colour profiles, gamma and EXIF rotation are not applied, an Adobe CMYK
/// JPEG is converted. Of 16-bit samples the high byte is taken; PIL does so for colour, but cuts
/// 16-bit grey at 255, which gives a white picture. A PNG gives PIL's bytes exactly. A JPEG may be
/// off by 4 levels, mostly where its colours are subsampled (a quarter of the bytes, mostly by 1),
/// and by more in the last column and row of such a picture whose size is no multiple of its blocks.
///
/// Errors, before pixels are allocated: other formats, a side over [`SIDE_LIMIT`], more than
/// [`BYTE_LIMIT`]; then a truncated or damaged file.
pub fn read(path: &Path) -> Result<Picture> {
    decode(&file::read(path, BYTE_LIMIT)?).map_err(|message| Error::data(path, message))
}

/// Decodes the bytes of a file; the error lacks the file's name.
fn decode(bytes: &[u8]) -> std::result::Result<Picture, String> {
    if bytes.is_empty() {
        return Err("the file is empty; a JPEG or PNG picture was expected".to_owned());
    }
    let wanted = "only JPEG and PNG pictures are read; convert it";
    match ::image::guess_format(bytes) {
        Ok(ImageFormat::Jpeg) => {
            check_jpeg(bytes)?;
            pixels(JpegDecoder::new(Cursor::new(bytes)).map_err(describe)?)
        }
        Ok(ImageFormat::Png) => {
            let decoder = PngDecoder::with_limits(Cursor::new(bytes), limits());
            pixels(decoder.map_err(describe)?)
        }
        Ok(other) => Err(format!("this is {other:?}; {wanted}")),
        Err(_) => Err(format!("neither JPEG nor PNG by its first bytes; {wanted}")),
    }
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_LIMIT as u32);
    limits.max_image_height = Some(SIDE_LIMIT as u32);
    limits.max_alloc = Some(BYTE_LIMIT as u64);
    limits
}

/// Refuses what the decoder would take without a word: missing ends, and inks nobody can name.
fn check_jpeg(bytes: &[u8]) -> std::result::Result<(), String> {
    let survey = jpeg::survey(bytes)?;
    match (survey.components, survey.adobe, survey.precision) {
        (1 | 3, _, 8) | (4, true, 8) => Ok(()),
        (4, false, 8) => Err("a CMYK JPEG without Adobe's marker, so it is not known whether its \
             inks are inverted; convert it to RGB"
            .to_owned()),
        (n, _, bits) => Err(format!(
            "a JPEG of {n} components of {bits} bits; 1, 3 or 4 of 8 bits were expected"
        )),
    }
}

fn pixels(mut decoder: impl ImageDecoder) -> std::result::Result<Picture, String> {
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    let rgb_bytes = width.saturating_mul(height).saturating_mul(3);
    if width.max(height) > SIDE_LIMIT || rgb_bytes.max(decoder_bytes(&decoder)) > BYTE_LIMIT {
        return Err(format!(
            "{width} x {height} pixels; at most {SIDE_LIMIT} a side and {} MiB decoded are \
             allowed; scale it down",
            BYTE_LIMIT >> 20
        ));
    }
    decoder.set_limits(limits()).map_err(describe)?;
    let color = decoder.color_type();
    let mut raw = vec![0; decoder_bytes(&decoder)];
    decoder.read_image(&mut raw).map_err(describe)?;
    Ok(Picture { width, height, pixels: to_rgb(raw, color)? })
}

fn decoder_bytes(decoder: &impl ImageDecoder) -> usize {
    usize::try_from(decoder.total_bytes()).unwrap_or(usize::MAX)
}

/// Drops alpha and the low byte of 16-bit samples, repeats grey.
fn to_rgb(raw: Vec<u8>, color: ColorType) -> std::result::Result<Vec<u8>, String> {
    let (channels, wide) = match color {
        ColorType::Rgb8 => return Ok(raw),
        ColorType::L8 => (1, false),
        ColorType::La8 => (2, false),
        ColorType::Rgba8 => (4, false),
        ColorType::L16 => (1, true),
        ColorType::La16 => (2, true),
        ColorType::Rgb16 => (3, true),
        ColorType::Rgba16 => (4, true),
        other => return Err(format!("pixels of kind {other:?} are not read; convert to RGB")),
    };
    let samples = if wide { high_bytes(&raw) } else { raw };
    let rgb = |pixel: &[u8]| match *pixel {
        [r, g, b, ..] => [r, g, b],
        [grey, ..] => [grey; 3],
        [] => [0; 3],
    };
    Ok(samples.chunks_exact(channels).flat_map(rgb).collect())
}

fn high_bytes(raw: &[u8]) -> Vec<u8> {
    raw.chunks_exact(2).map(|pair| (u16::from_ne_bytes([pair[0], pair[1]]) >> 8) as u8).collect()
}

fn describe(error: ImageError) -> String {
    match error {
        ImageError::Limits(limit) => format!(
            "the picture is over the limits ({SIDE_LIMIT} pixels a side, {} MiB decoded): {limit}; \
             scale it down",
            BYTE_LIMIT >> 20
        ),
        other => format!("the picture cannot be decoded: {other}; it may be cut short or damaged"),
    }
}

/// Writes a picture as PNG, whole or not at all.
pub fn write_png(path: &Path, picture: &Picture) -> Result<()> {
    let Picture { width, height, pixels } = picture;
    write(path, pixels, [*width, *height], ExtendedColorType::Rgb8)
}

/// Writes a mask of `width * height` entries as 8-bit grey PNG: 255 where it is not 0.
pub fn write_mask_png(path: &Path, mask: &[u8], width: usize, height: usize) -> Result<()> {
    let grey: Vec<u8> = mask.iter().map(|&m| if m == 0 { 0 } else { 255 }).collect();
    write(path, &grey, [width, height], ExtendedColorType::L8)
}

fn write(path: &Path, pixels: &[u8], extent: [usize; 2], color: ExtendedColorType) -> Result<()> {
    let [width, height] = extent;
    let expected = width * height * usize::from(color.channel_count());
    if expected == 0 || pixels.len() != expected || width.max(height) > SIDE_LIMIT {
        return Err(Error::usage(format!(
            "{}: a picture of {width} x {height} with {} bytes cannot be written; {expected} bytes \
             and sides of 1 to {SIDE_LIMIT} were expected",
            path.display(),
            pixels.len()
        )));
    }
    let mut encoded = Vec::new();
    PngEncoder::new(&mut encoded)
        .write_image(pixels, width as u32, height as u32, color)
        .map_err(|e| Error::data(path, format!("encoding as PNG failed: {e}")))?;
    file::write(path, &encoded)
}

/// A picture with a mask (not 0 = object) laid over it: object pixels move towards `color` by
/// `opacity` in 0..=1, and the object's outermost pixels take the colour itself.
pub fn overlay(picture: &Picture, mask: &[u8], color: [u8; 3], opacity: f32) -> Result<Picture> {
    let Picture { width, height, ref pixels } = *picture;
    if mask.len() != width * height || pixels.len() != width * height * 3 {
        return Err(Error::usage(format!(
            "an overlay of {} mask entries on a picture of {width} x {height} with {} bytes; one \
             entry and three bytes a pixel were expected",
            mask.len(),
            pixels.len()
        )));
    }
    if !(0.0..=1.0).contains(&opacity) {
        return Err(Error::usage(format!("an overlay opacity of {opacity}; 0 to 1 was expected")));
    }
    let mut out = picture.clone();
    for (i, pixel) in out.pixels.chunks_exact_mut(3).enumerate() {
        if mask[i] == 0 {
            continue;
        }
        let weight = if on_contour(mask, width, i) { 1.0 } else { opacity };
        for (value, target) in pixel.iter_mut().zip(color) {
            let from = f32::from(*value);
            *value = (from + (f32::from(target) - from) * weight).round() as u8;
        }
    }
    Ok(out)
}

/// Whether one of the four neighbours inside the picture is not in the mask.
fn on_contour(mask: &[u8], width: usize, i: usize) -> bool {
    let outside = |j: usize| mask.get(j) == Some(&0);
    let (column, last) = (i % width, width - 1);
    (column > 0 && outside(i - 1))
        || (column < last && outside(i + 1))
        || (i >= width && outside(i - width))
        || outside(i + width)
}
