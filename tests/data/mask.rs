//! Masks: equal to pycocotools' and PIL's to the bit, and bounded for hostile input.

use crformer::data::mask::{COORDINATE_MAX, Crossings, Mask, PIXELS_MAX, Rle};
use crformer::rng::Philox;

const POLYGONS: &str = include_str!("../fixtures/refer/polygons.txt");
const NEAREST: &str = include_str!("../fixtures/refer/nearest.txt");

fn polygon(points: &[f64], height: usize, width: usize) -> Rle {
    Rle::from_polygon(points, height, width, &mut Crossings::default()).unwrap()
}

fn refusal(points: &[f64], height: usize, width: usize) -> String {
    Rle::from_polygon(points, height, width, &mut Crossings::default()).unwrap_err().to_string()
}

fn numbers<T: std::str::FromStr<Err: std::fmt::Debug>>(fields: &str, between: char) -> Vec<T> {
    fields.split(between).map(|field| field.parse().unwrap()).collect()
}

#[test]
fn polygons_are_those_of_pycocotools() {
    let mut lines = 0;
    for line in POLYGONS.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [height, width, area, x, y, w, h] =
            numbers::<usize>(&fields[..7].join(" "), ' ').try_into().unwrap();
        let rle = polygon(&numbers::<f64>(fields[8], ','), height, width);
        assert_eq!(rle.to_text(), fields[7], "{line}");
        assert_eq!((rle.area(), rle.bounding_box()), (area, [x, y, w, h]), "{line}");
        assert_eq!(Rle::from_text(height, width, fields[7]).unwrap(), rle, "{line}");
        assert_eq!(Rle::from_mask(&rle.to_mask()).unwrap(), rle, "{line}");
        lines += 1;
    }
    assert!(lines >= 3000, "{lines} polygons in the fixture");
}

#[test]
fn known_areas() {
    let area = |points: &[f64]| polygon(points, 20, 30).area();
    let square = [2., 2., 12., 2., 12., 12., 2., 12.];
    assert_eq!(area(&square), 100);
    assert_eq!(area(&[2., 2., 7., 2., 7., 7.]), 10);
    assert_eq!(area(&[2., 2., 12., 12., 12., 2., 2., 12.]), 50, "a bow-tie");
    assert_eq!(area(&[square, square].concat()), 0, "wound twice: even-odd");
    assert_eq!(area(&[-5., -5., 10., -5., 10., 10., -5., 10.]), 100, "clipped");
    assert_eq!(area(&[25., 15., 40., 15., 40., 30., 25., 30.]), 25, "clipped");
    assert_eq!(area(&[2.5, 2.5, 4.5, 2.5, 4.5, 4.5, 2.5, 4.5]), 4);
    assert_eq!(area(&[2.2, 2.2, 2.3, 2.2, 2.3, 2.3, 2.2, 2.3]), 0);
    assert_eq!(area(&[100., 100., 120., 100., 110., 130.]), 0, "wholly outside");
}

#[test]
fn runs_are_column_major_and_the_mask_row_major() {
    let rle = Rle::from_counts(2, 3, vec![1, 2, 3]).unwrap();
    assert_eq!(rle.to_mask(), Mask { width: 3, height: 2, pixels: vec![0, 1, 0, 1, 0, 0] });
    assert_eq!(rle.bounding_box(), [0, 0, 2, 2]);
    assert_eq!(rle.to_mask().area(), 2);
}

#[test]
fn resizing_is_that_of_pil() {
    let mut differs = 0;
    for line in NEAREST.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [source, target] = [fields[0], fields[1]].map(|field| field.parse::<usize>().unwrap());
        let [low, high] = [0, 8].map(|shift| {
            let pixels = (0..source).map(|i| (i >> shift) as u8).collect();
            Mask { width: source, height: 1, pixels }.resize_nearest(target, 1).pixels
        });
        let mut code = 0xcbf29ce484222325u64;
        for bytes in low.iter().zip(high).map(|(&low, high)| [low, high, 0, 0]) {
            for byte in bytes {
                code = (code ^ u64::from(byte)).wrapping_mul(0x100000001b3);
            }
        }
        assert_eq!(format!("{code:016x}"), fields[2], "{source} to {target}");
        let column =
            Mask { width: 1, height: source, pixels: (0..source).map(|i| i as u8).collect() };
        assert_eq!(column.resize_nearest(1, target).pixels, low, "{source} to {target}, rows");
        let direct = (0..target).map(|i| (2 * i + 1) * source / (2 * target));
        differs += usize::from(direct.zip(&low).any(|(i, &pixel)| i as u8 != pixel));
    }
    assert!(differs > 0, "the fixture has sizes where the order of summing shows");
}

