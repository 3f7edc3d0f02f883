// The products of the linear layer by tiles, in the precision of their operands.
#pragma once

#include "../common/gemm_bf16.cuh"
#include "../common/gemm_f32.cuh"
#include "../common/word_loader.cuh"

// By the side of a tile; f32 has large ones only.
constexpr int LARGE = 128, SMALL = 64;

// All shared memory of a block: a product's operands, then its result.
struct alignas(128) Line {
  char bytes[128];
};
__device__ inline char *block_memory() {
  extern __shared__ Line lines[];
  return lines[0].bytes;
}

// A product of matrices of T by tiles of SIDE: what brings its operands, and the product of them or of what does
// something to them on the way.
template <typename T, int SIDE, Lies FIRST, Lies SECOND> struct TileProduct;

template <int SIDE, Lies FIRST, Lies SECOND> struct TileProduct<bf16, SIDE, FIRST, SECOND> {
  using Tile = Square<SIDE>;
  using First = gemm_bf16::Loader<SIDE, FIRST, Tile::THREADS>;
  using Second = gemm_bf16::Loader<SIDE, SECOND, Tile::THREADS>;
  using FirstAsIs = gemm_bf16::WordLoader<SIDE, FIRST, Tile::THREADS>;
  using SecondAsIs = gemm_bf16::WordLoader<SIDE, SECOND, Tile::THREADS>;

  // The loop is there twice, so that whole lines do not pay for others.
  template <typename Finish>
  static __device__ void run(FirstAsIs first, SecondAsIs second, const GemmTask &task, Finish finish) {
    if (first.is_whole() && second.is_whole())
      multiply(first.whole(), second.whole(), task, finish);
    else
      multiply(first, second, task, finish);
  }
  // What changes an operand on its way has it by chunks.
  template <typename Changed, typename Finish>
  static __device__ void run(Changed first, SecondAsIs second, const GemmTask &task, Finish finish) {
    multiply(first, Second(second), task, finish);
  }
  template <typename Changed, typename Finish>
  static __device__ void run(FirstAsIs first, Changed second, const GemmTask &task, Finish finish) {
    multiply(First(first), second, task, finish);
  }
  template <typename A, typename B, typename Finish>
  static __device__ void run(A first, B second, const GemmTask &task, Finish finish) {
    multiply(first, second, task, finish);
  }

private:
  template <typename A, typename B, typename Finish>
  static __device__ void multiply(A first, B second, const GemmTask &task, Finish finish) {
    gemm_bf16::product<Tile, FIRST, SECOND>(first, second, block_memory(), task, finish);
  }
};

template <int SIDE, Lies FIRST, Lies SECOND> struct TileProduct<float, SIDE, FIRST, SECOND> {
  using Tile = Square<SIDE>;
  using First = gemm_f32::Loader<SIDE, FIRST, Tile::THREADS>;
  using Second = gemm_f32::Loader<SIDE, SECOND, Tile::THREADS>;
  using FirstAsIs = First;
  using SecondAsIs = Second;

  template <typename A, typename B, typename Finish>
  static __device__ void run(A first, B second, const GemmTask &task, Finish finish) {
    gemm_f32::product<Tile>(first, second, reinterpret_cast<float *>(block_memory()), task, finish);
  }
};

template <typename Product, typename T>
__device__ inline typename Product::FirstAsIs first_of(const T *data, const GemmTask &task) {
  return {data, task.rows, task.depth, task.row, task.begin, task.end};
}
template <typename Product, typename T>
__device__ inline typename Product::SecondAsIs second_of(const T *data, const GemmTask &task) {
  return {data, task.columns, task.depth, task.column, task.begin, task.end};
}

// Numbers of the depth that are brought at once, for how many steps there is memory, and its bytes.
template <typename T> constexpr int DEPTH_STEP = gemm_f32::STEP;
template <> constexpr int DEPTH_STEP<bf16> = gemm_bf16::STEP;
template <typename T> constexpr int STEPS_AT_ONCE = gemm_f32::STAGES;
template <> constexpr int STEPS_AT_ONCE<bf16> = gemm_bf16::STAGES;
template <typename T, int SIDE> constexpr int OPERANDS_BYTES = gemm_f32::SHARED_BYTES<Square<SIDE>>;
template <int SIDE> constexpr int OPERANDS_BYTES<bf16, SIDE> = gemm_bf16::SHARED_BYTES<Square<SIDE>>;

// How many tiles lie along an extent.
template <int SIDE> __device__ inline int tiles_of(int extent) { return (extent + SIDE - 1) / SIDE; }

// The tile of that number, row by row of tiles of a result with so many columns.
template <typename Tile> __device__ inline TileAt tile_at(int tile, int columns) {
  const int across = tiles_of<Tile::COLUMNS>(columns);
  return {tile / across * Tile::ROWS, tile % across * Tile::COLUMNS};
}
