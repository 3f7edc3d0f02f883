//! Races in shared memory: each with a neighbour that is none.

use crate::{broken, some, strided, warp};
use ptx_vm::error::{Checked, Rule};
use ptx_vm::memory::*;

const WATCHED: Checks = Checks { unwritten: false, races: true };

/// A block of 128 threads with 4 KiB of shared memory, and the acts of its warps.
struct Block {
    order: Order,
    shared: Shared,
}

impl Block {
    fn new() -> Self {
        Self { order: Order::new(0, 128), shared: Shared::new(4096, WATCHED).unwrap() }
    }

    fn access(&mut self, warp: u32, mask: u32) -> (Access<'_>, &mut Shared) {
        let access =
            Access { order: Some(&mut self.order), line: 7, ..Access::new(mask, 32 * warp, 0) };
        (access, &mut self.shared)
    }

    fn read(&mut self, warp: u32, mask: u32, addresses: [u64; LANES]) -> Checked<()> {
        let (mut access, shared) = self.access(warp, mask);
        shared.load::<u32, 1>(&mut access, &addresses).map(drop)
    }

    fn write(&mut self, warp: u32, mask: u32, addresses: [u64; LANES]) -> Checked<()> {
        let (mut access, shared) = self.access(warp, mask);
        shared.store(&mut access, &addresses, &[std::array::from_fn(|lane| lane as u32)])
    }

    fn add(&mut self, warp: u32, mask: u32, addresses: [u64; LANES]) -> Checked<()> {
        let (mut access, shared) = self.access(warp, mask);
        shared.atomic(&mut access, &addresses, |_, old: u32| old + 1).map(drop)
    }

    /// `red`: nobody sees what was there before.
    fn reduce(&mut self, warp: u32, mask: u32, addresses: [u64; LANES]) -> Checked<()> {
        let (access, shared) = self.access(warp, mask);
        let mut access = Access { blind: true, ..access };
        shared.atomic(&mut access, &addresses, |_, old: u32| old + 1).map(drop)
    }
}

fn row() -> [u64; LANES] {
    strided(0, 4)
}

fn reversed() -> [u64; LANES] {
    std::array::from_fn(|i| 124 - 4 * i as u64)
}

#[test]
fn read_after_write_of_another_warp() {
    let mut block = Block::new();
    block.write(0, !0, row()).unwrap();
    let message = broken(block.read(1, !0, row()), Rule::Race, 0, 0);
    let parties = "read by block 0 thread 32 after write by block 0 thread 0 at PTX line 7";
    assert!(message.contains(parties), "{message}");
    let mut block = Block::new();
    block.write(0, !0, row()).unwrap();
    block.order.barrier_block();
    block.read(1, !0, row()).unwrap();
}

#[test]
fn write_after_read() {
    let mut block = Block::new();
    block.read(1, !0, row()).unwrap();
    let message = broken(block.write(0, !0, row()), Rule::Race, 0, 0);
    assert!(
        message.contains("write by block 0 thread 0 after read by block 0 thread 32"),
        "{message}"
    );
    let mut block = Block::new();
    block.read(1, !0, row()).unwrap();
    block.order.barrier_block();
    block.write(0, !0, row()).unwrap();
}

#[test]
fn write_after_write() {
    let mut block = Block::new();
    block.write(0, 1, [64; LANES]).unwrap();
    broken(block.write(3, 2, [64; LANES]), Rule::Race, 1, 64);
    block.write(3, 2, [68; LANES]).unwrap();
}

#[test]
fn reads_never_race_and_a_thread_never_with_itself() {
    let mut block = Block::new();
    for warp in 0..4 {
        block.read(warp, !0, row()).unwrap();
        block.read(warp, !0, [0; LANES]).unwrap();
    }
    let mut block = Block::new();
    for _ in 0..3 {
        block.write(2, !0, row()).unwrap();
        block.read(2, !0, row()).unwrap();
        block.add(2, !0, row()).unwrap();
    }
}

