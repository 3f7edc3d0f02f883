// Products of tiles of 16 rows from shared memory, by one warp: on tensor cores in bf16, by plain
// multiplications in f32. Sums lie in registers as multiply_add (common/mma.cuh) leaves them in both.
#pragma once

#include "rows.cuh"

// Sums of a 16 x 16 tile: lane 4 g + t has of columns 8 j + 2 t and the next rows g (numbers 0 and 1 of [j]) and
// g + 8 (numbers 2 and 3).
using Tile = float[2][4];

// 16 rows as the first operand of a product over their numbers.
template <typename T, int D> struct Operand;

template <int D> struct Operand<bf16, D> {
  unsigned words[D / 16][4];

  __device__ void hold(const char *rows, int row) {
    const int lane = threadIdx.x % WARP;
#pragma unroll
    for (int k = 0; k < D / 16; ++k)
      load_matrices<false>(words[k], shared_address(rows) +
                                         Rows<bf16, D>::chunk(row + lane % 16, 2 * k + lane / 16));
  }
};

// f32 would fill too many registers: it stays where it is.
template <int D> struct Operand<float, D> {
  const char *rows;
  int row;

  __device__ void hold(const char *rows_, int row_) { rows = rows_, row = row_; }
};

// sums[n] = first[n] * transpose of the 16 rows of `second` from `row` on.
template <int D, int N>
__device__ inline void multiply(Tile (&sums)[N], const Operand<bf16, D> (&first)[N], const char *second,
                                int row) {
  const int lane = threadIdx.x % WARP;
#pragma unroll
  for (int n = 0; n < N; ++n)
#pragma unroll
    for (int i = 0; i < 8; ++i) sums[n][i / 4][i % 4] = 0.0f;
#pragma unroll
  for (int k = 0; k < D / 16; ++k) {
    unsigned b[4];
    load_matrices<false>(b, shared_address(second) +
                                Rows<bf16, D>::chunk(row + lane / 16 * 8 + lane % 8, 2 * k + lane / 8 % 2));
#pragma unroll
    for (int n = 0; n < N; ++n) {
      multiply_add(sums[n][0], first[n].words[k], b[0], b[1]);
      multiply_add(sums[n][1], first[n].words[k], b[2], b[3]);
    }
  }
}

template <int D, int N>
__device__ inline void multiply(Tile (&sums)[N], const Operand<float, D> (&first)[N], const char *second,
                                int row) {
  using Place = Rows<float, D>;
  const int g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
#pragma unroll
  for (int n = 0; n < N; ++n)
#pragma unroll
    for (int i = 0; i < 8; ++i) sums[n][i / 4][i % 4] = 0.0f;
#pragma unroll 1
  for (int chunk = 0; chunk < Place::CHUNKS; ++chunk) {
    float b[4][FOUR];
#pragma unroll
    for (int i = 0; i < 4; ++i)
      load_shared(b[i], shared_address(second) + Place::chunk(row + i / 2 * 8 + 2 * t + i % 2, chunk));
#pragma unroll
    for (int n = 0; n < N; ++n)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float a[FOUR];
        load_shared(a, shared_address(first[n].rows) + Place::chunk(first[n].row + g + half * 8, chunk));
#pragma unroll
        for (int i = 0; i < 4; ++i)
#pragma unroll
          for (int k = 0; k < FOUR; ++k) sums[n][i / 2][half * 2 + i % 2] += a[k] * b[i][k];
      }
  }
}

// A 16 x 16 tile as the first operand of the next product.
__device__ inline void pack_tile(unsigned (&to)[4], const Tile &tile) {
  to[0] = pack_pair(tile[0][0], tile[0][1]), to[1] = pack_pair(tile[0][2], tile[0][3]);
  to[2] = pack_pair(tile[1][0], tile[1][1]), to[3] = pack_pair(tile[1][2], tile[1][3]);
}

