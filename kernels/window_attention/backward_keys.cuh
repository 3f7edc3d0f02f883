// Keys of a warp in the backward pass: probabilities again from the kept `lse`, and what they make of
// gradients.
#pragma once

#include "backward_block.cuh"

// Where in shared memory what a warp reads for every tile of queries is.
struct Addresses {
  unsigned q, k, v, dout, queries, lse, ds;
  float scale;
};

// N tiles of keys of one warp, with the gradients of k and v.
template <typename T, int D, int N> struct Keys {
  Operand<T, D> v[N];
  unsigned offset[N][2]; // of rows g and g + 8, in the planes of biases
  float dk[N][D / 8][4], dv[N][D / 8][4];

  __device__ Keys(const BackwardBlock<T, D> &block, int tile, int lane) {
    const unsigned planes = shared_address(block.biases.planes), rows = block.wanted[2].address();
#pragma unroll
    for (int n = 0; n < N; ++n) {
      if (KEEPS_V<T, D>) v[n].hold(rows, (tile + n) * 16, lane);
#pragma unroll
      for (int half = 0; half < 2; ++half)
        offset[n][half] = planes - block.biases.keys[(tile + n) * 16 + lane / 4 + half * 8];
#pragma unroll
      for (int i = 0; i < D / 2; ++i) dk[n][i / 4][i % 4] = dv[n][i / 4][i % 4] = 0.0f;
    }
  }

  // The transposes of p and dp for the queries from `row` on.
  __device__ void probabilities(Tile (&p)[N], Tile (&dp)[N], const Addresses &at, int tile, int row,
                                int lane) const {
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      int offsets[2];
      load_pair(offsets, at.queries + (row + 8 * j) * 4);
#pragma unroll
      for (int n = 0; n < N; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i)
          p[n][j][i] = load_number(offset[n][i / 2] + offsets[i % 2]), dp[n][j][i] = 0.0f;
    }
    Operand<T, D> rows[N]; // read again for every tile of queries: there are no registers to keep k
#pragma unroll
    for (int n = 0; n < N; ++n) rows[n].hold(at.k, (tile + n) * 16, lane);
    multiply<D, N>(p, rows, at.q, row, lane);
    if constexpr (KEEPS_V<T, D>) {
      multiply<D, N>(dp, v, at.dout, row, lane);
    } else {
#pragma unroll
      for (int n = 0; n < N; ++n) rows[n].hold(at.v, (tile + n) * 16, lane);
      multiply<D, N>(dp, rows, at.dout, row, lane);
    }
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      float lse[2];
      load_pair(lse, at.lse + (row + 8 * j) * 4);
#pragma unroll
      for (int n = 0; n < N; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) // rounded as in the forward pass: what decides a row is 1 again
          p[n][j][i] = exp2_approximate(__fmul_rn(p[n][j][i], at.scale) - lse[i % 2]);
    }
  }

  // Sums of p dp over this warp's keys, for each of 16 queries: lanes of the same t exchange halves of what
  // they have.
  static __device__ void sum_columns(unsigned sums, const Tile (&p)[N], const Tile (&dp)[N], int lane) {
    const bool second = lane & 16, odd = lane & 8;
    float of[2][2] = {};
#pragma unroll
    for (int n = 0; n < N; ++n)
#pragma unroll
      for (int i = 0; i < 8; ++i) of[i / 4][i % 2] += p[n][i / 4][i % 4] * dp[n][i / 4][i % 4];
    float kept[2];
#pragma unroll
    for (int i = 0; i < 2; ++i)
      kept[i] =
          (second ? of[1][i] : of[0][i]) + __shfl_xor_sync(0xffffffffu, second ? of[0][i] : of[1][i], 16);
    float sum = (odd ? kept[1] : kept[0]) + __shfl_xor_sync(0xffffffffu, odd ? kept[0] : kept[1], 8);
    sum += __shfl_xor_sync(0xffffffffu, sum, 4);
    if (!(lane & 4)) store_word(sums + (second * 8 + lane % 4 * 2 + odd) * 4, __float_as_uint(sum));
  }

  // Adds what the queries from `row` on give to dk and dv, and writes their `ds`.
  __device__ void differentiate(Tile (&p)[N], Tile (&dp)[N], const Addresses &at, unsigned sums, int row,
                                int pitch, int lane) {
    Factor<T> factor[N];
    // forward: out = p v
#pragma unroll
    for (int n = 0; n < N; ++n) factor[n].set(p[n]);
    multiply_rows<D, N>(dv, factor, at.dout, row, lane);
    const float sum = sum_warps(sums, lane);
    // forward: p = softmax(s)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float of_column = __shfl_sync(0xffffffffu, sum, i / 2 * 8 + lane % 4 * 2 + i % 2);
#pragma unroll
      for (int n = 0; n < N; ++n)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          float &g = dp[n][i / 2][half * 2 + i % 2];
          g = p[n][i / 2][half * 2 + i % 2] * (g - of_column);
        }
    }
    // forward: s = scale q k^T + biases
#pragma unroll
    for (int n = 0; n < N; ++n) factor[n].set(dp[n]), factor[n].store(at.ds + n * 16 * pitch, pitch);
    multiply_rows<D, N>(dk, factor, at.q, row, lane);
  }

  // All warps' sums of query lane % 16.
  static __device__ float sum_warps(unsigned sums, int lane) {
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < SLOTS<T, D>; i += 2) sum += load_number(sums + (i * 16 + lane) * 4);
    return sum + __shfl_xor_sync(0xffffffffu, sum, 16);
  }

  // Writes dk and dv; those of the padding are added to the block's. Nobody reads k and v any more.
  __device__ void finish(const BackwardBlock<T, D> &block, const BackwardPass<T> &pass, const Map &map,
                         int tile) {
    const int lane = of_lane();
    const float scale = block.biases.root;
#pragma unroll
    for (int n = 0; n < N; ++n) {
      const int row = (tile + n) * 16;
      if (pass.partial != nullptr && block.rectangle.padded) {
        add_padding(block, map, dk[n], row, scale, 0, lane);
        add_padding(block, map, dv[n], row, 1.0f, map.head_dim, lane);
      }
      if (pass.dqkv == nullptr) continue;
      block.put_sums(dk[n], scale, row, 1, pass.add_qkv, lane);
      block.put_sums(dv[n], 1.0f, row, 2, pass.add_qkv, lane);
    }
  }

  // Adds the row of the padding, if it is among 16 of which these are the sums.
  static __device__ void add_padding(const BackwardBlock<T, D> &block, const Map &map,
                                     const float (&sums)[D / 8][4], int row, float factor, int first,
                                     int lane) {
    const int line = block.rectangle.positions - row - lane / 4;
    if (line != 0 && line != 8) return;
#pragma unroll
    for (int i = 0; i < D / 4; ++i) {
      const int number = i / 2 * 8 + lane % 4 * 2 + i % 2;
      const float value = (line == 0 ? sums[i / 2][i % 2] : sums[i / 2][2 + i % 2]) * factor;
      if (number < map.head_dim) block.gradients.padding[first + number] += value;
    }
  }
};
