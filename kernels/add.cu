// Sum of two tensors, forward and backward (equations: src/op/add/mod.rs).
//
// A thread has one vector of b, or every 256th number where tensors are not aligned, and goes through the
// samples over which b is repeated: b is read once, and its gradient is summed in registers in the order of the
// samples. Backward reads dout once for both gradients. No shared memory. Limits: none.

#include "common/activation.cuh"
#include "common/elementwise.cuh"

// Samples whose loads are under way together.
constexpr int BATCH = 2;

// How many samples there are of how many numbers.
struct Samples {
  int count;
  size_t period;

  __device__ Samples(int samples, int rows, int columns)
      : count(samples), period(static_cast<size_t>(rows) * columns) {}

  // Whether all samples of a tensor begin where a vector can be moved.
  template <typename T> __device__ bool aligned_in(const T *at) const {
    return aligned<WIDEST<T>>(at, count > 1 ? period % WIDEST<T> : 0);
  }

  // Calls `visit(i, offset)` for the samples from `first` on: the i-th of them begins `offset` numbers later.
  template <typename Visit> __device__ void each_of_batch(int first, Visit visit) const {
#pragma unroll
    for (int i = 0; i < BATCH; ++i)
      if (first + i < count) visit(i, i * period);
  }
};

template <typename T>
__device__ inline void forward(const T *a, const T *b, T *out, const Samples samples, bool relu) {
  const bool whole = samples.aligned_in(a) && samples.aligned_in(b) && samples.aligned_in(out);
  each_element<T>(samples.period, whole, [&](auto width, size_t at) {
    constexpr int WIDTH = decltype(width)::value;
    float second[WIDTH];
    load<T, WIDTH>(b + at, second);
#pragma unroll
    for (int i = 0; i < WIDTH; ++i) second[i] = activate(second[i], relu ? RELU : NONE);
    const T *from = a + at;
    T *to = out + at;
#pragma unroll 1
    for (int first = 0; first < samples.count; first += BATCH) {
      Packed<T, WIDTH> held[BATCH];
      samples.each_of_batch(first, [&](int i, size_t offset) { held[i] = load_packed<T, WIDTH>(from + offset); });
      samples.each_of_batch(first, [&](int i, size_t offset) {
        float sum[WIDTH];
        unpack(held[i], sum);
#pragma unroll
        for (int j = 0; j < WIDTH; ++j) sum[j] += second[j];
        store(to + offset, sum);
      });
      from += BATCH * samples.period, to += BATCH * samples.period;
    }
  });
}

// Either gradient may be null; they may be one, for the sum of a tensor with itself.
template <typename T>
__device__ inline void backward(const T *dout, const T *b, T *da, T *db, const Samples samples, bool relu,
                                bool add_a, bool add_b) {
  const bool whole = samples.aligned_in(dout) && samples.aligned_in(b) && samples.aligned_in(da) &&
                     samples.aligned_in(db);
  each_element<T>(samples.period, whole, [&](auto width, size_t at) {
    constexpr int WIDTH = decltype(width)::value;
    const T *from = dout + at;
    T *to = da + at;
    float sum[WIDTH] = {};
#pragma unroll 1
    for (int first = 0; first < samples.count; first += BATCH) {
      Packed<T, WIDTH> held[BATCH];
      samples.each_of_batch(first, [&](int i, size_t offset) { held[i] = load_packed<T, WIDTH>(from + offset); });
      samples.each_of_batch(first, [&](int i, size_t offset) {
        float d[WIDTH];
        unpack(held[i], d);
        // forward: out = a + b or a + relu(b)
        if (da != nullptr) put(to + offset, d, add_a);
#pragma unroll
        for (int j = 0; j < WIDTH; ++j) sum[j] += d[j];
      });
      from += BATCH * samples.period, to += BATCH * samples.period;
    }
    if (db == nullptr) return;
    if (relu) {
      float second[WIDTH];
      load<T, WIDTH>(b + at, second);
#pragma unroll
      for (int i = 0; i < WIDTH; ++i) sum[i] = differentiate(sum[i], second[i], RELU);
    }
    put(db + at, sum, add_b);
  });
}

// `b` has `rows` x `columns` numbers and is repeated over the samples; `relu` is 1 to apply ReLU to it, else 0.
// Grid: ceil(rows columns / ELEMENT_TILE) blocks of 256 threads.
extern "C" __global__ __launch_bounds__(ELEMENT_THREADS) void
add_forward_f32(const float *a, const float *b, float *out, int samples, int rows, int columns,
                int relu) {
  forward(a, b, out, Samples(samples, rows, columns), relu != 0);
}
extern "C" __global__ __launch_bounds__(ELEMENT_THREADS) void
add_forward_bf16(const bf16 *a, const bf16 *b, bf16 *out, int samples, int rows, int columns,
                 int relu) {
  forward(a, b, out, Samples(samples, rows, columns), relu != 0);
}

// `b` is read for ReLU only. A gradient that is not wanted is null; `add_..` is 1 to add to it, 0 to set it.
// Grid: as forward.
extern "C" __global__ __launch_bounds__(ELEMENT_THREADS) void
add_backward_f32(const float *dout, const float *b, float *da, float *db, int samples, int rows, int columns,
                 int relu, int add_a, int add_b) {
  backward(dout, b, da, db, Samples(samples, rows, columns), relu != 0, add_a != 0, add_b != 0);
}
extern "C" __global__ __launch_bounds__(ELEMENT_THREADS) void
add_backward_bf16(const bf16 *dout, const bf16 *b, bf16 *da, bf16 *db, int samples, int rows, int columns,
                  int relu, int add_a, int add_b) {
  backward(dout, b, da, db, Samples(samples, rows, columns), relu != 0, add_a != 0, add_b != 0);
}
