// What backward does to dout number by number: dpre, the residual's gradient, and the bias's, which is the sums
// of dpre's columns.
//
// A block has COLUMNS columns of a chunk of the rows, a thread of it 128 bits of every so manieth row. The sums go
// from threads to the block and from there to the last block of these columns, in a fixed order.
#pragma once

#include "../common/activation.cuh"
#include "../common/last_block.cuh"
#include "drop.cuh"

constexpr int COLUMNS = 128;

// WIDTH numbers of a row, of which `count` are there, the others 0.
template <int WIDTH, typename T>
__device__ inline void load_some(const T *at, int count, bool whole, float (&to)[WIDTH]) {
  if (whole) {
    load<T, WIDTH>(at, to);
  } else {
#pragma unroll
    for (int i = 0; i < WIDTH; i += FOUR) {
      float part[FOUR];
      load_four(at + i, count - i, false, part);
#pragma unroll
      for (int j = 0; j < FOUR; ++j) to[i + j] = part[j];
    }
  }
}
template <int WIDTH, typename T>
__device__ inline void put_some(T *at, int count, bool whole, const float (&values)[WIDTH], bool add) {
  if (whole) {
    put<T, WIDTH>(at, values, add);
  } else {
#pragma unroll
    for (int i = 0; i < WIDTH; i += FOUR) {
      const float part[FOUR] = {values[i], values[i + 1], values[i + 2], values[i + 3]};
      put_four(at + i, count - i, false, part, add);
    }
  }
}

// Threads that share COLUMNS columns, each WIDTH of them, and the rows in as many groups as that leaves.
template <int WIDTH, int THREADS> struct ColumnThreads {
  static constexpr int LANES = COLUMNS / WIDTH, GROUPS = THREADS / LANES;
  static_assert(GROUPS * COLUMNS * sizeof(float) <= 16384, "as much shared memory as every product has");

  static __device__ int column() { return threadIdx.x % LANES * WIDTH; }
  static __device__ int group() { return threadIdx.x / LANES; }

  // Where a group's sum of a column lies: a thread stores four at once, and neither lanes with every fourth column nor
  // those with every one meet in a bank.
  static __device__ int place(int column) {
    if (WIDTH == FOUR) return column;
    static_assert(WIDTH <= 2 * FOUR, "two fours of a thread");
    const int half = column % WIDTH / FOUR;
    return half * (COLUMNS / 2) + (column / WIDTH * FOUR ^ half * 16) + column % FOUR;
  }

  // The sum over the groups of a column, which thread `column` of the block gets; `shared` is free again after
  // a __syncthreads.
  static __device__ float sum(const float (&of_group)[WIDTH], float *shared) {
#pragma unroll
    for (int i = 0; i < WIDTH; i += FOUR) {
      const float four[FOUR] = {of_group[i], of_group[i + 1], of_group[i + 2], of_group[i + 3]};
      store_shared(shared_address(shared + group() * COLUMNS + place(column() + i)), four);
    }
    __syncthreads();
    float sum = 0.0f;
    if (threadIdx.x < COLUMNS)
#pragma unroll
      for (int g = 0; g < GROUPS; ++g) sum += shared[g * COLUMNS + place(threadIdx.x)];
    return sum;
  }
};

// As kernels are told; null for what is not wanted.
template <typename T> struct Columns {
  const T *dout, *saved; // `saved` where there is an activation: its output for ReLU, its input for GELU
  T *dpre, *dresidual;
  float *dbias, *partial; // [chunks, column tiles, COLUMNS]
  unsigned *tickets;      // of column tiles
  int rows, outputs, chunks, activation, add_bias, add_residual;
  Drop drop;
};

template <typename T> struct ColumnBlocks {
  const Columns<T> &of;
  DropCursor drop;

  __device__ explicit ColumnBlocks(const Columns<T> &of_) : of(of_), drop(of_.drop) {}

  __device__ int tiles() const { return tiles_of<COLUMNS>(of.outputs); }

  // Block `block` of tiles() * chunks.
  template <int THREADS> __device__ void run(int block, float *shared) {
    constexpr int WIDTH = WIDEST<T>;
    using Threads = ColumnThreads<WIDTH, THREADS>;
    const int tile = block % tiles(), chunk = block / tiles();
    float sums[WIDTH] = {};
    each_row<THREADS>(tile, chunk, sums);
    if (of.dbias == nullptr) return;
    const float sum = Threads::sum(sums, shared);
    if (of.chunks == 1) {
      put_sum(tile, sum);
    } else {
      float *const of_tile = of.partial + static_cast<size_t>(tile) * COLUMNS;
      const size_t stride = static_cast<size_t>(tiles()) * COLUMNS;
      if (threadIdx.x < COLUMNS) of_tile[chunk * stride + threadIdx.x] = sum;
      if (is_last_block(of.tickets + tile, of.chunks)) put_sum(tile, sum_of_chunks<THREADS>(of_tile, stride, shared));
    }
  }

  template <int THREADS, int WIDTH>
  __device__ void each_row(int tile, int chunk, float (&sums)[WIDTH]) {
    using Threads = ColumnThreads<WIDTH, THREADS>;
    const int column = tile * COLUMNS + Threads::column(), count = min(max(of.outputs - column, 0), WIDTH);
    const bool whole = count == WIDTH && aligned<WIDTH>(of.dout, of.outputs) && aligned<WIDTH>(of.saved, of.outputs) &&
                       aligned<WIDTH>(of.dpre, of.outputs) && aligned<WIDTH>(of.dresidual, of.outputs);
    const int height = (of.rows + of.chunks - 1) / of.chunks, end = min((chunk + 1) * height, of.rows);
#pragma unroll 2
    for (int row = chunk * height + Threads::group(); row < end; row += Threads::GROUPS) {
      const size_t at = static_cast<size_t>(row) * of.outputs + column;
      float d[WIDTH];
      load_some(of.dout + at, count, whole, d);
      // forward: out = drop(activation(pre)) + residual
      if (of.dresidual != nullptr) put_some(of.dresidual + at, count, whole, d, of.add_residual);
      drop.apply(row, at, drop.scale, d);
      if (of.activation != NONE) {
        float s[WIDTH];
        load_some(of.saved + at, count, whole, s);
#pragma unroll
        for (int i = 0; i < WIDTH; ++i) d[i] = differentiate<T>(d[i], s[i], of.activation);
      }
      if (of.dpre != nullptr) put_some(of.dpre + at, count, whole, d, false);
      // forward: pre = inp weight^T + bias
#pragma unroll
      for (int i = 0; i < WIDTH; ++i) sums[i] += d[i];
    }
  }

  template <int THREADS>
  __device__ float sum_of_chunks(const float *of_tile, size_t stride, float *shared) const {
    using Threads = ColumnThreads<FOUR, THREADS>;
    float sums[FOUR] = {};
#pragma unroll 8
    for (int chunk = Threads::group(); chunk < of.chunks; chunk += Threads::GROUPS) {
      float more[FOUR];
      load<float, FOUR>(of_tile + chunk * stride + Threads::column(), more);
#pragma unroll
      for (int i = 0; i < FOUR; ++i) sums[i] += more[i];
    }
    return Threads::sum(sums, shared);
  }

  __device__ void put_sum(int tile, float value) const {
    const float sum[1] = {value};
    const int column = tile * COLUMNS + threadIdx.x;
    if (threadIdx.x < COLUMNS && column < of.outputs) put(of.dbias + column, sum, of.add_bias);
  }
};
