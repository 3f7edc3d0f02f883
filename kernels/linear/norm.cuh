// Layer norm of a product's operand on its way through shared memory: n = (inp - mean) rstd weight + bias, rounded to
// the operand's precision. A thread changes what it has copied itself, before the barrier after which others
// read it, so that there is no barrier more.
#pragma once

#include "tiles.cuh"

// Numbers of a norm's parameters in shared memory: two vectors of COUNT. For threads that read eight neighbours as
// two vectors, these lie so that no two of them meet in a bank.
template <int COUNT, int WIDTH> struct Channels {
  static __device__ int place(int channel) {
    return WIDTH == 8 ? channel % 8 / 4 * (COUNT / 2) + channel / 8 * 4 + channel % 4 : channel;
  }
  static __device__ void load(const float *from, int channel, float (&to)[WIDTH]) {
    if constexpr (WIDTH == 8) {
      const float4 low = *reinterpret_cast<const float4 *>(from + channel / 2);
      const float4 high = *reinterpret_cast<const float4 *>(from + COUNT / 2 + channel / 2);
      to[0] = low.x, to[1] = low.y, to[2] = low.z, to[3] = low.w;
      to[4] = high.x, to[5] = high.y, to[6] = high.z, to[7] = high.w;
    } else {
      to[0] = from[channel];
    }
  }
};

// Brings an operand [rows, channels] and normalises what has come. What goes along the depth of mean, rstd, weight and
// bias is brought step by step as well, a step ahead of the operand; what does not lies in shared memory beforehand.
template <typename Loader> struct NormalizedLoader : Loader {
  using T = typename Loader::Number;
  static constexpr bool BY_DEPTH = Loader::BY_DEPTH;
  static constexpr int STEP = DEPTH_STEP<T>, STAGES = STEPS_AT_ONCE<T>, WIDTH = Loader::WIDTH;
  static constexpr int OTHERS = BY_DEPTH ? Loader::LINES : Loader::LINE_NUMBERS;
  using OfDepth = Channels<STEP, WIDTH>;
  using OfOthers = Channels<OTHERS, WIDTH>;
  static constexpr int NUMBERS = 2 * OTHERS + STAGES * 2 * STEP; // in shared memory

  float *others, *ring; // [2, OTHERS], [STAGES, 2, STEP]
  const float *from;    // this thread's next number along the depth
  int left;             // of them
  int slot;             // of the ring, for the next
  int there;            // lines from this thread's first on

  // The two vectors along the depth, of which the product's part begins at `begin`; `lines` is how many lines there are
  // from the first of the tile on, or of the part.
  __device__ NormalizedLoader(const Loader &loader, float *memory, const float *along, const float *also_along,
                              int depth, int begin, int lines)
      : Loader(loader), others(memory), ring(memory + 2 * OTHERS), slot(0), there(lines - Loader::line()) {
    const int i = begin + threadIdx.x % STEP;
    from = (threadIdx.x / STEP % 2 == 0 ? along : also_along) + i, left = depth - i;
    if (threadIdx.x < 2 * STEP) *next_place() = left > 0 ? *from : 0.0f;
    advance();
  }

  // Stores what does not go along the depth: channels of the operand from `first` on.
  static __device__ void put_others(float *memory, const float *weight, const float *bias, int first, int channels) {
    static_assert(!BY_DEPTH, "lines are put where they are made");
    for (int i = threadIdx.x; i < OTHERS; i += blockDim.x) {
      const bool there = first + i < channels;
      memory[OfOthers::place(i)] = there ? weight[first + i] : 0.0f;
      memory[OTHERS + OfOthers::place(i)] = there ? bias[first + i] : 0.0f;
    }
  }

  __device__ float *next_place() const {
    const int i = threadIdx.x % STEP;
    return ring + (slot * 2 + threadIdx.x / STEP % 2) * STEP + (BY_DEPTH ? OfDepth::place(i) : i);
  }
  __device__ void advance() {
    from += STEP, left -= STEP;
    slot = slot == STAGES - 1 ? 0 : slot + 1;
  }

  template <typename Step> __device__ void next(Step *to) {
    Loader::next(to);
    if (threadIdx.x < 2 * STEP) copy_async<4>(shared_address(next_place()), from, left > 0);
    advance();
  }

  template <typename Step> __device__ void arrived(Step *to, int step) const {
    const float *const of_step = ring + step % STAGES * 2 * STEP;
    const float *const of_lines = BY_DEPTH ? others : of_step;
    float weight[WIDTH], bias[WIDTH];
    if constexpr (BY_DEPTH) {
      OfDepth::load(of_step, Loader::column(), weight), OfDepth::load(of_step + STEP, Loader::column(), bias);
    } else {
      OfOthers::load(others, Loader::column(), weight), OfOthers::load(others + OTHERS, Loader::column(), bias);
    }
#pragma unroll Loader::WIDTH // single numbers one by one, which spares registers
    for (int l = 0; l < Loader::LINES; l += Loader::BETWEEN) {
      if (l + (BY_DEPTH ? 0 : step * STEP) >= there) continue;
      const float mean = of_lines[Loader::line() + l], rstd = of_lines[Loader::LINES + Loader::line() + l];
      const float shift = -mean * rstd;
      T *const chunk = Loader::chunk(to, l);
      float x[WIDTH];
      load<T, WIDTH>(chunk, x);
#pragma unroll
      for (int i = 0; i < WIDTH; ++i) {
        // Numbers of bf16 are further apart than what the shorter way rounds off.
        const float n = sizeof(T) == 2 ? fmaf(x[i], rstd, shift) : (x[i] - mean) * rstd;
        x[i] = fmaf(n, weight[i], bias[i]);
      }
      store(chunk, x);
    }
  }
};

// The norm of a layer's input: its parameters [channels], and what forward has found of the rows [rows].
struct Norm {
  const float *weight, *bias;
  float *mean, *rstd; // or null if nobody wants them
};

// After a product's operands.
template <typename T, int SIDE> __device__ inline float *norm_memory() {
  return reinterpret_cast<float *>(block_memory() + OPERANDS_BYTES<T, SIDE>);
}
