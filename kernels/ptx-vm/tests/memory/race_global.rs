//! Races in global memory, between blocks too.

use crate::{broken, strided};
use ptx_vm::error::{Checked, Rule};
use ptx_vm::memory::*;

const WATCHED: Checks = Checks { unwritten: false, races: true };
const ZEROS: [[u32; LANES]; 1] = [[0; LANES]];

/// A launch of blocks of 64 threads over one allocation of 64 KiB.
struct Launch {
    view: GlobalView,
    base: u64,
    orders: Vec<Order>,
}

impl Launch {
    fn new(blocks: u32) -> Self {
        let memory = Memory::default();
        let base = memory.allocate(1 << 16).unwrap();
        let orders = (0..blocks).map(|block| Order::new(block, 64)).collect();
        Self { view: memory.view().with_checks(WATCHED), base, orders }
    }

    fn access(&mut self, block: u32, warp: u32, mask: u32) -> (Access<'_>, &GlobalView) {
        let order = Some(&mut self.orders[block as usize]);
        (Access { order, line: 11, ..Access::new(mask, 32 * warp, block) }, &self.view)
    }

    fn read(&mut self, block: u32, warp: u32, mask: u32, addresses: [u64; LANES]) -> Checked<()> {
        let (mut access, view) = self.access(block, warp, mask);
        view.load::<u32, 1>(&mut access, &addresses).map(drop)
    }

    fn write(&mut self, block: u32, warp: u32, mask: u32, addresses: [u64; LANES]) -> Checked<()> {
        let (mut access, view) = self.access(block, warp, mask);
        view.store(&mut access, &addresses, &ZEROS)
    }

    /// `atomicAdd` by lane 0 of warp 0, of this strength and scope; returns the old value.
    fn ticket(&mut self, block: u32, address: u64, strength: Strength, scope: Scope) -> u32 {
        let (access, view) = self.access(block, 0, 1);
        let mut access = Access { strength, scope, ..access };
        view.atomic(&mut access, &[address; LANES], |_, old: u32| old + 1).unwrap()[0]
    }

    fn fence(&mut self, block: u32, scope: Scope) {
        self.orders[block as usize].fence(0, 1, scope);
    }
}

#[test]
fn blocks_are_never_ordered_by_barriers() {
    let mut launch = Launch::new(2);
    let row = strided(launch.base, 4);
    launch.write(0, 0, !0, row).unwrap();
    launch.orders[0].barrier_block();
    launch.orders[1].barrier_block();
    let message = broken(launch.read(1, 0, !0, row), Rule::Race, 0, launch.base);
    let parties = "read by block 1 thread 0 after write by block 0 thread 0 at PTX line 11";
    assert!(message.contains(parties), "{message}");
    launch.read(0, 1, !0, row).unwrap();
    launch.read(1, 0, !0, strided(launch.base + 128, 4)).unwrap();
}

#[test]
fn all_blocks_may_read_and_then_one_may_not_write() {
    let mut launch = Launch::new(40);
    let row = [launch.base; LANES];
    (0..40).for_each(|block| (0..2).for_each(|warp| launch.read(block, warp, !0, row).unwrap()));
    launch.orders[39].barrier_block();
    broken(launch.write(39, 0, 1, row), Rule::Race, 0, launch.base);
}

#[test]
fn a_stray_reader_of_another_block_is_not_hidden_by_the_owner() {
    let mut launch = Launch::new(2);
    let word = [launch.base + 64; LANES];
    launch.read(1, 0, 1, word).unwrap();
    launch.read(0, 0, 1, word).unwrap();
    broken(launch.write(0, 0, 1, word), Rule::Race, 0, launch.base + 64);
    let mut launch = Launch::new(2);
    launch.read(0, 0, 1, word).unwrap();
    launch.write(0, 0, 1, word).unwrap();
    broken(launch.read(1, 0, 1, word), Rule::Race, 0, launch.base + 64);
}

#[test]
fn launches_are_ordered() {
    let mut launch = Launch::new(2);
    let row = strided(launch.base, 4);
    launch.write(0, 0, !0, row).unwrap();
    launch.view = launch.view.clone().with_checks(WATCHED);
    launch.orders = vec![Order::new(0, 64), Order::new(1, 64)];
    launch.read(1, 0, !0, row).unwrap();
}

