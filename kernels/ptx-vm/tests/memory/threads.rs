//! Host threads at one memory: what blocks on several host threads do to each other.

use crate::{strided, warp};
use ptx_vm::memory::*;
use std::sync::atomic::{AtomicBool, Ordering};

/// A filled allocation and its view.
fn zeros(bytes: u64) -> (Memory, u64) {
    let memory = Memory::default();
    let base = memory.allocate(bytes).unwrap();
    memory.fill(base, &[0], bytes).unwrap();
    (memory, base)
}

#[test]
fn no_atomic_addition_is_lost() {
    let (memory, base) = zeros(256);
    let view = memory.view();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let view = view.clone();
            scope.spawn(move || {
                for _ in 0..500 {
                    view.atomic(&mut warp(), &[base; LANES], |_, old: u32| old + 1).unwrap();
                    view.atomic(&mut warp(), &strided(base + 64, 2), |_, old: u16| old + 1)
                        .unwrap();
                    view.atomic(&mut warp(), &[base + 8; LANES], |_, old: u64| old + (1 << 33))
                        .unwrap();
                }
            });
        }
    });
    assert_eq!(view.load::<u32, 1>(&mut warp(), &[base; LANES]).unwrap()[0][0], 4 * 500 * 32);
    assert_eq!(
        view.load::<u64, 1>(&mut warp(), &[base + 8; LANES]).unwrap()[0][0],
        (4 * 500 * 32) << 33
    );
    assert_eq!(view.load::<u16, 1>(&mut warp(), &strided(base + 64, 2)).unwrap(), [[2000; LANES]]);
}

#[test]
fn neighbours_in_one_word_of_bits_do_not_lose_each_other() {
    // Each host thread writes its own bytes for the first time; 64 bytes share a word of written bits.
    let memory = Memory::default();
    let base = memory.allocate(4 * 32 * 256).unwrap();
    let view = memory.view();
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let view = view.clone();
            scope.spawn(move || {
                for i in 0..256 {
                    let addresses = strided(base + i * 128 + thread, 4);
                    view.store(&mut warp(), &addresses, &[[thread as u8; LANES]]).unwrap();
                }
            });
        }
    });
    assert_eq!(memory.unwritten(base, 4 * 32 * 256), Ok(None));
    let mut bytes = vec![0; 4 * 32 * 256];
    memory.read(base, &mut bytes).unwrap();
    assert!(bytes.chunks(4).all(|four| four == [0, 1, 2, 3]));
}

#[test]
fn a_flag_hands_data_from_one_host_thread_to_another() {
    for _ in 0..200 {
        let (memory, base) = zeros(4);
        let data = memory.allocate(128).unwrap();
        let view = memory.view();
        let flag = [base; LANES];
        std::thread::scope(|scope| {
            scope.spawn(|| {
                view.store(&mut warp(), &strided(data, 4), &[[7u32; LANES]]).unwrap();
                fence();
                let mut release = Access { strength: Strength::Relaxed, ..Access::new(1, 0, 0) };
                view.store(&mut release, &flag, &[[1u32; LANES]]).unwrap();
            });
            let poll = || {
                let mut acquire = Access { strength: Strength::Acquire, ..Access::new(1, 0, 1) };
                view.load::<u32, 1>(&mut acquire, &flag).unwrap()[0][0]
            };
            while poll() == 0 {
                std::thread::yield_now();
            }
            // Bytes and written bits have come along.
            assert_eq!(view.load::<u32, 1>(&mut warp(), &strided(data, 4)).unwrap(), [[7; LANES]]);
        });
    }
}

#[test]
fn racing_stores_leave_one_of_the_values() {
    let (memory, base) = zeros(256);
    let view = memory.view();
    let values = [0x1111_1111u32, 0x2222_2222];
    std::thread::scope(|scope| {
        for value in values {
            let view = view.clone();
            scope.spawn(move || {
                for _ in 0..2000 {
                    view.store(&mut warp(), &strided(base, 4), &[[value; LANES]]).unwrap();
                    let seen = view.load::<u32, 1>(&mut warp(), &strided(base, 4)).unwrap();
                    assert!(seen[0].iter().all(|word| values.contains(word)));
                }
            });
        }
    });
}

#[test]
fn the_driver_works_while_kernels_run() {
    let (memory, base) = zeros(1 << 16);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for i in 0..300u64 {
                let other = memory.allocate(1 + i * 100).unwrap();
                memory.fill(other, &[1], 1 + i * 100).unwrap();
                memory.write(base, &[i as u8; 999]).unwrap();
                memory.free(other).unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        while !done.load(Ordering::Relaxed) {
            let view = memory.view();
            view.load::<u32, 4>(&mut warp(), &strided(base + 4096, 16)).unwrap();
        }
    });
    assert_eq!(memory.capacity().1, (8 << 30) - (1 << 16));
}
