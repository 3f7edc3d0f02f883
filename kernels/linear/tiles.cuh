// The products of the linear layer by tiles, in the precision of their operands.
#pragma once

#include "../common/gemm_bf16.cuh"
#include "../common/gemm_f32.cuh"

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

// first * second [rows, columns], what is in the task of it.
template <int SIDE, Lies FIRST, Lies SECOND, typename Finish>
__device__ inline void product(const bf16 *first, const bf16 *second, const GemmTask &task, Finish finish) {
  gemm_bf16::product<SIDE, FIRST, SECOND>(first, second, block_memory(), task, finish);
}
template <int SIDE, Lies FIRST, Lies SECOND, typename Finish>
__device__ inline void product(const float *first, const float *second, const GemmTask &task, Finish finish) {
  static_assert(SIDE == gemm_f32::SIDE, "f32 has one size of tiles");
  gemm_f32::product<FIRST, SECOND>(first, second, reinterpret_cast<float *>(block_memory()), task, finish);
}

template <typename T> constexpr int DEPTH_STEP = gemm_f32::STEP;
template <> constexpr int DEPTH_STEP<bf16> = gemm_bf16::STEP;

// How many tiles lie along an extent.
template <int SIDE> __device__ inline int tiles_of(int extent) { return (extent + SIDE - 1) / SIDE; }

// The tile of that number, row by row of tiles of a result with so many columns.
template <int SIDE> __device__ inline TileAt tile_at(int tile, int columns) {
  const int across = tiles_of<SIDE>(columns);
  return {tile / across * SIDE, tile % across * SIDE};
}
