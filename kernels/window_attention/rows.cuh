// Rows of one head in shared memory: how they lie there, come from maps and go to them.
#pragma once

#include "../common/mma.cuh"
#include "../common/vector.cuh"
#include "windows.cuh"

// The number of this lane, as something that the compiler does not know to be the same elsewhere: what a
// part of a kernel derives from it is worked out again there, and takes no registers of other parts.
__device__ inline int of_lane() {
  int lane;
  asm volatile("mov.u32 %0, %%laneid;" : "=r"(lane));
  return lane;
}

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
  int stride, numbers;
  bool whole; // chunks of 16 bytes can be moved at once

  static __device__ Head of(T *map, const Map &sizes, int parts, int part) {
    const int channels = sizes.heads * sizes.head_dim;
    return {map + part * channels + sizes.head() * sizes.head_dim, parts * channels, sizes.head_dim,
            aligned<WIDEST<T>>(map, sizes.head_dim)};
  }
  __device__ T *at(int place, int number) const {
    return first + static_cast<size_t>(place) * stride + number;
  }
};

// What becomes of a head's numbers in shared memory: rows as `places` says. Padding is zero where `padding`
// is null.
template <typename T> struct Wanted {
  Head<const T> head;
  const T *padding;
  char *rows;

  __device__ unsigned address() const { return shared_address(rows); }
  // Where the numbers of a row from `number` on are, null if they are zeros.
  __device__ const T *source(int place, int number) const {
    const T *const other = place == PADDING && padding != nullptr ? padding + number : nullptr;
    return number >= head.numbers ? nullptr : place >= 0 ? head.at(place, number) : other;
  }
};

template <typename T, int D, int N>
__device__ inline void bring_rows(const Wanted<T> (&from)[N], const int *places, int rows) {
  using Place = Rows<T, D>;
  Wanted<T> wanted[N];
#pragma unroll
  for (int n = 0; n < N; ++n) wanted[n] = from[n];
  bool whole = true;
#pragma unroll
  for (int n = 0; n < N; ++n) whole &= wanted[n].head.whole;
  if (whole) {
#pragma unroll 1
    for (int i = threadIdx.x; i < rows * Place::CHUNKS; i += blockDim.x) {
      const int row = i / Place::CHUNKS, chunk = i % Place::CHUNKS, place = places[row];
      const unsigned to = Place::chunk(row, chunk);
#pragma unroll
      for (int n = 0; n < N; ++n) {
        const T *const source = wanted[n].source(place, chunk * Place::CHUNK);
        copy_async<16>(wanted[n].address() + to, source == nullptr ? wanted[n].head.first : source,
                       source != nullptr);
      }
    }
    return;
  }
#pragma unroll 1
  for (int i = threadIdx.x; i < rows * D; i += blockDim.x) {
    const int row = i / D, number = i % D, place = places[row];
#pragma unroll
    for (int n = 0; n < N; ++n) {
      const T *const source = wanted[n].source(place, number);
      *reinterpret_cast<T *>(wanted[n].rows + Place::number(row, number)) =
          source == nullptr ? T(0.0f) : *source;
    }
  }
}

// 16 bytes at once: of an assignment nvcc makes four stores now and then.
__device__ inline void store_chunk(void *to, uint4 chunk) {
  asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(to), "r"(chunk.x), "r"(chunk.y),
               "r"(chunk.z), "r"(chunk.w)
               : "memory");
}

// Writes those of 16 rows from `row` on that are positions into a map. For one warp.
template <typename T, int D>
__device__ inline void put_rows(const char *rows, int row, const Head<T> head, const int *places, int lane) {
  using Place = Rows<T, D>;
  constexpr int CHUNK = Place::CHUNK;
#pragma unroll
  for (int i = lane; i < 16 * Place::CHUNKS; i += WARP) {
    const int r = row + i / Place::CHUNKS, place = places[r], number = i % Place::CHUNKS * CHUNK;
    const int count = min(head.numbers - number, CHUNK);
    if (place < 0 || count <= 0) continue;
    const char *const from = rows + Place::number(r, number);
    T *const to = head.at(place, number);
    if (head.whole) {
      store_chunk(to, *reinterpret_cast<const uint4 *>(from));
    } else {
#pragma unroll 1
      for (int j = 0; j < count; ++j) to[j] = reinterpret_cast<const T *>(from)[j];
    }
  }
}
