//! Times both directions of an operation on random inputs of given shapes.

use crformer::op::contract::{
    Backward, Forward, Gradient, Inputs, Kind, OnCpu, Operand, TensorType,
};
use crformer::rng::Philox;
use crformer::write::Write;
use criterion::Criterion;

/// Times forward and backward of `op`, which set the gradients of all its inputs. Index inputs
/// are random zeros and ones.
pub fn both(c: &mut Criterion, name: &str, op: impl OnCpu<f32>, inputs: &[TensorType]) {
    let types: Vec<&TensorType> = inputs.iter().collect();
    let signature = op.signature(&types).unwrap_or_else(|e| panic!("{name}: {e}"));
    let real: Vec<Vec<f32>> =
        (0..inputs.len()).map(|i| numbers(inputs[i].shape.len(), i)).collect();
    let index: Vec<Vec<i32>> =
        real.iter().map(|x| x.iter().map(|&x| i32::from(x > 0.0)).collect()).collect();
    let given = |reads: &dyn Fn(usize) -> bool| Inputs {
        types: types.iter().copied().collect(),
        operands: (0..inputs.len())
            .map(|i| match (reads(i), inputs[i].kind) {
                (false, _) => Operand::Unread,
                (true, Kind::Index) => Operand::Index(&index[i]),
                (true, _) => Operand::Real(&real[i]),
            })
            .collect(),
    };
    let random = Philox::new(1, 1);
    let mut out = vec![0.0; signature.out.shape.len()];
    let mut kept: Vec<Vec<f32>> = signature.kept.iter().map(|k| vec![0.0; k.shape.len()]).collect();
    let mut workspace = vec![0.0; signature.forward_workspace];
    c.bench_function(&format!("{name}/forward"), |b| {
        b.iter(|| {
            op.forward(Forward {
                inputs: given(&|_| true),
                out: &mut out,
                kept: kept.iter_mut().map(Vec::as_mut_slice).collect(),
                workspace: &mut workspace,
                random,
            })
        })
    });
    let dout = numbers(out.len(), inputs.len());
    let mut gradients: Vec<Option<Vec<f32>>> = inputs
        .iter()
        .zip(&signature.differentiable)
        .map(|(input, differentiable)| differentiable.then(|| vec![0.0; input.shape.len()]))
        .collect();
    let mut workspace = vec![0.0; signature.backward_workspace];
    c.bench_function(&format!("{name}/backward"), |b| {
        b.iter(|| {
            let slots = gradients.iter_mut().map(|g| {
                g.as_mut().map(|values| Gradient { values: &mut values[..], write: Write::Set })
            });
            op.backward(Backward {
                inputs: given(&|i| signature.reads_inputs[i]),
                out: if signature.reads_out { &out } else { &[] },
                kept: kept.iter().map(Vec::as_slice).collect(),
                dout: &dout,
                dinputs: slots.collect(),
                workspace: &mut workspace,
                random,
            })
        })
    });
}

fn numbers(len: usize, stream: usize) -> Vec<f32> {
    let mut reader = Philox::new(7, stream as u64).reader();
    (0..len).map(|_| reader.normal() as f32).collect()
}
