// Up to eight tensors one after the other along an axis, forward and backward (src/op/concat/mod.rs).
//
// Extents from the axis on make a row, so parts are columns of the result. One launch moves all parts: the first
// blocks have the first part, and so on; a thread has one vector of a part. Where rows are not aligned, a warp has
// words of them (common/word_rows.cuh), or a thread every 256th number. No shared memory.
// Limit: fewer than 2^31 numbers.

#include "common/elementwise.cuh"
#include "common/inputs.cuh"
#include "common/word_rows.cuh"

// The part that a block has.
template <typename T> struct Part {
  T *at = nullptr;
  int columns = 0;
  int start = 0;  // its first column in the result
  int number = 0; // of the inputs
  unsigned block = blockIdx.x; // of those that have this part
  int row_columns = 0; // of the result

  // Parts without an address have no blocks.
  __device__ Part(const OfInputs<T *> &parts, const OfInputs<int> &widths, int rows) {
#pragma unroll
    for (int i = 0; i < MOST_INPUTS; ++i) {
      const unsigned blocks = parts.of[i] == nullptr ? 0 : blocks_of_rows<T>(rows, widths.of[i]);
      if (at == nullptr && block < blocks)
        at = parts.of[i], columns = widths.of[i], start = row_columns, number = i;
      if (at == nullptr) block -= blocks;
      row_columns += widths.of[i];
    }
  }

  // Whether all rows are aligned, in the part and in the result.
  __device__ bool whole(const void *result) const {
    constexpr int WIDTH = WIDEST<T>;
    return aligned<WIDTH>(at, columns) && aligned<WIDTH>(static_cast<const T *>(result) + start, row_columns);
  }
  __device__ unsigned blocks(int rows) const { return blocks_of_rows<T>(rows, columns); }

  // Calls `visit(width, in_part, in_result)` for the numbers of this thread.
  template <typename Visit> __device__ void each(const void *result, int rows, Visit visit) const {
    each_in_rows<T>(rows, columns, whole(result), block, [&](auto width, unsigned row, unsigned column) {
      visit(width, static_cast<size_t>(row) * columns + column,
            static_cast<size_t>(row) * row_columns + start + column);
    });
  }
};

template <typename T>
__device__ inline void forward(const OfInputs<const T *> &inputs, const OfInputs<int> &columns, T *out, int rows) {
  const Part<const T> part(inputs, columns, rows);
  const WordRows<T> words = {part.at, out + part.start, part.columns, part.row_columns, rows, part.columns, false};
  if (!part.whole(out) && words.possible()) return words.copy(part.block, part.blocks(rows));
  part.each(out, rows, [&](auto width, size_t in_part, size_t in_result) {
    copy<T, decltype(width)::value>(part.at + in_part, out + in_result, false);
  });
}

// Bit i of `adds` is 1 to add to the i-th gradient, 0 to set it.
template <typename T>
__device__ inline void backward(const T *dout, const OfInputs<T *> &dinputs, const OfInputs<int> &columns, int rows,
                                int adds) {
  const Part<T> part(dinputs, columns, rows);
  const bool add = (adds >> part.number & 1) != 0;
  // forward: out = [.., inputs[i], ..]
  const WordRows<T> words = {dout + part.start, part.at, part.row_columns, part.columns, rows, part.columns, add};
  if (!part.whole(dout) && words.possible()) return words.copy(part.block, part.blocks(rows));
  part.each(dout, rows, [&](auto width, size_t in_part, size_t in_result) {
    copy<T, decltype(width)::value>(dout + in_result, part.at + in_part, add);
  });
}

// Part i has `rows` rows of `columns_i`; those that are not there are null and have 0 columns.
// Grid: the sum over the parts of ceil(rows columns_i / ROWS_TILE) blocks of 256 threads.
extern "C" __global__ __launch_bounds__(ELEMENT_THREADS) void
concat_forward_f32(const float *input_0, const float *input_1, const float *input_2, const float *input_3,
                   const float *input_4, const float *input_5, const float *input_6, const float *input_7,
                   int columns_0, int columns_1, int columns_2, int columns_3, int columns_4, int columns_5,
                   int columns_6, int columns_7, float *out, int rows) {
  forward<float>({{input_0, input_1, input_2, input_3, input_4, input_5, input_6, input_7}},
                 {{columns_0, columns_1, columns_2, columns_3, columns_4, columns_5, columns_6, columns_7}}, out,
                 rows);
}
extern "C" __global__ __launch_bounds__(ELEMENT_THREADS) void
concat_forward_bf16(const bf16 *input_0, const bf16 *input_1, const bf16 *input_2, const bf16 *input_3,
                    const bf16 *input_4, const bf16 *input_5, const bf16 *input_6, const bf16 *input_7,
                    int columns_0, int columns_1, int columns_2, int columns_3, int columns_4, int columns_5,
                    int columns_6, int columns_7, bf16 *out, int rows) {
  forward<bf16>({{input_0, input_1, input_2, input_3, input_4, input_5, input_6, input_7}},
                {{columns_0, columns_1, columns_2, columns_3, columns_4, columns_5, columns_6, columns_7}}, out,
                rows);
}

// A gradient that is not wanted is null and has no blocks, but its columns; no two gradients are one.
// Grid: as forward, over the gradients that are wanted.
extern "C" __global__ __launch_bounds__(ELEMENT_THREADS) void
concat_backward_f32(const float *dout, float *dinput_0, float *dinput_1, float *dinput_2, float *dinput_3,
                    float *dinput_4, float *dinput_5, float *dinput_6, float *dinput_7, int columns_0,
                    int columns_1, int columns_2, int columns_3, int columns_4, int columns_5, int columns_6,
                    int columns_7, int rows, int adds) {
  backward<float>(dout, {{dinput_0, dinput_1, dinput_2, dinput_3, dinput_4, dinput_5, dinput_6, dinput_7}},
                  {{columns_0, columns_1, columns_2, columns_3, columns_4, columns_5, columns_6, columns_7}}, rows,
                  adds);
}
extern "C" __global__ __launch_bounds__(ELEMENT_THREADS) void
concat_backward_bf16(const bf16 *dout, bf16 *dinput_0, bf16 *dinput_1, bf16 *dinput_2, bf16 *dinput_3,
                     bf16 *dinput_4, bf16 *dinput_5, bf16 *dinput_6, bf16 *dinput_7, int columns_0,
                     int columns_1, int columns_2, int columns_3, int columns_4, int columns_5, int columns_6,
                     int columns_7, int rows, int adds) {
  backward<bf16>(dout, {{dinput_0, dinput_1, dinput_2, dinput_3, dinput_4, dinput_5, dinput_6, dinput_7}},
                 {{columns_0, columns_1, columns_2, columns_3, columns_4, columns_5, columns_6, columns_7}}, rows,
                 adds);
}
