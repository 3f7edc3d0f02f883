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

// Calls `visit(line, x)` for all `columns` of `lines`, which lie `pitch` numbers apart. A warp takes four
// neighbouring columns of eight lines that begin an odd number of fours apart and so meet in no bank, unless 8
// divides `pitch`.
template <typename Visit> __device__ inline void each_of_lines(int lines, int columns, int pitch, Visit visit) {
  const int apart = pitch % 2 ? 2 : pitch % 4 ? 1 : 0, eight = 3 + apart, lane = of_lane(); // powers of two
  const int parts = (lines + (1 << eight) - 1) >> eight << apart, all = parts * ((columns + 3) / 4);
  for (int i = of_thread() / WARP; i < all; i += blockDim.x / WARP) {
    const int beside = i / parts, part = i - beside * parts, x = beside * 4 + lane % 4;
    const int line = (part >> apart << eight) + (part & ((1 << apart) - 1)) + (lane / 4 << apart);
    if (line < lines && x < columns) visit(line, x);
  }
}

// Probabilities are powers of two of scores: `scale` makes scores of products of queries and keys. Here are
// three planes of numbers: the table; for every query the logarithm of the sum over all padded keys; minus
// infinity. They are divided by `scale`, so that products can be added to them as they are. Where a query's
// number for a key is, is the difference of two offsets in bytes, whatever plane the key is in.
//
// Rows of a plane lie `pitch` numbers apart, so many that neighbouring queries and keys meet in no bank also where
// they go on into the next row of a rectangle: that depends on its columns, and who goes on to other ones lays the
// table out again.
struct Biases {
  Shared<float> planes;
  Shared<float> strips; // at most 3 window - 2: sums over their columns of keys, by that of the query
  Shared<int> keys;     // offsets of keys
  int window, side;
  int widest; // the largest pitch
  float root, scale; // of products for scores as they are, and as powers of two
  // Of the present rectangle:
  int columns, all_columns, pitch;
  int paddings, hidden; // where planes begin: that of the padding, and that of keys that are none
  bool laid; // the table lies as the columns want it

  static __device__ Biases take(Pieces &memory, const Map &map) {
    Biases b;
    b.window = map.window, b.side = 2 * map.window - 1;
    b.root = 1.0f / sqrtf(static_cast<float>(map.head_dim)), b.scale = b.root * LOG2_E;
    b.widest = map.window <= 17 ? map.window + 16 : b.side;
    b.columns = b.all_columns = 0;
    b.keys = memory.take<int>(map.tiles * 16);
    b.planes = memory.take<float>((b.side + 2 * b.window) * b.widest + 48); // 48: of banks that are skipped
    b.strips = memory.take<float>((3 * b.window - 2) * b.window);
    return b;
  }

  // Says how everything lies for a rectangle: rows of its columns meet in the fewest banks with the pitch that
  // `pitch_of` gives. By one thread.
  template <typename Pitch> __device__ void fit(const Rectangle &r, Pitch pitch_of) {
    laid = r.columns == columns && r.all_columns == all_columns;
    columns = r.columns, all_columns = r.all_columns;
    pitch = window <= 17 ? min(pitch_of(columns), widest) : widest;
    // Keys that are none read the same numbers, in the banks that the next position would have.
    const int next = offset(r, r.positions);
    paddings = in_bank(side * widest, next - 8), hidden = in_bank((side + window) * widest + 16, next);
  }

  __device__ float &padding(int y, int x) const { return planes[paddings + y * pitch + x]; }
  // Where the table has what is added for keys in column 0 that lie `dy` rows above queries in column 0.
  __device__ int middle(int dy) const { return (dy + window - 1) * pitch + all_columns - 1; }

  // Of the turned table (table.cuh). Nothing is there before the threads have met.
  __device__ void load_table(const float *turned, const Map &map) const {
    const int line = turned_line(map), warps = blockDim.x / WARP;
    const float divided = 1.0f / root;
    for (int i = of_lane(); i < side; i += WARP) {
      const int x = i - window + all_columns, first = of_thread() / WARP;
      const bool wanted = x >= 0 && x < columns + all_columns - 1;
      const float *from = turned + (static_cast<size_t>(map.head()) * side + first) * line + i;
      unsigned to = planes.address() + (first * pitch + x) * 4;
#pragma unroll 1
      for (int y = first; y < side; y += warps, from += warps * line, to += warps * pitch * 4) {
        float value; // whole lines: what would be left out lies in the same sectors
        asm volatile("ld.global.f32 %0, [%1];" : "=f"(value) : "l"(from) : "memory");
        value *= divided;
        if (wanted) asm volatile("st.shared.f32 [%0], %1;" ::"r"(to), "f"(value) : "memory");
      }
    }
  }

  // What nothing else is ever written to.
  __device__ void hide() const {
    const int first = (side + window) * widest + 16;
    for (int i = of_thread(); i < window * widest + 32; i += blockDim.x) planes[first + i] = -INFINITY;
  }

  // The first place from `from` on where what belongs to a key with this offset is in the same bank as in the table.
  static __device__ int in_bank(int from, int offset) { return from + ((-offset - from) & 31); }
  // What lies before position `i` as a key, also beyond the last one, in the table's plane.
  __device__ int offset(const Rectangle &r, int i) const {
    const int y = r.row(i);
    return (y - window + 1) * pitch + i - y * columns - all_columns + 1;
  }

  // The offset of position `i` as a key, of the padding, or of what fills the last tile of keys.
  __device__ int key(const Rectangle &r, int i) const {
    return (i < r.positions ? offset(r, i) : i == r.positions && r.padded() ? -paddings : -hidden) * 4;
  }
  // And as a query; what is none may have any: the last one's is in a bank of its own.
  __device__ int query(const Rectangle &r, int i) const {
    const int last = min(i, r.positions - 1), y = r.row(last);
    return (y * pitch + last - y * columns) * 4;
  }

  // Sums over each row of the padding, then over its rows. All threads; the table has to be there.
  __device__ void sum_padding(const Rectangle r) const {
    const Strips of = Strips::of(r);
    each_of_lines(of.beside + of.below, r.columns, pitch, [&](int line, int x) {
      const Shared<float> values{planes.at + (middle(of.distance(line)) + x) * 4};
      strips[line * r.columns + x] = log_sum(line >= of.beside ? 0 : r.columns, r.all_columns,
                                          [=](int kx) { return values[-kx] * scale; });
    });
    __syncthreads();
    // A strip is as long as a row: neighbouring queries find theirs side by side.
    for (int i = of_thread(); i < r.positions; i += blockDim.x) {
      const int y = r.row(i), x = i - y * r.columns;
      padding(y, x) = log_sum(of.beside ? 0 : r.rows, of.below ? r.all_rows : r.rows,
                              [=](int ky) { return strips[of.strip(ky >= r.rows, y - ky) * r.columns + x]; }) *
                      (1.0f / scale);
    }
  }
};
