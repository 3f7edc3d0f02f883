// What is dropped of a matrix [rows, columns]: single numbers, or samples as wholes, as their random words say.
// Nothing is kept between the directions, which draw the same words.
#pragma once

#include "../common/random.cuh"
#include "tiles.cuh"

enum Dropping : int { NOTHING = 0, NUMBERS = 1, SAMPLES = 2 };

// As kernels are told.
struct Drop {
  int what;
  int sample_rows; // of a sample
  int least;       // of a kept word's upper 24 bits
  float scale;     // of what is kept
  unsigned long long seed;
  int node;
  const unsigned long long *step; // in memory, so that a recorded launch draws other words each time

  __device__ Philox random() const { return node_stream(seed, *step, node); }
  // What is kept is multiplied by.
  __device__ float factor() const { return what == NOTHING ? 1.0f : scale; }
  __device__ bool keeps(unsigned word) const { return word >> 8 >= static_cast<unsigned>(least); }
};

// The same for a thread that goes through a matrix, and draws a sample's word once.
struct DropCursor : Drop {
  // The rows whose sample was drawn last, and whether it is kept.
  int begin = 0, end = 0;
  bool kept = false;

  __device__ DropCursor(const Drop &drop) : Drop(drop) {}

  // Where samples are dropped.
  __device__ bool keeps_row(int row) {
    if (row < begin || row >= end) {
      const int sample = row / sample_rows;
      begin = sample * sample_rows, end = begin + sample_rows;
      kept = keeps(random().word(sample));
    }
    return kept;
  }

  // Multiplies what is kept of neighbouring numbers, of which `at` is the first one's number in the matrix.
  template <int WIDTH> __device__ void apply(int row, size_t at, float factor, float (&values)[WIDTH]) {
    if (what == SAMPLES) {
      const bool keep = keeps_row(row);
#pragma unroll
      for (int i = 0; i < WIDTH; ++i) values[i] = keep ? factor * values[i] : 0.0f;
    } else if (what == NUMBERS) {
      unsigned words[WIDTH];
      any_words(at, words);
#pragma unroll
      for (int i = 0; i < WIDTH; ++i) values[i] = keeps(words[i]) ? factor * values[i] : 0.0f;
    }
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

// Brings a matrix as an operand of a product without what is dropped: rows of samples are not read, single numbers are
// set to 0 before others see them. What is kept is as it was; the product is to be multiplied by `factor`.
template <typename Loader> struct DroppedLoader : Loader {
  using T = typename Loader::Number;
  static constexpr bool BY_DEPTH = Loader::BY_DEPTH;
  DropCursor drop;
  int rows, columns;
  int row, column; // of this thread's first number: in the first step, but rows along the depth in the next
  unsigned kept;   // where samples are dropped, of those lines a bit for each of this thread's

  // From `row_` and `column_` on.
  __device__ DroppedLoader(const Loader &loader, const Drop &drop_, int rows_, int columns_, int row_, int column_)
      : Loader(loader), drop(drop_), rows(rows_), columns(columns_), row(row_ + Loader::line()),
        column(column_ + Loader::column()) {
    if (drop.what == SAMPLES) find_kept();
  }

  __device__ void find_kept() {
    kept = drop.kept ? ~0u : 0;
    if (row >= drop.begin && row + Loader::LINES <= drop.end) return; // all of the same sample as before
    kept = 0;
#pragma unroll 1
    for (int l = 0; l < Loader::LINES; l += Loader::BETWEEN)
      if (drop.keeps_row(row + l)) kept |= 1u << l / Loader::BETWEEN;
  }

  template <typename Step> __device__ void next(Step *to) {
    if (drop.what != SAMPLES) {
      Loader::next(to);
    } else {
      Loader::next_if(to, [&](int l) { return (kept >> l / Loader::BETWEEN & 1) != 0; });
      if (!BY_DEPTH) row += DEPTH_STEP<T>, find_kept();
    }
  }

  template <typename Step> __device__ void arrived(Step *to, int step) {
    if (drop.what != NUMBERS) return;
    const int depth = step * DEPTH_STEP<T>;
    const int first = row + (BY_DEPTH ? 0 : depth), at = column + (BY_DEPTH ? depth : 0);
#pragma unroll 1 // rare enough to be kept small
    for (int l = 0; l < Loader::LINES; l += Loader::BETWEEN) {
      if (first + l >= rows || at >= columns) continue;
      T *const chunk = Loader::chunk(to, l);
      float values[Loader::WIDTH];
      load<T, Loader::WIDTH>(chunk, values);
      drop.apply(first + l, static_cast<size_t>(first + l) * columns + at, 1.0f, values);
      store(chunk, values);
    }
  }
};
