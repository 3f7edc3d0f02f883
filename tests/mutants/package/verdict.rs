//! Part of the package of mutants: what the checks say of the cases of one copy.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crformer::op::contract::OnCpu;

use crate::support::case::Case;

/// The gradient error that the operations' own tests accept.
const ACCEPTED: f64 = 1e-6;

/// Keeps the messages of checks that fail, as they are meant to, off the terminal.
pub fn silence() {
    std::panic::set_hook(Box::new(|_| {}));
}

/// Prints the module and `passed`, or which check first failed.
pub fn tell<O: OnCpu<f64> + OnCpu<f32>>(module: &str, cases: Vec<Case<O>>) {
    let fault = cases.iter().find_map(fault);
    println!("{module}\t{}", fault.unwrap_or("passed".to_owned()));
}

fn fault<O: OnCpu<f64> + OnCpu<f32>>(case: &Case<O>) -> Option<String> {
    let gradient = catch_unwind(AssertUnwindSafe(|| case.gradient_error()));
    match gradient {
        Err(_) => return Some("a panic".to_owned()),
        Ok(error) if error > ACCEPTED => return Some(format!("gradient off by {error:.1e}")),
        Ok(_) => {}
    }
    let set_and_add = catch_unwind(AssertUnwindSafe(|| case.check_set_and_add()));
    set_and_add.is_err().then(|| "set and add differ".to_owned())
}
