// Numbers in memory as f32 or bf16, in registers always as f32: loads and stores of up to 128 bits.
#pragma once

#include <cuda_bf16.h>

using bf16 = __nv_bfloat16;

// As many numbers as one access of 128 bits moves.
template <typename T> constexpr int WIDEST = 16 / sizeof(T);

// The machine word that one access of BYTES moves.
template <int BYTES> struct Word;
template <> struct Word<2> { using Type = unsigned short; };
template <> struct Word<4> { using Type = unsigned int; };
template <> struct Word<8> { using Type = uint2; };
template <> struct Word<16> { using Type = uint4; };

// WIDTH numbers as they lie in memory: what a kernel holds where f32 would take twice the registers.
template <typename T, int WIDTH> struct Packed {
  using Whole = typename Word<sizeof(T) * WIDTH>::Type;
  Whole word;
};

template <typename T, int WIDTH> __device__ inline Packed<T, WIDTH> load_packed(const T *at) {
  return {*reinterpret_cast<const typename Packed<T, WIDTH>::Whole *>(at)};
}

__device__ inline void unpack(const Packed<float, 1> &from, float (&to)[1]) {
  to[0] = __uint_as_float(from.word);
}
__device__ inline void unpack(const Packed<float, 4> &from, float (&to)[4]) {
  to[0] = __uint_as_float(from.word.x), to[1] = __uint_as_float(from.word.y);
  to[2] = __uint_as_float(from.word.z), to[3] = __uint_as_float(from.word.w);
}

// bf16 is the upper half of f32, so two of them in a word take one instruction each.
__device__ inline void unpack_pair(unsigned word, float &low, float &high) {
  low = __uint_as_float(word << 16), high = __uint_as_float(word & 0xffff0000u);
}
__device__ inline void unpack(const Packed<bf16, 1> &from, float (&to)[1]) {
  to[0] = __uint_as_float(static_cast<unsigned>(from.word) << 16);
}
__device__ inline void unpack(const Packed<bf16, 4> &from, float (&to)[4]) {
  unpack_pair(from.word.x, to[0], to[1]), unpack_pair(from.word.y, to[2], to[3]);
}
__device__ inline void unpack(const Packed<bf16, 8> &from, float (&to)[8]) {
  unpack_pair(from.word.x, to[0], to[1]), unpack_pair(from.word.y, to[2], to[3]);
  unpack_pair(from.word.z, to[4], to[5]), unpack_pair(from.word.w, to[6], to[7]);
}

// Two f32 rounded to nearest even into one word.
__device__ inline unsigned pack_pair(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const unsigned *>(&pair);
}

__device__ inline void store(float *at, const float (&from)[1]) { *at = from[0]; }
__device__ inline void store(float *at, const float (&from)[4]) {
  *reinterpret_cast<float4 *>(at) = make_float4(from[0], from[1], from[2], from[3]);
}
__device__ inline void store(float *at, const float (&from)[8]) {
  reinterpret_cast<float4 *>(at)[0] = make_float4(from[0], from[1], from[2], from[3]);
  reinterpret_cast<float4 *>(at)[1] = make_float4(from[4], from[5], from[6], from[7]);
}
__device__ inline void store(bf16 *at, const float (&from)[1]) { *at = __float2bfloat16_rn(from[0]); }
__device__ inline void store(bf16 *at, const float (&from)[4]) {
  *reinterpret_cast<uint2 *>(at) =
      make_uint2(pack_pair(from[0], from[1]), pack_pair(from[2], from[3]));
}
__device__ inline void store(bf16 *at, const float (&from)[8]) {
  *reinterpret_cast<uint4 *>(at) =
      make_uint4(pack_pair(from[0], from[1]), pack_pair(from[2], from[3]),
                 pack_pair(from[4], from[5]), pack_pair(from[6], from[7]));
}

// Loads WIDTH numbers; `at` is aligned to WIDTH of them, or to 128 bits where that is less.
template <typename T, int WIDTH> __device__ inline void load(const T *at, float (&to)[WIDTH]) {
  constexpr int STEP = WIDTH < WIDEST<T> ? WIDTH : WIDEST<T>;
#pragma unroll
  for (int i = 0; i < WIDTH; i += STEP) {
    float part[STEP];
    unpack(load_packed<T, STEP>(at + i), part);
#pragma unroll
    for (int j = 0; j < STEP; ++j) to[i + j] = part[j];
  }
}

// Stores a gradient: sets it, or adds to what is there (`add`).
template <typename T, int WIDTH>
__device__ inline void put(T *at, const float (&values)[WIDTH], bool add) {
  float sum[WIDTH];
  if (add) {
    load<T, WIDTH>(at, sum);
#pragma unroll
    for (int i = 0; i < WIDTH; ++i) sum[i] += values[i];
    store(at, sum);
  } else {
    store(at, values);
  }
}

// Whether rows of `stride` numbers from `at` all begin where WIDTH numbers can be moved at once.
template <int WIDTH, typename T> __device__ inline bool aligned(const T *at, int stride) {
  return stride % WIDTH == 0 && reinterpret_cast<unsigned long long>(at) % (sizeof(T) * WIDTH) == 0;
}

// Four neighbouring numbers of a row, of which the last may be beyond its end: `count` of them are there.
// `whole` says that all are, and aligned.
constexpr int FOUR = 4;

// Loads four, with zeros beyond the end.
template <typename T>
__device__ inline void load_four(const T *at, int count, bool whole, float (&to)[FOUR]) {
  if (whole) {
    load<T, FOUR>(at, to);
  } else {
#pragma unroll
    for (int i = 0; i < FOUR; ++i) {
      float value[1] = {0.0f};
      if (i < count) load<T, 1>(at + i, value);
      to[i] = value[0];
    }
  }
}

// Sets the four that are there, or adds to them.
template <typename T>
__device__ inline void put_four(T *at, int count, bool whole, const float (&values)[FOUR], bool add) {
  if (whole) {
    put<T, FOUR>(at, values, add);
  } else {
#pragma unroll
    for (int i = 0; i < FOUR; ++i) {
      const float value[1] = {values[i]};
      if (i < count) put<T, 1>(at + i, value, add);
    }
  }
}
