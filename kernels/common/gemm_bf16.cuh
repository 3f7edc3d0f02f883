// Matrix product of bf16 on tensor cores, summed in f32.
//
// A warp makes 64 x 32 of the block's 128 x 128, 32 x 32 of its 64 x 64 or 16 x 32 of its 128 x 32, with
// mma.m16n8k16. Shared memory holds three steps of 32 in depth of both operands (48, 24 or 30 KB); two are on
// their way while one is used. Chunks of 16 bytes are permuted within lines so that neither copies nor ldmatrix
// meet in a bank.
// Limits: none on sizes; operands whose lines do not begin where 16 bytes do are loaded number by number (word by word:
// word_loader.cuh).
#pragma once

#include "gemm.cuh"
#include "mma.cuh"

namespace gemm_bf16 {

constexpr int STEP = 32;
constexpr int STAGES = 3;
constexpr int CHUNK = 8; // numbers in 16 bytes
template <int SIDE> constexpr int OPERAND_BYTES = SIDE * STEP * sizeof(bf16);
template <typename Tile>
constexpr int SHARED_BYTES = STAGES * (OPERAND_BYTES<Tile::ROWS> + OPERAND_BYTES<Tile::COLUMNS>);

// A number that is kept in its register, where nvcc would rather make it anew in each step, or write the step
// once for each of its values.
__device__ inline unsigned held(unsigned value) {
  asm volatile("" : "+r"(value));
  return value;
}

// One step of an operand in shared memory: as it lies in global memory, in lines of chunks.
template <int SIDE, Lies LIES> struct Step {
  static constexpr int LINES = LIES == Lies::BY_DEPTH ? SIDE : STEP;
  static constexpr int CHUNKS = (LIES == Lies::BY_DEPTH ? STEP : SIDE) / CHUNK, LINE_BYTES = CHUNKS * 16;

  // In bytes. Eight lines of one chunk, which ldmatrix reads at once, fall into different banks.
  static __device__ int offset(int line, int chunk) {
    const int turn = CHUNKS == 4 ? line / 2 % 4 : line % 8;
    return line * LINE_BYTES + (chunk ^ turn) * 16;
  }
};

// `count` numbers of any alignment, then zeros.
__device__ inline uint4 guarded(const bf16 *from, int count) {
  unsigned words[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const unsigned low = 2 * i < count ? load_packed<bf16, 1>(from + 2 * i).word : 0u;
    const unsigned high = 2 * i + 1 < count ? load_packed<bf16, 1>(from + 2 * i + 1).word : 0u;
    words[i] = low | high << 16;
  }
  return make_uint4(words[0], words[1], words[2], words[3]);
}

// Brings an operand into shared memory, step by step: a thread of THREADS one chunk of every BETWEEN-th line.
// WHOLE says that its lines begin where 16 bytes do.
template <int SIDE, Lies LIES, int THREADS, bool WHOLE = false> struct Loader {
  using Number = bf16;
  using Place = Step<SIDE, LIES>;
  static constexpr bool BY_DEPTH = LIES == Lies::BY_DEPTH;
  static constexpr int WIDTH = CHUNK, LINES = Place::LINES, LINE_NUMBERS = Place::CHUNKS * CHUNK;
  static constexpr int BETWEEN = THREADS / Place::CHUNKS;
  static_assert(BETWEEN % 8 == 0, "chunks of a thread are permuted alike");
  const bf16 *from; // this thread's first chunk of the next step
  int length;       // of a line
  int lines, count; // that there are from it on: lines, and numbers in its line
  unsigned place;   // in shared memory
  bool whole;

  __device__ Loader(const bf16 *data, int others, int depth, int other, int begin)
      : length(BY_DEPTH ? depth : others), whole(WHOLE || aligned<CHUNK>(data, length)) {
    const int first = (BY_DEPTH ? other : begin) + line(), from_column = (BY_DEPTH ? begin : other) + column();
    lines = (BY_DEPTH ? others : depth) - first, count = length - from_column;
    from = data + static_cast<size_t>(first) * length + from_column;
    place = held(Place::offset(line(), column() / CHUNK));
  }

  // Of lines that have been found to be whole.
  template <bool FOUND>
  __device__ explicit Loader(const Loader<SIDE, LIES, THREADS, FOUND> &other)
      : from(other.from), length(other.length), lines(other.lines), count(other.count), place(other.place),
        whole(WHOLE || other.whole) {}

  // This thread's first line of a step, and where in it its chunk begins.
  static __device__ int line() { return threadIdx.x / Place::CHUNKS; }
  static __device__ int column() { return threadIdx.x % Place::CHUNKS * CHUNK; }

  // Its chunk of the line `l` lines further on, in the step that lies at `to`.
  __device__ bf16 *chunk(char *to, int l) const {
    return reinterpret_cast<bf16 *>(to + place + l * Place::LINE_BYTES);
  }

  // What this thread has copied of a step is there, before others read it: as it was.
  __device__ void arrived(char *, int) const {}

  __device__ void next(char *to) {
    next_if(to, [](int) { return true; });
  }

  // With zeros instead of the lines, counted from this thread's first, that are not wanted.
  template <typename Wanted> __device__ void next_if(char *to, Wanted wanted) {
    to += place;
    if (BETWEEN <= LINES || threadIdx.x < LINES * Place::CHUNKS) {
      if (whole)
        each_chunk(wanted, [&](int l, bool there) {
          copy_async<16>(shared_address(to + l * Place::LINE_BYTES), from + static_cast<size_t>(l) * length,
                         there);
        });
      else
        each_chunk(wanted, [&](int l, bool there) {
          *reinterpret_cast<uint4 *>(to + l * Place::LINE_BYTES) =
              guarded(from + static_cast<size_t>(l) * length, there ? min(count, CHUNK) : 0);
        });
    }
    (BY_DEPTH ? count : lines) -= STEP;
    from += BY_DEPTH ? STEP : static_cast<size_t>(STEP) * length;
  }

  template <typename Wanted, typename Visit> __device__ void each_chunk(Wanted wanted, Visit visit) const {
#pragma unroll
    for (int l = 0; l < LINES; l += BETWEEN) visit(l, l < lines && count > 0 && wanted(l));
  }
};

// Where a lane reads the first 16 x 16 of its warp's part of the first operand, and the first two neighbouring
// 16 x 8 of the second, which begin at `other`.
template <int SIDE, Lies LIES> __device__ inline unsigned first_at(int other) {
  const int lane = threadIdx.x % WARP;
  return LIES == Lies::BY_DEPTH
             ? Step<SIDE, LIES>::offset(other + lane % 16, lane / 16)
             : Step<SIDE, LIES>::offset(lane / 16 * 8 + lane % 8, other / CHUNK + lane / 8 % 2);
}
template <int SIDE, Lies LIES> __device__ inline unsigned second_at(int other) {
  const int lane = threadIdx.x % WARP;
  return LIES == Lies::BY_DEPTH ? Step<SIDE, LIES>::offset(other + lane / 16 * 8 + lane % 8, lane / 8 % 2)
                                : Step<SIDE, LIES>::offset(lane % 16, other / CHUNK + lane / 16);
}

// Loads the same of the `tile`-th 16 others and from `depth` on, as multiply_add wants them: of the second
// operand words 0 and 1 are the first 16 x 8, 2 and 3 the other.
template <int SIDE, Lies LIES>
__device__ inline void load_fragment(unsigned (&to)[4], unsigned at, int tile, int depth) {
  if constexpr (LIES == Lies::BY_DEPTH)
    load_matrices<false>(to, (at ^ depth / CHUNK * 16) + tile * 16 * Step<SIDE, LIES>::LINE_BYTES);
  else
    load_matrices<true>(to, (at ^ tile * 2 * 16) + depth * Step<SIDE, LIES>::LINE_BYTES);
}

// A warp's part of the tile.
template <typename Tile> struct Warps {
  static constexpr int COLUMNS = 32, ACROSS = Tile::COLUMNS / COLUMNS, DOWN = Tile::THREADS / WARP / ACROSS;
  static constexpr int ROWS = Tile::ROWS / DOWN;
  static constexpr int FIRSTS = ROWS / 16, SECONDS = COLUMNS / 8; // what multiply_add multiplies
  using Sums = float[FIRSTS][SECONDS][4];

  static __device__ int row() { return threadIdx.x / WARP / ACROSS * ROWS; }
  static __device__ int column() { return threadIdx.x / WARP % ACROSS * COLUMNS; }
};

// sums += one step's product, for this warp's part of the tile; `first` and `second` are where its fragments
// begin. Only its first `rows` are made, by sixteens, and of a tile that is a single warp wide the first `columns`.
template <typename Tile, Lies FIRST, Lies SECOND>
__device__ inline void multiply_step(typename Warps<Tile>::Sums &sums, unsigned first, unsigned second,
                                     int rows, int columns) {
  using Part = Warps<Tile>;
  const auto there = [&](int j) { return Part::ACROSS > 1 || j * 8 < columns; };
#pragma unroll
  for (int depth = 0; depth < STEP; depth += 16) {
    unsigned a[2][4], b[Part::SECONDS / 2][4]; // of the first operand the next while one is used
#pragma unroll
    for (int j = 0; j < Part::SECONDS / 2; ++j)
      if (there(j * 2)) load_fragment<Tile::COLUMNS, SECOND>(b[j], second, j, depth);
    load_fragment<Tile::ROWS, FIRST>(a[0], first, 0, depth);
#pragma unroll
    for (int i = 0; i < Part::FIRSTS; ++i) {
      if (i * 16 >= rows) break;
      if (i + 1 < Part::FIRSTS) load_fragment<Tile::ROWS, FIRST>(a[(i + 1) % 2], first, i + 1, depth);
#pragma unroll
      for (int j = 0; j < Part::SECONDS; ++j)
        if (there(j)) multiply_add(sums[i][j], a[i % 2], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
    }
  }
}

// `finish` gets first * second, or the task's part of that sum; what brings the operands is given, and
// SHARED_BYTES of shared memory for them, aligned to 128.
template <typename Tile, Lies FIRST, Lies SECOND, typename First, typename Second, typename Finish>
__device__ inline void product(First &first, Second &second, char *shared, const GemmTask &task,
                               Finish finish) {
  using Part = Warps<Tile>;
  static_assert(SHARED_BYTES<Tile> >= HALF_BYTES<Tile>, "the result's half tile takes the operands' place");
  constexpr int BYTES = OPERAND_BYTES<Tile::ROWS> + OPERAND_BYTES<Tile::COLUMNS>;
  const int steps = (task.end - task.begin + STEP - 1) / STEP;

  const unsigned of_first = held(shared_address(shared) + first_at<Tile::ROWS, FIRST>(Part::row()));
  const unsigned of_second = held(shared_address(shared) + OPERAND_BYTES<Tile::ROWS> +
                                  second_at<Tile::COLUMNS, SECOND>(Part::column()));
  typename Part::Sums sums = {};
  const int rows = task.rows - task.row - Part::row(), columns = task.columns - task.column;
  int ready = BYTES; // where this step's operands lie; the coming ones go where those of the step before it lay
#pragma unroll 1
  for (int step = 1 - STAGES; step < steps; ++step) {
    copy_wait<STAGES - 2>(); // this step has come, for this thread
    if (step >= 0) first.arrived(shared + ready, step), second.arrived(shared + ready + OPERAND_BYTES<Tile::ROWS>, step);
    __syncthreads(); // for all, and nobody uses the step before it any more
    const int free = ready == 0 ? (STAGES - 1) * BYTES : ready - BYTES;
    if (step + STAGES - 1 < steps)
      first.next(shared + free), second.next(shared + free + OPERAND_BYTES<Tile::ROWS>);
    copy_commit();
    if (step >= 0)
      multiply_step<Tile, FIRST, SECOND>(sums, of_first + ready, of_second + ready, held(rows), columns);
    ready = ready == (STAGES - 1) * BYTES ? 0 : ready + BYTES;
  }
  copy_wait<0>();

  const auto put = [&](float *half) {
    const int lane = threadIdx.x % WARP, row = Part::row() % (Tile::ROWS / 2) + lane / 4;
    const int column = Part::column() + lane % 4 * 2;
#pragma unroll
    for (int i = 0; i < Part::FIRSTS; ++i)
#pragma unroll
      for (int j = 0; j < Part::SECONDS; ++j)
#pragma unroll
        for (int lower = 0; lower < 2; ++lower)
          *reinterpret_cast<float2 *>(half + in_half<Tile>(row + i * 16 + lower * 8, column + j * 8)) =
              make_float2(sums[i][j][lower * 2], sums[i][j][lower * 2 + 1]);
  };
  finish_tile<Tile>(reinterpret_cast<float *>(shared), task, put, finish);
}

} // namespace gemm_bf16
