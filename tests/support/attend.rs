//! Naive attention of one query: what every attention's reference is made of. Naive attention backward, which
//! rounds where kernels do.

use crformer::cuda::precision::Precision;

use super::device::rounded;

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

/// `count` columns from `first` on of rows of `row_len` numbers, in f32.
pub fn columns(values: &[f64], row_len: usize, first: usize, count: usize) -> Vec<f32> {
    let rows = values.chunks(row_len);
    rows.flat_map(|row| &row[first..first + count]).map(|&x| x as f32).collect()
}

/// Sizes of an attention, and its inputs as rows of `heads head_dim` numbers.
pub struct Attention<'a> {
    pub batch: usize,
    pub heads: usize,
    pub head_dim: usize,
    pub scale: f64,
    pub mask: Option<&'a [i32]>,
    pub q: Vec<f32>,
    pub k: Vec<f32>,
    pub v: Vec<f32>,
}

impl Attention<'_> {
    /// Gradients of q, k and v by plain loops in f32, with probabilities and gradients of scores rounded to
    /// the format of the products that read them.
    pub fn backward(&self, dout: &[f64], precision: Precision) -> [Vec<f64>; 3] {
        let mut gradients = [&self.q, &self.k, &self.v].map(|x| vec![0f32; x.len()]);
        let queries = self.q.len() / (self.batch * self.heads * self.head_dim);
        for image in 0..self.batch {
            for query in 0..queries {
                for head in 0..self.heads {
                    self.add_query(image, query, head, dout, precision, &mut gradients);
                }
            }
        }
        gradients.map(|g| g.into_iter().map(f64::from).collect())
    }

    fn add_query(
        &self,
        image: usize,
        query: usize,
        head: usize,
        dout: &[f64],
        precision: Precision,
        [dq, dk, dv]: &mut [Vec<f32>; 3],
    ) {
        let (width, channels) = (self.head_dim, self.heads * self.head_dim);
        let rows = |x: &[f32]| x.len() / (self.batch * channels);
        let (queries, keys) = (rows(&self.q), rows(&self.k));
        let at = |row: usize| row * channels + head * width;
        let at_query = at(image * queries + query);
        let at_key = |key: usize| at(image * keys + key);
        let dout: Vec<f32> = dout[at_query..at_query + width].iter().map(|&x| x as f32).collect();
        let round = |x: f32| rounded(&[f64::from(x)], precision)[0] as f32;
        let product = |a: &[f32], b: &[f32]| -> f32 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        let real = |key: usize| self.mask.is_none_or(|mask| mask[image * keys + key] != 0);
        let scores: Vec<f32> = (0..keys)
            .map(|key| match real(key) {
                true => {
                    let k = &self.k[at_key(key)..][..width];
                    product(&self.q[at_query..][..width], k) * self.scale as f32
                }
                false => f32::NEG_INFINITY,
            })
            .collect();
        let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if largest == f32::NEG_INFINITY {
            return;
        }
        let total: f32 = scores.iter().map(|s| (s - largest).exp()).sum();
        let lse = largest + total.ln();
        let p: Vec<f32> = scores.iter().map(|s| (s - lse).exp()).collect();
        let dp: Vec<f32> =
            (0..keys).map(|key| product(&dout, &self.v[at_key(key)..][..width])).collect();
        let mean = product(&p, &dp);
        for key in (0..keys).filter(|&key| real(key)) {
            let (p, ds) = (round(p[key]), round(p[key] * (dp[key] - mean)));
            for (c, dout) in dout.iter().enumerate() {
                let (query, key) = (at_query + c, at_key(key) + c);
                dv[key] += p * dout;
                dq[query] += ds * self.scale as f32 * self.k[key];
                dk[key] += ds * self.scale as f32 * self.q[query];
            }
        }
    }
}