#[test]
fn bf16_outputs_of_neighbouring_blocks_share_words() {
    let mut launch = Launch::new(2);
    let base = launch.base;
    for block in 0..2 {
        let (mut access, view) = launch.access(block, 0, !0);
        let own = strided(base + 2 * u64::from(block), 4);
        view.store(&mut access, &own, &[[0u16; LANES]]).unwrap();
    }
    broken(launch.read(0, 0, 1, [base; LANES]), Rule::Race, 0, base);
}

#[test]
fn atomics_of_all_blocks_do_not_race() {
    let mut launch = Launch::new(8);
    let base = launch.base;
    for block in 0..8 {
        launch.ticket(block, base, Strength::Weak, Scope::Device);
    }
    // `.cta` is not enough between blocks, and a plain read is none.
    broken(launch.read(0, 1, 1, [base; LANES]), Rule::Race, 0, base);
    let (access, view) = launch.access(3, 1, 1);
    let mut narrow = Access { scope: Scope::Block, ..access };
    broken(view.atomic(&mut narrow, &[base; LANES], |_, old: u32| old), Rule::Race, 0, base);
    let (access, view) = launch.access(3, 1, 1);
    let mut volatile = Access { strength: Strength::Relaxed, ..access };
    view.load::<u32, 1>(&mut volatile, &[base; LANES]).unwrap();
}

/// The last block sums what all left (`threadFenceReduction`); `fence` before the ticket or not.
fn last_block(fenced: Option<Scope>, scope: Scope) -> Checked<()> {
    const BLOCKS: u32 = 6;
    let mut launch = Launch::new(BLOCKS);
    let (sums, counter) = (launch.base, launch.base + 4096);
    for block in 0..BLOCKS {
        launch.write(block, 0, 1, [sums + 4 * u64::from(block); LANES])?;
        if let Some(scope) = fenced {
            launch.fence(block, scope);
        }
        let last = launch.ticket(block, counter, Strength::Weak, scope) == BLOCKS - 1;
        launch.orders[block as usize].barrier_block();
        if last {
            launch.read(block, 1, 0x3f, strided(sums, 4))?;
        }
    }
    Ok(())
}

#[test]
fn the_last_block_may_read_what_was_fenced() {
    last_block(Some(Scope::Device), Scope::Device).unwrap();
}

#[test]
fn without_a_fence_or_with_one_too_narrow_it_may_not() {
    assert_eq!(last_block(None, Scope::Device).unwrap_err().rule, Rule::Race);
    assert_eq!(last_block(Some(Scope::Block), Scope::Device).unwrap_err().rule, Rule::Race);
}

/// All blocks count by `atom`, without a fence; block 3 is the last.
fn counted() -> (Launch, u64) {
    let mut launch = Launch::new(6);
    let counter = launch.base + 4096;
    for block in [0, 1, 2, 4, 5, 3] {
        launch.ticket(block, counter, Strength::Weak, Scope::Device);
    }
    (launch, counter)
}

#[test]
fn who_has_seen_all_tickets_may_set_the_counter_back() {
    let word = |at| [at; LANES];
    let (mut launch, counter) = counted();
    launch.read(3, 0, 1, word(counter)).unwrap();
    launch.write(3, 0, 1, word(counter)).unwrap();
    // And so may its block, behind a barrier.
    let (mut launch, counter) = counted();
    broken(launch.write(3, 1, 1, word(counter)), Rule::Race, 0, counter);
    let (mut launch, counter) = counted();
    launch.orders[3].barrier_block();
    launch.write(3, 1, 1, word(counter)).unwrap();
    // Who came before the last has not seen all.
    let (mut launch, counter) = counted();
    broken(launch.write(5, 0, 1, word(counter)), Rule::Race, 0, counter);
    let (mut launch, counter) = counted();
    launch.ticket(0, counter, Strength::Weak, Scope::Device);
    let message = broken(launch.write(3, 0, 1, word(counter)), Rule::Race, 0, counter);
    assert!(message.contains("after atomic operation by block 0 thread 0"), "{message}");
}

