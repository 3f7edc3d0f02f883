//! Captures: what is recorded, how it is replayed, and what may not happen meanwhile.

use ptx_vm::driver::entry::*;
use ptx_vm::driver::{Handle, Status};

use crate::session::*;

const GLOBAL: u32 = 0;
const THREAD_LOCAL: u32 = 1;
const RELAXED: u32 = 2;

fn end(stream: Handle) -> Result<Handle, Status> {
    let mut graph = 77;
    match cuStreamEndCapture(stream, out(&mut graph)) {
        Status::SUCCESS => Ok(graph),
        status => {
            assert_eq!(graph, 0);
            Err(status)
        }
    }
}

fn ready(graph: Handle) -> Handle {
    get(|out| cuGraphInstantiateWithFlags(out, graph, 0))
}

fn status_of(stream: Handle) -> u32 {
    get(|out| cuStreamIsCapturing(stream, out))
}

fn count(graph: Handle) -> usize {
    let mut count = 0usize;
    // SAFETY: a place of the test's.
    ok(cuGraphGetNodes(graph, null(), unsafe { InOut::new(&mut count) }));
    count
}

#[test]
fn a_capture_is_recorded_not_run_and_replayed() {
    let session = Session::new();
    let (stream, kernel, data) = (stream(), session.function("add_one"), upload(&[5; 32]));
    let mut pinned = Pinned::new(&[0; 32]);
    ok(cuStreamBeginCapture_v2(stream, THREAD_LOCAL));
    assert_eq!(status_of(stream), 1);
    ok(launch_on(stream, kernel, (1, 32, 0), &[&data]));
    ok(cuMemsetD32Async(data, 9, 1, stream));
    ok(cuMemcpyDtoHAsync_v2(pinned.0, data, 128, stream));
    let graph = end(stream).expect("a graph");
    assert_eq!((status_of(stream), count(graph)), (0, 3));
    assert_eq!(pinned.words(), [0; 32]);
    assert_eq!(download(data, 32), [5; 32]);
    let executable = ready(graph);
    ok(cuGraphDestroy(graph));
    ok(cuGraphUpload(executable, stream));
    for round in 1..4 {
        ok(cuGraphLaunch(executable, stream));
        ok(cuStreamSynchronize(stream));
        assert_eq!(pinned.words()[1..], [5 + round; 31]);
        assert_eq!(pinned.words()[0], 9);
    }
    ok(cuGraphExecDestroy(executable));
    assert_eq!(cuGraphLaunch(executable, stream), Status::INVALID_HANDLE);
}

/// Handles of all nodes.
fn nodes(graph: Handle) -> Vec<Handle> {
    let (mut handles, mut room) = (vec![0; count(graph)], count(graph));
    // SAFETY: as many places as `room` says.
    let to = unsafe { Out::new(handles.as_mut_ptr()) };
    // SAFETY: a place of the test's.
    ok(cuGraphGetNodes(graph, to, unsafe { InOut::new(&mut room) }));
    handles
}

#[test]
fn nodes_tell_what_they_are() {
    let session = Session::new();
    let (stream, kernel, data) = (stream(), session.function("add_one"), upload(&[5; 32]));
    ok(cuStreamBeginCapture_v2(stream, THREAD_LOCAL));
    ok(launch_on(stream, kernel, (3, 32, 16), &[&data]));
    ok(cuMemsetD32Async(data, 9, 1, stream));
    let graph = end(stream).expect("a graph");
    let [launch, fill] = nodes(graph)[..] else { panic!("two nodes") };
    let kind = |node| get(|out| cuGraphNodeGetType(node, out));
    assert_eq!((kind(launch), kind(fill)), (0, 2));
    // SAFETY: numbers of which zero is one.
    let mut told: KernelNodeParameters = unsafe { std::mem::zeroed() };
    ok(cuGraphKernelNodeGetParams_v2(launch, out(&mut told)));
    assert_eq!((told.function, told.context), (kernel, session.context));
    let KernelNodeParameters { grid, block, dynamic_shared, .. } = told;
    assert_eq!((grid, block, dynamic_shared), ([3, 1, 1], [32, 1, 1], 16));
    let no_launch = cuGraphKernelNodeGetParams_v2(fill, out(&mut told));
    assert_eq!(no_launch, Status::INVALID_VALUE);
    assert_eq!(cuGraphNodeGetType(graph, null()), Status::INVALID_HANDLE);
}

