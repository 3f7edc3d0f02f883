//! The project's own product of bf16 matrices (kernels/linear.cu): cp.async, ldmatrix and mma.sync at work.

use crate::clock::processor_seconds;

use bytemuck::bytes_of;
use ptx_vm::error::Fault;
use ptx_vm::launch::{Dimensions, Launch, Options};
use ptx_vm::memory::Memory;
use ptx_vm::module;
use ptx_vm::profile::Profile;
use ptx_vm::program::Program;
use ptx_vm::random::Random;
use ptx_vm::target::Target;

const TEXT: &str = include_str!("../../../ptx/linear.compute_80.ptx");

/// What the kernel takes, as it lies in memory; zero is nothing.
#[repr(C)]
#[derive(Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
struct Arguments {
    inp: u64,
    norm: [u64; 4],
    weight: u64,
    bias: u64,
    residual: u64,
    out: u64,
    pre: u64,
    memory: u64,
    tickets: u64,
    eps: f32,
    /// Rows, outputs and inputs.
    sizes: [u32; 3],
    parts: u32,
    activation: u32,
    drop: u32,
    sample_rows: u32,
    least: u32,
    scale: f32,
    seed: u64,
    node: u32,
    align_step: u32,
    step: u64,
}

/// `out = inp weight^T` with these sizes.
struct Product {
    rows: usize,
    outputs: usize,
    inputs: usize,
    inp: Vec<u16>,
    weight: Vec<u16>,
}

/// The bf16 below a random number in [-1, 1).
fn draw(stream: &mut Random, count: usize) -> Vec<u16> {
    let number = |x: u64| x as f32 / (1 << 23) as f32 - 1.0;
    (0..count).map(|_| (number(stream.below(1 << 24)).to_bits() >> 16) as u16).collect()
}

fn wide(bits: u16) -> f64 {
    f64::from(f32::from_bits(u32::from(bits) << 16))
}

impl Product {
    fn new(rows: usize, outputs: usize, inputs: usize) -> Self {
        let mut stream = Random::new(21);
        let inp = draw(&mut stream, rows * inputs);
        let weight = draw(&mut stream, outputs * inputs);
        Self { rows, outputs, inputs, inp, weight }
    }

