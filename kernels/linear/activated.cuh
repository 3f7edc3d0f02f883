// A layer whose input is kept as it was before an activation. The gradient it leaves is that of what was kept; with it
// comes, of the same exponential, what the activation makes, for the weight's gradient. Where that is a single tile high
// it reads each number once, and activates it on its way through shared memory instead, as a norm is applied (norm.cuh).
#pragma once

#include "../common/activation.cuh"
#include "gradient.cuh"
#include "tiles.cuh"

// Brings an operand and activates what has come. Zeros stay zeros.
template <typename Loader> struct ActivatedLoader : Loader {
  using T = typename Loader::Number;
  int activation;

  __device__ ActivatedLoader(const Loader &loader, int activation_)
      : Loader(loader), activation(activation_) {}

  template <typename Step> __device__ void arrived(Step *to, int) const {
    if (activation == GELU)
      change(to, [](float x) { return gelu<T>(x); });
    else if (activation == RELU)
      change(to, [](float x) { return activate<T>(x, RELU); });
  }

  template <typename Step, typename Make> __device__ void change(Step *to, Make make) const {
#pragma unroll Loader::WIDTH // single numbers one by one, which spares registers
    for (int l = 0; l < Loader::LINES; l += Loader::BETWEEN) {
      T *const chunk = Loader::chunk(to, l);
      float values[Loader::WIDTH];
      load<T, Loader::WIDTH>(chunk, values);
#pragma unroll
      for (int i = 0; i < Loader::WIDTH; ++i) values[i] = make(values[i]);
      store(chunk, values);
    }
  }
};

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
