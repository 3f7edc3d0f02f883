//! Calls with nulls, zeros and handles that stand for nothing: each answers, none crashes.

use std::ffi::c_void;

use ptx_vm::driver::Status;
use ptx_vm::driver::entry::*;

use crate::session::*;

/// Enough arguments for every function; those a function does not take are of no account to it.
type Any = unsafe extern "C" fn(
    usize,
    usize,
    usize,
    usize,
    usize,
    usize,
    usize,
    usize,
    usize,
    usize,
    usize,
    usize,
) -> u32;

/// Functions that succeed with zeros: they have nothing to write, or zero means something.
const SUCCEED: &[&str] = &[
    "cuInit",
    "cuCtxSetCurrent",
    "cuCtxSynchronize",
    "cuCtxSetFlags",
    "cuCtxSetLimit",
    "cuCtxSetCacheConfig",
    "cuCtxGetStreamPriorityRange",
    "cuDevicePrimaryCtxSetFlags_v2",
    "cuDevicePrimaryCtxReset_v2",
    "cuMemFree_v2",
    "cuMemFreeAsync",
    "cuPointerGetAttributes",
    "cuProfilerStart",
    "cuProfilerStop",
    "cuStreamQuery",
    "cuStreamSynchronize",
];

fn is_copy_or_fill(name: &str) -> bool {
    name.starts_with("cuMemset") || name.starts_with("cuMemcpy")
}

#[test]
fn every_call_survives_nulls_and_zeros() {
    let session = Session::new();
    for (name, procedure) in procedures() {
        if name == "cuDevicePrimaryCtxRelease_v2" || name == "cuCtxPopCurrent_v2" {
            continue;
        }
        ok(cuCtxSetCurrent(session.context));
        // SAFETY: an exported function; it takes at most as many words, which the calling convention of this
        // machine lets a caller pass in excess.
        let status = unsafe {
            let call: Any = std::mem::transmute::<*const c_void, Any>(procedure);
            Status(call(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))
        };
        let succeeded = status == Status::SUCCESS;
        assert!(
            succeeded == SUCCEED.contains(&name) || succeeded && is_copy_or_fill(name),
            "{name} answers {:?}",
            status.name()
        );
    }
}

#[test]
fn handles_of_nothing_are_told() {
    let session = Session::new();
    let stale = stream();
    ok(cuStreamDestroy_v2(stale));
    let kernel = session.function("nothing");
    for handle in [stale, 3, 0x1001, usize::MAX, kernel] {
        assert_eq!(cuStreamSynchronize(handle), Status::INVALID_HANDLE);
        assert_eq!(cuStreamDestroy_v2(handle), Status::INVALID_HANDLE);
        assert_eq!(cuEventSynchronize(handle), Status::INVALID_HANDLE);
        assert_eq!(cuEventRecord(handle, 0), Status::INVALID_HANDLE);
        assert_eq!(cuGraphLaunch(handle, 0), Status::INVALID_HANDLE);
        assert_eq!(cuGraphDestroy(handle), Status::INVALID_HANDLE);
        assert_eq!(cuModuleUnload(handle), Status::INVALID_HANDLE);
        assert_eq!(cuCtxSetCurrent(handle), Status::INVALID_CONTEXT);
    }
    assert_eq!(launch(stale, 1, 1, &[]), Status::INVALID_HANDLE);
    assert_eq!(launch_on(stale, kernel, (1, 1, 0), &[]), Status::INVALID_HANDLE);
    ok(launch(kernel, 1, 1, &[]));
    assert_eq!(cuStreamDestroy_v2(0), Status::INVALID_HANDLE);
}

#[test]
fn functions_are_found_by_name() {
    let _session = Session::new();
    let find = |text: &str| {
        let (mut place, mut status) = (std::ptr::null(), 9);
        let answer =
            cuGetProcAddress_v2(name(&c(text)), out(&mut place), 12_000, 0, out(&mut status));
        (answer, status, place)
    };
    let (answer, status, place) = find("cuMemAlloc");
    assert_eq!((answer, status), (Status::SUCCESS, 0));
    assert_eq!(place, find("cuMemAlloc_v2").2);
    assert_eq!(find("cuGraphInstantiate").2, find("cuGraphInstantiateWithFlags").2);
    assert_eq!(find("cuCtxCreate").2, find("cuCtxCreate_v2").2);
    assert_eq!(find("cuNoSuchThing"), (Status::NOT_FOUND, 1, std::ptr::null()));
    // SAFETY: the function of this name, with its type.
    let allocate = unsafe {
        std::mem::transmute::<*const c_void, extern "C" fn(Out<u64>, usize) -> Status>(place)
    };
    let address = get(|out| allocate(out, 16));
    ok(cuMemFree_v2(address));
}
