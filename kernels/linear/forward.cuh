// The forward product with what follows it.
#pragma once

#include "../common/activation.cuh"
#include "parts.cuh"

// What becomes of four neighbouring numbers of the product.
template <typename T> struct Epilogue {
  const float *bias; // or null, as the others
  const T *residual;
  T *out, *pre;
  int outputs, activation;
  bool all_aligned;

  __device__ Epilogue(const float *bias_, const T *residual_, T *out_, T *pre_, int outputs_, int activation_)
      : bias(bias_), residual(residual_), out(out_), pre(pre_), outputs(outputs_), activation(activation_),
        all_aligned(aligned<FOUR>(out, outputs) && aligned<FOUR>(pre, outputs) &&
                    aligned<FOUR>(residual, outputs) && aligned<FOUR>(bias, FOUR)) {}

  __device__ void operator()(int row, int column, float (&values)[FOUR]) const {
    const size_t at = static_cast<size_t>(row) * outputs + column;
    const int count = min(outputs - column, FOUR);
    const bool whole = all_aligned && count == FOUR;
    float more[FOUR];
    if (bias != nullptr) {
      load_four(bias + column, count, whole, more);
#pragma unroll
      for (int i = 0; i < FOUR; ++i) values[i] += more[i];
    }
    if (pre != nullptr) put_four(pre + at, count, whole, values, false);
#pragma unroll
    for (int i = 0; i < FOUR; ++i) values[i] = activate(values[i], activation);
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
  const TilePart<SIDE> part(parts, rows, epilogue.outputs, inputs, blockIdx.x, DEPTH_STEP<T>);
  part.run([&](auto put) { product<SIDE, Lies::BY_DEPTH, Lies::BY_DEPTH>(inp, weight, part.task, put); }, epilogue);
}
