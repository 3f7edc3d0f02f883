// A layer whose input is kept as it was before an activation: what it reads is activated on its way through shared
// memory, as a norm is (norm.cuh), and the gradient it leaves is that of what was kept.
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

// Writes `scale` times a product as the gradient of what was before the activation.
template <typename T> struct Differentiated {
  Gradient<T> gradient;
  const T *pre;
  int activation;
  float scale;

  __device__ void operator()(int row, int column, float (&values)[FOUR]) const {
    const int columns = gradient.columns, count = min(columns - column, FOUR);
    float saved[FOUR];
    load_four(pre + static_cast<size_t>(row) * columns + column, count,
              count == FOUR && aligned<FOUR>(pre, columns), saved);
#pragma unroll
    for (int i = 0; i < FOUR; ++i) values[i] = differentiate<T>(values[i] * scale, saved[i], activation);
    gradient(row, column, values);
  }
};
