// Window attention, forward. A block has one head and every so many of its rectangles, of a rectangle a warp
// has a tile of 16 queries. Shared memory holds q, k and v of a rectangle and what is added to its scores. No
// rectangle has more than 10 tiles.
#pragma once

#include "tiles.cuh"

// Tiles of 16 keys whose scores a warp holds at once: of more there would be more registers than 18 warps of a
// multiprocessor have.
constexpr int STEP = 5;

// A tile of 16 queries of one warp with what they have seen so far. Scores are kept divided by their scale.
template <typename T, int D> struct Queries {
  Operand<T, D> q[1];
  unsigned offset[2];          // of rows g and g + 8, in the planes of biases
  float most[2];               // what exponentials are relative to: powers of two
  float sum[2];                // of exponentials, over this lane's columns
  float out[1][D / 8][4];

  __device__ Queries(unsigned rows, unsigned planes, const Shared<int> of_queries, int tile, int lane) {
    q[0].hold(rows, tile * 16, lane);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      offset[half] = planes + of_queries[tile * 16 + lane / 4 + half * 8];
      most[half] = -INFINITY, sum[half] = 0.0f;
    }
#pragma unroll
    for (int i = 0; i < D / 2; ++i) out[0][i / 4][i % 4] = 0.0f;
  }

  // Scores with the keys of one tile, to which `offsets` belong.
  __device__ void score(Tile (&scores)[1], unsigned k, unsigned offsets, int key, int lane) const {
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      int keys[2];
      load_pair(keys, offsets + (key + 8 * j) * 4);
#pragma unroll
      for (int i = 0; i < 4; ++i) scores[0][j][i] = load_number(offset[i / 2] - keys[i % 2]);
    }
    multiply<D, 1>(scores, q, k, key, lane);
  }

  // Takes the largest scores of a step into account: what decides a row becomes two to the zero, exactly 1.
  __device__ void relate(const float (&largest)[2], float scale, bool first) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float now = fmaxf(largest[half], __shfl_xor_sync(0xffffffffu, largest[half], 1));
      now = fmaxf(now, __shfl_xor_sync(0xffffffffu, now, 2));
      now = fmaxf(most[half], __fmul_rn(now, scale));
      if (!first) {
        const float factor = exp2_approximate(most[half] - now);
        sum[half] *= factor;
#pragma unroll
        for (int i = 0; i < D / 4; ++i) out[0][i / 2][half * 2 + i % 2] *= factor;
      }
      most[half] = now;
    }
  }

  // COUNT tiles of keys from `tile` on.
  template <int COUNT>
  __device__ void see(unsigned k, unsigned v, const Biases &biases, int tile) {
    const int lane = of_lane();
    const unsigned offsets = biases.keys.address() + lane % 4 * 8;
    Tile scores[COUNT][1];
    float largest[2] = {-INFINITY, -INFINITY};
#pragma unroll
    for (int j = 0; j < COUNT; ++j) score(scores[j], k, offsets, (tile + j) * 16, lane);
#pragma unroll
    for (int i = 0; i < COUNT * 8; ++i)
      largest[i % 4 / 2] = fmaxf(largest[i % 4 / 2], scores[i / 8][0][i / 4 % 2][i % 4]);
    relate(largest, biases.scale, tile == 0);
#pragma unroll
    for (int j = 0; j < COUNT; ++j) {
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        float &score = scores[j][0][i / 4][i % 4];
        score = exp2_approximate(__fmul_rn(score, biases.scale) - most[i % 4 / 2]);
        sum[i % 4 / 2] += score;
      }
      Factor<T> p[1];
      p[0].set(scores[j][0]);
      multiply_rows<D, 1>(out, p, v, (tile + j) * 16, lane);
    }
  }

  // The last `count` tiles, fewer than COUNT.
  template <int COUNT>
  __device__ void see_rest(unsigned k, unsigned v, const Biases &biases, int tile, int count) {
    if constexpr (COUNT > 1) {
      if (count == COUNT - 1)
        see<COUNT - 1>(k, v, biases, tile);
      else
        see_rest<COUNT - 1>(k, v, biases, tile, count);
    }
  }

  // Puts the means of v in the place of the queries; the logarithm, as a power of two, of the sum of query
  // `lane` % 16.
  __device__ float finish(unsigned rows, int tile, int lane) {
    float log_of[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      sum[half] += __shfl_xor_sync(0xffffffffu, sum[half], 1);
      sum[half] += __shfl_xor_sync(0xffffffffu, sum[half], 2);
      // of 1 exactly 0: where one key decides, its probability is 1 again in the backward pass
      log_of[half] = most[half] + (sum[half] == 1.0f ? 0.0f : log2_approximate(sum[half]));
    }
    store_sums<T, D>(rows, tile * 16, out[0], 1.0f / sum[0], 1.0f / sum[1], lane);
    const float upper = __shfl_sync(0xffffffffu, log_of[0], lane % 8 * 4);
    const float lower = __shfl_sync(0xffffffffu, log_of[1], lane % 8 * 4);
    return lane & 8 ? lower : upper;
  }
};

