//! The door to CUDA devices: memory, launches, captures, and what is refused.
//!
//! The device is the PTX machine, or the one that `CRFORMER_TEST_DEVICE` names.

use crformer::cuda::arguments::Layout;
use crformer::cuda::precision::Precision;
use crformer::error::ErrorKind;
use crformer::exec;

#[path = "../support/mod.rs"]
mod support;

use support::device::{bytes, filled, name, open, read};
use support::norm::Norm;

#[test]
fn what_goes_up_comes_down() {
    let device = open();
    let values: Vec<f64> = (0..1000).map(f64::from).collect();
    let buffer = filled(&device, &bytes(&values, Precision::F32));
    assert_eq!(read(&device, &buffer, 1000, Precision::F32), values);
    let small = device.allocate(8).expect("memory");
    let error = device.upload(&small, 0, &[0; 9]).expect_err("nine bytes for eight");
    assert!(error.to_string().contains("9 bytes at 0 of a buffer of 8"), "{error}");
}

#[test]
fn a_replayed_capture_does_what_the_launches_do() {
    let device = open();
    let (eager, recorded) = (Norm::new(&device), Norm::new(&device));
    eager.launch(&device, eager.inp.pointer()).expect("launched");
    device.prepare(Norm::KERNEL, 0).expect("loaded");
    let work = || recorded.launch(&device, recorded.inp.pointer());
    let capture = device.capture(work).expect("captured");
    device.replay(&capture).expect("replayed");
    let [want, got] = [&eager, &recorded].map(|n| read(&device, &n.out, Norm::LEN, Precision::F32));
    assert_eq!(got, want);
    assert!(want.iter().any(|x| *x != 0.5), "the bias alone");
}

#[test]
fn too_much_memory_is_an_error_with_figures() {
    let device = open();
    let error = device.allocate(1 << 45).expect_err("32 TiB");
    assert_eq!(error.kind(), ErrorKind::Memory);
    let (text, total) = (error.to_string(), device.memory().expect("figures").1 >> 20);
    assert!(text.contains("33554432 MiB are needed"), "{text}");
    assert!(text.contains(&format!("MiB free of {total}")), "{text}");
    let norm = Norm::new(&device);
    norm.launch(&device, norm.inp.pointer()).expect("the device works on");
    device.synchronize().expect("the device works on");
}

#[test]
fn a_layout_beyond_the_device_is_refused_before_it_is_queued() {
    let device = open();
    let norm = Norm::new(&device);
    let layout = Layout { shared: 1 << 20, ..Norm::layout() };
    let error = device.launch(Norm::KERNEL, layout, &norm.arguments(norm.inp.pointer()));
    let text = error.expect_err("a MiB of shared memory").to_string();
    assert!(text.contains("layer_norm_forward_f32") && text.contains("shared memory"), "{text}");
}

#[test]
fn a_gpu_that_is_not_there_is_one_line() {
    let asked = || "cuda:4000".parse::<exec::Device>().and_then(exec::Device::open);
    open();
    let text = asked().map(|_| ()).expect_err("no such device").to_string();
    let said = match name().as_str() {
        "vm" => "not on both",
        _ => "no device cuda:4000",
    };
    assert!(text.contains(said) && text.lines().count() == 1, "{text}");
}
