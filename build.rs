//! Makes the table of kernels: takes PTX for every `kernels/*.cu` from `kernels/ptx`, or has it
//! compiled where the sources have changed since.
//!
//! What lies in `kernels/ptx` and was made from the sources as they are is used, whatever compiler
//! there is: it is what the tests ran. `kernels/nvcc.sh` makes it again through this same program,
//! with `CRFORMER_WRITE_PTX` naming the folder to write to.

#[path = "kernels/build/compiler.rs"]
mod compiler;
#[path = "kernels/build/source.rs"]
mod source;
#[path = "kernels/build/table.rs"]
mod table;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::{env, fs, process, thread};

use compiler::{Compiler, PINNED, key_line};
use source::{Source, Target};
use table::Ptx;

fn main() {
    if let Err(message) = run() {
        eprintln!("{}", message.trim_end());
        process::exit(1);
    }
}

fn run() -> Result<(), String> {
    let root = folder("CARGO_MANIFEST_DIR")?;
    let out = folder("OUT_DIR")?;
    let sources = source::sources(&root.join("kernels"))?;
    watch(&sources);
    let write_to = env::var_os("CRFORMER_WRITE_PTX").map(PathBuf::from);
    let place = Place { committed: root.join("kernels/ptx"), root, out };
    let jobs: Vec<(&Source, Target)> = sources
        .iter()
        .flat_map(|source| source.targets.iter().map(move |&t| (source, t)))
        .collect();
    let ptx = match write_to {
        Some(folder) => place.write(&jobs, &folder)?,
        None => place.bring(&jobs)?,
    };
    for module in &ptx {
        write_if_new(&place.out.join(module.file_name()), &module.text)?;
    }
    write_if_new(&place.out.join("kernels.rs"), &table::table(&ptx)?)
}

fn folder(variable: &str) -> Result<PathBuf, String> {
    env::var_os(variable).map(PathBuf::from).ok_or(format!("crformer: {variable} is not set"))
}

/// Tells cargo what the table depends on. A new file of kernels is seen when `kernels/nvcc.sh` puts
/// its PTX into `kernels/ptx`: watching `kernels` itself would watch the machine for PTX in it too.
fn watch(sources: &[Source]) {
    println!("cargo::rerun-if-changed=kernels/ptx");
    for file in sources.iter().flat_map(|source| &source.files) {
        println!("cargo::rerun-if-changed={}", file.path.display());
    }
    for variable in ["NVCC", "CUDA_HOME", "CRFORMER_WRITE_PTX"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    // The tests of this program run it as it was built.
    if let Ok(program) = env::current_exe() {
        println!("cargo::rustc-env=CRFORMER_BUILD_SCRIPT={}", program.display());
    }
}

struct Place {
    root: PathBuf,
    /// `kernels/ptx`
    committed: PathBuf,
    /// Where cargo wants what this program makes, and where it finds it the next time.
    out: PathBuf,
}

impl Place {
    /// PTX for all jobs: as committed, as compiled before, or compiled now.
    fn bring(&self, jobs: &[(&Source, Target)]) -> Result<Vec<Ptx>, String> {
        let read = |folder: &Path, job: &(&Source, Target), line: &str| {
            let mut ptx = Ptx::new(job.0, job.1, String::new());
            ptx.text = fs::read_to_string(folder.join(ptx.file_name())).ok()?;
            ptx.text.starts_with(line).then_some(ptx)
        };
        let line = |(source, target): &(&Source, Target), version| {
            key_line(&source.hash(*target), version)
        };
        let mut found: Vec<Option<Ptx>> =
            jobs.iter().map(|job| read(&self.committed, job, &line(job, PINNED))).collect();
        let Some(first) = found.iter().position(Option::is_none) else {
            return Ok(found.into_iter().flatten().collect());
        };
        let Some(compiler) = Compiler::find(&self.root)? else {
            return Err(missing(jobs[first]));
        };
        for (found, job) in found.iter_mut().zip(jobs).filter(|(found, _)| found.is_none()) {
            println!("cargo::warning={}", compiler.warning(job.0));
            *found = read(&self.out, job, &line(job, &compiler.version));
        }
        let rest: Vec<_> =
            jobs.iter().zip(&found).filter(|(_, f)| f.is_none()).map(|(&job, _)| job).collect();
        let mut compiled = self.compile(&compiler, &rest, false)?.into_iter();
        Ok(found.into_iter().filter_map(|found| found.or_else(|| compiled.next())).collect())
    }

    /// Compiles all jobs into `folder`, with the pinned compiler and no other.
    fn write(&self, jobs: &[(&Source, Target)], folder: &Path) -> Result<Vec<Ptx>, String> {
        let compiler = Compiler::find(&self.root)?.filter(|c| c.version == PINNED);
        let compiler = compiler.ok_or(format!(
            "crformer: nvcc {PINNED} is not the first nvcc found; leave NVCC unset and run \
             kernels/nvcc.sh"
        ))?;
        let ptx = self.compile(&compiler, jobs, true)?;
        for module in &ptx {
            write_if_new(&folder.join(module.file_name()), &module.text)?;
        }
        Ok(ptx)
    }

    /// Compiles `jobs` with as many compilers at once as cargo allows; what comes back is in their
    /// order. `strict` makes warnings errors.
    fn compile(
        &self,
        compiler: &Compiler,
        jobs: &[(&Source, Target)],
        strict: bool,
    ) -> Result<Vec<Ptx>, String> {
        let threads = env::var("NUM_JOBS").ok().and_then(|n| n.parse().ok()).unwrap_or(2_usize);
        let queue = Mutex::new(jobs.iter().enumerate());
        let next = || queue.lock().ok().and_then(|mut queue| queue.next());
        let done = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..threads.min(jobs.len()) {
                scope.spawn(|| {
                    while let Some((i, &(source, target))) = next() {
                        let text = compiler.compile(&self.root, &self.out, source, target, strict);
                        let made = text.map(|text| Ptx::new(source, target, text));
                        done.lock().map(|mut done| done.push((i, made))).ok();
                    }
                });
            }
        });
        let mut done = done.into_inner().map_err(|e| e.to_string())?;
        done.sort_by_key(|(i, _)| *i);
        let failed: Vec<&str> =
            done.iter().filter_map(|(_, made)| made.as_ref().err().map(String::as_str)).collect();
        if !failed.is_empty() {
            return Err(failed.join("\n"));
        }
        done.into_iter().map(|(_, made)| made).collect()
    }
}

fn missing((source, target): (&Source, Target)) -> String {
    format!(
        "crformer: kernels/ptx/{0}.{1}.ptx was not made from kernels/{0}.cu and its headers as they are now\n\
         crformer: that takes nvcc, and there is none at $NVCC, in .cuda, $CUDA_HOME, $PATH or /usr/local/cuda\n\
         crformer: run kernels/nvcc.sh: it installs nvcc {PINNED} into .cuda and makes kernels/ptx again",
        source.name, target.name
    )
}

fn write_if_new(path: &Path, text: &str) -> Result<(), String> {
    if fs::read(path).is_ok_and(|old| old == text.as_bytes()) {
        return Ok(());
    }
    fs::write(path, text).map_err(|e| format!("crformer: cannot write {}: {e}", path.display()))
}
