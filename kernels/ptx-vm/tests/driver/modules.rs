//! Modules.

use ptx_vm::driver::Status;
use ptx_vm::driver::entry::*;

use crate::session::*;

#[test]
fn variables_of_a_module_have_addresses() {
    let session = Session::new();
    let module = session.module();
    let (mut address, mut bytes) = (0, 0);
    let text = c("counter");
    ok(cuModuleGetGlobal_v2(out(&mut address), out(&mut bytes), module, name(&text)));
    assert_eq!(bytes, 8);
    assert_eq!(download(address, 2), [7, 9]);
    let (reader, result) = (function(module, "read_variables").unwrap(), upload(&[0]));
    ok(launch(reader, 1, 1, &[&result]));
    assert_eq!(download(result, 1), [704]);
    ok(cuMemsetD32_v2(address, 3, 1));
    ok(launch(reader, 1, 1, &[&result]));
    assert_eq!(download(result, 1), [304]);
    let other = c("counters");
    let missing = cuModuleGetGlobal_v2(out(&mut 0), out(&mut 0), module, name(&other));
    assert_eq!(missing, Status::NOT_FOUND);
    ok(cuModuleUnload(module));
    assert_eq!(cuMemcpyHtoD_v2(address, &raw const bytes as usize, 4), Status::INVALID_VALUE);
    assert_eq!(launch(reader, 1, 1, &[&result]), Status::INVALID_HANDLE);
}

#[test]
fn functions_are_the_same_each_time() {
    let session = Session::new();
    let module = session.module();
    let first = function(module, "scale").expect("it is there");
    assert_eq!(function(module, "scale"), Ok(first));
    assert_eq!(function(module, "scales"), Err(Status::NOT_FOUND));
    assert_eq!(get(|out| cuFuncGetModule(out, first)), module);
    assert_eq!(get(|out| cuModuleGetFunctionCount(out, module)), 10);
}

#[test]
fn a_wrong_text_is_refused_with_its_line() {
    let _session = Session::new();
    let text = KERNELS.replace("shl.b32", "shll.b32");
    assert_eq!(load(&text), Err(Status::INVALID_PTX));
    let line = 1 + text.lines().position(|l| l.contains("shll")).expect("one line");
    assert!(report().contains(&format!("PTX line {line}")), "{}", report());
    assert_eq!(load(""), Err(Status::INVALID_PTX));
    let newer = KERNELS.replace(".target sm_80", ".target sm_100");
    assert_eq!(load(&newer), Err(Status::INVALID_PTX));
    assert!(report().contains("the text is for sm_100, the device is sm_90"), "{}", report());
    load(&KERNELS.replace(".target sm_80", ".target sm_90a")).expect("its own");
    assert_eq!(load(&KERNELS.replace(".target sm_80", ".target sm_80a")), Err(Status::INVALID_PTX));
    let (mut free, mut total) = (0, 0);
    ok(cuMemGetInfo_v2(out(&mut free), out(&mut total)));
    assert!(total - free <= 1024, "what refused modules took is given back");
}

#[test]
fn compiled_images_are_told_from_texts() {
    let _session = Session::new();
    for start in ["\x7fELF", "\u{80}"] {
        let refused = load(start).expect_err("no text");
        let expected =
            if start.starts_with('\x7f') { Status::NO_BINARY_FOR_GPU } else { Status::INVALID_PTX };
        assert_eq!(refused, expected);
    }
    let image = [0x50u8, 0xed, 0x55, 0xba, 1, 0];
    // SAFETY: six bytes, the last a zero.
    let image = unsafe { Name::new(image.as_ptr().cast()) };
    assert_eq!(cuModuleLoadData(out(&mut 0), image), Status::NO_BINARY_FOR_GPU);
    assert!(report().contains("runs PTX texts"), "{}", report());
    let path = c("/nowhere/kernel.ptx");
    assert_eq!(cuModuleLoad(out(&mut 0), name(&path)), Status::FILE_NOT_FOUND);
    let path = c(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/driver/kernels.ptx"));
    assert!(get(|out| cuModuleLoad(out, name(&path))) > 0);
}

#[test]
fn the_log_of_a_failed_load_is_the_callers() {
    let _session = Session::new();
    let text = c(&KERNELS.replace("shl.b32", "shll.b32"));
    let mut log = [1u8; 40];
    let keys = [5u32, 6];
    let mut values = [log.as_mut_ptr() as usize, log.len()];
    // SAFETY: two values.
    let place = unsafe { InOut::new(values.as_mut_ptr()) };
    let status = cuModuleLoadDataEx(out(&mut 0), name(&text), 2, input(&keys), place);
    assert_eq!(status, Status::INVALID_PTX);
    assert_eq!(values[1], 39);
    assert!(log.starts_with(b"module: PTX line "));
    assert_eq!(log[39], 0);
    // SAFETY: null is allowed.
    let nowhere = unsafe { InOut::new(std::ptr::null_mut()) };
    let status = cuModuleLoadDataEx(out(&mut 0), name(&text), 2, input(&keys), nowhere);
    assert_eq!(status, Status::INVALID_VALUE);
}
