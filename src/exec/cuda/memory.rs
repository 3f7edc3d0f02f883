//! Where everything of a CUDA session lies on the device.

use crate::cuda::arguments::Pointer;
use crate::cuda::device::Device;
use crate::cuda::memory::Buffer;
use crate::cuda::precision::Precision;
use crate::error::{Error, Result};
use crate::exec::cuda::formats::{Format, encode};
use crate::exec::layout::lay_out;
use crate::exec::session::Values;
use crate::graph::plan::Widths;
use crate::graph::{Graph, Origin, Place, Plan, Reverse, TensorId};
use crate::op::contract::Kind;
use crate::op::device::{CudaInput, Passes, TICKETS};
use crate::optim::cuda::Trained;

/// The buffers of a session and what lies where in them.
pub(super) struct Memory {
    pub(super) precision: Precision,
    pub(super) plan: Plan,
    pub(super) arena: Buffer,
    pub(super) indices: Buffer,
    /// In bytes; of tensors of indices.
    index_at: Vec<Option<usize>>,
    /// Parameters in f32, one after the other.
    pub(super) parameters: Buffer,
    /// The same in bf16, for a session in bf16.
    pub(super) copy: Option<Buffer>,
    parameter_at: Vec<Option<usize>>,
    pub(super) gradients: Buffer,
    pub(super) gradients_len: usize,
    gradient_at: Vec<Option<usize>>,
    pub(super) tickets: Buffer,
    /// The number of the step, `u64`.
    pub(super) step: Buffer,
}

impl Memory {
    pub(super) fn new(
        device: &Device,
        graph: &Graph,
        reverse: Option<&Reverse>,
        precision: Precision,
    ) -> Result<Self> {
        let passes = if reverse.is_some() { Passes::Both } else { Passes::Forward };
        let workspaces = workspaces(graph, precision, device.most_shared(), passes)?;
        let widths = Widths { activation: precision.bytes(), statistic: size_of::<f32>() };
        let plan = Plan::with_workspaces(graph, reverse, widths, |node| workspaces[node]);
        if let Some((a, b)) = plan.overlap() {
            panic!("the plan puts {a:?} and {b:?} in one place");
        }
        let (parameter_at, parameters) = lay_out(graph, |t| Some(graph.shape(t).len()));
        let has_gradient = |t| reverse.is_some_and(|reverse| reverse.has_gradient(t));
        let gradient = |t| has_gradient(t).then(|| graph.shape(t).len());
        let (gradient_at, gradients_len) = lay_out(graph, gradient);
        let (index_at, indices) = lay_out_indices(graph);
        let memory = Self {
            precision,
            arena: device.allocate(plan.arena_len)?,
            plan,
            indices: device.allocate(indices)?,
            index_at,
            parameters: device.allocate(parameters * size_of::<f32>())?,
            copy: match precision {
                Precision::F32 => None,
                Precision::Bf16 => Some(device.allocate(parameters * precision.bytes())?),
            },
            parameter_at,
            gradients: device.zeros(gradients_len * size_of::<f32>())?,
            gradients_len,
            gradient_at,
            tickets: device.zeros(TICKETS * size_of::<u32>())?,
            step: device.zeros(size_of::<u64>())?,
        };
        memory.write_constants(device, graph)?;
        Ok(memory)
    }

    fn write_constants(&self, device: &Device, graph: &Graph) -> Result<()> {
        for (id, tensor) in graph.tensors() {
            if let (Origin::Constant(values), Some(place)) = (&tensor.origin, self.plan.value(id)) {
                let mut bytes = vec![0; place.len];
                encode(Values::F64(values), self.format(tensor.of.kind), &mut bytes);
                device.upload(&self.arena, place.offset, &bytes)?;
            }
        }
        Ok(())
    }

    /// Of a tensor that is no parameter.
    pub(super) fn format(&self, kind: Kind) -> Format {
        Format::of(kind, self.precision)
    }

    pub(super) fn in_arena(&self, place: Option<Place>) -> Pointer {
        place.map_or(Pointer::NULL, |place| self.arena.pointer().offset(place.offset))
    }

    /// Where kernels read a tensor.
    pub(super) fn input(&self, tensor: TensorId, kind: Kind) -> CudaInput {
        if let Some(at) = self.parameter_at[tensor.index()] {
            let full = self.parameters.pointer().offset(at * size_of::<f32>());
            let copy = |copy: &Buffer| copy.pointer().offset(at * self.precision.bytes());
            return CudaInput { working: self.copy.as_ref().map_or(full, copy), full };
        }
        let working = match self.index_at[tensor.index()] {
            Some(at) => self.indices.pointer().offset(at),
            None => self.in_arena(self.plan.value(tensor)),
        };
        match self.format(kind) {
            Format::F32 => CudaInput { working, full: working },
            Format::Bf16 | Format::I32 => CudaInput { working, full: Pointer::NULL },
        }
    }

