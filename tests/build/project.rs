//! A project with kernels to build, and a stand-in for nvcc that writes down what it compiles.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// nvcc as a project sees it.
struct Nvcc {
    path: PathBuf,
    version: &'static str,
    /// The `.version` that it writes.
    header: &'static str,
}

pub struct Project {
    folder: TempDir,
    nvcc: Option<Nvcc>,
}

impl Project {
    /// With the sources given as path from `kernels` and text, and the pinned nvcc.
    pub fn new(sources: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for made in ["kernels/common", "kernels/ptx", "out"] {
            fs::create_dir_all(folder.path().join(made)).expect("a folder");
        }
        let mut project = Self { folder, nvcc: None };
        for (path, text) in sources {
            project.write(path, text);
        }
        project.use_nvcc("13.0.88", "9.0");
        project
    }

    /// With PTX of the sources in `kernels/ptx`, and no nvcc.
    pub fn committed(sources: &[(&str, &str)]) -> Self {
        let mut project = Self::new(sources);
        project.succeed(true);
        project.compiled();
        fs::remove_dir_all(project.path("out")).expect("no folder");
        fs::create_dir(project.path("out")).expect("a folder");
        project.nvcc = None;
        project
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub fn write(&self, source: &str, text: &str) {
        fs::write(self.path("kernels").join(source), text).expect("a source");
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    /// From now on there is an nvcc of this version, which writes this `.version`.
    pub fn use_nvcc(&mut self, version: &'static str, header: &'static str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/build/nvcc");
        self.nvcc = Some(Nvcc { path, version, header });
    }

    /// From now on `NVCC` leads nowhere.
    pub fn lose_nvcc(&mut self) {
        self.nvcc = Some(Nvcc { path: self.path("bin/nvcc"), version: "", header: "" });
    }

    /// What was compiled since this was asked last, sorted.
    pub fn compiled(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("compiled")).unwrap_or_default();
        fs::remove_file(self.path("compiled")).ok();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    fn run(&self, write: bool) -> Output {
        let mut command = Command::new(env!("CRFORMER_BUILD_SCRIPT"));
        command.env("CARGO_MANIFEST_DIR", self.folder.path()).env("OUT_DIR", self.path("out"));
        command.env("LOG", self.path("compiled")).env("NVCC", "");
        if let Some(nvcc) = &self.nvcc {
            command.env("NVCC", &nvcc.path).env("VERSION", nvcc.version).env("HEADER", nvcc.header);
        }
        command.env_remove("CRFORMER_WRITE_PTX");
        if write {
            command.env("CRFORMER_WRITE_PTX", self.path("kernels/ptx"));
        }
        command.output().expect("the build script runs")
    }

    /// Builds, or writes `kernels/ptx`; returns what it tells cargo.
    pub fn succeed(&self, write: bool) -> String {
        let output = self.run(write);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && error.is_empty(), "{error}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Builds, or writes, in vain; returns what it says.
    pub fn fail(&self, write: bool) -> String {
        let output = self.run(write);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(!self.path("out/kernels.rs").exists(), "a table in spite of a failure");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}
