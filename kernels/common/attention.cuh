// Attention of one head of one image: its rows in memory, tiles of them in shared memory, which keys count,
// and the way of results out.
//
// All blocks have four warps. A line of a tile has 128 bytes, 64 numbers of bf16 or 32 of f32, in chunks of
// 16 bytes that are permuted so that neither copies nor what reads eight lines at once meet in a bank.
// Limits: none on sizes; rows whose chunks are not aligned are loaded number by number.
#pragma once

#include "mma.cuh"
#include "reduce.cuh"
#include "vector.cuh"

constexpr int ATTENTION_WARPS = 4;
constexpr int ATTENTION_THREADS = ATTENTION_WARPS * WARP;
constexpr int LINE_BYTES = 128;
constexpr int CHUNK_BYTES = 16;
constexpr int LINE_CHUNKS = LINE_BYTES / CHUNK_BYTES;
template <typename T> constexpr int LINE = LINE_BYTES / sizeof(T);

// A head's part of rows that may be wider.
template <typename T> struct HeadRows {
  T *data;
  int stride, rows, columns;
  bool whole; // every chunk is there and aligned

  __device__ HeadRows(T *data_, int stride_, int rows_, int columns_)
      : data(data_), stride(stride_), rows(rows_), columns(columns_),
        whole(columns_ % WIDEST<T> == 0 && aligned<WIDEST<T>>(data_, stride_)) {}

  __device__ T *at(int row, int column) const { return data + static_cast<size_t>(row) * stride + column; }
};

// One of two tensors of the same shape: not a reference, which would put both into local memory.
template <typename T>
__device__ inline HeadRows<T> either(bool which, const HeadRows<T> &first, const HeadRows<T> &second) {
  HeadRows<T> rows = second;
  if (which) rows.data = first.data, rows.stride = first.stride, rows.whole = first.whole;
  return rows;
}

// What forward and backward read.
template <typename T> struct Attention {
  HeadRows<const T> q, k, v;
  const int *mask; // of the image's keys, 0 for what is left out; null if there is none
  int group;       // counts images and heads
  float scale;     // of q k^T
};

// What backward reads besides the inputs, for one head.
template <typename T> struct Saved {
  HeadRows<const T> dout;
  const float *lse;
};

// Where a chunk lies in a tile, in bytes. Tensor cores read eight successive lines, f32 every fourth.
template <typename T> __device__ inline int in_tile(int line, int chunk) {
  const int turn = sizeof(T) == 2 ? line % LINE_CHUNKS : line / FOUR % LINE_CHUNKS;
  return line * LINE_BYTES + (chunk ^ turn) * CHUNK_BYTES;
}

// The same as load_tile, number by number.
template <int LINES, typename T>
__device__ inline void load_tile_unaligned(char *tile, const HeadRows<const T> &from, int row, int column) {
#pragma unroll 1
  for (int i = threadIdx.x; i < LINES * LINE<T>; i += ATTENTION_THREADS) {
    const int line = i / LINE<T>, at = i % LINE<T>;
    float value[1] = {0.0f};
    if (row + line < from.rows && column + at < from.columns)
      load<T, 1>(from.at(row + line, column + at), value);
    store(reinterpret_cast<T *>(tile + in_tile<T>(line, at / WIDEST<T>)) + at % WIDEST<T>, value);
  }
}

// Brings LINES rows from `row` on, and a line's columns from `column` on, into a tile; zeros where there are
// none. To be waited for as copies are, and with a barrier.
template <int LINES, typename T>
__device__ inline void load_tile(char *tile, const HeadRows<const T> &from, int row, int column) {
  if (!from.whole) return load_tile_unaligned<LINES>(tile, from, row, column);
  constexpr int AT_ONCE = ATTENTION_THREADS / LINE_CHUNKS;
  const int line = threadIdx.x / LINE_CHUNKS, chunk = threadIdx.x % LINE_CHUNKS;
  const int first = column + chunk * WIDEST<T>;
  const int end = first < from.columns ? from.rows - row - line : 0; // lines that are there for this thread
  const T *place = from.at(row + line, first);
#pragma unroll
  for (int i = 0; i < LINES; i += AT_ONCE) {
    copy_async<CHUNK_BYTES>(shared_address(tile + in_tile<T>(line + i, chunk)), i < end ? place : from.data,
                            i < end);
    place += static_cast<size_t>(AT_ONCE) * from.stride;
  }
}

// Bit l says whether key `first` + l counts.
__device__ inline unsigned counting_keys(const int *mask, int keys, int first) {
  const int key = first + threadIdx.x % WARP;
  return __ballot_sync(0xffffffffu, key < keys && (mask == nullptr || mask[key] != 0));
}

