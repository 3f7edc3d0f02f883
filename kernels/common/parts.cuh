// Sums of parts that blocks have left in memory, made by the blocks of the same launch in two steps: the last
// block of a group of neighbours adds up the parts of these, the last of all groups the groups' sums. A single
// block would read all parts through one multiprocessor, which takes longer than making them where they are many.
#pragma once

#include "last_block.cuh"
#include "vector.cuh"

constexpr int PARTS_OF_GROUP = 12;

// Calls `visit(at, sum)` for the sums of `count` parts of `numbers` numbers each, four at a time.
template <typename Visit>
__device__ inline void each_sum(const float *parts, int count, int numbers, Visit visit) {
  for (int at = threadIdx.x * FOUR; at < numbers; at += blockDim.x * FOUR) {
    float sum[FOUR] = {};
#pragma unroll 4
    for (int part = 0; part < count; ++part) {
      float more[FOUR];
      load<float, FOUR>(parts + static_cast<size_t>(part) * numbers + at, more);
#pragma unroll
      for (int i = 0; i < FOUR; ++i) sum[i] += more[i];
    }
    visit(at, sum);
  }
}

// Calls `visit(at, sum)` in the block that comes last for the sums over the parts of all blocks of a
// one-dimensional grid. `parts` [blocks, numbers], of which a block has written its own, has room for as many more
// as there are groups and is aligned to four numbers, of which `numbers` is a multiple; a ticket for each group
// and one more are 0 before and after. The order of summation depends on the number of blocks alone.
template <typename Visit>
__device__ inline void sum_parts(float *parts, int numbers, unsigned *tickets, Visit visit) {
  const int blocks = gridDim.x, groups = (blocks + PARTS_OF_GROUP - 1) / PARTS_OF_GROUP;
  const int group = blockIdx.x / PARTS_OF_GROUP, first = group * PARTS_OF_GROUP;
  const int of_group = min(blocks - first, PARTS_OF_GROUP);
  if (!is_last_block(tickets + 1 + group, of_group)) return;
  const float *const own = parts + static_cast<size_t>(first) * numbers;
  if (groups == 1) {
    each_sum(own, of_group, numbers, visit);
    return;
  }
  float *const of_groups = parts + static_cast<size_t>(blocks) * numbers;
  float *const to = of_groups + static_cast<size_t>(group) * numbers;
  each_sum(own, of_group, numbers, [&](int at, const float(&sum)[FOUR]) { store(to + at, sum); });
  if (is_last_block(tickets, groups)) each_sum(of_groups, groups, numbers, visit);
}
