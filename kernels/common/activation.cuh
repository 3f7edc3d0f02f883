// What a layer applies to each element of a product, and its derivative, in f32.
//
// Where numbers are bf16 in memory, a product whose sums are short would wait for erff: GELU alone, and with its
// derivative, is an approximation of 12 and 17 instructions instead of 30 and 50.
#pragma once

#include "vector.cuh"

// The one instruction, within two units of the last place; numbers below 2^-126 are 0.
__device__ inline float approximate_exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ inline float approximate_reciprocal(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// As the kernels' arguments number them.
enum Activation : int { NONE = 0, RELU = 1, GELU = 2 };

// x/2 (1 + erf(x / sqrt 2))
template <typename T> __device__ inline float gelu(float x) {
  const float half = 0.5f * x;
  return half + half * erff(x * 0.70710678118654752f);
}

// coefficients[0] + coefficients[1] x + ...
template <int COUNT> __device__ inline float polynomial(const float (&coefficients)[COUNT], float x) {
  float sum = coefficients[COUNT - 1];
#pragma unroll
  for (int i = COUNT - 2; i >= 0; --i) sum = fmaf(sum, x, coefficients[i]);
  return sum;
}

// x times the distribution, which is 1/2 and x times a polynomial in x^2, minimax up to 4.4 and cut off to 0 and 1
// beyond; x^2 is counted from the middle of its range so that nothing cancels. Off by 2.6e-5 at most, which is
// half a unit of bf16's last place at 0.013.
template <> __device__ inline float gelu<bf16>(float x) {
  constexpr float MIDDLE = 9.68f;
  const float odd[] = {1.60404420e-01f,  -8.12110672e-03f, 5.89638267e-04f,  -4.41979061e-05f, 3.05259331e-06f,
                       -1.87982799e-07f, 1.33554841e-08f,  -9.89986239e-10f, 3.57263706e-11f};
  const float square = fminf(fmaf(x, x, -MIDDLE), MIDDLE);
  return x * __saturatef(fmaf(x, polynomial(odd, square), 0.5f));
}

// What an activation makes, and its derivative there.
struct Activated {
  float value, derivative;
};

// x Phi(x) and Phi(x) + x phi(x) with the normal distribution Phi and its density phi
template <typename T> __device__ inline Activated gelu_both(float x) {
  const float distribution = 0.5f + 0.5f * erff(x * 0.70710678118654752f);
  return {x * distribution, distribution + x * (expf(-0.5f * x * x) * 0.39894228040143268f)};
}

// The distribution at -|x| is exp(-x^2/2) times a polynomial in 1 / (1 + 0.23 |x|) (Abramowitz and Stegun 7.1.26, off
// by 7.5e-8); at |x| it is 1 less that. Bias gradients are sums of the derivative in f32, so it is as precise as they are.
template <> __device__ inline Activated gelu_both<bf16>(float x) {
  const float tail[] = {0.127414796f, -0.142248368f, 0.710706871f, -0.726576014f, 0.530702715f};
  const float t = approximate_reciprocal(fmaf(fabsf(x), 0.231641888f, 1.0f));
  const float bell = approximate_exp2(x * (x * -0.721347520f)), below = bell * t * polynomial(tail, t);
  const float distribution = x > 0.0f ? 1.0f - below : below;
  return {x * distribution, fmaf(x * 0.398942280f, bell, distribution)};
}

// T is the format of the result in memory.
template <typename T = float> __device__ inline float activate(float x, int activation) {
  if (activation == GELU) return gelu<T>(x);
  return activation == RELU && x < 0.0f ? 0.0f : x;
}

// d activation(pre); `saved` is the output for ReLU and `pre` for GELU.
template <typename T = float> __device__ inline float differentiate(float d, float saved, int activation) {
  if (activation == GELU) return d * gelu_both<T>(saved).derivative;
  return activation == RELU && !(saved > 0.0f) ? 0.0f : d;
}

template <typename T> __device__ inline Activated activate_both(float x, int activation) {
  if (activation == GELU) return gelu_both<T>(x);
  return {activate<T>(x, activation), differentiate<T>(1.0f, x, activation)};
}
