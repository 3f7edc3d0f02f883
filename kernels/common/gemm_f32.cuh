// Matrix product of f32.
//
// A thread makes 8 x 8 of the block's 128 x 128, or 4 x 4 of its 128 x 32. Shared memory holds two steps of 16
// in depth of both operands, depth by depth (33 or 21 KB); one is on its way while the other is used. Lines
// are four numbers longer than a tile, so that at most two stores of operands that lie the other way meet in a
// bank.
// Limits: none; numbers are copied one by one, so that any alignment will do.
#pragma once

#include "gemm.cuh"
#include "mma.cuh"

namespace gemm_f32 {

constexpr int SIDE = 128;
constexpr int STEP = 16;
constexpr int STAGES = 2;
template <int SIDE> constexpr int LINE = SIDE + FOUR;
template <int SIDE> constexpr int OPERAND = LINE<SIDE> * STEP;
template <typename Tile>
constexpr int SHARED_BYTES = STAGES * (OPERAND<Tile::ROWS> + OPERAND<Tile::COLUMNS>)*sizeof(float);

// Brings an operand into shared memory, step by step: a thread of THREADS every THREADS-th number.
template <int SIDE, Lies LIES, int THREADS> struct Loader {
  using Number = float;
  static constexpr bool BY_DEPTH = LIES == Lies::BY_DEPTH;
  // Of a line of the step as it lies in global memory.
  static constexpr int LINE_NUMBERS = BY_DEPTH ? STEP : SIDE, LINES = BY_DEPTH ? SIDE : STEP;
  static constexpr int WIDTH = 1, BETWEEN = THREADS / LINE_NUMBERS;
  const float *data, *from;
  int others, left; // in the operand from this thread's first number on, in both directions
  int stride;

  __device__ Loader(const float *data_, int others_, int depth, int other, int begin, int = 0) : data(data_) {
    const int o = other + (BY_DEPTH ? line() : column()), d = begin + (BY_DEPTH ? column() : line());
    others = others_ - o, left = depth - d, stride = BY_DEPTH ? depth : others_;
    from = data + (BY_DEPTH ? static_cast<size_t>(o) * stride + d : static_cast<size_t>(d) * stride + o);
  }

  // This thread's first line of a step, and its number in it.
  static __device__ int line() { return threadIdx.x / LINE_NUMBERS; }
  static __device__ int column() { return threadIdx.x % LINE_NUMBERS; }

  // Its number of the line `l` lines further on, in the step that lies at `to`.
  __device__ float *chunk(float *to, int l) const {
    return to + (BY_DEPTH ? column() * LINE<SIDE> + line() + l : (line() + l) * LINE<SIDE> + column());
  }

  // What this thread has copied of a step is there, before others read it: as it was.
  __device__ void arrived(float *, int) const {}

  __device__ void next(float *to) {
    next_if(to, [](int) { return true; });
  }

  // With zeros instead of the lines, counted from this thread's first, that are not wanted.
  template <typename Wanted> __device__ void next_if(float *to, Wanted wanted) {
#pragma unroll
    for (int l = 0; l < LINES; l += BETWEEN) {
      const bool there = (BY_DEPTH ? l < others && left > 0 : others > 0 && l < left) && wanted(l);
      const float *const at = there ? from + static_cast<size_t>(l) * stride : data;
      copy_async<4>(shared_address(chunk(to, l)), at, there);
    }
    left -= STEP;
    from += BY_DEPTH ? STEP : static_cast<size_t>(STEP) * stride;
  }
};

// What a thread makes: ROWS neighbouring rows of GROUPS groups of four columns.
template <typename Tile> struct Threads {
  static constexpr int GROUPS = Tile::COLUMNS / 64 > 0 ? Tile::COLUMNS / 64 : 1;
  static constexpr int APART = Tile::COLUMNS / GROUPS; // the groups
  static constexpr int ACROSS = APART / FOUR, DOWN = Tile::THREADS / ACROSS, ROWS = Tile::ROWS / DOWN;
};

// `finish` gets first * second, or the task's part of that sum; what brings the operands is given, and
// SHARED_BYTES of shared memory for them.
template <typename Tile, typename First, typename Second, typename Finish>
__device__ inline void product(First &first, Second &second, float *shared, const GemmTask &task,
                               Finish finish) {
  using Part = Threads<Tile>;
  static_assert(SHARED_BYTES<Tile> >= HALF_BYTES<Tile>, "the result's half tile takes the operands' place");
  constexpr int BOTH = OPERAND<Tile::ROWS> + OPERAND<Tile::COLUMNS>;
  const auto operand = [&](int step, int which) {
    return shared + step % STAGES * BOTH + which * OPERAND<Tile::ROWS>;
  };
  const int steps = (task.end - task.begin + STEP - 1) / STEP;
  const int row = threadIdx.x / Part::ACROSS * Part::ROWS, column = threadIdx.x % Part::ACROSS * FOUR;

  float sums[Part::ROWS][Part::GROUPS * FOUR] = {};
#pragma unroll 1
  for (int step = -1; step < steps; ++step) {
    copy_wait<0>(); // this step has come, for this thread
    if (step >= 0) first.arrived(operand(step, 0), step), second.arrived(operand(step, 1), step);
    __syncthreads(); // for all, and nobody uses the step before it any more
    if (step + 1 < steps) first.next(operand(step + 1, 0)), second.next(operand(step + 1, 1));
    copy_commit();
    if (step < 0) continue;
    const unsigned x = shared_address(operand(step, 0) + row), y = shared_address(operand(step, 1) + column);
#pragma unroll
    for (int depth = 0; depth < STEP; ++depth) {
      float p[Part::ROWS / FOUR][FOUR], q[Part::GROUPS][FOUR];
#pragma unroll
      for (int i = 0; i < Part::ROWS / FOUR; ++i)
        load_shared(p[i], x + (depth * LINE<Tile::ROWS> + i * FOUR) * sizeof(float));
#pragma unroll
      for (int i = 0; i < Part::GROUPS; ++i)
        load_shared(q[i], y + (depth * LINE<Tile::COLUMNS> + i * Part::APART) * sizeof(float));
#pragma unroll
      for (int i = 0; i < Part::ROWS; ++i)
#pragma unroll
        for (int j = 0; j < Part::GROUPS * FOUR; ++j) sums[i][j] += p[i / 4][i % 4] * q[j / 4][j % 4];
    }
  }
  copy_wait<0>();

  const auto put = [&](float *half) {
#pragma unroll
    for (int i = 0; i < Part::ROWS; ++i)
#pragma unroll
      for (int j = 0; j < Part::GROUPS; ++j)
        *reinterpret_cast<float4 *>(half +
                                    in_half<Tile>(row % (Tile::ROWS / 2) + i, column + j * Part::APART)) =
            make_float4(sums[i][j * 4], sums[i][j * 4 + 1], sums[i][j * 4 + 2], sums[i][j * 4 + 3]);
  };
  finish_tile<Tile>(shared, task, put, finish);
}

} // namespace gemm_f32
