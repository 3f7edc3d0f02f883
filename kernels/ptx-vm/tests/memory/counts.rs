//! Sectors of global memory and bank conflicts of shared memory.

use crate::strided;
use ptx_vm::memory::*;

/// What a global load of `T` at these addresses, from the start of an allocation, costs.
fn load<T: Element, const N: usize>(mask: u32, offsets: [u64; LANES]) -> Traffic {
    let memory = Memory::default();
    let base = memory.allocate(1 << 16).unwrap();
    memory.fill(base, &[1], 1 << 16).unwrap();
    let mut counts = Counts::default();
    let mut access = Access { counts: Some(&mut counts), ..Access::new(mask, 0, 0) };
    memory.view().load::<T, N>(&mut access, &offsets.map(|offset| base + offset)).unwrap();
    assert_eq!(counts, Counts { loads: counts.loads, ..Counts::default() });
    counts.loads
}

/// Wavefronts of a shared load, and the least there could be.
fn shared<T: Element, const N: usize>(mask: u32, addresses: [u64; LANES]) -> (u64, u64) {
    let mut shared = Shared::new(1 << 15, Checks { unwritten: false, races: false }).unwrap();
    let mut counts = Counts::default();
    let mut access = Access { counts: Some(&mut counts), ..Access::new(mask, 0, 0) };
    shared.load::<T, N>(&mut access, &addresses).unwrap();
    assert_eq!(counts.shared_requests, 1);
    (counts.shared_wavefronts, counts.shared_wavefronts_least)
}

#[test]
fn sectors_against_bytes() {
    let traffic = |bytes, sectors| Traffic { requests: 1, bytes, sectors };
    assert_eq!(load::<u32, 1>(!0, strided(0, 4)), traffic(128, 4));
    assert_eq!(load::<u32, 1>(!0, strided(4, 4)), traffic(128, 5));
    assert_eq!(load::<u32, 1>(!0, strided(0, 32)), traffic(128, 32));
    assert_eq!(load::<u32, 1>(!0, strided(0, 8)), traffic(128, 8));
    assert_eq!(load::<u32, 1>(!0, [64; LANES]), traffic(128, 1));
    assert_eq!(load::<u32, 4>(!0, strided(0, 16)), traffic(512, 16));
    assert_eq!(load::<u16, 1>(!0, strided(0, 2)), traffic(64, 2));
    assert_eq!(load::<u8, 1>(!0, strided(31, 1)), traffic(32, 2));
    assert_eq!(load::<u64, 1>(0xff, strided(0, 8)), traffic(64, 2));
    assert_eq!(load::<u64, 4>(3, strided(0, 32)), traffic(64, 2));
    assert_eq!(load::<u32, 1>(1 << 31, strided(0, 4)), traffic(4, 1));
    assert_eq!(load::<u32, 1>(!0, strided(0, 4)).efficiency(), Some(1.0));
    assert_eq!(load::<u32, 1>(!0, strided(0, 32)).efficiency(), Some(0.125));
    assert_eq!(Traffic::default().efficiency(), None);
}

#[test]
fn stores_and_atomics_have_their_own_counts_and_refusals_none() {
    let memory = Memory::default();
    let base = memory.allocate(1024).unwrap();
    let view = memory.view();
    let mut counts = Counts::default();
    let mut access = Access { counts: Some(&mut counts), ..Access::new(!0, 0, 0) };
    view.store(&mut access, &strided(base, 4), &[[0u32; LANES]]).unwrap();
    view.atomic(&mut access, &[base; LANES], |_, old: u32| old).unwrap();
    assert!(view.store(&mut access, &strided(base + 1000, 4), &[[0u32; LANES]]).is_err());
    view.copy_in(&mut access, 0, base + 30, &[0; 40]).unwrap();
    assert_eq!(counts.stores, Traffic { requests: 1, bytes: 128 + 40, sectors: 4 + 3 });
    assert_eq!(counts.atomics, Traffic { requests: 1, bytes: 128, sectors: 1 });
    let mut sum = counts;
    sum.add(&counts);
    assert_eq!(sum.stores.bytes, 2 * counts.stores.bytes);
}

#[test]
fn banks_of_four_bytes() {
    assert_eq!(shared::<u32, 1>(!0, strided(0, 4)), (1, 1));
    assert_eq!(shared::<u32, 1>(!0, strided(0, 8)), (2, 1));
    assert_eq!(shared::<u32, 1>(!0, strided(0, 128)), (32, 1));
    assert_eq!(shared::<u32, 1>(!0, strided(0, 132)), (1, 1), "a padded column");
    assert_eq!(shared::<u32, 1>(!0, [40; LANES]), (1, 1), "a broadcast");
    assert_eq!(shared::<u32, 1>(0xffff, strided(0, 128)), (16, 1));
    assert_eq!(shared::<u32, 1>(1, strided(0, 128)), (1, 1));
}

#[test]
fn small_elements_share_words() {
    assert_eq!(shared::<u8, 1>(!0, strided(0, 1)), (1, 1));
    assert_eq!(shared::<u16, 1>(!0, strided(0, 2)), (1, 1));
    assert_eq!(shared::<u16, 1>(!0, strided(0, 64)), (16, 1));
}

#[test]
fn wide_elements_go_in_halves_and_quarters() {
    assert_eq!(shared::<u64, 1>(!0, strided(0, 8)), (2, 2));
    assert_eq!(shared::<u32, 4>(!0, strided(0, 16)), (4, 4));
    assert_eq!(shared::<u32, 2>(0xffff, strided(0, 8)), (1, 1));
    assert_eq!(shared::<u64, 1>(!0, strided(0, 16)), (4, 2));
    // ldmatrix: rows of 16 bytes, a row pitch of 128 bytes (all in one bank group) or of 144.
    assert_eq!(shared::<u32, 4>(!0, strided(0, 128)), (32, 4));
    assert_eq!(shared::<u32, 4>(!0, strided(0, 144)), (4, 4));
}

#[test]
fn atomics_on_one_word_take_turns() {
    let mut shared = Shared::new(1024, Checks { unwritten: false, races: false }).unwrap();
    let mut counts = Counts::default();
    let mut access = Access { counts: Some(&mut counts), ..Access::new(!0, 0, 0) };
    shared.atomic(&mut access, &[0; LANES], |_, old: u32| old + 1).unwrap();
    shared.atomic(&mut access, &strided(0, 4), |_, old: u32| old + 1).unwrap();
    shared.store(&mut access, &strided(0, 8), &[[0u32; LANES]]).unwrap();
    assert_eq!((counts.shared_wavefronts, counts.shared_wavefronts_least), (32 + 1 + 2, 3));
}
