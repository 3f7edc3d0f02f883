// Arguments of which there is one for each input of an operation. They come one by one, as pointers and
// scalars; loops over them are unrolled, so that they stay in registers.
#pragma once

// As many inputs as an operation has at most: MAX_INPUTS in src/op/contract.rs.
constexpr int MOST_INPUTS = 8;

template <typename T> struct OfInputs {
  T of[MOST_INPUTS];
};
