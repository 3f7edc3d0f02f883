//! What tests share: cases of operations, naive references, differences, comparisons.
#![allow(dead_code, reason = "each test binary uses its part")]

pub mod attend;
pub mod case;
pub mod compare;
pub mod device;
