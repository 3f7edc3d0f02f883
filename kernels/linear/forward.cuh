// The forward product with what follows it.
#pragma once

#include "../common/activation.cuh"
#include "drop.cuh"
#include "norm.cuh"
#include "parts.cuh"
#include "statistics.cuh"

// What becomes of four neighbouring numbers of the product.
template <typename T> struct Epilogue {
  const float *bias; // or null, as the others
  const T *residual;
  T *out, *pre;
  int outputs, activation;
  Drop drop;

  __device__ bool all_aligned() const {
    return aligned<FOUR>(out, outputs) && aligned<FOUR>(pre, outputs) && aligned<FOUR>(residual, outputs) &&
           aligned<FOUR>(bias, FOUR);
  }

  __device__ void operator()(int row, int column, float (&values)[FOUR]) {
    const size_t at = static_cast<size_t>(row) * outputs + column;
    const int count = min(outputs - column, FOUR);
    const bool whole = count == FOUR && all_aligned();
    float more[FOUR];
    if (bias != nullptr) {
      load_four(bias + column, count, whole, more);
#pragma unroll
      for (int i = 0; i < FOUR; ++i) values[i] += more[i];
    }
    if (pre != nullptr) put_four(pre + at, count, whole, values, false);
#pragma unroll
    for (int i = 0; i < FOUR; ++i) values[i] = activate<T>(values[i], activation);
    drop.apply(row, at, drop.scale, values);
    if (residual != nullptr) {
      load_four(residual + at, count, whole, more);
#pragma unroll
      for (int i = 0; i < FOUR; ++i) values[i] += more[i];
    }
    put_four(out + at, count, whole, values, false);
  }
};

template <int SIDE, typename T>
__device__ inline void forward(const T *inp, const T *weight, int rows, int inputs, const Parts &parts,
                               const Epilogue<T> &epilogue) {
  using Product = TileProduct<T, SIDE, Lies::BY_DEPTH, Lies::BY_DEPTH>;
  const TilePart<SIDE> part(parts, rows, epilogue.outputs, inputs, blockIdx.x, DEPTH_STEP<T>);
  const GemmTask &task = part.task;
  part.run([&](auto put) { Product::run(first_of<Product>(inp, task), second_of<Product>(weight, task), task, put); },
           epilogue);
}

// The same of the input's norm, whose statistics are made here and left for backward.
template <int SIDE, typename T>
__device__ inline void forward(const T *inp, const Norm &norm, float eps, const T *weight, int rows, int inputs,
                               const Parts &parts, const Epilogue<T> &epilogue) {
  using Product = TileProduct<T, SIDE, Lies::BY_DEPTH, Lies::BY_DEPTH>;
  using First = NormalizedLoader<typename Product::First>;
  const TilePart<SIDE> part(parts, rows, epilogue.outputs, inputs, blockIdx.x, DEPTH_STEP<T>);
  const GemmTask &task = part.task;
  float *const memory = norm_memory<T, SIDE>();
  const bool leave = norm.mean != nullptr && task.column == 0 && part.which == 0;
  tile_statistics(inp, rows, inputs, task.row, eps, [&](int row, float mean, float rstd) {
    memory[row - task.row] = mean, memory[SIDE + row - task.row] = rstd;
    if (leave && row < rows) norm.mean[row] = mean, norm.rstd[row] = rstd;
  });
  part.run(
      [&](auto put) {
        const First first(first_of<Product>(inp, task), memory, norm.weight, norm.bias, inputs, task.begin,
                          rows - task.row);
        Product::run(first, second_of<Product>(weight, task), task, put);
      },
      epilogue);
}
