//! The resampling against frozen outputs of PIL, byte for byte; normalisation against its formula.

use std::path::Path;

use crformer::data::image::Picture;
use crformer::data::resize::{MEAN, STD, normalise, resize};
use crformer::error::ErrorKind;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/image");

/// The same bytes as `noise` in the fixtures' `make.py`.
fn noise(width: usize, height: usize, seed: u64) -> Picture {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 56) as u8
    };
    Picture { width, height, pixels: (0..width * height * 3).map(|_| next()).collect() }
}

fn fnv(bytes: &[u8]) -> u64 {
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x100000001B3);
    bytes.iter().fold(0xCBF29CE484222325, step)
}

#[test]
fn every_size_equals_pils_byte_for_byte() {
    let list = std::fs::read_to_string(Path::new(FIXTURES).join("resized.txt")).unwrap();
    let (mut cases, mut in_full) = (0, 0);
    for line in list.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let sizes: Vec<usize> = fields[..4].iter().map(|f| f.parse().unwrap()).collect();
        let [width, height, to_width, to_height] = sizes[..] else { panic!("{line}") };
        let source = noise(width, height, (width * 10007 + height) as u64);
        let out = resize(&source, to_width, to_height).unwrap();
        let name = format!("resized-{width}x{height}-{to_width}x{to_height}.rgb");
        if let Ok(expected) = std::fs::read(Path::new(FIXTURES).join(name)) {
            assert_eq!(out.pixels, expected, "{line}");
            in_full += 1;
        }
        assert_eq!([out.width, out.height], [to_width, to_height]);
        assert_eq!(format!("{:016x}", fnv(&out.pixels)), fields[4], "{line}");
        cases += 1;
    }
    assert!(cases >= 20 && in_full >= 5, "{cases} cases, {in_full} in full");
}

#[test]
fn a_flat_picture_stays_flat() {
    let flat = Picture { width: 37, height: 23, pixels: vec![201; 37 * 23 * 3] };
    assert!(resize(&flat, 480, 11).unwrap().pixels.iter().all(|&p| p == 201));
}

#[test]
fn an_extent_of_zero_or_missing_pixels_are_errors() {
    let picture = noise(3, 2, 1);
    let empty = Picture { width: 0, height: 2, pixels: Vec::new() };
    let short = Picture { width: 3, height: 2, pixels: vec![0; 17] };
    for (source, width, height) in
        [(&picture, 0, 5), (&picture, 5, 0), (&empty, 5, 5), (&short, 5, 5)]
    {
        let error = resize(source, width, height).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.to_string().contains("at least 1"), "{error}");
    }
}

#[test]
fn normalising_is_planar_and_rounds_as_f32_step_by_step() {
    let picture = noise(5, 3, 9);
    let out = normalise(&picture);
    assert_eq!(out.len(), 45);
    for (i, &value) in out.iter().enumerate() {
        let (channel, pixel) = (i / 15, i % 15);
        let byte = f32::from(picture.pixels[pixel * 3 + channel]);
        assert_eq!(value.to_bits(), ((byte / 255.0 - MEAN[channel]) / STD[channel]).to_bits());
    }
}

/// Values that torchvision's `ToTensor` and `Normalize` give for bytes 0, 1, 128 and 255.
#[test]
fn normalising_gives_torchs_bits() {
    let picture = Picture {
        width: 2,
        height: 2,
        pixels: [0, 1, 128, 255].into_iter().flat_map(|b| [b; 3]).collect(),
    };
    let bits: Vec<u32> = normalise(&picture).iter().map(|v| v.to_bits()).collect();
    assert_eq!(bits, TORCH_BITS);
}

const TORCH_BITS: [u32; 12] = [
    0xC0078BBD, 0xC006732B, 0x3D97AF32, 0x400FEE1D, 0xC0024924, 0xC0012A4F, 0x3E521B48, 0x401B6DB7,
    0xBFE6F809, 0xBFE4BCEA, 0x3EDA5D3C, 0x4028F5C3,
];
