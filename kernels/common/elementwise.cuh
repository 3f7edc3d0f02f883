// Going through tensors number by number: whole ones, and as rows.
//
// A block of 256 threads has 256 times as many neighbouring numbers as an access of 128 bits moves; a thread has
// one such vector of them, or, where they are not aligned, every 256th number. So the launch need not know which.
// Limit: fewer than 2^31 numbers where rows are gone through.
#pragma once

#include "vector.cuh"

constexpr int ELEMENT_THREADS = 256;
template <typename T> constexpr unsigned ELEMENT_TILE = ELEMENT_THREADS * WIDEST<T>;

// Vectors of a thread where rows are gone through, which takes divisions and often more to be done beforehand.
constexpr int ROWS_VECTORS = 2;
template <typename T> constexpr unsigned ROWS_TILE = ROWS_VECTORS * ELEMENT_TILE<T>;

// How many numbers are moved at once, as an argument whose type says it.
template <int N> struct Width {
  static constexpr int value = N;
};

// Calls `visit(width, at)` for the numbers of this thread: `width` neighbours from `at` on. `whole` says that
// tensors are aligned; a last part that fills no vector is visited number by number.
// Grid: ceil(count / ELEMENT_TILE) blocks of ELEMENT_THREADS.
template <typename T, typename Visit>
__device__ inline void each_element(size_t count, bool whole, Visit visit) {
  constexpr int WIDTH = WIDEST<T>;
  const size_t tile = static_cast<size_t>(blockIdx.x) * ELEMENT_TILE<T>;
  size_t at = tile + threadIdx.x, end = min(tile + ELEMENT_TILE<T>, count);
  int step = ELEMENT_THREADS;
  if (whole) {
    at = tile + threadIdx.x * WIDTH;
    if (at + WIDTH <= count) {
      visit(Width<WIDTH>(), at);
      return;
    }
    step = 1;
  }
#pragma unroll 1
  for (; at < end; at += step) visit(Width<1>(), at);
}

// Calls `visit(width, row, column)` for the numbers of this thread in `rows` rows of `columns`. `whole` says that
// every row is aligned and has no rest; `block` counts the blocks that have a part of these rows, as many as
// `blocks_of_rows` says, of ELEMENT_THREADS.
template <typename T, typename Visit>
__device__ inline void each_in_rows(int rows, int columns, bool whole, unsigned block, Visit visit) {
  constexpr int WIDTH = WIDEST<T>;
  const unsigned count = static_cast<unsigned>(rows) * columns;
  unsigned at = block * (whole ? ROWS_TILE<T> / WIDTH : ROWS_TILE<T>) + threadIdx.x;
  if (whole) {
    const unsigned vectors = columns / WIDTH;
#pragma unroll 1
    for (int i = 0; i < ROWS_VECTORS && at < count / WIDTH; ++i, at += ELEMENT_THREADS)
      visit(Width<WIDTH>(), at / vectors, at % vectors * WIDTH);
  } else {
#pragma unroll 1
    for (int i = 0; i < ROWS_VECTORS * WIDTH && at < count; ++i, at += ELEMENT_THREADS)
      visit(Width<1>(), at / columns, at % columns);
  }
}

template <typename T> __device__ inline unsigned blocks_of_rows(int rows, int columns) {
  return (static_cast<unsigned>(rows) * columns + ROWS_TILE<T> - 1) / ROWS_TILE<T>;
}

template <typename T, int WIDTH> __device__ inline void store_packed(T *at, const Packed<T, WIDTH> &from) {
  *reinterpret_cast<typename Packed<T, WIDTH>::Whole *>(at) = from.word;
}

// Copies WIDTH numbers as they are, or adds them to what is there.
template <typename T, int WIDTH> __device__ inline void copy(const T *from, T *to, bool add) {
  if (add) {
    float values[WIDTH];
    load<T, WIDTH>(from, values);
    put(to, values, true);
  } else {
    store_packed(to, load_packed<T, WIDTH>(from));
  }
}
