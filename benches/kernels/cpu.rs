//! Both directions of one operation on the CPU, in f32.

use std::hint::black_box;

use crformer::op::Op;
use crformer::op::contract::{
    Backward, Forward, Gradient, Inputs, Kind, Operand, Signature, TensorType,
};
use crformer::rng::Philox;
use crformer::write::Write;

use crate::subject::Subject;

/// An operation with the memory of its passes.
pub struct Run {
    op: Op,
    types: Vec<TensorType>,
    signature: Signature,
    real: Vec<Vec<f32>>,
    index: Vec<Vec<i32>>,
    out: Vec<f32>,
    dout: Vec<f32>,
    kept: Vec<Vec<f32>>,
    gradients: Vec<Vec<f32>>,
    workspaces: [Vec<f32>; 2],
}

impl Run {
    pub fn new(subject: &Subject) -> Self {
        let Subject { op, types, signature, .. } = subject.clone();
        let mut normal = subject.normal();
        let len_if = |t: &TensorType, index: bool| match (t.kind == Kind::Index) == index {
            true => t.shape.len(),
            false => 0,
        };
        let real = types.iter().map(|t| normal(len_if(t, false))).collect();
        let dout = normal(signature.out.shape.len());
        let mut indices = subject.indices();
        let gradient = |(t, &d): (&TensorType, &bool)| vec![0.0; if d { t.shape.len() } else { 0 }];
        let mut run = Self {
            index: types.iter().map(|t| indices(len_if(t, true))).collect(),
            real,
            out: vec![0.0; dout.len()],
            dout,
            kept: signature.kept.iter().map(|k| vec![0.0; k.shape.len()]).collect(),
            gradients: types.iter().zip(&signature.differentiable).map(gradient).collect(),
            workspaces: [signature.forward_workspace, signature.backward_workspace]
                .map(|len| vec![0.0; len]),
            op,
            types,
            signature,
        };
        // A backward pass reads what it leaves.
        run.forward();
        run
    }

    fn inputs(&self) -> Inputs<'_, f32> {
        let operand = |(i, of): (usize, &TensorType)| match of.kind {
            Kind::Index => Operand::Index(&self.index[i]),
            _ => Operand::Real(&self.real[i]),
        };
        let operands = self.types.iter().enumerate().map(operand).collect();
        Inputs { types: self.types.iter().collect(), operands }
    }

    pub fn forward(&mut self) {
        let mut out = std::mem::take(&mut self.out);
        let mut kept = std::mem::take(&mut self.kept);
        let mut workspace = std::mem::take(&mut self.workspaces[0]);
        self.op.on_cpu::<f32>().forward(Forward {
            inputs: self.inputs(),
            out: &mut out,
            kept: kept.iter_mut().map(Vec::as_mut_slice).collect(),
            workspace: &mut workspace,
            random: Philox::new(3, 3),
        });
        black_box(&out);
        (self.out, self.kept, self.workspaces[0]) = (out, kept, workspace);
    }

    pub fn backward(&mut self) {
        let mut gradients = std::mem::take(&mut self.gradients);
        let mut workspace = std::mem::take(&mut self.workspaces[1]);
        let wanted = gradients.iter_mut().zip(&self.signature.differentiable);
        self.op.on_cpu::<f32>().backward(Backward {
            inputs: self.inputs(),
            out: &self.out,
            kept: self.kept.iter().map(Vec::as_slice).collect(),
            dout: &self.dout,
            dinputs: wanted
                .map(|(values, &d)| d.then_some(Gradient { values, write: Write::Set }))
                .collect(),
            workspace: &mut workspace,
            random: Philox::new(3, 3),
        });
        black_box(&gradients);
        (self.gradients, self.workspaces[1]) = (gradients, workspace);
    }
}
