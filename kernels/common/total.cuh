// One sum over all threads of a launch, in a fixed order: lanes, warps, blocks.
#pragma once

#include "elementwise.cuh"
#include "last_block.cuh"
#include "reduce.cuh"

// The sum over the threads of a block of ELEMENT_THREADS, the same bits in each of them. Another one may follow
// after a __syncthreads.
__device__ inline float block_sum(float value) {
  __shared__ float of_warps[ELEMENT_THREADS / WARP];
  value = warp_sum(value);
  if (threadIdx.x % WARP == 0) of_warps[threadIdx.x / WARP] = value;
  __syncthreads();
  float sum = 0.0f;
#pragma unroll
  for (int warp = 0; warp < ELEMENT_THREADS / WARP; ++warp) sum += of_warps[warp];
  return sum;
}

// Calls `finish(sum)` in one thread of the block that comes last, with the sum of all threads' values.
// `partial` has a number for each block of the (one-dimensional) grid, and `ticket` is 0 before and after.
template <typename Finish>
__device__ inline void sum_over_blocks(float value, float *partial, unsigned *ticket, Finish finish) {
  const float of_block = block_sum(value);
  if (threadIdx.x == 0) partial[blockIdx.x] = of_block;
  if (!is_last_block(ticket, gridDim.x)) return;
  float sum = 0.0f;
#pragma unroll 4
  for (unsigned block = threadIdx.x; block < gridDim.x; block += ELEMENT_THREADS) sum += partial[block];
  sum = block_sum(sum);
  if (threadIdx.x == 0) finish(sum);
}
