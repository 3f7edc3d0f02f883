//! One case of an operation, and every check that an operation has to pass: a naive reference,
//! central differences in f64 with a random cotangent, set against add, threads, f32.
//!
//! Memory that an operation must write or must not read is filled with NaN beforehand.

use crformer::op::contract::{
    Backward, Forward, Gradient, Inputs, Kind, OnCpu, Operand, Signature, TensorType,
};
use crformer::rng::Philox;
use crformer::scalar::Scalar;
use crformer::write::Write;

use super::compare::{assert_close, relative_error};

/// An input of a case: real numbers, or indices kept as such.
#[derive(Clone, Debug)]
pub struct Input {
    pub of: TensorType,
    pub real: Vec<f64>,
    pub index: Vec<i32>,
}

impl Input {
    /// Normal numbers of standard deviation `scale`.
    pub fn normal<const N: usize>(shape: [usize; N], scale: f64, seed: u64) -> Self {
        let of = TensorType::activation(shape);
        let mut reader = Philox::new(seed, 77).reader();
        let real = (0..of.shape.len()).map(|_| scale * reader.normal()).collect();
        Self { of, real, index: Vec::new() }
    }

    /// Normal numbers at least `0.05 scale` away from 0, for operations with a kink there.
    pub fn away_from_zero<const N: usize>(shape: [usize; N], scale: f64, seed: u64) -> Self {
        let mut input = Self::normal(shape, scale, seed);
        input.real.iter_mut().for_each(|x| *x += 0.05 * scale * x.signum());
        input
    }

    pub fn real<const N: usize>(shape: [usize; N], real: Vec<f64>) -> Self {
        let of = TensorType::activation(shape);
        assert_eq!(of.shape.len(), real.len());
        Self { of, real, index: Vec::new() }
    }

    pub fn index<const N: usize>(shape: [usize; N], index: Vec<i32>) -> Self {
        let of = TensorType::index(shape);
        assert_eq!(of.shape.len(), index.len());
        Self { of, real: Vec::new(), index }
    }

    /// A statistic, such as a loss.
    pub fn statistic<const N: usize>(shape: [usize; N], real: Vec<f64>) -> Self {
        Self { of: TensorType::statistic(shape), real, index: Vec::new() }
    }
}

/// An operation with inputs.
pub struct Case<O> {
    pub name: String,
    pub op: O,
    pub inputs: Vec<Input>,
    pub random: Philox,
}

/// Everything a backward pass wrote: a gradient for each input that can have one.
type Gradients = Vec<Option<Vec<f64>>>;

impl<O: OnCpu<f64> + OnCpu<f32>> Case<O> {
    pub fn new(name: &str, op: O, inputs: Vec<Input>) -> Self {
        Self { name: name.to_owned(), op, inputs, random: Philox::new(5, 5) }
    }

    pub fn signature(&self) -> Signature {
        let types: Vec<&TensorType> = self.inputs.iter().map(|i| &i.of).collect();
        self.op.signature(&types).unwrap_or_else(|e| panic!("{}: {e}", self.name))
    }

    /// All checks. `naive` computes the output in f64 by plain loops over the same inputs.
    #[track_caller]
    pub fn check(&self, naive: impl Fn(&[Input]) -> Vec<f64>) {
        self.check_forward(&naive(&self.inputs));
        self.check_gradient(1e-6);
        self.check_set_and_add();
        self.check_threads();
        self.check_f32();
    }

    /// Forward against the naive reference, with and without anything kept.
    #[track_caller]
    pub fn check_forward(&self, want: &[f64]) {
        let kept = self.forward::<f64>(&self.inputs, true).0;
        assert_close(&format!("{} forward", self.name), &kept, want, 1e-12);
        let bare = self.forward::<f64>(&self.inputs, false).0;
        assert_eq!(bits(&kept), bits(&bare), "{}: forward without a backward pass", self.name);
    }

