//! Signals that ask for a stop: the one door to signal-hook.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::error::{Error, ErrorKind, Result};

/// Whether someone asked for a stop. Copies share what they know.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicUsize>);

impl Stop {
    /// Hears Ctrl-C (SIGINT) and SIGTERM from now on. The first asks for a stop, a second one ends
    /// the program at once.
    pub fn install() -> Result<Self> {
        let stop = Self::default();
        stop.hear().map_err(|e| Error::new(ErrorKind::Io, format!("hearing signals: {e}")))?;
        Ok(stop)
    }

    fn hear(&self) -> io::Result<()> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds `asked` unset, and sets it.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&asked))?;
            flag::register(signal, Arc::clone(&asked))?;
            flag::register_usize(signal, Arc::clone(&self.0), signal as usize)?;
        }
        Ok(())
    }

    /// The kind of error that a stop ends with, if someone asked for one.
    pub fn requested(&self) -> Option<ErrorKind> {
        match self.0.load(Ordering::Relaxed) as i32 {
            0 => None,
            SIGTERM => Some(ErrorKind::Terminated),
            _ => Some(ErrorKind::Interrupted),
        }
    }
}
