//! The device and its contexts.

use std::ffi::{CStr, c_char};

use ptx_vm::driver::Status;
use ptx_vm::driver::entry::*;
use ptx_vm::driver::settings::Settings;

use crate::session::*;
use crate::tensor_maps::{Map, Request};

#[test]
fn the_device_says_what_it_is() {
    let _session = Session::new();
    assert_eq!(get(|out| cuDeviceGetCount(out)), 1);
    let mut text = [1 as c_char; 64];
    // SAFETY: 64 bytes.
    ok(cuDeviceGetName(unsafe { Out::new(text.as_mut_ptr()) }, 64, 0));
    // SAFETY: the call ended it with a zero.
    let text = unsafe { CStr::from_ptr(text.as_ptr()) };
    assert_eq!(text.to_str(), Ok("PTX machine (sm_90)"));
    let mut short = [1 as c_char; 8];
    // SAFETY: 4 of 8 bytes.
    ok(cuDeviceGetName(unsafe { Out::new(short.as_mut_ptr()) }, 4, 0));
    assert_eq!(short.map(|b| b as u8), *b"PTX\0\x01\x01\x01\x01");
    let attribute = |number| get(|out| cuDeviceGetAttribute(out, number, 0));
    assert_eq!((attribute(75), attribute(76)), (9, 0));
    assert_eq!((attribute(8), attribute(97)), (49_152, 232_448));
    assert_eq!((attribute(10), attribute(16), attribute(115)), (32, 132, 1));
    assert_eq!(cuDeviceGetAttribute(out(&mut 0), 0, 0), Status::INVALID_VALUE);
    assert_eq!(cuDeviceGetAttribute(out(&mut 0), 99_999, 0), Status::INVALID_VALUE);
    assert_eq!(cuDeviceGet(out(&mut 0), 1), Status::INVALID_DEVICE);
    assert_eq!(get(|out| cuDeviceTotalMem_v2(out, 0)), 8 << 30);
}

#[test]
fn the_primary_context_goes_with_its_last_holder() {
    let session = Session::new();
    let second = get(|out| cuDevicePrimaryCtxRetain(out, 0));
    assert_eq!(second, session.context);
    let (module, address, kept) = (session.module(), upload(&[1]), stream());
    ok(cuDevicePrimaryCtxRelease_v2(0));
    assert_eq!(download(address, 1), [1]);
    ok(cuDevicePrimaryCtxRelease_v2(0));
    assert_eq!(cuCtxSynchronize(), Status::CONTEXT_IS_DESTROYED);
    assert_eq!(cuDevicePrimaryCtxRelease_v2(0), Status::INVALID_CONTEXT);
    let third = get(|out| cuDevicePrimaryCtxRetain(out, 0));
    ok(cuCtxSetCurrent(third));
    assert_eq!(cuStreamSynchronize(kept), Status::INVALID_HANDLE);
    assert_eq!(cuModuleUnload(module), Status::INVALID_HANDLE);
    assert_eq!(cuMemFree_v2(address), Status::INVALID_VALUE);
    let (mut free, mut total) = (0, 0);
    ok(cuMemGetInfo_v2(out(&mut free), out(&mut total)));
    assert_eq!(free, total);
}

#[test]
fn a_reset_empties_the_primary_context() {
    let session = Session::new();
    let address = upload(&[1]);
    ok(cuDevicePrimaryCtxReset_v2(0));
    assert_eq!(get(|out| cuCtxGetCurrent(out)), session.context);
    assert_eq!(cuMemFree_v2(address), Status::INVALID_VALUE);
    let address = upload(&[2]);
    assert_eq!(download(address, 1), [2]);
}

#[test]
fn contexts_are_a_stack_of_the_thread() {
    let session = Session::new();
    let other = get(|out| cuCtxCreate_v2(out, 0, 0));
    assert_eq!(get(|out| cuCtxGetCurrent(out)), other);
    let there = stream();
    assert_eq!(get(|out| cuCtxPopCurrent_v2(out)), other);
    assert_eq!(get(|out| cuCtxGetCurrent(out)), session.context);
    assert_eq!(cuStreamSynchronize(there), Status::INVALID_CONTEXT);
    let elsewhere = std::thread::spawn(|| (get(|out| cuCtxGetCurrent(out)), cuCtxSynchronize()));
    assert_eq!(elsewhere.join().expect("no panic"), (0, Status::INVALID_CONTEXT));
    ok(cuCtxPushCurrent_v2(other));
    ok(cuCtxDestroy_v2(other));
    assert_eq!(get(|out| cuCtxGetCurrent(out)), session.context);
    assert_eq!(cuCtxDestroy_v2(other), Status::INVALID_CONTEXT);
    assert_eq!(cuCtxDestroy_v2(session.context), Status::INVALID_CONTEXT);
}

