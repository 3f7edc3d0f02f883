// Attention forward for heads of at most 64 columns in bf16 with any number of keys.
//
// A block has 128 queries of a head, of which each warp has 32, and goes over tiles of 64 keys with an online
// softmax. Queries, scores, probabilities and the result stay in registers; shared memory has two tiles of keys
// and values (32 KB, and 16 KB of queries to begin with). While one is used the next is on its way.
#pragma once

#include "attention.cuh"

namespace attention_narrow {

constexpr int QUERIES = 128; // of a block that has queries
constexpr int OTHERS = 64;   // rows of a tile that comes
constexpr int WARP_ROWS = QUERIES / ATTENTION_WARPS;
constexpr int DEPTHS = LINE<bf16> / 16; // steps of a product over columns
constexpr int ROWS_BYTES = QUERIES * LINE_BYTES, TILE_BYTES = OTHERS * LINE_BYTES;
constexpr int SLOT_BYTES = 2 * TILE_BYTES;
constexpr int FORWARD_BYTES = ROWS_BYTES + 2 * SLOT_BYTES;

// Operands of 16 rows of a tile, before which a multiple of eight lie; `part` counts 16 of their columns, and is
// an exclusive or of the address because lines are. First the first operand of a product over columns.
__device__ inline void load_rows(unsigned (&to)[DEPTHS][4], unsigned rows) {
  const int lane = threadIdx.x % WARP;
#pragma unroll
  for (int part = 0; part < DEPTHS; ++part)
    load_matrices<false>(to[part], (rows + in_tile<bf16>(lane % 16, lane / 16)) ^ (part * 2 * CHUNK_BYTES));
}

// The second operand of such a product: rows are its columns.
__device__ inline void load_columns(unsigned (&to)[4], unsigned rows, int part) {
  const int lane = threadIdx.x % WARP;
  load_matrices<false>(to, (rows + in_tile<bf16>(lane / 16 * 8 + lane % 8, lane / 8 % 2)) ^
                               (part * 2 * CHUNK_BYTES));
}

// The second operand of a product over the rows.
__device__ inline void load_depth(unsigned (&to)[4], unsigned rows, int part) {
  const int lane = threadIdx.x % WARP;
  load_matrices<true>(to, (rows + in_tile<bf16>(lane % 16, lane / 16)) ^ (part * 2 * CHUNK_BYTES));
}

// Two sums [16, 8] that lie side by side, as the first operand of a product over their columns.
__device__ inline void as_operand(unsigned (&to)[4], const float (&left)[4], const float (&right)[4]) {
  to[0] = pack_pair(left[0], left[1]), to[1] = pack_pair(left[2], left[3]);
  to[2] = pack_pair(right[0], right[1]), to[3] = pack_pair(right[2], right[3]);
}

// sums += weights rows, over 16 rows of a tile
template <int N>
__device__ inline void add_rows(float (&sums)[N][8][4], const unsigned (&weights)[N][4], unsigned rows) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    unsigned b[4];
    load_depth(b, rows, i);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      multiply_add(sums[j][i * 2], weights[j], b[0], b[1]);
      multiply_add(sums[j][i * 2 + 1], weights[j], b[2], b[3]);
    }
  }
}

// sums [16 N, 16] += own rows^T for 16 rows of a tile, the sums being those from `at` on
template <int N, int M>
__device__ inline void add_products(float (&sums)[N][M][4], int at, const unsigned (&own)[N][DEPTHS][4],
                                    unsigned rows) {
#pragma unroll
  for (int depth = 0; depth < DEPTHS; ++depth) {
    unsigned b[4];
    load_columns(b, rows, depth);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      multiply_add(sums[i][at], own[i][depth], b[0], b[1]);
      multiply_add(sums[i][at + 1], own[i][depth], b[2], b[3]);
    }
  }
}

// Puts 16 N rows of this warp from `row` on; `stage` has its lines.
template <int N>
__device__ inline void put_rows(float *stage, const float (&sums)[N][8][4], const float (&factors)[N][2],
                                const HeadRows<bf16> &to, int row, bool add) {
  const int lane = threadIdx.x % WARP;
#pragma unroll
  for (int i = 0; i < N; ++i)
#pragma unroll
    for (int j = 0; j < 8; ++j)
#pragma unroll
      for (int held = 0; held < 2; ++held)
        store_shared(stage + in_stage<LINE<bf16>>(i * 16 + held * 8 + lane / 4, j * 8 + lane % 4 * 2),
                     {sums[i][j][held * 2] * factors[i][held], sums[i][j][held * 2 + 1] * factors[i][held]});
  __syncwarp();
  put_staged<N * 16>(stage, lane, WARP, to, row, 0, add);
}

// What the kernels for queries share.
struct QueryBlock {
  const Attention<bf16> &task;
  char *slots; // two of keys and values
  int count, tiles;
  int row; // the first of this warp
  bool there;

  __device__ QueryBlock(const Attention<bf16> &task_, char *slots_)
      : task(task_), slots(slots_), count(keys_to_the_last(task_.mask, task_.k.rows)),
        tiles((count + OTHERS - 1) / OTHERS), row(blockIdx.x * QUERIES + threadIdx.x / WARP * WARP_ROWS),
        there(row < task_.q.rows) {}

  __device__ char *slot(int step) const { return slots + step % 2 * SLOT_BYTES; }

