// Mean over the rows that count, forward and backward (equations: src/op/masked_mean/mod.rs).
//
// A block has 128 columns of one sample, a lane four of them, a warp every eighth row. Rows that do not count are
// not read. Forward adds the warps' sums, in shared memory, in the order of the warps; backward has dout there, so
// that it is read once. Limit: fewer than 2^31 blocks.

#include "common/reduce.cuh"

constexpr int THREADS = COLUMN_WARPS * WARP;

// The rows of a sample: those from `masked` on count always, others if their mask is 1.
struct Rows {
  int count, masked;
  const int *mask; // of this sample

  __device__ bool counts(int row) const { return row >= masked || mask[row] == 1; }
};

// What a block works on.
struct Task {
  int sample;
  int column, there; // the first of this lane's four columns, and how many of them there are

  __device__ Task(int columns) {
    const unsigned tiles = (columns + COLUMNS_TILE - 1) / COLUMNS_TILE;
    sample = blockIdx.x / tiles;
    column = blockIdx.x % tiles * COLUMNS_TILE + threadIdx.x % WARP * FOUR;
    there = min(max(columns - column, 0), FOUR);
  }

  __device__ Rows rows(const int *mask, int count, int masked) const {
    return {count, masked, mask + static_cast<size_t>(sample) * masked};
  }
};

__device__ inline float share(int count) { return count == 0 ? 0.0f : 1.0f / static_cast<float>(count); }

template <typename T>
__device__ inline void forward(const T *inp, const int *mask, T *out, int rows, int masked, int columns) {
  __shared__ alignas(16) float of_warps[COLUMN_WARPS][COLUMNS_TILE];
  __shared__ int counts[COLUMN_WARPS];
  const Task task(columns);
  const Rows which = task.rows(mask, rows, masked);
  const bool whole = task.there == FOUR && aligned<FOUR>(inp, columns) && aligned<FOUR>(out, columns);
  const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
  float sums[FOUR] = {};
  int count = 0;
#pragma unroll 2
  for (int row = warp; row < rows; row += COLUMN_WARPS) {
    if (!which.counts(row)) continue;
    float x[FOUR];
    load_four(inp + (static_cast<size_t>(task.sample) * rows + row) * columns + task.column, task.there, whole, x);
#pragma unroll
    for (int i = 0; i < FOUR; ++i) sums[i] += x[i];
    ++count;
  }
  store(&of_warps[warp][lane * FOUR], sums);
  if (lane == 0) counts[warp] = count;
  __syncthreads();
  if (warp != 0) return;
#pragma unroll
  for (int w = 1; w < COLUMN_WARPS; ++w) {
    float others[FOUR];
    load<float, FOUR>(&of_warps[w][lane * FOUR], others);
#pragma unroll
    for (int i = 0; i < FOUR; ++i) sums[i] += others[i];
    count += counts[w];
  }
#pragma unroll
  for (int i = 0; i < FOUR; ++i) sums[i] *= share(count);
  put_four(out + static_cast<size_t>(task.sample) * columns + task.column, task.there, whole, sums, false);
}

template <typename T>
__device__ inline void backward(const T *dout, const int *mask, T *dinp, int rows, int masked, int columns,
                                bool add) {
  __shared__ alignas(16) float of_columns[COLUMNS_TILE];
  const Task task(columns);
  const Rows which = task.rows(mask, rows, masked);
  const bool whole = task.there == FOUR && aligned<FOUR>(dout, columns) && aligned<FOUR>(dinp, columns);
  const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
  float d[FOUR];
  if (warp == 0) {
    load_four(dout + static_cast<size_t>(task.sample) * columns + task.column, task.there, whole, d);
    store(of_columns + lane * FOUR, d);
  }
  int count = 0;
#pragma unroll 1
  for (int first = 0; first < rows; first += THREADS) {
    const int row = first + threadIdx.x;
    count += __syncthreads_count(row < rows && which.counts(row));
  }
  // forward: out = share(count) * sum of the rows that count
  load<float, FOUR>(of_columns + lane * FOUR, d);
#pragma unroll
  for (int i = 0; i < FOUR; ++i) d[i] *= share(count);
#pragma unroll 2
  for (int row = warp; row < rows; row += COLUMN_WARPS) {
    const bool counted = which.counts(row);
    if (!counted && add) continue;
    const float values[FOUR] = {counted ? d[0] : 0.0f, counted ? d[1] : 0.0f, counted ? d[2] : 0.0f,
                                counted ? d[3] : 0.0f};
    put_four(dinp + (static_cast<size_t>(task.sample) * rows + row) * columns + task.column, task.there, whole,
             values, add);
  }
}

// `inp` [samples, rows, columns], `mask` [samples, masked] or null with `masked` 0.
// Grid: samples * ceil(columns / 128) blocks of 256 threads.
extern "C" __global__ __launch_bounds__(THREADS) void
masked_mean_forward_f32(const float *inp, const int *mask, float *out, int rows, int masked, int columns) {
  forward(inp, mask, out, rows, masked, columns);
}
extern "C" __global__ __launch_bounds__(THREADS) void
masked_mean_forward_bf16(const bf16 *inp, const int *mask, bf16 *out, int rows, int masked, int columns) {
  forward(inp, mask, out, rows, masked, columns);
}

// `rows` is at least 1. `add` is 1 to add to `dinp`, 0 to set it. Grid: as forward.
extern "C" __global__ __launch_bounds__(THREADS) void
masked_mean_backward_f32(const float *dout, const int *mask, float *dinp, int rows, int masked, int columns,
                         int add) {
  backward(dout, mask, dinp, rows, masked, columns, add != 0);
}
extern "C" __global__ __launch_bounds__(THREADS) void
masked_mean_backward_bf16(const bf16 *dout, const int *mask, bf16 *dinp, int rows, int masked, int columns,
                          int add) {
  backward(dout, mask, dinp, rows, masked, columns, add != 0);
}
