// Products of tiles of 16 rows from shared memory, by one warp: on tensor cores in bf16, by plain
// multiplications in f32. Sums lie in registers as multiply_add (common/mma.cuh) leaves them in both.
#pragma once

#include "biases.cuh"

// Accesses to shared memory by its own addresses of 32 bits, which a kernel has registers for.
__device__ inline void load_pair(int (&to)[2], unsigned at) {
  asm volatile("ld.shared.v2.s32 {%0, %1}, [%2];" : "=r"(to[0]), "=r"(to[1]) : "r"(at) : "memory");
}
__device__ inline void load_pair(float (&to)[2], unsigned at) {
  asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];" : "=f"(to[0]), "=f"(to[1]) : "r"(at) : "memory");
}
__device__ inline float load_number(unsigned at) {
  float value;
  asm volatile("ld.shared.f32 %0, [%1];" : "=f"(value) : "r"(at) : "memory");
  return value;
}
__device__ inline void store_word(unsigned at, unsigned word) {
  asm volatile("st.shared.b32 [%0], %1;" ::"r"(at), "r"(word) : "memory");
}

// A pair of neighbouring numbers, rounded to T, into shared memory.
template <typename T> __device__ inline void store_pair(unsigned at, float first, float second) {
  if constexpr (sizeof(T) == 2)
    store_word(at, pack_pair(first, second));
  else
    asm volatile("st.shared.v2.f32 [%0], {%1, %2};" ::"r"(at), "f"(first), "f"(second) : "memory");
}

// Tiles begin at multiples of 8 rows, by which the permutation of chunks repeats.

// Sums of a 16 x 16 tile: lane 4 g + t has of columns 8 j + 2 t and the next rows g (numbers 0 and 1 of [j])
// and g + 8 (numbers 2 and 3).
using Tile = float[2][4];

// 16 rows as the first operand of a product over their numbers.
template <typename T, int D> struct Operand;

template <int D> struct Operand<bf16, D> {
  unsigned words[D / 16][4];

  __device__ void hold(unsigned rows, int row, int lane) {
#pragma unroll
    for (int k = 0; k < D / 16; ++k)
      load_matrices<false>(words[k], Rows<bf16, D>::matrices(rows, row, lane % 16, lane / 16, k));
  }
};

// f32 would fill too many registers: it stays where it is.
template <int D> struct Operand<float, D> {
  unsigned first;

  __device__ void hold(unsigned rows, int row, int) { first = rows + row * Rows<float, D>::BYTES; }
};

// sums[n] += first[n] * transpose of the 16 rows of `second` from `row` on.
template <int D, int N>
__device__ inline void multiply(Tile *sums, const Operand<bf16, D> *first, unsigned second, int row, int lane) {
#pragma unroll
  for (int k = 0; k < D / 16; ++k) {
    unsigned b[4];
    load_matrices<false>(b, Rows<bf16, D>::matrices(second, row, lane / 16 * 8 + lane % 8, lane / 8 % 2, k));
#pragma unroll
    for (int n = 0; n < N; ++n) {
      multiply_add(sums[n][0], first[n].words[k], b[0], b[1]);
      multiply_add(sums[n][1], first[n].words[k], b[2], b[3]);
    }
  }
}

template <int D, int N>
__device__ inline void multiply(Tile *sums, const Operand<float, D> *first, unsigned second, int row,
                                int lane) {
  using Place = Rows<float, D>;
  const int g = lane / 4, t = lane % 4;
#pragma unroll 1
  for (int chunk = 0; chunk < Place::CHUNKS; ++chunk) {
    float b[4][FOUR];
#pragma unroll
    for (int i = 0; i < 4; ++i)
      load_shared(b[i], second + row * Place::BYTES + Place::chunk(i / 2 * 8 + 2 * t + i % 2, chunk));
#pragma unroll
    for (int n = 0; n < N; ++n)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float a[FOUR];
        load_shared(a, first[n].first + Place::chunk(g + half * 8, chunk));
#pragma unroll
        for (int i = 0; i < 4; ++i)
#pragma unroll
          for (int k = 0; k < FOUR; ++k) sums[n][i / 2][half * 2 + i % 2] += a[k] * b[i][k];
      }
  }
}

// A 16 x 16 tile as the first operand of the next product. In shared memory it has lines of `pitch` bytes,
// and `at` is where this lane's first pair belongs.
template <typename T> struct Factor;

template <> struct Factor<bf16> {
  unsigned words[4]; // pairs, columns by rows

  __device__ void set(const Tile &tile) {
#pragma unroll
    for (int i = 0; i < 4; ++i) words[i] = pack_pair(tile[i / 2][i % 2 * 2], tile[i / 2][i % 2 * 2 + 1]);
  }
  __device__ void store(unsigned at, int pitch) const {
#pragma unroll
    for (int i = 0; i < 4; ++i) store_word(at + i % 2 * 8 * pitch + i / 2 * 16, words[i]);
  }
};

template <> struct Factor<float> {
  Tile tile;

  __device__ void set(const Tile &from) {
#pragma unroll
    for (int i = 0; i < 8; ++i) tile[i / 4][i % 4] = from[i / 4][i % 4];
  }
  __device__ void store(unsigned at, int pitch) const {
#pragma unroll
    for (int i = 0; i < 4; ++i)
      store_pair<float>(at + i % 2 * 8 * pitch + i / 2 * 32, tile[i / 2][i % 2 * 2],
                        tile[i / 2][i % 2 * 2 + 1]);
  }
};

