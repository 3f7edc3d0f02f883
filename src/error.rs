//! The one error type: what went wrong, where, and the exit code it ends a program with.

use std::fmt;
use std::path::Path;

pub type Result<T> = std::result::Result<T, Error>;

/// What a failure is about. It decides the exit code of the binaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The operating system refused: reading, writing, a full disk.
    Io,
    /// The command line or the configuration asks for something that cannot be.
    Usage,
    /// A file that was given holds something other than it should.
    Data,
    /// More memory is needed than there is or than is allowed.
    Memory,
    /// A number stopped being finite.
    Numeric,
    /// The GPU, its driver or a kernel failed.
    Device,
    /// Some items of a batch failed; the others were done.
    Partial,
    /// SIGINT asked for a stop; the state was saved.
    Interrupted,
    /// SIGTERM asked for a stop; the state was saved.
    Terminated,
}

impl ErrorKind {
    /// The exit code of a program that ends with this error.
    pub fn exit_code(self) -> u8 {
        match self {
            ErrorKind::Io => 1,
            ErrorKind::Usage => 2,
            ErrorKind::Data => 3,
            ErrorKind::Memory => 4,
            ErrorKind::Numeric => 5,
            ErrorKind::Partial => 6,
            ErrorKind::Device => 7,
            ErrorKind::Interrupted => 130,
            ErrorKind::Terminated => 143,
        }
    }
}

/// What the binaries' `--help` says about [`ErrorKind::exit_code`].
pub const EXIT_CODES: &str = "\
Exit codes:
    0  done
    1  the system refused: reading, writing, a full disk
    2  the command line or the configuration asks for what cannot be
    3  a file that was given is missing or holds something other than it should
    4  more memory is needed than there is or than is allowed
    5  a number stopped being finite
    6  some items of a batch failed, the others were done
    7  the GPU, its driver or a kernel failed
  130  stopped by SIGINT (Ctrl-C), the state saved
  143  stopped by SIGTERM, the state saved";

/// An error with its kind and a message that names the place, what was expected, what was found
/// and what to do.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// A wrong command line, configuration or model description.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// A file that holds something other than it should.
    pub fn data(path: impl AsRef<Path>, message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Data, format!("{}: {message}", path.as_ref().display()))
    }

    /// The operating system refused `doing` (for example "reading") a path. A file that is not
    /// there is the user's data being wrong, not the machine.
    pub fn io(path: impl AsRef<Path>, doing: &str, error: std::io::Error) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound
            | std::io::ErrorKind::InvalidData
            | std::io::ErrorKind::IsADirectory
            | std::io::ErrorKind::NotADirectory
            | std::io::ErrorKind::UnexpectedEof => ErrorKind::Data,
            _ => ErrorKind::Io,
        };
        Self::new(kind, format!("{}: {doing} failed: {error}", path.as_ref().display()))
    }

    pub fn numeric(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Numeric, message)
    }

    pub fn memory(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Memory, message)
    }

    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub fn exit_code(&self) -> u8 {
        self.kind.exit_code()
    }

    /// The same error with a place put before its message.
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