// sums += tile * the 16 rows from `row` on: [n] of the sums is columns 8 n and following.
template <int D, int N>
__device__ inline void multiply_rows(float (&sums)[N][D / 8][4], const unsigned (&tiles)[N][4],
                                     const char *rows, int row) {
  const int lane = threadIdx.x % WARP;
#pragma unroll
  for (int k = 0; k < D / 16; ++k) {
    unsigned b[4];
    load_matrices<true>(b, shared_address(rows) +
                               Rows<bf16, D>::chunk(row + lane % 16, 2 * k + lane / 16));
#pragma unroll
    for (int n = 0; n < N; ++n) {
      multiply_add(sums[n][2 * k], tiles[n], b[0], b[1]);
      multiply_add(sums[n][2 * k + 1], tiles[n], b[2], b[3]);
    }
  }
}

template <typename T, int D, int N>
__device__ inline void multiply_rows(float (&sums)[N][D / 8][4], const Tile (&tiles)[N], const char *rows,
                                     int row) {
  if constexpr (sizeof(T) == 2) {
    unsigned packed[N][4];
#pragma unroll
    for (int n = 0; n < N; ++n) pack_tile(packed[n], tiles[n]);
    multiply_rows<D, N>(sums, packed, rows, row);
  } else {
    const int lane = threadIdx.x % WARP, t = lane % 4;
#pragma unroll
    for (int i = 0; i < 16; ++i) { // column i of the tile is in lane i % 8 / 2 of each four
#pragma unroll
      for (int n = 0; n < N; ++n) {
        const int holder = lane - t + i % 8 / 2;
        const float upper = __shfl_sync(0xffffffffu, tiles[n][i / 8][i % 2], holder);
        const float lower = __shfl_sync(0xffffffffu, tiles[n][i / 8][2 + i % 2], holder);
#pragma unroll
        for (int k = 0; k < D / 8; ++k) {
          const float2 b =
              *reinterpret_cast<const float2 *>(rows + Rows<float, D>::number(row + i, 8 * k + 2 * t));
          sums[n][k][0] += upper * b.x, sums[n][k][1] += upper * b.y;
          sums[n][k][2] += lower * b.x, sums[n][k][3] += lower * b.y;
        }
      }
    }
  }
}

// sums += transpose of a tile in shared memory * the 16 rows from `row` on. The tile's first row is at `tile`,
// each further one `pitch` bytes on.
template <typename T, int D>
__device__ inline void multiply_transposed(float (&sums)[1][D / 8][4], const char *tile, int pitch,
                                           const char *rows, int row) {
  const int lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4;
  if constexpr (sizeof(T) == 2) {
    unsigned a[1][4];
    load_matrices<true>(a[0], shared_address(tile) + (lane / 16 * 8 + lane % 8) * pitch + lane / 8 % 2 * 16);
    multiply_rows<D, 1>(sums, a, rows, row);
  } else {
#pragma unroll 4
    for (int i = 0; i < 16; ++i) {
      const float *const line = reinterpret_cast<const float *>(tile + i * pitch);
      const float upper = line[g], lower = line[g + 8];
#pragma unroll
      for (int k = 0; k < D / 8; ++k) {
        const float2 b =
            *reinterpret_cast<const float2 *>(rows + Rows<float, D>::number(row + i, 8 * k + 2 * t));
        sums[0][k][0] += upper * b.x, sums[0][k][1] += upper * b.y;
        sums[0][k][2] += lower * b.x, sums[0][k][3] += lower * b.y;
      }
    }
  }
}

// A pair of neighbouring numbers, rounded to T.
__device__ inline void store_pair(char *at, float first, float second, bf16) {
  *reinterpret_cast<unsigned *>(at) = pack_pair(first, second);
}
__device__ inline void store_pair(char *at, float first, float second, float) {
  *reinterpret_cast<float2 *>(at) = make_float2(first, second);
}

// Sums of 16 rows, those of rows g and g + 8 times `upper` and `lower`, to rows in shared memory.
template <typename T, int D>
__device__ inline void store_sums(char *rows, int row, const float (&sums)[D / 8][4], float upper,
                                  float lower) {
  const int g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
#pragma unroll
  for (int k = 0; k < D / 8; ++k) {
    const int column = 8 * k + 2 * t;
    store_pair(rows + Rows<T, D>::number(row + g, column), sums[k][0] * upper, sums[k][1] * upper, T());
    store_pair(rows + Rows<T, D>::number(row + g + 8, column), sums[k][2] * lower, sums[k][3] * lower, T());
  }
}
