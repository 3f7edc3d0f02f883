// What is added to the scores of a head: the table, what it makes of padding, and what hides keys that are
// none.
#pragma once

#include "table.cuh"

constexpr float LOG2_E = 1.4426950408889634f;

__device__ inline float exp2_approximate(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ inline float log2_approximate(float x) {
  float y;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// The logarithm of the sum of powers of two of `value(first .. end - 1)`; minus infinity of nothing.
template <typename Value> __device__ inline float log_sum(int first, int end, Value value) {
  float most = -INFINITY, sum = 0.0f;
#pragma unroll 2
  for (int i = first; i < end; ++i) most = fmaxf(most, value(i));
  if (most == -INFINITY) return most;
#pragma unroll 2
  for (int i = first; i < end; ++i) sum += exp2_approximate(value(i) - most);
  return most + log2_approximate(sum);
}

// Rows of padding around a rectangle come as strips: beside its positions, where keys have their rows, and
// below them. A strip is known by its distance from a query in rows (query minus key), of which there are so
// many.
struct Strips {
  int beside, below;

  static __device__ Strips of(const Rectangle r) {
    return {r.columns < r.all_columns ? 2 * r.rows - 1 : 0, r.rows < r.all_rows ? r.all_rows - 1 : 0};
  }
  // Of strip `i` of all, and the other way round.
  __device__ int distance(int i) const { return i < beside ? i - beside / 2 : i - beside - below; }
  __device__ int strip(bool below, int distance) const {
    return below ? distance + beside + this->below : distance + beside / 2;
  }
};

// Calls `visit(line, x)` for all `columns` of `lines`. A warp takes four neighbouring columns of eight lines,
// which meet in no bank where lines are 12 or 28 numbers long: those of the model's windows.
template <typename Visit> __device__ inline void each_of_lines(int lines, int columns, Visit visit) {
  const int parts = (lines + 7) / 8, all = parts * ((columns + 3) / 4), lane = of_lane();
  for (int i = of_thread() / WARP; i < all; i += blockDim.x / WARP) {
    const int beside = i / parts, line = (i - beside * parts) * 8 + lane / 4, x = beside * 4 + lane % 4;
    if (line < lines && x < columns) visit(line, x);
  }
}

// Probabilities are powers of two of scores: `scale` makes scores of products of queries and keys. Here are
// three planes of rows of `pitch` numbers: the table, [2 window - 1] of them; for every query the logarithm
// of the sum over all padded keys, [window]; minus infinity, [window]. They are divided by `scale`, so that
// products can be added to them as they are. Where a query's number for a key is, is the difference of two
// offsets in bytes, whatever plane the key is in. Rows are so far apart that neighbouring queries and keys
// meet in no bank also where they go on into the next row of a window.
struct Biases {
  Shared<float> planes;
  Shared<float> strips; // [at most 3 window - 2, window]: sums over their columns of keys, by that of the query
  Shared<int> keys;     // offsets of keys
  int window, side, pitch;
  float root, scale; // of products for scores as they are, and as powers of two

  static __device__ Biases take(Pieces &memory, const Map &map) {
    Biases b;
    b.window = map.window, b.side = 2 * map.window - 1;
    b.root = 1.0f / sqrtf(static_cast<float>(map.head_dim)), b.scale = b.root * LOG2_E;
    b.pitch = map.window <= 17 ? map.window + 16 : b.side;
    b.keys = memory.take<int>(map.tiles * 16);
    b.planes = memory.take<float>((b.side + 2 * b.window) * b.pitch);
    b.strips = memory.take<float>((3 * b.window - 2) * b.window);
    return b;
  }

  __device__ float &padding(int y, int x) const { return planes[(side + y) * pitch + x]; }
  // Where the table has what is added for keys in column 0 that lie `dy` rows above queries in column 0.
  __device__ int middle(int dy) const { return (dy + window - 1) * pitch + window - 1; }

  // Of the turned table (table.cuh). Nothing is there before the threads have met.
  __device__ void load_table(const float *turned, const Map &map) const {
    const int line = turned_line(map);
    const float *const of_head = turned + static_cast<size_t>(map.head()) * side * line;
    const float divided = 1.0f / root;
    for (int x = of_lane(); x < side; x += WARP)
#pragma unroll 1
      for (int y = of_thread() / WARP; y < side; y += blockDim.x / WARP)
        planes[y * pitch + x] = of_head[y * line + x] * divided;
    for (int i = of_thread(); i < window * pitch; i += blockDim.x)
      planes[(side + window) * pitch + i] = -INFINITY;
  }

  // The offset of position `i` as a key, of the padding, or of what fills the last tile of keys.
  __device__ int key(const Rectangle r, int i, int y) const {
    const int plane = i == r.positions && r.padded() ? side : side + window;
    return (i < r.positions ? (y - window + 1) * pitch + i - y * r.columns - window + 1 : -plane * pitch) * 4;
  }
  // And as a query; what is none may have any.
  __device__ int query(const Rectangle r, int i, int y) const {
    return i < r.positions ? (y * pitch + i - y * r.columns) * 4 : 0;
  }

  // Sums over each row of the padding, then over its rows. All threads; the table has to be there.
  __device__ void sum_padding(const Rectangle r) const {
    const Strips of = Strips::of(r);
    each_of_lines(of.beside + of.below, r.columns, [&](int line, int x) {
      const Shared<float> values{planes.at + (middle(of.distance(line)) + x) * 4};
      strips[line * window + x] = log_sum(line >= of.beside ? 0 : r.columns, r.all_columns,
                                          [=](int kx) { return values[-kx] * scale; });
    });
    __syncthreads();
    each_of_lines(r.rows, r.columns, [&](int y, int x) {
      padding(y, x) = log_sum(of.beside ? 0 : r.rows, of.below ? r.all_rows : r.rows,
                              [=](int ky) { return strips[of.strip(ky >= r.rows, y - ky) * window + x]; }) *
                      (1.0f / scale);
    });
  }
};
