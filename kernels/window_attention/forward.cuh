// Window attention, forward.
#pragma once

#include "biases.cuh"
#include "tiles.cuh"

// Tiles of 16 rows that a warp has, by the width of heads.
template <int D> constexpr int TILES = D <= 32 ? 2 : 1;
// Tiles of keys whose scores are held at once.
constexpr int STEP = 3;

// Queries of one warp with what they have seen so far.
template <typename T, int D> struct Queries {
  static constexpr int N = TILES<D>;
  Operand<T, D> q[N];
  int tile[N];
  unsigned offset[N][2]; // of rows g and g + 8, in the planes of biases
  float out[N][D / 8][4];
  float most[N][2], sum[N][2]; // the largest score, and exponentials' sums of this lane's columns

  // Tiles from `first` on of `tiles`; beyond them the last one again, which is not written.
  __device__ Queries(const char *rows, const Biases &biases, int first, int tiles) {
    const int g = threadIdx.x % WARP / 4;
#pragma unroll
    for (int n = 0; n < N; ++n) {
      tile[n] = min(first + n, tiles - 1);
      q[n].hold(rows, tile[n] * 16);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        offset[n][half] = shared_address(biases.planes) + biases.queries[tile[n] * 16 + g + half * 8];
        most[n][half] = -INFINITY, sum[n][half] = 0.0f;
      }
#pragma unroll
      for (int i = 0; i < D / 2; ++i) out[n][i / 4][i % 4] = 0.0f;
    }
  }

  // Scores with the keys of one tile.
  __device__ void score(Tile (&scores)[N], const char *k, const Biases &biases, int row, float scale) const {
    multiply<D, N>(scores, q, k, row);
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const int2 keys =
          *reinterpret_cast<const int2 *>(biases.keys + row + 8 * j + threadIdx.x % 4 * 2);
#pragma unroll
      for (int n = 0; n < N; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i)
          scores[n][j][i] = scores[n][j][i] * scale + bias_at(offset[n][i / 2] - (i % 2 ? keys.y : keys.x));
    }
  }

  // Makes exponentials of scores, and all that there is so far relative to a new largest score.
  __device__ void exponentials(Tile (&scores)[STEP][N]) {
#pragma unroll
    for (int n = 0; n < N; ++n)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float now = most[n][half];
#pragma unroll
        for (int i = 0; i < STEP * 4; ++i) now = fmaxf(now, scores[i / 4][n][i / 2 % 2][half * 2 + i % 2]);
        now = fmaxf(now, __shfl_xor_sync(0xffffffffu, now, 1));
        now = fmaxf(now, __shfl_xor_sync(0xffffffffu, now, 2));
        const float factor = exp_approximate(most[n][half] - now), shift = now * LOG2_E;
        most[n][half] = now;
        float s = sum[n][half] * factor;
#pragma unroll
        for (int i = 0; i < STEP * 4; ++i) {
          float &score = scores[i / 4][n][i / 2 % 2][half * 2 + i % 2];
          score = exp2_approximate(score * LOG2_E - shift);
          s += score;
        }
        sum[n][half] = s;
#pragma unroll
        for (int i = 0; i < D / 4; ++i) out[n][i / 2][half * 2 + i % 2] *= factor;
      }
  }

  // All keys.
  __device__ void attend(const char *k, const char *v, const Biases &biases, int tiles, float scale) {
#pragma unroll 1
    for (int first = 0; first < tiles; first += STEP) {
      Tile scores[STEP][N];
#pragma unroll
      for (int j = 0; j < STEP; ++j)
        if (first + j < tiles) {
          score(scores[j], k, biases, (first + j) * 16, scale);
        } else {
#pragma unroll
          for (int i = 0; i < 8 * N; ++i) scores[j][i / 8][i / 4 % 2][i % 4] = -INFINITY;
        }
      exponentials(scores);
#pragma unroll
      for (int j = 0; j < STEP; ++j)
        if (first + j < tiles) multiply_rows<T, D, N>(out, scores[j], v, (first + j) * 16);
    }
  }

  // Puts the means of v in the place of the queries, and the logarithms of the sums into `lse`.
  __device__ void finish(char *rows, float *lse) {
    const int g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
#pragma unroll
    for (int n = 0; n < N; ++n) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        sum[n][half] += __shfl_xor_sync(0xffffffffu, sum[n][half], 1);
        sum[n][half] += __shfl_xor_sync(0xffffffffu, sum[n][half], 2);
        if (t == 0) lse[tile[n] * 16 + g + half * 8] = most[n][half] + logf(sum[n][half]);
      }
      store_sums<T, D>(rows, tile[n] * 16, out[n], 1.0f / sum[n][0], 1.0f / sum[n][1]);
    }
  }
};