// How many keys there are up to the last that counts: what is left out at the end costs nothing.
__device__ inline int keys_to_the_last(const int *mask, int keys) {
  if (mask == nullptr) return keys;
#pragma unroll 1
  for (int first = (keys - 1) / WARP * WARP; first >= 0; first -= WARP) {
    const unsigned counting = counting_keys(mask, keys, first);
    if (counting != 0) return first + WARP - __clz(counting);
  }
  return 0;
}

// 2^x, below 2^-126 as 0: the one instruction, where exp2f takes four.
constexpr float LOG2_E = 1.4426950408889634f;
__device__ inline float power_of_two(float x) {
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
  return power;
}

// Sum and largest over LANES neighbouring lanes, which share a row; the same bits in each of them.
template <int LANES> __device__ inline float row_sum(float value) {
#pragma unroll
  for (int distance = 1; distance < LANES; distance *= 2)
    value += __shfl_xor_sync(0xffffffffu, value, distance);
  return value;
}
template <int LANES> __device__ inline float row_largest(float value) {
#pragma unroll
  for (int distance = 1; distance < LANES; distance *= 2)
    value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, distance));
  return value;
}

// Stores to shared memory that nvcc may not take apart, which would make them meet in a bank.
__device__ inline void store_shared(float *at, const float (&values)[2]) {
  asm volatile("st.shared.v2.f32 [%0], {%1, %2};" ::"r"(shared_address(at)), "f"(values[0]), "f"(values[1])
               : "memory");
}
__device__ inline void store_shared(float *at, const float (&values)[4]) {
  asm volatile("st.shared.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(shared_address(at)), "f"(values[0]),
               "f"(values[1]), "f"(values[2]), "f"(values[3])
               : "memory");
}

// Results lie in shared memory for a moment, as f32 in lines of WIDTH, so that whole rows go to memory. Columns
// are permuted so that neither what comes from tensor cores nor chunks of any size meet in a bank.
template <int WIDTH> __device__ inline int in_stage(int line, int column) {
  return line * WIDTH + (column ^ (line % 4 * 8) ^ (column / 32 * 4));
}

// Four or eight neighbouring numbers.
template <int WIDTH, int N>
__device__ inline void load_staged(const float *stage, int line, int column, float (&values)[N]) {
#pragma unroll
  for (int i = 0; i < N; i += FOUR) {
    float four[FOUR];
    load<float, FOUR>(stage + in_stage<WIDTH>(line, column + i), four);
#pragma unroll
    for (int j = 0; j < FOUR; ++j) values[i + j] = four[j];
  }
}

// Sets an aligned chunk. (Of ordinary stores nvcc now and then makes four, if a kernel is large.)
__device__ inline void set_chunk(float *at, const float (&values)[4]) {
  __stcg(reinterpret_cast<float4 *>(at), make_float4(values[0], values[1], values[2], values[3]));
}
__device__ inline void set_chunk(bf16 *at, const float (&values)[8]) {
  __stcg(reinterpret_cast<uint4 *>(at),
         make_uint4(pack_pair(values[0], values[1]), pack_pair(values[2], values[3]),
                    pack_pair(values[4], values[5]), pack_pair(values[6], values[7])));
}

// The same as put_staged, number by number.
template <int LINES, typename T>
__device__ inline void put_unaligned(const float *stage, int thread, int threads, const HeadRows<T> &to,
                                     int row, int column, bool add) {
#pragma unroll 1
  for (int i = thread; i < LINES * LINE<T>; i += threads) {
    const int line = i / LINE<T>, at = i % LINE<T>;
    const float value[1] = {stage[in_stage<LINE<T>>(line, at)]};
    if (row + line < to.rows && column + at < to.columns) put<T, 1>(to.at(row + line, column + at), value, add);
  }
}

// Puts LINES staged lines, each chunk by one of `threads` threads, into rows from `row` and `column` on.
template <int LINES, typename T>
__device__ inline void put_staged(const float *stage, int thread, int threads, const HeadRows<T> &to, int row,
                                  int column, bool add) {
  if (!to.whole) return put_unaligned<LINES>(stage, thread, threads, to, row, column, add);
  const int first = thread % LINE_CHUNKS * WIDEST<T>;
  const int end = column + first < to.columns ? min(to.rows - row, LINES) : 0;
#pragma unroll 2
  for (int line = thread / LINE_CHUNKS; line < end; line += threads / LINE_CHUNKS) {
    T *const at = to.at(row + line, column + first);
    float values[WIDEST<T>];
    load_staged<LINE<T>>(stage, line, first, values);
    if (add) {
      float before[WIDEST<T>];
      load<T, WIDEST<T>>(at, before);
#pragma unroll
      for (int i = 0; i < WIDEST<T>; ++i) values[i] += before[i];
    }
    set_chunk(at, values);
  }
}
