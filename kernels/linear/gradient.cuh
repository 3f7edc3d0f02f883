// A product on its way out as a gradient.
#pragma once

#include "../common/vector.cuh"

// Writes a product as a gradient [.., columns].
template <typename T> struct Gradient {
  T *to;
  int columns;
  bool add;

  __device__ void operator()(int row, int column, float (&values)[FOUR]) const {
    const int count = min(columns - column, FOUR);
    put_four(to + static_cast<size_t>(row) * columns + column, count,
             count == FOUR && aligned<FOUR>(to, columns), values, add);
  }
};

// The same of a product that is to be multiplied.
template <typename T> struct Scaled {
  Gradient<T> gradient;
  float scale;

  __device__ void operator()(int row, int column, float (&values)[FOUR]) const {
#pragma unroll
    for (int i = 0; i < FOUR; ++i) values[i] *= scale;
    gradient(row, column, values);
  }
};
