//! Shared, local and parameter memory, and the windows of generic addresses.

use crate::{broken, some, strided, warp};
use ptx_vm::error::Rule;
use ptx_vm::memory::*;
use ptx_vm::syntax::Space;

#[test]
fn windows_split_and_join() {
    for (space, address) in
        [(Space::Shared, 0), (Space::Shared, 0xffff), (Space::Local, 16), (Space::Parameter, 8)]
    {
        assert_eq!(window::split(window::generic(space, address)), (space, address));
    }
    assert_eq!(window::split(window::GLOBAL + 512), (Space::Global, window::GLOBAL + 512));
    assert_eq!(window::split(0), (Space::Global, 0));
    assert_eq!(window::split(u64::MAX), (Space::Global, u64::MAX));
}

#[test]
fn shared_memory_has_bounds_alignment_and_written_bytes() {
    let mut shared = Shared::new(256, Checks::default()).unwrap();
    broken(shared.load::<u32, 1>(&mut warp(), &strided(0, 4)), Rule::Unwritten, 0, 0);
    let values = [std::array::from_fn(|i| i as u32)];
    shared.store(&mut warp(), &strided(128, 4), &values).unwrap();
    assert_eq!(shared.load::<u32, 1>(&mut warp(), &strided(128, 4)).unwrap(), values);
    let message =
        broken(shared.store(&mut warp(), &strided(132, 4), &values), Rule::OutOfBounds, 31, 256);
    assert!(message.contains("256 bytes of shared memory"), "{message}");
    broken(shared.load::<u16, 1>(&mut some(4), &[129; LANES]), Rule::Misaligned, 2, 129);
    broken(shared.load::<u32, 1>(&mut warp(), &strided(124, 4)), Rule::Unwritten, 0, 124);
    broken(shared.atomic(&mut warp(), &[0; LANES], |_, old: u32| old), Rule::Unwritten, 0, 0);
    let old =
        shared.atomic(&mut warp(), &[128; LANES], |lane, old: u32| old + lane as u32).unwrap();
    assert_eq!((old[0], old[3]), (0, 3));
    shared.reset();
    broken(shared.load::<u32, 1>(&mut warp(), &strided(128, 4)), Rule::Unwritten, 0, 128);
}

#[test]
fn no_shared_memory_at_all() {
    let mut shared = Shared::new(0, Checks::default()).unwrap();
    broken(shared.load::<u8, 1>(&mut warp(), &[0; LANES]), Rule::OutOfBounds, 0, 0);
    shared.reset();
}

#[test]
fn an_asynchronous_copy_is_unwritten_until_delivered() {
    let mut shared = Shared::new(256, Checks::default()).unwrap();
    shared.store(&mut warp(), &strided(0, 4), &[[1u32; LANES]]).unwrap();
    shared.poison(&warp(), 0, 16, 32).unwrap();
    broken(shared.load::<u32, 1>(&mut warp(), &strided(0, 4)), Rule::Unwritten, 4, 16);
    assert!(shared.load::<u32, 4>(&mut some(1), &strided(0, 16)).is_ok());
    shared.deliver(0, 16, &[7; 32]).unwrap();
    assert_eq!(shared.load::<u32, 1>(&mut warp(), &strided(0, 4)).unwrap()[0][4], 0x0707_0707);
    broken(shared.poison(&warp(), 6, 240, 32), Rule::OutOfBounds, 6, 240);
    broken(shared.deliver(7, 240, &[0; 17]), Rule::OutOfBounds, 7, 240);
}

#[test]
fn bulk_copies_of_shared_memory() {
    let mut shared = Shared::new(64, Checks::default()).unwrap();
    shared.copy_in(&warp(), 0, 5, &[1, 2, 3]).unwrap();
    let mut three = [0; 3];
    shared.copy_out(&warp(), 0, 5, &mut three).unwrap();
    assert_eq!(three, [1, 2, 3]);
    broken(shared.copy_out(&warp(), 4, 6, &mut three), Rule::Unwritten, 4, 6);
    broken(shared.copy_out(&warp(), 4, 62, &mut three), Rule::OutOfBounds, 4, 62);
    broken(shared.copy_in(&warp(), 4, 62, &three), Rule::OutOfBounds, 4, 62);
}

