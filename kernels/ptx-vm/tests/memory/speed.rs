//! What an access costs the host; run with `--ignored --nocapture`.

use crate::{some, strided, warp};
use ptx_vm::memory::*;
use std::hint::black_box;
use std::time::Instant;

/// Nanoseconds of one call: the best of many short rounds, so that other work on the machine does not count.
fn nanoseconds(mut call: impl FnMut()) -> f64 {
    let rounds = (0..2000).map(|_| {
        let start = Instant::now();
        (0..100).for_each(|_| call());
        start.elapsed().as_nanos() as f64 / 100.0
    });
    rounds.fold(f64::INFINITY, f64::min)
}

fn print(what: &str, call: impl FnMut()) {
    println!("{what:44} {:7.1} ns", nanoseconds(call));
}

/// A view of 1 MiB, all written, and its address.
fn written(checks: Checks) -> (GlobalView, u64) {
    let memory = Memory::default();
    let base = memory.allocate(1 << 20).unwrap();
    memory.fill(base, &[1, 2, 3, 4], 1 << 18).unwrap();
    (memory.view().with_checks(checks), base)
}

#[test]
#[ignore = "a measurement"]
fn checked_accesses() {
    let (view, base) = written(Checks::default());
    let run = strided(base + 4096, 4);
    let odd = strided(base + 4100, 4);
    let wide = strided(base + 4096, 16);
    let gather: [u64; LANES] = std::array::from_fn(|i| base + (i as u64 * 7919 % 1000) * 132);
    print("load u32, side by side", || {
        drop(black_box(view.load::<u32, 1>(&mut warp(), black_box(&run))))
    });
    print("load u32, side by side, odd start", || {
        drop(black_box(view.load::<u32, 1>(&mut warp(), black_box(&odd))))
    });
    print("load u32, half a warp", || {
        drop(black_box(view.load::<u32, 1>(&mut some(0xffff), black_box(&run))))
    });
    print("load 4 x u32, side by side", || {
        drop(black_box(view.load::<u32, 4>(&mut warp(), black_box(&wide))))
    });
    print("load u32, one place", || {
        drop(black_box(view.load::<u32, 1>(&mut warp(), black_box(&[base; LANES]))))
    });
    print("load u32, gather", || {
        drop(black_box(view.load::<u32, 1>(&mut warp(), black_box(&gather))))
    });
    print("load u32, gather, half a warp", || {
        drop(black_box(view.load::<u32, 1>(&mut some(0x5555_5555), black_box(&gather))))
    });
    let values = [[7u32; LANES]; 4];
    let one = [[7u32; LANES]];
    print("store u32, side by side", || {
        view.store(&mut warp(), black_box(&run), black_box(&one)).unwrap()
    });
    print("store 4 x u32, side by side", || {
        view.store(&mut warp(), black_box(&wide), black_box(&values)).unwrap()
    });
    print("store u32, scatter", || {
        view.store(&mut warp(), black_box(&gather), black_box(&one)).unwrap()
    });
    print("atomic u32, side by side", || {
        drop(black_box(
            view.atomic(&mut warp(), black_box(&run), |_, old: u32| old.wrapping_add(1)),
        ))
    });
}

#[test]
#[ignore = "a measurement"]
fn shared_local_and_parameters() {
    let mut shared = Shared::new(48 << 10, Checks::default()).unwrap();
    let mut local = Local::new(256, 64, Checks::default()).unwrap();
    let parameters = Constant::new(&[1; 64]).unwrap();
    let one = [[7u32; LANES]];
    for place in (0..48 << 10).step_by(128) {
        shared.store(&mut warp(), &strided(place, 4), &one).unwrap();
    }
    local.store(&mut warp(), &[16; LANES], &one).unwrap();
    let (conflict, line) = (strided(0, 132), strided(1024, 4));
    print("shared load u32, side by side", || {
        drop(black_box(shared.load::<u32, 1>(&mut warp(), black_box(&line))))
    });
    print("shared load u32, one place", || {
        drop(black_box(shared.load::<u32, 1>(&mut warp(), black_box(&[64; LANES]))))
    });
    print("shared load u32, strided", || {
        drop(black_box(shared.load::<u32, 1>(&mut warp(), black_box(&conflict))))
    });
    print("shared store u32, side by side", || {
        shared.store(&mut warp(), black_box(&line), black_box(&one)).unwrap()
    });
    print("shared store u32, strided", || {
        shared.store(&mut warp(), black_box(&conflict), black_box(&one)).unwrap()
    });
    print("local load u32", || {
        drop(black_box(local.load::<u32, 1>(&mut warp(), black_box(&[16; LANES]))))
    });
    print("local store u32", || {
        local.store(&mut warp(), black_box(&[16; LANES]), black_box(&one)).unwrap()
    });
    print("parameter load u64", || {
        drop(black_box(parameters.load::<u64, 1>(&mut warp(), black_box(&[8; LANES]))))
    });
}

#[test]
#[ignore = "a measurement"]
fn watched_accesses() {
    let checks = Checks { races: true, ..Checks::default() };
    let (view, base) = written(checks);
    let mut order = Order::new(0, 256);
    let mut shared = Shared::new(48 << 10, checks).unwrap();
    let one = [[7u32; LANES]];
    let run = strided(base, 4);
    let (half, line) = (strided(base + 8192, 2), strided(1024, 4));
    let mut watched = |what: &str, call: &mut dyn FnMut(&mut Access)| {
        print(what, || call(&mut Access { order: Some(&mut order), ..warp() }));
    };
    watched("watched: global load u32", &mut |a| {
        drop(black_box(view.load::<u32, 1>(a, black_box(&run))))
    });
    watched("watched: global store u32", &mut |a| {
        view.store(a, black_box(&run), black_box(&one)).unwrap()
    });
    watched("watched: global store u16", &mut |a| {
        view.store(a, black_box(&half), black_box(&[[7u16; LANES]])).unwrap()
    });
    watched("watched: global load u32, one place", &mut |a| {
        drop(black_box(view.load::<u32, 1>(a, black_box(&[base + 4096; LANES]))))
    });
    watched("watched: shared store u32", &mut |a| {
        shared.store(a, black_box(&line), black_box(&one)).unwrap()
    });
    watched("watched: shared load u32", &mut |a| {
        drop(black_box(shared.load::<u32, 1>(a, black_box(&line))))
    });
    let mut order = Order::new(0, 256);
    print("barrier of 256 threads", || order.barrier_block());
    print("bar.warp.sync", || order.warp_sync(3, !0));
    print("release and acquire by a warp", || {
        order.release(Point::Shared(64), 1, !0);
        order.acquire(Point::Shared(64), 2, !0);
    });
    let cache = std::sync::Arc::new(Cache::default());
    let view = view.with_checks(Checks::default()).with_cache(cache);
    let mut counts = Counts::default();
    print("counted: global load u32, cached", || {
        drop(black_box(
            view.load::<u32, 1>(
                &mut Access { counts: Some(&mut counts), ..warp() },
                black_box(&run),
            ),
        ));
    });
    let mut shared = Shared::new(48 << 10, Checks::default()).unwrap();
    print("counted: shared store u32", || {
        shared
            .store(
                &mut Access { counts: Some(&mut counts), ..warp() },
                black_box(&line),
                black_box(&one),
            )
            .unwrap();
    });
}
