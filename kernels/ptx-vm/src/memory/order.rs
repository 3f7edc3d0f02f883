//! Which accesses of a block's threads are ordered: happens-before, told by the barriers as they pass.
//!
//! Each thread counts epochs. What it did in an epoch is stamped with it; whatever hands its work on
//! (a barrier, a release, a fence) ends the epoch. An access comes before another if the thread of the
//! second knows the epoch of the first. Where PTX leaves room, order is assumed: a report is never
//! false, a race may be missed.

use super::LANES;
use super::access::{Scope, Strength, lanes};
use super::clock::{Clock, Knowledge, Promise};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

/// Where order is handed on from one thread of a block to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Point {
    /// An address in shared memory: an mbarrier or a flag. Eight bytes are one point.
    Shared(u64),
    /// A named barrier, for `bar.arrive`.
    Barrier(u32),
    /// Whatever else the machine needs (a group of asynchronous copies).
    Other(u64),
}

impl Point {
    fn key(self) -> Self {
        match self {
            Point::Shared(address) => Point::Shared(address & !7),
            other => other,
        }
    }
}

/// What some threads had done at a moment, to be released later (when an asynchronous copy arrives).
#[derive(Debug, Clone)]
pub struct Snapshot(Knowledge);

/// What fences of a thread leave behind, and what they will make of what the thread has seen:
/// index 0 inside the block, index 1 on the device.
#[derive(Debug, Clone, Default)]
struct Fences {
    released: [Option<Promise>; 2],
    seen: [Option<Arc<Knowledge>>; 2],
}

/// What a strong access finds at its address, or leaves there: inside the block, and on the device.
pub(super) struct Handed<T>(pub [Option<T>; 2]);

#[derive(Debug)]
struct Thread {
    /// From 1.
    epoch: u32,
    known: Rc<Clock>,
    /// Kept from the first fence or strong access on.
    fences: Option<Box<Fences>>,
}

/// The order of one block's threads. Made when the block starts, and kept on the host thread that runs
/// it; barriers and fences tell it what they order, accesses ask it.
#[derive(Debug)]
pub struct Order {
    threads: Vec<Thread>,
    points: HashMap<Point, Arc<Knowledge>>,
}

impl Order {
    /// Nobody of the `threads` of a block has done anything.
    pub fn new(block: u32, threads: u32) -> Self {
        let known = Rc::new(Clock::new(block, threads as usize));
        let thread = || Thread { epoch: 1, known: known.clone(), fences: None };
        Self { threads: (0..threads).map(|_| thread()).collect(), points: HashMap::new() }
    }

    /// A barrier that orders `lanes[w]` of each warp `w`: all that they did before, before all that
    /// they do after. Named barriers name those who take part.
    pub fn barrier(&mut self, lanes: &[u32]) {
        let threads = members(lanes).filter(|&t| t < self.threads.len()).collect::<Vec<_>>();
        self.meet(&threads);
    }

    /// A barrier of the whole block; threads that have ended count as having come.
    pub fn barrier_block(&mut self) {
        let threads = (0..self.threads.len()).collect::<Vec<_>>();
        self.meet(&threads);
    }

    /// `bar.warp.sync` of `lanes` of a warp.
    pub fn warp_sync(&mut self, warp: u32, lanes: u32) {
        let threads = self.of(warp, lanes);
        self.meet(&threads);
    }

    /// The lanes hand on at `point` what they have done: `bar.arrive`, `mbarrier.arrive`.
    pub fn release(&mut self, point: Point, warp: u32, lanes: u32) {
        let snapshot = self.snapshot(warp, lanes);
        self.release_snapshot(point, &snapshot);
    }

    /// What the lanes have done until now. What they do from now on is not in it.
    pub fn snapshot(&mut self, warp: u32, lanes: u32) -> Snapshot {
        let threads = self.of(warp, lanes);
        let promises = threads.into_iter().map(|thread| self.promise(thread)).collect::<Vec<_>>();
        let mut knowledge = Knowledge::default();
        for alike in promises.chunk_by(|a, b| Rc::ptr_eq(&a.clock, &b.clock)) {
            knowledge.take(alike);
        }
        Snapshot(knowledge)
    }

