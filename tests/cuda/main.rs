//! The door to CUDA devices, over the PTX machine: memory, launches, captures, and what is refused.

use crformer::cuda::arguments::{Arguments, Layout, Pointer};
use crformer::cuda::device::Device;
use crformer::cuda::kernels::Kernel;
use crformer::cuda::library::Driver;
use crformer::cuda::memory::Buffer;
use crformer::error::ErrorKind;

const ROWS: usize = 6;
const CHANNELS: usize = 20;

fn machine() -> Device {
    Device::open(Driver::PtxMachine, 0).unwrap_or_else(|e| panic!("{e}"))
}

fn filled(device: &Device, values: &[f32]) -> Buffer {
    let buffer = device.allocate(4 * values.len()).expect("memory");
    device.upload(&buffer, 0, bytemuck::cast_slice(values)).expect("uploaded");
    buffer
}

fn read(device: &Device, buffer: &Buffer) -> Vec<f32> {
    let mut values = vec![0f32; buffer.len() / 4];
    device
        .download(buffer, 0, bytemuck::cast_slice_mut(&mut values))
        .unwrap_or_else(|e| panic!("{e}"));
    values
}

/// Layer norm's arguments over buffers.
struct Norm {
    inp: Buffer,
    weight: Buffer,
    bias: Buffer,
    out: Buffer,
}

impl Norm {
    fn new(device: &Device) -> Self {
        let values: Vec<f32> = (0..ROWS * CHANNELS).map(|i| (i as f32 * 0.7).sin()).collect();
        Self {
            inp: filled(device, &values),
            weight: filled(device, &[1.0; CHANNELS]),
            bias: filled(device, &[0.5; CHANNELS]),
            out: device.allocate(4 * ROWS * CHANNELS).expect("memory"),
        }
    }

    fn arguments(&self, inp: Pointer) -> Arguments {
        let statistics = Pointer::NULL;
        Arguments::new()
            .pointer(inp)
            .pointer(self.weight.pointer())
            .pointer(self.bias.pointer())
            .pointer(self.out.pointer())
            .pointer(statistics)
            .pointer(statistics)
            .count(ROWS)
            .count(CHANNELS)
            .float(1e-5)
    }

    fn launch(&self, device: &Device, inp: Pointer) -> crformer::error::Result<()> {
        let layout = Layout::row(ROWS.div_ceil(4), 128);
        device.launch(Kernel::LayerNormForwardF32, layout, &self.arguments(inp))
    }
}

#[test]
fn what_goes_up_comes_down() {
    let device = machine();
    assert!(device.name().starts_with("PTX machine"), "{}", device.name());
    let values: Vec<f32> = (0..1000).map(|i| i as f32).collect();
    assert_eq!(read(&device, &filled(&device, &values)), values);
    let small = device.allocate(8).expect("memory");
    let error = device.upload(&small, 0, &[0; 9]).expect_err("nine bytes for eight");
    assert!(error.to_string().contains("9 bytes at 0 of a buffer of 8"), "{error}");
}

#[test]
fn a_replayed_capture_does_what_the_launches_do() {
    let device = machine();
    let (eager, recorded) = (Norm::new(&device), Norm::new(&device));
    eager.launch(&device, eager.inp.pointer()).expect("launched");
    device.prepare(Kernel::LayerNormForwardF32, 0).expect("loaded");
    let work = || recorded.launch(&device, recorded.inp.pointer());
    let capture = device.capture(work).expect("captured");
    device.replay(&capture).expect("replayed");
    let want = read(&device, &eager.out);
    assert_eq!(read(&device, &recorded.out), want);
    assert!(want.iter().any(|x| *x != 0.5), "the bias alone");
}

#[test]
fn too_much_memory_is_an_error_with_figures() {
    let error = machine().allocate(1 << 45).expect_err("32 TiB");
    assert_eq!(error.kind(), ErrorKind::Memory);
    let text = error.to_string();
    assert!(
        text.contains("33554432 MiB are needed") && text.contains("MiB free of 8192"),
        "{text}"
    );
}

#[test]
fn a_layout_beyond_the_device_is_refused_before_it_is_queued() {
    let device = machine();
    let norm = Norm::new(&device);
    let layout = Layout { shared: 1 << 20, ..Layout::row(2, 128) };
    let arguments = norm.arguments(norm.inp.pointer());
    let error = device.launch(Kernel::LayerNormForwardF32, layout, &arguments);
    let text = error.expect_err("a MiB of shared memory").to_string();
    assert!(text.contains("layer_norm_forward_f32") && text.contains("shared memory"), "{text}");
}

#[test]
fn a_kernel_that_breaks_a_rule_is_named_with_the_place() {
    let device = machine();
    let norm = Norm::new(&device);
    let beyond = norm.inp.pointer().offset(4 * CHANNELS);
    let launched = norm.launch(&device, beyond).and_then(|()| device.synchronize());
    let error = launched.expect_err("one row beyond the end");
    assert_eq!(error.kind(), ErrorKind::Device);
    let text = error.to_string();
    for part in
        ["OutOfBounds", "layer_norm_forward_f32", "PTX line", "block (1, 0, 0)", "address 0x"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_device_that_is_not_there_is_one_line() {
    let error = Device::open(Driver::PtxMachine, 3).map(|_| ()).expect_err("one machine only");
    let text = error.to_string();
    assert!(text.contains("no device cuda:3") && text.lines().count() == 1, "{text}");
    let error = Device::open(Driver::Nvidia, 0).map(|_| ()).expect_err("the machine is in use");
    assert!(error.to_string().contains("not on both"), "{error}");
}
