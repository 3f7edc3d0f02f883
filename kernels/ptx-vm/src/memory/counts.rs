//! What accesses cost: sectors against bytes asked for, traffic behind the cache, wavefronts of shared memory.

use super::LANES;
use super::access::lanes;
use super::cache::{Cache, SECTOR, SECTORS};
use super::refusal::Verb;

/// Global accesses of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Warp instructions.
    pub requests: u64,
    /// What the lanes asked for, each for itself.
    pub bytes: u64,
    /// Different 32-byte sectors a request touched.
    pub sectors: u64,
}

impl Traffic {
    fn add(&mut self, other: &Traffic) {
        self.requests += other.requests;
        self.bytes += other.bytes;
        self.sectors += other.sectors;
    }

    /// Bytes asked for against bytes moved between the cache and the multiprocessor: 1 where all that
    /// is moved is wanted once; `None` without traffic.
    pub fn efficiency(&self) -> Option<f64> {
        (self.sectors > 0).then(|| self.bytes as f64 / (self.sectors * SECTOR) as f64)
    }
}

/// The cost of some accesses: of an instruction, or summed of a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub loads: Traffic,
    pub stores: Traffic,
    pub atomics: Traffic,
    /// Sectors read from DRAM, where there is a [`Cache`].
    pub dram_read: u64,
    /// Sectors written to DRAM to make room in the cache; [`Cache::flush`] tells what is left.
    pub dram_written: u64,
    /// Warp instructions that accessed shared memory,
    pub shared_requests: u64,
    /// the passes they took,
    pub shared_wavefronts: u64,
    /// and those they would have taken without bank conflicts.
    pub shared_wavefronts_least: u64,
}

impl Counts {
    pub fn add(&mut self, other: &Counts) {
        self.loads.add(&other.loads);
        self.stores.add(&other.stores);
        self.atomics.add(&other.atomics);
        self.dram_read += other.dram_read;
        self.dram_written += other.dram_written;
        self.shared_requests += other.shared_requests;
        self.shared_wavefronts += other.shared_wavefronts;
        self.shared_wavefronts_least += other.shared_wavefronts_least;
    }

    fn traffic(&mut self, verb: Verb) -> &mut Traffic {
        match verb {
            Verb::Load => &mut self.loads,
            Verb::Store => &mut self.stores,
            Verb::Update => &mut self.atomics,
        }
    }

    /// A warp's access to global memory; `width` is a power of two up to 32, and addresses multiples.
    pub(super) fn global(
        &mut self,
        verb: Verb,
        mask: u32,
        addresses: &[u64; LANES],
        width: u64,
        cache: Option<&Cache>,
    ) {
        let mut touched = [(0u64, 0u32); LANES];
        let count = mask.count_ones() as usize;
        let bytes = (u32::MAX >> (32 - width.min(32))) as u64;
        for (slot, lane) in touched.iter_mut().zip(lanes(mask)) {
            *slot = (addresses[lane] / SECTOR, (bytes << (addresses[lane] % SECTOR)) as u32);
        }
        let touched = &mut touched[..count];
        touched.sort_unstable();
        let merged = merge(touched);
        let traffic = self.traffic(verb);
        traffic.requests += 1;
        traffic.bytes += width * count as u64;
        traffic.sectors += merged.len() as u64;
        if let Some(cache) = cache {
            self.behind(cache, verb, merged);
        }
    }

    /// A copy of `bytes` bytes in a row by the machine itself; it is no request of a warp.
    pub(super) fn bulk(&mut self, verb: Verb, address: u64, bytes: u64, cache: Option<&Cache>) {
        let end = address.saturating_add(bytes);
        let traffic = self.traffic(verb);
        traffic.bytes += bytes;
        for sector in address / SECTOR..end.div_ceil(SECTOR) {
            self.traffic(verb).sectors += 1;
            if let Some(cache) = cache {
                let inside = sector * SECTOR >= address && (sector + 1) * SECTOR <= end;
                self.behind(cache, verb, &[(sector, if inside { !0 } else { 0 })]);
            }
        }
    }

    /// Takes sectors, sorted, each with the bytes touched, through the cache.
    fn behind(&mut self, cache: &Cache, verb: Verb, touched: &[(u64, u32)]) {
        for line in touched.chunk_by(|a, b| a.0 / SECTORS == b.0 / SECTORS) {
            let bits = line.iter().fold(0, |bits, (sector, _)| bits | 1 << (sector % SECTORS));
            let whole = line.iter().filter(|(_, bytes)| *bytes == !0 && verb == Verb::Store);
            let whole = whole.fold(0, |bits, (sector, _)| bits | 1 << (sector % SECTORS));
            let (read, written) = cache.touch(line[0].0 / SECTORS, bits, verb.writes(), whole);
            self.dram_read += read;
            self.dram_written += written;
        }
    }

    /// A warp's access to shared memory: 32 banks of 4 bytes, of which each serves one word a pass. 8
    /// bytes a lane go in two halves of the warp, 16 in four quarters. Lanes that read or store the same
    /// word are served together, those that update it are not.
    pub(super) fn shared(&mut self, verb: Verb, mask: u32, addresses: &[u64; LANES], width: u64) {
        let words = width.div_ceil(4).max(1);
        let group = (LANES / words as usize).max(1);
        self.shared_requests += 1;
        for start in (0..LANES).step_by(group) {
            let active = mask & (!0 >> (LANES - group)) << start;
            if active == 0 {
                continue;
            }
            let mut touched = [0u64; LANES];
            let places =
                lanes(active).flat_map(|lane| (0..words).map(move |k| addresses[lane] / 4 + k));
            let count = touched.iter_mut().zip(places).map(|(to, word)| *to = word).count();
            self.shared_wavefronts += passes(&mut touched[..count], verb == Verb::Update);
            self.shared_wavefronts_least += 1;
        }
    }
}

/// The most words one bank has to serve.
fn passes(words: &mut [u64], repeat: bool) -> u64 {
    words.sort_unstable();
    let mut banks = [0u64; 32];
    for same in words.chunk_by(|a, b| a == b) {
        banks[same[0] as usize % 32] += if repeat { same.len() as u64 } else { 1 };
    }
    banks.into_iter().fold(0, u64::max)
}

/// Merges sorted entries for the same sector at the front of the slice.
fn merge(touched: &mut [(u64, u32)]) -> &[(u64, u32)] {
    let mut last = 0;
    for i in 1..touched.len() {
        if touched[i].0 == touched[last].0 {
            touched[last].1 |= touched[i].1;
        } else {
            last += 1;
            touched[last] = touched[i];
        }
    }
    &touched[..(last + 1).min(touched.len())]
}
