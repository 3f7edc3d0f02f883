// Both products of a backward pass, and what goes through dout number by number, in one launch: by its number a
// block has a part of a tile of dweight, a tile of dinp, or some of dout's columns. The products that take
// longest come first, so that the device is not left waiting for them.
#pragma once

#include "../common/turns.cuh"
#include "activated.cuh"
#include "columns.cuh"
#include "norm.cuh"
#include "parts.cuh"

// As kernels are told; null for what there is not or nobody wants.
template <typename T> struct LinearBackward {
  const T *dpre, *inp;
  Norm norm;
  const T *weight;
  T *dinp;
  float *dweight, *dbias;
  T *dresidual;
  float *input_memory, *weight_memory, *partial;
  unsigned *input_tickets, *weight_tickets, *bias_tickets;
  // Where inp is what an activation gets, what that makes of it, and TURNS counters; null if bf16 is to be activated on its way.
  T *activated;
  unsigned *turns;
  int rows, outputs, inputs, input_parts, weight_parts, chunks, weight_first, activation;
  int add_input, add_weight, add_bias, add_residual;
  Drop drop;

  static constexpr int TURNS = 1 + Phase::COUNTERS;

  __device__ Columns<T> columns(const Drop &dropped) const {
    return {dpre, nullptr, nullptr, dresidual, dbias, partial, bias_tickets, rows, outputs, chunks, NONE, add_bias,
            add_residual, dropped};
  }
};

// What the products' operands become on their way.
enum class Change {
  NONE,
  NORM,       // dweight is the product with the norm of inp
  DROP,       // dpre is what is not dropped of dout
  ACTIVATION, // DROP, and dweight is the product with activation(inp); dinp is the gradient of what that gets
};

template <typename T, Change CHANGE> struct Products {
  const LinearBackward<T> &of;
  static constexpr bool DROPS = CHANGE == Change::DROP || CHANGE == Change::ACTIVATION;

  // Whether dweight's tiles wait for what dinp's leave beside it. A product in f32 leaves no registers to activate.
  __device__ bool waits() const {
    return CHANGE == Change::ACTIVATION && (sizeof(T) == 4 || of.activated != nullptr);
  }

  // forward: pre = norm(inp) weight^T + bias
  template <int SIDE> __device__ void make_input(int block) const {
    using Product = TileProduct<T, SIDE, Lies::BY_DEPTH, Lies::BY_OTHER>;
    const Parts parts = {of.input_memory, of.input_tickets, of.input_parts};
    const TilePart<Square<SIDE>> part(parts, of.rows, of.inputs, of.outputs, block, DEPTH_STEP<T>);
    const GemmTask &task = part.task;
    if constexpr (CHANGE == Change::ACTIVATION)
      if (parts.count == 1) expect_tile<Square<SIDE>>(of.inp, of.rows, of.inputs, {task.row, task.column});
    const auto make = [&](auto put) {
      Product::run(dpre_of<Product>(task, task.row, task.begin), second_of<Product>(of.weight, task), task, put);
    };
    part.run(make, finish_input());
  }

  // forward: pre = norm(inp) weight^T + bias
  template <int SIDE> __device__ void make_weight(int block) const {
    using Product = TileProduct<T, SIDE, Lies::BY_OTHER, Lies::BY_OTHER>;
    const Parts parts = {of.weight_memory, of.weight_tickets, of.weight_parts};
    const TilePart<Square<SIDE>> part(parts, of.outputs, of.inputs, of.rows, block, DEPTH_STEP<T>);
    const GemmTask &task = part.task;
    const auto make = [&](auto put) {
      const auto dout = dpre_of<Product>(task, task.begin, task.row);
      if (waits())
        Product::run(dout, second_of<Product>(of.activated, task), task, put);
      else
        Product::run(dout, inp_of<Product, SIDE>(task), task, put);
    };
    part.run(make, finish(Gradient<float>{of.dweight, of.inputs, of.add_weight != 0}));
  }

  // What takes a product.
  template <typename To> __device__ auto finish(const Gradient<To> &gradient) const {
    if constexpr (DROPS)
      return Scaled<To>{gradient, of.drop.factor()};
    else
      return gradient;
  }
  __device__ auto finish_input() const {
    const Gradient<T> gradient = {of.dinp, of.inputs, of.add_input != 0};
    if constexpr (CHANGE == Change::ACTIVATION)
      return Differentiated<T>{gradient, of.inp, of.activated, of.activation, of.drop.factor()};
    else
      return finish(gradient);
  }

  // dpre from there on.
  template <typename Product> __device__ auto dpre_of(const GemmTask &task, int row, int column) const {
    const auto loader = first_of<Product>(of.dpre, task);
    if constexpr (DROPS)
      return DroppedLoader<typename Product::First>(loader, of.drop, of.rows, of.outputs, row, column);
    else
      return loader;
  }

  template <typename Product, int SIDE> __device__ auto inp_of(const GemmTask &task) const {
    if constexpr (CHANGE == Change::NORM) {
      using Normalized = NormalizedLoader<typename Product::Second>;
      float *const memory = norm_memory<T, SIDE>();
      Normalized::put_others(memory, of.norm.weight, of.norm.bias, task.column, of.inputs);
      return Normalized(second_of<Product>(of.inp, task), memory, of.norm.mean, of.norm.rstd, of.rows, task.begin,
                        of.rows - task.begin);
    } else if constexpr (CHANGE == Change::ACTIVATION) {
      return ActivatedLoader<typename Product::Second>(second_of<Product>(of.inp, task), of.activation);
    } else {
      return second_of<Product>(of.inp, task);
    }
  }

  // What goes through dout number by number.
  template <int SIDE> __device__ void run_columns(int block) const {
    const Columns<T> columns = of.columns(DROPS ? of.drop : Drop{});
    ColumnBlocks<T>(columns).template run<gemm_threads(SIDE)>(block, reinterpret_cast<float *>(block_memory()));
  }

  template <int SIDE> __device__ int input_blocks() const {
    return of.dinp == nullptr ? 0 : tiles_of<SIDE>(of.rows) * tiles_of<SIDE>(of.inputs) * of.input_parts;
  }
  template <int SIDE> __device__ int weight_blocks() const {
    return of.dweight == nullptr ? 0 : tiles_of<SIDE>(of.outputs) * tiles_of<SIDE>(of.inputs) * of.weight_parts;
  }
};

template <int SIDE, Change CHANGE, typename T> __device__ inline void backward(const LinearBackward<T> &of) {
  const Products<T, CHANGE> products = {of};
  const int of_weight = products.template weight_blocks<SIDE>(), of_input = products.template input_blocks<SIDE>();
  const Phase activating = {of.turns + 1, of_input, of_weight};
  const bool waits = products.waits(), weight_first = of.weight_first && !waits;
  const int block = waits ? take_turn(of.turns) : blockIdx.x;
  const int in_weight = weight_first ? block : block - of_input;
  const int in_input = weight_first ? block - of_weight : block;
  if (in_input >= 0 && in_input < of_input) {
    products.template make_input<SIDE>(in_input);
    if (waits && of_weight > 0) activating.done();
  } else if (in_weight >= 0 && in_weight < of_weight) {
    if (waits) activating.wait();
    products.template make_weight<SIDE>(in_weight);
  } else {
    products.template run_columns<SIDE>(block - of_weight - of_input);
  }
}
