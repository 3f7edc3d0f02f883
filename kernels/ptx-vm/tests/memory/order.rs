//! Barriers, fences and flags, as the detector understands them.

use crate::broken;
use ptx_vm::error::{Checked, Rule};
use ptx_vm::memory::*;

/// A block whose threads touch words of shared memory one by one.
struct Block {
    order: Order,
    shared: Shared,
}

impl Block {
    fn new(threads: u32) -> Self {
        let checks = Checks { unwritten: false, races: true };
        Self { order: Order::new(0, threads), shared: Shared::new(4096, checks).unwrap() }
    }

    fn access(
        &mut self,
        thread: u32,
        strength: Strength,
        scope: Scope,
    ) -> (Access<'_>, &mut Shared) {
        let access = Access::new(1 << (thread % 32), thread & !31, 0);
        (Access { strength, scope, order: Some(&mut self.order), ..access }, &mut self.shared)
    }

    fn read(&mut self, thread: u32, word: u64) -> Checked<()> {
        let (mut access, shared) = self.access(thread, Strength::Weak, Scope::Device);
        shared.load::<u32, 1>(&mut access, &[4 * word; LANES]).map(drop)
    }

    fn write(&mut self, thread: u32, word: u64) -> Checked<()> {
        let (mut access, shared) = self.access(thread, Strength::Weak, Scope::Device);
        shared.store(&mut access, &[4 * word; LANES], &[[1u32; LANES]])
    }

    fn strong_store(&mut self, thread: u32, word: u64, strength: Strength) -> Checked<()> {
        let (mut access, shared) = self.access(thread, strength, Scope::Block);
        shared.store(&mut access, &[4 * word; LANES], &[[1u32; LANES]])
    }

    fn strong_load(&mut self, thread: u32, word: u64, strength: Strength) -> Checked<()> {
        let (mut access, shared) = self.access(thread, strength, Scope::Block);
        shared.load::<u32, 1>(&mut access, &[4 * word; LANES]).map(drop)
    }

    #[track_caller]
    fn races(&mut self, thread: u32, word: u64) {
        broken(self.read(thread, word), Rule::Race, thread % 32, 4 * word);
    }
}

#[test]
fn a_named_barrier_orders_those_who_take_part() {
    let mut block = Block::new(128);
    block.write(0, 0).unwrap();
    block.write(64, 1).unwrap();
    // Warps 0 and 1 meet.
    block.order.barrier(&[!0, !0]);
    block.read(63, 0).unwrap();
    block.races(96, 0);
    block.races(32, 1);
    // Order is handed on: warp 1 meets warp 2, and brings what it knows of warp 0.
    block.order.barrier(&[0, !0, !0]);
    block.read(95, 0).unwrap();
    block.races(96, 0);
}

#[test]
fn a_barrier_does_not_order_what_comes_after_it() {
    let mut block = Block::new(64);
    block.order.barrier_block();
    block.write(0, 0).unwrap();
    block.races(32, 0);
}

#[test]
fn arrive_hands_on_what_was_done_before_it_only() {
    let mut block = Block::new(64);
    block.write(0, 0).unwrap();
    block.order.release(Point::Barrier(1), 0, !0);
    block.write(0, 1).unwrap();
    block.order.acquire(Point::Barrier(1), 1, !0);
    block.read(40, 0).unwrap();
    block.races(40, 1);
    // It is one way: what the waiting warp did before is not known to the one that arrived.
    block.write(33, 2).unwrap();
    block.races(0, 2);
}

#[test]
fn a_point_forgotten_hands_on_nothing() {
    let mut block = Block::new(64);
    block.write(0, 0).unwrap();
    block.order.release(Point::Shared(512), 0, 1);
    block.order.forget(Point::Shared(516));
    block.order.acquire(Point::Shared(512), 1, !0);
    block.races(40, 0);
}

