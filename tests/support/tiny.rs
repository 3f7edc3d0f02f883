//! A run that is over in a second: a few drawn scenes and a model of a few thousand numbers.

use std::path::{Path, PathBuf};

use crformer::data::drawn;

/// Over the demo's settings; drop path, dropout and accumulation are on so that they are tested.
pub const SETTINGS: &str = r#"preset = "demo"

[training]
batch = 3
accumulation = 2
steps = 20
warmup = 3

[evaluation]
every = 8
batch = 4

[run]
log_every = 1
save_every = 5

[model]
image_size = 64
max_tokens = 6
text_layers = 1
text_width = 8
text_hidden = 16
swin_width = 4
swin_heads = [1, 1, 2, 2]
swin_window = 3
width = 8
queries = 2
decoder_heads = 2
decoder_hidden = 16
drop_path = 0.3
dropout = 0.1
"#;

/// Draws the scenes under `folder/data` and writes `folder/tiny.toml`; its path.
pub fn prepare(folder: &Path) -> PathBuf {
    let root = folder.join("data");
    let scenes = drawn::Options { seed: 5, train: 20, val: 5, test_a: 1, test_b: 1 };
    drawn::write(&root, &scenes).expect("drawn");
    let path = folder.join("tiny.toml");
    let data = format!("[data]\nroot = {:?}\n", root.to_str().expect("UTF-8"));
    std::fs::write(&path, format!("{SETTINGS}\n{data}")).expect("written");
    path
}
