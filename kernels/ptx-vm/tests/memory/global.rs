//! Loads, stores and atomics of warps in global memory: every rule broken and nearly broken.

use crate::{broken, some, strided, warp};
use ptx_vm::error::Rule;
use ptx_vm::memory::*;

/// `bytes` bytes that count up from 0, and their address.
fn counting(bytes: u64) -> (Memory, u64) {
    let memory = Memory::default();
    let base = memory.allocate(bytes).unwrap();
    memory.write(base, &(0..bytes).map(|i| i as u8).collect::<Vec<_>>()).unwrap();
    (memory, base)
}

/// The little-endian element at a byte offset of [`counting`].
fn element(offset: u64, bytes: u64) -> u64 {
    (0..bytes).fold(0, |value, i| value | u64::from((offset + i) as u8) << (8 * i))
}

#[test]
fn lanes_side_by_side_load_what_the_host_wrote() {
    let (memory, base) = counting(2048);
    let view = memory.view();
    for start in [0, 4, 8, 60, 64, 132] {
        let values = view.load::<u32, 1>(&mut warp(), &strided(base + start, 4)).unwrap();
        for (lane, &value) in values[0].iter().enumerate() {
            assert_eq!(u64::from(value), element(start + 4 * lane as u64, 4));
        }
    }
}

#[test]
fn every_width_and_vector_length() {
    let (memory, base) = counting(2048);
    let view = memory.view();
    macro_rules! check {
        ($($type:ty, $count:literal;)*) => {$(
            let bytes = size_of::<$type>() as u64;
            // Side by side, strided, all at one place, backwards.
            for (start, step) in [(0, $count * bytes), (32, 32), (64, 0), (1984, 0u64.wrapping_sub(32))] {
                let addresses: [u64; LANES] =
                    std::array::from_fn(|i| (base + start).wrapping_add(step.wrapping_mul(i as u64)));
                for mask in [!0, 1, 0x8000_0000, 0x0ff0_0ff0, 0xffff] {
                    let values = view.load::<$type, $count>(&mut some(mask), &addresses).unwrap();
                    for lane in 0..32 {
                        for k in 0..$count {
                            let offset = addresses[lane] - base + k as u64 * bytes;
                            let expected = if mask >> lane & 1 == 1 { element(offset, bytes) } else { 0 };
                            assert_eq!(values[k][lane] as u64, expected, "lane {lane} element {k}");
                        }
                    }
                }
            }
        )*};
    }
    check!(u8, 1; u8, 2; u8, 4; u16, 1; u16, 2; u16, 4; u32, 1; u32, 2; u32, 4; u64, 1; u64, 2; u64, 4;);
}

#[test]
fn stores_are_what_loads_find() {
    let memory = Memory::default();
    let base = memory.allocate(4096).unwrap();
    let view = memory.view();
    let values: [[u16; LANES]; 4] =
        std::array::from_fn(|k| std::array::from_fn(|i| (100 * k + i) as u16));
    for (mask, step) in [(!0, 8), (!0, 16), (0x00ff_ff00, 8), (0x1234_5678, 64)] {
        let addresses = strided(base + 8, step);
        view.store(&mut some(mask), &addresses, &values).unwrap();
        let found = view.load::<u16, 4>(&mut some(mask), &addresses).unwrap();
        for lane in (0..32).filter(|lane| mask >> lane & 1 == 1) {
            (0..4).for_each(|k| assert_eq!(found[k][lane], values[k][lane]));
        }
    }
}

#[test]
fn inactive_lanes_touch_nothing() {
    let (memory, base) = counting(128);
    let view = memory.view();
    let mut addresses = strided(base, 4);
    addresses[5] = 3;
    addresses[6] = base + 4096;
    let mask = !(1 << 5 | 1 << 6);
    view.store(&mut some(mask), &addresses, &[[0u32; LANES]]).unwrap();
    let mut to = [[9u32; LANES]];
    view.load_into(&mut some(mask), &addresses, &mut to).unwrap();
    assert_eq!((to[0][5], to[0][6], to[0][7]), (9, 9, 0));
    let mut bytes = [0; 128];
    memory.read(base, &mut bytes).unwrap();
    assert_eq!(bytes[20..28], [20, 21, 22, 23, 24, 25, 26, 27]);
}

