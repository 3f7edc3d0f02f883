// Layer norm's backward pass (equations: src/op/layer_norm/mod.rs): all gradients in one launch that reads dout
// and inp once.
//
// A block has a chunk of rows, a warp one or more of them at a time and a lane the same columns of all: four
// neighbours each in cells of 128 columns. Cells stay in registers as they came, up to 1024 channels in bf16 and
// 512 in f32, with the next rows' behind them, and so do the sums over rows, which are added up over warps in
// shared memory (8 KB) and over blocks in global memory (common/parts.cuh). Of wider rows the rest is read again
// for dinp, and the rows are gone through again for its sums over rows.
#pragma once

#include "../common/parts.cuh"
#include "../common/reduce.cuh"
#include "../common/vector.cuh"

constexpr int CHUNK_WARPS = 8;
template <typename T> constexpr int CELLS_HELD = 16 / sizeof(T);

// Four numbers as they lie in memory.
__device__ inline Packed<float, FOUR> pack(const float (&from)[FOUR], const float *) {
  return {make_uint4(__float_as_uint(from[0]), __float_as_uint(from[1]), __float_as_uint(from[2]),
                     __float_as_uint(from[3]))};
}
__device__ inline Packed<bf16, FOUR> pack(const float (&from)[FOUR], const bf16 *) {
  return {make_uint2(pack_pair(from[0], from[1]), pack_pair(from[2], from[3]))};
}

// What the backward pass reads, and dinp, null if it is not wanted. ALIGNED: its rows and the weight can be moved
// by fours.
template <typename T, bool ALIGNED> struct Backward {
  const T *dout, *inp;
  const float *weight, *mean, *rstd;
  T *dinp;
  int rows, channels;
  bool add;

  // Four neighbours of a row, from `column` on, zeros beyond its end.
  template <typename U> __device__ Packed<U, FOUR> load(const U *at, int column) const {
    if constexpr (ALIGNED) {
      return column < channels ? load_packed<U, FOUR>(at) : Packed<U, FOUR>();
    } else {
      float values[FOUR];
      load_four(at, channels - column, false, values);
      return pack(values, at);
    }
  }
  // Of the weight, anything beyond its end.
  __device__ void load_weight(int column, float (&to)[FOUR]) const {
    if constexpr (ALIGNED)
      ::load<float, FOUR>(weight + (column < channels ? column : 0), to);
    else
      load_four(weight + column, channels - column, false, to);
  }
};

// Four neighbours of a row.
template <typename T> struct Cell {
  Packed<T, FOUR> dout, inp;

  // `at` is the column's number in the tensors.
  template <bool ALIGNED> __device__ void load(const Backward<T, ALIGNED> &pass, size_t at, int column) {
    dout = pass.load(pass.dout + at, column), inp = pass.load(pass.inp + at, column);
  }
};

// Sums over rows, for four columns: of dout n, and of dout.
struct OverRows {
  float weight[FOUR], bias[FOUR];
};

// A row's statistics, and the means over its channels of g and g n: forward is out = n weight + bias, so that
// g = dout weight is the gradient of n.
struct OfRow {
  float mean, rstd, g, gn;

  template <typename T>
  __device__ void add(const Cell<T> &cell, const float (&weight)[FOUR], OverRows &sums) {
    float d[FOUR], x[FOUR];
    unpack(cell.dout, d), unpack(cell.inp, x);
#pragma unroll
    for (int i = 0; i < FOUR; ++i) {
      const float dn = d[i] * ((x[i] - mean) * rstd);
      g += d[i] * weight[i], gn += dn * weight[i];
      sums.weight[i] += dn, sums.bias[i] += d[i];
    }
  }

  // forward: n = (inp - mean) rstd
  template <typename T, bool ALIGNED>
  __device__ void put_dinp(const Backward<T, ALIGNED> &pass, const Cell<T> &cell, const float (&weight)[FOUR],
                           int row, int column) const {
    float d[FOUR], x[FOUR];
    unpack(cell.dout, d), unpack(cell.inp, x);
#pragma unroll
    for (int i = 0; i < FOUR; ++i)
      x[i] = rstd * (d[i] * weight[i]) - ((x[i] - mean) * (rstd * rstd * gn) + rstd * g);
    T *const to = pass.dinp + static_cast<size_t>(row) * pass.channels + column;
    put_four(to, pass.channels - column, ALIGNED, x, pass.add);
  }
};

// The sums of COUNT values over the lanes, the same bits in each of them, times `factor`. In each step a lane keeps
// half of what it has and sends the other half away, so that few values make many shuffles no more.
template <int COUNT> __device__ inline void warp_sums(float (&values)[COUNT], float factor) {
  const int lane = threadIdx.x % WARP;
#pragma unroll
  for (int left = COUNT, distance = WARP / 2; distance > 0; distance /= 2) {
    const int half = left > 1 ? left / 2 : 0;
    const bool upper = lane & distance;
#pragma unroll
    for (int i = 0; i < (half > 0 ? half : 1); ++i) {
      const float kept = half > 0 && upper ? values[i + half] : values[i];
      const float sent = half > 0 && !upper ? values[i + half] : values[i];
      values[i] = kept + __shfl_xor_sync(0xffffffffu, sent, distance);
    }
    left = half > 0 ? half : 1;
  }
  const float own = values[0] * factor;
#pragma unroll
  for (int i = 0; i < COUNT; ++i) values[i] = __shfl_sync(0xffffffffu, own, i * (WARP / COUNT));
}

