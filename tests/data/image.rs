//! Decoding against PIL, damaged and oversized files, writing, overlays.

use std::fs;
use std::path::{Path, PathBuf};

use crformer::data::image::{Picture, SIDE_LIMIT, overlay, read, write_mask_png, write_png};
use crformer::error::{Error, ErrorKind};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/image").join(name)
}

/// PIL's answer for a fixture.
fn expected(name: &str) -> Picture {
    let bytes = fs::read(fixture(&format!("{name}.rgb"))).unwrap();
    let extent = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    Picture { width: extent(0), height: extent(4), pixels: bytes[8..].to_vec() }
}

fn noise(width: usize, height: usize) -> Picture {
    let pixels = (0..width * height * 3).map(|i| (i * i * 31 + i * 7) as u8).collect();
    Picture { width, height, pixels }
}

/// The error names the file, is about data, and says `part`.
fn assert_refused(path: &Path, part: &str) {
    let error = read(path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    let message = error.to_string();
    assert!(message.starts_with(&path.display().to_string()), "{message}");
    assert!(message.contains(part), "{message}");
}

#[test]
fn every_kind_of_png_is_what_pil_makes_of_it() {
    let names = [
        "rgb.png",
        "grey.png",
        "grey_alpha.png",
        "rgba.png",
        "bit.png",
        "grey2.png",
        "grey4.png",
        "palette.png",
        "palette_clear.png",
        "rgb16.png",
        "grey_alpha16.png",
        "rgba16.png",
        "one.png",
    ];
    for name in names {
        assert_eq!(read(&fixture(name)).unwrap(), expected(name), "{name}");
    }
}

/// Where we differ from PIL by intent: it cuts 16-bit grey at 255, we take the high byte.
#[test]
fn sixteen_bit_grey_keeps_its_high_byte() {
    let picture = read(&fixture("grey16.png")).unwrap();
    let colour = read(&fixture("rgb16.png")).unwrap();
    assert_eq!([picture.width, picture.height], [colour.width, colour.height]);
    // The fixture's noise: an LCG seeded with 4, two bytes a sample, high byte first.
    let mut state = 4u64;
    for pixel in picture.pixels.chunks_exact(3) {
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 56) as u8
        };
        let (high, _low) = (next(), next());
        assert_eq!(pixel, [high; 3]);
    }
}

/// Decoders may round differently (an inverse transform by 1, colour conversion multiplies that by
/// up to 1.8, subsampled colour is interpolated): 4 levels is the bound we state.
#[test]
fn every_kind_of_jpeg_is_within_four_levels_of_pils() {
    let names = [
        "photo444.jpg",
        "photo420.jpg",
        "progressive.jpg",
        "restart.jpg",
        "grey.jpg",
        "cmyk.jpg",
        "rgb.jpg",
        "one.jpg",
        "turned.jpg", // EXIF says a quarter turn; PIL's convert does not turn
    ];
    for name in names {
        let (ours, pils) = (read(&fixture(name)).unwrap(), expected(name));
        assert_eq!([ours.width, ours.height], [pils.width, pils.height], "{name}");
        let differences = ours.pixels.iter().zip(&pils.pixels).map(|(&a, &b)| a.abs_diff(b));
        let worst = differences.max().unwrap();
        assert!(worst <= 4, "{name}: {worst} levels");
    }
}

#[test]
fn the_content_decides_the_format_not_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("really_png.jpg");
    fs::copy(fixture("rgb.png"), &path).unwrap();
    assert_eq!(read(&path).unwrap(), expected("rgb.png"));
}

#[test]
fn missing_empty_and_foreign_files_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    assert_refused(&folder.path().join("missing.jpg"), "reading failed");
    assert_refused(folder.path(), "reading failed");
    let empty = folder.path().join("empty.jpg");
    fs::write(&empty, b"").unwrap();
    assert_refused(&empty, "empty");
    let page = folder.path().join("page.jpg");
    fs::write(&page, b"<html>404 not found</html>").unwrap();
    assert_refused(&page, "neither JPEG nor PNG");
    assert_refused(&fixture("other.gif"), "Gif");
}

#[test]
fn too_large_pictures_are_refused_by_their_header() {
    assert_refused(&fixture("huge.png"), "16384");
    assert_refused(&fixture("huge.jpg"), "20000 x 20000");
    assert_refused(&fixture("wide.png"), "16384");
    assert_refused(&fixture("heavy.png"), "256 MiB");
}

#[test]
fn jpegs_of_unknown_inks_or_depth_are_refused() {
    assert_refused(&fixture("cmyk_unmarked.jpg"), "CMYK");
    assert_refused(&fixture("twelve_bits.jpg"), "12 bits");
}

#[test]
fn a_jpeg_cut_anywhere_is_an_error_and_not_grey_pixels() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.jpg");
    for name in ["photo420.jpg", "progressive.jpg", "turned.jpg"] {
        let bytes = fs::read(fixture(name)).unwrap();
        let last = bytes.len() - 40;
        for length in (1..last).step_by(11).chain(last..bytes.len()) {
            fs::write(&path, &bytes[..length]).unwrap();
            assert_refused(&path, "");
        }
    }
}

