//! Where the spaces lie in generic addressing: each a window of 2^40 bytes, global memory above them all.

use crate::syntax::Space;

/// Generic address of byte 0 of the block's shared memory.
pub const SHARED: u64 = 0x0100_0000_0000;
/// Generic address of byte 0 of the thread's local memory.
pub const LOCAL: u64 = 0x0200_0000_0000;
/// Generic address of byte 0 of the kernel's parameters.
pub const PARAMETERS: u64 = 0x0300_0000_0000;
/// Address of the first function of a module; nothing can be read there.
const FUNCTIONS: u64 = 0x0400_0000_0000;
/// From one function to the next.
const FUNCTION_STEP: u64 = 128;
/// Every allocation of global memory lies at or above this address.
pub const GLOBAL: u64 = 0x0700_0000_0000;

/// Bytes of a window.
const SPAN: u64 = 1 << 40;

/// The space a generic address points into and the address inside that space. What lies in no window
/// is taken as a global address, which the checks of global memory then refuse.
#[inline]
pub fn split(address: u64) -> (Space, u64) {
    match address & !(SPAN - 1) {
        SHARED => (Space::Shared, address - SHARED),
        LOCAL => (Space::Local, address - LOCAL),
        PARAMETERS => (Space::Parameter, address - PARAMETERS),
        _ => (Space::Global, address),
    }
}

/// The address of the function with this number.
pub fn address_of_function(index: u32) -> u64 {
    FUNCTIONS + FUNCTION_STEP * (1 + u64::from(index))
}

/// The number of the function at an address.
pub fn function(address: u64) -> Option<u32> {
    let step = address.checked_sub(FUNCTIONS + FUNCTION_STEP)?;
    if step % FUNCTION_STEP == 0 { u32::try_from(step / FUNCTION_STEP).ok() } else { None }
}

/// The generic address of `address` in `space` (`cvta`).
#[inline]
pub fn generic(space: Space, address: u64) -> u64 {
    match space {
        Space::Shared => address.wrapping_add(SHARED),
        Space::Local => address.wrapping_add(LOCAL),
        Space::Parameter => address.wrapping_add(PARAMETERS),
        Space::Global | Space::Generic | Space::Constant => address,
    }
}
