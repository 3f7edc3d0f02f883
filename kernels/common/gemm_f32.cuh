// Matrix product of f32.
//
// A thread makes 8 x 8 of the block's 128 x 128. Shared memory holds two steps of 16 in depth of both
// operands, depth by depth (33 KB); one is on its way while the other is used. Lines are four numbers longer
// than a tile, so that at most two stores of operands that lie the other way meet in a bank.
// Limits: none; numbers are copied one by one, so that any alignment will do.
#pragma once

#include "gemm.cuh"
#include "mma.cuh"

namespace gemm_f32 {

constexpr int SIDE = 128;
constexpr int STEP = 16;
constexpr int LINE = SIDE + FOUR;
constexpr int OPERAND = LINE * STEP;
static_assert(4 * OPERAND * sizeof(float) >= HALF_BYTES<SIDE>, "the result's half tile takes the operands' place");

// Brings an operand into shared memory, step by step: a thread every 256th number.
template <Lies LIES> struct Loader {
  static constexpr bool BY_DEPTH = LIES == Lies::BY_DEPTH;
  static constexpr int LENGTH = BY_DEPTH ? STEP : SIDE; // of a line of the step as it lies in global memory
  const float *data, *from;
  int others, left; // in the operand from this thread's first number on, in both directions
  int stride;

  __device__ Loader(const float *data_, int others_, int depth, int other, int begin) : data(data_) {
    const int o = other + (BY_DEPTH ? threadIdx.x / STEP : threadIdx.x % SIDE);
    const int d = begin + (BY_DEPTH ? threadIdx.x % STEP : threadIdx.x / SIDE);
    others = others_ - o, left = depth - d, stride = BY_DEPTH ? depth : others_;
    from = data + (BY_DEPTH ? static_cast<size_t>(o) * stride + d : static_cast<size_t>(d) * stride + o);
  }

  __device__ void next(float *to) {
    to += BY_DEPTH ? threadIdx.x % STEP * LINE + threadIdx.x / STEP
                   : threadIdx.x / SIDE * LINE + threadIdx.x % SIDE;
#pragma unroll
    for (int i = 0; i < SIDE * STEP; i += gemm_threads(SIDE)) {
      const int line = i / LENGTH;
      const bool there = BY_DEPTH ? line < others && left > 0 : others > 0 && line < left;
      const float *const at = there ? from + static_cast<size_t>(line) * stride : data;
      copy_async<4>(shared_address(to + (BY_DEPTH ? line : line * LINE)), at, there);
    }
    left -= STEP;
    from += BY_DEPTH ? STEP : static_cast<size_t>(STEP) * stride;
  }
};

// `finish` gets first * second, or the task's part of that sum.
template <Lies FIRST, Lies SECOND, typename Finish>
__device__ inline void product(const float *first, const float *second, const GemmTask &task, Finish finish) {
  __shared__ alignas(128) float shared[4 * OPERAND];
  const auto operand = [&](int step, int which) { return shared + (step % 2 * 2 + which) * OPERAND; };
  Loader<FIRST> a(first, task.rows, task.depth, task.row, task.begin);
  Loader<SECOND> b(second, task.columns, task.depth, task.column, task.begin);
  const int steps = (task.end - task.begin + STEP - 1) / STEP;
  const int row = threadIdx.x / 16 * 8, column = threadIdx.x % 16 * FOUR;

  float sums[8][8] = {};
#pragma unroll 1
  for (int step = -1; step < steps; ++step) {
    copy_wait<0>();  // this step has come, for this thread
    __syncthreads(); // for all, and nobody uses the step before it any more
    if (step + 1 < steps) a.next(operand(step + 1, 0)), b.next(operand(step + 1, 1));
    copy_commit();
    if (step < 0) continue;
    const unsigned x = shared_address(operand(step, 0) + row), y = shared_address(operand(step, 1) + column);
#pragma unroll
    for (int depth = 0; depth < STEP; ++depth) {
      float p[2][FOUR], q[2][FOUR];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        load_shared(p[i], x + (depth * LINE + i * FOUR) * sizeof(float));
        load_shared(q[i], y + (depth * LINE + i * (SIDE / 2)) * sizeof(float));
      }
#pragma unroll
      for (int i = 0; i < 8; ++i)
#pragma unroll
        for (int j = 0; j < 8; ++j) sums[i][j] += p[i / 4][i % 4] * q[j / 4][j % 4];
    }
  }
  copy_wait<0>();

  const auto put = [&](float *half) {
#pragma unroll
    for (int i = 0; i < 8; ++i)
#pragma unroll
      for (int j = 0; j < 2; ++j)
        *reinterpret_cast<float4 *>(half + in_half<SIDE>(row % (SIDE / 2) + i, column + j * (SIDE / 2))) =
            make_float4(sums[i][j * 4], sums[i][j * 4 + 1], sums[i][j * 4 + 2], sums[i][j * 4 + 3]);
  };
  finish_tile<SIDE>(shared, task, put, finish);
}

} // namespace gemm_f32
