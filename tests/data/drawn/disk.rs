//! Reads a made data set back from its files, by means of its own: a small unpickler, a naive
//! rasteriser, colours judged by hue.

use std::path::Path;

use serde_json::{Map, Value, json};

/// An object as it is seen: nothing here comes from the generator but the outline and the shape.
#[derive(Clone, Debug)]
pub struct Seen {
    pub id: u64,
    pub shape: &'static str,
    pub colour: &'static str,
    /// Share of the picture's pixels.
    pub share: f64,
    /// Mean of its pixels, as a share of width and height.
    pub centre: [f64; 2],
    /// Row-major.
    pub mask: Vec<bool>,
}

pub struct Sight {
    pub width: usize,
    pub height: usize,
    pub objects: Vec<Seen>,
}

pub fn picture(root: &Path, name: &str) -> image::RgbImage {
    let path = root.join("images/mscoco/images/train2014").join(name);
    image::open(path).unwrap().into_rgb8()
}

pub fn instances(root: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(root.join("shapes/instances.json")).unwrap()).unwrap()
}

pub fn references(root: &Path) -> Vec<Value> {
    let bytes = std::fs::read(root.join("shapes/refs(drawn).p")).unwrap();
    unpickle(&bytes).as_array().unwrap().clone()
}

/// Everything seen in one picture of `instances.json`.
pub fn sight(root: &Path, instances: &Value, image: &Value) -> Sight {
    let pixels = picture(root, image["file_name"].as_str().unwrap());
    let [width, height] = [pixels.width() as usize, pixels.height() as usize];
    assert_eq!([json!(width), json!(height)], [image["width"].clone(), image["height"].clone()]);
    let annotations = instances["annotations"].as_array().unwrap().iter();
    let objects = annotations
        .filter(|annotation| annotation["image_id"] == image["id"])
        .map(|annotation| {
            let mask = raster(&polygon(annotation), width, height);
            seen(annotation, &pixels, mask)
        })
        .collect();
    Sight { width, height, objects }
}

pub fn polygon(annotation: &Value) -> Vec<[f64; 2]> {
    let polygons = annotation["segmentation"].as_array().unwrap();
    assert_eq!(polygons.len(), 1);
    let numbers: Vec<f64> =
        polygons[0].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
    numbers.chunks_exact(2).map(|xy| [xy[0], xy[1]]).collect()
}

fn seen(annotation: &Value, pixels: &image::RgbImage, mask: Vec<bool>) -> Seen {
    let places = mask.iter().enumerate().filter(|(_, inside)| **inside).map(|(i, _)| i as u32);
    let (mut count, mut centre, mut rgb) = (0.0, [0.0; 2], [0.0; 3]);
    for (x, y) in places.map(|i| (i % pixels.width(), i / pixels.width())) {
        count += 1.0;
        centre[0] += (f64::from(x) + 0.5) / f64::from(pixels.width());
        centre[1] += (f64::from(y) + 0.5) / f64::from(pixels.height());
        (0..3).for_each(|c| rgb[c] += f64::from(pixels.get_pixel(x, y)[c]));
    }
    Seen {
        id: annotation["id"].as_u64().unwrap(),
        shape: ["circle", "square", "triangle", "star"]
            [annotation["category_id"].as_u64().unwrap() as usize - 1],
        colour: colour(rgb.map(|sum| sum / count)),
        share: count / mask.len() as f64,
        centre: centre.map(|sum| sum / count),
        mask,
    }
}

/// A pixel is inside when its middle is, by the even-odd rule.
pub fn raster(outline: &[[f64; 2]], width: usize, height: usize) -> Vec<bool> {
    let inside = |x: f64, y: f64| {
        let next = outline.iter().cycle().skip(1);
        let crossed = outline.iter().zip(next).filter(|(a, b)| {
            (a[1] <= y) != (b[1] <= y) && x < a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0])
        });
        crossed.count() % 2 == 1
    };
    (0..width * height)
        .map(|i| inside((i % width) as f64 + 0.5, (i / width) as f64 + 0.5))
        .collect()
}

/// The name people give a colour, by its hue in degrees.
pub fn colour(rgb: [f64; 3]) -> &'static str {
    let [r, g, b] = rgb;
    let most = r.max(g).max(b);
    let span = most - r.min(g).min(b);
    assert!(span > 0.4 * most, "{rgb:?} is too grey for a shape");
    let hue = if most == r {
        60.0 * (g - b) / span
    } else if most == g {
        60.0 * (b - r) / span + 120.0
    } else {
        60.0 * (r - g) / span + 240.0
    };
    match hue.rem_euclid(360.0) {
        12.0..40.0 => "orange",
        40.0..70.0 => "yellow",
        90.0..170.0 => "green",
        195.0..250.0 => "blue",
        255.0..320.0 => "purple",
        h if !(12.0..340.0).contains(&h) => "red",
        h => panic!("{rgb:?}, hue {h}, has no name"),
    }
}

/// What the writer uses of protocol 2, and nothing more.
fn unpickle(bytes: &[u8]) -> Value {
    assert_eq!(bytes[..2], [0x80, 2]);
    let (mut at, mut stack, mut marks) = (2, Vec::<Value>::new(), Vec::new());
    let mut take = |count: usize| {
        at += count;
        &bytes[at - count..at]
    };
    loop {
        match take(1)[0] {
            b']' => stack.push(json!([])),
            b'}' => stack.push(Value::Object(Map::new())),
            b'(' => marks.push(stack.len()),
            b'K' => stack.push(json!(take(1)[0])),
            b'J' => stack.push(json!(i32::from_le_bytes(take(4).try_into().unwrap()))),
            b'X' => {
                let length = u32::from_le_bytes(take(4).try_into().unwrap());
                stack.push(json!(std::str::from_utf8(take(length as usize)).unwrap()));
            }
            b'e' => {
                let items = stack.split_off(marks.pop().unwrap());
                stack.last_mut().unwrap().as_array_mut().unwrap().extend(items);
            }
            b'u' => {
                let items = stack.split_off(marks.pop().unwrap());
                let entries = stack.last_mut().unwrap().as_object_mut().unwrap();
                for pair in items.chunks_exact(2) {
                    entries.insert(pair[0].as_str().unwrap().to_owned(), pair[1].clone());
                }
            }
            b'.' => break,
            other => panic!("opcode {other:#x}"),
        }
    }
    assert!(marks.is_empty() && stack.len() == 1 && at == bytes.len());
    stack.remove(0)
}
