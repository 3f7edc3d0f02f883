//! A case of an operation on a CUDA device, both directions and precisions, against the CPU in f64.
//!
//! The device is the PTX machine, or the one that `CRFORMER_TEST_DEVICE` names (`cuda:0`). Its error
//! may be twice that of the CPU's f32 code with its results rounded to the device's format, plus 1e-6
//! of the largest number. Memory that nothing has written is left so: the machine refuses to read it,
//! and it watches for races; the second run, whose bits have to be the same, takes warps in another order.

use crformer::cuda::arguments::Pointer;
use crformer::cuda::device::Device;
use crformer::cuda::library::set_machine;
use crformer::cuda::memory::Buffer;
use crformer::cuda::precision::Precision;
use crformer::exec;
use crformer::op::contract::{Kind, OnCpu, TensorType};
use crformer::op::device::{
    CudaBackward, CudaForward, CudaGradient, CudaInput, CudaRandom, OnCuda, TICKETS,
};
use crformer::write::Write;
use half::bf16;

use super::case::{Case, Input, cotangent};
use super::compare::relative_error;

/// The gradients a naive backward pass in a precision would write, before they are rounded to their formats:
/// for kernels that round in between, which the CPU's code does not.
type Naive<'a, O> = &'a dyn Fn(&Case<O>, &[f64], Precision) -> Vec<Option<Vec<f64>>>;
type NaiveForward<'a, O> = &'a dyn Fn(&Case<O>, Precision) -> Vec<f64>;

/// What one run of both directions left: the output, and the gradients.
#[derive(PartialEq)]
struct Results {
    out: Vec<f64>,
    gradients: Vec<Option<Vec<f64>>>,
}

/// What is in a gradient before something is added.
const BASE: f64 = 0.25;

impl<O: OnCpu<f64> + OnCpu<f32> + OnCuda + Clone> Case<O> {
    /// All checks on the device.
    #[track_caller]
    pub fn check_on_device(&self) {
        self.check_everywhere(None, None);
    }

    /// The same, with gradients that a naive version gives which rounds where the kernels do.
    #[track_caller]
    pub fn check_on_device_against(
        &self,
        naive: impl Fn(&Case<O>, &[f64], Precision) -> Vec<Option<Vec<f64>>>,
    ) {
        self.check_everywhere(None, Some(&naive));
    }

    /// The same, with an output too.
    #[track_caller]
    pub fn check_on_device_against_both(
        &self,
        forward: impl Fn(&Case<O>, Precision) -> Vec<f64>,
        backward: impl Fn(&Case<O>, &[f64], Precision) -> Vec<Option<Vec<f64>>>,
    ) {
        self.check_everywhere(Some(&forward), Some(&backward));
    }

    #[track_caller]
    fn check_everywhere(
        &self,
        forward: Option<NaiveForward<'_, O>>,
        backward: Option<Naive<'_, O>>,
    ) {
        let device = open();
        for precision in [Precision::F32, Precision::Bf16] {
            for write in [Write::Set, Write::Add] {
                self.check_once(&device, precision, write, (forward, backward));
            }
        }
    }

    #[track_caller]
    fn check_once(
        &self,
        device: &Device,
        precision: Precision,
        write: Write,
        (naive_out, naive_gradients): (Option<NaiveForward<'_, O>>, Option<Naive<'_, O>>),
    ) {
        let parameters = OnCuda::parameters(&self.op);
        let format = |i: usize| match parameters.contains(&i) {
            true => Precision::F32,
            false => stored(&self.inputs[i].of, precision),
        };
        let round =
            |input: &Input| Input { real: rounded(&input.real, precision), ..input.clone() };
        let inputs = self.inputs.iter().map(round).collect();
        let (op, random) = (self.op.clone(), self.random);
        let case = Case { name: self.name.clone(), op, inputs, random };
        let dout = rounded(&cotangent(case.signature().out.shape.len()), precision);
        let want = case.on_cpu::<f64>(&dout, precision, write, |values, _| values.to_vec(), format);
        let mut naive = case.on_cpu::<f32>(&dout, precision, write, rounded, format);
        if let Some(out) = naive_out {
            naive.out = rounded(&out(&case, precision), stored(&case.signature().out, precision));
        }
        if let Some(gradients) = naive_gradients {
            let base = if write.adds() { BASE } else { 0.0 };
            let gradients = gradients(&case, &dout, precision).into_iter().enumerate();
            let add = |g: Vec<f64>| g.into_iter().map(|x| x + base).collect::<Vec<f64>>();
            naive.gradients =
                gradients.map(|(i, g)| g.map(|g| rounded(&add(g), format(i)))).collect();
        }
        watch_races(device, "off");
        let got = case.on_device(device, &dout, precision, write, format);
        watch_races(device, "7");
        let again = case.on_device(device, &dout, precision, write, format);
        let name = format!("{} on {} in {precision:?}, {write:?}", self.name, device.name());
        assert!(got == again, "{name}: other bits the second time");
        accept(&format!("{name}: out"), &got.out, &naive.out, &want.out);
        for (i, want) in want.gradients.iter().enumerate() {
            let (naive, got) = (&naive.gradients[i], &got.gradients[i]);
            let (Some(want), Some(naive), Some(got)) = (want, naive, got) else { continue };
            accept(&format!("{name}: gradient {i}"), got, naive, want);
        }
    }