// sums += tile * the 16 rows from `row` on: [n] of the sums is columns 8 n and following.
template <int D, int N>
__device__ inline void multiply_rows(float (*sums)[D / 8][4], const Factor<bf16> *tiles, unsigned rows, int row,
                                     int lane) {
#pragma unroll
  for (int k = 0; k < D / 16; ++k) {
    unsigned b[4];
    load_matrices<true>(b, Rows<bf16, D>::matrices(rows, row, lane % 16, lane / 16, k));
#pragma unroll
    for (int n = 0; n < N; ++n) {
      multiply_add(sums[n][2 * k], tiles[n].words, b[0], b[1]);
      multiply_add(sums[n][2 * k + 1], tiles[n].words, b[2], b[3]);
    }
  }
}

// sums += a column of tiles * one row.
template <int D, int N>
__device__ inline void add_row(float (*sums)[D / 8][4], const float (&upper)[N], const float (&lower)[N],
                               unsigned rows, int row, int lane) {
#pragma unroll
  for (int k = 0; k < D / 8; ++k) {
    float b[2];
    load_pair(b, rows + Rows<float, D>::number(row, 8 * k + lane % 4 * 2));
#pragma unroll
    for (int n = 0; n < N; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) sums[n][k][i] += (i < 2 ? upper[n] : lower[n]) * b[i % 2];
  }
}

template <int D, int N>
__device__ inline void multiply_rows(float (*sums)[D / 8][4], const Factor<float> *tiles, unsigned rows,
                                     int row, int lane) {
#pragma unroll 1
  for (int pair = 0; pair < 8; ++pair) // of columns: lane pair % 4 of each four has them
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      float upper[N], lower[N];
#pragma unroll
      for (int n = 0; n < N; ++n) {
        const Tile &tile = tiles[n].tile;
        const int holder = lane - lane % 4 + pair % 4;
        upper[n] = __shfl_sync(0xffffffffu, pair < 4 ? tile[0][i] : tile[1][i], holder);
        lower[n] = __shfl_sync(0xffffffffu, pair < 4 ? tile[0][2 + i] : tile[1][2 + i], holder);
      }
      add_row<D, N>(sums, upper, lower, rows, row + pair * 2 + i, lane);
    }
}

// sums += transposes of tiles in shared memory * the 16 rows from `row` on. The first lines of the tiles are
// at `tiles` and behind each other there.
template <typename T, int D, int N>
__device__ inline void multiply_transposed(float (&sums)[N][D / 8][4], unsigned tiles, int pitch,
                                           unsigned rows, int row, int lane) {
  if constexpr (sizeof(T) == 2) {
    Factor<bf16> factor[N];
#pragma unroll
    for (int n = 0; n < N; ++n)
      load_matrices<true>(factor[n].words,
                          tiles + (lane / 16 * 8 + lane % 8) * pitch + lane / 8 % 2 * 16 + n * 32);
    multiply_rows<D, N>(sums, factor, rows, row, lane);
  } else {
#pragma unroll 1
    for (int i = 0; i < 16; ++i) {
      float upper[N], lower[N];
#pragma unroll
      for (int n = 0; n < N; ++n) {
        upper[n] = load_number(tiles + i * pitch + lane / 4 * 4 + n * 64);
        lower[n] = load_number(tiles + i * pitch + lane / 4 * 4 + n * 64 + 32);
      }
      add_row<D, N>(sums, upper, lower, rows, row + i, lane);
    }
  }
}

// Sums of 16 rows, those of rows g and g + 8 times `upper` and `lower`, to rows in shared memory.
template <typename T, int D>
__device__ inline void store_sums(unsigned rows, int row, const float (&sums)[D / 8][4], float upper,
                                  float lower, int lane) {
  using Place = Rows<T, D>;
  const unsigned at = rows + Place::number(lane / 4, lane % 4 * 2);
#pragma unroll
  for (int k = 0; k < D / 8; ++k) {
    const unsigned of_row = (at ^ (k * 8 * static_cast<int>(sizeof(T)))) + row * Place::BYTES;
    store_pair<T>(of_row, sums[k][0] * upper, sums[k][1] * upper);
    store_pair<T>(of_row + 8 * Place::BYTES, sums[k][2] * lower, sums[k][3] * lower);
  }
}

// Sums of 16 rows, times `factor`, added to those of their places in a map that there are. Not rounded
// before they are added, but not in whole lines either: gradients of q, k and v have one writer where speed
// matters.
template <typename T, int D>
__device__ inline void add_sums(const float (&sums)[D / 8][4], float factor, int row, const Head<T> head,
                                const Shared<int> places, int lane) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int place = places[row + half * 8 + lane / 4];
#pragma unroll
    for (int i = 0; i < D / 4; ++i) {
      const int number = i / 2 * 8 + lane % 4 * 2 + i % 2;
      const float value[1] = {sums[i / 2][half * 2 + i % 2] * factor};
      if (place >= 0 && number < head.numbers) put<T, 1>(head.at(place) + number, value, true);
    }
  }
}
