//! Boxes of tensors: every rank, swizzles, edges, both directions.

use crate::bench::Bench;
use ptx_vm::error::Rule;
use ptx_vm::tensor_map::{ElementType, Interleave, MOST_DIMENSIONS, Outside, Swizzle, TensorMap};

/// A tensor of these dimensions without gaps beyond the strides' alignment, and a box.
fn map(element: ElementType, dimensions: &[u64], boxes: &[u32], swizzle: Swizzle) -> TensorMap {
    let mut map = TensorMap {
        element,
        rank: dimensions.len(),
        address: 0,
        dimensions: [1; MOST_DIMENSIONS],
        strides: [0; MOST_DIMENSIONS],
        box_dimensions: [1; MOST_DIMENSIONS],
        element_strides: [1; MOST_DIMENSIONS],
        interleave: Interleave::None,
        swizzle,
        cache_bytes: 0,
        outside: Outside::Zero,
    };
    map.dimensions[..dimensions.len()].copy_from_slice(dimensions);
    map.box_dimensions[..boxes.len()].copy_from_slice(boxes);
    map.strides[0] = element.bytes();
    let mut stride = (dimensions[0] * element.bytes()).next_multiple_of(16);
    for (to, extent) in map.strides.iter_mut().zip(dimensions).skip(1) {
        *to = stride;
        stride *= extent;
    }
    map
}

/// Bytes of the tensor with its gaps.
fn size(map: &TensorMap) -> usize {
    let last = map.rank - 1;
    (map.strides[last] * map.dimensions[last]).next_multiple_of(16) as usize
}

/// The map in words, its tensor at `address`.
fn encoded(mut map: TensorMap, address: u64) -> Vec<u32> {
    map.address = address;
    map.check().expect("a good map");
    map.encode().chunks(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn coordinates(rank: usize) -> String {
    let names: Vec<String> = (0..rank).map(|d| format!("%r{}", 50 + d)).collect();
    names.join(", ")
}

/// Loads the coordinates from `[%rd2]` on.
fn take(rank: usize) -> String {
    (0..rank).map(|d| format!("ld.global.u32 %r{}, [%rd2 + {}];", 50 + d, 4 * d)).collect()
}

/// One box comes in by the map in the first buffer, and goes word by word to the third.
fn load_text(rank: usize, bytes: u64) -> String {
    format!(
        "mov.u32 %r101, tile; add.u32 %r100, %r101, 61440; setp.eq.u32 %p15, %lane, 0; {}
        @%p15 mbarrier.init.shared::cta.b64 [%r100], 1; bar.sync 0;
        @%p15 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r100], {bytes};
        @%p15 prefetch.tensormap [%rd0];
        @%p15 cp.async.bulk.tensor.{rank}d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r101], [%rd0, {{{}}}], [%r100];
        W: mbarrier.try_wait.parity.shared::cta.b64 %p14, [%r100], 0; @!%p14 bra W;
        mov.u32 %r0, %lane;
        NEXT: setp.ge.u32 %p1, %r0, {}; @%p1 bra DONE; mad.lo.u32 %r1, %r0, 4, %r101; ld.shared.u32 %r2, [%r1];
        mul.wide.u32 %rd10, %r0, 4; add.u64 %rd10, %rd4, %rd10; st.global.u32 [%rd10], %r2; add.u32 %r0, %r0, 32; bra NEXT; DONE:",
        take(rank),
        coordinates(rank),
        bytes / 4
    )
}

