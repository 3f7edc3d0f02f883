// Where the outputs of a bilinear resizing lie between its inputs, along one axis (src/cpu/interpolation.rs).
#pragma once

// Output i lies at max(start + i step, 0) / unit inputs; whole numbers, so that an index is never off by one.
// Limit: inputs * outputs below 2^29.
struct Axis {
  int inputs, outputs;
  int start, step, unit;
  float share; // 1 / unit

  __device__ Axis(int inputs_, int outputs_, bool align_corners = true) : inputs(inputs_), outputs(outputs_) {
    const bool one = align_corners && outputs == 1;
    start = align_corners ? 0 : inputs - outputs;
    step = one ? 0 : align_corners ? inputs - 1 : 2 * inputs;
    unit = one ? 1 : align_corners ? outputs - 1 : 2 * outputs;
    share = 1.0f / static_cast<float>(unit);
  }

  __device__ int position(int i) const { return max(start + i * step, 0); }

  // The input at or before output `i`; it lies between that one and the next, if there is one.
  __device__ int first(int i) const { return static_cast<unsigned>(position(i)) / static_cast<unsigned>(unit); }

  // How far output `i` lies from input `first` = first(i) to the next.
  __device__ float fraction(int i, int first) const {
    return static_cast<float>(position(i) - first * unit) * share;
  }

  // How much of input `n` is in output `i`, which lies beside it or beyond the ends.
  __device__ float weight(int i, int n) const {
    const int from = min(position(i), (inputs - 1) * unit) - n * unit;
    return 1.0f - static_cast<float>(abs(from)) * share;
  }

  // The first output with first(i) of `n` or more: begin(n) .. begin(n + 1) lie between input n and the next.
  __device__ int begin(int n) const {
    if (n <= 0) return 0;
    if (n >= inputs || step == 0) return outputs;
    const unsigned distance = max(n * unit - start, 0), steps = (distance + step - 1) / static_cast<unsigned>(step);
    return min(steps, static_cast<unsigned>(outputs));
  }
};
