// Products of attention's tiles in shared memory, 64 queries by 32 keys: on tensor cores for bf16, with FMA
// for f32. Each warp has 16 of the queries.
//
// A lane's scores lie in 4 x 4 registers: a row is shared by neighbouring lanes of one warp. Probabilities and
// their gradients go to shared memory, from where they are multiplied with rows of keys or queries.
#pragma once

#include "attention.cuh"

constexpr int TILE_QUERIES = 64;
constexpr int TILE_KEYS = 32;
constexpr int QUERIES_BYTES = TILE_QUERIES * LINE_BYTES; // of a line's columns of a tile
constexpr int KEYS_BYTES = TILE_KEYS * LINE_BYTES;
constexpr int WARP_QUERIES = TILE_QUERIES / ATTENTION_WARPS;

using Scores = float[4][4];

// A group of the head's columns that is summed at a time: 64 of them.
template <typename T> constexpr int GROUP_LINES = 64 / LINE<T>;

template <int N, int M> __device__ inline void zero(float (&sums)[N][M]) {
#pragma unroll
  for (int i = 0; i < N; ++i)
#pragma unroll
    for (int j = 0; j < M; ++j) sums[i][j] = 0.0f;
}
template <int N, int M, int L> __device__ inline void zero(float (&sums)[N][M][L]) {
#pragma unroll
  for (int i = 0; i < N; ++i) zero(sums[i]);
}

// In both classes row(held) is a row of this lane among the warp's 16, and score [i][j] belongs to held(i, j)
// and key(i, j).
template <typename T> struct TileMath;

template <> struct TileMath<bf16> {
  static constexpr int LANES = 4; // that share a row of scores
  static constexpr int HELD = 2;  // rows of which a lane has scores
  // Gradients of scores lie beside the probabilities, in the other half of each line.
  static constexpr int GRADIENTS = LINE_CHUNKS / 2; // in chunks
  static constexpr int WEIGHTS_BYTES = QUERIES_BYTES;
  using QuerySums = float[8][4];  // of 16 queries of a warp by a line's columns
  using KeySums = float[2][4][4]; // of all keys by half a line's columns

  static __device__ int row(int held) { return threadIdx.x % WARP / 4 + held * 8; }

  static __device__ int held(int, int j) { return j / 2; }
  static __device__ int key(int i, int j) { return i * 8 + threadIdx.x % 4 * 2 + j % 2; }

  // scores += queries keys^T over a line's columns
  static __device__ void add_scores(Scores &scores, unsigned queries, unsigned keys) {
    const int lane = threadIdx.x % WARP, first = threadIdx.x / WARP * WARP_QUERIES;
#pragma unroll
    for (int chunk = 0; chunk < LINE_CHUNKS; chunk += 2) {
      unsigned a[4], b[2][4];
      load_matrices<false>(a, queries + in_tile<bf16>(first + lane % 16, chunk + lane / 16));
#pragma unroll
      for (int i = 0; i < 2; ++i)
        load_matrices<false>(b[i],
                             keys + in_tile<bf16>(i * 16 + lane / 16 * 8 + lane % 8, chunk + lane / 8 % 2));
#pragma unroll
      for (int i = 0; i < 4; ++i) multiply_add(scores[i], a, b[i / 2][i % 2 * 2], b[i / 2][i % 2 * 2 + 1]);
    }
  }

  // Writes this warp's probabilities, or the gradients of scores.
  static __device__ void put_weights(char *weights, bool gradients, const Scores &scores) {
    const int lane = threadIdx.x % WARP, first = threadIdx.x / WARP * WARP_QUERIES;
#pragma unroll
    for (int held = 0; held < HELD; ++held)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        *reinterpret_cast<unsigned *>(weights +
                                      in_tile<bf16>(first + row(held), (gradients ? GRADIENTS : 0) + i) +
                                      lane % 4 * 4) = pack_pair(scores[i][held * 2], scores[i][held * 2 + 1]);
  }

  // sums += weights keys, for this warp's queries
  static __device__ void add_over_keys(QuerySums &sums, unsigned weights, bool gradients, unsigned keys) {
    const int lane = threadIdx.x % WARP, first = threadIdx.x / WARP * WARP_QUERIES;
#pragma unroll
    for (int depth = 0; depth < TILE_KEYS; depth += 16) {
      unsigned a[4];
      load_matrices<false>(
          a, weights + in_tile<bf16>(first + lane % 16, (gradients ? GRADIENTS : 0) + depth / 8 + lane / 16));
#pragma unroll
      for (int i = 0; i < 8; i += 2) {
        unsigned b[4];
        load_matrices<true>(b, keys + in_tile<bf16>(depth + lane % 16, i + lane / 16));
        multiply_add(sums[i], a, b[0], b[1]);
        multiply_add(sums[i + 1], a, b[2], b[3]);
      }
    }
  }

  // sums += weights^T queries, for the half of the columns that is this warp's
  static __device__ void add_over_queries(KeySums &sums, unsigned weights, bool gradients, unsigned queries) {
    const int lane = threadIdx.x % WARP, half = threadIdx.x / WARP % 2 * 4;
#pragma unroll
    for (int depth = 0; depth < TILE_QUERIES; depth += 16) {
      unsigned a[2][4], b[2][4];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        load_matrices<true>(a[i], weights + in_tile<bf16>(depth + lane / 16 * 8 + lane % 8,
                                                          (gradients ? GRADIENTS : 0) + i * 2 + lane / 8 % 2));
        load_matrices<true>(b[i], queries + in_tile<bf16>(depth + lane % 16, half + i * 2 + lane / 16));
      }
#pragma unroll
      for (int i = 0; i < 2; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j)
          multiply_add(sums[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
    }
  }

  static __device__ void stage(float *stage, const QuerySums &sums, const float (&factors)[HELD]) {
    const int column = threadIdx.x % 4 * 2;
#pragma unroll
    for (int i = 0; i < 8; ++i)
#pragma unroll
      for (int held = 0; held < HELD; ++held)
        store_shared(stage + in_stage<LINE<bf16>>(row(held), column + i * 8),
                     {sums[i][held * 2] * factors[held], sums[i][held * 2 + 1] * factors[held]});
  }

  static __device__ void stage(float *stage, const KeySums &sums, float factor) {
    const int column = threadIdx.x / WARP % 2 * 32 + threadIdx.x % 4 * 2;
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j)
#pragma unroll
        for (int held = 0; held < HELD; ++held)
          store_shared(stage + in_stage<LINE<bf16>>(i * 16 + row(held), column + j * 8),
                       {sums[i][j][held * 2] * factor, sums[i][j][held * 2 + 1] * factor});
  }

  static __device__ void scale(QuerySums &sums, const float (&factors)[HELD]) {
#pragma unroll
    for (int i = 0; i < 8; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j) sums[i][j] *= factors[j / 2];
  }
};

