//! Naive attention of one query: what every attention's reference is made of.

/// The sum of `values` weighted by the softmax of `scores`; zeros if every score is minus infinity.
pub fn attend(scores: &[f64], values: &[&[f64]]) -> Vec<f64> {
    let largest = scores.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
    let mut out = vec![0.0; values[0].len()];
    if largest == f64::NEG_INFINITY {
        return out;
    }
    let weights: Vec<f64> = scores.iter().map(|s| (s - largest).exp()).collect();
    let total: f64 = weights.iter().sum();
    for (weight, value) in weights.iter().zip(values) {
        for (out, x) in out.iter_mut().zip(*value) {
            *out += weight / total * x;
        }
    }
    out
}

/// `q . k`
pub fn dot(q: &[f64], k: &[f64]) -> f64 {
    q.iter().zip(k).map(|(q, k)| q * k).sum()
}
