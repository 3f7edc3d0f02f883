// Where the outputs of a bilinear resizing with aligned corners lie between its inputs, along one axis.
#pragma once

// Output i lies at i step / unit inputs; whole numbers, so that an index is never off by one.
// Limit: inputs * outputs below 2^32.
struct Axis {
  int inputs, outputs;
  unsigned step, unit;
  float share; // 1 / unit

  __device__ Axis(int inputs_, int outputs_)
      : inputs(inputs_), outputs(outputs_), step(outputs_ > 1 ? inputs_ - 1 : 0),
        unit(outputs_ > 1 ? outputs_ - 1 : 1), share(__fdividef(1.0f, unit)) {}

  // The input at or before output `i`.
  __device__ int first(int i) const { return i * step / unit; }

  // How far output `i` lies from input `first` = first(i) to the next.
  __device__ float fraction(int i, int first) const {
    return static_cast<float>(i * step - first * unit) * share;
  }

  // The first output with first(i) of `n` or more: begin(n) .. begin(n + 1) lie between input n and the next.
  __device__ int begin(int n) const {
    if (n <= 0) return 0;
    if (n >= inputs || step == 0) return outputs;
    return min((n * unit + step - 1) / step, static_cast<unsigned>(outputs));
  }
};
