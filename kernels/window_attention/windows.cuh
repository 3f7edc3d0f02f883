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
  __device__ Piece piece(int i) const {
    const bool whole = shift == 0 || i < windows - 1, last = i == pieces() - 1;
    const int start = !whole && last ? 0 : i * window + shift;
    const int length = whole ? window : last ? shift : window - shift;
    return {start, length, min(extent - start, length)};
  }
};

// Sizes, as the launch gives them. Blocks (head, b) share the rectangles of a head: every block has `share`,
// the first `more` of them one more. No rectangle has more than `tiles` * 16 keys.
struct Map {
  int height, width, windows_down, windows_across, heads, head_dim, window, shift, share, more, tiles;

  __device__ Axis down() const { return {height, windows_down, window, shift}; }
  __device__ Axis across() const { return {width, windows_across, window, shift}; }
  __device__ int head() const { return blockIdx.x; }
  // Of scores.
  __device__ float scale() const { return 1.0f / sqrtf(static_cast<float>(head_dim)); }
};

// A window or a part of one. Its positions on the map are numbered row by row. All of its padding is one
// more key: what is padded has the same k and v everywhere, and only what the table adds to its scores
// differs.
struct Rectangle {
  int image;
  int start; // its first position, in rows of the whole batch's map
  int rows, columns, positions;
  int all_rows, all_columns; // padding included
  bool padded;

  static __device__ Rectangle of(const Map &map, int number) {
    const Axis down = map.down(), across = map.across();
    const int beside = across.pieces(), line = number / beside, image = line / down.pieces();
    const Piece row = down.piece(line - image * down.pieces()),
                column = across.piece(number - line * beside);
    const int start = (image * map.height + row.start) * map.width + column.start;
    const int positions = row.real * column.real;
    return {image,     start,      row.real,      column.real,
            positions, row.length, column.length, positions < row.length * column.length};
  }

  // The padding is the last one.
  __device__ int keys() const { return positions + padded; }
  // In tiles of 16.
  __device__ int query_tiles() const { return (positions + 15) / 16; }
  __device__ int key_tiles() const { return (keys() + 15) / 16; }
};

// The rectangles of a block that are still to be done. In shared memory: only thread 0 changes it.
struct Share {
  int next, end;

  static __device__ Share of(const Map &map) {
    const int block = blockIdx.y, first = block * map.share + min(block, map.more);
    return {first, first + map.share + (block < map.more)};
  }
};

// What lies in a row of shared memory: a position, in rows of the whole batch's map, or one of these.
constexpr int PADDING = -1, NOTHING = -2;
