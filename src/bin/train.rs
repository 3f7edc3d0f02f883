//! `crformer-train`: the command line of training, evaluation and data.

#![allow(rustdoc::invalid_html_tags, reason = "comments on arguments are the help's text")]

use std::io::{ErrorKind as IoKind, Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use crformer::cpu::threads;
use crformer::data::drawn;
use crformer::data::mask::Overlap;
use crformer::data::wordpiece::Tokenizer;
use crformer::error::{EXIT_CODES, Error, Result};
use crformer::exec::Machine;
use crformer::file::outgrowing_is_an_error;
use crformer::train::judge::{How, Judge, Which};
use crformer::train::layers::{self, Base};
use crformer::train::metrics::Protocol;
use crformer::train::phrases::SplitPlace;
use crformer::train::run::{Options, train};
use crformer::train::signals::Stop;
use crformer::train::{demo, place, probe, samples};

/// Trains and evaluates CRFormer, referring image segmentation.
#[derive(Parser)]
#[command(name = "crformer-train", version, after_help = EXIT_CODES)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    /// The machine: cpu, cuda:N (a GPU), or vm (the GPU's kernels run by the CPU, slowly, to test them).
    #[arg(long, global = true, default_value = "cpu")]
    device: String,
    /// What it computes in: bf16 (with f32 sums, statistics and trained weights) or f32 on cuda:N and vm
    /// [default: bf16], f32 or f64 on the CPU [default: f32; for probe f64].
    #[arg(long, global = true)]
    precision: Option<String>,
    /// Threads that compute [default: one a core]. Any number gives the same bits.
    #[arg(long, global = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

#[derive(Subcommand)]
enum Command {
    /// Draws a small data set, trains a small model on it in minutes, shows what it learnt.
    Demo(Demo),
    /// Trains a model, or goes on training it.
    Train(Train),
    /// Judges a model on a split: mIoU, oIoU, Pr@50 to Pr@90.
    Evaluate(Evaluate),
    /// Prints the settings of a preset, with comments, to begin a file of one's own.
    Config {
        /// paper, lineage or demo.
        #[arg(long)]
        preset: String,
    },
    /// Writes what the model will see of a split: pictures, masks, tokens.
    Samples(Samples),
    /// Draws the data set of shapes that the demo uses.
    Draw(Draw),
    /// Writes logits, losses and every gradient for given inputs, to compare implementations.
    Probe(Probe),
}

#[derive(Args)]
struct Demo {
    /// Folder for data, run and pictures.
    #[arg(long, default_value = "demo")]
    out: PathBuf,
    #[command(flatten)]
    overrides: Overrides,
    #[command(flatten)]
    scenes: Scenes,
}

#[derive(Args)]
struct Overrides {
    /// Puts one setting in place of the preset's or the file's; repeatable.
    #[arg(short = 'o', value_name = "SECTION.KEY=VALUE")]
    overrides: Vec<String>,
}

#[derive(Args)]
struct Train {
    /// Settings to begin with: paper, lineage or demo.
    #[arg(long, conflicts_with = "config")]
    preset: Option<String>,
    /// A file of settings; a line such as preset = "lineage" at its top gives those it lacks.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    overrides: Overrides,
    /// Folder for the model, its checkpoints and its log.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Goes on from the last checkpoint in --out, with the settings there; begins if there is none.
    #[arg(long)]
    resume: bool,
    /// Saves and ends after this step; --resume goes on as if it had not.
    #[arg(long, value_name = "STEP")]
    stop_at: Option<u64>,
}

/// Which split of which data set.
#[derive(Args)]
struct Data {
    /// The data set's folder under the root, such as refcoco.
    #[arg(long)]
    dataset: String,
    /// Who made the splits, such as unc: refs(<WHO>).p.
    #[arg(long, value_name = "WHO")]
    split_by: String,
    /// Such as val or testA.
    #[arg(long)]
    split: String,
    /// What a pixel under several polygons of one object is.
    #[arg(long, value_enum, default_value = "union")]
    overlap: OverlapName,
}

#[derive(Clone, Copy, ValueEnum)]
enum OverlapName {
    /// The object's.
    Union,
    /// Background, as in the lineage's code.
    Lineage,
}

impl From<OverlapName> for Overlap {
    fn from(name: OverlapName) -> Self {
        match name {
            OverlapName::Union => Overlap::Union,
            OverlapName::Lineage => Overlap::Lavt,
        }
    }
}

#[derive(Args)]
struct Evaluate {
    /// A folder with config.json, model.safetensors and the tokenizer, such as that of a run.
    model_dir: PathBuf,
    /// Folder with <dataset>/ and images/.
    #[arg(long, value_name = "ROOT")]
    data: PathBuf,
    #[command(flatten)]
    which: Data,
    /// Where masks are compared: at the model's size (lavt) or the picture's own (original).
    #[arg(long, default_value = "lavt")]
    protocol: Protocol,
    /// Also gives the figures for each kind of phrase, where the data set has kinds.
    #[arg(long)]
    by_kind: bool,
    /// Prints one line of JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Images at a time.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=4096))]
    batch: u16,
}

#[derive(Args)]
struct Samples {
    /// Folder with <dataset>/ and images/.
    root: PathBuf,
    #[command(flatten)]
    which: Data,
    /// Folder for the pictures and samples.jsonl.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How many sentences [default: all].
    #[arg(long)]
    count: Option<usize>,
    /// Side of the square that pictures are resized to.
    #[arg(long, default_value_t = 480, value_parser = clap::value_parser!(u16).range(1..=16384))]
    image_size: u16,
    /// Length of the rows of tokens.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(2..=4096))]
    max_tokens: u16,
    /// BERT's vocab.txt or tokenizer.json [default: <ROOT>/<dataset>/vocab.txt].
    #[arg(long, value_name = "FILE")]
    vocab: Option<PathBuf>,
}

#[derive(Args)]
struct Draw {
    /// Folder for <ROOT>/shapes and <ROOT>/images.
    root: PathBuf,
    #[command(flatten)]
    scenes: Scenes,
}

/// How many scenes are drawn.
#[derive(Args)]
struct Scenes {
    /// Of the drawing.
    #[arg(long, default_value_t = drawn::Options::default().seed)]
    seed: u64,
    /// Scenes to learn from.
    #[arg(long, default_value_t = drawn::Options::default().train)]
    train: usize,
    /// Scenes to judge by.
    #[arg(long, default_value_t = drawn::Options::default().val)]
    val: usize,
    /// Scenes with more objects than were learnt from.
    #[arg(long, default_value_t = drawn::Options::default().test_a)]
    test_a: usize,
    /// Scenes with pairs of colour and shape that were not learnt from.
    #[arg(long, default_value_t = drawn::Options::default().test_b)]
    test_b: usize,
}

impl Scenes {
    fn options(&self) -> drawn::Options {
        let &Self { seed, train, val, test_a, test_b } = self;
        drawn::Options { seed, train, val, test_a, test_b }
    }
}

#[derive(Args)]
struct Probe {
    /// A folder with config.json and model.safetensors.
    model_dir: PathBuf,
    /// A safetensors file with image, tokens, word_mask and mask.
    inputs: PathBuf,
    /// The safetensors file to write.
    out: PathBuf,
}

fn main() -> ExitCode {
    match run(CommandLine::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(line: CommandLine) -> Result<()> {
    let Some(command) = line.command else {
        return print(&CommandLine::command().render_help().to_string());
    };
    let mut machine = Machine::open(line.device.parse()?, line.precision.as_deref())?;
    if let Some(threads) = line.threads {
        threads::start(threads.into())?;
    }
    outgrowing_is_an_error()?;
    let stop = Stop::install()?;
    match command {
        Command::Demo(arguments) => run_demo(arguments, &machine, &stop),
        Command::Train(arguments) => run_train(arguments, machine, &stop),
        Command::Evaluate(arguments) => run_evaluate(arguments, &machine, &stop),
        Command::Config { preset } => print(layers::preset(&preset)?),
        Command::Samples(arguments) => run_samples(arguments),
        Command::Draw(Draw { root, scenes }) => {
            let made = drawn::write(&root, &scenes.options())?;
            let doing = if made.made { "drew" } else { "found" };
            let (pictures, references) = (made.pictures, made.references);
            let sentences = made.sentences;
            print(&format!(
                "{doing} {pictures} pictures, {references} references, {sentences} sentences\n"
            ))
        }
        Command::Probe(Probe { model_dir, inputs, out }) => {
            if matches!(machine, Machine::Cpu) && line.precision.is_none() {
                machine = Machine::CpuInDouble;
            }
            probe::probe(&model_dir, &inputs, &out, &machine)
        }
    }
}

/// Prints to the standard output stream; a reader that has seen enough is no error.
fn print(text: &str) -> Result<()> {
    let mut out = stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != IoKind::BrokenPipe => {
            Err(Error::io("standard output", "writing", error))
        }
        _ => Ok(()),
    }
}

fn run_demo(arguments: Demo, machine: &Machine, stop: &Stop) -> Result<()> {
    let Demo { out, overrides, scenes } = arguments;
    let say = |line: &str| eprintln!("{line}");
    let shown = demo::demo(&out, &overrides.overrides, &scenes.options(), machine, stop, say)?;
    print(&format!(
        "\n{}\n\nmodel     {}\npictures  {}\n",
        shown.report.table(),
        shown.model.display(),
        shown.pictures.display()
    ))
}

fn run_train(arguments: Train, machine: Machine, stop: &Stop) -> Result<()> {
    let Train { preset, config, overrides, out, resume, stop_at } = arguments;
    let begun = out.join(place::SETTINGS);
    let base = match (&preset, &config) {
        (Some(name), _) => Base::Preset(name),
        (None, Some(path)) => Base::File(path),
        (None, None) if resume && begun.is_file() => Base::File(&begun),
        (None, None) => {
            let message = "which settings? give --preset lineage (or paper, demo) or --config FILE";
            return Err(Error::usage(message));
        }
    };
    let settings = layers::resolve(base, &overrides.overrides)?;
    let finished = train(&settings, &Options { out: out.clone(), resume, stop_at, machine }, stop)?;
    let best = finished.best.map_or(String::new(), |best| {
        let (by, value) = (settings.evaluation.select, 100.0 * best.value);
        format!(", best {by} {value:.2} at step {}", best.step)
    });
    let (step, steps) = (finished.step, finished.steps);
    print(&format!("{}: {step} of {steps} steps done{best}\n", out.display()))
}

fn run_evaluate(arguments: Evaluate, machine: &Machine, stop: &Stop) -> Result<()> {
    let which = Which {
        root: &arguments.data,
        dataset: &arguments.which.dataset,
        split_by: &arguments.which.split_by,
        split: &arguments.which.split,
        overlap: arguments.which.overlap.into(),
    };
    let mut judge = Judge::open(&arguments.model_dir, which, arguments.batch.into(), machine)?;
    judge.notes.iter().for_each(|note| eprintln!("{note}"));
    let how = How { protocol: arguments.protocol, threads: 2, by_kind: arguments.by_kind };
    let report = judge.report(how, stop)?;
    match arguments.json {
        true => {
            let mut line = report.json();
            line["protocol"] = arguments.protocol.to_string().into();
            print(&format!("{line}\n"))
        }
        false => print(&format!("{}\n", report.table())),
    }
}

fn run_samples(arguments: Samples) -> Result<()> {
    let Samples { root, which, out, count, image_size, max_tokens, vocab } = arguments;
    let vocab = vocab.unwrap_or_else(|| root.join(&which.dataset).join("vocab.txt"));
    let tokenizer = Tokenizer::load(&vocab)?;
    let place = SplitPlace {
        root,
        dataset: which.dataset,
        split_by: which.split_by,
        split: which.split,
        overlap: which.overlap.into(),
        image_size: image_size.into(),
        max_tokens: max_tokens.into(),
    };
    let (written, notes) = samples::write(place, &tokenizer, count, &out)?;
    notes.iter().for_each(|note| eprintln!("{note}"));
    print(&format!("{written} samples in {}\n", out.display()))
}