    /// Where the gradient of a tensor is written, and whether it is a parameter's.
    pub(super) fn gradient(&self, tensor: TensorId) -> Option<(Pointer, bool)> {
        if let Some((at, _)) = self.of_parameter_gradient(tensor, 0) {
            return Some((self.gradients.pointer().offset(at), true));
        }
        let place = self.plan.gradient(tensor)?;
        Some((self.in_arena(Some(place)), false))
    }

    /// Where a parameter of `len` numbers lies among the parameters: its first byte in f32, in bf16.
    pub(super) fn of_parameter(&self, tensor: TensorId) -> Option<[usize; 2]> {
        let at = self.parameter_at[tensor.index()]?;
        Some([at * size_of::<f32>(), at * Precision::Bf16.bytes()])
    }

    /// First byte and bytes of the gradient or a moment of a trained parameter of `len` numbers.
    pub(super) fn of_parameter_gradient(
        &self,
        tensor: TensorId,
        len: usize,
    ) -> Option<(usize, usize)> {
        let at = self.gradient_at[tensor.index()]?;
        Some((at * size_of::<f32>(), len * size_of::<f32>()))
    }

    /// First byte of a tensor of indices among all of them.
    pub(super) fn of_indices(&self, tensor: TensorId) -> Option<usize> {
        self.index_at[tensor.index()]
    }

    pub(super) fn trained(&self, graph: &Graph, trained: &[TensorId]) -> Vec<Trained> {
        let of = |t: &TensorId| {
            let (parameter, gradient) =
                (self.parameter_at[t.index()]?, self.gradient_at[t.index()]?);
            Some(Trained { parameter, gradient, len: graph.shape(*t).len() })
        };
        trained.iter().filter_map(of).collect()
    }

    /// In bytes.
    pub(super) fn bytes(&self) -> usize {
        let buffers =
            [&self.arena, &self.indices, &self.parameters, &self.gradients, &self.tickets];
        let copy = self.copy.as_ref().map_or(0, Buffer::len);
        buffers.map(Buffer::len).iter().sum::<usize>() + copy
    }
}

/// Bytes of scratch memory of each node, forward and backward, if the device can run them all.
fn workspaces(
    graph: &Graph,
    precision: Precision,
    most_shared: u32,
    passes: Passes,
) -> Result<Vec<[usize; 2]>> {
    let of = |node: &crate::graph::Node| {
        let types: Vec<_> = node.inputs.iter().map(|&t| graph.of(t)).collect();
        let wrong = |what: String| {
            let name = node.op.operation().name();
            let at = graph.get(node.out).name.as_str();
            Err(Error::usage(format!("{name} {what}; use --device cpu")).at(at))
        };
        let op = node.op.on_cuda();
        let wanted = op.parameters();
        for (i, &input) in node.inputs.iter().enumerate() {
            let parameter = matches!(graph.get(input).origin, Origin::Parameter(_));
            let fits = parameter == wanted.contains(&i) || graph.of(input).kind != Kind::Activation;
            // In f32 both formats are one.
            if precision == Precision::Bf16 && !fits {
                let name = &graph.get(input).name;
                return wrong(match parameter {
                    true => format!("does not take the parameter {name} as its input {i}"),
                    false => format!("takes a parameter as its input {i}, not {name}"),
                });
            }
        }
        op.check(&types, precision, most_shared, passes)
            .map_err(|error| error.at(graph.get(node.out).name.as_str()))?;
        let workspace = op.workspace(&types, precision);
        Ok([workspace.forward, workspace.backward])
    };
    graph.nodes().iter().map(of).collect()
}

/// Where each tensor of indices begins, and bytes in all.
fn lay_out_indices(graph: &Graph) -> (Vec<Option<usize>>, usize) {
    const ALIGNMENT: usize = 256;
    let mut end = 0;
    let at = graph.tensors().map(|(_, tensor)| {
        (tensor.of.kind == Kind::Index).then(|| {
            let at = end;
            end += (tensor.of.shape.len() * size_of::<i32>()).next_multiple_of(ALIGNMENT);
            at
        })
    });
    (at.collect(), end)
}
