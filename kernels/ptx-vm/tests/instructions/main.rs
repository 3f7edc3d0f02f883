//! Instructions on numbers, each against values worked out independently.

/// A device to run texts on.
#[path = "../run/bench.rs"]
mod bench;
/// One instruction over many lanes of inputs.
mod lanes;
/// Whether a result is what an exact number rounds to, by the definition of rounding.
mod rounding;
/// Inputs: corner cases and random numbers.
mod samples;

/// `ex2 lg2 sin cos tanh` within the manual's bounds.
mod approximate;
/// `popc clz bfind brev bfe bfi bmsk fns szext prmt`
mod bits;
/// `add.cc addc sub.cc subc mad.cc madc`
mod carry;
/// `setp set`
mod compare;
/// `cvt` from and to floats.
mod convert_floats;
/// `cvt` of integers.
mod convert_integers;
/// `cvt` of two numbers at once: halves, eight-bit floats, packed integers.
mod convert_pairs;
/// `div rem` of integers.
mod division;
/// `min max` of floats.
mod extreme;
/// `add sub mul fma mad abs neg` of f32 and f64.
mod float;
/// Arithmetic of f16 and bf16.
mod half;
/// `add sub abs neg min max sad` of integers.
mod integer;
/// `and or xor not cnot lop3`
mod logic;
/// Modifiers against the plain instruction.
mod modifiers;
/// `mov`: packing and unpacking.
mod moves;
/// `mul mad mul24 mad24 dp4a dp2a`
mod product;
/// `div rcp sqrt rsqrt` of floats.
mod quotient;
/// What no instruction takes.
mod refused;
/// `selp slct testp copysign`
mod select;
/// `shl shr shf`
mod shift;
/// Nanoseconds of an instruction; run on demand.
mod speed;
/// `vabsdiff2 vabsdiff4`
mod video;