template <> struct TileMath<float> {
  static constexpr int LANES = 8;
  static constexpr int HELD = 4;
  static constexpr int WEIGHTS_BYTES = 2 * QUERIES_BYTES; // probabilities, then gradients
  using QuerySums = float[4][4];
  using KeySums = float[4][4];

  static __device__ int row(int held) { return threadIdx.x % WARP / 8 * 4 + held; }

  static __device__ int held(int i, int) { return i; }
  static __device__ int key(int, int j) { return threadIdx.x % 8 * 4 + j; }

  static __device__ void add_scores(Scores &scores, unsigned queries, unsigned keys) {
    const int first = threadIdx.x / WARP * WARP_QUERIES + row(0), key = threadIdx.x % 8 * 4;
#pragma unroll 2
    for (int chunk = 0; chunk < LINE_CHUNKS; ++chunk) {
      float a[4][FOUR], b[4][FOUR];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        load_shared(a[i], queries + in_tile<float>(first + i, chunk));
        load_shared(b[i], keys + in_tile<float>(key + i, chunk));
      }
#pragma unroll
      for (int depth = 0; depth < FOUR; ++depth)
#pragma unroll
        for (int i = 0; i < 4; ++i)
#pragma unroll
          for (int j = 0; j < 4; ++j) scores[i][j] += a[i][depth] * b[j][depth];
    }
  }

  static __device__ void put_weights(char *weights, bool gradients, const Scores &scores) {
    const int first = threadIdx.x / WARP * WARP_QUERIES, chunk = threadIdx.x % 8;
    weights += gradients ? QUERIES_BYTES : 0;
#pragma unroll
    for (int i = 0; i < 4; ++i)
      store_shared(reinterpret_cast<float *>(weights + in_tile<float>(first + row(i), chunk)), scores[i]);
  }

  static __device__ void add_over_keys(QuerySums &sums, unsigned weights, bool gradients, unsigned keys) {
    const int first = threadIdx.x / WARP * WARP_QUERIES + row(0), column = threadIdx.x % 8;
    weights += gradients ? QUERIES_BYTES : 0;
#pragma unroll 2
    for (int chunk = 0; chunk < TILE_KEYS / FOUR; ++chunk) {
      float a[4][FOUR], b[4][FOUR];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        load_shared(a[i], weights + in_tile<float>(first + i, chunk));
        load_shared(b[i], keys + in_tile<float>(chunk * FOUR + i, column));
      }
#pragma unroll
      for (int depth = 0; depth < FOUR; ++depth)
#pragma unroll
        for (int i = 0; i < 4; ++i)
#pragma unroll
          for (int j = 0; j < 4; ++j) sums[i][j] += a[i][depth] * b[depth][j];
    }
  }

  static __device__ void add_over_queries(KeySums &sums, unsigned weights, bool gradients, unsigned queries) {
    const int key = threadIdx.x % (2 * WARP) / 8, column = threadIdx.x % 8;
    weights += gradients ? QUERIES_BYTES : 0;
#pragma unroll 4
    for (int line = 0; line < TILE_QUERIES; ++line) {
      float a[FOUR], b[FOUR];
      load_shared(a, weights + in_tile<float>(line, key));
      load_shared(b, queries + in_tile<float>(line, column));
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) sums[i][j] += a[i] * b[j];
    }
  }

  static __device__ void stage(float *stage, const QuerySums &sums, const float (&factors)[HELD]) {
    const int column = threadIdx.x % 8 * 4;
#pragma unroll
    for (int i = 0; i < 4; ++i) put_line(stage + in_stage<LINE<float>>(row(i), column), sums[i], factors[i]);
  }

  static __device__ void stage(float *stage, const KeySums &sums, float factor) {
    const int key = threadIdx.x % (2 * WARP) / 8 * 4, column = threadIdx.x % 8 * 4;
#pragma unroll
    for (int i = 0; i < 4; ++i) put_line(stage + in_stage<LINE<float>>(key + i, column), sums[i], factor);
  }

  static __device__ void put_line(float *at, const float (&values)[FOUR], float factor) {
    store_shared(at, {values[0] * factor, values[1] * factor, values[2] * factor, values[3] * factor});
  }

  static __device__ void scale(QuerySums &sums, const float (&factors)[HELD]) {
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j) sums[i][j] *= factors[i];
  }
};
