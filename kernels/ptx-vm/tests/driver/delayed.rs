//! Work that runs as late as it may: what is not synchronised shows.

use ptx_vm::driver::Status;
use ptx_vm::driver::entry::*;

use crate::session::*;

const NOT_YET: u32 = 0xa5a5_a5a5;

#[test]
fn results_are_there_after_a_synchronisation_only() {
    let session = Session::with("adversarial=1");
    let (kernel, stream) = (session.function("add_one"), stream());
    let (data, mut pinned) = (upload(&[1; 8]), Pinned::new(&[2; 8]));
    ok(launch_on(stream, kernel, (1, 8, 0), &[&data]));
    ok(cuMemcpyDtoHAsync_v2(pinned.0, data, 32, stream));
    assert_eq!(pinned.words(), [NOT_YET; 8]);
    ok(cuStreamSynchronize(stream));
    assert_eq!(pinned.words(), [2; 8]);
}

#[test]
fn a_pinned_source_is_read_late_and_another_at_once() {
    let _session = Session::with("adversarial=1");
    let (stream, data) = (stream(), upload(&[0; 2]));
    let (mut pinned, mut pageable) = (Pinned::new(&[1]), vec![1u32]);
    ok(cuMemcpyHtoDAsync_v2(data, pinned.0, 4, stream));
    ok(cuMemcpyHtoDAsync_v2(data + 4, pageable.as_ptr() as usize, 4, stream));
    pinned.words()[0] = 9;
    pageable[0] = 9;
    ok(cuStreamSynchronize(stream));
    assert_eq!(download(data, 2), [9, 1]);
}

#[test]
fn a_copy_to_pageable_memory_has_ended_with_the_call() {
    let session = Session::with("adversarial=1");
    let (kernel, stream, data) = (session.function("add_one"), stream(), upload(&[1]));
    ok(launch_on(stream, kernel, (1, 1, 0), &[&data]));
    let mut word = [0u32];
    ok(cuMemcpyDtoHAsync_v2(word.as_mut_ptr() as usize, data, 4, stream));
    assert_eq!(word, [2]);
}

#[test]
fn only_events_order_streams() {
    let session = Session::with("adversarial=1");
    let module = session.module();
    let (add, twice) = (function(module, "add_one").unwrap(), function(module, "twice").unwrap());
    let (first, second, between) = (stream(), stream(), event());
    for (ordered, expected) in [(true, 12), (false, 10)] {
        let data = upload(&[5]);
        ok(launch_on(first, add, (1, 1, 0), &[&data]));
        ok(cuEventRecord(between, first));
        if ordered {
            ok(cuStreamWaitEvent(second, between, 0));
        }
        ok(launch_on(second, twice, (1, 1, 0), &[&data]));
        ok(cuStreamSynchronize(second));
        // A copy through the legacy stream would wait for neither: both streams are non-blocking.
        let found = download(data, 1);
        assert_eq!(found, [expected], "ordered: {ordered}");
        ok(cuCtxSynchronize());
    }
}

#[test]
fn the_legacy_stream_orders_blocking_streams() {
    let session = Session::with("adversarial=1");
    let module = session.module();
    let (add, twice) = (function(module, "add_one").unwrap(), function(module, "twice").unwrap());
    let (blocking, other) = (get(|out| cuStreamCreate(out, 0)), get(|out| cuStreamCreate(out, 0)));
    let data = upload(&[5]);
    ok(launch_on(blocking, add, (1, 1, 0), &[&data]));
    ok(launch_on(0, twice, (1, 1, 0), &[&data]));
    ok(launch_on(other, add, (1, 1, 0), &[&data]));
    ok(cuStreamSynchronize(other));
    assert_eq!(download(data, 1), [13]);
}

#[test]
fn who_polls_gets_there() {
    let session = Session::with("adversarial=1");
    let (kernel, stream, data) = (session.function("add_one"), stream(), upload(&[0]));
    let end = event();
    for _ in 0..3 {
        ok(launch_on(stream, kernel, (1, 1, 0), &[&data]));
    }
    ok(cuEventRecord(end, stream));
    let mut asked = 0;
    while cuEventQuery(end) == Status::NOT_READY {
        asked += 1;
    }
    assert_eq!(asked, 4);
    ok(cuEventQuery(end));
    assert_eq!(cuEventElapsedTime(out(&mut 0.0), end, end), Status::SUCCESS);
    assert_eq!(download(data, 1), [3]);
}

#[test]
fn memory_freed_in_order_is_gone_for_later_work() {
    let session = Session::with("adversarial=1");
    let (kernel, stream, late) = (session.function("store_at"), stream(), self::stream());
    let data: u64 = get(|out| cuMemAllocAsync(out, 4, stream));
    ok(launch_on(stream, kernel, (1, 1, 0), &[&data]));
    ok(cuMemFreeAsync(data, stream));
    assert_eq!(
        cuMemcpyHtoDAsync_v2(data, &raw const data as usize, 4, late),
        Status::INVALID_VALUE
    );
    ok(cuStreamSynchronize(stream));
    ok(launch_on(late, kernel, (1, 1, 0), &[&data]));
    assert_eq!(cuStreamSynchronize(late), Status::ILLEGAL_ADDRESS);
    assert!(report().contains("freed"), "{}", report());
}

#[test]
fn the_queue_has_an_end() {
    let session = Session::with("adversarial=1");
    let (kernel, stream, data) = (session.function("add_one"), stream(), upload(&[0]));
    for _ in 0..1100 {
        ok(launch_on(stream, kernel, (1, 1, 0), &[&data]));
    }
    let waiting = 1100 - download(data, 1)[0];
    assert_eq!(waiting, 1024);
    ok(cuCtxSynchronize());
    assert_eq!(download(data, 1), [1100]);
}

#[test]
fn freeing_pinned_memory_waits_for_its_copies() {
    let _session = Session::with("adversarial=1");
    let (stream, data) = (stream(), upload(&[0; 1000]));
    let pinned = Pinned::new(&[6; 1000]);
    ok(cuMemcpyHtoDAsync_v2(data, pinned.0, 4000, stream));
    ok(cuMemFreeHost(pinned.0));
    assert_eq!(download(data, 1000), [6; 1000]);
}