    /// Both directions on the CPU; `round` is applied to all that a device would write to memory.
    fn on_cpu<S: crformer::scalar::Scalar>(
        &self,
        dout: &[f64],
        precision: Precision,
        write: Write,
        round: impl Fn(&[f64], Precision) -> Vec<f64>,
        format: impl Fn(usize) -> Precision,
    ) -> Results
    where
        O: OnCpu<S>,
    {
        let (out, kept) = self.forward::<S>(&self.inputs, true);
        let signature = self.signature();
        let out = round(&out, stored(&signature.out, precision));
        let kept = kept.iter().zip(&signature.kept).map(|(kept, of)| match of.kind {
            Kind::Statistic => kept.clone(),
            _ => {
                let values: Vec<f64> = kept.iter().map(|x| x.to_f64()).collect();
                round(&values, precision).into_iter().map(S::from_f64).collect()
            }
        });
        let kept: Vec<Vec<S>> = kept.collect();
        let base = write.adds().then_some(BASE);
        let gradients = self.backward::<S>(&out, &kept, dout, base).into_iter().enumerate();
        let gradients = gradients.map(|(i, g)| g.map(|g| round(&g, format(i)))).collect();
        Results { out, gradients }
    }

    fn on_device(
        &self,
        device: &Device,
        dout: &[f64],
        precision: Precision,
        write: Write,
        format: impl Fn(usize) -> Precision,
    ) -> Results {
        let signature = self.signature();
        let types: Vec<&TensorType> = self.inputs.iter().map(|i| &i.of).collect();
        let upload = |values: &[f64], format| filled(device, &bytes(values, format));
        let working: Vec<Buffer> = self
            .inputs
            .iter()
            .map(|i| match i.of.kind {
                Kind::Activation => upload(&i.real, precision),
                Kind::Statistic => upload(&i.real, Precision::F32),
                Kind::Index => filled(device, bytemuck::cast_slice(&i.index)),
            })
            .collect();
        let full: Vec<Buffer> =
            self.inputs.iter().map(|i| upload(&i.real, Precision::F32)).collect();
        // What a pass must not read has no address.
        let inputs = |reads: &dyn Fn(usize) -> bool| {
            let pointers = |i: usize| CudaInput {
                working: working[i].pointer(),
                full: match format(i) {
                    Precision::F32 => full[i].pointer(),
                    Precision::Bf16 => Pointer::NULL,
                },
            };
            let nothing = CudaInput { working: Pointer::NULL, full: Pointer::NULL };
            (0..working.len()).map(|i| if reads(i) { pointers(i) } else { nothing }).collect()
        };
        let tickets = filled(device, &[0; TICKETS * size_of::<u32>()]);
        let (seed, stream) = self.random.seed_and_stream();
        let (step, node) =
            (filled(device, &(stream >> 20).to_le_bytes()), stream as usize & 0xf_ffff);
        let blank = |of: &TensorType| {
            device.allocate(of.shape.len() * stored(of, precision).bytes()).expect("memory")
        };
        let out = blank(&signature.out);
        let kept: Vec<Buffer> = signature.kept.iter().map(blank).collect();
        let need = self.op.workspace(&types, precision);
        let workspace = device.allocate(need.forward).expect("memory");
        let pass = CudaForward {
            device,
            precision,
            types: types.iter().copied().collect(),
            inputs: inputs(&|_| true),
            out: out.pointer(),
            kept: kept.iter().map(Buffer::pointer).collect(),
            workspace: workspace.pointer(),
            tickets: tickets.pointer(),
            random: CudaRandom { seed, node, step: step.pointer() },
        };
        OnCuda::forward(&self.op, &pass).unwrap_or_else(|e| panic!("{}: {e}", self.name));
        let dout = upload(dout, stored(&signature.out, precision));
        let workspace = device.allocate(need.backward).expect("memory");
        let gradients: Vec<Option<Buffer>> = (0..self.inputs.len())
            .map(|i| {
                signature.differentiable[i].then(|| match write {
                    Write::Set => device
                        .allocate(self.inputs[i].real.len() * format(i).bytes())
                        .expect("memory"),
                    Write::Add => upload(&vec![BASE; self.inputs[i].real.len()], format(i)),
                })
            })
            .collect();
        let pass = CudaBackward {
            device,
            precision,
            types: types.iter().copied().collect(),
            inputs: inputs(&|i| signature.reads_inputs[i]),
            out: if signature.reads_out { out.pointer() } else { Pointer::NULL },
            kept: kept.iter().map(Buffer::pointer).collect(),
            dout: dout.pointer(),
            dinputs: gradients
                .iter()
                .map(|g| g.as_ref().map(|g| CudaGradient { values: g.pointer(), write }))
                .collect(),
            workspace: workspace.pointer(),
            tickets: tickets.pointer(),
            random: CudaRandom { seed, node, step: step.pointer() },
        };
        OnCuda::backward(&self.op, &pass).unwrap_or_else(|e| panic!("{}: {e}", self.name));
        let mut left = [0; TICKETS * size_of::<u32>()];
        device.download(&tickets, 0, &mut left).unwrap_or_else(|e| panic!("{e}"));
        assert!(left.iter().all(|&byte| byte == 0), "{}: tickets are not zero again", self.name);
        let gradients = gradients.iter().enumerate();
        Results {
            out: read(device, &out, signature.out.shape.len(), stored(&signature.out, precision)),
            gradients: gradients
                .map(|(i, g)| {
                    g.as_ref().map(|g| read(device, g, self.inputs[i].real.len(), format(i)))
                })
                .collect(),
        }
    }
}

