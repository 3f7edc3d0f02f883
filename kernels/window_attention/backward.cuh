// Window attention, backward.
#pragma once

#include "../common/last_block.cuh"
#include "gradients.cuh"
#include "tiles.cuh"

// Tiles of 16 keys that a warp has.
template <typename T, int D> constexpr int KEYS = sizeof(T) == 4 || D <= 32 ? 2 : 1;
// Places for sums of warps, of which there are at most 5 or 10: no rectangle has more than 10 tiles.
template <typename T, int D> constexpr int SLOTS = KEYS<T, D> == 2 ? 6 : 10;

// Whether a warp keeps its tiles of v in registers, and gradients of scores take the place of v in shared memory.
template <typename T, int D> constexpr bool KEEPS_V = sizeof(T) == 2 && D <= 32;

// What the launch gives besides sizes. Gradients that nobody wants are null.
template <typename T> struct BackwardPass {
  const T *qkv, *qkv_bias;
  const float *table, *lse;
  const T *dout;
  T *dqkv;
  float *dbias, *dtable, *partial;
  unsigned *tickets;
  bool add_qkv, add_bias, add_table;
  int group; // tiles of queries
};

// What is the same for all threads of a block takes none of their registers.
template <typename T, int D> struct BackwardBlock {
  Share share;
  Rectangle rectangle;
  Wanted<T> wanted[4]; // q, k, v and dout
  Head<T> to[3];       // of dqkv
  Biases biases;
  Gradients<T> gradients;
  int *places;
  float *lse;
  float *sums; // [2, slots, 16]: sum(p dp) of the queries of a tile over each warp's keys; zero without a warp

  static __device__ BackwardBlock of(const BackwardPass<T> &pass, const Map &map, char *at) {
    constexpr int BYTES = Rows<T, D>::BYTES;
    SharedMemory memory{at};
    BackwardBlock block;
    const int rows = map.tiles * 16;
    const Head<const T> bias = Head<const T>::of(pass.qkv_bias, map, 3, 0);
    char *const q = memory.take<char>(rows * BYTES), *const dout = memory.take<char>(rows * BYTES);
    char *const k = memory.take<char>(rows * BYTES);
    block.share = Share::of(map);
#pragma unroll
    for (int part = 0; part < 3; ++part) block.to[part] = Head<T>::of(pass.dqkv, map, 3, part);
    block.wanted[0] = {Head<const T>::of(pass.qkv, map, 3, 0), nullptr, q};
    block.wanted[1] = {Head<const T>::of(pass.qkv, map, 3, 1), bias.first + bias.stride / 3, k};
    block.wanted[2] = {Head<const T>::of(pass.qkv, map, 3, 2), bias.first + bias.stride / 3 * 2, memory.at};
    block.wanted[3] = {Head<const T>::of(pass.dout, map, 1, 0), nullptr, dout};
    if (!KEEPS_V<T, D>) memory.take<char>(rows * BYTES);
    const int pitch = Gradients<T>::pitch_of(pass.group);
    const int strips = 2 * (2 * map.window - 1) * map.window * static_cast<int>(sizeof(float));
    block.gradients.ds = memory.take<char>(max(rows * (KEEPS_V<T, D> ? max(pitch, BYTES) : pitch), strips));
    block.gradients.pitch = pitch;
    block.biases = Biases::take(memory, map);
    block.places = memory.take<int>(rows);
    block.lse = memory.take<float>(rows);
    block.sums = memory.take<float>(2 * SLOTS<T, D> * 16);
    block.gradients.take(memory, map, pass.partial != nullptr);
    return block;
  }

  // [B, heads, H, W], of which `places` know the batch's part; infinity where there is no query, which makes
  // nothing of its scores.
  __device__ void bring_lse(const float *statistic, const Map &map) const {
    statistic += static_cast<size_t>(rectangle.image * (map.heads - 1) + map.head()) * map.height * map.width;
    for (int i = threadIdx.x; i < rectangle.key_tiles() * 16; i += blockDim.x)
      lse[i] = places[i] >= 0 ? statistic[places[i]] : INFINITY;
    for (int i = threadIdx.x; i < 2 * SLOTS<T, D> * 16; i += blockDim.x) sums[i] = 0.0f;
  }

  // Gradients of the queries of one tile of the group that begins at row `begin`, by one warp.
  __device__ void put_queries(int row, int begin, const BackwardPass<T> &pass) const {
    const int lane = of_lane(), pitch = gradients.pitch, keys = rectangle.key_tiles() * 16;
    const unsigned k = wanted[1].address();
    unsigned ds = shared_address(gradients.ds) + (row - begin) * static_cast<int>(sizeof(T));
    float dq[1][D / 8][4] = {};
#pragma unroll 1
    for (int key = 0; key < keys; key += 16, ds += 16 * pitch)
      multiply_transposed<T, D>(dq, ds, pitch, k, key, lane);
    // forward: s = scale q k^T + biases. Nobody reads the group's q any more.
    put_sums(dq[0], biases.root, row, 0, pass.add_qkv, lane);
  }

  // Writes the gradients of 16 rows of q, k or v, in whose place they are first put.
  __device__ void put_sums(const float (&sums)[D / 8][4], float factor, int row, int part, bool add,
                           int lane) const {
    if (add) return add_sums<T, D>(sums, factor, row, to[part], places, lane);
    store_sums<T, D>(wanted[part].address(), row, sums, factor, factor, lane);
    __syncwarp();
    put_rows<T, D>(wanted[part].rows, row, to[part], places, lane);
  }

  // After a group: all threads have written `ds`, and come here.
  __device__ void finish_group(int begin, int end, const BackwardPass<T> &pass, const Map &map) const {
    __syncthreads();
    if (pass.partial != nullptr) gradients.sum_group(rectangle, map.window, begin, end);
    if (pass.dqkv != nullptr)
      for (int row = begin + threadIdx.x / WARP * 16; row < end; row += blockDim.x / WARP * 16)
        put_queries(row, begin, pass);
    __syncthreads();
  }
};

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

  // Sums of p dp over this warp's keys, for each of 16 queries: lanes of the same t exchange halves of what they
  // have.
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
      kept[i] = (second ? of[1][i] : of[0][i]) + __shfl_xor_sync(0xffffffffu, second ? of[0][i] : of[1][i], 16);
    float sum = (odd ? kept[1] : kept[0]) + __shfl_xor_sync(0xffffffffu, odd ? kept[0] : kept[1], 8);
    sum += __shfl_xor_sync(0xffffffffu, sum, 4);
    if (!(lane & 4)) store_word(sums + (second * 8 + lane % 4 * 2 + odd) * 4, __float_as_uint(sum));
  }

  // Adds what the queries from `row` on give to dk and dv, and writes their `ds`.
  __device__ void differentiate(Tile (&p)[N], Tile (&dp)[N], const Addresses &at, unsigned sums, int row, int pitch,
                                int lane) {
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
  __device__ void finish(const BackwardBlock<T, D> &block, const BackwardPass<T> &pass, const Map &map, int tile) {
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
  static __device__ void add_padding(const BackwardBlock<T, D> &block, const Map &map, const float (&sums)[D / 8][4],
                                     int row, float factor, int first, int lane) {
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

// A rectangle. This warp has N tiles of keys from `tile` on, or none, and comes to the barriers only.
template <typename T, int D, int N>
__device__ inline void differentiate(const BackwardBlock<T, D> &block, const BackwardPass<T> &pass, const Map &map,
                                     int tile) {
  const int rows = block.rectangle.query_tiles() * 16, lane = of_lane();
  const int pitch = block.gradients.pitch, size = sizeof(T);
  Keys<T, D, N> keys(block, tile, lane);
  Addresses at = {block.wanted[0].address(),
                  block.wanted[1].address(),
                  block.wanted[2].address(),
                  block.wanted[3].address(),
                  shared_address(block.biases.queries + lane % 4 * 2),
                  shared_address(block.lse + lane % 4 * 2),
                  0,
                  block.biases.scale};
#pragma unroll 1
  for (int begin = 0; begin < rows; begin += pass.group * 16) {
    const int end = min(begin + pass.group * 16, rows);
    at.ds = shared_address(block.gradients.ds) + (tile * 16 + lane / 4) * pitch + lane % 4 * 2 * size;
#pragma unroll 1
    for (int row = begin; row < end; row += 16, at.ds += 16 * size) {
      const unsigned sums = shared_address(block.sums) + (row & 16 ? SLOTS<T, D> * 16 * 4 : 0);
      Tile p[N], dp[N];
      keys.probabilities(p, dp, at, tile, row, lane);
      keys.sum_columns(sums + threadIdx.x / WARP * 16 * 4, p, dp, lane);
      __syncthreads(); // the sums of all warps are there; `ds` of the tile before is too
      keys.differentiate(p, dp, at, sums, row, pitch, lane);
    }
    block.finish_group(begin, end, pass, map);
  }
  keys.finish(block, pass, map, tile);
}

template <typename T, int D>
__device__ inline void stand_by(const BackwardBlock<T, D> &block, const BackwardPass<T> &pass, const Map &map) {
  const int rows = block.rectangle.query_tiles() * 16;
#pragma unroll 1
  for (int begin = 0; begin < rows; begin += pass.group * 16) {
    const int end = min(begin + pass.group * 16, rows);
#pragma unroll 1
    for (int row = begin; row < end; row += 16) __syncthreads();
    block.finish_group(begin, end, pass, map);
  }
}

// A block does its share of a head's rectangles; the last one of a head adds up what all have summed.
template <typename T, int D> __device__ inline void backward(const BackwardPass<T> &pass, const Map &map) {
  extern __shared__ uint4 memory[];
  __shared__ BackwardBlock<T, D> block;
  constexpr int N = KEYS<T, D>;
  const BackwardBlock<T, D> same = BackwardBlock<T, D>::of(pass, map, reinterpret_cast<char *>(memory));
  if (threadIdx.x == 0) block = same;
  same.biases.load_table(pass.table, map);
  if (pass.partial != nullptr) same.gradients.begin(map);
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
    block.bring_lse(pass.lse, map);
    if (block.rectangle.padded) block.biases.sum_padding(block.rectangle);
    copy_wait<0>();
    __syncthreads();
    const int tile = threadIdx.x / WARP * N, tiles = block.rectangle.key_tiles();
    if (tile + N <= tiles)
      differentiate<T, D, N>(block, pass, map, tile);
    else if (N > 1 && tile < tiles)
      differentiate<T, D, 1>(block, pass, map, tile);
    else
      stand_by(block, pass, map);
    if (pass.partial != nullptr && block.rectangle.padded) {
      __syncthreads(); // nobody reads `ds`, or what else lies there, any more
      block.gradients.sum_padding(block.rectangle, block.biases);
    }
    __syncthreads(); // nobody uses the rectangle any more
  }
  if (pass.partial == nullptr) return;
  const size_t numbers = (2 * map.window - 1) * (2 * map.window - 1) + 2 * map.head_dim;
  float *const partial = pass.partial + map.head() * gridDim.y * numbers;
  block.gradients.put(partial + blockIdx.y * numbers, map);
  if (is_last_block(pass.tickets + map.head(), gridDim.y))
    sum_blocks(partial, pass.dtable, pass.add_table, pass.dbias, pass.add_bias, map);
}