#[test]
fn an_mbarrier_ring_of_producer_and_consumers() {
    // Two stages; full and empty barriers each; warp 0 produces, warps 1 and 2 consume.
    let (full, empty) =
        (|s: u64| Point::Shared(1024 + 16 * s), |s: u64| Point::Shared(2048 + 16 * s));
    let mut block = Block::new(96);
    for step in 0..8u64 {
        let stage = step % 2;
        if step >= 2 {
            block.order.acquire(empty(stage), 0, 1);
        }
        block.write(0, stage).unwrap();
        block.order.release(full(stage), 0, 1);
        for warp in [1, 2] {
            block.order.acquire(full(stage), warp, !0);
            (0..32).for_each(|lane| block.read(32 * warp + lane, stage).unwrap());
            block.order.warp_sync(warp, !0);
            block.order.release(empty(stage), warp, 1);
        }
    }
    // Without waiting for the stage to be empty the producer overwrites what is being read.
    let mut late = Block::new(64);
    late.write(0, 0).unwrap();
    late.order.release(full(0), 0, 1);
    late.order.acquire(full(0), 1, !0);
    late.read(33, 0).unwrap();
    broken(late.write(0, 0), Rule::Race, 0, 0);
}

#[test]
fn lanes_that_did_not_arrive_are_not_handed_on() {
    // Only lane 0 arrives, and no barrier of the warp comes before: lane 5's write is not ordered.
    let mut block = Block::new(64);
    block.write(5, 0).unwrap();
    block.order.release(Point::Shared(64), 0, 1);
    block.order.acquire(Point::Shared(64), 1, !0);
    block.races(40, 0);
    let mut block = Block::new(64);
    block.write(5, 0).unwrap();
    block.order.warp_sync(0, !0);
    block.order.release(Point::Shared(64), 0, 1);
    block.order.acquire(Point::Shared(64), 1, !0);
    block.read(40, 0).unwrap();
}

#[test]
fn release_and_acquire_through_a_flag() {
    let mut block = Block::new(64);
    block.write(0, 0).unwrap();
    block.strong_store(0, 100, Strength::Release).unwrap();
    block.strong_load(32, 100, Strength::Acquire).unwrap();
    block.read(32, 0).unwrap();
    block.races(33, 0);
}

#[test]
fn relaxed_accesses_hand_on_nothing_without_fences() {
    let mut block = Block::new(64);
    block.write(0, 0).unwrap();
    block.strong_store(0, 100, Strength::Relaxed).unwrap();
    block.strong_load(32, 100, Strength::Relaxed).unwrap();
    block.races(32, 0);
    // With a fence on one side only it is not enough either.
    let mut block = Block::new(64);
    block.write(0, 0).unwrap();
    block.order.fence(0, 1, Scope::Block);
    block.strong_store(0, 100, Strength::Relaxed).unwrap();
    block.strong_load(32, 100, Strength::Relaxed).unwrap();
    block.races(32, 0);
    let mut block = Block::new(64);
    block.write(0, 0).unwrap();
    block.strong_store(0, 100, Strength::Relaxed).unwrap();
    block.strong_load(32, 100, Strength::Relaxed).unwrap();
    block.order.fence(1, 1, Scope::Block);
    block.races(32, 0);
}

#[test]
fn fences_on_both_sides_do() {
    let mut block = Block::new(64);
    block.write(0, 0).unwrap();
    block.order.fence(0, 1, Scope::Block);
    block.strong_store(0, 100, Strength::Relaxed).unwrap();
    block.strong_load(32, 100, Strength::Relaxed).unwrap();
    block.order.fence(1, 1, Scope::Block);
    block.read(32, 0).unwrap();
    // A fence before the flag was read sees nothing.
    let mut block = Block::new(64);
    block.write(0, 0).unwrap();
    block.order.fence(0, 1, Scope::Block);
    block.strong_store(0, 100, Strength::Relaxed).unwrap();
    block.order.fence(1, 1, Scope::Block);
    block.strong_load(32, 100, Strength::Relaxed).unwrap();
    block.races(32, 0);
    // And what is written after the fence is not handed on.
    let mut block = Block::new(64);
    block.order.fence(0, 1, Scope::Block);
    block.write(0, 0).unwrap();
    block.strong_store(0, 100, Strength::Relaxed).unwrap();
    block.strong_load(32, 100, Strength::Acquire).unwrap();
    block.races(32, 0);
}

#[test]
fn polling_a_flag_without_a_strong_access_is_a_race() {
    let mut block = Block::new(64);
    block.read(32, 100).unwrap();
    broken(block.strong_store(0, 100, Strength::Release), Rule::Race, 0, 400);
    let mut block = Block::new(64);
    block.strong_load(32, 100, Strength::Relaxed).unwrap();
    block.strong_store(0, 100, Strength::Relaxed).unwrap();
    block.strong_load(33, 100, Strength::Acquire).unwrap();
    block.races(34, 100);
}

