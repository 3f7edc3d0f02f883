//! Both directions of one operation on a CUDA device, and passes in a row as one replay.

use std::time::{Duration, Instant};

use crformer::cuda::device::{Capture, Device};
use crformer::cuda::precision::Precision;
use crformer::error::Result;
use crformer::exec::Values;
use crformer::exec::cuda::single::{Part, SingleOperation};
use crformer::op::contract::{Kind, TensorType};
use crformer::write::Write;

use crate::subject::Subject;
use crate::work::Direction;

/// The memory of both passes, in which nothing is written.
///
/// # Errors
/// The device has too little.
pub fn blank<'a>(
    device: &'a Device,
    subject: &'a Subject,
    precision: Precision,
) -> Result<SingleOperation<'a>> {
    let Subject { op, types, signature, .. } = subject;
    let set = |&can: &bool| can.then_some(Write::Set);
    let writes: Vec<Option<Write>> = signature.differentiable.iter().map(set).collect();
    let types: Vec<&TensorType> = types.iter().collect();
    SingleOperation::new(device, op.on_cuda(), &types, precision)?.with_backward(&writes)
}

/// Writes all that backward reads.
pub fn fill(run: &SingleOperation<'_>, subject: &Subject) -> Result<()> {
    let (mut normal, mut indices) = (subject.normal(), subject.indices());
    for (i, of) in subject.types.iter().enumerate() {
        let len = of.shape.len();
        match of.kind {
            Kind::Index => run.write(Part::Input(i), Values::Index(&indices(len)))?,
            _ => run.write(Part::Input(i), Values::F32(&normal(len)))?,
        }
    }
    run.write(Part::Dout, Values::F32(&normal(subject.signature.out.shape.len())))?;
    run.forward()
}

/// How long a replay should take at least, so that the time between replays does not count.
const REPLAY: Duration = Duration::from_millis(1);
const MOST_PASSES: u64 = 100;

/// Some passes in a row, recorded.
///
/// They find their numbers in the device's cache where these fit in it.
pub struct Repeated<'a> {
    device: &'a Device,
    capture: Capture,
    passes: u64,
}

impl<'a> Repeated<'a> {
    /// Runs a pass twice, which loads its kernels and says how many make a replay.
    pub fn new(
        device: &'a Device,
        run: &SingleOperation<'_>,
        direction: Direction,
    ) -> Result<Self> {
        let pass = || match direction {
            Direction::Forward => run.forward(),
            Direction::Backward => run.backward(),
        };
        pass()?;
        device.synchronize()?;
        let start = Instant::now();
        pass()?;
        device.synchronize()?;
        let took = start.elapsed().as_nanos().max(1);
        let passes = (REPLAY.as_nanos().div_ceil(took) as u64).min(MOST_PASSES);
        let capture = device.capture(|| (0..passes).try_for_each(|_| pass()))?;
        Ok(Self { device, capture, passes })
    }

    /// What `count` passes take.
    pub fn time(&self, count: u64) -> Result<Duration> {
        let replays = count.div_ceil(self.passes);
        let start = Instant::now();
        (0..replays).try_for_each(|_| self.device.replay(&self.capture))?;
        self.device.synchronize()?;
        Ok(start.elapsed().mul_f64(count as f64 / (replays * self.passes) as f64))
    }
}
