// The gradient of what was before an activation, as it leaves a product, and beside it what the activation makes of that,
// which the next product needs: both come from the same exponential, and nothing has to be activated again.
#pragma once

#include "../common/activation.cuh"
#include "gradient.cuh"
#include "tiles.cuh"

// Asks the second cache for the part of a matrix that a block will read when its tile is done, so that it does not wait
// for memory then.
template <typename Tile, typename T>
__device__ inline void expect_tile(const T *matrix, int rows, int columns, TileAt at) {
  constexpr int LINE = 128 / sizeof(T), LINES = (Tile::COLUMNS + LINE - 1) / LINE; // of a row
#pragma unroll
  for (int i = threadIdx.x; i < Tile::ROWS * LINES; i += Tile::THREADS) {
    const int row = at.row + i / LINES, column = at.column + i % LINES * LINE;
    if (row < rows && column < columns)
      asm volatile("prefetch.global.L2 [%0];" ::"l"(matrix + static_cast<size_t>(row) * columns + column));
  }
}

// Writes `scale` times a product as the gradient of `pre`, and activation(pre).
template <typename T> struct Differentiated {
  Gradient<T> gradient;
  const T *pre;
  T *activated; // or null if nobody wants it
  int activation;
  float scale;

  __device__ void operator()(int row, int column, float (&values)[FOUR]) const {
    const int columns = gradient.columns, count = min(columns - column, FOUR);
    const size_t at = static_cast<size_t>(row) * columns + column;
    const bool whole = count == FOUR && aligned<FOUR>(pre, columns) && aligned<FOUR>(activated, columns);
    float x[FOUR], made[FOUR];
    load_four(pre + at, count, whole, x);
#pragma unroll
    for (int i = 0; i < FOUR; ++i) {
      const Activated of = activate_both<T>(x[i], activation);
      made[i] = of.value, values[i] *= scale * of.derivative;
    }
    if (activated != nullptr) put_four(activated + at, count, whole, made, false);
    gradient(row, column, values);
  }
};