    /// The largest relative difference between backward and central differences of
    /// `sum(out * r)`, over all inputs.
    pub fn gradient_error(&self) -> f64 {
        let (out, kept) = self.forward::<f64>(&self.inputs, true);
        let r = cotangent(out.len());
        let got = self.backward::<f64>(&out, &kept, &r, None);
        let mut worst: f64 = 0.0;
        for (i, got) in got.iter().enumerate() {
            if let Some(got) = got {
                let want = self.differences(i, &r);
                worst = worst.max(relative_error(got, &want, 1e-3));
            }
        }
        worst
    }

    /// Backward against central differences.
    #[track_caller]
    pub fn check_gradient(&self, accepted: f64) {
        let error = self.gradient_error();
        assert!(error <= accepted, "{}: gradient off by {error:.2e}", self.name);
    }

    /// Adding a gradient to numbers gives the numbers plus what setting gives.
    #[track_caller]
    pub fn check_set_and_add(&self) {
        let (out, kept) = self.forward::<f64>(&self.inputs, true);
        let r = cotangent(out.len());
        let set = self.backward::<f64>(&out, &kept, &r, None);
        let base = 0.25;
        let added = self.backward::<f64>(&out, &kept, &r, Some(base));
        for (i, (set, added)) in set.iter().zip(&added).enumerate() {
            if let (Some(set), Some(added)) = (set, added) {
                let want: Vec<f64> = set.iter().map(|x| x + base).collect();
                assert_close(&format!("{}: added gradient {i}", self.name), added, &want, 1e-12);
            }
        }
    }

