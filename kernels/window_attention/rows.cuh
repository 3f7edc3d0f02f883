// Rows of one head in shared memory: how they lie there, come from maps and go to them.
#pragma once

#include "../common/mma.cuh"
#include "../common/reduce.cuh"
#include "../common/vector.cuh"
#include "windows.cuh"

// Memory of a block, piece by piece. Sizes are rounded to 16 bytes, in src/op/window_attention/cuda.rs too.
struct SharedMemory {
  char *at;

  template <typename T> __device__ T *take(int count) {
    T *const taken = reinterpret_cast<T *>(at);
    at += (count * static_cast<int>(sizeof(T)) + 15) / 16 * 16;
    return taken;
  }
};

// Rows of D numbers in chunks of 16 bytes, permuted so that eight rows of one chunk, which ldmatrix reads at
// once, fall into different banks.
template <typename T, int D> struct Rows {
  static constexpr int CHUNK = WIDEST<T>;
  static constexpr int CHUNKS = D / CHUNK;
  static constexpr int BYTES = D * sizeof(T);

  static __device__ int chunk(int row, int chunk) {
    const int turn = CHUNKS >= 8 ? row % 8 : row / (8 / CHUNKS) % CHUNKS;
    return row * BYTES + (chunk ^ turn) * 16;
  }
  static __device__ int number(int row, int column) {
    return chunk(row, column / CHUNK) + column % CHUNK * static_cast<int>(sizeof(T));
  }
};

// One head's numbers in a map [B, H, W, stride].
template <typename T> struct Head {
  T *first; // of the map's first position
  int stride;
  bool whole; // chunks of 16 bytes can be moved at once

  __device__ Head(T *map, int stride_, int column, int head_dim)
      : first(map == nullptr ? nullptr : map + column), stride(stride_),
        whole(aligned<WIDEST<T>>(map, head_dim)) {}
};

// A chunk with the first `count` of its numbers, then zeros.
template <typename T> __device__ inline void bring_chunk(char *to, const T *from, int count, bool whole) {
  constexpr int CHUNK = WIDEST<T>;
  if (whole) {
    copy_async<16>(shared_address(to), from, count > 0);
  } else {
    float values[CHUNK];
#pragma unroll
    for (int i = 0; i < CHUNK; ++i) {
      float value[1] = {0.0f};
      if (i < count) load<T, 1>(from + i, value);
      values[i] = value[0];
    }
    store(reinterpret_cast<T *>(to), values);
  }
}

// What becomes of a head's numbers in shared memory: rows of the positions, then, if `padding` is not null, that
// of the padding, then zeros.
template <typename T> struct Wanted {
  Head<const T> head;
  const T *padding;
  char *rows;
};

template <typename T, int D, int N>
__device__ inline void bring_rows(const Wanted<T> (&wanted)[N], const Rectangle &rectangle, int rows,
                                  int head_dim) {
  using Place = Rows<T, D>;
#pragma unroll 2
  for (int i = threadIdx.x; i < rows * Place::CHUNKS; i += blockDim.x) {
    const int row = i / Place::CHUNKS, chunk = i % Place::CHUNKS;
    const int count = min(max(head_dim - chunk * Place::CHUNK, 0), Place::CHUNK);
    const bool real = row < rectangle.positions, padding = !real && row < rectangle.keys();
    const size_t place = real ? rectangle.place(row) : 0;
#pragma unroll
    for (int n = 0; n < N; ++n) {
      const Wanted<T> &w = wanted[n];
      const bool there = real || (padding && w.padding != nullptr);
      const T *const from = (real || !there ? w.head.first + place * w.head.stride : w.padding) +
                            (count > 0 ? chunk * Place::CHUNK : 0);
      bring_chunk(w.rows + Place::chunk(row, chunk), from, there ? count : 0, w.head.whole);
    }
  }
}

// Writes those of 16 rows from `row` on that are positions into a map: sets them, or adds. For one warp.
template <typename T, int D>
__device__ inline void put_rows(const char *rows, int row, const Head<T> &head, const Rectangle &rectangle,
                                int head_dim, bool add) {
  using Place = Rows<T, D>;
  constexpr int CHUNK = Place::CHUNK;
#pragma unroll
  for (int i = threadIdx.x % WARP; i < 16 * Place::CHUNKS; i += WARP) {
    const int r = row + i / Place::CHUNKS, chunk = i % Place::CHUNKS;
    const int count = min(head_dim - chunk * CHUNK, CHUNK);
    if (r >= rectangle.positions || count <= 0) continue;
    const size_t place = rectangle.place(r);
    T *const to = head.first + place * head.stride + chunk * CHUNK;
    float values[CHUNK];
    load<T, CHUNK>(reinterpret_cast<const T *>(rows + Place::chunk(r, chunk)), values);
    if (head.whole) {
      put<T, CHUNK>(to, values, add);
    } else {
#pragma unroll
      for (int j = 0; j < CHUNK; ++j) {
        const float value[1] = {values[j]};
        if (j < count) put<T, 1>(to + j, value, add);
      }
    }
  }
}
