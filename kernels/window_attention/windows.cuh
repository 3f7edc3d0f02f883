// Where the windows of a map lie: the rectangles within which everything sees everything
// (src/op/window_attention/regions.rs), found by arithmetic alone.
#pragma once

// Part of one axis of the padded, rolled map.
struct Piece {
  int start;  // its first position on the map
  int length; // padding included
  int real;   // how many of its positions lie on the map; padding comes after them
};

// An axis of the map in pieces: windows that lie on the map as they are, then the two halves of the one that
// holds the seam of the roll, of which the first may lie beyond the map's end and is none then.
struct Axis {
  int extent, window, shift, windows, pieces;

  __device__ Axis(int extent_, int window_, int shift_)
      : extent(extent_), window(window_), shift(shift_), windows((extent + window - 1) / window) {
    const bool first_half = (windows - 1) * window + shift < extent;
    pieces = shift == 0 || first_half ? windows + (shift > 0) : windows;
  }

  __device__ Piece piece(int i) const {
    const bool whole = shift == 0 || i < windows - 1, last = i == pieces - 1;
    const int start = !whole && last ? 0 : i * window + shift;
    const int length = whole ? window : last ? shift : window - shift;
    return {start, length, min(extent - start, length)};
  }
};

struct Map {
  int batch, height, width, heads, head_dim, window, shift;
};

// A window or a part of one. Its positions on the map are numbered row by row. All of its padding is one more
// key: what is padded has the same k and v everywhere, and only what the table adds to its scores differs.
struct Rectangle {
  int image;
  int first; // of its positions, in rows of the whole batch's map
  int map_width;
  int rows, columns, positions;
  int all_rows, all_columns; // padding included
  bool padded;

  __device__ Rectangle(const Map &map, const Axis &down, const Axis &across, int number) {
    const int place = number % (down.pieces * across.pieces);
    image = number / (down.pieces * across.pieces);
    const Piece row = down.piece(place / across.pieces), column = across.piece(place % across.pieces);
    map_width = map.width;
    first = (image * map.height + row.start) * map.width + column.start;
    rows = row.real, columns = column.real, all_rows = row.length, all_columns = column.length;
    positions = rows * columns;
    padded = positions < all_rows * all_columns;
  }

  __device__ int keys() const { return positions + padded; }
  // Where position `i` is, in rows of the whole batch's map.
  __device__ int place(int i) const { return first + i / columns * map_width + i % columns; }
  // And in a statistic [B, heads, H, W].
  __device__ size_t statistic(int i, const Map &map, int head) const {
    const size_t before = static_cast<size_t>(image) * (map.heads - 1) + head;
    return before * map.height * map.width + place(i);
  }
};

// Which rectangles of a head a block does, one after the other: an even share of them.
struct Share {
  int begin, end;

  __device__ Share(int count, int block, int blocks)
      : begin(static_cast<long long>(count) * block / blocks),
        end(static_cast<long long>(count) * (block + 1) / blocks) {}
};