  __device__ void load_keys(int step, int tile) {
    load_tile<OTHERS>(slot(step), task.k, tile * OTHERS, 0);
    load_tile<OTHERS>(slot(step) + TILE_BYTES, task.v, tile * OTHERS, 0);
  }

  // Bit l says whether key l of a tile counts.
  __device__ unsigned long long counting(int tile) const {
    const unsigned low = counting_keys(task.mask, count, tile * OTHERS);
    const unsigned high = counting_keys(task.mask, count, tile * OTHERS + WARP);
    return static_cast<unsigned long long>(high) << WARP | low;
  }

  // This warp's rows of a tile, as operands.
  __device__ void load_rows(unsigned (&to)[2][DEPTHS][4], const char *tile) const {
    const int first = threadIdx.x / WARP * WARP_ROWS;
#pragma unroll
    for (int i = 0; i < 2; ++i)
      attention_narrow::load_rows(to[i], shared_address(tile) + (first + i * 16) * LINE_BYTES);
  }

  // Where this warp's results lie on their way out.
  __device__ float *stage() const {
    return reinterpret_cast<float *>(slots) + threadIdx.x / WARP * WARP_ROWS * LINE<bf16>;
  }

  __device__ int row_of(int i, int held) const { return row + i * 16 + held * 8 + threadIdx.x % WARP / 4; }
};

// Scores of a tile become exponentials of their distance from the row's largest so far; `shrink` is what
// earlier sums have to be multiplied by. `unit` is the scale of scores, for powers of two.
__device__ inline void exponentials(float (&scores)[2][8][4], unsigned long long counting, float unit,
                                    float (&largest)[2][2], float (&total)[2][2], float (&shrink)[2][2]) {
  if (counting != ~0ull) {
    counting >>= threadIdx.x % 4 * 2;
#pragma unroll
    for (int i = 0; i < 8; ++i)
#pragma unroll
      for (int j = 0; j < 2; ++j)
        if (!(counting >> (i * 8 + j) & 1))
          scores[0][i][j] = scores[0][i][2 + j] = scores[1][i][j] = scores[1][i][2 + j] = -INFINITY;
  }
#pragma unroll
  for (int i = 0; i < 2; ++i)
#pragma unroll
    for (int held = 0; held < 2; ++held) {
      float most = largest[i][held], more = 0.0f;
#pragma unroll
      for (int j = 0; j < 16; ++j) most = fmaxf(most, scores[i][j / 2][held * 2 + j % 2]);
      most = row_largest<4>(most);
      const float reference = most == -INFINITY ? 0.0f : most * unit; // no key yet
      shrink[i][held] = power_of_two(fmaf(largest[i][held], unit, -reference));
      largest[i][held] = most;
#pragma unroll
      for (int j = 0; j < 16; ++j) {
        float &score = scores[i][j / 2][held * 2 + j % 2];
        score = power_of_two(fmaf(score, unit, -reference));
        more += score;
      }
      total[i][held] = total[i][held] * shrink[i][held] + row_sum<4>(more);
    }
}

__device__ inline void forward(const Attention<bf16> &task, const HeadRows<bf16> &out, float *lse,
                               char *shared) {
  QueryBlock block(task, shared + ROWS_BYTES);
  load_tile<QUERIES>(shared, task.q, blockIdx.x * QUERIES, 0);
  unsigned q[2][DEPTHS][4];
  float sums[2][8][4] = {}, total[2][2] = {}, factors[2][2];
  float largest[2][2] = {{-INFINITY, -INFINITY}, {-INFINITY, -INFINITY}};
#pragma unroll 1
  for (int tile = -1; tile < block.tiles; ++tile) {
    copy_wait<0>();  // this tile has come, for this thread
    __syncthreads(); // for all, and nobody uses the tile before it any more
    if (tile + 1 < block.tiles) block.load_keys(tile + 1, tile + 1);
    copy_commit();
    if (!block.there || tile < 0) continue;
    if (tile == 0) block.load_rows(q, shared);
    const unsigned k = shared_address(block.slot(tile)), v = k + TILE_BYTES;
    float scores[2][8][4] = {};
#pragma unroll
    for (int i = 0; i < 4; ++i) add_products(scores, i * 2, q, k + i * 16 * LINE_BYTES);
    exponentials(scores, block.counting(tile), task.scale * LOG2_E, largest, total, factors);
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
      for (int j = 0; j < 8; ++j)
#pragma unroll
        for (int l = 0; l < 4; ++l) sums[i][j][l] *= factors[i][l / 2];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      unsigned p[2][4];
#pragma unroll
      for (int j = 0; j < 2; ++j) as_operand(p[j], scores[j][i * 2], scores[j][i * 2 + 1]);
      add_rows(sums, p, v + i * 16 * LINE_BYTES);
    }
  }
  copy_wait<0>();
  __syncthreads(); // the slots are free for the result
#pragma unroll
  for (int i = 0; i < 2; ++i)
#pragma unroll
    for (int held = 0; held < 2; ++held) {
      const int row = block.row_of(i, held);
      factors[i][held] = total[i][held] > 0.0f ? 1.0f / total[i][held] : 0.0f;
      if (lse != nullptr && threadIdx.x % 4 == 0 && row < task.q.rows)
        lse[row] = largest[i][held] * task.scale + logf(total[i][held]);
    }
  put_rows(block.stage(), sums, factors, out, block.row, false);
}

} // namespace attention_narrow