#[test]
fn the_last_lane_of_one_place_wins() {
    let (memory, base) = counting(64);
    let view = memory.view();
    let values = [std::array::from_fn(|i| i as u32)];
    view.store(&mut some(0x0fff_ffff), &[base; LANES], &values).unwrap();
    assert_eq!(view.load::<u32, 1>(&mut some(1), &[base; LANES]).unwrap()[0][0], 27);
}

#[test]
fn past_the_end() {
    let (memory, base) = counting(128);
    let view = memory.view();
    assert!(view.load::<u32, 1>(&mut warp(), &strided(base, 4)).is_ok());
    let message = broken(
        view.load::<u32, 1>(&mut warp(), &strided(base + 4, 4)),
        Rule::OutOfBounds,
        31,
        base + 128,
    );
    assert!(message.contains("0 bytes past the end of the 128 bytes allocated"), "{message}");
    broken(view.load::<u64, 1>(&mut warp(), &strided(base, 8)), Rule::OutOfBounds, 16, base + 128);
    broken(
        view.store(&mut warp(), &[base + 128; LANES], &[[0u8; LANES]]),
        Rule::OutOfBounds,
        0,
        base + 128,
    );
    let odd = memory.allocate(10).unwrap();
    let view = memory.view();
    assert!(view.store(&mut some(1), &[odd + 8; LANES], &[[0u16; LANES]]).is_ok());
    let over = broken(
        view.store(&mut some(1), &[odd + 8; LANES], &[[0u32; LANES]]),
        Rule::OutOfBounds,
        0,
        odd + 8,
    );
    assert!(over.contains("over the end of the 10 bytes"), "{over}");
}

#[test]
fn before_the_start_and_far_away() {
    let (memory, base) = counting(128);
    let view = memory.view();
    let load = |address| view.load::<u32, 1>(&mut some(4), &[address; LANES]);
    assert!(
        broken(load(base - 4), Rule::OutOfBounds, 2, base - 4)
            .contains("4 bytes before the 128 bytes")
    );
    assert!(broken(load(0), Rule::OutOfBounds, 2, 0).contains("null pointer"));
    broken(load(u64::MAX - 3), Rule::OutOfBounds, 2, u64::MAX - 3);
    broken(load(1 << 63), Rule::OutOfBounds, 2, 1 << 63);
    let shared = broken(load(window::SHARED + 16), Rule::OutOfBounds, 2, window::SHARED + 16);
    assert!(shared.contains("offset 16 of shared memory"), "{shared}");
    let empty = Memory::default().view();
    let nothing =
        broken(empty.load::<u32, 1>(&mut warp(), &[base; LANES]), Rule::OutOfBounds, 0, base);
    assert!(nothing.contains("no global memory"), "{nothing}");
}

#[test]
fn a_gather_with_one_lane_outside_names_that_lane() {
    let (memory, base) = counting(4096);
    let view = memory.view();
    let mut addresses = strided(base, 36);
    assert!(view.load::<u32, 1>(&mut warp(), &addresses).is_ok());
    addresses[17] = base + 4096;
    broken(view.load::<u32, 1>(&mut warp(), &addresses), Rule::OutOfBounds, 17, base + 4096);
    addresses[17] = base.wrapping_sub(1 << 40);
    broken(view.load::<u32, 1>(&mut warp(), &addresses), Rule::OutOfBounds, 17, addresses[17]);
}

#[test]
fn misaligned() {
    let (memory, base) = counting(4096);
    let view = memory.view();
    for step in [0, 4, 8, 100] {
        let at = broken(
            view.load::<u32, 1>(&mut warp(), &strided(base + 2, step)),
            Rule::Misaligned,
            0,
            base + 2,
        );
        assert!(at.contains("2 bytes past a multiple of 4"), "{at}");
    }
    // A vector of four is one access of 16 bytes.
    broken(view.load::<u32, 4>(&mut warp(), &strided(base + 8, 16)), Rule::Misaligned, 0, base + 8);
    assert!(view.load::<u32, 2>(&mut warp(), &strided(base + 8, 8)).is_ok());
    let mut addresses = strided(base, 4);
    addresses[9] += 1;
    broken(
        view.store(&mut warp(), &addresses, &[[0u32; LANES]]),
        Rule::Misaligned,
        9,
        addresses[9],
    );
    broken(
        view.atomic(&mut warp(), &addresses, |_, old: u32| old),
        Rule::Misaligned,
        9,
        addresses[9],
    );
}

