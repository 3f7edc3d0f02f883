// What is dropped of a matrix [rows, columns]: single numbers, or samples as wholes, as their random words say.
// Nothing is kept between the directions, which draw the same words.
#pragma once

#include "../common/random.cuh"
#include "tiles.cuh"

enum Dropping : int { NOTHING = 0, NUMBERS = 1, SAMPLES = 2 };

// The first seven are arguments of a kernel, which take no registers until they are used.
struct Drop {
  int what;
  int sample_rows; // of a sample
  int least;       // of a kept word's upper 24 bits
  float scale;     // of what is kept
  unsigned long long seed;
  int node;
  const unsigned long long *step; // in memory, so that a recorded launch draws other words each time
  // The rows whose sample was drawn last, and what they are multiplied by.
  int begin = 0, end = 0;
  float drawn = 0.0f;

  __device__ Philox random() const { return node_stream(seed, *step, node); }
  __device__ bool keeps(unsigned word) const { return word >> 8 >= static_cast<unsigned>(least); }

  // Applies it to neighbouring numbers, of which `at` is the first one's number in the matrix.
  template <int WIDTH> __device__ void apply(int row, size_t at, float (&values)[WIDTH]) {
    if (what == SAMPLES) {
      if (row < begin || row >= end) draw(row);
#pragma unroll
      for (int i = 0; i < WIDTH; ++i) values[i] = drawn > 0.0f ? drawn * values[i] : 0.0f;
    } else if (what == NUMBERS) {
      unsigned words[WIDTH];
      any_words(at, words);
#pragma unroll
      for (int i = 0; i < WIDTH; ++i) values[i] = keeps(words[i]) ? scale * values[i] : 0.0f;
    }
  }

  __device__ void draw(int row) {
    const int sample = row / sample_rows;
    begin = sample * sample_rows, end = begin + sample_rows;
    drawn = keeps(random().word(sample)) ? scale : 0.0f;
  }

  // The words from `at` on, which need not begin a group of four.
  template <int WIDTH> __device__ void any_words(size_t at, unsigned (&to)[WIDTH]) const {
    if constexpr (WIDTH == 1) {
      to[0] = random().word(at);
    } else {
      const Philox stream = random();
      unsigned whole[WIDTH + 4] = {};
#pragma unroll
      for (int i = 0; i < WIDTH + 4; i += 4)
        if (i < WIDTH || at % 4 != 0) {
          const uint4 four = stream.block(at / 4 + i / 4);
          whole[i] = four.x, whole[i + 1] = four.y, whole[i + 2] = four.z, whole[i + 3] = four.w;
        }
      if (at & 1)
#pragma unroll
        for (int i = 0; i < WIDTH + 2; ++i) whole[i] = whole[i + 1];
#pragma unroll
      for (int i = 0; i < WIDTH; ++i) to[i] = at & 2 ? whole[i + 2] : whole[i];
    }
  }
};

// Brings an operand of a product whose depth or other index goes along the matrix's rows, and drops what has come
// before others see it.
template <typename Loader> struct DroppedLoader : Loader {
  using T = typename Loader::Number;
  Drop drop;
  int row, column; // of this thread's first number in the first step
  int rows, columns;

  __device__ DroppedLoader(const Loader &loader, const Drop &drop_, int rows_, int columns_, int row_, int column_)
      : Loader(loader), drop(drop_), row(row_ + Loader::line()), column(column_ + Loader::column()), rows(rows_),
        columns(columns_) {}

  template <typename Step> __device__ void arrived(Step *to, int step) {
    const int depth = step * DEPTH_STEP<T>;
    const int first = row + (Loader::BY_DEPTH ? 0 : depth), at = column + (Loader::BY_DEPTH ? depth : 0);
#pragma unroll Loader::WIDTH // single numbers one by one, which spares registers
    for (int l = 0; l < Loader::LINES; l += Loader::BETWEEN) {
      if (first + l >= rows || at >= columns) continue;
      T *const chunk = Loader::chunk(to, l);
      float values[Loader::WIDTH];
      load<T, Loader::WIDTH>(chunk, values);
      drop.apply(first + l, static_cast<size_t>(first + l) * columns + at, values);
      store(chunk, values);
    }
  }
};