// What a block has in shared memory.
template <typename T, int D> struct ForwardMemory {
  Shared<T> rows[3]; // of q, k and v
  Shared<int> places, of_queries; // of rows on the map, and of queries' biases
  Biases biases;

  static __device__ ForwardMemory of(const Map &map) {
    Pieces memory;
    ForwardMemory block;
#pragma unroll
    for (int part = 0; part < 3; ++part) block.rows[part] = memory.take<T>(map.tiles * 16 * D);
    block.places = memory.take<int>(map.tiles * 16), block.of_queries = memory.take<int>(map.tiles * 16);
    block.biases = Biases::take(memory, map);
    return block;
  }

  __device__ void bring(const Rectangle &r, const T *qkv, const T *qkv_bias, const Map &map) const {
    Source<T> from[3];
    const int head = map.head(), channels = map.heads * map.head_dim;
    const T *const padding = Head<const T>::of(qkv_bias, map, head, 3, 0).first;
#pragma unroll
    for (int part = 0; part < 3; ++part)
      from[part] = {Head<const T>::of(qkv, map, head, 3, part), part == 0 ? nullptr : padding + part * channels,
                    false, rows[part]};
    bring_rows<T, D>(from, r, map.width);
  }

  __device__ void set_places(const Rectangle r, int map_width) const {
    for (int i = of_thread(); i < r.key_tiles() * 16; i += blockDim.x) {
      of_queries[i] = biases.query(r, i), biases.keys[i] = biases.key(r, i);
      places[i] = r.place(i, map_width);
    }
  }

  // A tile of queries, by one warp.
  __device__ void attend(const Rectangle &r, T *out, float *statistic, const Map &map) const {
    const int tile = of_thread() / WARP;
    int lane = of_lane();
    float log_sum;
    {
      Queries<T, D> queries(rows[0].address(), biases.planes.address(), of_queries, tile, lane);
      const int seen = r.key_tiles() >= STEP ? STEP : 0;
      if (seen > 0) queries.template see<STEP>(rows[1].address(), rows[2].address(), biases, 0);
      queries.template see_rest<STEP + 1>(rows[1].address(), rows[2].address(), biases, seen,
                                             r.key_tiles() - seen);
      __syncwarp(); // all lanes have read the queries
      log_sum = queries.finish(rows[0].address(), of_thread() / WARP, of_lane());
    }
    __syncwarp();
    lane = of_lane();
    put_rows<T, D>(rows[0], tile * 16, Head<T>::of(out, map, map.head(), 1, 0), places, lane);
    const int place = places[tile * 16 + lane % 16];
    // [B, heads, H, W], of which `places` know the batch's part
    if (statistic != nullptr && lane < 16 && place >= 0)
      statistic[static_cast<size_t>(r.image * (map.heads - 1) + map.head()) * map.height * map.width + place] =
          log_sum;
  }
};

template <typename T, int D>
__device__ inline void forward(const T *qkv, const T *qkv_bias, const float *table, T *out, float *lse,
                               float *turned, unsigned *counters, const Map &map) {
  __shared__ ForwardMemory<T, D> block; // what is the same for all threads takes none of their registers
  __shared__ Rectangle r, next;
  // Neighbouring rows of queries and of keys begin 16 banks apart: 8 of the former and 4 of the latter never meet.
  const auto pitch_of = [](int columns) { return columns + 16; };
  {
    const ForwardMemory<T, D> same = ForwardMemory<T, D>::of(map);
    if (threadIdx.x == 0) block = same, r.become(map, blockIdx.y), block.biases.fit(r, pitch_of);
  }
#pragma unroll 1
  while (true) {
    __syncthreads();
    block.bring(r, qkv, qkv_bias, map);
    copy_commit();
    const bool first = r.number < gridDim.y;
    if (first) turn_table(table, turned, counters, map), block.biases.hide();
    block.set_places(r, map.width);
    if (first) wait_for_table(counters, map);
    if (!block.biases.laid) {
      block.biases.load_table(turned, map);
      __syncthreads();
    }
    if (r.padded()) block.biases.sum_padding(r);
    if (of_thread() == 0) next.become(map, r.following(gridDim.y));
    copy_wait<0>();
    __syncthreads();
    if (of_thread() / WARP < r.query_tiles()) block.attend(r, out, lse, map);
    __syncthreads(); // nobody uses the rectangle any more
    if (next.number >= map.rectangles) break;
    if (of_thread() == 0) r = next, block.biases.fit(r, pitch_of);
  }
  leave_table(counters, map);
}
