// The table of biases head by head, and its gradient back. As a parameter it has the heads of a displacement
// side by side: a block, which has one head, would touch a sector of memory for every number. So the blocks
// that come first turn the table for all, in tiles whose rows are whole sectors.
#pragma once

#include "rows.cuh"

// A tile is a warp's: 32 displacements of 8 neighbouring heads. Across, lane l has displacement 4 k + l / 8 of
// head l % 8 in place k; down, displacement l of head k.
constexpr int TILE_HEADS = 8;

// The tiles of 8 heads come in so many pieces, each with a flag that says it is done: together a sector, which one
// access reads.
constexpr int PIECES = 8;

// Counters of a launch, 0 before and after; then the flags.
enum Counter { CLAIMED, LEFT, FLAGS = 8 };

__device__ inline int side(const Map &map) { return 2 * again(map.window) - 1; }
__device__ inline int displacements(const Map &map) { return side(map) * side(map); }
// Numbers from one line of displacements to the next in the turned table, [heads, side, line]: whole sectors.
__device__ inline int turned_line(const Map &map) { return (side(map) + 7) / 8 * 8; }

__device__ inline int head_groups(const Map &map) { return (again(map.heads) + TILE_HEADS - 1) / TILE_HEADS; }

// What a launch counts with.
__device__ inline int table_counters(const Map &map) { return FLAGS + PIECES * head_groups(map); }

// Displacements from `first` on of heads from `head` on, by one warp.
__device__ inline void turn_tile(const float *table, float *turned, int first, int head, const Map &map) {
  const int lane = of_lane(), count = displacements(map), row = first + lane / TILE_HEADS;
  const bool has_head = head + lane % TILE_HEADS < map.heads;
  const int y = (first + lane) / side(map), x = first + lane - y * side(map);
  float across[TILE_HEADS];
#pragma unroll
  for (int k = 0; k < TILE_HEADS; ++k) {
    const bool there = has_head && row + 4 * k < count;
    across[k] = there ? table[static_cast<size_t>(row + 4 * k) * map.heads + head + lane % TILE_HEADS] : 0.0f;
  }
#pragma unroll 1
  for (int i = 0; i < TILE_HEADS; ++i) {
    float down = 0.0f;
#pragma unroll
    for (int k = 0; k < TILE_HEADS; ++k) {
      const float value = __shfl_sync(0xffffffffu, across[k], lane % 4 * TILE_HEADS + i);
      if (lane / 4 == k) down = value;
    }
    if (head + i < map.heads && first + lane < count)
      turned[(static_cast<size_t>(head + i) * side(map) + y) * turned_line(map) + x] = down;
  }
}

// Turns the table, or leaves that to others. By all threads. Blocks claim pieces until there are none: those that
// will be waited for are being done by blocks that run, in whatever order these came.
__device__ inline void turn_table(const float *table, float *turned, unsigned *counters, const Map &map) {
  __shared__ int claimed;
#pragma unroll 1
  while (true) {
    if (of_thread() == 0) claimed = atomicAdd(counters + CLAIMED, 1);
    __syncthreads();
    const int group = claimed / PIECES, warps = blockDim.x / WARP;
    if (group >= head_groups(map)) return;
    for (int tile = of_thread() / WARP * PIECES + claimed % PIECES; tile * WARP < displacements(map);
         tile += warps * PIECES)
      turn_tile(table, turned, tile * WARP, group * TILE_HEADS, map);
    const int flag = FLAGS + claimed;
    __syncthreads(); // all of this block have written
    if (of_thread() != 0) continue;
    __threadfence(); // before anybody can see the flag
    atomicExch(counters + flag, 1);
  }
}

// Waits until the table of the block's head is turned. By all threads, as late as can be: what a block can do
// without it comes first, and meanwhile others do their pieces.
__device__ inline void wait_for_table(const unsigned *counters, const Map &map) {
  if (of_thread() < PIECES) {
    const unsigned *const flag = counters + FLAGS + map.head() / TILE_HEADS * PIECES + of_thread();
    unsigned done;
    while (true) {
      asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(done) : "l"(flag) : "memory");
      if (__all_sync((1u << PIECES) - 1, done)) break;
      __nanosleep(100);
    }
  }
  __syncthreads();
}

// The last block leaves the counters as they were, when nobody looks at them any more.
__device__ inline void leave_table(unsigned *counters, const Map &map) {
  const unsigned blocks = gridDim.x * gridDim.y;
  if (of_thread() >= WARP) return;
  unsigned before = 0;
  if (of_thread() == 0) before = atomicInc(counters + LEFT, blocks - 1);
  if (__shfl_sync(0xffffffffu, before, 0) != blocks - 1) return;
  for (int i = of_lane(); i < table_counters(map); i += WARP)
    if (i != LEFT) atomicExch(counters + i, 0);
}

// Writes rows of the table's gradient for the heads from `head` on, of which `sums` has one head's after the
// other, `pitch` apart. By all threads.
__device__ inline void put_table(float *dtable, const float *sums, size_t pitch, int head, bool add,
                                 const Map &map) {
  const int lane = of_lane(), count = displacements(map), column = head + lane % TILE_HEADS;
#pragma unroll 1
  for (int first = of_thread() / WARP * WARP; first < count; first += blockDim.x) {
    float down[TILE_HEADS];
#pragma unroll
    for (int i = 0; i < TILE_HEADS; ++i)
      down[i] = head + i < map.heads && first + lane < count ? sums[i * pitch + first + lane] : 0.0f;
#pragma unroll 1
    for (int k = 0; k < TILE_HEADS; ++k) {
      const int row = first + 4 * k + lane / TILE_HEADS;
      float across[1] = {0.0f};
#pragma unroll
      for (int i = 0; i < TILE_HEADS; ++i) {
        const float value = __shfl_sync(0xffffffffu, down[i], 4 * k + lane / TILE_HEADS);
        if (lane % TILE_HEADS == i) across[0] = value;
      }
      if (column < map.heads && row < count)
        put<float, 1>(dtable + static_cast<size_t>(row) * map.heads + column, across, add);
    }
  }
}
