//! Launches: arguments, limits, attributes.

use ptx_vm::driver::entry::*;
use ptx_vm::driver::{Handle, Status};

use crate::session::*;

const MOST_DYNAMIC: u32 = 8;

fn attribute(function: Handle, number: u32) -> i32 {
    get(|out| cuFuncGetAttribute(out, number, function))
}

#[test]
fn a_kernel_computes() {
    let session = Session::new();
    let scale = session.function("scale");
    let inp: Vec<u32> = (0..100).map(|i| (i as f32).to_bits()).collect();
    let (from, to) = (upload(&inp), upload(&[7; 101]));
    ok(launch(scale, 4, 32, &[&to, &from, &1.5f32, &100u32]));
    let found = download(to, 101);
    let expected: Vec<u32> = (0..100).map(|i| (i as f32 * 1.5).to_bits()).collect();
    assert_eq!(found[..100], expected);
    assert_eq!(found[100], 7);
}

#[test]
fn arguments_come_in_a_buffer_too() {
    let session = Session::new();
    let (mixed, data) = (session.function("mixed"), upload(&[0; 4]));
    let values: [&dyn Bytes; 5] = [&data, &200u8, &0xdead_beefu32, &50_000u16, &(u64::MAX - 1)];
    ok(launch(mixed, 1, 1, &values));
    let expected = [50_200, 0xdead_beef, 0xffff_fffe, 0xffff_ffff];
    assert_eq!(download(data, 4), expected);
    ok(cuMemsetD32_v2(data, 0, 4));

    // As the parameters lie: u64 at 0, u8 at 8, u32 at 12, u16 at 16, u64 at 24.
    let mut buffer = [0u8; 32];
    for (at, value) in [0, 8, 12, 16, 24].into_iter().zip(values) {
        let bytes = value.bytes();
        buffer[at..at + bytes.len()].copy_from_slice(&bytes);
    }
    let with_size = |size: usize| {
        let extra = [1, buffer.as_ptr() as usize, 2, &raw const size as usize, 0];
        cuLaunchKernel(mixed, 1, 1, 1, 1, 1, 1, 0, 0, no_input(), input(&extra))
    };
    ok(with_size(32));
    assert_eq!(download(data, 4), expected);
    assert_eq!(with_size(24), Status::INVALID_VALUE);
    assert!(report().contains("24 bytes of arguments; the kernel takes 32"), "{}", report());
    let none = cuLaunchKernel(mixed, 1, 1, 1, 1, 1, 1, 0, 0, no_input(), no_input());
    assert_eq!(none, Status::INVALID_VALUE);
    let holes = [no_input(); 5];
    let none = cuLaunchKernel(mixed, 1, 1, 1, 1, 1, 1, 0, 0, input(&holes), no_input());
    assert_eq!(none, Status::INVALID_VALUE);
    assert!(report().contains("argument 0 is null"), "{}", report());
}

#[test]
fn parameters_can_be_asked_for() {
    let session = Session::new();
    let mixed = session.function("mixed");
    let place = |index| {
        let (mut offset, mut size) = (0, 0);
        let status = cuFuncGetParamInfo(mixed, index, out(&mut offset), out(&mut size));
        (status, offset, size)
    };
    assert_eq!(place(2), (Status::SUCCESS, 12, 4));
    assert_eq!(place(4), (Status::SUCCESS, 24, 8));
    assert_eq!(place(5).0, Status::INVALID_VALUE);
}

#[test]
fn grids_and_blocks_have_limits() {
    let session = Session::new();
    let module = session.module();
    let nothing = function(module, "nothing").unwrap();
    let small = function(module, "small_blocks").unwrap();
    let shape = |grid: [u32; 3], block: [u32; 3]| {
        let ([gx, gy, gz], [bx, by, bz]) = (grid, block);
        cuLaunchKernel(nothing, gx, gy, gz, bx, by, bz, 0, 0, no_input(), no_input())
    };
    ok(shape([3, 2, 2], [2, 2, 64]));
    ok(shape([1, 1, 1], [1024, 1, 1]));
    for (grid, block) in [
        ([0, 1, 1], [1, 1, 1]),
        ([1, 1, 1], [1, 0, 1]),
        ([1, 65_536, 1], [1, 1, 1]),
        ([1, 1, 1], [1025, 1, 1]),
        ([1, 1, 1], [1, 1, 65]),
        ([1, 1, 1], [64, 64, 1]),
    ] {
        assert_eq!(shape(grid, block), Status::INVALID_VALUE, "{grid:?} {block:?}");
    }
    ok(launch(small, 1, 64, &[&0u64]));
    assert_eq!(launch(small, 1, 65, &[&0u64]), Status::LAUNCH_OUT_OF_RESOURCES);
    assert_eq!((attribute(small, 0), attribute(nothing, 0)), (64, 1024));
}

#[test]
fn shared_memory_beyond_48_kib_is_asked_for_first() {
    let session = Session::new();
    let (kernel, data) = (session.function("use_shared"), upload(&[0]));
    assert_eq!((attribute(kernel, 1), attribute(kernel, MOST_DYNAMIC)), (64, 49_152 - 64));
    let with = |bytes: u32| launch_on(0, kernel, (1, 1, bytes), &[&data, &bytes]);
    ok(with(49_152 - 64));
    assert_eq!(download(data, 1), [42]);
    assert_eq!(with(49_152), Status::INVALID_VALUE);
    assert!(report().contains("cuFuncSetAttribute"), "{}", report());
    ok(cuFuncSetAttribute(kernel, MOST_DYNAMIC, 100_000));
    ok(with(100_000));
    assert_eq!(with(100_016), Status::INVALID_VALUE);
    ok(cuFuncSetAttribute(kernel, MOST_DYNAMIC, 232_448 - 64));
    ok(with(232_448 - 64));
    let beyond = cuFuncSetAttribute(kernel, MOST_DYNAMIC, 232_448 - 63);
    assert_eq!(beyond, Status::INVALID_VALUE);
    assert_eq!(cuFuncSetAttribute(kernel, MOST_DYNAMIC, -1), Status::INVALID_VALUE);
}

