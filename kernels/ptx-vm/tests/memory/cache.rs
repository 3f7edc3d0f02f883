//! The simulated cache: what reaches DRAM.

use crate::strided;
use ptx_vm::memory::*;
use std::sync::Arc;

/// A device of 1 MiB behind a cache of `bytes`.
struct Device {
    view: GlobalView,
    base: u64,
    cache: Arc<Cache>,
    counts: Counts,
}

impl Device {
    fn new(bytes: u64) -> Self {
        let memory = Memory::default();
        let base = memory.allocate(1 << 20).unwrap();
        memory.fill(base, &[0], 1 << 20).unwrap();
        let cache = Arc::new(Cache::new(bytes));
        Self {
            view: memory.view().with_cache(cache.clone()),
            base,
            cache,
            counts: Counts::default(),
        }
    }

    fn load(&mut self, offset: u64, step: u64) {
        let mut access = Access { counts: Some(&mut self.counts), ..Access::new(!0, 0, 0) };
        self.view.load::<u32, 1>(&mut access, &strided(self.base + offset, step)).unwrap();
    }

    fn store(&mut self, offset: u64, step: u64) {
        let mut access = Access { counts: Some(&mut self.counts), ..Access::new(!0, 0, 0) };
        self.view.store(&mut access, &strided(self.base + offset, step), &[[0u32; LANES]]).unwrap();
    }

    /// Sectors read and written since the last call.
    fn traffic(&mut self) -> (u64, u64) {
        let counts = std::mem::take(&mut self.counts);
        (counts.dram_read, counts.dram_written)
    }
}

#[test]
fn what_fits_is_read_once() {
    let mut device = Device::new(1 << 20);
    for round in 0..3 {
        (0..1024).for_each(|row| device.load(128 * row, 4));
        assert_eq!(device.traffic(), (if round == 0 { 4096 } else { 0 }, 0));
    }
    assert_eq!(device.cache.flush(), 0, "nothing was written");
}

#[test]
fn what_does_not_fit_is_read_again() {
    let mut device = Device::new(1 << 16);
    assert_eq!(device.cache.capacity(), 1 << 16);
    for _ in 0..2 {
        (0..8192).for_each(|row| device.load(128 * row, 4));
        let (read, written) = device.traffic();
        assert!(read > 30_000, "{read} of 32768 sectors: four-fold, sixteen times the cache");
        assert_eq!(written, 0);
    }
}

#[test]
fn only_the_sectors_touched_are_read() {
    let mut device = Device::new(1 << 20);
    device.load(0, 128);
    assert_eq!(device.traffic(), (32, 0));
    device.load(32, 128);
    assert_eq!(device.traffic(), (32, 0), "another sector of the same lines");
    device.load(64, 0);
    assert_eq!(device.traffic(), (1, 0));
}

#[test]
fn whole_sectors_are_written_without_a_read_and_leave_once() {
    let mut device = Device::new(1 << 20);
    device.store(0, 4);
    device.store(0, 4);
    assert_eq!(device.traffic(), (0, 0));
    assert_eq!(device.cache.dirty(), 4);
    assert_eq!(device.cache.flush(), 4);
    assert_eq!((device.cache.dirty(), device.cache.flush()), (0, 0));
    device.store(512, 32);
    assert_eq!(device.traffic(), (32, 0), "four bytes of each sector");
    assert_eq!(device.cache.flush(), 32);
    device.load(0, 4);
    assert_eq!(device.traffic(), (0, 0), "still there");
}

#[test]
fn written_sectors_go_back_when_their_line_goes() {
    let mut device = Device::new(1 << 16);
    (0..8192).for_each(|row| device.store(128 * row, 4));
    let (read, written) = device.traffic();
    assert_eq!(read, 0);
    assert_eq!(written + device.cache.flush(), 4 * 8192, "each once, sooner or later");
    assert!(written >= 4 * 8192 - 2048);
}

#[test]
fn the_longest_unused_goes() {
    // One set of 16 lines.
    let mut device = Device::new(2048);
    (0..16).for_each(|row| device.load(128 * row, 4));
    device.load(0, 4);
    device.load(128 * 16, 4);
    assert_eq!(device.traffic(), (17 * 4, 0));
    device.load(0, 4);
    assert_eq!(device.traffic(), (0, 0));
    device.load(128, 4);
    assert_eq!(device.traffic(), (4, 0), "line 1 was the longest unused");
}

#[test]
fn the_usual_size() {
    let bytes = Cache::default().capacity();
    assert!((50 << 20) - bytes < 2048, "{bytes}");
}
