//! Kernels that break rules: the code, the report, and what comes after.

use ptx_vm::driver::Status;
use ptx_vm::driver::entry::*;

use crate::session::*;

#[test]
fn each_fault_has_its_code_and_its_report() {
    let session = Session::new();
    let module = session.module();
    let kernel = |name| function(module, name).expect(name);
    let data = upload(&[0, 0]);
    let freed = upload(&[0]);
    ok(cuMemFree_v2(freed));
    let unwritten: u64 = get(|out| cuMemAlloc_v2(out, 64));
    for (name, argument, expected, part) in [
        ("store_at", data + 8, Status::ILLEGAL_ADDRESS, "OutOfBounds in kernel store_at"),
        ("store_at", 0, Status::ILLEGAL_ADDRESS, "OutOfBounds in kernel store_at"),
        ("store_at", data + 2, Status::MISALIGNED_ADDRESS, "Misaligned in kernel store_at"),
        ("add_one", unwritten, Status::LAUNCH_FAILED, "Unwritten in kernel add_one"),
        ("traps", 0, Status::LAUNCH_FAILED, "Trap in kernel traps"),
    ] {
        assert_eq!(launch(kernel(name), 1, 1, &[&argument]), expected, "{}", report());
        assert!(report().contains(part), "{part} is not in {}", report());
    }
    assert_eq!(launch(kernel("store_at"), 1, 1, &[&freed]), Status::ILLEGAL_ADDRESS);
    for part in ["store_at", "Freed", "block (0, 0, 0) thread (0, 0, 0)", "st.global.u32"] {
        assert!(report().contains(part), "{part} is not in {}", report());
    }
    ok(launch(kernel("store_at"), 1, 1, &[&(data + 4)]));
    assert_eq!(download(data, 2), [0, 1]);
}

#[test]
fn a_fault_stays_where_that_is_wanted() {
    let session = Session::with("sticky=1");
    let (kernel, data) = (session.function("store_at"), upload(&[5]));
    assert_eq!(launch(kernel, 1, 1, &[&0u64]), Status::ILLEGAL_ADDRESS);
    assert_eq!(launch(kernel, 1, 1, &[&data]), Status::ILLEGAL_ADDRESS);
    assert_eq!(cuCtxSynchronize(), Status::ILLEGAL_ADDRESS);
    assert_eq!(cuMemAlloc_v2(out(&mut 0), 4), Status::ILLEGAL_ADDRESS);
    ok(cuDevicePrimaryCtxReset_v2(0));
    let (kernel, data) = (session.function("store_at"), upload(&[5]));
    ok(launch(kernel, 1, 1, &[&data]));
    assert_eq!(download(data, 1), [1]);
}

#[test]
fn a_delayed_fault_is_told_by_the_synchronisation_and_hides_no_other() {
    let session = Session::with("adversarial=1");
    let (kernel, data, stream) = (session.function("store_at"), upload(&[5]), stream());
    ok(launch_on(stream, kernel, (1, 1, 0), &[&0u64]));
    ok(launch_on(stream, kernel, (1, 1, 0), &[&(data + 2)]));
    ok(launch_on(stream, kernel, (1, 1, 0), &[&data]));
    assert_eq!(cuStreamSynchronize(stream), Status::ILLEGAL_ADDRESS);
    assert!(report().contains("Misaligned"), "{}", report());
    ok(cuStreamSynchronize(stream));
    assert_eq!(download(data, 1), [1]);
}

#[test]
fn a_kernel_without_an_end_is_stopped() {
    let session = Session::with("instructions=1000");
    let text = ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry spin() {\n$L:\n\tbra $L;\n}\n";
    let kernel = function(load(text).expect("it loads"), "spin").expect("it is there");
    assert_eq!(launch(kernel, 1, 1, &[]), Status::LAUNCH_TIMEOUT);
    assert!(report().contains("spin"), "{}", report());
    drop(session);
}
