// What a layer applies to each element of a product, and its derivative, in f32.
#pragma once

// As the kernels' arguments number them.
enum Activation : int { NONE = 0, RELU = 1, GELU = 2 };

// x/2 (1 + erf(x / sqrt 2))
__device__ inline float gelu(float x) {
  const float half = 0.5f * x;
  return half + half * erff(x * 0.70710678118654752f);
}

// Phi(x) + x phi(x) with the normal distribution Phi and its density phi
__device__ inline float gelu_derivative(float x) {
  const float distribution = 0.5f + 0.5f * erff(x * 0.70710678118654752f);
  return distribution + x * (expf(-0.5f * x * x) * 0.39894228040143268f);
}

__device__ inline float activate(float x, int activation) {
  if (activation == GELU) return gelu(x);
  return activation == RELU && x < 0.0f ? 0.0f : x;
}

// d activation(pre); `saved` is the output for ReLU and `pre` for GELU.
__device__ inline float differentiate(float d, float saved, int activation) {
  if (activation == GELU) return d * gelu_derivative(saved);
  return activation == RELU && !(saved > 0.0f) ? 0.0f : d;
}
