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
  DropCursor drop;

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

template <typename T> constexpr int AT_ONCE<Epilogue<T>> = 1;

// As kernels are told; null for what there is not.
template <typename T> struct LinearForward {
  const T *inp;
  Norm norm;
  const T *weight;
  const float *bias;
  const T *residual;
  T *out, *pre;
  float *memory;
  unsigned *tickets;
  float eps;
  int rows, outputs, inputs, parts, activation;
  Drop drop;

  __device__ Parts all_parts() const { return {memory, tickets, parts}; }
  __device__ Epilogue<T> epilogue() const { return {bias, residual, out, pre, outputs, activation, drop}; }
};

template <int SIDE, typename T> __device__ inline void forward(const LinearForward<T> &of) {
  using Product = TileProduct<T, SIDE, Lies::BY_DEPTH, Lies::BY_DEPTH>;
  const TilePart<Square<SIDE>> part(of.all_parts(), of.rows, of.outputs, of.inputs, blockIdx.x, DEPTH_STEP<T>);
  const GemmTask &task = part.task;
  const auto make = [&](auto put) {
    Product::run(first_of<Product>(of.inp, task), second_of<Product>(of.weight, task), task, put);
  };
  part.run(make, of.epilogue());
}

// The same of the input's norm, whose statistics are made here and left for backward.
template <int SIDE, typename T> __device__ inline void forward_of_norm(const LinearForward<T> &of) {
  using Product = TileProduct<T, SIDE, Lies::BY_DEPTH, Lies::BY_DEPTH>;
  using First = NormalizedLoader<typename Product::First>;
  const TilePart<Square<SIDE>> part(of.all_parts(), of.rows, of.outputs, of.inputs, blockIdx.x, DEPTH_STEP<T>);
  const GemmTask &task = part.task;
  const Norm &norm = of.norm;
  float *const memory = norm_memory<T, SIDE>();
  const bool leave = norm.mean != nullptr && task.column == 0 && part.which == 0;
  tile_statistics(of.inp, of.rows, of.inputs, task.row, of.eps, [&](int row, float mean, float rstd) {
    memory[row - task.row] = mean, memory[SIDE + row - task.row] = rstd;
    if (leave && row < of.rows) norm.mean[row] = mean, norm.rstd[row] = rstd;
  });
  const auto make = [&](auto put) {
    const First first(first_of<Product>(of.inp, task), memory, norm.weight, norm.bias, of.inputs, task.begin,
                      of.rows - task.row);
    Product::run(first, second_of<Product>(of.weight, task), task, put);
  };
  part.run(make, of.epilogue());
}