#[test]
fn freed_is_told_from_never_allocated() {
    let (memory, base) = counting(128);
    let other = memory.allocate(128).unwrap();
    memory.free(base).unwrap();
    let view = memory.view();
    let message = broken(view.load::<u32, 1>(&mut warp(), &strided(base, 4)), Rule::Freed, 0, base);
    assert!(message.contains("which were freed"), "{message}");
    broken(
        view.load::<u32, 1>(&mut some(1), &[base + 128; LANES]),
        Rule::OutOfBounds,
        0,
        base + 128,
    );
    assert!(view.store(&mut warp(), &strided(other, 4), &[[0u32; LANES]]).is_ok());
    assert!(memory.allocate(128).unwrap() > other, "addresses are not used again");
}

#[test]
fn a_view_keeps_what_is_freed_later() {
    let (memory, base) = counting(128);
    let view = memory.view();
    memory.free(base).unwrap();
    assert_eq!(view.load::<u8, 1>(&mut warp(), &strided(base, 1)).unwrap()[0][31], 31);
}

#[test]
fn bytes_nobody_wrote() {
    let memory = Memory::default();
    let base = memory.allocate(1024).unwrap();
    let view = memory.view();
    broken(view.load::<u8, 1>(&mut warp(), &strided(base, 1)), Rule::Unwritten, 0, base);
    memory.write(base, &[0; 127]).unwrap();
    let message = broken(
        view.load::<u32, 1>(&mut warp(), &strided(base, 4)),
        Rule::Unwritten,
        31,
        base + 124,
    );
    assert!(message.contains("byte 3"), "{message}");
    broken(view.load::<u32, 1>(&mut some(2), &[base + 124; LANES]), Rule::Unwritten, 1, base + 124);
    broken(view.load::<u32, 4>(&mut some(!7), &strided(base, 16)), Rule::Unwritten, 7, base + 112);
    broken(
        view.atomic(&mut some(1), &[base + 124; LANES], |_, old: u32| old),
        Rule::Unwritten,
        0,
        base + 124,
    );
    view.store(&mut some(1), &[base + 127; LANES], &[[0u8; LANES]]).unwrap();
    assert!(view.load::<u32, 1>(&mut warp(), &strided(base, 4)).is_ok());
    let checks = Checks { unwritten: false, races: false };
    let off = view.with_checks(checks).load::<u32, 1>(&mut warp(), &strided(base + 512, 4));
    assert_eq!(off.unwrap(), [[0; LANES]]);
}

#[test]
fn a_partly_active_warp_needs_only_its_own_bytes_written() {
    let memory = Memory::default();
    let base = memory.allocate(128).unwrap();
    let view = memory.view();
    view.store(&mut some(0x0000_fff0), &strided(base, 4), &[[1u32; LANES]]).unwrap();
    assert!(view.load::<u32, 1>(&mut some(0x0000_fff0), &strided(base, 4)).is_ok());
    broken(
        view.load::<u32, 1>(&mut some(0x0001_fff0), &strided(base, 4)),
        Rule::Unwritten,
        16,
        base + 64,
    );
}

#[test]
fn constants_are_read_only() {
    let (memory, base) = counting(128);
    memory.protect(base + 64).unwrap();
    let view = memory.view();
    assert!(view.load::<u32, 1>(&mut warp(), &strided(base, 4)).is_ok());
    let message = broken(
        view.store(&mut warp(), &strided(base, 4), &[[0u32; LANES]]),
        Rule::ReadOnly,
        0,
        base,
    );
    assert!(message.contains("written by the host only"), "{message}");
    broken(view.atomic(&mut warp(), &strided(base, 4), |_, old: u32| old), Rule::ReadOnly, 0, base);
    broken(view.copy_in(&mut warp(), 3, base, &[0; 4]), Rule::ReadOnly, 3, base);
    assert!(memory.write(base, &[1]).is_ok());
}