/// PIL and we need no end chunk: a cut there loses no pixel.
#[test]
fn a_png_cut_within_its_pixels_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.png");
    let bytes = fs::read(fixture("rgb.png")).unwrap();
    let end_chunk = 12;
    for length in 1..bytes.len() {
        fs::write(&path, &bytes[..length]).unwrap();
        if length < bytes.len() - end_chunk {
            assert_refused(&path, "");
        } else if let Ok(picture) = read(&path) {
            assert_eq!(picture, expected("rgb.png"));
        }
    }
}

#[test]
fn damaged_bytes_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged");
    let mut state = 7u64;
    let mut next = |bound: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % bound
    };
    for name in ["photo420.jpg", "progressive.jpg", "restart.jpg", "palette.png", "rgba16.png"] {
        let sound = fs::read(fixture(name)).unwrap();
        for _ in 0..100 {
            let mut bytes = sound.clone();
            for _ in 0..=next(4) {
                let place = next(bytes.len());
                bytes[place] = next(256) as u8;
            }
            fs::write(&path, &bytes).unwrap();
            let _: Result<Picture, Error> = read(&path);
        }
    }
}

#[test]
fn what_is_written_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.png");
    for (width, height) in [(1, 1), (7, 5), (SIDE_LIMIT, 1)] {
        let picture = noise(width, height);
        write_png(&path, &picture).unwrap();
        assert_eq!(read(&path).unwrap(), picture);
    }
    write_mask_png(&path, &[0, 1, 255, 0, 0, 7], 3, 2).unwrap();
    let grey: Vec<u8> = [0, 255, 255, 0, 0, 255].into_iter().flat_map(|g| [g; 3]).collect();
    assert_eq!(read(&path).unwrap().pixels, grey);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file is left");
}

#[test]
fn a_failed_write_leaves_the_old_file_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.png");
    write_png(&path, &noise(3, 3)).unwrap();
    let wrong = Picture { width: 3, height: 3, pixels: vec![0; 26] };
    assert_eq!(write_png(&path, &wrong).unwrap_err().kind(), ErrorKind::Usage);
    assert_eq!(write_mask_png(&path, &[], 0, 0).unwrap_err().kind(), ErrorKind::Usage);
    assert_eq!(read(&path).unwrap(), noise(3, 3));

    let occupied = folder.path().join("folder.png");
    fs::create_dir(&occupied).unwrap();
    assert!(write_png(&occupied, &noise(3, 3)).unwrap_err().to_string().contains("folder.png"));
    let nowhere = folder.path().join("missing/out.png");
    assert!(write_png(&nowhere, &noise(3, 3)).unwrap_err().to_string().contains("out.png"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

/// A program run as root must not turn `/dev/null` into a PNG.
#[cfg(unix)]
#[test]
fn a_device_is_written_to_and_a_link_is_followed() {
    use std::os::unix::fs::FileTypeExt;
    write_png(Path::new("/dev/null"), &noise(3, 3)).unwrap();
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());

    let folder = tempfile::tempdir().unwrap();
    let (target, link) = (folder.path().join("target.png"), folder.path().join("link.png"));
    fs::write(&target, b"old").unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    write_png(&link, &noise(3, 3)).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(read(&target).unwrap(), noise(3, 3));
}

#[test]
fn an_overlay_blends_inside_and_draws_the_contour() {
    let picture = Picture { width: 5, height: 4, pixels: vec![100; 60] };
    // Columns 1 to 4: touches the top, the bottom and the right edge, its contour is column 1.
    let mask: Vec<u8> = (0..20).map(|i| u8::from(i % 5 > 0)).collect();
    let out = overlay(&picture, &mask, [200, 0, 100], 0.5).unwrap();
    for (i, pixel) in out.pixels.chunks_exact(3).enumerate() {
        let wanted = match i % 5 {
            0 => [100, 100, 100],
            1 => [200, 0, 100],
            _ => [150, 50, 100],
        };
        assert_eq!(pixel, wanted, "pixel {i}");
    }
    // A block of 3 x 3: each side's middle has one neighbour outside, the centre has none.
    let picture = Picture { width: 5, height: 5, pixels: vec![100; 75] };
    let block: Vec<u8> =
        (0..25).map(|i| u8::from((1..4).contains(&(i % 5)) && (1..4).contains(&(i / 5)))).collect();
    let out = overlay(&picture, &block, [200, 0, 100], 0.5).unwrap();
    for (i, pixel) in out.pixels.chunks_exact(3).enumerate() {
        let wanted = match (block[i], i) {
            (0, _) => [100, 100, 100],
            (_, 12) => [150, 50, 100],
            _ => [200, 0, 100],
        };
        assert_eq!(pixel, wanted, "pixel {i} of the block");
    }
    assert_eq!(overlay(&picture, &[0; 25], [1, 2, 3], 1.0).unwrap(), picture);
}

#[test]
fn an_overlay_of_the_wrong_size_or_opacity_is_an_error() {
    let picture = noise(5, 4);
    assert!(overlay(&picture, &[1; 19], [0; 3], 0.5).unwrap_err().to_string().contains("19"));
    for opacity in [-0.1, 1.1, f32::NAN] {
        let error = overlay(&picture, &[1; 20], [0; 3], opacity).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
    }
}
