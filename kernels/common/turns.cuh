// Work of one launch that comes in phases, of which some wait for others.
//
// Blocks are numbered in the order in which they start. What a block waits for has lower numbers, so it is being
// done by blocks that run already, in whatever order and however few at once the device starts blocks; and the
// phases nobody waits for, or whose numbers are far behind, keep the device busy meanwhile.
#pragma once

// This block's number among those of a one-dimensional grid, the first to start first. The counter is 0 before and
// after the launch.
__device__ inline int take_turn(unsigned *counter) {
  __shared__ unsigned turn;
  if (threadIdx.x == 0) turn = atomicInc(counter, gridDim.x - 1);
  __syncthreads();
  return turn;
}

// A phase that `blocks` blocks do and `waiting` blocks wait for, with two counters that are 0 before and after.
struct Phase {
  static constexpr int COUNTERS = 2;
  unsigned *counters; // blocks that have done it, and that have seen it done
  int blocks, waiting;

  // All threads of this block have done their part: what they wrote is there for those that wait.
  __device__ void done() const {
    __syncthreads();
    if (threadIdx.x != 0) return;
    __threadfence(); // before anybody can see the count
    atomicAdd(counters, 1);
  }

  __device__ void wait() const {
    if (threadIdx.x == 0) {
      while (static_cast<int>(atomicAdd(counters, 0)) < blocks) __nanosleep(100);
      __threadfence(); // nothing is read before the count was seen
      // The last one leaves the counter as it was, when nobody looks at it any more.
      if (static_cast<int>(atomicInc(counters + 1, waiting - 1)) == waiting - 1) atomicExch(counters, 0);
    }
    __syncthreads();
  }
};
