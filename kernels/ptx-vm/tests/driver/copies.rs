//! Memory and copies.

use ptx_vm::driver::Status;
use ptx_vm::driver::entry::*;

use crate::session::*;

#[test]
fn bytes_go_there_and_back() {
    let _session = Session::new();
    let words: Vec<u32> = (0..1000).map(|i| i * 7).collect();
    let (first, second) = (upload(&words), upload(&[0; 1000]));
    ok(cuMemcpyDtoD_v2(second + 400, first, 2000));
    assert_eq!(download(second + 400, 500), words[..500]);
    assert_eq!(download(second, 100), [0; 100]);
    let unified = second + 4;
    ok(cuMemcpy(unified, words.as_ptr() as u64, 8));
    assert_eq!(download(second, 3), [0, 0, 7]);
}

#[test]
fn ranges_are_checked_when_the_call_is_made() {
    let _session = Session::new();
    let (address, word) = (upload(&[1, 2]), [0u32; 4]);
    let host = word.as_ptr() as usize;
    let refused = Status::INVALID_VALUE;
    ok(cuMemcpyDtoH_v2(host, address, 8));
    assert_eq!(cuMemcpyDtoH_v2(host, address, 12), refused);
    assert!(report().contains("run over the end"), "{}", report());
    assert_eq!(cuMemcpyDtoH_v2(host, address + 4, 8), refused);
    assert_eq!(cuMemcpyHtoD_v2(0, host, 4), refused);
    assert_eq!(cuMemcpyHtoD_v2(address, 0, 4), refused);
    assert_eq!(cuMemcpyDtoDAsync_v2(address, address + 4, 4, 0), Status::SUCCESS);
    assert_eq!(cuMemcpyDtoD_v2(address, address + 2, 4), refused);
    assert_eq!(cuMemsetD8_v2(address + 1, 0, 8), refused);
    assert_eq!(cuMemsetD32_v2(address + 2, 0, 1), refused);
    ok(cuMemcpyHtoD_v2(address, 0, 0));
    ok(cuMemFree_v2(address));
    assert_eq!(cuMemcpyDtoH_v2(host, address, 4), refused);
    assert_eq!(cuMemFree_v2(address), refused);
    assert!(report().contains("not the start of a live allocation"), "{}", report());
}

#[test]
fn fills_of_every_width() {
    let _session = Session::new();
    let address = upload(&[0; 4]);
    ok(cuMemsetD8_v2(address + 1, 0xab, 2));
    ok(cuMemsetD16_v2(address + 4, 0x1234, 2));
    ok(cuMemsetD32Async(address + 8, 0xdead_beef, 1, 0));
    assert_eq!(download(address, 4), [0x00ab_ab00, 0x1234_1234, 0xdead_beef, 0]);
    ok(cuMemsetD2D8_v2(address, 8, 0xff, 1, 2));
    assert_eq!(download(address, 4), [0x00ab_abff, 0x1234_1234, 0xdead_beff, 0]);
    assert_eq!(cuMemsetD2D32_v2(address, 4, 0, 2, 2), Status::INVALID_VALUE);
}

#[test]
fn rectangles() {
    let _session = Session::new();
    let words: Vec<u32> = (0..16).collect();
    let address = upload(&words);
    let mut small = [0u32; 4];
    let nothing = Rectangle {
        from_x: 0,
        from_y: 0,
        from_kind: 0,
        from_host: 0,
        from_device: 0,
        from_array: 0,
        from_pitch: 0,
        to_x: 0,
        to_y: 0,
        to_kind: 0,
        to_host: 0,
        to_device: 0,
        to_array: 0,
        to_pitch: 0,
        width: 8,
        height: 2,
    };
    let middle = Rectangle {
        from_x: 4,
        from_y: 1,
        from_kind: 2,
        from_device: address,
        from_pitch: 16,
        to_kind: 1,
        to_host: small.as_mut_ptr() as usize,
        ..nothing
    };
    ok(cuMemcpy2D_v2(input(&[middle])));
    assert_eq!(small, [5, 6, 9, 10]);
    let last = Rectangle { from_y: 3, ..middle };
    assert_eq!(cuMemcpy2D_v2(input(&[last])), Status::INVALID_VALUE);
    assert_eq!(
        cuMemcpy2D_v2(input(&[Rectangle { from_kind: 3, ..middle }])),
        Status::NOT_SUPPORTED
    );
    assert_eq!(cuMemcpy2D_v2(input(&[nothing])), Status::INVALID_VALUE);
    assert_eq!(size_of::<Rectangle>(), 128);
}

