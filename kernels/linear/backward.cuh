// Both products of a backward pass, and what goes through dout number by number, in one launch: by its number a
// block has a part of a tile of dweight, a tile of dinp, or some of dout's columns. The products that take
// longest come first, so that the device is not left waiting for them.
#pragma once

#include "columns.cuh"
#include "norm.cuh"
#include "parts.cuh"

// Writes a product as a gradient [.., columns].
template <typename T> struct Gradient {
  T *to;
  int columns;
  bool add;

  __device__ void operator()(int row, int column, float (&values)[FOUR]) const {
    const int count = min(columns - column, FOUR);
    put_four(to + static_cast<size_t>(row) * columns + column, count,
             count == FOUR && aligned<FOUR>(to, columns), values, add);
  }
};

// The same of a product that is to be multiplied.
template <typename T> struct Scaled {
  Gradient<T> gradient;
  float scale;

  __device__ void operator()(int row, int column, float (&values)[FOUR]) const {
#pragma unroll
    for (int i = 0; i < FOUR; ++i) values[i] *= scale;
    gradient(row, column, values);
  }
};

// What the products' operands become on their way.
enum class Change {
  NONE,
  NORM, // dweight is the product with the norm of inp
  DROP, // dpre is what is not dropped of dout
};

template <typename T, Change CHANGE> struct Products {
  const T *dpre, *inp, *weight;
  Gradient<T> dinp; // to null if it is not wanted, as dweight
  Gradient<float> dweight;
  Parts input_parts, weight_parts;
  int rows, outputs, inputs;
  bool weight_first;
  Norm norm;
  Drop drop;

  // forward: pre = norm(inp) weight^T + bias
  template <int SIDE> __device__ void make_input(int block) const {
    using Product = TileProduct<T, SIDE, Lies::BY_DEPTH, Lies::BY_OTHER>;
    const TilePart<SIDE> part(input_parts, rows, inputs, outputs, block, DEPTH_STEP<T>);
    const GemmTask &task = part.task;
    part.run([&](auto put) { Product::run(dpre_of<Product>(task, task.row, task.begin), second_of<Product>(weight, task), task, put); }, finish(dinp));
  }

  // forward: pre = norm(inp) weight^T + bias
  template <int SIDE> __device__ void make_weight(int block) const {
    using Product = TileProduct<T, SIDE, Lies::BY_OTHER, Lies::BY_OTHER>;
    const TilePart<SIDE> part(weight_parts, outputs, inputs, rows, block, DEPTH_STEP<T>);
    const GemmTask &task = part.task;
    part.run([&](auto put) { Product::run(dpre_of<Product>(task, task.begin, task.row), inp_of<Product, SIDE>(task), task, put); }, finish(dweight));
  }

  // What takes a product.
  template <typename To> __device__ auto finish(const Gradient<To> &gradient) const {
    if constexpr (CHANGE == Change::DROP)
      return Scaled<To>{gradient, drop.scale};
    else
      return gradient;
  }

  // dpre from there on.
  template <typename Product> __device__ auto dpre_of(const GemmTask &task, int row, int column) const {
    const auto loader = first_of<Product>(dpre, task);
    if constexpr (CHANGE == Change::DROP)
      return DroppedLoader<typename Product::First>(loader, drop, rows, outputs, row, column);
    else
      return loader;
  }

  template <typename Product, int SIDE> __device__ auto inp_of(const GemmTask &task) const {
    const auto loader = second_of<Product>(inp, task);
    if constexpr (CHANGE == Change::NORM) {
      using Normalized = NormalizedLoader<typename Product::Second>;
      float *const memory = norm_memory<T, SIDE>();
      Normalized::put_others(memory, norm.weight, norm.bias, task.column, inputs);
      return Normalized(loader, memory, norm.mean, norm.rstd, rows, task.begin, rows - task.begin);
    } else {
      return loader;
    }
  }

  template <int SIDE> __device__ int input_blocks() const {
    return dinp.to == nullptr ? 0 : tiles_of<SIDE>(rows) * tiles_of<SIDE>(inputs) * input_parts.count;
  }
  template <int SIDE> __device__ int weight_blocks() const {
    return dweight.to == nullptr ? 0 : tiles_of<SIDE>(outputs) * tiles_of<SIDE>(inputs) * weight_parts.count;
  }
};

template <int SIDE, typename T, Change CHANGE>
__device__ inline void backward(const Products<T, CHANGE> &products, ColumnBlocks<T> &columns) {
  const int of_weight = products.template weight_blocks<SIDE>(), of_input = products.template input_blocks<SIDE>();
  const int block = blockIdx.x;
  const int in_weight = products.weight_first ? block : block - of_input;
  const int in_input = products.weight_first ? block - of_weight : block;
  if (in_weight >= 0 && in_weight < of_weight)
    products.template make_weight<SIDE>(in_weight);
  else if (in_input >= 0 && in_input < of_input)
    products.template make_input<SIDE>(in_input);
  else
    columns.template run<gemm_threads(SIDE)>(block - of_weight - of_input,
                                             reinterpret_cast<float *>(block_memory()));
}
