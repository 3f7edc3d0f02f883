// Rows of one head in shared memory: how they lie there, come from maps and go to them.
#pragma once

#include "../common/mma.cuh"
#include "../common/vector.cuh"
#include "windows.cuh"

// The numbers of this lane and of this thread, as something that the compiler does not know to be the same
// elsewhere: what a part of a kernel derives from them is worked out again there, and takes no registers of
// other parts.
__device__ inline int of_lane() {
  int lane;
  asm volatile("mov.u32 %0, %%laneid;" : "=r"(lane));
  return lane & 31; // for the compiler: not negative
}
__device__ inline int of_thread() {
  int thread;
  asm volatile("mov.u32 %0, %%tid.x;" : "=r"(thread));
  return thread & 1023;
}

// A number of the launch, in the same way.
__device__ inline int again(int number) {
  int same;
  asm volatile("mov.u32 %0, %1;" : "=r"(same) : "r"(number));
  return same;
}

// A block's shared memory. Rows begin at multiples of their size, so that chunks are permuted by exclusive
// or.
extern __shared__ __align__(256) char block_memory[];

// Numbers in a block's shared memory, so many bytes from its beginning.
template <typename T> struct Shared {
  unsigned at;

  __device__ T &operator[](int i) const { return reinterpret_cast<T *>(block_memory + at)[i]; }
  __device__ unsigned address() const { return shared_address(block_memory) + at; }
};

// Takes a block's shared memory piece by piece. Sizes are rounded to 16 bytes, in
// src/op/window_attention/cuda.rs too.
struct Pieces {
  unsigned at = 0;

  template <typename T> __device__ Shared<T> take(int count) {
    const Shared<T> taken = {at};
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
  // Where ldmatrix finds chunk 2 k + `odd` of row `row` + `lane_row` of the rows at `rows`; `row` is a multiple
  // of 8. What is the same for all k and rows is worked out once.
  static __device__ unsigned matrices(unsigned rows, int row, int lane_row, int odd, int k) {
    return ((rows + chunk(lane_row, odd)) ^ (k * 32)) + row * BYTES;
  }
  static __device__ int number(int row, int column) {
    return chunk(row, column / CHUNK) + column % CHUNK * static_cast<int>(sizeof(T));
  }
};

template <typename T, typename U> struct SameConst { using Type = U; };
template <typename T, typename U> struct SameConst<const T, U> { using Type = const U; };

// One head's numbers in a map [B, H, W, parts, heads, head_dim].
template <typename T> struct Head {
  T *first;  // of the map's first position
  int bytes; // of a position
  int numbers;
  bool whole; // chunks of 16 bytes can be moved at once

  static __device__ Head of(T *map, const Map &sizes, int head, int parts, int part) {
    const int head_dim = again(sizes.head_dim), channels = sizes.heads * head_dim;
    return {map + part * channels + head * head_dim, parts * channels * static_cast<int>(sizeof(T)), head_dim,
            aligned<WIDEST<T>>(map, head_dim)};
  }
  // That of another part: `channels` numbers lie between one and the next.
  __device__ Head part(int part, int channels) const { return {first + part * channels, bytes, numbers, whole}; }
  __device__ T *at(int place) const {
    using Byte = typename SameConst<T, char>::Type;
    return reinterpret_cast<T *>(reinterpret_cast<Byte *>(first) + static_cast<long long>(place) * bytes);
  }
};

// What of a map becomes rows in shared memory: as the positions are, or as queries are numbered. What is
// padded has the numbers of `padding`, or zeros where that is null.
template <typename T> struct Source {
  Head<const T> head;
  const T *padding;
  bool of_queries;
  Shared<T> to;

  __device__ bool has(int place) const { return place >= (padding == nullptr ? 0 : PADDING); }
  // Something that can be read also if it has nothing.
  __device__ const T *at(int place) const {
    const T *const on_map = head.at(max(place, 0));
    return padding == nullptr || place >= 0 ? on_map : padding;
  }
};

template <typename T, int D, int N>
__device__ inline void bring_rows(const Source<T> (&from)[N], const Rectangle r, int map_width) {
  using Place = Rows<T, D>;
  const int rows = r.key_tiles() * 16, numbers = from[0].head.numbers;
  bool whole = true;
#pragma unroll
  for (int n = 0; n < N; ++n) whole &= from[n].head.whole;
  if (whole) {
    const int thread = of_thread(), chunk = thread % Place::CHUNKS;
    const bool there = chunk * Place::CHUNK < numbers;
    const int number = there ? chunk * Place::CHUNK : 0;
#pragma unroll 1
    for (int row = thread / Place::CHUNKS; row < rows; row += blockDim.x / Place::CHUNKS) {
      const int of_key = r.place(row, map_width), of_query = r.place(r.position(row), map_width);
#pragma unroll
      for (int n = 0; n < N; ++n) {
        const int place = from[n].of_queries ? of_query : of_key;
        copy_async<16>(from[n].to.address() + Place::chunk(row, chunk), from[n].at(place) + number,
                       there & from[n].has(place));
      }
    }
    return;
  }
#pragma unroll 1
  for (int i = of_thread(); i < rows * D; i += blockDim.x) {
    const int row = i / D, number = i % D;
    const int of_key = r.place(row, map_width), of_query = r.place(r.position(row), map_width);
#pragma unroll
    for (int n = 0; n < N; ++n) {
      const int place = from[n].of_queries ? of_query : of_key;
      T value = T(0.0f);
      if (number < numbers && from[n].has(place)) value = from[n].at(place)[number];
      from[n].to[Place::number(row, number) / static_cast<int>(sizeof(T))] = value;
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
__device__ inline void put_rows(const Shared<T> rows, int row, const Head<T> head, const Shared<int> places,
                                int lane) {
  using Place = Rows<T, D>;
  if (head.whole) {
#pragma unroll
    for (int i = lane; i < 16 * Place::CHUNKS; i += WARP) {
      const int r = row + i / Place::CHUNKS, chunk = i % Place::CHUNKS, place = places[r];
      if (place < 0 || chunk * Place::CHUNK >= head.numbers) continue;
      store_chunk(head.at(place) + chunk * Place::CHUNK, Shared<uint4>{rows.at + Place::chunk(r, chunk)}[0]);
    }
    return;
  }
#pragma unroll 1
  for (int i = lane; i < 16 * D; i += WARP) {
    const int r = row + i / D, number = i % D, place = places[r];
    if (place >= 0 && number < head.numbers)
      head.at(place)[number] = Shared<T>{rows.at + Place::number(r, number)}[0];
  }
}
