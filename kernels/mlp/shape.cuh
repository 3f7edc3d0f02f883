// How a block of the fused MLP shares its rows among warps, and what lies where in its shared memory.
#pragma once

#include "../linear/tiles.cuh"

// Rows of a block.
constexpr int MLP_ROWS = 128;
// Hidden units whose weights are brought at once.
constexpr int HIDDEN_STEP = gemm_bf16::STEP;
constexpr int HIDDEN_STAGES = 3;

// For up to CHANNELS inputs and outputs. A warp has all channels of its rows, so that what the first product leaves in
// registers is an operand of the second as it lies there; its sums take 128 registers of a thread, its rows of the input
// 64 more. What a warp loads of the weights serves two products of 16 rows with 128 channels, and one with 256, where
// shared memory bounds the kernel: four clocks of it for two multiply_add.
template <int CHANNELS_> struct MlpShape {
  static constexpr int CHANNELS = CHANNELS_;
  static constexpr int ROW_TILES = 256 / CHANNELS, WARP_HEIGHT = 16 * ROW_TILES; // rows of a warp
  static constexpr int THREADS = MLP_ROWS / WARP_HEIGHT * WARP;
  static constexpr int GROUP = 32 / ROW_TILES; // hidden units that are in registers at once

  using Tile = TileShape<MLP_ROWS, CHANNELS, THREADS>;
  using Inputs = gemm_bf16::Loader<MLP_ROWS, Lies::BY_DEPTH, THREADS>;
  // [hidden, inputs] by lines, [outputs, hidden] by columns.
  using FirstWeights = gemm_bf16::Loader<CHANNELS, Lies::BY_OTHER, THREADS>;
  using SecondWeights = gemm_bf16::Loader<CHANNELS, Lies::BY_DEPTH, THREADS>;

  // Of shared memory: a ring of both weights, then of the hidden units' biases, the rows' statistics, and the
  // norm's parameters. The input takes the place of the last two steps of weights until it is in registers, the
  // result that of all of them.
  static constexpr int WEIGHTS = gemm_bf16::OPERAND_BYTES<CHANNELS>, STEP_BYTES = 2 * WEIGHTS;
  static constexpr int INPUT_STEP = gemm_bf16::OPERAND_BYTES<MLP_ROWS>, INPUT_AT = STEP_BYTES;
  static constexpr int BIASES_AT = HIDDEN_STAGES * STEP_BYTES;
  static constexpr int STATISTICS_AT = BIASES_AT + HIDDEN_STAGES * HIDDEN_STEP * 4;
  static constexpr int NORM_AT = STATISTICS_AT + 2 * MLP_ROWS * 4;
  static_assert(INPUT_AT + CHANNELS / HIDDEN_STEP * INPUT_STEP <= BIASES_AT && HALF_BYTES<Tile> <= BIASES_AT,
                "what takes the weights' place");

  // Worked out anew wherever it is used, as registers are scarce.
  static __device__ int warp_row() { return gemm_bf16::held(threadIdx.x) / WARP * WARP_HEIGHT; }
  static __device__ float *floats(int at) { return reinterpret_cast<float *>(block_memory() + at); }
};