    /// Hands on at `point` what was done when the snapshot was taken.
    pub fn release_snapshot(&mut self, point: Point, snapshot: &Snapshot) {
        Arc::make_mut(self.points.entry(point.key()).or_default()).join(&snapshot.0);
    }

    /// The lanes come after all that was released at `point`: the end of a wait on an mbarrier, or of
    /// a barrier at which others only arrived.
    pub fn acquire(&mut self, point: Point, warp: u32, lanes: u32) {
        if let Some(released) = self.points.get(&point.key()).cloned() {
            let threads = self.of(warp, lanes);
            self.learn(&threads, &released);
        }
    }

    /// The point starts anew (`mbarrier.inval`, a barrier that completed).
    pub fn forget(&mut self, point: Point) {
        self.points.remove(&point.key());
    }

    /// `fence` or `membar` by lanes of a warp: what they saw with strong reads before comes before what
    /// they do after, and their later strong writes hand on what they did before.
    pub fn fence(&mut self, warp: u32, lanes: u32, scope: Scope) {
        for thread in self.of(warp, lanes) {
            let device = scope == Scope::Device;
            self.learn_seen(thread, device);
            let promise = self.promise(thread);
            let fences = self.threads[thread].fences.get_or_insert_default();
            if device {
                fences.released[1] = Some(promise.clone());
            }
            fences.released[0] = Some(promise);
        }
    }

    /// What a strong write of `thread` leaves at its address.
    pub(super) fn left(
        &mut self,
        thread: usize,
        strength: Strength,
        scope: Scope,
    ) -> Handed<Promise> {
        let device = scope == Scope::Device;
        if strength.releases() && thread < self.threads.len() {
            let promise = self.promise(thread);
            return Handed([Some(promise.clone()), device.then_some(promise)]);
        }
        let fences = self.threads.get(thread).and_then(|thread| thread.fences.as_deref());
        let released = fences.map(|fences| fences.released.clone()).unwrap_or_default();
        let [block, wide] = released;
        Handed([block, wide.filter(|_| device)])
    }

    /// A strong read of `thread` found `handed` at its address: known at once if it acquires, from the
    /// next fence or barrier on if not.
    pub(super) fn found(
        &mut self,
        thread: usize,
        strength: Strength,
        handed: Handed<Arc<Knowledge>>,
    ) {
        if thread >= self.threads.len() {
            return;
        }
        for (index, knowledge) in handed.0.into_iter().enumerate() {
            let Some(knowledge) = knowledge else { continue };
            if strength.acquires() {
                self.learn(&[thread], &knowledge);
                continue;
            }
            match &mut self.threads[thread].fences.get_or_insert_default().seen[index] {
                Some(seen) if Arc::ptr_eq(seen, &knowledge) => {}
                Some(seen) => Arc::make_mut(seen).join(&knowledge),
                empty => *empty = Some(knowledge),
            }
        }
    }

    /// [`Order::left`] at an address in shared memory.
    pub(super) fn leave_shared(
        &mut self,
        address: u64,
        thread: usize,
        strength: Strength,
        scope: Scope,
    ) {
        let Handed([promise, _]) = self.left(thread, strength, scope);
        if let Some(promise) = promise {
            let point = self.points.entry(Point::Shared(address).key()).or_default();
            Arc::make_mut(point).take(std::slice::from_ref(&promise));
        }
    }

    /// [`Order::found`] at an address in shared memory.
    pub(super) fn find_shared(&mut self, address: u64, thread: usize, strength: Strength) {
        let released = self.points.get(&Point::Shared(address).key()).cloned();
        self.found(thread, strength, Handed([released, None]));
    }