// As many rows as registers hold, CHUNK_WARPS apart, and of each a lane's CELLS cells, COLUMNS_TILE apart.
template <int CELLS, typename T, bool ALIGNED> struct Rows {
  static constexpr int COUNT = CELLS_HELD<T> / CELLS;
  Cell<T> cells[COUNT][CELLS];
  float mean[COUNT], rstd[COUNT];

  // From `column` on; the last before `end` again in place of those from there on, if there is a first.
  __device__ void load(const Backward<T, ALIGNED> &pass, int first, int end, int column) {
    if (first >= end) return;
#pragma unroll
    for (int k = 0; k < COUNT; ++k) {
      const int row = min(first + k * CHUNK_WARPS, end - 1);
      const size_t at = static_cast<size_t>(row) * pass.channels + column;
#pragma unroll
      for (int c = 0; c < CELLS; ++c)
        cells[k][c].load(pass, at + c * COLUMNS_TILE, column + c * COLUMNS_TILE);
      mean[k] = pass.mean[row], rstd[k] = pass.rstd[row];
    }
  }

  // Calls `visit(k, c, weight, row, column)` for the same; there is a first row.
  template <typename Visit>
  __device__ void each(const Backward<T, ALIGNED> &pass, int first, int end, int column, Visit visit) const {
#pragma unroll
    for (int c = 0; c < CELLS; ++c) {
      float weight[FOUR];
      pass.load_weight(column + c * COLUMNS_TILE, weight);
#pragma unroll
      for (int k = 0; k < COUNT; ++k)
        if (COUNT == 1 || first + k * CHUNK_WARPS < end)
          visit(k, c, weight, first + k * CHUNK_WARPS, column + c * COLUMNS_TILE);
    }
  }

  // Calls `visit(cell, weight, column)` for the rest of a row; several rows that are held have none.
  template <typename Visit>
  __device__ static void each_later(const Backward<T, ALIGNED> &pass, int row, int column, Visit visit) {
#pragma unroll 1
    for (int at = COUNT > 1 ? pass.channels : column + CELLS * COLUMNS_TILE; at < pass.channels;
         at += COLUMNS_TILE) {
      Cell<T> cell;
      float weight[FOUR];
      cell.load(pass, static_cast<size_t>(row) * pass.channels + at, at), pass.load_weight(at, weight);
      visit(cell, weight, at);
    }
  }

  // Puts dinp of rows whose sums over the cells that are held are known.
  __device__ void put_dinp(const Backward<T, ALIGNED> &pass, OfRow (&of)[COUNT], int first, int end,
                           int column) const {
    OverRows elsewhere = {}; // they have a turn of their own
    each_later(pass, first, column, [&](const Cell<T> &cell, const float(&weight)[FOUR], int) {
      of[0].add(cell, weight, elsewhere);
    });
    float sums[2 * COUNT];
#pragma unroll
    for (int k = 0; k < COUNT; ++k) sums[2 * k] = of[k].g, sums[2 * k + 1] = of[k].gn;
    warp_sums(sums, 1.0f / pass.channels);
#pragma unroll
    for (int k = 0; k < COUNT; ++k) of[k].g = sums[2 * k], of[k].gn = sums[2 * k + 1];
    each(pass, first, end, column, [&](int k, int c, const float(&weight)[FOUR], int row, int at) {
      if (at < pass.channels) of[k].put_dinp(pass, cells[k][c], weight, row, at);
    });
    each_later(pass, first, column, [&](const Cell<T> &cell, const float(&weight)[FOUR], int at) {
      of[0].put_dinp(pass, cell, weight, first, at);
    });
  }
};

// Adds a warp's rows, until `end`, to a lane's sums of the cells from `column` on; puts dinp too if `with_dinp`.
// The next rows are on their way meanwhile.
template <int CELLS, typename T, bool ALIGNED>
__device__ inline void add_rows(const Backward<T, ALIGNED> &pass, int begin, int end, int column,
                                bool with_dinp, OverRows (&sums)[CELLS]) {
  using Held = Rows<CELLS, T, ALIGNED>;
  constexpr int STEP = Held::COUNT * CHUNK_WARPS;
  Held next;
  int row = begin + threadIdx.x / WARP;
  next.load(pass, row, end, column);
#pragma unroll 1
  for (; row < end; row += STEP) {
    const Held held = next;
    next.load(pass, row + STEP, end, column);
    OfRow of[Held::COUNT];
#pragma unroll
    for (int k = 0; k < Held::COUNT; ++k) of[k] = {held.mean[k], held.rstd[k], 0.0f, 0.0f};
    held.each(pass, row, end, column, [&](int k, int c, const float(&weight)[FOUR], int, int) {
      of[k].add(held.cells[k][c], weight, sums[c]);
    });
    if (with_dinp) held.put_dinp(pass, of, row, end, column);
  }
}

