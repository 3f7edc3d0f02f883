//! `crformer-infer`: pictures and phrases to masks. The command line only.

#![allow(rustdoc::invalid_html_tags, reason = "comments on arguments are the help's text")]

use std::io::{self, Write};
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::process::ExitCode;
use std::slice::from_ref;

use clap::Parser;
use crformer::cpu::threads;
use crformer::error::{EXIT_CODES, Result};
use crformer::exec::Machine;
use crformer::file;
use crformer::infer::pairs::{self, Item};
use crformer::infer::predictor::Predictor;
use crformer::infer::run::{default_model, run};

/// Finds what a phrase refers to in a picture.
///
/// For each picture and phrase it writes the object's mask and the mask laid over the picture as
/// PNG, at the picture's own size, and one JSON line to standard output: size [height, width],
/// area, box [x, y, width, height], COCO run lengths, score (mean probability of the object inside
/// the mask), milliseconds (model and mask; not reading the picture, not writing files) and the
/// files' names. "truncated" says that a phrase was too long for the model and lost its end.
///
/// A batch goes on after a failure: that item's line has "error" instead, and the exit code is 6.
#[derive(Parser)]
#[command(name = "crformer-infer", version, after_help = EXIT_CODES)]
struct Arguments {
    /// A picture, JPEG or PNG
    #[arg(value_name = "PICTURE", requires = "one_phrase")]
    one_picture: Option<PathBuf>,

    /// What to find in it
    #[arg(value_name = "PHRASE")]
    one_phrase: Option<String>,

    /// A picture; may be given several times: every picture is asked every phrase
    #[arg(long = "picture", value_name = "PICTURE", requires = "phrases")]
    #[arg(conflicts_with = "one_picture")]
    pictures: Vec<PathBuf>,

    /// What to find; may be given several times
    #[arg(long = "phrase", value_name = "PHRASE", requires = "pictures")]
    #[arg(conflicts_with = "one_picture")]
    phrases: Vec<String>,

    /// JSON Lines of {"picture": "...", "phrase": "...", "id": ...}, id optional; - is standard
    /// input; pictures are relative to the current folder
    #[arg(long, value_name = "FILE", conflicts_with_all = ["one_picture", "pictures", "phrases"])]
    #[arg(required_unless_present_any = ["one_picture", "pictures", "phrases"])]
    pairs: Option<PathBuf>,

    /// The model: a folder with config.json, model.safetensors and vocab.txt or tokenizer.json
    /// [default: weights/demo here, else beside or above this program]
    #[arg(long, value_name = "FOLDER")]
    model: Option<PathBuf>,

    /// Where <picture's name>-<number>.mask.png and .overlay.png go, numbers counting the items
    /// from 1; made if not there [default: the current folder]. Files of an earlier run are
    /// replaced, the pictures asked about never
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,

    /// Threads to compute with [default: one a core]
    #[arg(long, value_name = "COUNT")]
    threads: Option<NonZeroU16>,

    /// Machine to compute on: cpu, cuda:N (a GPU), or vm (the GPU's kernels run by the CPU, slowly, to
    /// test them)
    #[arg(long, default_value = "cpu")]
    device: String,

    /// What to compute in: bf16 or f32 on cuda:N and vm [default: bf16], f32 or f64 on the CPU [default: f32]
    #[arg(long)]
    precision: Option<String>,
}

fn main() -> ExitCode {
    match infer(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::from(error.exit_code())
        }
    }
}

fn infer(arguments: &Arguments) -> Result<()> {
    file::outgrowing_is_an_error()?;
    let machine = Machine::open(arguments.device.parse()?, arguments.precision.as_deref())?;
    if let Some(count) = arguments.threads {
        threads::start(usize::from(count.get()))?;
    }
    let (items, batch) = arguments.items()?;
    let model = arguments.model.clone().unwrap_or_else(default_model);
    let (mut predictor, warnings) = Predictor::open(&model, &machine)?;
    warnings.iter().for_each(|warning| say(&format!("warning: {warning}")));
    let out = arguments.out.clone().unwrap_or_default();
    run(&mut predictor, &items, batch, &out, &mut io::stdout().lock())
}

impl Arguments {
    /// What is asked, and whether it is a batch.
    fn items(&self) -> Result<(Vec<Item>, bool)> {
        if let Some(list) = &self.pairs {
            return Ok((pairs::read(list)?, true));
        }
        let items = match (&self.one_picture, &self.one_phrase) {
            (Some(picture), Some(phrase)) => pairs::combine(from_ref(picture), from_ref(phrase)),
            _ => pairs::combine(&self.pictures, &self.phrases),
        };
        let batch = items.len() > 1;
        Ok((items, batch))
    }
}

/// A line for the person in front; nobody may be reading it.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "crformer-infer: {line}");
}
