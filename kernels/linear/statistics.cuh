// Mean and reciprocal deviation of the rows of a product's tile, made by the block that needs them: mean first, then
// the mean of squared distances from it.
//
// A warp has ROWS rows, eight lanes each of them. What is in flight at once is 16 vectors of each lane, of as many rows as
// that is: all that a lane has of up to 1024 channels in bf16 or 512 in f32. Longer rows are read again, from the
// second cache.
#pragma once

#include "../common/reduce.cuh"

constexpr int ROW_LANES = 8, ROWS_AT_ONCE = WARP / ROW_LANES, WARP_ROWS = 16;

// The sum over the lanes of a row, the same bits in each of them.
__device__ inline float row_sum(float value) {
#pragma unroll
  for (int distance = ROW_LANES / 2; distance > 0; distance /= 2)
    value += __shfl_xor_sync(0xffffffffu, value, distance);
  return value;
}

// One lane's vectors of a row; what it holds is visited from registers.
template <typename T, int WIDTH, int HELD> struct RowPart {
  const T *row; // null beyond the last one
  int vectors;  // of the row
  Packed<T, WIDTH> held[HELD];

  __device__ void load(const T *row_, int vectors_) {
    row = row_, vectors = row == nullptr ? 0 : vectors_;
#pragma unroll
    for (int i = 0; i < HELD; ++i)
      if (at(i) < vectors) held[i] = load_packed<T, WIDTH>(row + at(i) * WIDTH);
  }

  static __device__ int at(int i) { return threadIdx.x % ROW_LANES + i * ROW_LANES; }

  // Sums up what `each` makes of every number.
  template <typename Each> __device__ float sum(Each each) const {
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < HELD; ++i)
      if (at(i) < vectors) {
        float x[WIDTH];
        unpack(held[i], x);
#pragma unroll
        for (int k = 0; k < WIDTH; ++k) sum += each(x[k]);
      }
#pragma unroll 4
    for (int vector = at(HELD); vector < vectors; vector += ROW_LANES) {
      float x[WIDTH];
      ::load<T, WIDTH>(row + vector * WIDTH, x);
#pragma unroll
      for (int k = 0; k < WIDTH; ++k) sum += each(x[k]);
    }
    return row_sum(sum);
  }
};

// Calls `put(row, mean, rstd)` in one lane for each of the warp's rows from `first` on, with zeros beyond the last.
template <int WIDTH, int AT_ONCE, typename T, typename Put>
__device__ inline void warp_statistics(const T *inp, int rows, int channels, int first, float eps, Put put) {
  const int lane_row = first + threadIdx.x % WARP / ROW_LANES;
#pragma unroll 1
  for (int r = 0; r < WARP_ROWS; r += AT_ONCE * ROWS_AT_ONCE) {
    RowPart<T, WIDTH, 16 / AT_ONCE> parts[AT_ONCE];
#pragma unroll
    for (int i = 0; i < AT_ONCE; ++i) {
      const int row = lane_row + r + i * ROWS_AT_ONCE;
      parts[i].load(row < rows ? inp + static_cast<size_t>(row) * channels : nullptr, channels / WIDTH);
    }
#pragma unroll
    for (int i = 0; i < AT_ONCE; ++i) {
      const int row = lane_row + r + i * ROWS_AT_ONCE;
      const float mean = parts[i].sum([](float x) { return x; }) / channels;
      const float variance = parts[i].sum([=](float x) { return (x - mean) * (x - mean); }) / channels;
      if (threadIdx.x % ROW_LANES == 0) put(row, mean, row < rows ? 1.0f / sqrtf(variance + eps) : 0.0f);
    }
  }
}

// The same of all rows of a tile, in whatever lies best.
template <typename T, typename Put>
__device__ inline void tile_statistics(const T *inp, int rows, int channels, int first, float eps, Put put) {
  constexpr int WIDTH = WIDEST<T>;
  first += threadIdx.x / WARP * WARP_ROWS;
  const int of_lane = (channels / WIDTH + ROW_LANES - 1) / ROW_LANES;
  if (!aligned<WIDTH>(inp, channels))
    warp_statistics<1, 1>(inp, rows, channels, first, eps, put);
  else if (of_lane <= 4)
    warp_statistics<WIDTH, 4>(inp, rows, channels, first, eps, put);
  else if (of_lane <= 8)
    warp_statistics<WIDTH, 2>(inp, rows, channels, first, eps, put);
  else
    warp_statistics<WIDTH, 1>(inp, rows, channels, first, eps, put);
}