#[test]
fn every_reader_counts_not_only_the_last() {
    // Warps 0 to 3 read one word; warp 3, then each of the others, is not yet ordered with the writer.
    for late in 0..4 {
        let mut block = Block::new();
        for warp in 0..4 {
            block.read(warp, !0, [8; LANES]).unwrap();
        }
        let mut lanes = [!0; 4];
        lanes[late] = 0;
        lanes[0] |= 1;
        block.order.barrier(&lanes);
        let write = block.write(0, 1, [8; LANES]);
        if late == 0 {
            // The rest of warp 0 read, and did not come to the barrier.
            let message = broken(write, Rule::Race, 0, 8);
            assert!(message.contains("thread 1 "), "{message}");
        } else {
            let message = broken(write, Rule::Race, 0, 8);
            assert!(
                message.contains(&format!("after read by block 0 thread {}", 32 * late)),
                "{message}"
            );
        }
        let mut block = Block::new();
        (0..4).for_each(|warp| block.read(warp, !0, [8; LANES]).unwrap());
        block.order.barrier(&[!0; 4]);
        block.write(0, 1, [8; LANES]).unwrap();
    }
}

#[test]
fn lanes_of_one_warp() {
    // Lane 0 writes, lane 1 reads in the next instruction.
    let mut block = Block::new();
    block.write(0, !0, row()).unwrap();
    broken(block.read(0, !0, reversed()), Rule::Race, 0, 124);
    let mut block = Block::new();
    block.write(0, !0, row()).unwrap();
    block.order.warp_sync(0, !0);
    block.read(0, !0, reversed()).unwrap();
    // A warp's barrier orders no other warp.
    broken(block.write(1, !0, row()), Rule::Race, 0, 0);
}

#[test]
fn part_of_a_warp_synchronises() {
    let mut block = Block::new();
    block.write(0, !0, row()).unwrap();
    block.order.warp_sync(0, 0x0000_ffff);
    let swapped = std::array::from_fn(|i| 4 * (i as u64 ^ 1));
    block.read(0, 0x0000_ffff, swapped).unwrap();
    broken(block.read(0, 0xffff_0000, swapped), Rule::Race, 16, 68);
}

#[test]
fn lanes_of_one_instruction_at_one_word() {
    let mut block = Block::new();
    let message = broken(block.write(0, 0b110, [16; LANES]), Rule::Race, 2, 16);
    assert!(message.contains("thread 2 after write by block 0 thread 1"), "{message}");
    let mut block = Block::new();
    block.write(0, 0b100, [16; LANES]).unwrap();
    block.read(1, !0, [20; LANES]).unwrap();
    block.add(2, !0, [24; LANES]).unwrap();
}

#[test]
fn lanes_of_one_instruction_may_store_the_same_at_one_word() {
    let mut block = Block::new();
    let (mut access, shared) = block.access(0, !0);
    // Eight lanes to a pair of words, as the tiles of cooperative groups do.
    let places = std::array::from_fn(|lane| 8 * (lane as u64 / 8));
    let values: [u32; LANES] = std::array::from_fn(|lane| 5 + lane as u32 / 8);
    shared.store(&mut access, &places, &[values, values]).unwrap();
    // The next instruction is another matter, and so is a pair with one half that differs.
    access.mask = !1;
    broken(shared.store(&mut access, &places, &[values]), Rule::Race, 1, 0);
    let mut differs = values;
    differs[19] = 0;
    let (mut access, shared) = block.access(1, !0);
    let places = places.map(|place| place + 64);
    broken(shared.store(&mut access, &places, &[values, differs]), Rule::Race, 19, 80);
}

#[test]
fn atomics_race_only_with_what_is_none() {
    let mut block = Block::new();
    (0..4).for_each(|warp| block.add(warp, !0, [0; LANES]).unwrap());
    let message = broken(block.read(1, 1, [0; LANES]), Rule::Race, 0, 0);
    assert!(message.contains("after atomic operation"), "{message}");
    block.order.barrier_block();
    block.read(1, 1, [0; LANES]).unwrap();
    let mut block = Block::new();
    block.write(0, 1, [0; LANES]).unwrap();
    broken(block.add(1, 1, [0; LANES]), Rule::Race, 0, 0);
    let mut block = Block::new();
    block.read(0, 1, [0; LANES]).unwrap();
    broken(block.add(1, 1, [0; LANES]), Rule::Race, 0, 0);
}

