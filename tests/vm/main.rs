//! The PTX machine in the place of a device: what it says of itself and of rules that are broken.

use crformer::cuda::device::Device;
use crformer::cuda::library::Driver;
use crformer::error::ErrorKind;

#[path = "../support/mod.rs"]
mod support;

use support::norm::Norm;

fn machine() -> Device {
    Device::open(Driver::PtxMachine, 0).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn it_is_a_device_of_8_gib() {
    let device = machine();
    assert!(device.name().starts_with("PTX machine"), "{}", device.name());
    assert_eq!(device.memory().expect("figures").1, 8 << 30);
}

#[test]
fn a_kernel_that_breaks_a_rule_is_named_with_the_place() {
    let device = machine();
    let norm = Norm::new(&device);
    let beyond = norm.inp.pointer().offset(Norm::ROW);
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
fn there_is_one() {
    let error = Device::open(Driver::PtxMachine, 3).map(|_| ()).expect_err("one machine only");
    let text = error.to_string();
    assert!(text.contains("no device cuda:3") && text.lines().count() == 1, "{text}");
}
