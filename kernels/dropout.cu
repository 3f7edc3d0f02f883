// Dropout of elements or of whole samples, forward and backward, which is the same of dout (src/op/dropout/mod.rs).
//
// A thread has one vector (two where samples are dropped), or every 256th number where tensors are not aligned,
// and draws the random words for it: nothing is kept between the directions. What is dropped with its whole sample
// is not read. No shared memory. Limit: fewer than 2^31 numbers where samples are dropped.

#include "common/elementwise.cuh"
#include "common/random.cuh"

// Which words keep a number, and what it is multiplied by then.
struct Rate {
  unsigned least; // of the upper 24 bits
  float scale;

  __device__ bool keeps(unsigned word) const { return word >> 8 >= least; }
};

// Number i of `inp` is kept as word i of the stream says.
template <typename T>
__device__ inline void drop_elements(const T *inp, T *out, size_t count, const Rate rate, const Philox random,
                                     bool add) {
  const bool whole = aligned<WIDEST<T>>(inp, 0) && aligned<WIDEST<T>>(out, 0);
  each_element<T>(count, whole, [&](auto width, size_t at) {
    constexpr int WIDTH = decltype(width)::value;
    unsigned words[WIDTH];
    float values[WIDTH];
    load<T, WIDTH>(inp + at, values);
    random.words(at, words);
#pragma unroll
    for (int i = 0; i < WIDTH; ++i) values[i] = rate.keeps(words[i]) ? rate.scale * values[i] : 0.0f;
    put(out + at, values, add);
  });
}

// Row i of `inp` is kept as word i of the stream says.
template <typename T>
__device__ inline void drop_samples(const T *inp, T *out, int samples, int len, const Rate rate,
                                    const Philox random, bool add) {
  const bool whole = aligned<WIDEST<T>>(inp, len) && aligned<WIDEST<T>>(out, len);
  each_in_rows<T>(samples, len, whole, blockIdx.x, [&](auto width, unsigned sample, unsigned column) {
    constexpr int WIDTH = decltype(width)::value;
    const size_t at = static_cast<size_t>(sample) * len + column;
    float values[WIDTH] = {};
    if (rate.keeps(random.word(sample))) {
      load<T, WIDTH>(inp + at, values);
#pragma unroll
      for (int i = 0; i < WIDTH; ++i) values[i] *= rate.scale;
    } else if (add) {
      return;
    }
    put(out + at, values, add);
  });
}

template <typename T>
__device__ inline void drop(const T *inp, T *out, int samples, int len, bool per_sample, const Rate rate,
                            const Philox random, bool add) {
  if (per_sample)
    drop_samples(inp, out, samples, len, rate, random, add);
  else
    drop_elements(inp, out, static_cast<size_t>(samples) * len, rate, random, add);
}

// Numbers, or samples if `per_sample` is 1, are kept if the upper 24 bits of their word are at least `least`.
// `step` lies in memory, so that a recorded launch draws other numbers each time. Grid: blocks of 256 threads, ceil(samples len / ELEMENT_TILE),
// or ceil(samples len / ROWS_TILE) per sample.
extern "C" __global__ __launch_bounds__(ELEMENT_THREADS) void
dropout_forward_f32(const float *inp, float *out, int samples, int len, int per_sample, int least, float scale,
                    unsigned long long seed, int node, const unsigned long long *step) {
  drop(inp, out, samples, len, per_sample != 0, {static_cast<unsigned>(least), scale},
       node_stream(seed, *step, node), false);
}
extern "C" __global__ __launch_bounds__(ELEMENT_THREADS) void
dropout_forward_bf16(const bf16 *inp, bf16 *out, int samples, int len, int per_sample, int least, float scale,
                     unsigned long long seed, int node, const unsigned long long *step) {
  drop(inp, out, samples, len, per_sample != 0, {static_cast<unsigned>(least), scale},
       node_stream(seed, *step, node), false);
}

// `add` is 1 to add to `dinp`, 0 to set it. Grid: as forward.
extern "C" __global__ __launch_bounds__(ELEMENT_THREADS) void
dropout_backward_f32(const float *dout, float *dinp, int samples, int len, int per_sample, int least, float scale,
                     unsigned long long seed, int node, const unsigned long long *step, int add) {
  drop(dout, dinp, samples, len, per_sample != 0, {static_cast<unsigned>(least), scale},
       node_stream(seed, *step, node), add != 0);
}
extern "C" __global__ __launch_bounds__(ELEMENT_THREADS) void
dropout_backward_bf16(const bf16 *dout, bf16 *dinp, int samples, int len, int per_sample, int least, float scale,
                      unsigned long long seed, int node, const unsigned long long *step, int add) {
  drop(dout, dinp, samples, len, per_sample != 0, {static_cast<unsigned>(least), scale},
       node_stream(seed, *step, node), add != 0);
}
