//! A block: its warps take turns until all have exited, or none can go on.

use crate::asynchronous::Asynchronous;
use crate::barrier::{Barriers, Cluster};
use crate::decode::RESERVED_BYTES;
use crate::error::{Fault, Rule, Thread, Violation};
use crate::family::tensor::bulk;
use crate::launch::Launch;
use crate::memory::{Checks, GlobalView, Local, Order, Point, Shared};
use crate::profile::Profile;
use crate::program::{Family, Special};
use crate::progress::Hope;
use crate::random::Random;
use crate::registers::{ALL, LANES, Registers};
use crate::warp::{Broken, Outcome, State, Warp};

/// Instructions of a warp's turn.
const QUANTUM: u64 = 4096;

/// What the warps of a block share.
pub struct Block {
    /// Position in the grid.
    pub index: [u32; 3],
    /// The same as one number, x fastest.
    pub linear: u64,
    pub barriers: Barriers,
    pub cluster: Cluster,
    pub profile: Profile,
    pub global: GlobalView,
    pub shared: Shared,
    pub local: Local,
    /// Which accesses come before which, where races are watched.
    pub order: Option<Order>,
    /// Copies and products that have been started and not waited for.
    pub asynchronous: Asynchronous,
}

/// A host thread's warps, used for one block after the other.
pub struct Crew {
    warps: Vec<Warp>,
    block: Block,
    random: Option<Random>,
    /// A block has run.
    used: bool,
}

impl Crew {
    /// # Errors
    /// The host has no room for the block's memory.
    pub fn new(launch: &Launch<'_>) -> Result<Self, Box<Fault>> {
        let kernel = launch.kernel;
        let mut registers = Registers::new(kernel.rows, kernel.predicates);
        for &(slot, bits, wide) in &kernel.constants {
            match wide {
                true => registers.set(slot, ALL, &[bits; LANES]),
                false => registers.set(slot, ALL, &[bits as u32; LANES]),
            }
        }
        for &(slot, holds) in &kernel.predicate_constants {
            registers.set_predicate(slot, ALL, if holds { ALL } else { 0 });
        }
        let warps =
            (0..launch.threads().div_ceil(32)).map(|i| Warp::new(i, registers.clone())).collect();
        let checks = Checks { unwritten: launch.options.written, races: launch.options.races };
        let shared = Shared::new(u64::from(launch.shared_bytes()), checks);
        let local = Local::new(launch.threads(), u64::from(kernel.local_bytes), checks);
        let (Some(mut shared), Some(local)) = (shared, local) else {
            return Err(Box::new(launch.fault(&no_room(), None, None)));
        };
        if kernel.async_proxy && launch.options.written && shared.watch_proxies().is_none() {
            return Err(Box::new(launch.fault(&no_room(), None, None)));
        }
        let block = Block {
            index: [0; 3],
            linear: 0,
            barriers: Barriers::default(),
            cluster: Cluster::default(),
            profile: Profile::new(kernel.code.len(), launch.options.counts),
            global: launch.global.clone(),
            shared,
            local,
            order: None,
            asynchronous: Asynchronous::default(),
        };
        Ok(Self { warps, block, random: None, used: false })
    }

    /// What was counted.
    pub fn into_profile(self) -> Profile {
        self.block.profile
    }

    /// Runs block number `linear` of the grid to its end, or until another block's fault has ended the launch it waits for.
    ///
    /// # Errors
    /// The rule it broke.
    pub fn run(&mut self, launch: &Launch<'_>, linear: u64) -> Result<(), Box<Fault>> {
        self.start(launch, linear);
        let mut hope = Hope::new(&launch.progress);
        loop {
            let (mut progress, mut polling, mut done) = (false, false, 0);
            let count = self.warps.len();
            for i in 0..count {
                let (at, quantum) = match &mut self.random {
                    Some(random) => {
                        (random.below(count as u64) as usize, 1 + random.below(QUANTUM / 16))
                    }
                    None => (i, QUANTUM),
                };
                let outcome = self.warps[at].run(&mut self.block, launch, quantum);
                match outcome.map_err(|broken| self.fault(launch, at, &broken))? {
                    Outcome::Progress => progress = true,
                    Outcome::Polling => polling = true,
                    Outcome::Blocked => {}
                    Outcome::Done => done += 1,
                }
                progress |= self.release();
            }
            if done == count && self.warps.iter().all(|w| w.splits.is_empty()) {
                return self.finish(launch);
            }
            // In a random order it may be that only warps that wait had their turn.
            let ready = |warp: &Warp| warp.splits.iter().any(|s| s.state == State::Ready);
            let waiting = polling || self.random.is_some() && self.warps.iter().any(ready);
            match (progress, waiting) {
                (true, _) => hope.restore(),
                (false, true) if !hope.is_lost() => {
                    if launch.progress.is_stopped() {
                        return Ok(());
                    }
                }
                (false, _) => return Err(self.stuck(launch, polling)),
            }
            if launch.over_limit(self.warps.iter().map(Warp::instructions).sum()) {
                return Err(self.limit(launch));
            }
        }
    }