#[test]
fn arguments_are_those_of_the_capture() {
    let session = Session::new();
    let (stream, kernel) = (stream(), session.function("store_at"));
    let data = upload(&[0, 0]);
    let mut argument = data;
    ok(cuStreamBeginCapture_v2(stream, RELAXED));
    ok(launch_on(stream, kernel, (1, 1, 0), &[&argument]));
    argument += 4;
    let executable = ready(end(stream).expect("a graph"));
    assert_eq!(argument, data + 4);
    ok(cuGraphLaunch(executable, 0));
    assert_eq!(download(data, 2), [1, 0]);
}

#[test]
fn streams_join_a_capture_by_events() {
    let session = Session::with("adversarial=4");
    let module = session.module();
    let (add, twice) = (function(module, "add_one").unwrap(), function(module, "twice").unwrap());
    let (origin, branch) = (stream(), stream());
    let data = upload(&[3]);
    let (fork, join) = (event(), event());
    ok(cuStreamBeginCapture_v2(origin, GLOBAL));
    ok(launch_on(origin, add, (1, 1, 0), &[&data]));
    ok(cuEventRecord(fork, origin));
    ok(cuStreamWaitEvent(branch, fork, 0));
    assert_eq!(status_of(branch), 1);
    ok(launch_on(branch, twice, (1, 1, 0), &[&data]));
    ok(cuEventRecord(join, branch));
    ok(cuStreamWaitEvent(origin, join, 0));
    ok(launch_on(origin, add, (1, 1, 0), &[&data]));
    let graph = end(origin).expect("a graph");
    assert_eq!((status_of(branch), count(graph)), (0, 3));
    let executable = ready(graph);
    for value in [3, 9, 21] {
        assert_eq!(download(data, 1), [value]);
        ok(cuGraphLaunch(executable, origin));
        ok(cuStreamSynchronize(origin));
    }
    assert_eq!(cuEventQuery(join), Status::CAPTURED_EVENT);
    assert_eq!(cuStreamWaitEvent(origin, join, 0), Status::CAPTURED_EVENT);
    ok(cuEventRecord(join, branch));
    ok(cuEventSynchronize(join));
}

#[test]
fn a_graph_in_a_capture_becomes_part_of_it() {
    let session = Session::with("adversarial=1");
    let (stream, kernel, data) = (stream(), session.function("twice"), upload(&[1]));
    ok(cuStreamBeginCapture_v2(stream, RELAXED));
    ok(launch_on(stream, kernel, (1, 1, 0), &[&data]));
    let inner = ready(end(stream).expect("a graph"));
    ok(cuStreamBeginCapture_v2(stream, RELAXED));
    ok(cuMemsetD32Async(data, 10, 1, stream));
    ok(cuGraphLaunch(inner, stream));
    ok(cuGraphLaunch(inner, stream));
    let graph = end(stream).expect("a graph");
    assert_eq!(count(graph), 3);
    ok(cuGraphLaunch(ready(graph), stream));
    ok(cuStreamSynchronize(stream));
    assert_eq!(download(data, 1), [40]);
}

#[test]
fn looking_at_a_capturing_stream_spoils_the_capture() {
    let session = Session::new();
    let (stream, kernel) = (stream(), session.function("nothing"));
    for look in [cuStreamSynchronize, cuStreamQuery] {
        ok(cuStreamBeginCapture_v2(stream, RELAXED));
        assert_eq!(look(stream), Status::STREAM_CAPTURE_UNSUPPORTED);
        assert_eq!(status_of(stream), 2);
        let refused = launch_on(stream, kernel, (1, 1, 0), &[]);
        assert_eq!(refused, Status::STREAM_CAPTURE_INVALIDATED);
        assert_eq!(end(stream), Err(Status::STREAM_CAPTURE_INVALIDATED));
        ok(launch_on(stream, kernel, (1, 1, 0), &[]));
    }
    ok(cuStreamBeginCapture_v2(stream, RELAXED));
    assert_eq!(cuCtxSynchronize(), Status::STREAM_CAPTURE_UNSUPPORTED);
    assert_eq!(end(stream), Err(Status::STREAM_CAPTURE_INVALIDATED));
}