#[test]
fn limits_and_preferences_are_remembered() {
    let _session = Session::new();
    ok(cuCtxSetLimit(0, 4096));
    assert_eq!(get(|out| cuCtxGetLimit(out, 0)), 4096);
    assert_eq!(get(|out| cuCtxGetLimit(out, 2)), 8 << 20);
    assert_eq!(cuCtxGetLimit(out(&mut 0), 77), Status::UNSUPPORTED_LIMIT);
    ok(cuCtxSetCacheConfig(2));
    assert_eq!(get(|out| cuCtxGetCacheConfig(out)), 2);
    assert_eq!(cuCtxSetCacheConfig(9), Status::INVALID_VALUE);
}

#[test]
fn errors_have_names() {
    for (code, name, text) in [
        (0, "CUDA_SUCCESS", "no error"),
        (700, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"),
    ] {
        let (mut found, mut sentence) = (no_input(), no_input());
        ok(cuGetErrorName(Status(code), out(&mut found)));
        ok(cuGetErrorString(Status(code), out(&mut sentence)));
        // SAFETY: strings of the driver's that live as long as it.
        let read = |place: In<c_char>| unsafe { CStr::from_ptr(place.address() as *const c_char) };
        assert_eq!(read(found).to_str(), Ok(name));
        assert_eq!(read(sentence).to_str(), Ok(text));
    }
    let mut none = no_input();
    assert_eq!(cuGetErrorName(Status(12_345), out(&mut none)), Status::INVALID_VALUE);
    assert!(none.is_null());
}

#[test]
fn settings_say_what_is_wrong() {
    let _session = Session::new();
    for (text, part) in [
        ("races=2", "races=2: expected 1 or 0"),
        ("adversarial=often", "expected a whole number"),
        ("colour=1", "no such setting; there are written, races"),
        ("races", "expected name=value"),
        ("target=sm_80", "fixed once the driver is initialised"),
    ] {
        assert_eq!(options(text), Status::INVALID_VALUE, "{text}");
        assert!(report().contains(part), "{text}: {}", report());
    }
    ok(options("races=1, counts=1 adversarial=3"));
}

#[test]
fn settings_come_from_the_environment() {
    let with = |variable: &'static str, value: &'static str| {
        Settings::from_environment(move |name| (name == variable).then(|| value.to_owned()))
    };
    assert!(with("PTX_VM_RACES", "1").is_ok_and(|s| s.options.races && s.options.written));
    assert!(with("PTX_VM_ADVERSARIAL", "12").is_ok_and(|s| s.options.adversarial == Some(12)));
    assert!(with("PTX_VM_MEMORY", "512M").is_ok_and(|s| s.memory == 512 << 20));
    assert!(with("PTX_VM_TARGET", "sm_80").is_ok_and(|s| s.target.name == "sm_80"));
    let wrong = with("PTX_VM_TARGET", "sm_70").expect_err("no such target");
    assert_eq!(wrong, "PTX_VM_TARGET: target sm_70: expected sm_80, sm_89 or sm_90");
}

/// Runs in a process of its own, as the target is fixed when the driver starts.
#[test]
#[ignore = "run by the_device_can_be_an_older_one"]
fn as_sm_80() {
    let _session = Session::new();
    assert_eq!(get(|out| cuDeviceGetAttribute(out, 75, 0)), 8);
    assert_eq!(get(|out| cuDeviceGetAttribute(out, 97, 0)), 166_912);
    assert_eq!(get(|out| cuDeviceGetAttribute(out, 127, 0)), 0);
    assert_eq!(load(&KERNELS.replace("sm_80", "sm_90a")), Err(Status::INVALID_PTX));
    load(KERNELS).expect("its own");
    let map = Request::default().encode(&mut Map::default());
    assert_eq!(map, Status::NOT_SUPPORTED);
}

#[test]
fn the_device_can_be_an_older_one() {
    let run = |target| {
        let program = std::env::current_exe().expect("the test has a path");
        let mut command = std::process::Command::new(program);
        command.args(["--ignored", "--exact", "--nocapture", "contexts::as_sm_80"]);
        command.env("PTX_VM_TARGET", target).output().expect("it starts")
    };
    let output = run("sm_80");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    let wrong = run("sm_70");
    assert!(!wrong.status.success());
    let text = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(text.contains("PTX_VM_TARGET: target sm_70: expected sm_80, sm_89 or sm_90"), "{text}");
}
