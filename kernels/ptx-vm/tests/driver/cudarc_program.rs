//! A program over unmodified cudarc, on the shared library that is loaded in place of NVIDIA's.

use std::sync::{Arc, OnceLock};

use cudarc::driver::{
    CudaContext, CudaFunction, CudaStream, DriverError, LaunchConfig, PushKernelArg, sys,
};
use cudarc::nvrtc::Ptx;
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

use crate::session::KERNELS;

/// Loads the library once, before cudarc looks for its own.
fn machine() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let program = std::env::current_exe().expect("the test has a path");
        let path = program.with_file_name("libptx_vm.so");
        // SAFETY: this crate's own library; its initialisers set up Rust's runtime and nothing else.
        let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_GLOBAL) };
        library.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    })
}

fn context() -> Arc<CudaContext> {
    machine();
    let context = CudaContext::new(0).expect("the machine");
    // SAFETY: each test uses one stream.
    unsafe { context.disable_event_tracking() };
    context
}

fn kernel(context: &Arc<CudaContext>, name: &str) -> CudaFunction {
    let module = context.load_module(Ptx::from_src(KERNELS)).expect("the kernels load");
    module.load_function(name).expect(name)
}

fn shape(blocks: u32, threads: u32) -> LaunchConfig {
    LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (threads, 1, 1), shared_mem_bytes: 0 }
}

fn add_one(
    stream: &Arc<CudaStream>,
    kernel: &CudaFunction,
    data: &mut cudarc::driver::CudaSlice<u32>,
) {
    let threads = data.len() as u32;
    // SAFETY: the kernel takes one address of as many words as there are threads.
    unsafe { stream.launch_builder(kernel).arg(data).launch(shape(1, threads)) }.expect("a launch");
}

#[test]
fn cudarc_finds_the_machine() {
    let context = context();
    assert_eq!(context.name().expect("a name"), "PTX machine (sm_90)");
    assert_eq!(context.compute_capability().expect("a capability"), (9, 0));
    assert!(context.has_async_alloc());
    assert_eq!(context.total_mem().expect("memory"), 8 << 30);
    assert_eq!(context.uuid().expect("an identity").bytes.map(|b| b as u8), *b"PTX-MACHINE-0000");
}

#[test]
fn cudarc_loads_launches_and_copies() -> Result<(), DriverError> {
    let context = context();
    let stream = context.new_stream()?;
    let scale = kernel(&context, "scale");
    let values: Vec<f32> = (0..1000).map(|i| i as f32).collect();
    // SAFETY: every element is written before it is read.
    let mut pinned = unsafe { context.alloc_pinned::<f32>(1000) }?;
    pinned.as_mut_slice()?.copy_from_slice(&values);
    let mut inp = stream.alloc_zeros::<f32>(1000)?;
    stream.memcpy_htod(&pinned, &mut inp)?;
    let mut out = stream.alloc_zeros::<f32>(1000)?;
    let (factor, count) = (0.25f32, 1000u32);
    let start = stream.record_event(Some(sys::CUevent_flags::CU_EVENT_DEFAULT))?;
    let mut launch = stream.launch_builder(&scale);
    launch.arg(&mut out).arg(&inp).arg(&factor).arg(&count);
    // SAFETY: these are the kernel's parameters, and both buffers have `count` elements.
    unsafe { launch.launch(shape(8, 128)) }?;
    let end = stream.record_event(Some(sys::CUevent_flags::CU_EVENT_DEFAULT))?;
    assert!(start.elapsed_ms(&end)? > 0.0);
    stream.memcpy_dtoh(&out, &mut pinned)?;
    stream.synchronize()?;
    let expected: Vec<f32> = values.iter().map(|v| v * 0.25).collect();
    assert_eq!(pinned.as_slice()?, expected);
    assert_eq!(stream.clone_dtoh(&out)?, expected);
    Ok(())
}

#[test]
fn cudarc_captures_and_replays() -> Result<(), DriverError> {
    let context = context();
    let stream = context.new_stream()?;
    let kernel = kernel(&context, "add_one");
    let mut data = stream.clone_htod(&[10u32; 32])?;
    stream.begin_capture(sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)?;
    add_one(&stream, &kernel, &mut data);
    add_one(&stream, &kernel, &mut data);
    let graph = stream.end_capture(sys::CUgraphInstantiate_flags(0))?.expect("a graph");
    graph.upload()?;
    assert_eq!(stream.clone_dtoh(&data)?, [10; 32]);
    for _ in 0..3 {
        graph.launch()?;
    }
    stream.synchronize()?;
    assert_eq!(stream.clone_dtoh(&data)?, [16; 32]);
    Ok(())
}

#[test]
fn cudarc_is_told_what_went_wrong() -> Result<(), DriverError> {
    let context = context();
    let stream = context.new_stream()?;
    let kernel = kernel(&context, "add_one");
    let mut data = stream.clone_htod(&[0u32; 16])?;
    // SAFETY: twice as many threads as words is what the machine is to find.
    let launched = unsafe { stream.launch_builder(&kernel).arg(&mut data).launch(shape(1, 32)) };
    let run = launched.and_then(|_| stream.synchronize());
    let error = run.expect_err("an access beyond the end");
    assert_eq!(error.0, sys::CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
    assert!(format!("{error:?}").contains("an illegal memory access was encountered"));
    type LastReport = unsafe extern "C" fn(*mut u8, usize) -> usize;
    let mut text = vec![0u8; 4096];
    // SAFETY: the library's function of this type; 4096 bytes.
    let length = unsafe {
        let last_report = machine().get::<LastReport>(b"ptxvm_last_report\0").expect("it is there");
        last_report(text.as_mut_ptr(), text.len())
    };
    let report = String::from_utf8_lossy(&text[..length]);
    assert!(report.contains("OutOfBounds in kernel add_one"), "{report}");
    assert!(report.contains("thread (16, 0, 0)"), "{report}");
    let wrong = context.load_module(Ptx::from_src("not PTX")).expect_err("no PTX");
    assert_eq!(wrong.0, sys::CUresult::CUDA_ERROR_INVALID_PTX);
    add_one(&stream, &kernel, &mut data);
    assert_eq!(stream.clone_dtoh(&data)?, [1; 16]);
    Ok(())
}

#[test]
fn cudarc_orders_streams_by_itself() -> Result<(), DriverError> {
    machine();
    let context = CudaContext::new(0)?;
    let (first, second) = (context.new_stream()?, context.new_stream()?);
    let kernel = kernel(&context, "add_one");
    let mut data = first.clone_htod(&[1u32; 32])?;
    for round in 0..10 {
        add_one(if round % 2 == 0 { &first } else { &second }, &kernel, &mut data);
    }
    assert_eq!(second.clone_dtoh(&data)?, [11; 32]);
    Ok(())
}