/// The machine, or the device that was asked for.
pub fn open() -> Device {
    let name = name();
    let device = name.parse::<exec::Device>().and_then(exec::Device::open);
    device.unwrap_or_else(|e| panic!("{name}: {e}")).expect("CRFORMER_TEST_DEVICE is vm or cuda:N")
}

/// The same, to make sessions; the machine watches for races.
pub fn machine(precision: &str) -> exec::Machine {
    let name = name();
    let machine = name.parse().and_then(|device| exec::Machine::open(device, Some(precision)));
    let machine = machine.unwrap_or_else(|e| panic!("{name}: {e}"));
    if let exec::Machine::Cuda { device, .. } = &machine {
        watch_races(device, "off");
    }
    machine
}

/// Of the device, as `--device` takes it.
pub fn name() -> String {
    std::env::var("CRFORMER_TEST_DEVICE").unwrap_or_else(|_| "vm".to_owned())
}

/// The machine refuses races; with a seed it runs warps in another order and copies as late as it may.
fn watch_races(device: &Device, seed: &str) {
    if device.name().starts_with("PTX machine") {
        let settings = format!("races=1 adversarial={seed}");
        set_machine(&settings).unwrap_or_else(|e| panic!("{e}"));
    }
}

/// How a device keeps a tensor in memory.
fn stored(of: &TensorType, precision: Precision) -> Precision {
    if of.kind == Kind::Activation { precision } else { Precision::F32 }
}

/// `values` in a format and back.
pub fn rounded(values: &[f64], precision: Precision) -> Vec<f64> {
    values
        .iter()
        .map(|&x| match precision {
            Precision::F32 => f64::from(x as f32),
            Precision::Bf16 => bf16::from_f32(x as f32).to_f64(),
        })
        .collect()
}

pub fn bytes(values: &[f64], precision: Precision) -> Vec<u8> {
    values
        .iter()
        .flat_map(|&x| match precision {
            Precision::F32 => (x as f32).to_le_bytes().to_vec(),
            Precision::Bf16 => bf16::from_f32(x as f32).to_le_bytes().to_vec(),
        })
        .collect()
}

pub fn filled(device: &Device, bytes: &[u8]) -> Buffer {
    let buffer = device.allocate(bytes.len()).expect("memory");
    device.upload(&buffer, 0, bytes).expect("uploaded");
    buffer
}

pub fn read(device: &Device, buffer: &Buffer, len: usize, precision: Precision) -> Vec<f64> {
    let mut bytes = vec![0u8; len * precision.bytes()];
    device.download(buffer, 0, &mut bytes).unwrap_or_else(|e| panic!("{e}"));
    match precision {
        Precision::F32 => bytes
            .chunks(4)
            .map(|b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]])))
            .collect(),
        Precision::Bf16 => {
            bytes.chunks(2).map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f64()).collect()
        }
    }
}

/// Twice the naive version's error, plus 1e-6.
#[track_caller]
fn accept(what: &str, got: &[f64], naive: &[f64], want: &[f64]) {
    let error = relative_error(got, want, 1e-30);
    let accepted = 2.0 * relative_error(naive, want, 1e-30) + 1e-6;
    assert!(error <= accepted, "{what}: off by {error:.2e}, accepted are {accepted:.2e}");
}