#[test]
fn local_memory_belongs_to_its_thread() {
    let mut local = Local::new(64, 20, Checks::default()).unwrap();
    let mut second = Access::new(!0, 32, 0);
    let values = [std::array::from_fn(|i| 100 + i as u32)];
    local.store(&mut warp(), &[16; LANES], &[[1u32; LANES]]).unwrap();
    local.store(&mut second, &[16; LANES], &values).unwrap();
    assert_eq!(local.load::<u32, 1>(&mut second, &[16; LANES]).unwrap(), values);
    assert_eq!(local.load::<u32, 1>(&mut warp(), &[16; LANES]).unwrap(), [[1; LANES]]);
    let message = broken(local.load::<u32, 1>(&mut second, &[20; LANES]), Rule::OutOfBounds, 0, 20);
    assert!(message.contains("20 bytes of the thread's local memory"), "{message}");
    broken(local.load::<u32, 1>(&mut warp(), &[12; LANES]), Rule::Unwritten, 0, 12);
    broken(local.load::<u32, 1>(&mut warp(), &[13; LANES]), Rule::Misaligned, 0, 13);
    broken(
        local.store(&mut warp(), &[u64::MAX - 3; LANES], &values),
        Rule::OutOfBounds,
        0,
        u64::MAX - 3,
    );
    let old = local.atomic(&mut warp(), &[16; LANES], |lane, old: u32| old + lane as u32).unwrap();
    assert_eq!(old, [1; LANES]);
    assert_eq!(local.load::<u32, 1>(&mut some(8), &[16; LANES]).unwrap()[0][3], 4);
    broken(local.atomic(&mut warp(), &[0; LANES], |_, old: u32| old), Rule::Unwritten, 0, 0);
    local.reset();
    broken(local.load::<u32, 1>(&mut warp(), &[16; LANES]), Rule::Unwritten, 0, 16);
}

#[test]
fn lanes_of_one_thread_each_index_their_own_array() {
    let mut local = Local::new(32, 256, Checks::default()).unwrap();
    let places = std::array::from_fn(|i| ((i as u64 * 12) % 256) & !3);
    let values = [std::array::from_fn(|i| i as u32)];
    local.store(&mut some(0xffff_0000), &places, &values).unwrap();
    let found = local.load::<u32, 1>(&mut some(0xffff_0000), &places).unwrap()[0];
    assert_eq!(found, std::array::from_fn(|i| if i < 16 { 0 } else { i as u32 }));
    broken(local.load::<u32, 1>(&mut some(1), &places), Rule::Unwritten, 0, places[0]);
}

#[test]
fn the_last_warp_may_have_fewer_threads() {
    let mut local = Local::new(40, 8, Checks::default()).unwrap();
    let mut tail = Access::new(0xff, 32, 0);
    local.store(&mut tail, &[0; LANES], &[[5u64; LANES]]).unwrap();
    assert_eq!(local.load::<u64, 1>(&mut tail, &[0; LANES]).unwrap()[0][7], 5);
}

#[test]
fn parameters_are_read_only() {
    let parameters = Constant::new(&(0..20).collect::<Vec<u8>>()).unwrap();
    assert_eq!(
        parameters.load::<u64, 1>(&mut warp(), &[8; LANES]).unwrap()[0][31],
        0x0f0e_0d0c_0b0a_0908
    );
    assert_eq!(parameters.load::<u8, 1>(&mut some(0xf), &strided(16, 1)).unwrap()[0][3], 19);
    broken(parameters.load::<u64, 1>(&mut warp(), &[16; LANES]), Rule::OutOfBounds, 0, 16);
    broken(parameters.load::<u32, 1>(&mut warp(), &[2; LANES]), Rule::Misaligned, 0, 2);
    broken(parameters.store::<u32, 1>(&mut warp(), &[4; LANES]), Rule::ReadOnly, 0, 4);
    broken(parameters.atomic::<u32>(&mut some(2), &[4; LANES]), Rule::ReadOnly, 1, 4);
    broken(parameters.store::<u32, 1>(&mut warp(), &[40; LANES]), Rule::OutOfBounds, 0, 40);
    let mut bytes = [0; 4];
    parameters.copy_out(0, 3, &mut bytes).unwrap();
    assert_eq!(bytes, [3, 4, 5, 6]);
    broken(parameters.copy_out(2, 18, &mut bytes), Rule::OutOfBounds, 2, 18);
}
