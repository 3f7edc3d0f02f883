// Window attention, backward.
#pragma once

#include "backward_keys.cuh"

// A rectangle. This warp has N tiles of keys from `tile` on, or none, and comes to the barriers only.
template <typename T, int D, int N>
__device__ inline void differentiate(const BackwardBlock<T, D> &block, const BackwardPass<T> &pass,
                                     const Map &map, int tile) {
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
__device__ inline void stand_by(const BackwardBlock<T, D> &block, const BackwardPass<T> &pass,
                                const Map &map) {
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