// A block does its share of a head's rectangles. `tiles` of 16 rows are enough for the keys of any.
template <typename T, int D>
__device__ inline void forward(const T *qkv, const T *qkv_bias, const float *table, T *out, float *lse,
                               const Map &map, int tiles, int blocks) {
  extern __shared__ uint4 shared[];
  SharedMemory memory{reinterpret_cast<char *>(shared)};
  char *const q = memory.take<char>(tiles * 16 * Rows<T, D>::BYTES);
  char *const k = memory.take<char>(tiles * 16 * Rows<T, D>::BYTES);
  char *const v = memory.take<char>(tiles * 16 * Rows<T, D>::BYTES);
  float *const statistic = memory.take<float>(tiles * 16);
  const Biases biases(memory, map.window, tiles * 16, true);
  const int head = blockIdx.x % map.heads, channels = map.heads * map.head_dim, column = head * map.head_dim;
  const Head<T> to(out, channels, column, map.head_dim);
  const Wanted<T> wanted[3] = {
      {Head<const T>(qkv, 3 * channels, column, map.head_dim), nullptr, q},
      {Head<const T>(qkv, 3 * channels, column + channels, map.head_dim), qkv_bias + column + channels, k},
      {Head<const T>(qkv, 3 * channels, column + 2 * channels, map.head_dim),
       qkv_bias + column + 2 * channels, v}};
  const Axis down(map.height, map.window, map.shift), across(map.width, map.window, map.shift);
  const Share share(map.batch * down.pieces * across.pieces, blockIdx.x / map.heads, blocks);
  const int first = threadIdx.x / WARP * TILES<D>;
  const float scale = 1.0f / sqrtf(static_cast<float>(map.head_dim));
  biases.load_table(table, map.heads, head);
#pragma unroll 1
  for (int number = share.begin; number < share.end; ++number) {
    const Rectangle rectangle(map, down, across, number);
    const int query_tiles = (rectangle.positions + 15) / 16, key_tiles = (rectangle.keys() + 15) / 16;
    __syncthreads(); // nobody uses the rectangle before it any more
    bring_rows<T, D>(wanted, rectangle, key_tiles * 16, map.head_dim);
    copy_commit();
    biases.set_offsets(rectangle, key_tiles * 16);
    if (rectangle.padded) biases.sum_padding(rectangle);
    copy_wait<0>();
    __syncthreads();
    if (first < query_tiles) {
      Queries<T, D> queries(q, biases, first, query_tiles);
      queries.attend(k, v, biases, key_tiles, scale);
      __syncwarp(); // the warp has read its queries
      queries.finish(q, statistic);
      __syncwarp();
      const int end = min(first + TILES<D>, query_tiles);
#pragma unroll 1
      for (int tile = first; tile < end; ++tile)
        put_rows<T, D>(q, tile * 16, to, rectangle, map.head_dim, false);
      if (lse != nullptr)
        for (int i = first * 16 + threadIdx.x % WARP; i < min(end * 16, rectangle.positions); i += WARP)
          lse[rectangle.statistic(i, map, head)] = statistic[i];
    }
  }
}
