//! `instances.json`: every form of segmentation, only what is wanted, errors with line and column.

use std::path::Path;

use crformer::data::coco::{Counts, Instances, Runs, Segmentation, Wanted};
use crformer::data::mask::Overlap;
use crformer::error::{Error, ErrorKind};
use crformer::rng::Philox;

const WHOLE: &str = r#"{"info": {"a": [1, {"b": null}]},
 "annotations": [
  {"segmentation": [[0, 0, 2, 0, 2, 2.5]], "id": 1, "image_id": 7, "category_id": 3, "area": 2.5, "bbox": [0, 0, 2, 2.5], "iscrowd": 0},
  {"segmentation": {"size": [2, 3], "counts": [1, 2, 3]}, "id": 2, "image_id": 7, "iscrowd": 1},
  {"segmentation": {"size": [2, 3], "counts": "123"}, "id": 3, "image_id": 7},
  {"segmentation": [{"size": [2, 3], "counts": "123"}, {"size": [2, 3], "counts": [6]}], "id": 4, "image_id": 7},
  {"segmentation": [], "id": 5, "image_id": 7}, {"id": 6, "image_id": 7}, {"segmentation": null, "id": 8, "image_id": 7}],
 "categories": [{"id": 3, "name": "cat", "supercategory": "animal"}],
 "images": [{"id": 7, "file_name": "a.jpg", "width": 3, "height": 2}, {"id": 8, "file_name": "b.jpg", "width": 1, "height": 1}]}"#;

fn wanted() -> Wanted {
    Wanted { images: [7].into(), annotations: (1..=8).collect() }
}

fn read(json: &str) -> Result<Instances, Error> {
    Instances::read(json.as_bytes(), Path::new("some/instances.json"), &wanted())
}

fn refusal(json: &str) -> String {
    let error = read(json).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(error.to_string().starts_with("some/instances.json: "), "{error}");
    error.to_string()
}

#[test]
fn every_form_of_segmentation_is_read() {
    let instances = read(WHOLE).unwrap();
    let shape = |id| instances.annotations[&id].segmentation.clone();
    let runs = |counts| Runs { size: [2, 3], counts };
    let text = || runs(Counts::Text("123".to_owned()));
    let list = |counts: &[u32]| runs(Counts::List(counts.to_vec()));
    assert_eq!(shape(1), Some(Segmentation::Polygons(vec![vec![0., 0., 2., 0., 2., 2.5]])));
    assert_eq!(shape(2), Some(Segmentation::Runs(vec![list(&[1, 2, 3])])));
    assert_eq!(shape(3), Some(Segmentation::Runs(vec![text()])));
    assert_eq!(shape(4), Some(Segmentation::Runs(vec![text(), list(&[6])])));
    assert_eq!(shape(5), Some(Segmentation::Polygons(vec![])));
    assert_eq!((shape(6), shape(8)), (None, None));
    let first = &instances.annotations[&1];
    assert_eq!((first.image_id, first.category_id, first.iscrowd), (7, Some(3), 0));
    assert_eq!((first.area, first.bbox), (Some(2.5), Some([0., 0., 2., 2.5])));
    assert_eq!(instances.annotations[&2].iscrowd, 1);
    assert_eq!(instances.categories[&3].name, "cat");
}

#[test]
fn only_what_is_wanted_is_kept() {
    let instances = read(WHOLE).unwrap();
    assert_eq!(instances.images.len(), 1);
    assert_eq!((instances.images[&7].width, instances.images[&7].height), (3, 2));
    let none = Instances::read(WHOLE.as_bytes(), Path::new("x"), &Wanted::default()).unwrap();
    assert!(none.images.is_empty() && none.annotations.is_empty());
}

#[test]
fn json_that_is_cut_off_is_refused() {
    for end in (0..WHOLE.len()).filter(|&end| WHOLE.is_char_boundary(end)) {
        let message = refusal(&WHOLE[..end]);
        assert!(message.contains("cut off (") && message.contains(" at line "), "{message}");
    }
    assert!(refusal(&format!("{WHOLE}]")).contains("trailing characters at line 9 column"));
}