#[test]
fn launches_with_attributes() {
    let session = Session::new();
    let (kernel, data) = (session.function("store_at"), upload(&[0]));
    let bytes = data.bytes();
    let each = [input(&bytes)];
    let with = |id: u32, first: u32| {
        let mut value = [0; 16];
        value[..3].copy_from_slice(&[first, 1, 1]);
        let attributes = [LaunchAttribute { id, padding: 0, value }];
        let config = LaunchConfig {
            grid: [1; 3],
            block: [1; 3],
            dynamic_shared: 0,
            stream: 0,
            attributes: input(&attributes),
            attribute_count: 1,
        };
        cuLaunchKernelEx(input(&[config]), kernel, input(&each), no_input())
    };
    ok(with(8, 0));
    assert_eq!(download(data, 1), [1]);
    ok(with(4, 1));
    assert_eq!(with(4, 2), Status::NOT_SUPPORTED);
    assert_eq!(with(2, 1), Status::NOT_SUPPORTED);
    assert_eq!((size_of::<LaunchConfig>(), size_of::<LaunchAttribute>()), (56, 72));
}

#[test]
fn occupancy_comes_from_the_limits() {
    let session = Session::new();
    let module = session.module();
    let (nothing, shared) =
        (function(module, "nothing").unwrap(), function(module, "use_shared").unwrap());
    let blocks = |function, threads, dynamic| {
        get(|out| cuOccupancyMaxActiveBlocksPerMultiprocessor(out, function, threads, dynamic))
    };
    // 2048 threads; 32 blocks; 228 KiB of shared memory, 1 KiB of each block the system's.
    assert_eq!(blocks(nothing, 1024, 0), 2);
    assert_eq!(blocks(nothing, 32, 0), 32);
    assert_eq!(blocks(nothing, 128, 0), 16);
    assert_eq!(blocks(shared, 128, 75 << 10), 2);
    assert_eq!(blocks(shared, 128, (75 << 10) - 64), 3);
    assert_eq!(blocks(nothing, 2048, 0), 0);
    let (mut grid, mut block) = (0, 0);
    ok(cuOccupancyMaxPotentialBlockSize(out(&mut grid), out(&mut block), nothing, None, 0, 0));
    assert_eq!((grid, block), (264, 1024));
    let room = get(|out| cuOccupancyAvailableDynamicSMemPerBlock(out, shared, 3, 128));
    assert_eq!(blocks(shared, 128, room), 3);
    assert_eq!(blocks(shared, 128, room + 128), 2);
}

#[test]
fn counts_of_launches() {
    let session = Session::with("counts=1");
    let (kernel, data) = (session.function("add_one"), upload(&[0; 32]));
    ok(ptxvm_reset_counts());
    ok(launch(kernel, 1, 32, &[&data]));
    ok(launch(kernel, 1, 16, &[&data]));
    let mut json = vec![0u8; 1 << 16];
    // SAFETY: that many bytes.
    let length = ptxvm_counts(unsafe { Out::new(json.as_mut_ptr()) }, json.len());
    let json = String::from_utf8(json[..length].to_vec()).expect("UTF-8");
    for part in [
        "{\"kernels\":[{\"kernel\":\"add_one\",\"launches\":2,",
        "\"loads\":{\"requests\":2,\"bytes\":192,\"sectors\":6}",
        "\"store\":{\"warps\":2,\"lanes\":48}",
        "\"text\":\"ld.global.u32 \\t%r2, [%rd3];\"",
        "\"sectors_in_cache\":4,\"calls\":2}",
    ] {
        assert!(json.contains(part), "{part} is not in {json}");
    }
    assert_eq!(ptxvm_counts(null(), 0), length);
    ok(ptxvm_reset_counts());
    let nothing = "{\"kernels\":[],\"sectors_in_cache\":4,\"calls\":0}";
    assert_eq!(ptxvm_counts(null(), 0), nothing.len());
}

#[test]
fn matrix_products_are_counted_by_their_operations() {
    let _session = Session::with("counts=1");
    ok(ptxvm_reset_counts());
    let text = "\
.version 8.0
.target sm_80
.address_size 64
.visible .entry product()
{
	.reg .b32 	%r<2>;
	.reg .f32 	%f<2>;
	mov.u32 	%r1, 0;
	mov.f32 	%f1, 0f00000000;
	mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f1, %f1, %f1, %f1}, {%r1, %r1, %r1, %r1}, {%r1, %r1}, {%f1, %f1, %f1, %f1};
	ret;
}
";
    let kernel = function(load(text).expect("it loads"), "product").expect("it is there");
    ok(launch(kernel, 3, 64, &[]));
    let mut json = vec![0u8; 1 << 14];
    // SAFETY: that many bytes.
    let length = ptxvm_counts(unsafe { Out::new(json.as_mut_ptr()) }, json.len());
    let json = String::from_utf8_lossy(&json[..length]).into_owned();
    // Six warps, 16 x 8 x 16 products and sums each.
    assert!(json.contains(&format!("\"tensor_operations\":{}", 6 * 2 * 16 * 8 * 16)), "{json}");
}