    /// Runs a kernel with tiles of `side`; counts and the result come back.
    fn run(
        &self,
        memory: &Memory,
        program: &Program,
        side: usize,
        options: &Options,
    ) -> Result<(Profile, Vec<u16>), Box<Fault>> {
        let put = |values: &[u16]| {
            let address = memory.allocate(2 * values.len() as u64).expect("room");
            let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
            memory.write(address, &bytes).expect("in bounds");
            address
        };
        let out = memory.allocate(2 * (self.rows * self.outputs) as u64).expect("room");
        let large = side == 128;
        let shared = if large { (48 << 10) + 128 } else { 24 << 10 };
        let arguments = Arguments {
            inp: put(&self.inp),
            weight: put(&self.weight),
            out,
            sizes: [self.rows as u32, self.outputs as u32, self.inputs as u32],
            parts: 1,
            scale: 1.0,
            ..Arguments::default()
        };
        let name = if large { "linear_forward_bf16" } else { "linear_forward_small_bf16" };
        let tiles = self.outputs.div_ceil(side) * self.rows.div_ceil(side);
        let (grid, block) = ([tiles as u32, 1, 1], [2 * side as u32, 1, 1]);
        let dimensions = Dimensions { grid, block, dynamic_shared: shared };
        let (kernel, view) = (&program.kernels[name], memory.view());
        let launch = Launch::new(
            program,
            kernel,
            dimensions,
            bytes_of(&arguments),
            view,
            options,
            &Target::SM_80,
        )?;
        let profile = launch.run()?;
        let mut bytes = vec![0; 2 * self.rows * self.outputs];
        memory.read(out, &mut bytes).expect("in bounds");
        Ok((profile, bytes.chunks(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect()))
    }

    /// Every number within the roundings of its sum and of bf16.
    fn check(&self, out: &[u16]) {
        for (index, &bits) in out.iter().enumerate() {
            let (row, column) = (index / self.outputs, index % self.outputs);
            let terms = (0..self.inputs).map(|k| {
                wide(self.inp[row * self.inputs + k]) * wide(self.weight[column * self.inputs + k])
            });
            let (sum, size) = terms.fold((0.0, 0.0), |(sum, size), x| (sum + x, size + x.abs()));
            let bound = size * self.inputs as f64 * 2f64.powi(-24) + sum.abs() * 2f64.powi(-8);
            assert!((wide(bits) - sum).abs() <= bound, "{row} {column}: {} for {sum}", wide(bits));
        }
    }
}

#[test]
fn products_of_any_size_are_right() {
    let memory = Memory::default();
    let program = module::load(TEXT, &memory).unwrap_or_else(|e| panic!("{e}"));
    for (rows, outputs, inputs, side) in [(130, 136, 72, 128), (65, 70, 33, 64), (1, 1, 1, 64)] {
        let product = Product::new(rows, outputs, inputs);
        for (races, adversarial) in [(true, None), (false, Some(1)), (true, Some(2))] {
            let options = Options { threads: 1, races, adversarial, ..Options::default() };
            let run = product.run(&memory, &program, side, &options);
            let (profile, out) = run.unwrap_or_else(|e| panic!("{e}"));
            product.check(&out);
            assert!(
                profile.tensor_operations.iter().sum::<u64>()
                    >= 2 * (rows * outputs * inputs) as u64
            );
        }
    }
}

#[test]
fn no_wait_can_be_left_out() {
    let product = Product::new(64, 64, 128);
    let lines: Vec<&str> = TEXT.lines().collect();
    let start = TEXT
        .lines()
        .position(|l| l.contains(".entry linear_forward_small_bf16("))
        .expect("the kernel");
    let end = start + lines[start..].iter().position(|l| l.starts_with('}')).expect("its end");
    let waits: Vec<usize> =
        (start..end).filter(|&i| lines[i].contains("cp.async.wait_group")).collect();
    assert!(waits.len() >= 2);
    let found = |removed: usize| {
        let text: Vec<&str> =
            lines.iter().enumerate().map(|(i, l)| if i == removed { "" } else { *l }).collect();
        let memory = Memory::default();
        let program = module::load(&text.join("\n"), &memory).unwrap_or_else(|e| panic!("{e}"));
        let options = Options { threads: 1, ..Options::default() };
        product.run(&memory, &program, 64, &options).is_err()
    };
    assert!(waits.iter().any(|&wait| found(wait)), "a pipeline without one of its waits");
    assert!(!found(0), "the pipeline as it is");
}

/// Operations a second of products of 512^3, one host thread: `-- --ignored --nocapture speed`.
#[test]
#[ignore = "a measurement"]
fn speed() {
    let memory = Memory::default();
    let program = module::load(TEXT, &memory).unwrap_or_else(|e| panic!("{e}"));
    let product = Product::new(512, 512, 512);
    for (name, races, written, side) in [
        ("128 x 128, bounds and unwritten memory", false, true, 128),
        ("64 x 64, bounds and unwritten memory", false, true, 64),
        ("128 x 128, and races", true, true, 128),
        ("128 x 128, bounds only", false, false, 128),
    ] {
        let options = Options { threads: 1, races, written, ..Options::default() };
        let time = |_| {
            let began = processor_seconds();
            product.run(&memory, &program, side, &options).unwrap_or_else(|e| panic!("{e}"));
            processor_seconds() - began
        };
        let best = (0..8).map(time).fold(f64::INFINITY, f64::min);
        println!("{name}: {:.2} GFLOP/s", 2.0 * 512f64.powi(3) / best / 1e9);
    }
}
