//! Allocating, freeing, copying: the driver's side.

use crate::{some, strided};
use ptx_vm::memory::*;

#[test]
fn addresses_are_aligned_to_512_and_apart() {
    let memory = Memory::default();
    let bases: Vec<u64> =
        [1, 511, 512, 513, 1 << 20, 1].map(|bytes| memory.allocate(bytes).unwrap()).into();
    for (pair, bytes) in bases.windows(2).zip([1, 511, 512, 513, 1 << 20]) {
        assert!(pair[1] >= pair[0] + bytes + 512, "a guard gap between {pair:x?}");
    }
    assert!(bases.iter().all(|base| base % 512 == 0 && *base >= window::GLOBAL));
    assert!(bases.iter().any(|base| base % 1024 != 0), "no more alignment than promised");
    assert_eq!(memory.allocation(bases[2] + 100), Ok(bases[2]..bases[2] + 512));
}

#[test]
fn the_device_has_an_end() {
    let memory = Memory::new(4096);
    assert_eq!(memory.allocate(0), Err(MemoryError::Empty));
    let base = memory.allocate(3000).unwrap();
    assert_eq!(memory.capacity(), (4096, 1024));
    assert_eq!(memory.allocate(1025), Err(MemoryError::OutOfMemory { asked: 1025, free: 1024 }));
    let rest = memory.allocate(1024).unwrap();
    assert!(memory.allocate(1).is_err());
    memory.free(base).unwrap();
    memory.free(rest).unwrap();
    assert_eq!(memory.capacity(), (4096, 4096));
    assert!(memory.allocate(4096).is_ok());
    assert!(matches!(
        Memory::new(u64::MAX).allocate(u64::MAX),
        Err(MemoryError::OutOfMemory { .. })
    ));
}

#[test]
fn gigabytes_cost_nothing_until_touched() {
    let memory = Memory::new(64 << 30);
    let base = memory.allocate(4 << 30).unwrap();
    memory.write(base + (3 << 30), &[1, 2, 3]).unwrap();
    let mut bytes = [9; 4];
    memory.read(base + (3 << 30), &mut bytes).unwrap();
    assert_eq!(bytes, [1, 2, 3, 0]);
    assert_eq!(memory.unwritten(base + (3 << 30), 4), Ok(Some(base + (3 << 30) + 3)));
}

#[test]
fn only_the_start_of_a_live_allocation_is_freed() {
    let memory = Memory::default();
    let base = memory.allocate(100).unwrap();
    assert_eq!(memory.free(base + 1), Err(MemoryError::NotTheStart { address: base + 1, base }));
    let never = MemoryError::NoAllocation { address: 64, bytes: 1, freed: false };
    assert_eq!(memory.free(64), Err(never));
    memory.free(base).unwrap();
    let again = MemoryError::NoAllocation { address: base, bytes: 1, freed: true };
    assert_eq!(memory.free(base), Err(again));
}

#[test]
fn copies_stay_inside_one_allocation() {
    let memory = Memory::default();
    let base = memory.allocate(100).unwrap();
    assert!(memory.write(base + 90, &[0; 10]).is_ok());
    let over = MemoryError::OverEnd { address: base + 90, bytes: 11, base, size: 100 };
    assert_eq!(memory.write(base + 90, &[0; 11]), Err(over.clone()));
    assert_eq!(memory.read(base + 90, &mut [0; 11]), Err(over));
    assert!(memory.fill(base, &[1, 2], 50).is_ok());
    assert!(memory.fill(base, &[1, 2], 51).is_err());
    assert!(memory.fill(base, &[1, 2], u64::MAX).is_err());
    let message = memory.read(base + 90, &mut [0; 11]).unwrap_err().to_string();
    assert!(message.contains("run over the end of the 100 bytes"), "{message}");
}

#[test]
fn odd_offsets_and_lengths_copy_exactly() {
    let memory = Memory::default();
    let base = memory.allocate(300).unwrap();
    let bytes: Vec<u8> = (0..300u32).map(|i| (i * 7 + 1) as u8).collect();
    for (start, length) in
        [(0, 300), (1, 7), (3, 2), (5, 100), (7, 9), (8, 64), (299, 1), (300 - 13, 13)]
    {
        memory.fill(base, &[0], 300).unwrap();
        memory.write(base + start as u64, &bytes[start..start + length]).unwrap();
        let mut all = [9; 300];
        memory.read(base, &mut all).unwrap();
        let expected = |i: usize| if (start..start + length).contains(&i) { bytes[i] } else { 0 };
        assert!((0..300).all(|i| all[i] == expected(i)), "{length} bytes at {start}");
        let mut part = vec![0; length];
        memory.read(base + start as u64, &mut part).unwrap();
        assert_eq!(part, bytes[start..start + length]);
    }
}

#[test]
fn a_fill_repeats_its_pattern_over_chunks() {
    let memory = Memory::default();
    let base = memory.allocate(600_000).unwrap();
    memory.fill(base, &[1, 2, 3], 200_000).unwrap();
    let mut bytes = vec![0; 600_000];
    memory.read(base, &mut bytes).unwrap();
    assert!(bytes.chunks(3).all(|three| three == [1, 2, 3]));
    assert_eq!(memory.unwritten(base, 600_000), Ok(None));
}

#[test]
fn a_copy_inside_the_device_takes_along_what_was_written() {
    let memory = Memory::default();
    let (from, to) = (memory.allocate(200_000).unwrap(), memory.allocate(200_000).unwrap());
    memory.write(from + 10, &[5; 130]).unwrap();
    memory.write(from + 150_000, &[6; 10]).unwrap();
    memory.fill(to, &[1], 200_000).unwrap();
    memory.copy(from + 3, to + 7, 199_000).unwrap();
    let mut bytes = vec![0; 200_000];
    memory.read(to, &mut bytes).unwrap();
    let holds = |range: std::ops::Range<usize>, value| bytes[range].iter().all(|&b| b == value);
    assert!(
        holds(0..7, 1)
            && holds(14..144, 5)
            && holds(150_004..150_014, 6)
            && holds(199_007..200_000, 1)
    );
    assert_eq!(memory.unwritten(to, 7), Ok(None));
    assert_eq!(memory.unwritten(to, 14), Ok(Some(to + 7)));
    assert_eq!(memory.unwritten(to + 14, 200), Ok(Some(to + 144)));
    assert_eq!(memory.unwritten(to + 150_004, 100), Ok(Some(to + 150_014)));
    assert_eq!(memory.unwritten(to + 199_007, 993), Ok(None));
}

#[test]
fn a_copy_onto_itself_is_refused() {
    let memory = Memory::default();
    let base = memory.allocate(100).unwrap();
    memory.write(base, &[3; 50]).unwrap();
    assert!(memory.copy(base, base + 50, 50).is_ok());
    assert_eq!(
        memory.copy(base, base + 49, 50),
        Err(MemoryError::Overlap { from: base, to: base + 49, bytes: 50 })
    );
    assert!(memory.copy(base, base, 0).is_ok());
}

#[test]
fn a_view_sees_what_the_host_writes_later() {
    let memory = Memory::default();
    let base = memory.allocate(128).unwrap();
    let view = memory.view();
    let later = memory.allocate(128).unwrap();
    memory.write(base, &[4; 128]).unwrap();
    memory.write(later, &[4; 128]).unwrap();
    assert!(view.load::<u8, 1>(&mut some(!0), &strided(base, 1)).is_ok());
    assert!(
        view.load::<u8, 1>(&mut some(!0), &strided(later, 1)).is_err(),
        "allocated after the view"
    );
}
