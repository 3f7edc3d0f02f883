// Keys of a warp in the backward pass: probabilities again from the kept `lse`, and what they make of
// gradients.
#pragma once

#include "backward_block.cuh"

// Where in shared memory what a warp reads for every tile of queries is, and writes.
struct Addresses {
  unsigned q, k, v, dout;
  unsigned queries; // this lane's pair of a tile's first eight
  unsigned sums;    // of the first warp
  unsigned ds;      // this lane's first pair
  int pitch;
  float scale;
};

// Tiles of keys of one warp, with the gradients of k and v: at most KEYS of them.
template <typename T, int D> struct Keys {
  static constexpr int MOST = KEYS<T, D>;

  Operand<T, D> k[MOST], v[MOST];
  unsigned offset[MOST][2]; // of rows g and g + 8, in the planes of biases
  float dk[MOST][D / 8][4], dv[MOST][D / 8][4];

  __device__ Keys(const BackwardBlock<T, D> &block, int tile, int count) {
    const int lane = of_lane();
#pragma unroll
    for (int n = 0; n < MOST; ++n) {
      const int row = (tile + n) * 16;
      if (n < count) {
        if (KEEPS<T, D>) k[n].hold(block.k.address(), row, lane), v[n].hold(block.v.address(), row, lane);
#pragma unroll
        for (int half = 0; half < 2; ++half)
          offset[n][half] = block.biases.planes.address() - block.biases.keys[row + lane / 4 + half * 8];
      }
#pragma unroll
      for (int i = 0; i < D / 2; ++i) dk[n][i / 4][i % 4] = dv[n][i / 4][i % 4] = 0.0f;
    }
  }

  template <int N>
  static __device__ void hold(Operand<T, D> (&rows)[MOST], unsigned from, int tile, int lane) {
#pragma unroll
    for (int n = 0; n < N; ++n) rows[n].hold(from, (tile + n) * 16, lane);
  }

  // What the queries from `row` on add to dk and dv of the first N tiles, and their `ds`.
  template <int N> __device__ void differentiate(const Addresses &at, int tile, int row, int lane) {
    Tile p[N], dp[N];
    const unsigned sums = at.sums + (row & 16 ? SLOTS<T, D> * 16 * 4 : 0);
    probabilities<N>(p, dp, at, tile, row, lane);
    sum_columns<N>(sums + tile / MOST * 16 * 4, p, dp, lane);
    __syncthreads(); // the sums of all warps are there, and nobody reads those of the tile before any more
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
#pragma unroll
    for (int n = 0; n < N; ++n) factor[n].set(dp[n]), factor[n].store(at.ds + n * 16 * at.pitch, at.pitch);
    // forward: s = scale q k^T + biases
    multiply_rows<D, N>(dk, factor, at.q, row, lane);
  }

  // The transposes of p and dp for the queries from `row` on.
  template <int N>
  __device__ void probabilities(Tile (&p)[N], Tile (&dp)[N], const Addresses &at, int tile, int row, int lane) {
    const unsigned queries = at.queries + row / 2 * QueryPairs::WORDS * 4;
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      int of_query[2];
      load_pair(of_query, queries + (j * 4 * QueryPairs::WORDS + QueryPairs::BIASES) * 4);
#pragma unroll
      for (int n = 0; n < N; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i)
          p[n][j][i] = load_number(offset[n][i / 2] + of_query[i % 2]), dp[n][j][i] = 0.0f;
    }
    if (!KEEPS<T, D>) hold<N>(k, at.k, tile, lane);
    multiply<D, N>(p, k, at.q, row, lane);
    if (!KEEPS<T, D>) hold<N>(v, at.v, tile, lane);
    multiply<D, N>(dp, v, at.dout, row, lane);
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      float logarithm[2];
      load_pair(logarithm, queries + (j * 4 * QueryPairs::WORDS + QueryPairs::LOGARITHM) * 4);
#pragma unroll
      for (int n = 0; n < N; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) // rounded as in the forward pass: what decides a row is 1 again
          p[n][j][i] = exp2_approximate(__fmul_rn(p[n][j][i], at.scale) - logarithm[i % 2]);
    }
  }

  // Sums of p dp over this warp's keys, for each of 16 queries: lanes of the same t exchange halves of what
  // they have.
  template <int N>
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

  // All warps' sums of query lane % 16.
  static __device__ float sum_warps(unsigned sums, int lane) {
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < SLOTS<T, D>; i += 2) sum += load_number(sums + (i * 16 + lane) * 4);
    return sum + __shfl_xor_sync(0xffffffffu, sum, 16);
  }

  // Writes dk and dv; those of the padding are added to the block's. Nobody reads k and v any more.
  __device__ void finish(const BackwardBlock<T, D> &block, const Rectangle &r, const BackwardPass<T> &pass,
                         const Map &map, int tile, int count) {
    const float scale = block.biases.root;
#pragma unroll
    for (int n = 0; n < MOST; ++n) {
      const int row = (tile + n) * 16;
      if (n >= count) break;
      if (pass.partial != nullptr && r.padded()) {
        add_padding(block, r.positions, map.head_dim, dk[n], row, scale, 0);
        add_padding(block, r.positions, map.head_dim, dv[n], row, 1.0f, map.head_dim);
      }
      if (pass.dqkv == nullptr) continue;
      block.put_sums(dk[n], scale, row, block.k, block.places, 1, pass, map);
      block.put_sums(dv[n], 1.0f, row, block.v, block.places, 2, pass, map);
    }
  }

  // Adds the row of the padding, if it is among 16 of which these are the sums.
  static __device__ void add_padding(const BackwardBlock<T, D> &block, int padding, int head_dim,
                                     const float (&sums)[D / 8][4], int row, float factor, int first) {
    const int lane = of_lane(), line = padding - row - lane / 4;
    if (line != 0 && line != 8) return;
#pragma unroll
    for (int i = 0; i < D / 4; ++i) {
      const int number = i / 2 * 8 + lane % 4 * 2 + i % 2;
      const float value = (line == 0 ? sums[i / 2][i % 2] : sums[i / 2][2 + i % 2]) * factor;
      if (number < head_dim) block.gradients.padding[first + number] += value;
    }
  }
};
