//! How fast kernels run; prints figures, asserts nothing: `cargo test --release -p ptx-vm --test speed -- --ignored --nocapture`.

/// Processor time.
mod clock;

use clock::processor_seconds;
use ptx_vm::launch::{Dimensions, Launch, Options};
use ptx_vm::memory::Memory;
use ptx_vm::module;
use ptx_vm::target::Target;

const LAYER_NORM: &str = include_str!("../../../ptx/layer_norm.compute_80.ptx");

/// Lane-instructions a second of layer norm in f32, rows of 1024 channels, one host thread.
#[test]
#[ignore = "a measurement"]
fn layer_norm() {
    let memory = Memory::default();
    let program = module::load(LAYER_NORM, &memory).unwrap_or_else(|e| panic!("{e}"));
    let (rows, channels) = (512u32, 1024u32);
    let buffer = |words: u32, value: f32| {
        let address = memory.allocate(u64::from(words) * 4).expect("room");
        let values: Vec<u8> =
            (0..words).flat_map(|i| (value + (i % 97) as f32 * 0.01).to_le_bytes()).collect();
        memory.write(address, &values).expect("in bounds");
        address
    };
    let [inp, weight, bias] =
        [buffer(rows * channels, 0.5), buffer(channels, 1.0), buffer(channels, 0.0)];
    let [out, mean, rstd] = [rows * channels, rows, rows]
        .map(|words| memory.allocate(u64::from(words) * 4).expect("room"));
    let mut arguments: Vec<u8> =
        [inp, weight, bias, out, mean, rstd].iter().flat_map(|a| a.to_le_bytes()).collect();
    arguments.extend([rows, channels, 1e-5f32.to_bits()].iter().flat_map(|a| a.to_le_bytes()));
    for (name, races, written) in [
        ("bounds and unwritten memory", false, true),
        ("and races", true, true),
        ("bounds only", false, false),
    ] {
        let options = Options { threads: 1, races, written, ..Options::default() };
        let kernel = &program.kernels["layer_norm_forward_f32"];
        let dimensions =
            Dimensions { grid: [rows / 4, 1, 1], block: [128, 1, 1], dynamic_shared: 0 };
        let mut best = f64::INFINITY;
        let mut lanes = 0;
        let mut warp = 0;
        for _ in 0..12 {
            let began = processor_seconds();
            let launch = Launch::new(
                &program,
                kernel,
                dimensions,
                &arguments,
                memory.view(),
                &options,
                &Target::SM_80,
            );
            let profile = launch.and_then(|launch| launch.run()).unwrap_or_else(|e| panic!("{e}"));
            best = best.min(processor_seconds() - began);
            lanes = profile.lanes.iter().sum::<u64>();
            warp = profile.total();
        }
        println!(
            "layer_norm, {name}: {:.0} million lane-instructions/s, {:.1} ns a warp instruction",
            lanes as f64 / best / 1e6,
            best * 1e9 / warp as f64
        );
    }
}
