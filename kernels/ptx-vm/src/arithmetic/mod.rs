//! Numbers: exact values, how they round into a format, and what instructions compute of them lane by lane. Knows
//! nothing of registers or instructions.

pub mod approximate;
pub mod directed;
pub mod exact;
pub mod format;
pub mod half;
pub mod integer;
pub mod single;
