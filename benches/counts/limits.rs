//! Limits of counted figures, and which figures are outside.

use std::collections::BTreeMap;

/// Bytes asked for, and bytes behind the cache, against the least, of the operations below.
pub const BYTES: f64 = 1.15;
/// Bytes of the sectors that were touched against bytes asked for.
pub const SECTORS: f64 = 1.05;
/// Wavefronts of shared memory against those without bank conflicts, of each kernel.
pub const WAVEFRONTS: f64 = 1.02;

/// Figures of less than this are not judged: half a sector too many is half of what there is.
pub const SMALL: u64 = 64 << 10;

/// Operations with a limit on bytes, by parts of their names.
const NAMED: [&str; 5] = ["window_attention", "layer_norm", "linear", "mlp", "cross_entropy"];

/// The limit on an operation's bytes, if it has one.
pub fn bytes(operation: &str) -> Option<f64> {
    NAMED.iter().any(|part| operation.contains(part)).then_some(BYTES)
}

/// Figures that were judged together: how many, how many are outside, and the worst.
#[derive(Default)]
struct Judged {
    all: usize,
    outside: usize,
    worst: f64,
    at: String,
    limit: f64,
}

/// All figures with a limit.
#[derive(Default)]
pub struct Judge {
    by_subject: BTreeMap<String, Judged>,
}

impl Judge {
    /// The figure as text, marked if it is beyond `limit`. `subject` names what is listed together.
    pub fn figure(
        &mut self,
        subject: &str,
        at: &str,
        value: f64,
        limit: Option<f64>,
        digits: usize,
    ) -> String {
        let Some(limit) = limit else { return format!("{value:.digits$} ") };
        let judged = self.by_subject.entry(subject.to_owned()).or_default();
        let outside = value > limit;
        judged.all += 1;
        judged.outside += usize::from(outside);
        judged.limit = limit;
        if value > judged.worst {
            (judged.worst, judged.at) = (value, at.to_owned());
        }
        format!("{value:.digits$}{}", if outside { '!' } else { ' ' })
    }

    /// Lists what is outside; whether nothing is.
    pub fn report(&self) -> bool {
        let outside: Vec<_> = self.by_subject.iter().filter(|(_, j)| j.outside > 0).collect();
        let all: usize = self.by_subject.values().map(|j| j.all).sum();
        let count: usize = outside.iter().map(|(_, j)| j.outside).sum();
        println!("\n{count} of {all} figures are outside their limits:");
        for (subject, j) in &outside {
            let Judged { all, outside, worst, at, limit } = j;
            println!("  {subject}: {outside} of {all} above {limit}; the worst {worst:.2}, {at}");
        }
        outside.is_empty()
    }
}