#[test]
fn ids_that_stand_twice_are_refused() {
    let twice = WHOLE.replace(r#""id": 2, "#, r#""id": 1, "#);
    let message = refusal(&twice);
    assert!(message.contains("annotation id 1 stands twice at line 4 column"), "{message}");
    let twice = WHOLE.replace(r#""id": 8, "file_name""#, r#""id": 7, "file_name""#);
    assert!(refusal(&twice).contains("image id 7 stands twice at line 9 column"));
    let twice = WHOLE.replace(r#""info": {"a": [1, {"b": null}]}"#, r#""images": []"#);
    assert!(refusal(&twice).contains("\"images\" stands twice at line 9 column"));
    assert!(
        refusal(&WHOLE.replace(r#""id": 2,"#, r#""id": 2, "id": 2,"#)).contains("duplicate field")
    );
}

#[test]
fn wrong_types_are_refused_with_their_place() {
    for (right, wrong, reason) in [
        (r#""id": 2,"#, r#""id": "2","#, "invalid type: string \"2\", expected i64 at line 4"),
        (
            r#""width": 3"#,
            r#""width": -3"#,
            "invalid value: integer `-3`, expected usize at line 9",
        ),
        (
            r#""image_id": 7, "category_id""#,
            r#""category_id""#,
            "missing field `image_id` at line 3",
        ),
        ("[[0, 0, 2, 0, 2, 2.5]]", "[0, 0, 2, 0, 2, 2.5]", "expected a polygon [x1"),
        ("[[0, 0, 2, 0, 2, 2.5]]", "\"square\"", "expected a list of polygons"),
        ("[[0, 0, 2, 0, 2, 2.5]]", r#"[[0, 1], {"size": [2, 3], "counts": "6"}]"#, "in one seg"),
        ("[[0, 0, 2, 0, 2, 2.5]]", "[[1e999]]", "number out of range at line 3"),
        ("[1, 2, 3]}", "[1, -2, 3]}", "invalid value: integer `-2`, expected u32 at line 4"),
        ("[1, 2, 3]}", "7}", "expected run lengths as a list"),
        (
            r#""size": [2, 3], "counts": [1, 2, 3]"#,
            r#""counts": [1, 2, 3]"#,
            "missing field `size`",
        ),
        ("\"images\"", "\"pictures\"", "missing field `images`"),
        ("\"annotations\"", "\"objects\"", "missing field `annotations`"),
    ] {
        assert!(WHOLE.contains(right), "{right}");
        let message = refusal(&WHOLE.replacen(right, wrong, 1));
        assert!(message.contains(reason), "{message}");
    }
    assert!(refusal("[]").contains("invalid type: sequence"));
    assert!(refusal("<html>").contains("expected value at line 1 column 1"));
}

#[test]
fn overlap_is_union_or_exactly_one() {
    let runs = |counts: &[u32]| Runs { size: [2, 3], counts: Counts::List(counts.to_vec()) };
    let shape = Segmentation::Runs(vec![runs(&[1, 3, 2]), runs(&[3, 3]), runs(&[6])]);
    let pixels = |overlap| shape.mask(2, 3, overlap).unwrap().pixels;
    assert_eq!(pixels(Overlap::Union), [0, 1, 1, 1, 1, 1]);
    assert_eq!(pixels(Overlap::Lavt), [0, 1, 1, 1, 0, 1]);
    assert_eq!(Overlap::default(), Overlap::Union);
}

#[test]
fn shapes_that_do_not_fit_the_picture_are_refused() {
    let refused = |shape: Segmentation| {
        let checked = shape.check(2, 3).unwrap_err().to_string();
        assert_eq!(checked, shape.mask(2, 3, Overlap::Union).unwrap_err().to_string());
        checked
    };
    let runs = |size, text: &str| {
        Segmentation::Runs(vec![Runs { size, counts: Counts::Text(text.to_owned()) }])
    };
    assert!(
        refused(runs([3, 2], "123")).contains("height 2 and width 3 are expected; found height 3")
    );
    assert!(refused(runs([2, 3], "12")).contains("found 3"));
    assert!(refused(Segmentation::Polygons(vec![])).contains("found none"));
    assert!(refused(Segmentation::Polygons(vec![vec![1.0; 5]])).contains("found 5"));
}

/// Many polygons of one annotation share one budget, so the whole annotation is bounded.
#[test]
fn the_work_of_one_annotation_is_bounded() {
    let zigzag: Vec<f64> = (0..2000).flat_map(|i| [f64::from(i % 2) * 1e6, 3.0]).collect();
    let shape = Segmentation::Polygons(vec![zigzag; 100]);
    let error = shape.mask(1000, 1000, Overlap::Union).unwrap_err().to_string();
    assert!(error.contains("more than 2^24 pixel columns"), "{error}");
}

#[test]
fn mutated_json_never_panics() {
    let mut random = Philox::new(21, 0).reader();
    let mut read_well = 0;
    for _ in 0..20_000 {
        let mut bytes = WHOLE.as_bytes().to_vec();
        for _ in 0..1 + random.below(3) {
            let place = random.below(bytes.len());
            bytes[place] = b"0123456789[]{}\",:.-e \xff"[random.below(22)];
        }
        if let Ok(instances) = Instances::read(&bytes[..], Path::new("x"), &wanted()) {
            read_well += 1;
            for shape in
                instances.annotations.values().filter_map(|found| found.segmentation.as_ref())
            {
                let _ = shape.mask(2, 3, Overlap::Union);
            }
        }
    }
    assert!((1..20_000).contains(&read_well), "{read_well}");
}