// dweight and dbias [channels], null for what is not wanted; each is set or added to. Numbers of both are counted
// as those of [2, filled].
struct Parameters {
  float *dweight, *dbias;
  int channels;
  bool add_weight, add_bias;

  __device__ bool wanted() const { return dweight != nullptr || dbias != nullptr; }
  __device__ int filled() const { return (channels + FOUR - 1) / FOUR * FOUR; }

  // The WIDTH numbers at `at`, of which FOUR may reach beyond the last.
  template <int WIDTH> __device__ void put(int at, const float (&sum)[WIDTH]) const {
    const bool of_bias = at >= filled(), add = of_bias ? add_bias : add_weight;
    float *const to = of_bias ? dbias : dweight;
    const int column = of_bias ? at - filled() : at;
    if (to == nullptr || column >= channels) return;
    if constexpr (WIDTH == FOUR)
      put_four(to + column, channels - column, aligned<FOUR>(to, channels), sum, add);
    else
      ::put(to + column, sum, add);
  }
};

// The warps' sums of CELLS cells from `first` on, in the order of the warps, to a block's part [2, filled]; the
// only block's are the gradients.
template <int CELLS>
__device__ inline void store_sums(const OverRows (&sums)[CELLS], int first, const Parameters &to,
                                  float (*of_warps)[2][COLUMNS_TILE], float *part) {
  static_assert(CHUNK_WARPS * WARP == 2 * COLUMNS_TILE, "a thread for each sum");
  const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
#pragma unroll
  for (int c = 0; c < CELLS; ++c) {
    store(of_warps[warp][0] + lane * FOUR, sums[c].weight);
    store(of_warps[warp][1] + lane * FOUR, sums[c].bias);
    __syncthreads();
    const int set = threadIdx.x / COLUMNS_TILE, column = threadIdx.x % COLUMNS_TILE;
    if (first + c * COLUMNS_TILE + column < to.filled()) {
      const int at = set * to.filled() + first + c * COLUMNS_TILE + column;
      float sum[1] = {};
#pragma unroll
      for (int w = 0; w < CHUNK_WARPS; ++w) sum[0] += of_warps[w][set][column];
      if (gridDim.x == 1)
        to.put(at, sum);
      else
        part[at] = sum[0];
    }
    __syncthreads();
  }
}

// A block's chunk of rows.
template <int CELLS, typename T, bool ALIGNED>
__device__ inline void backward_chunk(const Backward<T, ALIGNED> &pass, const Parameters &to, float *parts,
                                      float (*of_warps)[2][COLUMNS_TILE]) {
  const int chunk = (pass.rows + gridDim.x - 1) / gridDim.x, begin = blockIdx.x * chunk;
  const int end = min(begin + chunk, pass.rows);
#pragma unroll 1
  for (int first = 0; first < pass.channels; first += CELLS * COLUMNS_TILE) {
    OverRows sums[CELLS] = {};
    add_rows(pass, begin, end, first + threadIdx.x % WARP * FOUR, first == 0 && pass.dinp != nullptr, sums);
    if (!to.wanted()) return;
    store_sums(sums, first, to, of_warps, parts + static_cast<size_t>(blockIdx.x) * 2 * to.filled());
  }
}

template <typename T>
__device__ inline void backward(const T *dout, const T *inp, const float *weight, const float *mean,
                                const float *rstd, T *dinp, const Parameters &to, float *parts,
                                unsigned *tickets, int rows, bool add) {
  __shared__ alignas(16) float of_warps[CHUNK_WARPS][2][COLUMNS_TILE];
  const int channels = to.channels;
  if (aligned<FOUR>(dout, channels) && aligned<FOUR>(inp, channels) && aligned<FOUR>(dinp, channels) &&
      aligned<FOUR>(weight, FOUR)) {
    const Backward<T, true> pass = {dout, inp, weight, mean, rstd, dinp, rows, channels, add};
    if (channels <= COLUMNS_TILE)
      backward_chunk<1>(pass, to, parts, of_warps);
    else if (channels <= 2 * COLUMNS_TILE)
      backward_chunk<2>(pass, to, parts, of_warps);
    else if (channels <= 4 * COLUMNS_TILE && CELLS_HELD<T> > 4)
      backward_chunk<4>(pass, to, parts, of_warps);
    else
      backward_chunk<CELLS_HELD<T>>(pass, to, parts, of_warps);
  } else {
    const Backward<T, false> pass = {dout, inp, weight, mean, rstd, dinp, rows, channels, add};
    backward_chunk<CELLS_HELD<T>>(pass, to, parts, of_warps);
  }
  if (to.wanted() && gridDim.x > 1)
    sum_parts(parts, 2 * to.filled(), tickets, [&](int at, const float(&sum)[FOUR]) { to.put(at, sum); });
}