#[test]
fn memory_in_stream_order() {
    let _session = Session::new();
    let stream = stream();
    let address: u64 = get(|out| cuMemAllocAsync(out, 64, stream));
    ok(cuMemsetD32Async(address, 5, 16, stream));
    ok(cuMemFreeAsync(address, stream));
    ok(cuStreamSynchronize(stream));
    assert_eq!(cuMemFreeAsync(address, stream), Status::INVALID_VALUE);
    assert_eq!(get(|out| cuMemAllocAsync(out, 0, stream)), 0u64);
    ok(cuMemFreeAsync(0, stream));
    let pool = get(|out| cuDeviceGetDefaultMemPool(out, 0));
    let address: u64 = get(|out| cuMemAllocFromPoolAsync(out, 64, pool, stream));
    let mut used = 0u64;
    ok(cuMemPoolGetAttribute(pool, 7, out(&mut used).cast()));
    assert_eq!(used, 64);
    ok(cuMemFree_v2(address));
}

#[test]
fn the_device_runs_out_of_memory() {
    let _session = Session::new();
    assert_eq!(cuMemAlloc_v2(out(&mut 0), 9 << 30), Status::OUT_OF_MEMORY);
    assert_eq!(cuMemAlloc_v2(out(&mut 0), 0), Status::INVALID_VALUE);
    let before = get(|free| cuMemGetInfo_v2(free, out(&mut 0)));
    let large: u64 = get(|out| cuMemAlloc_v2(out, 5 << 30));
    assert_eq!(cuMemAlloc_v2(out(&mut 0), 5 << 30), Status::OUT_OF_MEMORY);
    ok(cuMemFree_v2(large));
    assert_eq!(get(|free| cuMemGetInfo_v2(free, out(&mut 0))), before);
}

#[test]
fn addresses_are_known_by_what_they_point_to() {
    let session = Session::new();
    let address = upload(&[0; 8]);
    let mut pinned = Pinned::new(&[3; 4]);
    let kind = |at: u64| {
        let mut kind = 0u32;
        (cuPointerGetAttribute(out(&mut kind).cast(), 2, at), kind)
    };
    assert_eq!(kind(address + 31), (Status::SUCCESS, 2));
    assert_eq!(kind(address + 32), (Status::INVALID_VALUE, 0));
    assert_eq!(kind(pinned.0 as u64), (Status::SUCCESS, 1));
    assert_eq!(kind(&session as *const _ as u64), (Status::INVALID_VALUE, 0));
    let (mut base, mut size) = (0u64, 0usize);
    ok(cuMemGetAddressRange_v2(out(&mut base), out(&mut size), address + 9));
    assert_eq!((base, size), (address, 32));
    assert_eq!(get(|out| cuMemHostGetFlags(out, pinned.0)), 0);
    assert_eq!(pinned.words(), [3; 4]);
    ok(cuMemFreeHost(pinned.0));
    assert_eq!(cuMemFreeHost(pinned.0), Status::INVALID_VALUE);
}

#[test]
fn host_memory_can_be_registered() {
    let _session = Session::new();
    let words = [1u32, 2, 3];
    let at = words.as_ptr() as usize;
    ok(cuMemHostRegister_v2(at, 12, 0));
    assert_eq!(cuMemHostRegister_v2(at + 8, 12, 0), Status::HOST_MEMORY_ALREADY_REGISTERED);
    assert_eq!(cuMemFreeHost(at), Status::INVALID_VALUE);
    ok(cuMemHostUnregister(at));
    assert_eq!(cuMemHostUnregister(at), Status::HOST_MEMORY_NOT_REGISTERED);
}

#[test]
fn what_the_machine_has_not_says_so() {
    let _session = Session::new();
    assert_eq!(cuMemAllocManaged(out(&mut 0), 64, 1), Status::NOT_SUPPORTED);
    assert_eq!(cuMemHostGetDevicePointer_v2(out(&mut 0), 0, 0), Status::NOT_SUPPORTED);
    assert_eq!(cuCtxEnablePeerAccess(0, 0), Status::PEER_ACCESS_UNSUPPORTED);
}