    /// The same bits with 1, 2 and 3 threads, both directions, in f32.
    #[track_caller]
    pub fn check_threads(&self) {
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.expect("a thread pool").install(|| {
                let (out, kept) = self.forward::<f32>(&self.inputs, true);
                let gradients = self.backward::<f32>(&out, &kept, &cotangent(out.len()), None);
                let written = gradients.into_iter().flatten().flatten();
                bits(&out.into_iter().chain(written).collect::<Vec<f64>>())
            })
        };
        let one = run(1);
        assert!(one == run(2), "{}: other bits with 2 threads", self.name);
        assert!(one == run(3), "{}: other bits with 3 threads", self.name);
    }

    /// f32 against f64: forward within 2e-5, gradients within 1e-4 of the largest number.
    #[track_caller]
    pub fn check_f32(&self) {
        let (want, want_kept) = self.forward::<f64>(&self.inputs, true);
        let (got, kept) = self.forward::<f32>(&self.inputs, true);
        assert_close(&format!("{} forward in f32", self.name), &got, &want, 2e-5);
        let r = cotangent(want.len());
        let want = self.backward::<f64>(&want, &want_kept, &r, None);
        let got = self.backward::<f32>(&got, &kept, &r, None);
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            if let (Some(got), Some(want)) = (got, want) {
                let error = relative_error(got, want, 1e-3);
                assert!(error <= 1e-4, "{}: f32 gradient {i} off by {error:.2e}", self.name);
            }
        }
    }

    /// Central differences of `sum(out * r)` with respect to input `i`.
    fn differences(&self, i: usize, r: &[f64]) -> Vec<f64> {
        let mut inputs = self.inputs.clone();
        let mut value = |at: usize, x: f64| {
            let was = std::mem::replace(&mut inputs[i].real[at], x);
            let out = self.forward::<f64>(&inputs, false).0;
            inputs[i].real[at] = was;
            out.iter().zip(r).map(|(o, r)| o * r).sum::<f64>()
        };
        let difference = |at: usize| {
            let x = self.inputs[i].real[at];
            let h = 1e-4 * x.abs().max(0.1);
            // Fourth order: the error of the rule is far below that of the rounding.
            let near = value(at, x + h) - value(at, x - h);
            let far = value(at, x + 2.0 * h) - value(at, x - 2.0 * h);
            (8.0 * near - far) / (12.0 * h)
        };
        (0..self.inputs[i].real.len()).map(difference).collect()
    }

    /// Runs forward: the output, and what it kept.
    pub fn forward<S: Scalar>(&self, inputs: &[Input], keep: bool) -> (Vec<f64>, Vec<Vec<S>>)
    where
        O: OnCpu<S>,
    {
        let signature = self.signature();
        let converted = Converted::<S>::new(inputs);
        let mut out = poison::<S>(signature.out.shape.len());
        let mut workspace = poison(signature.forward_workspace);
        let kept_types = if keep { &signature.kept[..] } else { &[] };
        let mut kept: Vec<Vec<S>> = kept_types.iter().map(|k| poison(k.shape.len())).collect();
        self.op.forward(Forward {
            inputs: converted.inputs(inputs, |_| true),
            out: &mut out,
            kept: kept.iter_mut().map(Vec::as_mut_slice).collect(),
            workspace: &mut workspace,
            random: self.random,
        });
        (out.into_iter().map(S::to_f64).collect(), kept)
    }

    /// Runs backward onto numbers that are all `base` (adding), or NaN (setting).
    pub fn backward<S: Scalar>(
        &self,
        out: &[f64],
        kept: &[Vec<S>],
        dout: &[f64],
        base: Option<f64>,
    ) -> Gradients
    where
        O: OnCpu<S>,
    {
        let signature = self.signature();
        let converted = Converted::<S>::new(&self.inputs);
        let convert = |values: &[f64]| values.iter().map(|&x| S::from_f64(x)).collect::<Vec<S>>();
        let (out, dout) = (convert(out), convert(dout));
        let mut workspace = poison(signature.backward_workspace);
        let differentiable = self.inputs.iter().zip(&signature.differentiable);
        let mut gradients: Vec<Option<Vec<S>>> = differentiable
            .map(|(input, &d)| {
                d.then(|| vec![S::from_f64(base.unwrap_or(f64::NAN)); input.real.len()])
            })
            .collect();
        let write = if base.is_some() { Write::Add } else { Write::Set };
        let slots = gradients
            .iter_mut()
            .map(|g| g.as_mut().map(|values| Gradient { values: values.as_mut_slice(), write }));
        self.op.backward(Backward {
            inputs: converted.inputs(&self.inputs, |i| signature.reads_inputs[i]),
            out: if signature.reads_out { &out } else { &[] },
            kept: kept.iter().map(Vec::as_slice).collect(),
            dout: &dout,
            dinputs: slots.collect(),
            workspace: &mut workspace,
            random: self.random,
        });
        let back = |g: Vec<S>| g.into_iter().map(S::to_f64).collect();
        gradients.into_iter().map(|g| g.map(back)).collect()
    }
}

/// The inputs of a case in the precision of a run.
struct Converted<S>(Vec<Vec<S>>);

impl<S: Scalar> Converted<S> {
    fn new(inputs: &[Input]) -> Self {
        let convert = |input: &Input| input.real.iter().map(|&x| S::from_f64(x)).collect();
        Self(inputs.iter().map(convert).collect())
    }

    fn inputs<'a>(&'a self, inputs: &'a [Input], reads: impl Fn(usize) -> bool) -> Inputs<'a, S> {
        let operand = |i: usize| match (reads(i), inputs[i].of.kind) {
            (false, _) => Operand::Unread,
            (true, Kind::Index) => Operand::Index(&inputs[i].index),
            (true, _) => Operand::Real(&self.0[i]),
        };
        Inputs {
            types: inputs.iter().map(|i| &i.of).collect(),
            operands: (0..inputs.len()).map(operand).collect(),
        }
    }
}

fn poison<S: Scalar>(len: usize) -> Vec<S> {
    vec![S::from_f64(f64::NAN); len]
}

/// A random cotangent: an upstream gradient of ones would hide mistakes.
pub fn cotangent(len: usize) -> Vec<f64> {
    let mut reader = Philox::new(99, 1).reader();
    (0..len).map(|_| reader.normal()).collect()
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|x| x.to_bits()).collect()
}
