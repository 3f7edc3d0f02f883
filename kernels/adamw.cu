// Adam and AdamW over all parameters at once (equations: src/optim/adamw.rs).
//
// A block has one piece of one parameter: up to 4096 numbers, four for each thread at a time. Parameters and
// moments are f32; the copy in bf16 that products read is written on the way. 28 bytes a number are moved, 30
// with the copy. Limits: pieces begin at multiples of 16 bytes (8 in the copy), up to 2^31 pieces.

#include "common/update.cuh"
#include "common/vector.cuh"

constexpr int THREADS = 256;

// Where a piece lies, in numbers: in the parameters and their copy, in gradients and moments.
struct Piece {
  unsigned long long parameter, gradient;
  int count;
  int rate; // which parameter's
};

// Grid: a block of 256 threads for each piece.
extern "C" __global__ __launch_bounds__(THREADS) void
adamw_forward_f32(float *parameters, bf16 *copy, const float *gradients, float *first_moments,
                  float *second_moments, const Piece *pieces, const UpdateHeader *header,
                  const ParameterRate *rates, const Verdict *verdict) {
  const float scale = verdict->scale;
  if (scale == LEFT_OUT) return;
  const UpdateHeader h = *header;
  const Piece piece = pieces[blockIdx.x];
  const ParameterRate rate = rates[piece.rate];
#pragma unroll 2
  for (int at = threadIdx.x * FOUR; at < piece.count; at += THREADS * FOUR) {
    const int count = min(piece.count - at, FOUR);
    const bool whole = count == FOUR;
    const size_t own = piece.parameter + at, of_gradient = piece.gradient + at;
    float w[FOUR], g[FOUR], m[FOUR], v[FOUR];
    load_four(parameters + own, count, whole, w);
    load_four(gradients + of_gradient, count, whole, g);
    load_four(first_moments + of_gradient, count, whole, m);
    load_four(second_moments + of_gradient, count, whole, v);
#pragma unroll
    for (int i = 0; i < FOUR; ++i) {
      const float gradient = scale * g[i] + rate.coupled_decay * w[i];
      m[i] = h.beta1 * m[i] + h.rest1 * gradient;
      v[i] = h.beta2 * v[i] + h.rest2 * (gradient * gradient);
      const float direction = m[i] / (sqrtf(v[i] * h.correction2) + h.eps);
      w[i] = rate.keep * w[i] - rate.step_size * direction;
    }
    put_four(parameters + own, count, whole, w, false);
    put_four(first_moments + of_gradient, count, whole, m, false);
    put_four(second_moments + of_gradient, count, whole, v, false);
    if (copy != nullptr) put_four(copy + own, count, whole, w, false);
  }
}