    /// The running epoch of a thread and what it knows; `None` for a thread the block does not have.
    #[inline]
    pub(super) fn stand(&self, thread: usize) -> Option<(u32, &Clock)> {
        self.threads.get(thread).map(|thread| (thread.epoch, &*thread.known))
    }

    /// The same of the lanes of a warp, whose first thread is `first`, if all have done alike: same epoch, same
    /// knowledge.
    #[inline]
    pub(super) fn stand_together(&self, first: usize, mask: u32) -> Option<(u32, &Clock)> {
        let threads = self.threads.get(first..)?;
        let one = threads.get(mask.trailing_zeros() as usize)?;
        let alike =
            |other: &Thread| other.epoch == one.epoch && Rc::ptr_eq(&other.known, &one.known);
        let together = lanes(mask).all(|lane| threads.get(lane).is_some_and(alike));
        together.then_some((one.epoch, &*one.known))
    }

    fn of(&self, warp: u32, lanes: u32) -> Vec<usize> {
        let first = warp as usize * LANES;
        super::access::lanes(lanes)
            .map(|lane| first + lane)
            .filter(|&thread| thread < self.threads.len())
            .collect()
    }

    /// Ends the thread's epoch and holds what it did until then.
    fn promise(&mut self, thread: usize) -> Promise {
        let Thread { epoch, known, .. } = &mut self.threads[thread];
        let promise = Promise { clock: known.clone(), thread, epoch: *epoch };
        *epoch += 1;
        promise
    }

    /// All `threads` learn what each of them did and knew.
    fn meet(&mut self, threads: &[usize]) {
        let Some(&first) = threads.first() else { return };
        let mut merged = Clock::clone(&self.threads[first].known);
        let mut joined = vec![Rc::as_ptr(&self.threads[first].known)];
        for &thread in threads {
            let Thread { known, fences, .. } = &mut self.threads[thread];
            if !joined.contains(&Rc::as_ptr(known)) {
                merged.join(known);
                joined.push(Rc::as_ptr(known));
            }
            // A barrier does for what was seen what a fence would do: the block that comes last
            // (`threadFenceReduction`) has no other fence between its ticket and its reads.
            let seen = fences.as_mut().map(|fences| std::mem::take(&mut fences.seen));
            seen.into_iter().flatten().flatten().for_each(|seen| merged.absorb(&seen));
        }
        merged.reach(threads.iter().map(|&thread| (thread, self.threads[thread].epoch)));
        merged.settle();
        let merged = Rc::new(merged);
        for &thread in threads {
            self.threads[thread].known = merged.clone();
            self.threads[thread].epoch += 1;
        }
    }

    /// The threads learn what was handed on; those that knew the same go on sharing one clock.
    fn learn(&mut self, threads: &[usize], knowledge: &Knowledge) {
        let mut last: Option<(Rc<Clock>, Rc<Clock>)> = None;
        for &thread in threads {
            let known = &mut self.threads[thread].known;
            match &last {
                Some((before, after)) if Rc::ptr_eq(before, known) => *known = after.clone(),
                _ if known.includes(knowledge) => {}
                _ => {
                    let mut clock = Clock::clone(known);
                    clock.absorb(knowledge);
                    clock.settle();
                    let before = std::mem::replace(known, Rc::new(clock));
                    last = Some((before, known.clone()));
                }
            }
        }
    }

    /// The thread learns what its strong reads have seen, inside the block or on the device too.
    fn learn_seen(&mut self, thread: usize, device: bool) {
        let Some(fences) = self.threads[thread].fences.as_mut() else { return };
        let seen = [fences.seen[0].take(), fences.seen[1].take_if(|_| device)];
        seen.into_iter().flatten().for_each(|seen| self.learn(&[thread], &seen));
    }
}

/// The threads of a mask for each warp.
fn members(masks: &[u32]) -> impl Iterator<Item = usize> {
    masks.iter().enumerate().flat_map(|(warp, &mask)| lanes(mask).map(move |l| warp * LANES + l))
}
