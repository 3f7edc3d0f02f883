//! The detector beside a plain one, which keeps every access of every byte: on random traffic both report the same lane
//! of the same access, or neither does.

use crate::strided;
use ptx_vm::error::Rule;
use ptx_vm::memory::*;
use ptx_vm::random::Random;

const WARPS: u32 = 4;
const THREADS: usize = 32 * WARPS as usize;
/// Small, so that accesses of every width meet; two pages of the detector.
const BYTES: u64 = 2048;

/// Happens-before by the book: for each thread the number of every other's steps that came before.
struct Model {
    clocks: Vec<Vec<u32>>,
    /// For each byte who touched it, in which step, and whether by writing.
    bytes: Vec<Vec<(usize, u32, bool)>>,
}

impl Model {
    fn new() -> Self {
        let clock = |thread| (0..THREADS).map(|other| u32::from(other == thread)).collect();
        Self { clocks: (0..THREADS).map(clock).collect(), bytes: vec![vec![]; BYTES as usize] }
    }

    fn meet(&mut self, threads: &[usize]) {
        let highest = |other| threads.iter().map(|&t| self.clocks[t][other]).max().unwrap_or(0);
        let merged: Vec<u32> = (0..THREADS).map(highest).collect();
        for &thread in threads {
            self.clocks[thread].clone_from(&merged);
            self.clocks[thread][thread] += 1;
        }
    }

    /// Whether the access races with an earlier one.
    fn touch(&mut self, thread: usize, write: bool, address: u64, width: u64) -> bool {
        let clock = &self.clocks[thread];
        let touched = &mut self.bytes[address as usize..(address + width) as usize];
        let races = touched.iter().flatten().any(|&(other, step, wrote)| {
            other != thread && (write || wrote) && clock[other] < step
        });
        touched.iter_mut().for_each(|byte| byte.push((thread, clock[thread], write)));
        races
    }
}

/// An access of some lanes of a warp.
struct Act {
    warp: u32,
    mask: u32,
    write: bool,
    /// All lanes store the same.
    alike: bool,
    width: u64,
    addresses: [u64; LANES],
}

impl Act {
    /// Wide accesses first, so that what was recorded of them is there when narrow ones come.
    fn draw(random: &mut Random, step: u64) -> Self {
        let width = 16 >> random.below(step / 2 + 1).min(4);
        let end = [64, 256, BYTES][random.below(3) as usize];
        let place = |random: &mut Random, room: u64| random.below((end - room) / width + 1) * width;
        let addresses = match random.below(4) {
            0 => [place(random, width); LANES],
            1 if 32 * width <= end => strided(place(random, 32 * width), width),
            2 if 8 * width <= end => {
                let (start, turn) = (place(random, 8 * width), random.below(8));
                std::array::from_fn(|lane| start + ((lane as u64 % 8) ^ turn) * width)
            }
            _ => std::array::from_fn(|_| place(random, width)),
        };
        let mask = [!0, 1 << random.below(32), 0xff << (8 * random.below(4)), random.next() as u32];
        let mask = mask[random.below(4) as usize].max(1);
        let (warp, write) = (random.below(u64::from(WARPS)) as u32, random.below(4) == 0);
        let alike = random.below(2) == 0;
        Self { warp, mask, write, alike, width, addresses }
    }

    /// The first lane that races, by the model.
    fn by_model(&self, model: &mut Model) -> Option<u32> {
        let lanes = (0..32u32).filter(|lane| self.mask >> lane & 1 == 1);
        let repeats = |lane: u32| {
            let mut before = lanes.clone().take_while(|&other| other < lane);
            before.any(|other| self.addresses[other as usize] == self.addresses[lane as usize])
        };
        let lanes = lanes.clone().filter(|&lane| !(self.write && self.alike && repeats(lane)));
        let mut races = lanes.filter(|&lane| {
            let thread = (32 * self.warp + lane) as usize;
            model.touch(thread, self.write, self.addresses[lane as usize], self.width)
        });
        races.next()
    }

    /// The same by the detector.
    fn by_detector(&self, shared: &mut Shared, order: &mut Order) -> Option<u32> {
        match self.width {
            1 => self.run::<u8, 1>(shared, order),
            2 => self.run::<u16, 1>(shared, order),
            4 => self.run::<u32, 1>(shared, order),
            8 => self.run::<u32, 2>(shared, order),
            _ => self.run::<u32, 4>(shared, order),
        }
    }

    fn run<T: Element + From<u8>, const N: usize>(
        &self,
        shared: &mut Shared,
        order: &mut Order,
    ) -> Option<u32> {
        let access = Access::new(self.mask, 32 * self.warp, 0);
        let mut access = Access { order: Some(order), ..access };
        let value = |lane| T::from(if self.alike { 0 } else { lane as u8 });
        let values = [std::array::from_fn(value); N];
        let done = match self.write {
            true => shared.store(&mut access, &self.addresses, &values),
            false => shared.load::<T, N>(&mut access, &self.addresses).map(drop),
        };
        let violation = done.err()?;
        assert_eq!(violation.rule, Rule::Race, "{violation:?}");
        violation.lane
    }
}

/// A barrier of all, of some warps, or inside a warp.
fn synchronise(random: &mut Random, model: &mut Model, order: &mut Order) {
    let lanes: Vec<u32> = match random.below(3) {
        0 => vec![!0; WARPS as usize],
        1 => (0..WARPS).map(|_| [0, !0][random.below(2) as usize]).collect(),
        _ => {
            let (warp, mask) = (random.below(u64::from(WARPS)) as u32, random.next() as u32);
            order.warp_sync(warp, mask);
            let of = |w| if w == warp { mask } else { 0 };
            return model.meet(&threads(&(0..WARPS).map(of).collect::<Vec<_>>()));
        }
    };
    order.barrier(&lanes);
    model.meet(&threads(&lanes));
}

fn threads(lanes: &[u32]) -> Vec<usize> {
    (0..THREADS).filter(|t| lanes[t / 32] >> (t % 32) & 1 == 1).collect()
}

#[test]
fn the_same_races_as_a_detector_that_keeps_everything() {
    let checks = Checks { unwritten: false, races: true };
    let mut shared = Shared::new(BYTES, checks).unwrap();
    let (mut raced, mut clean) = (0, 0);
    for seed in 0..6000 {
        let mut random = Random::new(seed);
        let (mut model, mut order) = (Model::new(), Order::new(0, THREADS as u32));
        shared.reset();
        for step in 0..16 {
            let act = Act::draw(&mut random, step);
            let found = act.by_detector(&mut shared, &mut order);
            assert_eq!(found, act.by_model(&mut model), "seed {seed}, step {step}");
            if found.is_some() {
                raced += 1;
                break;
            }
            clean += 1;
            (0..random.below(3)).for_each(|_| synchronise(&mut random, &mut model, &mut order));
        }
    }
    assert!(raced > 1000 && clean > 10_000, "{raced} races, {clean} accesses without");
}
