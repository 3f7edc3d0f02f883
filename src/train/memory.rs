//! Whether there is memory enough, asked before it is taken: the system gives out more than there
//! is and ends the program when it is used.

use crate::error::{Error, Result};
use crate::graph::plan::Widths;
use crate::graph::{Graph, Plan, Reverse};

/// Refuses a training graph whose session in numbers of `width` bytes does not fit. Where the system does not say how
/// much there is, nothing is refused.
pub fn check(graph: &Graph, reverse: &Reverse, width: usize) -> Result<()> {
    match available() {
        Some(available) => compare(needed(graph, reverse, width), available),
        None => Ok(()),
    }
}

fn compare(needed: u64, available: u64) -> Result<()> {
    if needed <= available {
        return Ok(());
    }
    let gibibytes = |bytes: u64| bytes as f64 / (1u64 << 30) as f64;
    let (needed, available) = (gibibytes(needed), gibibytes(available));
    Err(Error::memory(format!(
        "training needs {needed:.1} GiB, there are {available:.1} GiB; a smaller training.batch \
         needs less, and a larger training.accumulation makes up for it"
    )))
}

/// Bytes of activations, parameters, and for each trained one a gradient and two moments.
fn needed(graph: &Graph, reverse: &Reverse, width: usize) -> u64 {
    let plan = Plan::new(graph, Some(reverse), Widths { activation: width, statistic: width });
    let numbers = graph.parameters().map(|(id, tensor)| {
        let copies = if reverse.has_gradient(id) { 4 } else { 1 };
        copies * tensor.of.shape.len()
    });
    (plan.arena_len + width * numbers.sum::<usize>()) as u64
}

/// Bytes that a program can take without others being pushed out, as Linux estimates it.
fn available() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    Some(1024 * (kibibytes(&text, "MemAvailable")? + kibibytes(&text, "SwapFree")?))
}

fn kibibytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn the_system_s_table_is_read() {
        let text = "MemTotal:  100 kB\nMemAvailable:   75 kB\nSwapFree:   0 kB\n";
        assert_eq!(kibibytes(text, "MemAvailable"), Some(75));
        assert_eq!(kibibytes(text, "Mem"), None);
        assert_eq!(kibibytes(text, "SwapTotal"), None);
    }

    #[test]
    fn too_much_is_an_error_of_memory() {
        compare(5 << 30, 5 << 30).expect("it fits");
        let error = compare(6 << 30, 5 << 30).expect_err("too much");
        assert_eq!(error.kind(), ErrorKind::Memory);
        assert!(error.to_string().contains("needs 6.0 GiB, there are 5.0 GiB"), "{error}");
    }
}
