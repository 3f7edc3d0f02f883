//! The paper's sizes, and configurations that cannot be.

use crformer::model::{Build, Config, Crformer};

#[test]
fn the_full_model_has_the_papers_parameters() {
    let model = Crformer::new(&Config::default(), Build::training(1)).expect("a graph");
    let count: usize = model.graph.parameters().map(|(_, t)| t.of.shape.len()).sum();
    assert_eq!(count, 225_126_877);
}

#[test]
fn unknown_and_missing_keys_are_named_with_their_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config.json");
    let read = |text: &str| {
        std::fs::write(&path, text).expect("written");
        Config::read(&path).expect_err("a bad configuration").to_string()
    };
    let whole = Config::default().to_json();
    let unknown = read(&whole.replacen("\"width\"", "\"widht\"", 1));
    assert!(unknown.contains("config.json") && unknown.contains("widht"), "{unknown}");
    let missing = read(&whole.replacen("\"queries\": 24,", "", 1));
    assert!(missing.contains("queries"), "{missing}");
    let cut_off = read(&whole[..whole.len() / 2]);
    assert!(cut_off.contains("line"), "{cut_off}");
}

#[test]
fn sizes_that_do_not_fit_are_refused_with_the_figures() {
    let refused = |config: Config, expected: &str| {
        let error = config.check().expect_err("sizes that do not fit").to_string();
        assert!(error.contains(expected), "{error}");
    };
    let base = Config::default;
    refused(Config { image_size: 100, ..base() }, "image_size is 100");
    refused(Config { image_size: 0, ..base() }, "image_size");
    refused(Config { swin_heads: [4, 8, 16, 33], ..base() }, "1024");
    refused(Config { decoder_heads: 7, ..base() }, "decoder_heads = 7");
    refused(Config { drop_path: 1.0, ..base() }, "drop_path is 1");
    refused(Config { max_tokens: 600, ..base() }, "512 text_positions");
    refused(Config { class_weights: [0.0, 1.0], ..base() }, "class_weights");
    refused(Config { image_size: 1 << 20, ..base() }, "image_size is 1048576");
    refused(Config { text_layers: usize::MAX, ..base() }, "text_layers is 18446744073709551615");
    refused(Config { swin_depths: [1, usize::MAX, 1, 1], ..base() }, "swin_depths");
    refused(Config { w_re: f64::NAN, ..base() }, "w_re");
}
