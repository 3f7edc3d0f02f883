//! An update counted: bytes for each parameter.

use crformer::cuda::device::Device;
use crformer::error::Result;
use crformer::optim::adamw::{Decay, Rate, Update};
use crformer::optim::cuda::{Memory, Optimiser, Trained};

use crate::counted::{self, Counted};

/// Parameters that are updated to be counted: enough that what an update needs once does not show.
const COUNT: usize = 1 << 20;

/// AdamW with clipping, as a session with bf16 copies of its weights does it.
pub const UPDATE: Update =
    Update { decay: Decay::Decoupled, betas: (0.9, 0.999), eps: 1e-8, step: 1, clip: 1.0 };
pub const RATE: Rate = Rate { learning_rate: 1e-5, decay: 0.01 };

/// Counts of one update, and how many parameters it changed.
///
/// # Errors
/// The device failed.
pub fn update(device: &Device) -> Result<(Counted, usize)> {
    let trained = [Trained { parameter: 0, gradient: 0, len: COUNT }];
    let mut optimiser = Optimiser::new(device, &trained, COUNT)?;
    let full = || device.zeros(COUNT * size_of::<f32>());
    let (parameters, gradients, copy) = (full()?, full()?, device.zeros(COUNT * 2)?);
    let (loss, tickets) = (device.zeros(4)?, device.zeros(4)?);
    let memory = Memory {
        parameters: &parameters,
        copy: Some(&copy),
        gradients: &gradients,
        loss: loss.pointer(),
        ticket: tickets.pointer(),
    };
    optimiser.send(device, &UPDATE, &[RATE])?;
    device.synchronize()?;
    counted::begin()?;
    optimiser.queue(device, &memory)?;
    device.synchronize()?;
    Ok((counted::end()?.sum, COUNT))
}
