// Copies rows between places that are aligned differently, to four bytes at least, so that both are gone through in
// whole sectors of 32 bytes: a warp reads 32 words from where a sector begins, as it writes them, and lanes hand on
// to others what lies elsewhere there.
#pragma once

#include "elementwise.cuh"
#include "reduce.cuh"

constexpr int SECTOR_WORDS = 8;
constexpr int RUN = 256;                                           // words that a warp has at once, of a row
constexpr int WINDOWS = (RUN + 2 * SECTOR_WORDS + WARP - 2) / WARP; // that they can lie in

// Sets the numbers of a word, or adds to them.
__device__ inline void put_word(float *at, unsigned word, bool add) {
  const float value[1] = {__uint_as_float(word)};
  put(at, value, add);
}
__device__ inline void put_word(bf16 *at, unsigned word, bool add) {
  unsigned *const both = reinterpret_cast<unsigned *>(at);
  if (add) {
    float values[2], old[2];
    unpack_pair(word, values[0], values[1]), unpack_pair(*both, old[0], old[1]);
    word = pack_pair(old[0] + values[0], old[1] + values[1]);
  }
  *both = word;
}

// Rows of `columns` numbers, so many numbers apart in both places.
template <typename T> struct WordRows {
  static constexpr int NUMBERS = 4 / sizeof(T); // in a word
  const T *from;
  T *to;
  int from_stride, to_stride, rows, columns;
  bool add;

  // Shorter rows would leave lanes without work.
  __device__ bool possible() const {
    return columns % NUMBERS == 0 && columns / NUMBERS >= WARP && aligned<NUMBERS>(from, from_stride) &&
           aligned<NUMBERS>(to, to_stride);
  }

  // Copies what block `block` of `blocks` with ELEMENT_THREADS has of all rows.
  __device__ void copy(unsigned block, unsigned blocks) const {
    constexpr unsigned WARPS = ELEMENT_THREADS / WARP;
    const unsigned words = columns / NUMBERS, runs = (words + RUN - 1) / RUN;
#pragma unroll 1
    for (unsigned run = block * WARPS + threadIdx.x / WARP; run < rows * runs; run += blocks * WARPS) {
      const size_t row = run / runs;
      const unsigned first = run % runs * RUN;
      copy_run(from + row * from_stride + first * NUMBERS, to + row * to_stride + first * NUMBERS,
               min(words - first, RUN));
    }
  }

private:
  static __device__ int word_of_sector(const T *at) {
    return reinterpret_cast<unsigned long long>(at) / 4 % SECTOR_WORDS;
  }

  __device__ void copy_run(const T *source, T *target, int count) const {
    const int lane = threadIdx.x % WARP, read_from = word_of_sector(source), write_from = word_of_sector(target);
    const int further = (write_from - read_from) & (SECTOR_WORDS - 1); // than where they are read
    const int before = read_from + further;                            // lanes ahead of the first word written
    unsigned words[WINDOWS];
#pragma unroll
    for (int w = 0; w < WINDOWS; ++w) {
      const int at = w * WARP + lane - read_from;
      words[w] = at >= 0 && at < count ? load_packed<T, NUMBERS>(source + at * NUMBERS).word : 0;
    }
#pragma unroll
    for (int w = 0; w < WINDOWS; ++w) {
      const unsigned late = w == 0 ? 0 : words[w == 0 ? 0 : w - 1];
      const unsigned word =
          __shfl_sync(0xffffffffu, lane < WARP - further ? words[w] : late, (lane - further) & (WARP - 1));
      const int at = w * WARP + lane - before;
      if (at >= 0 && at < count) put_word(target + at * NUMBERS, word, add);
    }
  }
};
