// The norm of all gradients together, and what it means for the update (equations: src/optim/cuda.rs).
//
// 512 blocks of 256 threads go over the gradients four numbers at a time, in steps of the whole grid; a thread
// sums in f32 in four lanes, a block in f64, and the block that comes last adds the blocks' sums in order. No
// order depends on the device. Limits: gradients lie 16-byte aligned, zeros in the gaps between parameters.

#include "common/last_block.cuh"
#include "common/reduce.cuh"
#include "common/update.cuh"

constexpr int THREADS = 256;

// The sum over all lanes, in f64.
__device__ inline double warp_sum(double value) {
#pragma unroll
  for (int distance = WARP / 2; distance > 0; distance /= 2)
    value += __shfl_xor_sync(0xffffffffu, value, distance);
  return value;
}

// The sum over all threads, for thread 0.
__device__ inline double block_sum(double value) {
  __shared__ double of_warps[THREADS / WARP];
  value = warp_sum(value);
  __syncthreads(); // whoever still reads the last sum's
  if (threadIdx.x % WARP == 0) of_warps[threadIdx.x / WARP] = value;
  __syncthreads();
  double sum = 0.0;
#pragma unroll
  for (int warp = 0; warp < THREADS / WARP; ++warp) sum += of_warps[warp];
  return sum;
}

__device__ inline void judge(double norm, const float *loss, float clip, Verdict *verdict) {
  verdict->norm = norm;
  const bool good = isfinite(norm) && isfinite(*loss);
  const bool longer = clip > 0.0f && norm > clip;
  verdict->scale = !good ? LEFT_OUT : longer ? static_cast<float>(clip / norm) : 1.0f;
}

// `partial` holds a number for each block. Grid: up to 2^31 blocks of 256 threads.
extern "C" __global__ __launch_bounds__(THREADS) void
grad_norm_forward_f32(const float *gradients, unsigned long long count, const float *loss,
                      const UpdateHeader *header, double *partial, unsigned *ticket, Verdict *verdict) {
  const unsigned long long step = static_cast<unsigned long long>(gridDim.x) * THREADS * FOUR;
  float sums[FOUR] = {};
  unsigned long long at = (static_cast<unsigned long long>(blockIdx.x) * THREADS + threadIdx.x) * FOUR;
#pragma unroll 4
  for (; at < count; at += step) {
    float g[FOUR];
    load_four(gradients + at, static_cast<int>(min(count - at, 4ull)), count - at >= FOUR, g);
#pragma unroll
    for (int i = 0; i < FOUR; ++i) sums[i] += g[i] * g[i];
  }
  double sum = 0.0;
#pragma unroll
  for (int i = 0; i < FOUR; ++i) sum += sums[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
  if (!is_last_block(ticket, gridDim.x)) return;
  sum = 0.0;
  for (unsigned block = threadIdx.x; block < gridDim.x; block += THREADS) sum += partial[block];
  sum = block_sum(sum);
  if (threadIdx.x == 0) judge(sqrt(sum), loss, header->clip, verdict);
}