/// Byte `offset` of a tensor: different along all dimensions.
fn byte(offset: usize) -> u8 {
    (offset.wrapping_mul(167) >> 3 ^ offset >> 9) as u8 | 1
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// Calls `f` with the box's index and the offset of its element in the tensor, if it is inside.
fn each(map: &TensorMap, at: &[i32], mut f: impl FnMut(usize, Option<usize>)) {
    let count: u32 = (0..map.rank).map(|d| map.moved(d)).product();
    for index in 0..count as usize {
        let mut left = index;
        let mut offset = Some(0usize);
        for (d, &first) in at.iter().enumerate().take(map.rank) {
            let step = left % map.moved(d) as usize;
            left /= map.moved(d) as usize;
            let stride = if d == 0 { 1 } else { map.element_strides[d] as usize };
            let place = i64::from(first) + (step * stride) as i64;
            let inside = place >= 0 && place < map.dimensions[d] as i64;
            offset =
                offset.filter(|_| inside).map(|o| o + place as usize * map.strides[d] as usize);
        }
        f(index, offset);
    }
}

/// Where the manual's swizzle puts byte `offset` of a tile that begins where the pattern does.
fn exchanged(swizzle: Swizzle, offset: usize) -> usize {
    let row = offset / 128;
    let (pieces, row) = match swizzle {
        Swizzle::None => return offset,
        Swizzle::Bytes32 => (2, row % 2),
        Swizzle::Bytes64 => (4, row % 4),
        Swizzle::Bytes128 => (8, row % 8),
    };
    let (piece, rest) = (offset / 16, offset % 16);
    ((piece / pieces * pieces) + ((piece % pieces) ^ row)) * 16 + rest
}

fn loads(map: TensorMap, at: &[i32]) {
    let said = "shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r101], [%rd0, {";
    for form in [
        said.to_owned(),
        said.replace(".tile", ""),
        said.replace("cluster", "cta"),
        said.replace("cluster", "cta").replace(".tile", ""),
    ] {
        let text = load_text(map.rank, map.box_bytes()).replace(said, &form);
        loads_by(&text, map, at);
    }
    let hinted =
        load_text(map.rank, map.box_bytes()).replace("tx::bytes [", "tx::bytes.L2::cache_hint [");
    let fetched = format!(
        "mov.u64 %rd20, 0; cp.async.bulk.prefetch.tensor.{}d.L2.global.tile [%rd0, {{{}}}]; {}",
        map.rank,
        coordinates(map.rank),
        hinted.replace("}], [%r100];", "}], [%r100], %rd20;")
    );
    loads_by(&fetched, map, at);
}

/// The same by one text.
fn loads_by(text: &str, map: TensorMap, at: &[i32]) {
    let element = map.element.bytes() as usize;
    let bench = Bench::new(text).adversarial(5);
    let tensor: Vec<u8> = (0..size(&map)).map(byte).collect();
    let address = bench.words(&words(&tensor));
    let arguments = at.iter().map(|c| *c as u32).collect::<Vec<u32>>();
    let out = bench.unset(map.box_bytes() as usize / 4);
    bench.passes(32, [bench.words(&encoded(map, address)), bench.words(&arguments), out]);
    let mut expected = vec![0; map.box_bytes() as usize];
    each(&map, at, |index, offset| {
        for i in 0..element {
            let to = exchanged(map.swizzle, index * element + i);
            let fill = if map.outside == Outside::Zero { 0 } else { 0xff };
            expected[to] = offset.map_or(fill, |offset| byte(offset + i));
        }
    });
    assert_eq!(bench.read(out, expected.len() / 4), words(&expected), "{map:?} at {at:?}");
}

#[test]
fn boxes_of_every_rank_come_in() {
    use ElementType::{Bf16, F32, F64, U8};
    loads(map(F32, &[100], &[64], Swizzle::None), &[8]);
    loads(map(Bf16, &[40, 30], &[16, 8], Swizzle::None), &[3, 5]);
    loads(map(U8, &[48, 9, 7], &[32, 3, 4], Swizzle::None), &[1, 2, 3]);
    loads(map(F32, &[12, 5, 4, 3], &[8, 2, 3, 2], Swizzle::None), &[4, 1, 0, 1]);
    loads(map(F64, &[6, 3, 4, 2, 3], &[4, 2, 2, 2, 2], Swizzle::None), &[1, 1, 2, 0, 1]);
}

#[test]
fn swizzles_exchange_pieces() {
    for (swizzle, columns) in
        [(Swizzle::Bytes32, 16), (Swizzle::Bytes64, 32), (Swizzle::Bytes128, 64)]
    {
        loads(map(ElementType::Bf16, &[70, 40], &[columns, 24], swizzle), &[2, 9]);
    }
}

#[test]
fn what_lies_outside_is_filled() {
    let mut tensor = map(ElementType::F32, &[20, 6], &[8, 4], Swizzle::None);
    for at in [[-3, -2], [16, 4], [20, 0], [0, 6], [-8, 0], [i32::MIN, i32::MAX]] {
        loads(tensor, &at);
    }
    tensor.outside = Outside::NotANumber;
    loads(tensor, &[-3, 4]);
    tensor.element_strides[1] = 3;
    loads(tensor, &[0, 1]);
}

#[test]
fn bad_maps_and_places_are_reported() {
    let tensor = map(ElementType::F32, &[20, 6], &[8, 4], Swizzle::None);
    let run = |text: String, map: TensorMap, change: Option<(usize, u32)>, shift: u64| {
        let bench = Bench::new(&text);
        let address = bench.words(&vec![0; size(&map) / 4]);
        let mut words = encoded(map, address);
        words.extend([0; 32]);
        if let Some((at, bits)) = change {
            words[at] ^= bits;
        }
        let arguments = [bench.words(&words) + shift, bench.words(&[0; 5]), bench.unset(1024)];
        bench.run(32, arguments).map(|_| ()).map_err(|fault| fault.rule)
    };
    let text = load_text(2, 128);
    assert_eq!(run(text.clone(), tensor, None, 0), Ok(()));
    assert_eq!(run(text.clone(), tensor, Some((2, 1)), 0), Err(Rule::Asynchronous));
    assert_eq!(run(text.clone(), tensor, None, 16), Err(Rule::Asynchronous));
    assert_eq!(run(load_text(3, 128), tensor, None, 0), Err(Rule::Asynchronous));
    assert_eq!(
        run(text.replace("[%r101], [%rd0,", "[%r101 + 64], [%rd0,"), tensor, None, 0),
        Err(Rule::Asynchronous)
    );
    assert_eq!(
        run(text.replace("[%r101], [%rd0,", "[%r101 + 65536], [%rd0,"), tensor, None, 0),
        Err(Rule::OutOfBounds)
    );
    let narrow = map(ElementType::F32, &[20, 6], &[8, 4], Swizzle::Bytes128);
    assert_eq!(run(text.clone(), narrow, None, 0), Err(Rule::Asynchronous));
    // The tensor is larger than its memory.
    let mut long = tensor;
    long.dimensions[1] = 7;
    let bench = Bench::new(&text);
    let words = encoded(long, bench.words(&vec![0; size(&tensor) / 4]));
    bench.breaks(
        32,
        [bench.words(&words), bench.words(&[0, 5]), bench.unset(1024)],
        Rule::OutOfBounds,
    );
}

/// A box of words `7 + i` goes out.
fn store_text(rank: usize, bytes: u64, operation: &str) -> String {
    format!(
        "mov.u32 %r101, tile; setp.eq.u32 %p15, %lane, 0; {} mov.u32 %r0, %lane;
        NEXT: setp.ge.u32 %p1, %r0, {}; @%p1 bra DONE; mad.lo.u32 %r1, %r0, 4, %r101; add.u32 %r2, %r0, 7;
        st.shared.u32 [%r1], %r2; add.u32 %r0, %r0, 32; bra NEXT;
        DONE: fence.proxy.async; bar.sync 0;
        @%p15 {operation} [%rd0, {{{}}}], [%r101];
        @%p15 cp.async.bulk.commit_group; @%p15 cp.async.bulk.wait_group 0;",
        take(rank),
        bytes / 4,
        coordinates(rank)
    )
}

#[test]
fn boxes_go_out_as_far_as_the_tensor_reaches() {
    for (map, at) in [
        (map(ElementType::U32, &[100], &[64], Swizzle::None), vec![50]),
        (map(ElementType::U32, &[24, 10], &[8, 4], Swizzle::None), vec![20, -1]),
        (map(ElementType::U32, &[40, 30], &[32, 16], Swizzle::Bytes128), vec![12, 20]),
        (
            map(ElementType::U32, &[8, 3, 4, 2, 3], &[4, 2, 2, 2, 2], Swizzle::None),
            vec![6, 1, 2, -1, 2],
        ),
    ] {
        for (seed, tile) in [(None, ".tile"), (Some(9), ".tile"), (None, "")] {
            let text = store_text(
                map.rank,
                map.box_bytes(),
                &format!("cp.async.bulk.tensor.{}d.global.shared::cta{tile}.bulk_group", map.rank),
            );
            let mut bench = Bench::new(&text);
            bench.options.adversarial = seed;
            let mut expected = vec![5; size(&map) / 4];
            let address = bench.words(&expected);
            let arguments: Vec<u32> = at.iter().map(|c| *c as u32).collect();
            bench.passes(32, [bench.words(&encoded(map, address)), bench.words(&arguments), 0]);
            each(&map, &at, |index, offset| {
                if let Some(offset) = offset {
                    expected[offset / 4] = exchanged(map.swizzle, 4 * index) as u32 / 4 + 7;
                }
            });
            assert_eq!(bench.read(address, expected.len()), expected, "{map:?} at {at:?}");
        }
    }
}

#[test]
fn boxes_are_combined_with_what_is_there() {
    use ElementType::{S32, U32};
    for (operation, element, combine) in [
        ("add", U32, (|old, new| old + new) as fn(u32, u32) -> u32),
        ("min", U32, u32::min),
        ("max", U32, u32::max),
        ("min", S32, |old, new| (old as i32).min(new as i32) as u32),
        ("max", S32, |old, new| (old as i32).max(new as i32) as u32),
        ("inc", U32, |old, new| if old >= new { 0 } else { old + 1 }),
        ("dec", U32, |old, new| if old == 0 || old > new { new } else { old - 1 }),
        ("and", U32, |old, new| old & new),
        ("or", S32, |old, new| old | new),
        ("xor", U32, |old, new| old ^ new),
    ] {
        // As many dimensions as there are, with `.tile` said or not.
        for (rank, tile) in (1..=5).flat_map(|rank| [(rank, ".tile"), (rank, "")]) {
            let (dimensions, boxes) = ([24, 5, 2, 2, 2], [8, 4, 2, 1, 2]);
            let map = map(element, &dimensions[..rank], &boxes[..rank], Swizzle::None);
            let reduce = format!(
                "cp.reduce.async.bulk.tensor.{rank}d.global.shared::cta.{operation}{tile}.bulk_group"
            );
            let bench = Bench::new(&store_text(rank, map.box_bytes(), &reduce));
            let count = size(&map) as u32 / 4;
            let mut expected: Vec<u32> =
                (0..count).map(|i| if i % 3 == 0 { 0x8000_0001 } else { i % 40 }).collect();
            let address = bench.words(&expected);
            let at = [20i32, 3, 1, 1, 0];
            let arguments = at.map(|c| c as u32);
            bench.passes(32, [bench.words(&encoded(map, address)), bench.words(&arguments), 0]);
            each(&map, &at[..rank], |index, offset| {
                if let Some(offset) = offset {
                    let word = &mut expected[offset / 4];
                    *word = combine(*word, index as u32 + 7);
                }
            });
            assert_eq!(bench.read(address, count as usize), expected, "{operation} {rank}{tile}");
        }
    }
    // A type without the operation is told when the map is read.
    let map = map(ElementType::F32, &[24, 10], &[8, 4], Swizzle::None);
    let xor =
        store_text(2, 128, "cp.reduce.async.bulk.tensor.2d.global.shared::cta.xor.tile.bulk_group");
    let bench = Bench::new(&xor);
    let address = bench.words(&[0; 240]);
    let arguments = [bench.words(&encoded(map, address)), bench.words(&[0, 0]), 0];
    bench.breaks(32, arguments, Rule::Asynchronous);
}
