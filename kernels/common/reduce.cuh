// Sums in a fixed order: over the lanes of a warp, and over the rows of a matrix.
#pragma once

#include "vector.cuh"

constexpr int WARP = 32;

// The sum over all lanes, the same bits in each of them.
__device__ inline float warp_sum(float value) {
#pragma unroll
  for (int distance = WARP / 2; distance > 0; distance /= 2)
    value += __shfl_xor_sync(0xffffffffu, value, distance);
  return value;
}

// Sums over rows come about in two kernels. The first runs blocks of COLUMN_WARPS warps over a grid
// of (column tiles, row chunks): a lane has four neighbouring columns, a warp every COLUMN_WARPS-th
// row of the chunk. The second adds the chunks' sums. The order depends on the number of chunks alone.
constexpr int COLUMN_WARPS = 8;
constexpr int COLUMNS_TILE = WARP * FOUR;

// Which columns and rows a thread of the first kernel sums.
struct ColumnWork {
  int column; // the first of FOUR
  int count;  // how many of them there are: 0 beyond the last
  int row, end;

  __device__ ColumnWork(int rows, int columns) {
    column = blockIdx.x * COLUMNS_TILE + threadIdx.x % WARP * FOUR;
    count = min(max(columns - column, 0), FOUR);
    const int chunk = (rows + gridDim.y - 1) / gridDim.y;
    row = blockIdx.y * chunk + threadIdx.x / WARP;
    end = min(static_cast<int>(blockIdx.y + 1) * chunk, rows);
  }
};

// Adds the warps' sums in the order of the warps and writes them as this chunk's: `partial` is
// [row chunks, SETS, columns]. Every thread of the block has to come here.
template <int SETS>
__device__ inline void store_partial_sums(const float (&sums)[SETS][FOUR], int columns,
                                          float *partial) {
  __shared__ alignas(16) float of_warps[COLUMN_WARPS][SETS][COLUMNS_TILE];
  const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
#pragma unroll
  for (int set = 0; set < SETS; ++set) store(&of_warps[warp][set][lane * FOUR], sums[set]);
  __syncthreads();
  for (int i = threadIdx.x; i < SETS * COLUMNS_TILE; i += COLUMN_WARPS * WARP) {
    const int set = i / COLUMNS_TILE, column = blockIdx.x * COLUMNS_TILE + i % COLUMNS_TILE;
    float sum = 0.0f;
#pragma unroll
    for (int w = 0; w < COLUMN_WARPS; ++w) sum += of_warps[w][set][i % COLUMNS_TILE];
    if (column < columns)
      partial[(static_cast<size_t>(blockIdx.y) * SETS + set) * columns + column] = sum;
  }
}

// The second kernel's work, blocks of COLUMN_WARPS warps over a grid of (tiles of 32 columns): the sum
// of `chunks` rows of `columns` numbers that lie `stride` apart. Lanes of warp 0 return their column's
// sum. A warp takes every COLUMN_WARPS-th chunk, so that the loads of a column do not wait in line.
__device__ inline float sum_of_chunks(const float *partial, int chunks, int columns, size_t stride) {
  __shared__ float of_warps[COLUMN_WARPS][WARP];
  const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
  const int column = blockIdx.x * WARP + lane;
  float sum = 0.0f;
  if (column < columns) {
#pragma unroll 4
    for (int chunk = warp; chunk < chunks; chunk += COLUMN_WARPS) sum += partial[chunk * stride + column];
  }
  of_warps[warp][lane] = sum;
  __syncthreads();
  sum = 0.0f;
#pragma unroll
  for (int w = 0; w < COLUMN_WARPS; ++w) sum += of_warps[w][lane];
  return sum;
}
