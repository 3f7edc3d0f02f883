//! What the device says of itself, by the numbers of `CUdevice_attribute`.

use crate::target::Target;

/// Registers of a multiprocessor, and the most a thread may have.
pub const REGISTERS: u32 = 65_536;
pub const MOST_REGISTERS_OF_A_THREAD: u32 = 255;
/// Blocks of a multiprocessor.
pub const MOST_BLOCKS: u32 = 32;
/// Shared memory the system keeps of each block.
pub const RESERVED_SHARED: u32 = 1 << 10;

/// Shared memory of a multiprocessor.
pub fn shared_of_multiprocessor(target: &Target) -> u32 {
    target.shared_most + RESERVED_SHARED
}

/// The value of an attribute; those for things the machine has not (textures, peers, managed memory) are 0, and
/// numbers that mean nothing have none.
pub fn device_attribute(target: &Target, attribute: i32) -> Option<i32> {
    let hopper = target.major >= 9;
    Some(match attribute {
        1..=3 => 1024,
        4 => 64,
        5 => i32::MAX,
        6 | 7 => 65_535,
        8 => target.shared_default as i32,
        9 => 65_536,
        10 => 32,
        11 => i32::MAX,
        12 | 82 => REGISTERS as i32,
        // Clocks in kHz and bus widths as the GPU it stands in for has them.
        13 => {
            if hopper {
                1_980_000
            } else {
                1_410_000
            }
        }
        14 | 30 => 512,
        15 => 1,
        16 => target.multiprocessors as i32,
        31 | 32 | 35 | 41 | 78 | 79 | 80 | 90 => 1,
        36 => {
            if hopper {
                2_619_000
            } else {
                1_215_000
            }
        }
        37 => 5120,
        38 => {
            if hopper {
                50 << 20
            } else {
                40 << 20
            }
        }
        39 => target.threads_per_multiprocessor as i32,
        40 => 3,
        51 => 32,
        75 => target.major as i32,
        76 => target.minor as i32,
        81 => shared_of_multiprocessor(target) as i32,
        87 => 2,
        97 => target.shared_most as i32,
        99 => 1,
        106 => MOST_BLOCKS as i32,
        108 => {
            if hopper {
                31_457_280
            } else {
                26_214_400
            }
        }
        109 => 128 << 20,
        111 => RESERVED_SHARED as i32,
        115 => 1,
        127 => i32::from(hopper),
        17..=162 => 0,
        _ => return None,
    })
}