#[test]
fn resizing_takes_rows_and_columns() {
    let mask = Mask { width: 3, height: 2, pixels: vec![0, 1, 0, 1, 0, 1] };
    let larger = mask.resize_nearest(6, 3);
    let rows = [[0, 0, 1, 1, 0, 0], [1, 1, 0, 0, 1, 1], [1, 1, 0, 0, 1, 1]];
    assert_eq!(larger, Mask { width: 6, height: 3, pixels: rows.concat() });
    assert_eq!(larger.resize_nearest(6, 3), larger);
}

#[test]
fn what_is_no_polygon_is_refused() {
    for (points, reason) in [
        (vec![1., 2., 3., 4.], "found 4"),
        (vec![1., 2., 3., 4., 5., 6., 7.], "found 7"),
        (vec![], "found 0"),
        (vec![1., 2., 3., f64::NAN, 5., 6.], "found NaN"),
        (vec![1., 2., 3., f64::INFINITY, 5., 6.], "found inf"),
        (vec![1., 2., 3., 4., -1e300, 6.], "found -1000000"),
        (vec![1., 2., 3., 4., COORDINATE_MAX * 1.001, 6.], "at most 1e8"),
    ] {
        assert!(refusal(&points, 20, 30).contains(reason), "{points:?}");
    }
    for (height, width) in [(0, 3), (3, 0), (PIXELS_MAX, 2), (usize::MAX, usize::MAX)] {
        assert!(refusal(&[0., 0., 1., 0., 1., 1.], height, width).contains("pixels"));
    }
}

/// A walk along these outlines would take 10^14 steps, and their crossings 16 GB.
#[test]
fn huge_polygons_take_bounded_work() {
    let far = COORDINATE_MAX;
    let around = [-far, -far, far, -far, far, far, -far, far];
    assert_eq!(polygon(&around, 600, 400).area(), 600 * 400);
    let zigzag: Vec<f64> = (0..100_000).flat_map(|i| [[-far, far][i % 2], 3.0]).collect();
    assert!(refusal(&zigzag, 600, 400).contains("2^24"));
}

#[test]
fn run_lengths_fill_the_picture_exactly() {
    let refused = |counts| Rle::from_counts(2, 3, counts).unwrap_err().to_string();
    assert!(refused(vec![1, 2]).contains("= 6; found 3"));
    assert!(refused(vec![u32::MAX, u32::MAX]).contains("found 8589934590"));
    assert!(refused(vec![]).contains("found 0"));
    assert_eq!(Rle::from_counts(2, 3, vec![0, 0, 6]).unwrap().area(), 0);
    assert_eq!(Rle::from_counts(2, 3, vec![6, 0]).unwrap().bounding_box(), [0; 4]);
}

#[test]
fn broken_run_length_text_is_refused() {
    let refused = |text: &str| Rle::from_text(2, 3, text).unwrap_err().to_string();
    assert_eq!(Rle::from_text(2, 3, "123").unwrap().counts(), [1, 2, 3]);
    assert!(refused("12").contains("= 6; found 3"));
    assert!(refused("12\u{7f}").contains("character 2"));
    assert!(refused("12é").contains("character 2"));
    assert!(refused("12P").contains("cut off"));
    assert!(refused("1O").contains("found -1 at character 1"));
    assert!(refused("PPPPPPPPPPPP").contains("no run length at character 7"));
    assert!(refused("").contains("found 0"));
}

#[test]
fn run_length_text_survives_mutation() {
    let mut random = Philox::new(11, 0).reader();
    let texts: Vec<&str> = POLYGONS.lines().filter_map(|line| line.split(' ').nth(7)).collect();
    let mut read = 0;
    for _ in 0..100_000 {
        let mut text = texts[random.below(texts.len())].as_bytes().to_vec();
        let place = random.below(text.len());
        text[place] = 40 + random.below(80) as u8;
        let text = String::from_utf8(text).unwrap();
        let (height, width) = (1 + random.below(30), 1 + random.below(30));
        if let Ok(rle) = Rle::from_text(height, width, &text) {
            read += 1;
            assert_eq!(rle.to_mask().area(), rle.area());
        }
    }
    assert!(read < 100_000);
}
