// Window attention, forward.
#pragma once

#include "tiles.cuh"

// Tiles of 16 queries that a warp has, and tiles of keys whose scores it holds at once.
template <typename T, int D> constexpr int QUERIES = sizeof(T) == 4 || D <= 32 ? 2 : 1;
template <typename T> constexpr int STEP = sizeof(T) == 2 ? 2 : 1;

// N tiles of queries of one warp with what they have seen so far. Scores are kept divided by their scale.
template <typename T, int D, int N> struct Queries {
  Operand<T, D> q[N];
  unsigned offset[N][2]; // of rows g and g + 8, in the planes of biases
  float out[N][D / 8][4];
  float most[N][2], sum[N][2]; // what exponentials are relative to, and their sums over this lane's columns

  __device__ Queries(unsigned rows, const Biases &biases, int tile, int lane) {
    const unsigned planes = shared_address(biases.planes);
#pragma unroll
    for (int n = 0; n < N; ++n) {
      q[n].hold(rows, (tile + n) * 16, lane);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        offset[n][half] = planes + biases.queries[(tile + n) * 16 + lane / 4 + half * 8];
        most[n][half] = -INFINITY, sum[n][half] = 0.0f;
      }
#pragma unroll
      for (int i = 0; i < D / 2; ++i) out[n][i / 4][i % 4] = 0.0f;
    }
  }

  // Scores with the keys of one tile.
  __device__ void score(Tile (&scores)[N], unsigned k, unsigned offsets, int key, int lane) const {
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      int keys[2];
      load_pair(keys, offsets + (key + 8 * j) * 4);
#pragma unroll
      for (int n = 0; n < N; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) scores[n][j][i] = load_number(offset[n][i / 2] - keys[i % 2]);
    }
    multiply<D, N>(scores, q, k, key, lane);
  }

  // Makes exponentials of scores, relative to the largest so far, and all that there is relative to that
  // too: what decides a row is exactly 1 then, and 1 it stays in bf16.
  template <int COUNT> __device__ void exponentials(Tile (&scores)[COUNT][N], float scale) {
#pragma unroll
    for (int n = 0; n < N; ++n)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float now = most[n][half];
#pragma unroll
        for (int i = 0; i < COUNT * 4; ++i) now = fmaxf(now, scores[i / 4][n][i / 2 % 2][half * 2 + i % 2]);
        now = fmaxf(now, __shfl_xor_sync(0xffffffffu, now, 1));
        now = fmaxf(now, __shfl_xor_sync(0xffffffffu, now, 2));
        const float factor = exp2_approximate((most[n][half] - now) * scale);
        most[n][half] = now, sum[n][half] *= factor;
#pragma unroll
        for (int i = 0; i < COUNT * 4; ++i) {
          float &score = scores[i / 4][n][i / 2 % 2][half * 2 + i % 2];
          score = exp2_approximate((score - now) * scale);
          sum[n][half] += score;
        }
#pragma unroll
        for (int i = 0; i < D / 4; ++i) out[n][i / 2][half * 2 + i % 2] *= factor;
      }
  }

  // COUNT tiles of keys.
  template <int COUNT>
  __device__ void see(unsigned k, unsigned v, unsigned offsets, int tile, float scale, int lane) {
    Tile scores[COUNT][N];
#pragma unroll
    for (int j = 0; j < COUNT; ++j) score(scores[j], k, offsets, (tile + j) * 16, lane);
    exponentials<COUNT>(scores, scale);
#pragma unroll
    for (int j = 0; j < COUNT; ++j) {
      Factor<T> p[N];
#pragma unroll
      for (int n = 0; n < N; ++n) p[n].set(scores[j][n]);
      multiply_rows<D, N>(out, p, v, (tile + j) * 16, lane);
    }
  }

  __device__ void see_all(unsigned k, unsigned v, const Biases &biases, int tiles, int lane) {
    const unsigned offsets = shared_address(biases.keys + lane % 4 * 2);
    const float scale = biases.scale;
    int tile = 0;
#pragma unroll 1
    for (; tile + STEP<T> <= tiles; tile += STEP<T>) see<STEP<T>>(k, v, offsets, tile, scale, lane);
    if constexpr (STEP<T> > 1)
#pragma unroll 1
      for (; tile < tiles; ++tile) see<1>(k, v, offsets, tile, scale, lane);
  }

  // Puts the means of v in the place of the queries, and the logarithms of the sums, as powers of two, into
  // `lse`.
  __device__ void finish(unsigned rows, float *lse, float scale, int tile, int lane) {
#pragma unroll
    for (int n = 0; n < N; ++n) {
      const int row = (tile + n) * 16;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        sum[n][half] += __shfl_xor_sync(0xffffffffu, sum[n][half], 1);
        sum[n][half] += __shfl_xor_sync(0xffffffffu, sum[n][half], 2);
        if (lane % 4 == 0)
          lse[row + lane / 4 + half * 8] = __fmul_rn(most[n][half], scale) + log2f(sum[n][half]);
      }
      store_sums<T, D>(rows, row, out[n], 1.0f / sum[n][0], 1.0f / sum[n][1], lane);
    }
  }
};