#[test]
fn seeing_is_a_strong_read_of_that_word() {
    let word = |at| [at; LANES];
    // A poll sees them too; so does a poll of another lane, or of another word, not.
    let poll = |launch: &mut Launch, block, mask, at: u64| {
        let (access, view) = launch.access(block, 0, mask);
        let mut poll = Access { strength: Strength::Relaxed, ..access };
        view.load::<u32, 1>(&mut poll, &word(at)).unwrap();
    };
    let (mut launch, counter) = counted();
    poll(&mut launch, 5, 1, counter);
    launch.read(5, 0, 1, word(counter)).unwrap();
    poll(&mut launch, 2, 6, counter);
    launch.read(2, 0, 6, word(counter)).unwrap();
    broken(launch.read(2, 0, 1, word(counter)), Rule::Race, 0, counter);
    let (mut launch, counter) = counted();
    launch.ticket(0, counter + 4, Strength::Weak, Scope::Device);
    poll(&mut launch, 5, 1, counter + 4);
    broken(launch.read(5, 0, 1, word(counter)), Rule::Race, 0, counter);
    // `red` adds and sees nothing.
    let (mut launch, counter) = counted();
    let (access, view) = launch.access(5, 0, 1);
    let mut blind = Access { blind: true, ..access };
    view.atomic(&mut blind, &word(counter), |_, old: u32| old + 1).unwrap();
    broken(launch.write(5, 0, 1, word(counter)), Rule::Race, 0, counter);
}

#[test]
fn what_a_store_has_covered_up_is_not_seen() {
    let word = |at| [at; LANES];
    let run = |with_read: bool| {
        let (mut launch, counter) = counted();
        if with_read {
            launch.ticket(4, counter, Strength::Weak, Scope::Device);
        }
        let (access, view) = launch.access(4, 0, 1);
        let mut relaxed = Access { strength: Strength::Relaxed, ..access };
        view.store(&mut relaxed, &word(counter), &ZEROS).unwrap();
        launch.ticket(5, counter, Strength::Weak, Scope::Device);
        launch.write(5, 0, 1, word(counter))
    };
    run(true).unwrap();
    assert_eq!(run(false).unwrap_err().rule, Rule::Race);
}

#[test]
fn what_was_seen_is_not_what_came_before_it() {
    // The counter is in order, the sums before it are not: no fence.
    let mut launch = Launch::new(2);
    let (sum, counter) = (launch.base, launch.base + 4096);
    launch.write(0, 0, 1, [sum; LANES]).unwrap();
    launch.ticket(0, counter, Strength::Weak, Scope::Device);
    launch.ticket(1, counter, Strength::Weak, Scope::Device);
    launch.write(1, 0, 1, [counter; LANES]).unwrap();
    broken(launch.read(1, 0, 1, [sum; LANES]), Rule::Race, 0, sum);
}

#[test]
fn of_many_readers_each_has_seen() {
    let mut launch = Launch::new(1500);
    let counter = launch.base + 4096;
    launch.ticket(0, counter, Strength::Weak, Scope::Device);
    for block in 1..1500 {
        let (access, view) = launch.access(block, 0, 1);
        let mut poll = Access { strength: Strength::Relaxed, ..access };
        view.load::<u32, 1>(&mut poll, &[counter; LANES]).unwrap();
    }
    (1..1500).for_each(|block| launch.read(block, 0, 1, [counter; LANES]).unwrap());
    // As bytes too.
    let (mut access, view) = launch.access(7, 0, 1);
    view.load::<u8, 1>(&mut access, &[counter + 1; LANES]).unwrap();
}

#[test]
fn only_what_came_before_the_fence_is_handed_on() {
    let mut launch = Launch::new(2);
    let (data, flag) = (launch.base, launch.base + 4096);
    // Warp 1 of block 0 writes too, but meets nobody before thread 0 fences.
    launch.write(0, 1, 1, [data; LANES]).unwrap();
    launch.write(0, 0, 1, [data + 4; LANES]).unwrap();
    launch.fence(0, Scope::Device);
    launch.ticket(0, flag, Strength::Weak, Scope::Device);
    launch.ticket(1, flag, Strength::Weak, Scope::Device);
    launch.fence(1, Scope::Device);
    launch.read(1, 0, 1, [data + 4; LANES]).unwrap();
    broken(launch.read(1, 0, 1, [data; LANES]), Rule::Race, 0, data);
}

