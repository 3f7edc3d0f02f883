//! nvcc: where it is, which one it is, and PTX from it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

use crate::source::{FLAGS, Source, Target};

/// The nvcc whose PTX lies in `kernels/ptx`.
pub const PINNED: &str = "13.0.88";
/// The `.version` it writes.
const PINNED_PTX: &str = "9.0";
/// Where `kernels/nvcc.sh` installs it.
const INSTALLED: &str = ".cuda/13.0/nvidia/cu13/bin/nvcc";

/// The first line of a PTX file: what it was made from, by which nvcc.
pub fn key_line(hash: &str, version: &str) -> String {
    format!("// Made from sources of hash {hash} by nvcc {version}.\n")
}

/// An nvcc that answers.
#[derive(Debug)]
pub struct Compiler {
    path: PathBuf,
    pub version: String,
}

impl Compiler {
    /// `NVCC` if it is set, and none if it is set to nothing; else the first in the project's own
    /// `.cuda`, `CUDA_HOME`, `PATH`, `/usr/local/cuda`.
    pub fn find(root: &Path) -> Result<Option<Self>, String> {
        if let Some(path) = env::var_os("NVCC") {
            return if path.is_empty() { Ok(None) } else { Self::at(path.into()).map(Some) };
        }
        let mut places = vec![root.join(INSTALLED)];
        places.extend(env::var_os("CUDA_HOME").map(|home| Path::new(&home).join("bin/nvcc")));
        let path = env::var_os("PATH").unwrap_or_default();
        places.extend(env::split_paths(&path).map(|folder| folder.join("nvcc")));
        places.push(PathBuf::from("/usr/local/cuda/bin/nvcc"));
        places.into_iter().find(|place| place.is_file()).map(Self::at).transpose()
    }

    fn at(path: PathBuf) -> Result<Self, String> {
        let output = run(Command::new(&path).arg("--version"), &path)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text.split(", V").nth(1).and_then(|rest| rest.split_whitespace().next());
        let version = version.ok_or(format!(
            "crformer: {} --version does not say its version, but: {text}",
            path.display()
        ))?;
        Ok(Self { version: version.to_owned(), path })
    }

    /// What whoever builds should know of a file that is not compiled as in `kernels/ptx`.
    pub fn warning(&self, source: &Source) -> String {
        let what = format!("kernels/{}.cu is newer than its PTX in kernels/ptx", source.name);
        if self.version == PINNED {
            return format!("{what} and compiled by {}: run kernels/nvcc.sh", self.path.display());
        }
        format!(
            "{what} and compiled by nvcc {} ({}), which nobody tested: run kernels/nvcc.sh for {PINNED}",
            self.version,
            self.path.display()
        )
    }

    /// The PTX of `source` under its key line. It is called in the project's root with a path from
    /// there, so that no path of this machine gets into the PTX.
    pub fn compile(
        &self,
        root: &Path,
        out: &Path,
        source: &Source,
        target: Target,
        strict: bool,
    ) -> Result<String, String> {
        let file = format!("kernels/{}.cu", source.name);
        let made = out.join(format!("{}.{}.nvcc", source.name, target.name));
        let mut command = Command::new(&self.path);
        command.args(FLAGS).arg(format!("-arch={}", target.name)).current_dir(root);
        if strict {
            command.arg("-Werror=all-warnings");
        }
        let output = run(command.arg(&file).arg("-o").arg(&made), &self.path)?;
        if !output.status.success() {
            let messages = [output.stdout, output.stderr].concat();
            return Err(format!(
                "{}\ncrformer: {} did not compile {file} for {}",
                String::from_utf8_lossy(&messages).trim_end(),
                self.path.display(),
                target.name
            ));
        }
        let text = fs::read_to_string(&made)
            .map_err(|e| format!("crformer: nvcc wrote no {}: {e}", made.display()))?;
        fs::remove_file(&made).ok();
        Ok(key_line(&source.hash(target), &self.version) + &self.lowered(text, target)?)
    }

    /// Lowers the header's `.version`. Only of the pinned nvcc it is known that its instructions
    /// allow it; another's PTX stays as it is. A hint that would need 8.3 (which bytes of a load are
    /// used) is left out.
    fn lowered(&self, text: String, target: Target) -> Result<String, String> {
        if self.version != PINNED {
            return Ok(text);
        }
        let header = format!(".version {PINNED_PTX}\n");
        if !text.contains(&format!("V{PINNED}")) || text.matches(&header).count() != 1 {
            let found = text.lines().find(|line| line.starts_with(".version")).unwrap_or("none");
            return Err(format!(
                "crformer: {} calls itself {PINNED}, but its PTX has the header \"{found}\" and not \
                 {PINNED_PTX}: its parts do not belong together; remove .cuda and run kernels/nvcc.sh",
                self.path.display()
            ));
        }
        let text = text.replace(&header, &format!(".version {}\n", target.version));
        let needed = |line: &&str| !line.trim_start().starts_with(HINT);
        Ok(text.split_inclusive('\n').filter(needed).collect())
    }
}

/// A hint of PTX ISA 8.3.
const HINT: &str = ".pragma \"used_bytes_mask";

fn run(command: &mut Command, path: &Path) -> Result<Output, String> {
    command.output().map_err(|e| format!("crformer: cannot run {}: {e}", path.display()))
}
