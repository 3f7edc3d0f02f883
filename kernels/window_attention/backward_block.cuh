// What a block of the backward pass works with, and what its warps do together.
#pragma once

#include "../common/last_block.cuh"
#include "gradients.cuh"
#include "tiles.cuh"

// Tiles of 16 keys that a warp has.
template <typename T, int D> constexpr int KEYS = sizeof(T) == 4 || D <= 32 ? 2 : 1;
// Places for sums of warps, of which there are at most 5 or 10: no rectangle has more than 10 tiles.
template <typename T, int D> constexpr int SLOTS = KEYS<T, D> == 2 ? 6 : 10;

// Whether a warp keeps its tiles of v in registers, and gradients of scores take the place of v in shared
// memory.
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
  float
      *sums; // [2, slots, 16]: sum(p dp) of the queries of a tile over each warp's keys; zero without a warp

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
    statistic +=
        static_cast<size_t>(rectangle.image * (map.heads - 1) + map.head()) * map.height * map.width;
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