#[test]
fn an_atomic_of_one_warp_does_not_hide_that_of_another() {
    let mut block = Block::new();
    (0..3).for_each(|warp| block.reduce(warp, 1, [0; LANES]).unwrap());
    // Warps 1, 2 and 3 meet; warp 0 is missing.
    block.order.barrier(&[0, !0, !0, !0]);
    let message = broken(block.read(3, 1, [0; LANES]), Rule::Race, 0, 0);
    assert!(message.contains("block 0 thread 0 "), "{message}");
}

#[test]
fn neighbouring_bytes_belong_to_their_threads() {
    let mut block = Block::new();
    let (mut access, shared) = block.access(0, !0);
    shared.store(&mut access, &strided(0, 2), &[[1u16; LANES]]).unwrap();
    shared.store(&mut access, &strided(256, 1), &[[1u8; LANES]]).unwrap();
    let (mut other, shared) = block.access(1, !0);
    shared.store(&mut other, &strided(512, 8), &[[1u16; LANES]]).unwrap();
    let (mut third, shared) = block.access(2, !0);
    shared.store(&mut third, &strided(514, 8), &[[1u16; LANES]]).unwrap();
    shared.store(&mut third, &strided(516, 8), &[[1u32; LANES]]).unwrap();
    // The same half words are another matter, and so are words over them.
    let (mut fourth, shared) = block.access(3, 1);
    broken(shared.store(&mut fourth, &[514; LANES], &[[1u16; LANES]]), Rule::Race, 0, 514);
    broken(shared.load::<u32, 1>(&mut fourth, &[512; LANES]), Rule::Race, 0, 512);
    broken(shared.load::<u8, 1>(&mut fourth, &[257; LANES]), Rule::Race, 0, 257);
}

#[test]
fn a_word_written_whole_is_remembered_when_bytes_come() {
    let mut block = Block::new();
    block.write(0, 1, [0; LANES]).unwrap();
    (1..4).for_each(|warp| block.read(warp, 2, [4; LANES]).unwrap());
    let (mut access, shared) = block.access(1, 1);
    shared.store(&mut access, &[9; LANES], &[[1u8; LANES]]).unwrap();
    broken(shared.load::<u8, 1>(&mut access, &[3; LANES]), Rule::Race, 0, 3);
    broken(shared.store(&mut access, &[6; LANES], &[[1u16; LANES]]), Rule::Race, 0, 6);
    block.order.barrier_block();
    let (mut access, shared) = block.access(1, 1);
    shared.store(&mut access, &[6; LANES], &[[1u16; LANES]]).unwrap();
    broken(block.read(2, 2, [4; LANES]), Rule::Race, 1, 4);
}

#[test]
fn readers_of_a_vector_are_remembered_at_each_of_its_parts() {
    for (width, part) in [4, 2, 1].into_iter().flat_map(|w| (0..16 / w).map(move |p| (w, p * w))) {
        let mut block = Block::new();
        for warp in 0..4 {
            let (mut access, shared) = block.access(warp, 1);
            shared.load::<u32, 4>(&mut access, &[32; LANES]).unwrap();
        }
        let write = |block: &mut Block| {
            let (mut access, shared) = block.access(0, 1);
            let place = [32 + part; LANES];
            match width {
                4 => shared.store(&mut access, &place, &[[0u32; LANES]]),
                2 => shared.store(&mut access, &place, &[[0u16; LANES]]),
                _ => shared.store(&mut access, &place, &[[0u8; LANES]]),
            }
        };
        // The last reader is not among those who met.
        block.order.barrier(&[!0, !0, !0, 0]);
        let message = broken(write(&mut block), Rule::Race, 0, 32 + part);
        assert!(message.contains("after read by block 0 thread 96"), "{message}");
        block.order.barrier_block();
        write(&mut block).unwrap();
    }
}

