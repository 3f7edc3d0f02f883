// Where the windows of a map lie: the rectangles within which everything sees everything
// (src/op/window_attention/regions.rs), found by arithmetic alone.
#pragma once

#include "../common/reduce.cuh"

// Part of one axis of the padded, rolled map.
struct Piece {
  int start;  // its first position on the map
  int length; // padding included
  int real;   // how many of its positions lie on the map; padding comes after them
};

// An axis of the map in pieces: windows that lie on the map as they are, then the two halves of the one that
// holds the seam of the roll, of which the first may lie beyond the map's end and is none then.
struct Axis {
  int extent, windows, window, shift;

  __device__ int pieces() const {
    const bool first_half = (windows - 1) * window + shift < extent;
    return windows + (shift > 0 && first_half);
  }
  // Pieces that are windows without padding: the first ones.
  __device__ int whole() const { return (extent - shift) / window; }
  __device__ Piece piece(int i) const {
    const bool uncut = shift == 0 || i < windows - 1, last = i == pieces() - 1;
    const int start = !uncut && last ? 0 : i * window + shift;
    const int length = uncut ? window : last ? shift : window - shift;
    return {start, length, min(extent - start, length)};
  }
};

// Sizes, as the launch gives them. A head has `rectangles` in the whole batch, none with more than `tiles` *
// 16 keys.
struct Map {
  int height, width, windows_down, windows_across, heads, head_dim, window, shift, rectangles, tiles;

  __device__ Axis down() const { return {height, windows_down, window, shift}; }
  __device__ Axis across() const { return {width, windows_across, window, shift}; }
  // The block's. What is derived from it is worked out again each time, and takes no registers meanwhile.
  __device__ int head() const {
    int head;
    asm volatile("mov.u32 %0, %%ctaid.x;" : "=r"(head));
    return head;
  }
};

// What lies in a row of shared memory: a position, in rows of the whole batch's map, or one of these.
constexpr int PADDING = -1, NOTHING = -2;

// A window or a part of one. Its positions on the map are numbered row by row. All of its padding is one
// more key: what is padded has the same k and v everywhere, and only what the table adds to its scores
// differs.
struct Rectangle {
  int number; // among those of a head; beyond the last one nothing else counts
  int image;
  int start; // its first position, in rows of the whole batch's map
  int rows, columns, positions;
  int all_rows, all_columns; // padding included
  int inverse;               // of `columns`, times 2^16, rounded up: exact for less than 2^8 positions

  // Whole windows of all images come first, so that blocks which take every so many rectangles have as many
  // of them each; then those that are cut in rows alone, and the others column by column: those of as many columns
  // follow each other.
  __device__ void become(const Map &map, int which) {
    number = which;
    if (which >= map.rectangles) return;
    const Axis down = map.down(), across = map.across();
    const int whole_rows = down.whole(), whole_columns = across.whole(), whole = whole_rows * whole_columns;
    const int lines = down.pieces(), all = lines * across.pieces(), images = map.rectangles / all;
    int of, y, x;
    if (which < images * whole) {
      of = which / whole, which -= of * whole;
      y = which / whole_columns, x = which - y * whole_columns;
    } else {
      which -= images * whole, of = which / (all - whole), which -= of * (all - whole);
      const int cut = lines - whole_rows; // of each column of windows
      const bool below = which < whole_columns * cut;
      const int line = below ? cut : lines;
      which -= below ? 0 : whole_columns * cut;
      x = which / line, y = which - x * line + (below ? whole_rows : 0), x += below ? 0 : whole_columns;
    }
    image = of;
    set(map, down.piece(y), across.piece(x));
  }

  __device__ void set(const Map &map, const Piece row, const Piece column) {
    start = (image * map.height + row.start) * map.width + column.start;
    rows = row.real, columns = column.real, positions = rows * columns;
    all_rows = row.length, all_columns = column.length, inverse = ((1 << 16) + columns - 1) / columns;
  }

  __device__ bool padded() const { return positions < all_rows * all_columns; }
  // The padding is the last one.
  __device__ int keys() const { return positions + padded(); }
  // In tiles of 16.
  __device__ int query_tiles() const { return (positions + 15) / 16; }
  __device__ int key_tiles() const { return (keys() + 15) / 16; }
  // The row of the rectangle that has position `i`.
  __device__ int row(int i) const { return i * inverse >> 16; }
  // What is row `i` of shared memory.
  __device__ int place(int i, int map_width) const {
    const int y = row(i);
    return i < positions    ? start + y * map_width + i - y * columns
           : i == positions && padded() ? PADDING
                                        : NOTHING;
  }
  // Queries in the backward pass take turns between two rows of the rectangle: number of the query at (y, x).
  __device__ int query(int y, int x) const {
    return y < (rows & ~1) ? (y & ~1) * columns + 2 * x + (y & 1) : y * columns + x;
  }
  // The position of query `i`.
  __device__ int position(int i) const {
    const int y = row(i), first = y & ~1, beside = i - first * columns;
    return first < (rows & ~1) ? (first + (beside & 1)) * columns + beside / 2 : i;
  }
  // The number of the rectangle that a block does after this one. `blocks` blocks take turns, in opposite order
  // every other time: who has had the largest of a round gets the smallest of the next.
  __device__ int following(int blocks) const { return (number / blocks * 2 + 2) * blocks - 1 - number; }
};
