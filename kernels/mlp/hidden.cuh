// The hidden units between both products: as the first one's sums, then as the second one's operand.
#pragma once

#include "../common/activation.cuh"
#include "shape.cuh"

// Of four words in each lane of four neighbours, lane t gets the t-th of all, in the order of the lanes.
__device__ inline uint4 transposed_by_four(const unsigned (&words)[4]) {
  const bool odd = threadIdx.x & 1, upper = threadIdx.x & 2;
  const unsigned a = __shfl_xor_sync(0xffffffffu, odd ? words[0] : words[1], 1);
  const unsigned b = __shfl_xor_sync(0xffffffffu, odd ? words[2] : words[3], 1);
  const unsigned x0 = odd ? a : words[0], x1 = odd ? words[1] : a;
  const unsigned y0 = odd ? b : words[2], y1 = odd ? words[3] : b;
  const unsigned c = __shfl_xor_sync(0xffffffffu, upper ? x0 : y0, 2);
  const unsigned d = __shfl_xor_sync(0xffffffffu, upper ? x1 : y1, 2);
  return upper ? make_uint4(c, d, y0, y1) : make_uint4(x0, x1, c, d);
}

// [rows, hidden] before the activation, for backward.
struct Pre {
  bf16 *to;
  int rows, hidden;

  // 16 x 16 sums of a warp, whose first is at `row` and `column`: two lanes write 16 neighbours of a row.
  __device__ void put(int row, int column, const float (&left)[4], const float (&right)[4]) const {
    const unsigned words[4] = {pack_pair(left[0], left[1]), pack_pair(right[0], right[1]),
                               pack_pair(left[2], left[3]), pack_pair(right[2], right[3])};
    const uint4 eight = transposed_by_four(words);
    const int lane = threadIdx.x % WARP;
    row += lane / 4 + lane % 4 / 2 * 8, column += lane % 2 * 8;
    if (row >= rows) return;
    bf16 *const at = to + static_cast<size_t>(row) * hidden + column;
    if (aligned<WIDEST<bf16>>(to, hidden)) {
      if (column < hidden) *reinterpret_cast<uint4 *>(at) = eight;
      return;
    }
    const unsigned parts[4] = {eight.x, eight.y, eight.z, eight.w};
#pragma unroll
    for (int i = 0; i < 8; ++i)
      if (column + i < hidden) at[i] = __ushort_as_bfloat16(parts[i / 2] >> i % 2 * 16);
  }
};

// 16 ROW_TILES rows and GROUP hidden units of a warp.
template <typename Shape> struct Hidden {
  static constexpr int ROW_TILES = Shape::ROW_TILES, PAIRS = Shape::GROUP / 16; // 16 units each
  float sums[ROW_TILES][PAIRS * 2][4];

  // The biases, from the group's first on in shared memory.
  __device__ explicit Hidden(const float *biases) {
#pragma unroll
    for (int j = 0; j < PAIRS * 2; ++j) {
      const float2 two = *reinterpret_cast<const float2 *>(biases + j * 8 + threadIdx.x % 4 * 2);
#pragma unroll
      for (int i = 0; i < ROW_TILES; ++i)
        sums[i][j][0] = sums[i][j][2] = two.x, sums[i][j][1] = sums[i][j][3] = two.y;
    }
  }

  // Adds 16 inputs' products; `b` are two times 16 x 8 of the weights, for units 16 `pair` and following.
  __device__ void add(const unsigned (&inputs)[ROW_TILES][4], int pair, const unsigned (&b)[4]) {
#pragma unroll
    for (int i = 0; i < ROW_TILES; ++i) {
      multiply_add(sums[i][pair * 2], inputs[i], b[0], b[1]);
      multiply_add(sums[i][pair * 2 + 1], inputs[i], b[2], b[3]);
    }
  }

  __device__ void put(const Pre &pre, int row, int column) const {
#pragma unroll
    for (int i = 0; i < ROW_TILES; ++i)
#pragma unroll
      for (int p = 0; p < PAIRS; ++p)
        pre.put(row + i * 16, column + p * 16, sums[i][p * 2], sums[i][p * 2 + 1]);
  }

  __device__ void activate(int activation) {
    if (activation == GELU)
      each([](float x) { return gelu<bf16>(x); });
    else if (activation == RELU)
      each([](float x) { return ::activate<bf16>(x, RELU); });
  }

  template <typename Make> __device__ void each(Make make) {
#pragma unroll
    for (int i = 0; i < ROW_TILES; ++i)
#pragma unroll
      for (int j = 0; j < PAIRS * 2; ++j)
#pragma unroll
        for (int k = 0; k < 4; ++k) sums[i][j][k] = make(sums[i][j][k]);
  }

  // As the operand of a product over units 16 `pair` and following.
  __device__ void pack(int pair, unsigned (&to)[ROW_TILES][4]) const {
#pragma unroll
    for (int i = 0; i < ROW_TILES; ++i)
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const float(&of)[4] = sums[i][pair * 2 + k / 2];
        to[i][k] = pack_pair(of[k % 2 * 2], of[k % 2 * 2 + 1]);
      }
  }
};