#[test]
fn vectors_touch_all_their_words() {
    let mut block = Block::new();
    let (mut access, shared) = block.access(0, !0);
    shared.store(&mut access, &strided(0, 16), &[[1u32; LANES]; 4]).unwrap();
    broken(block.read(1, 1, [12; LANES]), Rule::Race, 0, 12);
    block.read(1, 1, [512; LANES]).unwrap();
}

#[test]
fn a_new_block_knows_nothing_of_the_last() {
    let mut block = Block::new();
    block.write(0, !0, row()).unwrap();
    block.shared.reset();
    block.order = Order::new(1, 128);
    block.read(1, !0, row()).unwrap();
}

#[test]
fn double_buffering_with_one_barrier_a_step() {
    // Write buffer s % 2, barrier, read it: the next step writes the other one.
    let mut block = Block::new();
    for step in 0..6u64 {
        let buffer = step % 2 * 512;
        for warp in 0..4 {
            block.write(warp, !0, strided(buffer + 128 * u64::from(warp), 4)).unwrap();
        }
        block.order.barrier_block();
        for warp in 0..4 {
            (0..16).for_each(|word| block.read(warp, !0, [buffer + 32 * word; LANES]).unwrap());
        }
    }
    // With a single buffer the second write meets the readers.
    broken(block.write(0, !0, strided(512, 4)), Rule::Race, 0, 512);
}

#[test]
fn bulk_copies_and_asynchronous_ones_race_too() {
    let mut block = Block::new();
    let (mut access, shared) = block.access(0, 1);
    shared.copy_in(&access, 0, 3, &[0; 11]).unwrap();
    shared.poison(&access, 0, 64, 64).unwrap();
    let snapshot = access.order.as_deref_mut().unwrap().snapshot(0, 1);
    broken(block.read(1, 1, [12; LANES]), Rule::Race, 0, 12);
    broken(block.read(1, 1, [96; LANES]), Rule::Race, 0, 96);
    let (access, shared) = block.access(1, 1);
    broken(shared.copy_out(&access, 0, 64, &mut [0; 4]), Rule::Race, 0, 64);
    shared.copy_out(&access, 0, 14, &mut [0; 2]).unwrap();
    block.shared.deliver(0, 64, &[1; 64]).unwrap();
    block.order.release_snapshot(Point::Shared(1024), &snapshot);
    block.order.acquire(Point::Shared(1024), 1, !0);
    block.read(1, !0, [96; LANES]).unwrap();
}

#[test]
fn the_detector_is_off_without_the_check_or_the_order() {
    let mut shared = Shared::new(64, WATCHED).unwrap();
    shared.store(&mut some(3), &[0; LANES], &[[1u32; LANES]]).unwrap();
    let mut shared = Shared::new(64, Checks::default()).unwrap();
    let mut order = Order::new(0, 32);
    let mut access = Access { order: Some(&mut order), ..warp() };
    shared.store(&mut access, &[0; LANES], &[[1u32; LANES]]).unwrap();
}

#[test]
fn the_warp_that_counts_last_may_set_the_counter_back() {
    let word = [64; LANES];
    let mut block = Block::new();
    (0..4).for_each(|warp| block.add(warp, 1, word).unwrap());
    block.write(3, 1, word).unwrap();
    let mut block = Block::new();
    (0..4).for_each(|warp| block.add(warp, 1, word).unwrap());
    broken(block.write(2, 1, word), Rule::Race, 0, 64);
    // Of lanes that count together the last has seen the others.
    let mut block = Block::new();
    (0..2).for_each(|warp| block.add(warp, 0xff, word).unwrap());
    block.write(1, 0x80, word).unwrap();
    let mut block = Block::new();
    (0..2).for_each(|warp| block.add(warp, 0xff, word).unwrap());
    broken(block.write(1, 0x40, word), Rule::Race, 6, 64);
}