#[test]
fn modes_say_what_others_may_not_do() {
    let session = Session::new();
    let (stream, context) = (stream(), session.context);
    let allocate = || {
        let mut address = 0;
        let status = cuMemAlloc_v2(out(&mut address), 64);
        cuMemFree_v2(address);
        status
    };
    let elsewhere = || {
        let thread = std::thread::spawn(move || {
            ok(cuCtxSetCurrent(context));
            cuMemAlloc_v2(out(&mut 0), 64)
        });
        thread.join().expect("no panic")
    };
    let refused = Status::STREAM_CAPTURE_UNSUPPORTED;
    for (mode, here, there) in [
        (GLOBAL, refused, refused),
        (THREAD_LOCAL, refused, Status::SUCCESS),
        (RELAXED, Status::SUCCESS, Status::SUCCESS),
    ] {
        ok(cuStreamBeginCapture_v2(stream, mode));
        assert_eq!(elsewhere(), there);
        assert_eq!(end(stream).is_ok(), there == Status::SUCCESS);
        ok(cuStreamBeginCapture_v2(stream, mode));
        assert_eq!(allocate(), here);
        assert_eq!(end(stream).is_ok(), here == Status::SUCCESS);
    }
    ok(cuStreamBeginCapture_v2(stream, GLOBAL));
    let mut mode = RELAXED;
    // SAFETY: a place of the test's.
    ok(cuThreadExchangeStreamCaptureMode(unsafe { InOut::new(&mut mode) }));
    assert_eq!(mode, GLOBAL);
    ok(allocate());
    // SAFETY: as above.
    ok(cuThreadExchangeStreamCaptureMode(unsafe { InOut::new(&mut mode) }));
    assert_eq!(mode, RELAXED);
    assert!(end(stream).is_ok());
}

#[test]
fn captures_begin_and_end_where_they_should() {
    let session = Session::new();
    let (origin, branch, kernel) = (stream(), stream(), session.function("nothing"));
    assert_eq!(cuStreamBeginCapture_v2(0, GLOBAL), Status::STREAM_CAPTURE_UNSUPPORTED);
    assert_eq!(cuStreamBeginCapture_v2(origin, 3), Status::INVALID_VALUE);
    assert_eq!(end(origin), Err(Status::ILLEGAL_STATE));
    ok(cuStreamBeginCapture_v2(origin, THREAD_LOCAL));
    assert_eq!(cuStreamBeginCapture_v2(origin, GLOBAL), Status::ILLEGAL_STATE);
    let context = session.context;
    let other = std::thread::spawn(move || {
        ok(cuCtxSetCurrent(context));
        end(origin)
    });
    assert_eq!(other.join().expect("no panic"), Err(Status::STREAM_CAPTURE_WRONG_THREAD));
    assert_eq!(count(end(origin).expect("a graph")), 0);

    let fork = event();
    ok(cuStreamBeginCapture_v2(origin, GLOBAL));
    ok(launch_on(origin, kernel, (1, 1, 0), &[]));
    ok(cuEventRecord(fork, origin));
    ok(cuStreamWaitEvent(branch, fork, 0));
    ok(launch_on(branch, kernel, (1, 1, 0), &[]));
    assert_eq!(end(origin), Err(Status::STREAM_CAPTURE_UNJOINED));
    assert_eq!((status_of(origin), status_of(branch)), (0, 0));

    ok(cuStreamBeginCapture_v2(origin, GLOBAL));
    ok(cuEventRecord(fork, origin));
    ok(cuStreamWaitEvent(branch, fork, 0));
    assert_eq!(end(branch), Err(Status::STREAM_CAPTURE_UNMATCHED));
    assert_eq!(end(origin), Err(Status::STREAM_CAPTURE_INVALIDATED));
}