    fn start(&mut self, launch: &Launch<'_>, linear: u64) {
        let [gx, gy, _] = launch.grid.map(u64::from);
        self.block.index = [linear % gx, linear / gx % gy, linear / (gx * gy)].map(|i| i as u32);
        self.block.linear = linear;
        let threads = launch.threads();
        self.block.order = launch.options.races.then(|| Order::new(linear as u32, threads));
        self.block.barriers = Barriers::default();
        self.block.cluster.start(self.warps.len());
        self.block.asynchronous.start(self.warps.len());
        if std::mem::replace(&mut self.used, true) {
            self.block.shared.reset();
            self.block.local.reset();
        }
        if let Some(at) = launch.kernel.reserved_shared {
            self.block.shared.clear(u64::from(at), u64::from(RESERVED_BYTES));
        }
        self.random = launch
            .options
            .adversarial
            .map(|seed| Random::new(seed ^ linear.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        for warp in &mut self.warps {
            let first = warp.index * 32;
            let lanes = (launch.threads() - first).min(32);
            for &(slot, special) in &launch.kernel.specials {
                let values = values(special, launch, &self.block, first);
                warp.registers.set(slot, ALL, &values);
            }
            let lanes = if lanes == 32 { ALL } else { (1 << lanes) - 1 };
            warp.start(lanes, launch.kernel.entry);
        }
    }

    /// Every thread has exited: what is left of asynchronous stores is written.
    fn finish(&mut self, launch: &Launch<'_>) -> Result<(), Box<Fault>> {
        bulk::finish(&mut self.block, launch).map_err(|(pc, thread, violation)| {
            let (warp, mask) = (thread as usize / LANES, 1 << (thread % 32));
            self.fault(launch, warp, &Broken { pc, mask, violation })
        })
    }

    /// Lets go the lanes at complete barriers.
    fn release(&mut self) -> bool {
        if !self.block.barriers.any_complete() {
            return false;
        }
        let complete = self.block.barriers.take_complete();
        for (id, gathered) in complete.into_iter().enumerate() {
            if let Some(gathered) = gathered {
                self.order_at(id as u8);
                self.warps.iter_mut().for_each(|warp| warp.release(id as u8, gathered));
            }
        }
        true
    }

    /// Tells the race detector who meets at barrier `id`: those who wait, and those who only arrived before.
    fn order_at(&mut self, id: u8) {
        let Some(order) = &mut self.block.order else { return };
        let waiting = |warp: &Warp| {
            let here = warp
                .splits
                .iter()
                .filter(|s| matches!(s.state, State::Barrier { id: at, .. } if at == id));
            here.fold(0, |lanes, split| lanes | split.mask)
        };
        let lanes: Vec<u32> = self.warps.iter().map(waiting).collect();
        order.barrier(&lanes);
        let point = Point::Barrier(u32::from(id));
        for (warp, &lanes) in lanes.iter().enumerate().filter(|(_, lanes)| **lanes != 0) {
            order.acquire(point, warp as u32, lanes);
        }
        order.forget(point);
    }

    fn fault(&self, launch: &Launch<'_>, warp: usize, broken: &Broken) -> Box<Fault> {
        let lane = broken.violation.lane.unwrap_or(broken.mask.trailing_zeros());
        let thread = launch.thread(self.warps[warp].index * 32 + lane);
        Box::new(launch.fault(
            &broken.violation,
            Some(broken.pc),
            Some(Thread { block: self.block.index, thread }),
        ))
    }

    /// No warp can go on: names what the first waiting lanes wait for.
    fn stuck(&self, launch: &Launch<'_>, polling: bool) -> Box<Fault> {
        let waiting = self.warps.iter().flat_map(|w| w.splits.iter().map(move |s| (w, s)));
        let waiting = waiting.min_by_key(|(_, s)| matches!(s.state, State::Ready));
        let Some((warp, split)) = waiting else {
            let violation = Violation::new(Rule::Deadlock, "no warp can go on");
            return Box::new(launch.fault(&violation, None, None));
        };
        let (rule, message) = match split.state {
            State::Barrier { id, .. } => {
                let (arrived, expected) = self.block.barriers.waiting(id);
                let others = self.others(id);
                (
                    Rule::Barrier,
                    format!("barrier {id} is reached by {arrived} of {expected} threads; {others}"),
                )
            }
            State::Converge(members) => {
                let missing = members & warp.live & !split.mask;
                let message = format!(
                    "lanes {:#010x} wait here for lanes {missing:#010x}, which never come",
                    split.mask
                );
                let family = launch.kernel.origins.get(split.pc as usize).map(|o| o.family);
                match family {
                    Some(Family::Barrier) => (Rule::Barrier, message),
                    _ => (Rule::InactiveLane, message),
                }
            }
            State::Ready => {
                let outstanding = self.block.asynchronous.outstanding();
                let message = format!("every warp polls and nothing changes{outstanding}");
                (Rule::Deadlock, message)
            }
        };
        let rule = if polling && rule == Rule::Barrier { Rule::Deadlock } else { rule };
        let lane = split.mask.trailing_zeros();
        let thread =
            Thread { block: self.block.index, thread: launch.thread(warp.index * 32 + lane) };
        Box::new(launch.fault(&Violation::by(rule, lane, message), Some(split.pc), Some(thread)))
    }

    /// What the threads do that are not at barrier `id`.
    fn others(&self, id: u8) -> String {
        let live: u32 = self.warps.iter().map(|w| w.live.count_ones()).sum();
        let splits = self.warps.iter().flat_map(|w| &w.splits);
        let elsewhere =
            splits.filter(|s| !matches!(s.state, State::Barrier { id: at, .. } if at == id));
        let elsewhere: u32 = elsewhere.map(|s| s.mask.count_ones()).sum();
        format!("{live} threads have not exited, {elsewhere} of them wait elsewhere or poll")
    }

    fn limit(&self, launch: &Launch<'_>) -> Box<Fault> {
        let message = format!(
            "more than {} instructions",
            launch.options.instruction_limit.unwrap_or_default()
        );
        let violation = Violation::new(Rule::InstructionLimit, message);
        let thread = Thread { block: self.block.index, thread: [0; 3] };
        Box::new(launch.fault(&violation, None, Some(thread)))
    }
}

fn no_room() -> Violation {
    Violation::new(Rule::Launch, "the host has no room for the memory of a block")
}

/// A special register for the warp whose first thread is `first`.
fn values(special: Special, launch: &Launch<'_>, block: &Block, first: u32) -> [u32; LANES] {
    use crate::program::LaneMask::{Eq, Ge, Gt, Le, Lt};
    let lane = |f: &dyn Fn(u32) -> u32| std::array::from_fn(|i| f(i as u32));
    match special {
        Special::Tid(axis) => lane(&|i| launch.thread(first + i)[usize::from(axis)]),
        Special::Ntid(axis) => [launch.block[usize::from(axis)]; LANES],
        Special::Ctaid(axis) => [block.index[usize::from(axis)]; LANES],
        Special::Nctaid(axis) => [launch.grid[usize::from(axis)]; LANES],
        Special::LaneId => lane(&|i| i),
        Special::WarpId => [first / 32; LANES],
        Special::WarpCount => [launch.threads().div_ceil(32); LANES],
        Special::LaneMask(which) => lane(&|i| match which {
            Eq => 1 << i,
            Lt => (1 << i) - 1,
            Le => (2u32 << i).wrapping_sub(1),
            Ge => !((1 << i) - 1),
            Gt => !(2u32 << i).wrapping_sub(1),
        }),
        Special::DynamicShared => [launch.dynamic_shared; LANES],
        Special::TotalShared => [launch.kernel.dynamic_shared_at + launch.dynamic_shared; LANES],
        Special::Fixed(value) => [value; LANES],
    }
}
