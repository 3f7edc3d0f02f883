//! How far a run is: a bar on a terminal, plain lines elsewhere. The one door to indicatif.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::trainer::Seen;

/// Shows messages on the standard error stream, and on a terminal a bar below them.
pub struct Progress {
    bar: Option<ProgressBar>,
    total: u64,
    /// Time spent in updates since the run (or its continuation) began, and their number.
    busy: Duration,
    updates: u64,
    images: usize,
}

impl Progress {
    /// Of a run that stands at update `start` of `total`, each of `images` images.
    pub fn new(start: u64, total: u64, images: usize) -> Self {
        let bar = stderr().is_terminal().then(|| bar(start, total));
        Self { bar, total, busy: Duration::ZERO, updates: 0, images }
    }

    /// Says a line, above the bar if there is one.
    pub fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    /// Update `step` (from 1) took `time`.
    pub fn advance(&mut self, step: u64, time: Duration, seen: &Seen) {
        self.busy += time;
        self.updates += 1;
        if let Some(bar) = &self.bar {
            bar.set_position(step);
            bar.set_message(self.figures(step, seen));
        }
    }

    /// Where there is no bar: a line for update `step`.
    pub fn line(&self, step: u64, seen: &Seen) {
        if self.bar.is_none() {
            eprintln!("step {step}/{}  {}", self.total, self.figures(step, seen));
        }
    }

    fn figures(&self, step: u64, seen: &Seen) -> String {
        let left = self.busy.as_secs_f64() / self.updates.max(1) as f64
            * self.total.saturating_sub(step) as f64;
        format!(
            "loss {:.4}  lr {:.2e}  {:.1} images/s  {} left",
            seen.loss,
            seen.learning_rate,
            self.speed(),
            duration(left)
        )
    }

    /// Images a second, evaluations and checkpoints not counted.
    pub fn speed(&self) -> f64 {
        let images = self.updates as f64 * self.images as f64;
        images / self.busy.as_secs_f64().max(1e-9)
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(start: u64, total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:24} {pos}/{len}  {msg}");
    let bar = ProgressBar::new(total).with_position(start);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// How far an evaluation is: a bar on a terminal, elsewhere a line every half minute.
pub struct EvaluationProgress {
    bar: Option<ProgressBar>,
    total: usize,
    said: Instant,
}

impl EvaluationProgress {
    pub fn new(total: usize) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = bar(0, total as u64);
            bar.set_message("evaluating");
            bar
        });
        Self { bar, total, said: Instant::now() }
    }

    pub fn done(&mut self, samples: usize) {
        match &self.bar {
            Some(bar) => bar.set_position(samples as u64),
            None if self.said.elapsed() >= Duration::from_secs(30) => {
                eprintln!("evaluating {samples}/{}", self.total);
                self.said = Instant::now();
            }
            None => {}
        }
    }

    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// `1h02m`, `3m20s`, `15s`.
fn duration(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s:02}s"),
        (h, m, _) => format!("{h}h{m:02}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!(duration(14.6), "15s");
        assert_eq!(duration(200.0), "3m20s");
        assert_eq!(duration(3725.0), "1h02m");
    }
}
