//! Comparisons of numbers, with the place of the worst in the message.

/// The largest absolute difference over the largest absolute expected number (at least `floor`).
pub fn relative_error(got: &[f64], want: &[f64], floor: f64) -> f64 {
    assert_eq!(got.len(), want.len(), "as many numbers as expected");
    let scale = want.iter().fold(floor, |scale, x| scale.max(x.abs()));
    let largest = |worst: f64, (g, w): (&f64, &f64)| match (g - w).abs() {
        error if error.is_nan() => f64::INFINITY,
        error => worst.max(error),
    };
    got.iter().zip(want).fold(0.0, largest) / scale
}

/// Fails with `what` and the worst place if the numbers differ by more than `accepted`, relative to
/// the largest expected one.
#[track_caller]
pub fn assert_close(what: &str, got: &[f64], want: &[f64], accepted: f64) {
    let error = relative_error(got, want, 1e-30);
    if error > accepted {
        let far = |i: &usize| (got[*i] - want[*i]).abs();
        let worst = (0..got.len()).max_by(|a, b| far(a).total_cmp(&far(b))).unwrap_or(0);
        panic!(
            "{what}: relative error {error:.2e} > {accepted:.0e}; at {worst} of {}: got {}, expected {}",
            got.len(),
            got[worst],
            want[worst]
        );
    }
}
