//! `ptx-vm`: runs one kernel of a PTX text on the machine and prints what it did.

mod arguments;
mod values;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use arguments::{Arguments, HELP, Parsed};
use ptx_vm::driver::counts::{self, Counted};
use ptx_vm::driver::load::load_for;
use ptx_vm::launch::{Dimensions, Launch};
use ptx_vm::memory::Memory;
use ptx_vm::program::{Kernel, Program};
use values::Prepared;

/// Why the command ends early: its exit code and what it says.
struct Failure(u8, String);

const FAULT: u8 = 1;
const USAGE: u8 = 2;
const LOAD: u8 = 3;

fn usage(message: impl Into<String>) -> Failure {
    Failure(USAGE, message.into())
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match Arguments::parse(&words) {
        Ok(Parsed::Help) => print(HELP),
        Ok(Parsed::Run(arguments)) => run(&arguments),
        Err(message) => Err(usage(format!("{message}\nptx-vm --help tells more"))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(code, message)) => {
            eprintln!("ptx-vm: {message}");
            ExitCode::from(code)
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let path = &arguments.path;
    let text = std::fs::read_to_string(path).map_err(|e| usage(format!("{path}: {e}")))?;
    let settings = &arguments.settings;
    let memory = Memory::new(settings.memory);
    let program = load_for(&settings.target, &text, &memory)
        .map_err(|error| Failure(LOAD, format!("{path}: {error}")))?;
    let kernel = find(&program, arguments.kernel.as_deref())?;
    let prepared = Prepared::new(&arguments.specs, &kernel, &memory).map_err(usage)?;
    let (program, started) = (Arc::new(program), Instant::now());
    let counted = launch(arguments, &program, &kernel, &prepared.parameters, &memory)?;
    let seconds = started.elapsed().as_secs_f64();
    prepared.write_results(&memory).map_err(usage)?;
    // What the kernel wrote and the cache has not passed on.
    let left = settings.options.cache.as_ref().map_or(0, |cache| cache.flush());
    let lanes = counted.total().lanes;
    print(&match arguments.json {
        true => format!(
            "{{\"seconds\":{seconds:.6},\"sectors_in_cache\":{left},\"counts\":{}}}\n",
            counted.to_json()
        ),
        false => format!(
            "{}  {left} written sectors still in the cache\n\
             {:.3} ms, {:.0} million lane instructions a second\n",
            counted.to_text(),
            1e3 * seconds,
            lanes as f64 / seconds / 1e6
        ),
    })
}

/// To the standard output, where whoever reads it may have had enough.
fn print(text: &str) -> Result<(), Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure(FAULT, format!("writing the counts: {error}")))
        }
        _ => Ok(()),
    }
}

/// The kernel of this name, or the only one.
fn find(program: &Program, name: Option<&str>) -> Result<Arc<Kernel>, Failure> {
    let mut names: Vec<&str> = program.kernels.keys().map(String::as_str).collect();
    names.sort_unstable();
    let found = match (name, &names[..]) {
        (Some(name), _) => program.kernels.get(name),
        (None, [only]) => program.kernels.get(*only),
        (None, _) => None,
    };
    found.cloned().ok_or_else(|| {
        let wanted = name.map_or("--kernel is missing".to_owned(), |n| format!("no kernel {n}"));
        usage(format!("{wanted}; the text has {}", names.join(", ")))
    })
}

fn launch(
    arguments: &Arguments,
    program: &Arc<Program>,
    kernel: &Arc<Kernel>,
    parameters: &[u8],
    memory: &Memory,
) -> Result<Counted, Failure> {
    let Arguments { grid, block, dynamic_shared, settings, .. } = arguments;
    let dimensions = Dimensions { grid: *grid, block: *block, dynamic_shared: *dynamic_shared };
    let (view, options, target) = (memory.view(), &settings.options, &settings.target);
    let launch = Launch::new(program, kernel, dimensions, parameters, view, options, target);
    let profile = launch
        .and_then(|launch| launch.run())
        .map_err(|fault| Failure(FAULT, fault.to_string()))?;
    Ok(counts::of_one(program, kernel, profile))
}
