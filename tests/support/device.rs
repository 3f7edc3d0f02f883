//! A case of an operation on a CUDA device, both directions and precisions, against the CPU in f64.
//!
//! The device is the PTX machine, or the one that `CRFORMER_TEST_DEVICE` names (`cuda:0`). Its error
//! may be twice that of the CPU's f32 code with its results rounded to the device's format, plus 1e-6
//! of the largest number. Memory that nothing has written is left so: the machine refuses to read it,
//! and it watches for races; the second run, whose bits have to be the same, takes warps in another order.

use crformer::cuda::device::Device;
use crformer::cuda::library::set_machine;
use crformer::cuda::memory::Buffer;
use crformer::cuda::precision::Precision;
use crformer::error::Result;
use crformer::exec;
use crformer::exec::Values;
use crformer::exec::cuda::single::{Part, SingleOperation};
use crformer::op::contract::{Kind, OnCpu, TensorType};
use crformer::op::device::{OnCuda, stored};
use crformer::write::Write;
use half::bf16;

use super::case::{Case, Input, cotangent};
use super::compare::relative_error;

/// The gradients a naive backward pass in a precision would write, before they are rounded to their formats:
/// for kernels that round in between, which the CPU's code does not. The last number is what each gradient is added to.
type Naive<'a, O> = &'a dyn Fn(&Case<O>, &[f64], Precision, f64) -> Vec<Option<Vec<f64>>>;
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
        self.check_everywhere(None, Some(&|case, dout, precision, _| naive(case, dout, precision)));
    }

    /// The same, with an output too.
    #[track_caller]
    pub fn check_on_device_against_both(
        &self,
        forward: impl Fn(&Case<O>, Precision) -> Vec<f64>,
        backward: impl Fn(&Case<O>, &[f64], Precision) -> Vec<Option<Vec<f64>>>,
    ) {
        self.check_on_device_onto(forward, |case, dout, precision, _| {
            backward(case, dout, precision)
        });
    }

    /// The same where several launches add to one gradient: `backward` is told what was in each gradient, and gives
    /// what is added, with what is rounded away between the launches.
    #[track_caller]
    pub fn check_on_device_onto(
        &self,
        forward: impl Fn(&Case<O>, Precision) -> Vec<f64>,
        backward: impl Fn(&Case<O>, &[f64], Precision, f64) -> Vec<Option<Vec<f64>>>,
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
            false => stored(self.inputs[i].of.kind, precision),
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
            naive.out =
                rounded(&out(&case, precision), stored(case.signature().out.kind, precision));
        }
        if let Some(gradients) = naive_gradients {
            let base = if write.adds() { BASE } else { 0.0 };
            let gradients = gradients(&case, &dout, precision, base).into_iter().enumerate();
            let add = |g: Vec<f64>| g.into_iter().map(|x| x + base).collect::<Vec<f64>>();
            naive.gradients =
                gradients.map(|(i, g)| g.map(|g| rounded(&add(g), format(i)))).collect();
        }
        let [got, again] = ["off", "7"].map(|order| {
            watch_races(device, order);
            let run = case.on_device(device, &dout, precision, write);
            run.unwrap_or_else(|e| panic!("{}: {e}", self.name))
        });
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
        let out = round(&out, stored(signature.out.kind, precision));
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
    ) -> Result<Results> {
        let types: Vec<&TensorType> = self.inputs.iter().map(|i| &i.of).collect();
        let can = self.signature().differentiable;
        let writes: Vec<Option<Write>> = can.iter().map(|can| can.then_some(write)).collect();
        let run = SingleOperation::new(device, &self.op, &types, precision)?;
        let mut run = run.with_backward(&writes)?;
        let (seed, stream) = self.random.seed_and_stream();
        run.draw_from(seed, stream >> 20, stream as usize & 0xf_ffff)?;
        for (i, input) in self.inputs.iter().enumerate() {
            match input.of.kind {
                Kind::Index => run.write(Part::Input(i), Values::Index(&input.index))?,
                _ => run.write(Part::Input(i), Values::F64(&input.real))?,
            }
            if can[i] && write.adds() {
                run.write(Part::Dinput(i), Values::F64(&vec![BASE; input.real.len()]))?;
            }
        }
        run.forward()?;
        run.write(Part::Dout, Values::F64(dout))?;
        run.backward()?;
        let read = |part| Ok(run.read(part)?.into_iter().map(f64::from).collect());
        let gradient = |i: usize| can[i].then(|| read(Part::Dinput(i))).transpose();
        let gradients = (0..self.inputs.len()).map(gradient).collect::<Result<_>>()?;
        let out = read(Part::Out)?;
        assert!(run.tickets_are_zero()?, "{}: tickets are not zero again", self.name);
        Ok(Results { out, gradients })
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