#[test]
fn a_refused_store_stores_nothing() {
    let (memory, base) = counting(128);
    let view = memory.view();
    let values = [[0xffu8; LANES]];
    assert!(view.store(&mut warp(), &strided(base + 100, 1), &values).is_err());
    assert!(view.atomic(&mut warp(), &strided(base + 100, 1), |_, _: u8| 0xff).is_err());
    let mut bytes = [0; 128];
    memory.read(base, &mut bytes).unwrap();
    assert_eq!(bytes, std::array::from_fn(|i| i as u8));
}

#[test]
fn lanes_in_several_allocations() {
    let (memory, base) = counting(128);
    let other = memory.allocate(128).unwrap();
    memory.fill(other, &[7], 128).unwrap();
    let view = memory.view();
    let addresses =
        std::array::from_fn(|i| if i % 2 == 0 { base + i as u64 } else { other + i as u64 });
    let values = view.load::<u8, 1>(&mut warp(), &addresses).unwrap()[0];
    assert_eq!(values, std::array::from_fn(|i| if i % 2 == 0 { i as u8 } else { 7 }));
    view.atomic(&mut warp(), &addresses, |lane, old: u8| old + lane as u8).unwrap();
    view.store(&mut some(3), &addresses, &[[99u8; LANES]]).unwrap();
    let values = view.load::<u8, 1>(&mut warp(), &addresses).unwrap()[0];
    assert_eq!((values[0], values[1], values[2], values[3]), (99, 99, 4, 10));
    let mut wrong = addresses;
    wrong[30] = base + 128;
    broken(view.load::<u8, 1>(&mut warp(), &wrong), Rule::OutOfBounds, 30, base + 128);
    broken(view.store(&mut warp(), &wrong, &[[0u8; LANES]]), Rule::OutOfBounds, 30, base + 128);
}

#[test]
fn atomics_go_lane_by_lane() {
    let (memory, base) = counting(128);
    memory.fill(base, &[0], 128).unwrap();
    let view = memory.view();
    let old = view.atomic(&mut warp(), &[base; LANES], |lane, old: u32| old + lane as u32).unwrap();
    assert_eq!(old, std::array::from_fn(|i| (0..i as u32).sum()));
    let old =
        view.atomic(&mut some(0xf0), &[base + 8; LANES], |_, old: u64| old + (1 << 40)).unwrap();
    assert_eq!((old[4], old[7], old[8]), (0, 3 << 40, 0));
    view.atomic(&mut some(1), &[base + 3; LANES], |_, old: u8| old + 5).unwrap();
    view.atomic(&mut some(1), &[base + 2; LANES], |_, old: u16| old.swap_bytes()).unwrap();
    assert_eq!(view.load::<u32, 1>(&mut some(1), &[base; LANES]).unwrap()[0][0], 496 | 5 << 16);
}

#[test]
fn bulk_copies_are_checked_byte_by_byte() {
    let (memory, base) = counting(100);
    let view = memory.view();
    let mut row = [0; 33];
    view.copy_out(&mut warp(), 0, base + 67, &mut row).unwrap();
    assert_eq!(row, std::array::from_fn(|i| 67 + i as u8));
    broken(view.copy_out(&mut warp(), 5, base + 68, &mut row), Rule::OutOfBounds, 5, base + 68);
    assert!(view.copy_out(&mut warp(), 5, 0, &mut []).is_ok(), "no bytes are nowhere");
    let fresh = memory.allocate(100).unwrap();
    let view = memory.view();
    view.copy_in(&mut warp(), 0, fresh + 3, &row).unwrap();
    broken(view.copy_out(&mut warp(), 1, fresh + 4, &mut row), Rule::Unwritten, 1, fresh + 4);
    let mut back = [0; 33];
    view.copy_out(&mut warp(), 1, fresh + 3, &mut back).unwrap();
    assert_eq!(back, row);
}
