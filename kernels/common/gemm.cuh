// Matrix products of any size: what they share in f32 and bf16, the tile of the result and its way out.
//
// A block makes a tile of the result, 128 x 128 with 8 warps or 64 x 64 with 4, going along the depth in steps;
// the smaller one is for results of which the larger would not fill the device, one of 128 x 32 for those with
// few columns. What comes after the product (bias, activation, set or add ...) is done on rows of four
// neighbouring numbers that lie in shared memory, so that every access to global memory is a whole line.
#pragma once

#include "reduce.cuh"
#include "vector.cuh"

// By the side of its tile.
__host__ __device__ constexpr int gemm_threads(int side) { return 2 * side; }

// What a block makes of the result.
template <int ROWS_, int COLUMNS_, int THREADS_> struct TileShape {
  static constexpr int ROWS = ROWS_, COLUMNS = COLUMNS_, THREADS = THREADS_;
};
template <int SIDE> using Square = TileShape<SIDE, SIDE, gemm_threads(SIDE)>;
using Narrow = TileShape<128, 32, gemm_threads(128)>;

// How an operand lies in memory. A product sums over the depth; the other index is a row of the first
// operand, or a column of the result for the second.
enum class Lies {
  BY_DEPTH, // [other, depth]
  BY_OTHER, // [depth, other]
};

// Where a tile of the result begins.
struct TileAt {
  int row, column;
};

// Which part of the result, and of the sum, a block makes.
struct GemmTask {
  int rows, columns; // of the result
  int row, column;   // where the tile begins
  int depth;         // of both operands
  int begin, end;    // the part of it to sum up; begins at a whole step

  // Grid: (column tiles, row tiles, parts of the depth).
  __device__ GemmTask(int rows_, int columns_, int depth_, int side, int step)
      : GemmTask(rows_, columns_, depth_,
                 TileAt{static_cast<int>(blockIdx.y) * side, static_cast<int>(blockIdx.x) * side}) {
    set_part(blockIdx.z, gridDim.z, step);
  }

  // The whole sum of a tile.
  __device__ GemmTask(int rows_, int columns_, int depth_, TileAt at)
      : rows(rows_), columns(columns_), row(at.row), column(at.column), depth(depth_), begin(0), end(depth_) {}

  __device__ void set_part(int which, int parts, int step) {
    const int steps = (depth + step - 1) / step;
    const int part = (steps + parts - 1) / parts * step;
    begin = min(which * part, depth);
    end = min(begin + part, depth);
  }
};

// Half a tile of the result in shared memory, its upper or lower rows. Columns are permuted in groups of
// eight so that neither the fragments of the tensor cores going in nor whole rows coming out meet in a bank.
template <typename Tile> constexpr int HALF_BYTES = Tile::ROWS / 2 * Tile::COLUMNS * sizeof(float);

template <typename Tile> __device__ inline int in_half(int row, int column) {
  return row * Tile::COLUMNS + (column ^ (row % 4 * 8));
}

// How many groups of columns a thread hands to a type of `finish` at once: two overlap their accesses to memory, one
// spares registers where what follows the product is long.
template <typename Finish> constexpr int AT_ONCE = 2;

// Hands the half tile out: `finish(row, column, values)` for WIDTH neighbouring columns of which at least
// the first is in the result.
template <typename Tile, int WIDTH, typename Finish>
__device__ inline void finish_half(const float *half, int first_row, const GemmTask &task, Finish &finish) {
  using Vector = typename Word<WIDTH * sizeof(float)>::Type;
#pragma unroll AT_ONCE<Finish>
  for (int i = threadIdx.x; i < Tile::ROWS / 2 * Tile::COLUMNS / WIDTH; i += Tile::THREADS) {
    const int row = i / (Tile::COLUMNS / WIDTH), column = i % (Tile::COLUMNS / WIDTH) * WIDTH;
    union {
      Vector whole;
      float values[WIDTH];
    };
    whole = *reinterpret_cast<const Vector *>(half + in_half<Tile>(row, column));
    if (first_row + row < task.rows && task.column + column < task.columns)
      finish(first_row + row, task.column + column, values);
  }
}

// Whether a type of `finish` takes pairs of columns too; `by_pairs()` then says whether it wants them.
template <typename Finish> constexpr bool TAKES_PAIRS = false;

// Takes both halves out. `put(half)` stores into it what this thread has of the given half: the
// first half of the threads has the upper, the other the lower.
template <typename Tile, typename Put, typename Finish>
__device__ inline void finish_tile(float *half, const GemmTask &task, Put put, Finish &finish) {
#pragma unroll 1
  for (int which = 0; which < 2; ++which) {
    __syncthreads();
    if (threadIdx.x / (Tile::THREADS / 2) == which) put(half);
    __syncthreads();
    const int first_row = task.row + which * (Tile::ROWS / 2);
    if constexpr (TAKES_PAIRS<Finish>)
      if (finish.by_pairs()) {
        finish_half<Tile, 2>(half, first_row, task, finish);
        continue;
      }
    finish_half<Tile, FOUR>(half, first_row, task, finish);
  }
}