// What is the same for all threads of a block takes none of their registers.
template <typename T, int D> struct ForwardBlock {
  Share share;
  Rectangle rectangle;
  Wanted<T> wanted[3]; // q, k and v
  Head<T> out;
  Biases biases;
  int *places;
  float *lse;

  static __device__ ForwardBlock of(const T *qkv, const T *qkv_bias, T *out, const Map &map, char *at) {
    SharedMemory memory{at};
    ForwardBlock block;
    block.share = Share::of(map), block.out = Head<T>::of(out, map, 1, 0);
#pragma unroll
    for (int part = 0; part < 3; ++part)
      block.wanted[part] = {Head<const T>::of(qkv, map, 3, part),
                            part == 0 ? nullptr : Head<const T>::of(qkv_bias, map, 3, part).first,
                            memory.take<char>(map.tiles * 16 * Rows<T, D>::BYTES)};
    block.biases = Biases::take(memory, map);
    block.places = memory.take<int>(map.tiles * 16);
    block.lse = memory.take<float>(map.tiles * 16);
    return block;
  }

  // N tiles of queries from `tile` on, all that one warp does.
  template <int N> __device__ void attend(int tile, float *statistic, const Map &map) {
    {
      const int lane = of_lane();
      Queries<T, D, N> queries(wanted[0].address(), biases, tile, lane);
      queries.see_all(wanted[1].address(), wanted[2].address(), biases, rectangle.key_tiles(), lane);
      __syncwarp(); // the warp has read its queries
      queries.finish(wanted[0].address(), lse, biases.scale, tile, of_lane());
    }
    __syncwarp();
    const int lane = of_lane();
#pragma unroll 1
    for (int n = 0; n < N; ++n) put_rows<T, D>(wanted[0].rows, (tile + n) * 16, out, places, lane);
    if (statistic == nullptr) return;
    // [B, heads, H, W], of which `places` know the batch's part
    statistic +=
        static_cast<size_t>(rectangle.image * (map.heads - 1) + map.head()) * map.height * map.width;
#pragma unroll 1
    for (int i = tile * 16 + lane; i < (tile + N) * 16; i += WARP)
      if (places[i] >= 0) statistic[places[i]] = lse[i];
  }
};

// A block does its share of a head's rectangles.
template <typename T, int D>
__device__ inline void forward(const T *qkv, const T *qkv_bias, const float *table, T *out, float *lse,
                               const Map &map) {
  extern __shared__ uint4 memory[];
  __shared__ ForwardBlock<T, D> block;
  constexpr int N = QUERIES<T, D>;
  const ForwardBlock<T, D> same =
      ForwardBlock<T, D>::of(qkv, qkv_bias, out, map, reinterpret_cast<char *>(memory));
  if (threadIdx.x == 0) block = same;
  same.biases.load_table(table, map);
  __syncthreads();
#pragma unroll 1
  while (block.share.next < block.share.end) {
    const Rectangle rectangle = Rectangle::of(map, block.share.next);
    block.biases.set_offsets(rectangle, map.width, block.places);
    if (threadIdx.x == 0) block.rectangle = rectangle;
    __syncthreads();
    if (threadIdx.x == 0) ++block.share.next;
    bring_rows<T, D>(block.wanted, block.places, block.rectangle.key_tiles() * 16);
    copy_commit();
    if (block.rectangle.padded) block.biases.sum_padding(block.rectangle);
    copy_wait<0>();
    __syncthreads();
    const int tile = threadIdx.x / WARP * N, tiles = block.rectangle.query_tiles();
    if (tile + N <= tiles)
      block.template attend<N>(tile, lse, map);
    else if (N > 1 && tile < tiles)
      block.template attend<1>(tile, lse, map);
    __syncthreads(); // nobody uses the rectangle any more
  }
}
