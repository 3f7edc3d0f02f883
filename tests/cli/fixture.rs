//! What the programs are run on: a small model with random weights, made pictures, a folder.

use std::fs;
use std::path::{Path, PathBuf};

use crformer::data::image::{Picture, write_png};
use crformer::exec::cpu::CpuSession;
use crformer::exec::{Session, Slot, ValuesMut};
use crformer::model::folder::initialise;
use crformer::model::{Build, Config, Crformer};
use crformer::rng::Philox;
use crformer::weights::save::{Entry, save};

/// The sizes of the small model; its logits are a map of 4 x 4.
pub fn config() -> Config {
    Config {
        image_size: 64,
        max_tokens: 6,
        vocab_size: WORDS.len(),
        text_positions: 8,
        text_layers: 1,
        text_width: 8,
        text_heads: 2,
        text_hidden: 16,
        swin_width: 8,
        swin_depths: [1, 1, 1, 1],
        swin_heads: [1, 1, 2, 2],
        swin_window: 4,
        width: 16,
        queries: 3,
        decoder_layers: 1,
        decoder_heads: 2,
        decoder_hidden: 16,
        ..Config::default()
    }
}

pub const WORDS: [&str; 9] =
    ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "red", "circle", "left"];

/// A parameter as it is written: its name, extents and numbers.
pub type Tensor = (String, Vec<usize>, Vec<f64>);

/// Every parameter of the small model, drawn from `seed`.
pub fn tensors(seed: u64) -> Vec<Tensor> {
    let model = Crformer::new(&config(), Build::training(1)).expect("a graph");
    let mut session = CpuSession::<f64>::new(model.graph, None, 0);
    initialise(&mut session, seed).expect("drawn");
    let parameters: Vec<_> = session
        .graph()
        .parameters()
        .map(|(id, t)| (id, t.name.clone(), t.of.shape.extents().to_vec()))
        .collect();
    let read = |(id, name, extents): (_, String, Vec<usize>)| {
        let mut numbers = vec![0.0; extents.iter().product()];
        session.read(id, Slot::Value, ValuesMut::F64(&mut numbers)).expect("a parameter");
        (name, extents, numbers)
    };
    parameters.into_iter().map(read).collect()
}

/// Writes tensors to `model.safetensors` of a folder.
pub fn save_tensors(folder: &Path, tensors: &[Tensor]) {
    let entries: Vec<Entry> =
        tensors.iter().map(|(name, extents, _)| Entry::new(name, extents, false)).collect();
    let fill = |i: usize, room: &mut [f64]| {
        room.copy_from_slice(&tensors[i].2);
        Ok(())
    };
    save(&folder.join("model.safetensors"), &[], &entries, fill).expect("saved");
}

/// A folder that goes with the test, with a model in `model/`.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        let model = folder.path("model");
        fs::create_dir(&model).expect("made");
        fs::write(model.join("config.json"), config().to_json()).expect("written");
        fs::write(model.join("vocab.txt"), WORDS.join("\n") + "\n").expect("written");
        save_tensors(&model, &tensors(SEED));
        folder
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a picture of noise under a name.
    pub fn picture(&self, name: &str, width: usize, height: usize) -> Picture {
        let picture = noise(width, height);
        write_png(&self.path(name), &picture).expect("written");
        picture
    }

    /// Names in a folder, sorted.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).expect("a folder");
        let name = |entry: std::io::Result<fs::DirEntry>| {
            entry.expect("an entry").file_name().into_string().expect("a name")
        };
        let mut names: Vec<String> = entries.map(name).collect();
        names.sort_unstable();
        names
    }
}

/// A seed with which masks are neither empty nor full, as the tests check.
pub const SEED: u64 = 1;

fn noise(width: usize, height: usize) -> Picture {
    let random = Philox::new(0, width as u64);
    let pixels = (0..width * height * 3).map(|i| (random.uniform(i as u64) * 256.0) as u8);
    Picture { width, height, pixels: pixels.collect() }
}
