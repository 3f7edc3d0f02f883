//! The sources of the kernels: which files a kernel file consists of, what it is compiled for, and
//! the hash of all of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What PTX is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// As nvcc's `-arch` wants it.
    pub name: &'static str,
    /// The name of its variant of `Compute` in `src/cuda/kernels.rs`.
    pub variant: &'static str,
    /// What the header's `.version` is lowered to: what the oldest drivers that the engine runs on
    /// take. ptxas 12.0 judges whether all instructions are in it; `kernels/nvcc.sh` asks it.
    pub version: &'static str,
}

/// Every target; a file that does not say for which it is, is for the first.
pub const TARGETS: [Target; 2] = [
    Target { name: "compute_80", variant: "Compute80", version: "7.8" },
    Target { name: "compute_90a", variant: "Compute90a", version: "8.0" },
];

/// What nvcc is called with besides target and files.
pub const FLAGS: [&str; 3] = ["-ptx", "-O3", "-std=c++17"];

/// How a file says what it is for.
const MARKER: &str = "// targets:";

/// A file, with its path from the project's root.
#[derive(Debug)]
pub struct File {
    pub path: PathBuf,
    text: String,
}

/// A kernel file `kernels/<name>.cu`.
#[derive(Debug)]
pub struct Source {
    pub name: String,
    /// The file itself and all headers it includes, in the order of their paths.
    pub files: Vec<File>,
    pub targets: Vec<Target>,
}

/// All kernel files, in the order of their names.
pub fn sources(kernels: &Path) -> Result<Vec<Source>, String> {
    let unreadable = |e| format!("crformer: cannot read {}: {e}", kernels.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(kernels).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|e| e == "cu") {
            names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    names.into_iter().map(|name| Source::read(kernels, name)).collect()
}

impl Source {
    fn read(kernels: &Path, name: String) -> Result<Self, String> {
        let mut texts = BTreeMap::new();
        let main = PathBuf::from(format!("{name}.cu"));
        collect(kernels, &main, "", &mut texts)?;
        let targets = targets(&name, &texts[&main])?;
        let files = texts.into_iter();
        let files = files.map(|(path, text)| File { path: Path::new("kernels").join(path), text });
        Ok(Self { name, files: files.collect(), targets })
    }

    /// The hash of all that decides what comes out: files, flags, target.
    pub fn hash(&self, target: Target) -> String {
        let mut hash = Fnv::new();
        for flag in FLAGS.iter().chain(&[target.name, target.version]) {
            hash.add(flag.as_bytes());
        }
        for file in &self.files {
            hash.add(file.path.to_string_lossy().as_bytes());
            hash.add(file.text.as_bytes());
        }
        format!("{:032x}", hash.0)
    }
}

/// Reads `path` (from `kernels`) and what it includes in quotes; angles are the toolkit's.
fn collect(
    kernels: &Path,
    path: &Path,
    from: &str,
    texts: &mut BTreeMap<PathBuf, String>,
) -> Result<(), String> {
    if texts.contains_key(path) {
        return Ok(());
    }
    let text = fs::read_to_string(kernels.join(path))
        .map_err(|e| format!("crformer: cannot read kernels/{}{from}: {e}", path.display()))?;
    let text = texts.entry(path.to_owned()).or_insert(text).clone();
    for (number, line) in text.lines().enumerate() {
        let include = line.trim_start().strip_prefix("#include \"");
        if let Some((header, _)) = include.and_then(|rest| rest.split_once('"')) {
            let from = format!(" (included by kernels/{}:{})", path.display(), number + 1);
            collect(kernels, &path.with_file_name(header), &from, texts)?;
        }
    }
    Ok(())
}

fn targets(name: &str, text: &str) -> Result<Vec<Target>, String> {
    let Some(wanted) = text.lines().find_map(|line| line.strip_prefix(MARKER)) else {
        return Ok(vec![TARGETS[0]]);
    };
    let known = TARGETS.map(|target| target.name).join(", ");
    let target = |word: &str| {
        TARGETS.into_iter().find(|target| target.name == word).ok_or(format!(
            "crformer: kernels/{name}.cu is for the target \"{word}\", but there are only {known}"
        ))
    };
    let targets: Vec<_> = wanted.split_whitespace().map(target).collect::<Result<_, _>>()?;
    if targets.is_empty() {
        return Err(format!("crformer: kernels/{name}.cu names no target; there are {known}"));
    }
    Ok(targets)
}

/// FNV-1a of 128 bits: it tells changed files from unchanged ones, and nobody to be kept out.
struct Fnv(u128);

impl Fnv {
    fn new() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }

    /// Adds a part and its length, so that parts cannot run into each other.
    fn add(&mut self, part: &[u8]) {
        for &byte in part.iter().chain(&(part.len() as u64).to_le_bytes()) {
            self.0 = (self.0 ^ u128::from(byte)).wrapping_mul(0x0100_0000_0000_0000_0000_013b);
        }
    }
}
