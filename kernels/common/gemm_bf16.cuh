// Matrix product of bf16 on tensor cores, summed in f32.
//
// A warp makes 64 x 32 of the block's 128 x 128, or 32 x 32 of its 64 x 64, with mma.m16n8k16. Shared memory
// holds three steps of 32 in depth of both operands (48 or 24 KB); two are on their way while one is used.
// Chunks of 16 bytes are permuted within lines so that neither copies nor ldmatrix meet in a bank.
// Limits: none on sizes; operands whose lines are not multiples of 16 bytes are loaded number by number.
#pragma once

#include "gemm.cuh"
#include "mma.cuh"

namespace gemm_bf16 {

constexpr int STEP = 32;
constexpr int STAGES = 3;
constexpr int CHUNK = 8; // numbers in 16 bytes
template <int SIDE> constexpr int OPERAND_BYTES = SIDE * STEP * sizeof(bf16);
template <int SIDE> constexpr int SHARED_BYTES = STAGES * 2 * OPERAND_BYTES<SIDE>;

// One step of an operand in shared memory: as it lies in global memory, in lines of chunks.
template <int SIDE, Lies LIES> struct Step {
  static constexpr int LINES = LIES == Lies::BY_DEPTH ? SIDE : STEP;
  static constexpr int CHUNKS = (LIES == Lies::BY_DEPTH ? STEP : SIDE) / CHUNK;

  // In bytes. Eight lines of one chunk, which ldmatrix reads at once, fall into different banks.
  static __device__ int offset(int line, int chunk) {
    const int turn = CHUNKS == 4 ? line / 2 % 4 : line % 8;
    return line * (CHUNKS * 16) + (chunk ^ turn) * 16;
  }
};

// Brings an operand into shared memory, step by step.
template <int SIDE, Lies LIES> struct Loader {
  using Place = Step<SIDE, LIES>;
  const bf16 *data;
  int lines, length;
  int line, column; // where the next step begins
  bool whole;

  __device__ Loader(const bf16 *data_, int others, int depth, int other, int begin)
      : data(data_), lines(LIES == Lies::BY_DEPTH ? others : depth),
        length(LIES == Lies::BY_DEPTH ? depth : others), line(LIES == Lies::BY_DEPTH ? other : begin),
        column(LIES == Lies::BY_DEPTH ? begin : other), whole(aligned<CHUNK>(data_, length)) {}

  __device__ void next(char *to) {
#pragma unroll
    for (int i = 0; i < Place::LINES * Place::CHUNKS; i += gemm_threads(SIDE)) {
      const int at = i + threadIdx.x, l = at / Place::CHUNKS, c = at % Place::CHUNKS;
      char *const place = to + Place::offset(l, c);
      const int from_line = line + l, from_column = column + c * CHUNK;
      const bf16 *const from = data + static_cast<size_t>(from_line) * length + from_column;
      const int count = from_line < lines ? min(max(length - from_column, 0), CHUNK) : 0;
      if (whole)
        copy_async<16>(shared_address(place), count > 0 ? from : data, count > 0);
      else
        *reinterpret_cast<uint4 *>(place) = guarded(from, count);
    }
    (LIES == Lies::BY_DEPTH ? column : line) += STEP;
  }

  // `count` numbers of any alignment, then zeros.
  static __device__ uint4 guarded(const bf16 *from, int count) {
    unsigned words[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const unsigned low = 2 * i < count ? load_packed<bf16, 1>(from + 2 * i).word : 0u;
      const unsigned high = 2 * i + 1 < count ? load_packed<bf16, 1>(from + 2 * i + 1).word : 0u;
      words[i] = low | high << 16;
    }
    return make_uint4(words[0], words[1], words[2], words[3]);
  }
};

// The 16 x 16 of the first operand at (other, depth), as multiply_add wants them.
template <int SIDE, Lies LIES>
__device__ inline void load_first(unsigned (&to)[4], unsigned step, int other, int depth, int lane) {
  using Place = Step<SIDE, LIES>;
  if constexpr (LIES == Lies::BY_DEPTH)
    load_matrices<false>(to, step + Place::offset(other + lane % 16, depth / CHUNK + lane / 16));
  else
    load_matrices<true>(
        to, step + Place::offset(depth + lane / 16 * 8 + lane % 8, other / CHUNK + lane / 8 % 2));
}

// Two neighbouring 16 x 8 of the second: words 0 and 1 are the first's, 2 and 3 the other's.
template <int SIDE, Lies LIES>
__device__ inline void load_second(unsigned (&to)[4], unsigned step, int other, int depth, int lane) {
  using Place = Step<SIDE, LIES>;
  if constexpr (LIES == Lies::BY_DEPTH)
    load_matrices<false>(
        to, step + Place::offset(other + lane / 16 * 8 + lane % 8, depth / CHUNK + lane / 8 % 2));
  else
    load_matrices<true>(to, step + Place::offset(depth + lane % 16, other / CHUNK + lane / 16));
}

// A warp's part of the tile: two of them stand one above the other.
constexpr int WARP_COLUMNS = 32;
constexpr int ACROSS = WARP_COLUMNS / 8;
template <int SIDE> constexpr int DOWN = SIDE / 2 / 16;

// sums += one step's product, for this warp's part of the tile.
template <int SIDE, Lies FIRST, Lies SECOND>
__device__ inline void multiply_step(float (&sums)[DOWN<SIDE>][ACROSS][4], const char *first,
                                     const char *second) {
  const int thread = threadIdx.x, lane = thread % WARP;
  const int row = thread / SIDE * (SIDE / 2), column = thread % SIDE / WARP * WARP_COLUMNS;
#pragma unroll
  for (int depth = 0; depth < STEP; depth += 16) {
    unsigned a[DOWN<SIDE>][4], b[ACROSS / 2][4];
#pragma unroll
    for (int i = 0; i < DOWN<SIDE>; ++i)
      load_first<SIDE, FIRST>(a[i], shared_address(first), row + i * 16, depth, lane);
#pragma unroll
    for (int j = 0; j < ACROSS / 2; ++j)
      load_second<SIDE, SECOND>(b[j], shared_address(second), column + j * 16, depth, lane);
#pragma unroll
    for (int i = 0; i < DOWN<SIDE>; ++i)
#pragma unroll
      for (int j = 0; j < ACROSS; ++j)
        multiply_add(sums[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
  }
}

// `finish` gets first * second, or the task's part of that sum.
template <int SIDE, Lies FIRST, Lies SECOND, typename Finish>
__device__ inline void product(const bf16 *first, const bf16 *second, const GemmTask &task, Finish finish) {
  __shared__ alignas(128) char shared[SHARED_BYTES<SIDE>];
  static_assert(sizeof(shared) >= HALF_BYTES<SIDE>, "the result's half tile takes the operands' place");
  const auto operand = [&](int step, int which) {
    return shared + (step % STAGES * 2 + which) * OPERAND_BYTES<SIDE>;
  };
  Loader<SIDE, FIRST> a(first, task.rows, task.depth, task.row, task.begin);
  Loader<SIDE, SECOND> b(second, task.columns, task.depth, task.column, task.begin);
  const int steps = (task.end - task.begin + STEP - 1) / STEP;

  float sums[DOWN<SIDE>][ACROSS][4] = {};
#pragma unroll 1
  for (int step = 1 - STAGES; step < steps; ++step) {
    copy_wait<STAGES - 2>(); // this step has come, for this thread
    __syncthreads();         // for all, and nobody uses the step before it any more
    const int coming = step + STAGES - 1;
    if (coming < steps) a.next(operand(coming, 0)), b.next(operand(coming, 1));
    copy_commit();
    if (step < 0) continue;
    multiply_step<SIDE, FIRST, SECOND>(sums, operand(step, 0), operand(step, 1));
  }
  copy_wait<0>();

  const auto put = [&](float *half) {
    const int lane = threadIdx.x % WARP, column = threadIdx.x % SIDE / WARP * WARP_COLUMNS + lane % 4 * 2;
#pragma unroll
    for (int i = 0; i < DOWN<SIDE>; ++i)
#pragma unroll
      for (int j = 0; j < ACROSS; ++j)
#pragma unroll
        for (int lower = 0; lower < 2; ++lower)
          *reinterpret_cast<float2 *>(half + in_half<SIDE>(i * 16 + lower * 8 + lane / 4, column + j * 8)) =
              make_float2(sums[i][j][lower * 2], sums[i][j][lower * 2 + 1]);
  };
  finish_tile<SIDE>(reinterpret_cast<float *>(shared), task, put, finish);
}

} // namespace gemm_bf16