#[test]
fn captures_meet_nothing_from_outside() {
    let _session = Session::new();
    let (first, second, blocking) = (stream(), stream(), get(|out| cuStreamCreate(out, 0)));
    let (outside, inside) = (event(), event());
    ok(cuEventRecord(outside, second));
    ok(cuStreamBeginCapture_v2(first, RELAXED));
    assert_eq!(cuStreamWaitEvent(first, outside, 0), Status::STREAM_CAPTURE_ISOLATION);
    assert_eq!(end(first), Err(Status::STREAM_CAPTURE_INVALIDATED));

    ok(cuStreamBeginCapture_v2(first, RELAXED));
    ok(cuStreamBeginCapture_v2(second, RELAXED));
    ok(cuStreamWaitEvent(first, event(), 0));
    ok(cuEventRecord(inside, first));
    assert_eq!(cuStreamWaitEvent(second, inside, 0), Status::STREAM_CAPTURE_MERGE);
    assert_eq!(end(first), Err(Status::STREAM_CAPTURE_INVALIDATED));
    assert_eq!(end(second), Err(Status::STREAM_CAPTURE_INVALIDATED));

    let data = upload(&[0]);
    ok(cuStreamBeginCapture_v2(first, RELAXED));
    ok(cuMemsetD32_v2(data, 1, 1));
    assert!(end(first).is_ok());
    ok(cuStreamBeginCapture_v2(blocking, RELAXED));
    assert_eq!(cuMemsetD32_v2(data, 2, 1), Status::STREAM_CAPTURE_IMPLICIT);
    assert_eq!(end(blocking), Err(Status::STREAM_CAPTURE_INVALIDATED));
    assert_eq!(download(data, 1), [1]);
}

#[test]
fn what_cannot_be_replayed_is_not_recorded() {
    let _session = Session::new();
    let (stream, data, word) = (stream(), upload(&[0]), [1u32]);
    let host = word.as_ptr() as usize;
    ok(cuStreamBeginCapture_v2(stream, RELAXED));
    let copy = cuMemcpyHtoDAsync_v2(data, host, 4, stream);
    assert_eq!(copy, Status::STREAM_CAPTURE_UNSUPPORTED);
    assert!(report().contains("not pinned"), "{}", report());
    assert_eq!(cuMemAllocAsync(out(&mut 0), 4, stream), Status::NOT_SUPPORTED);
    let pinned = Pinned::new(&[1]);
    ok(cuMemcpyHtoDAsync_v2(data, pinned.0, 4, stream));
    let executable = ready(end(stream).expect("a graph"));
    ok(cuGraphLaunch(executable, stream));
    ok(cuMemFreeHost(pinned.0));
    assert_eq!(cuGraphLaunch(executable, stream), Status::INVALID_VALUE);
    assert!(report().contains("freed since its capture"), "{}", report());
}

#[test]
fn flags_of_instantiation() {
    let _session = Session::new();
    let stream = stream();
    ok(cuStreamBeginCapture_v2(stream, RELAXED));
    let graph = end(stream).expect("a graph");
    for flags in [0, 1, 8, 9] {
        get(|out| cuGraphInstantiateWithFlags(out, graph, flags));
    }
    let refused = |flags| cuGraphInstantiateWithFlags(out(&mut 0), graph, flags);
    assert_eq!(refused(5), Status::INVALID_VALUE);
    assert_eq!(refused(4), Status::NOT_SUPPORTED);
    assert_eq!(refused(16), Status::INVALID_VALUE);
    get(|out| cuGraphInstantiate_v2(out, graph, null(), null(), 0));
    let mut parameters =
        InstantiateParameters { flags: 0, upload_stream: 0, error_node: 9, result: 9 };
    // SAFETY: a place of the test's.
    let place = unsafe { InOut::new(&mut parameters) };
    let executable = get(|out| cuGraphInstantiateWithParams(out, graph, place));
    assert_eq!((parameters.error_node, parameters.result), (0, 0));
    ok(cuGraphLaunch(executable, stream));
}

#[test]
fn a_destroyed_stream_takes_its_capture_along() {
    let _session = Session::new();
    let (origin, branch, fork) = (stream(), stream(), event());
    ok(cuStreamBeginCapture_v2(origin, GLOBAL));
    ok(cuEventRecord(fork, origin));
    ok(cuStreamWaitEvent(branch, fork, 0));
    ok(cuStreamDestroy_v2(origin));
    assert_eq!(status_of(branch), 0);
    upload(&[1]);
}
