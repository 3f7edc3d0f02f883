// Window attention, backward. A block has one head and every so many of its rectangles, of a rectangle a warp
// has one or two tiles of 16 keys, whose dk and dv stay in its registers. Shared memory holds q, k, v and dout of
// a rectangle, the gradients of its scores with a group of queries, and the sums for the table. No rectangle has
// more than 10 tiles.
#pragma once

#include "backward_keys.cuh"

// Adds up what blocks have put: the last one of a head those of all, the last one of neighbouring heads writes
// their table's gradient.
template <typename T> __device__ inline void finish_sums(const BackwardPass<T> &pass, const Map &map) {
  const int head = map.head(), first = head / TILE_HEADS * TILE_HEADS;
  const size_t of_head = gridDim.y * part_length(map);
  unsigned *const tickets = pass.tickets + table_counters(map);
  if (!is_last_block(tickets + head, gridDim.y)) return;
  sum_blocks(pass.partial + head * of_head, pass.dbias, pass.add_bias, map);
  if (pass.dtable == nullptr) return;
  if (is_last_block(tickets + map.heads + head / TILE_HEADS, min(TILE_HEADS, map.heads - first)))
    put_table(pass.dtable, pass.partial + first * of_head, of_head, first, pass.add_table, map);
}

// A rectangle, of which this warp has `count` tiles of keys from `tile` on.
template <typename T, int D>
__device__ inline void differentiate(const BackwardBlock<T, D> &block, const Rectangle &r,
                                     const BackwardPass<T> &pass, const Map &map, int tile, int count) {
  constexpr int SIZE = sizeof(T), MOST = KEYS<T, D>;
  Keys<T, D> keys(block, tile, count);
  if (KEEPS<T, D>) __syncthreads(); // nobody needs v, in whose place `ds` comes, any more
  const int rows = r.query_tiles() * 16;
#pragma unroll 1
  for (int begin = 0; begin < rows; begin += pass.group * 16) {
    const int lane = of_lane(), end = min(begin + pass.group * 16, rows), pitch = block.gradients.pitch;
    Addresses at = {block.q.address(),
                    block.k.address(),
                    block.v.address(),
                    block.dout.address(),
                    block.queries.address(lane % 4 * 2),
                    block.sums.address(),
                    block.gradients.ds.address() + (tile * 16 + lane / 4) * pitch + lane % 4 * 2 * SIZE,
                    pitch,
                    block.biases.scale};
    if (count == MOST) {
#pragma unroll 1
      for (int row = begin; row < end; row += 16, at.ds += 16 * SIZE)
        keys.template differentiate<MOST>(at, tile, row, lane);
    } else if (count > 0) {
#pragma unroll 1
      for (int row = begin; row < end; row += 16, at.ds += 16 * SIZE)
        keys.template differentiate<1>(at, tile, row, lane);
    } else {
#pragma unroll 1
      for (int row = begin; row < end; row += 16) __syncthreads();
    }
    block.finish_group(r, begin, end, pass, map);
  }
  keys.finish(block, r, pass, map, tile, count);
}

template <typename T, int D> __device__ inline void backward(const BackwardPass<T> &pass, const Map &map) {
  __shared__ BackwardBlock<T, D> block; // what is the same for all threads takes none of their registers
  __shared__ Rectangle r, next;
  constexpr int N = KEYS<T, D>;
  // Queries take turns between two rows and go on two rows further, keys one. Found by trying them all: 8 keys and 4
  // queries meet nowhere, but of 9 columns in one access out of 40.
  const auto pitch_of = [](int columns) { return 21 + columns * 3 / 4; };
  {
    const BackwardBlock<T, D> same = BackwardBlock<T, D>::of(pass, map);
    if (threadIdx.x == 0) block = same, r.become(map, blockIdx.y), block.biases.fit(r, pitch_of);
    if (pass.partial != nullptr) same.gradients.begin(map);
  }
#pragma unroll 1
  while (true) {
    __syncthreads();
    block.bring(r, pass, map);
    copy_commit();
    const bool first = r.number < gridDim.y;
    if (first) turn_table(pass.table, pass.turned, pass.tickets, map), block.biases.hide();
    block.set_places(r, pass.lse, map);
    if (first) wait_for_table(pass.tickets, map);
    if (!block.biases.laid) {
      block.biases.load_table(pass.turned, map);
      __syncthreads();
    }
    if (r.padded()) block.biases.sum_padding(r);
    if (of_thread() == 0) next.become(map, r.following(gridDim.y));
    copy_wait<0>();
    __syncthreads();
    const int tile = of_thread() / WARP * N, tiles = r.key_tiles();
    differentiate(block, r, pass, map, tile, min(max(tiles - tile, 0), N));
    if (pass.partial != nullptr && r.padded()) {
      __syncthreads(); // nobody uses what lies in the place of `ds` any more
      block.gradients.sum_padding(r, block.biases);
    }
    __syncthreads(); // nobody uses the rectangle any more
    if (next.number >= map.rectangles) break;
    if (of_thread() == 0) r = next, block.biases.fit(r, pitch_of);
  }
  leave_table(pass.tickets, map);
  if (pass.partial == nullptr) return;
  block.gradients.put(pass.partial + (map.head() * gridDim.y + blockIdx.y) * part_length(map), map);
  finish_sums(pass, map);
}