#[test]
fn release_and_acquire_between_blocks() {
    let mut launch = Launch::new(3);
    let (data, flag) = (launch.base, launch.base + 4096);
    launch.write(0, 1, !0, strided(data, 4)).unwrap();
    launch.orders[0].barrier_block();
    launch.ticket(0, flag, Strength::Release, Scope::Device);
    launch.ticket(1, flag, Strength::AcquireRelease, Scope::Device);
    launch.read(1, 0, 1, [data + 64; LANES]).unwrap();
    // Through block 1 to block 2; but only to the thread that acquired, until its block meets.
    launch.ticket(2, flag, Strength::Acquire, Scope::Device);
    launch.read(2, 0, 1, [data + 64; LANES]).unwrap();
    broken(launch.read(2, 1, 1, [data + 64; LANES]), Rule::Race, 0, data + 64);
    launch.orders[2].barrier_block();
    launch.read(2, 1, 1, [data + 64; LANES]).unwrap();
    launch.write(2, 1, 1, [data + 68; LANES]).unwrap();
}

#[test]
fn a_barrier_of_the_whole_grid() {
    // Thread 0 of each block: fence, count, poll, fence; a block's barrier on either side.
    const BLOCKS: u32 = 4;
    let mut launch = Launch::new(BLOCKS);
    let (data, counter) = (launch.base, launch.base + 8192);
    let own = |block: u32, warp: u32| strided(data + u64::from(block * 256 + warp * 128), 4);
    for round in 0..3 {
        for block in 0..BLOCKS {
            (0..2).for_each(|warp| {
                launch.write(block, warp, !0, own((block + round) % BLOCKS, warp)).unwrap()
            });
            launch.orders[block as usize].barrier_block();
            launch.fence(block, Scope::Device);
            launch.ticket(block, counter, Strength::Weak, Scope::Device);
        }
        for block in 0..BLOCKS {
            let (access, view) = launch.access(block, 0, 1);
            let mut poll = Access { strength: Strength::Relaxed, ..access };
            view.load::<u32, 1>(&mut poll, &[counter; LANES]).unwrap();
            launch.fence(block, Scope::Device);
            launch.orders[block as usize].barrier_block();
        }
    }
    launch.write(0, 0, 1, [data; LANES]).unwrap();
    broken(launch.read(1, 0, 1, [data; LANES]), Rule::Race, 0, data);
}

#[test]
fn bulk_copies_of_a_tensor_race_as_their_thread() {
    let mut launch = Launch::new(2);
    let base = launch.base;
    let (mut access, view) = launch.access(0, 0, 1);
    view.copy_in(&mut access, 0, base + 1021, &[0; 10]).unwrap();
    let (mut access, view) = launch.access(1, 0, 1);
    view.copy_out(&mut access, 0, base + 1031, &mut [0; 100]).unwrap();
    broken(view.copy_out(&mut access, 0, base + 1000, &mut [0; 22]), Rule::Race, 0, base + 1020);
    broken(view.copy_out(&mut access, 0, base + 1030, &mut [0; 2]), Rule::Race, 0, base + 1030);
}

#[test]
fn host_threads_find_the_race_between_their_blocks_and_no_other() {
    let memory = Memory::default();
    let base = memory.allocate(1 << 20).unwrap();
    for shared_word in [false, true] {
        let view = memory.view().with_checks(WATCHED);
        let results: Vec<Checked<()>> = std::thread::scope(|scope| {
            let run = |block: u32| {
                let view = view.clone();
                move || {
                    let mut order = Order::new(block, 32);
                    let mut store = |addresses: [u64; LANES]| {
                        let mut access =
                            Access { order: Some(&mut order), ..Access::new(!0, 0, block) };
                        view.store(&mut access, &addresses, &ZEROS)
                    };
                    for i in 0..2000 {
                        store(strided(base + 128 * (4 * i + u64::from(block)), 4))?;
                    }
                    if shared_word {
                        store(strided(base + 128 * (5 + u64::from(block) % 2), 4))
                    } else {
                        Ok(())
                    }
                }
            };
            let threads: Vec<_> = (0..4).map(|block| scope.spawn(run(block))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let races = results
            .iter()
            .filter(|result| matches!(result, Err(v) if v.rule == Rule::Race))
            .count();
        assert_eq!(races > 0, shared_word, "{results:?}");
        assert_eq!(races, results.iter().filter(|result| result.is_err()).count());
    }
}
