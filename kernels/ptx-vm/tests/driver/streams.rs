//! Streams and events.

use std::ffi::c_void;
use std::sync::atomic::{AtomicU32, Ordering};

use ptx_vm::driver::Status;
use ptx_vm::driver::entry::*;

use crate::session::*;

#[test]
fn streams_have_their_properties() {
    let session = Session::new();
    let stream = get(|out| cuStreamCreateWithPriority(out, 1, -9));
    assert_eq!(get(|out| cuStreamGetFlags(stream, out)), 1);
    assert_eq!(get(|out| cuStreamGetPriority(stream, out)), -5);
    assert_eq!(get(|out| cuStreamGetCtx(stream, out)), session.context);
    assert_eq!(cuStreamCreate(out(&mut 0), 2), Status::INVALID_VALUE);
    ok(cuStreamQuery(stream));
    ok(cuStreamSynchronize(2));
    let own = get(|out| cuStreamGetId(2, out));
    let context = session.context;
    let others = std::thread::spawn(move || {
        ok(cuCtxSetCurrent(context));
        get(|out| cuStreamGetId(2, out))
    });
    assert_ne!(others.join().expect("no panic"), own);
}

#[test]
fn events_tell_the_time_between_them() {
    let session = Session::new();
    let (start, end, untimed) = (event(), event(), get(|out| cuEventCreate(out, 2)));
    ok(cuEventQuery(start));
    assert_eq!(cuEventElapsedTime(out(&mut 0.0), start, end), Status::INVALID_HANDLE);
    ok(cuEventRecord(start, 0));
    std::thread::sleep(std::time::Duration::from_millis(3));
    ok(launch(session.function("nothing"), 1, 1, &[]));
    ok(cuEventRecord(end, 0));
    ok(cuEventRecord(untimed, 0));
    ok(cuEventSynchronize(end));
    let time = get(|out| cuEventElapsedTime_v2(out, start, end));
    assert!((3.0..10_000.0).contains(&time), "{time} ms");
    assert!(get(|out| cuEventElapsedTime(out, end, start)) < -2.9);
    assert_eq!(cuEventElapsedTime(out(&mut 0.0), start, untimed), Status::INVALID_HANDLE);
    ok(cuEventDestroy_v2(end));
    assert_eq!(cuEventQuery(end), Status::INVALID_HANDLE);
    assert_eq!(cuEventCreate(out(&mut 0), 6), Status::NOT_SUPPORTED);
}

unsafe extern "C" fn count_up(data: *mut c_void) {
    // SAFETY: the test gives a counter that outlives the stream's work.
    let counter = unsafe { &*data.cast::<AtomicU32>() };
    let inside = cuCtxSynchronize();
    counter.fetch_add(if inside == Status::NOT_PERMITTED { 1 } else { 100 }, Ordering::Relaxed);
}

#[test]
fn functions_of_the_host_run_in_order_and_call_no_driver() {
    let _session = Session::new();
    let counter = AtomicU32::new(0);
    let at = &raw const counter as usize;
    ok(cuLaunchHostFunc(0, Some(count_up), at));
    ok(cuLaunchHostFunc(0, Some(count_up), at));
    ok(cuStreamSynchronize(0));
    assert_eq!(counter.load(Ordering::Relaxed), 2);
    assert_eq!(cuLaunchHostFunc(0, None, 0), Status::INVALID_VALUE);
}

#[test]
fn threads_work_side_by_side() {
    let session = Session::new();
    let (module, context) = (session.module(), session.context);
    std::thread::scope(|scope| {
        for seed in 0..4u32 {
            scope.spawn(move || {
                ok(cuCtxSetCurrent(context));
                let (stream, kernel) =
                    (stream(), function(module, "add_one").expect("it is there"));
                for round in 0..20 {
                    let address = upload(&[seed; 32]);
                    for _ in 0..round {
                        ok(launch_on(stream, kernel, (1, 32, 0), &[&address]));
                    }
                    ok(cuStreamSynchronize(stream));
                    assert_eq!(download(address, 32), [seed + round; 32]);
                    ok(cuMemFree_v2(address));
                }
                ok(cuStreamDestroy_v2(stream));
            });
        }
    });
}