#[test]
fn a_lock_of_compare_and_swap_orders_its_sections() {
    let mut block = Block::new(96);
    for thread in [0, 40, 70, 1, 41] {
        let (mut access, shared) = block.access(thread, Strength::Acquire, Scope::Block);
        shared.atomic(&mut access, &[400; LANES], |_, _: u32| 1).unwrap();
        block.read(thread, 0).unwrap();
        block.write(thread, 0).unwrap();
        block.strong_store(thread, 100, Strength::Release).unwrap();
    }
    block.races(42, 0);
}

#[test]
fn blocks_of_odd_sizes() {
    let mut block = Block::new(40);
    block.write(39, 0).unwrap();
    block.order.barrier_block();
    block.read(0, 0).unwrap();
    block.write(1, 1).unwrap();
    block.order.barrier(&[!0, !0, !0]);
    block.read(39, 1).unwrap();
    block.order.warp_sync(1, !0);
    block.order.warp_sync(7, !0);
    block.order.release(Point::Other(3), 9, !0);
    block.order.fence(9, !0, Scope::Device);
}

/// Against a plain model: vector clocks of every thread, every access kept.
#[test]
fn random_programs_agree_with_full_vector_clocks() {
    const THREADS: usize = 70;
    let mut seed = 1u64;
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) % below
    };
    let mut reported = 0;
    for _ in 0..300 {
        let mut block = Block::new(THREADS as u32);
        let mut clocks = vec![[0u32; THREADS]; THREADS];
        (0..THREADS).for_each(|t| clocks[t][t] = 1);
        let mut points = vec![[0u32; THREADS]; 3];
        // Thread, its time, word, wrote.
        let mut past: Vec<(usize, u32, u64, bool)> = Vec::new();
        for _ in 0..120 {
            let thread = random(THREADS as u64) as usize;
            let warp = thread / 32;
            match random(10) {
                0 => {
                    let lanes: Vec<u32> =
                        (0..3).map(|_| random(1 << 32) as u32 | random(1 << 32) as u32).collect();
                    block.order.barrier(&lanes);
                    let members: Vec<usize> =
                        (0..THREADS).filter(|t| lanes[t / 32] >> (t % 32) & 1 == 1).collect();
                    let merged: [u32; THREADS] = std::array::from_fn(|u| {
                        members.iter().map(|&t| clocks[t][u]).max().unwrap_or(0)
                    });
                    for &t in &members {
                        clocks[t] = merged;
                        clocks[t][t] += 1;
                    }
                }
                1 | 2 => {
                    let point = random(3) as usize;
                    let lanes = 1 << (thread % 32) | random(1 << 32) as u32;
                    block.order.release(Point::Other(point as u64), warp as u32, lanes);
                    for t in (32 * warp..THREADS.min(32 * warp + 32))
                        .filter(|t| lanes >> (t % 32) & 1 == 1)
                    {
                        (0..THREADS)
                            .for_each(|u| points[point][u] = points[point][u].max(clocks[t][u]));
                        clocks[t][t] += 1;
                    }
                }
                3 | 4 => {
                    let point = random(3) as usize;
                    let lanes = 1 << (thread % 32) | random(1 << 32) as u32;
                    block.order.acquire(Point::Other(point as u64), warp as u32, lanes);
                    for t in (32 * warp..THREADS.min(32 * warp + 32))
                        .filter(|t| lanes >> (t % 32) & 1 == 1)
                    {
                        (0..THREADS)
                            .for_each(|u| clocks[t][u] = clocks[t][u].max(points[point][u]));
                    }
                }
                kind => {
                    let (word, wrote) = (random(6), kind > 7);
                    let races = past.iter().any(|&(t, time, w, other_wrote)| {
                        w == word
                            && (wrote || other_wrote)
                            && t != thread
                            && clocks[thread][t] < time
                    });
                    let result = if wrote {
                        block.write(thread as u32, word)
                    } else {
                        block.read(thread as u32, word)
                    };
                    assert_eq!(result.is_err(), races, "{result:?}");
                    if races {
                        reported += 1;
                        break;
                    }
                    past.push((thread, clocks[thread][thread], word, wrote));
                }
            }
        }
    }
    assert!(reported > 50, "{reported} races of 300 programs");
}
