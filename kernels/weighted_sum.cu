// Weighted sum of up to eight scalars, forward and backward (equations: src/op/weighted_sum/mod.rs).
//
// One thread does it all, in the order of the inputs: they are losses, f32 in every precision.

#include "common/inputs.cuh"

// Inputs and weights from the `count`-th on are not there. Grid: one thread.
extern "C" __global__ void weighted_sum_forward_f32(
    const float *input_0, const float *input_1, const float *input_2, const float *input_3, const float *input_4,
    const float *input_5, const float *input_6, const float *input_7, float weight_0, float weight_1,
    float weight_2, float weight_3, float weight_4, float weight_5, float weight_6, float weight_7, float *out,
    int count) {
  const OfInputs<const float *> inputs{
      {input_0, input_1, input_2, input_3, input_4, input_5, input_6, input_7}};
  const OfInputs<float> weights{
      {weight_0, weight_1, weight_2, weight_3, weight_4, weight_5, weight_6, weight_7}};
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < MOST_INPUTS; ++i)
    if (i < count) sum += weights.of[i] * *inputs.of[i];
  *out = sum;
}

// A gradient that is not wanted is null; bit i of `adds` is 1 to add to the i-th, 0 to set it. Two of them may be
// one, for a scalar that is summed twice. Grid: one thread.
extern "C" __global__ void weighted_sum_backward_f32(
    const float *dout, float *dinput_0, float *dinput_1, float *dinput_2, float *dinput_3, float *dinput_4,
    float *dinput_5, float *dinput_6, float *dinput_7, float weight_0, float weight_1, float weight_2,
    float weight_3, float weight_4, float weight_5, float weight_6, float weight_7, int adds) {
  const OfInputs<float *> dinputs{
      {dinput_0, dinput_1, dinput_2, dinput_3, dinput_4, dinput_5, dinput_6, dinput_7}};
  const OfInputs<float> weights{
      {weight_0, weight_1, weight_2, weight_3, weight_4, weight_5, weight_6, weight_7}};
  const float d = *dout;
#pragma unroll
  for (int i = 0; i < MOST_INPUTS; ++i) {
    // forward: out = .. + weights[i] inputs[i] + ..
    if (dinputs.of[i] == nullptr) continue;
    const float base = (adds >> i & 1) != 0 ? *dinputs.of[i] : 0.0f;
    *dinputs.of[i] = base + weights.of[i] * d;
  }
}
