//! One operation's tensors on the device, with the numbers that its passes read.

use crformer::cuda::device::Device;
use crformer::cuda::precision::Precision;
use crformer::error::Result;
use crformer::exec::Values;
use crformer::exec::cuda::single::{Part, SingleOperation};
use crformer::op::contract::{Kind, TensorType};
use crformer::write::Write;

use crate::numbers;
use crate::work::{Direction, Work};

/// Inputs, the output's gradient and gradients that are added to hold numbers; nothing else does.
///
/// # Errors
/// Too little memory.
pub fn filled<'a>(
    device: &'a Device,
    precision: Precision,
    work: &'a Work,
) -> Result<SingleOperation<'a>> {
    let mut memory = SingleOperation::new(device, work.op.on_cuda(), &work.types(), precision)?;
    if work.direction != Direction::Inference {
        memory = memory.with_backward(&work.writes)?;
    }
    let reals = |part, of: &TensorType| {
        let numbers: Vec<f32> = numbers::reals(of.shape.len()).collect();
        memory.write(part, Values::F32(&numbers))
    };
    for (i, input) in work.inputs.iter().enumerate() {
        match input.of.kind {
            Kind::Index => {
                let name = input.name.as_deref().unwrap_or_default();
                let indices = numbers::indices(name, input.of.shape.len());
                memory.write(Part::Input(i), Values::Index(&indices))?;
            }
            _ => reals(Part::Input(i), &input.of)?,
        }
        if work.writes.get(i).copied().flatten().is_some_and(Write::adds) {
            reals(Part::Dinput(i), &input.of)?;
        }
    }
    if work.direction == Direction::Backward {
        reals(Part::Dout, &work.signature.out)?;
    }
    Ok(memory)
}
