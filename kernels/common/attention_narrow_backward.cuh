// Attention backward for heads of at most 64 columns in bf16 with any number of keys, in two kernels.
//
// For the queries' gradient a block has 128 queries as forward has, and goes over the keys twice: for the sums of
// p dp of each row, then for the gradient. For that of keys and values it has 64 keys, of which each warp has 16,
// and goes over tiles of 64 queries, with all products transposed so that probabilities are operands as they come
// out. What a warp keeps stays in registers; shared memory has two tiles of what comes (32 KB).
#pragma once

#include "attention_narrow.cuh"

namespace attention_narrow {

constexpr int WARP_KEYS = OTHERS / ATTENTION_WARPS;
constexpr int STATISTICS_BYTES = 2 * OTHERS * sizeof(float);
constexpr int QUERIES_BYTES = 2 * SLOT_BYTES;
constexpr int KEYS_BYTES = 2 * (SLOT_BYTES + STATISTICS_BYTES);

// What a warp has of the queries' gradient, but the gradient.
struct QueryState {
  unsigned q[2][DEPTHS][4], dout[2][DEPTHS][4];
  float lse[2][2], mean[2][2]; // in units of powers of two; the sums of p dp of each row

  // Adds to the sums of p dp, or with the complete ones to ds k, over 16 keys of a tile.
  template <bool SECOND>
  __device__ void add(float (&sums)[2][8][4], unsigned k, unsigned v, unsigned counting, float unit) {
    float p[2][2][4] = {}, gradients[2][2][4] = {};
    add_products(p, 0, q, k);
    add_products(gradients, 0, dout, v);
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
      for (int j = 0; j < 8; ++j)
        p[i][j / 4][j % 4] = power_of_two(fmaf(p[i][j / 4][j % 4], unit, -lse[i][j % 4 / 2]));
    if (counting != 0xffff) {
#pragma unroll
      for (int j = 0; j < 4; ++j)
        if (!(counting >> (threadIdx.x % 4 * 2 + j / 2 * 8 + j % 2) & 1))
          p[0][j / 2][j % 2] = p[0][j / 2][2 + j % 2] = p[1][j / 2][j % 2] = p[1][j / 2][2 + j % 2] = 0.0f;
    }
    unsigned ds[2][4];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        float &d = gradients[i][j / 4][j % 4];
        if constexpr (SECOND)
          d = p[i][j / 4][j % 4] * (d - mean[i][j % 4 / 2]);
        else
          mean[i][j % 4 / 2] += p[i][j / 4][j % 4] * d;
      }
      as_operand(ds[i], gradients[i][0], gradients[i][1]);
    }
    if constexpr (SECOND) add_rows(sums, ds, k);
  }
};

// dq (+)= scale ds k, and `means`, the sums of p dp of each row. dq may be without data: not wanted.
__device__ inline void query_gradient(const Attention<bf16> &task, const Saved<bf16> &saved,
                                      const HeadRows<bf16> &dq, float *means, bool add, char *shared) {
  QueryBlock block(task, shared);
  QueryState state;
  load_tile<QUERIES>(shared, task.q, blockIdx.x * QUERIES, 0);
  load_tile<QUERIES>(shared + SLOT_BYTES, saved.dout, blockIdx.x * QUERIES, 0);
  copy_commit();
  copy_wait<0>();
  __syncthreads();
  block.load_rows(state.q, shared), block.load_rows(state.dout, shared + SLOT_BYTES);
  __syncthreads(); // the slots are free for keys and values
  const float unit = task.scale * LOG2_E;
  float sums[2][8][4] = {}, factors[2][2];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int row = block.row_of(i / 2, i % 2);
    state.lse[i / 2][i % 2] = row < task.q.rows ? saved.lse[row] * LOG2_E : INFINITY;
    state.mean[i / 2][i % 2] = 0.0f, factors[i / 2][i % 2] = task.scale;
  }
  const int steps = dq.data == nullptr ? block.tiles : 2 * block.tiles;
#pragma unroll 1
  for (int step = -1; step < steps; ++step) {
    copy_wait<0>();
    __syncthreads();
    const int tile = step < block.tiles ? step : step - block.tiles;
    if (step + 1 < steps) block.load_keys(step + 1, tile + 1 < block.tiles ? tile + 1 : 0);
    copy_commit();
    if (!block.there || step < 0) continue;
    const unsigned k = shared_address(block.slot(step)), v = k + TILE_BYTES;
    const unsigned long long counting = block.counting(tile);
#pragma unroll 1
    for (int row = 0; row < OTHERS; row += 16) {
      const unsigned here = counting >> row & 0xffff, rows = row * LINE_BYTES;
      if (step < block.tiles)
        state.add<false>(sums, k + rows, v + rows, here, unit);
      else
        state.add<true>(sums, k + rows, v + rows, here, unit);
    }
    if (step != block.tiles - 1) continue;
#pragma unroll
    for (int i = 0; i < 4; ++i) state.mean[i / 2][i % 2] = row_sum<4>(state.mean[i / 2][i % 2]);
  }
  copy_wait<0>();
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int row = block.row_of(i / 2, i % 2);
    if (threadIdx.x % 4 == 0 && row < task.q.rows) means[row] = state.mean[i / 2][i % 2];
  }
  if (dq.data != nullptr) put_rows(block.stage(), sums, factors, dq, block.row, add);
}

// dk (+)= scale ds^T q, dv (+)= p^T dout; either may be without data: not wanted.
__device__ inline void key_gradient(const Attention<bf16> &task, const Saved<bf16> &saved,
                                    const HeadRows<bf16> &dk, const HeadRows<bf16> &dv, const float *means,
                                    bool add_k, bool add_v, char *shared) {
  const int first = blockIdx.x * OTHERS, own = threadIdx.x / WARP * WARP_KEYS, lane = threadIdx.x % WARP;
  const unsigned counting = counting_keys(task.mask, task.k.rows, first + own) & 0xffffu;
  const int tiles = (task.q.rows + OTHERS - 1) / OTHERS;
  const float unit = task.scale * LOG2_E;
  const auto slot = [&](int tile) {
    return shared + tile % 2 * (SLOT_BYTES + STATISTICS_BYTES);
  };
  const auto load_step = [&](int tile) {
    load_tile<OTHERS>(slot(tile), task.q, tile * OTHERS, 0);
    load_tile<OTHERS>(slot(tile) + TILE_BYTES, saved.dout, tile * OTHERS, 0);
    const int row = tile * OTHERS + threadIdx.x % OTHERS;
    const float *const from = threadIdx.x < OTHERS ? saved.lse : means;
    copy_async<4>(shared_address(slot(tile) + SLOT_BYTES) + threadIdx.x * 4,
                  row < task.q.rows ? from + row : from, row < task.q.rows);
  };
  load_tile<OTHERS>(shared, task.k, first, 0);
  load_tile<OTHERS>(shared + TILE_BYTES, task.v, first, 0);
  copy_commit();
  copy_wait<0>();
  __syncthreads();
  unsigned k[1][DEPTHS][4], v[1][DEPTHS][4];
  const unsigned rows = shared_address(shared) + own * LINE_BYTES;
  load_rows(k[0], rows), load_rows(v[0], rows + TILE_BYTES);
  __syncthreads(); // the slots are free for queries
  float sums_k[1][8][4] = {}, sums_v[1][8][4] = {};
#pragma unroll 1
  for (int tile = -1; tile < tiles; ++tile) {
    copy_wait<0>();
    __syncthreads();
    if (tile + 1 < tiles) load_step(tile + 1);
    copy_commit();
    if (counting == 0 || tile < 0) continue;
    const unsigned q = shared_address(slot(tile)), dout = q + TILE_BYTES;
    const float2 *const statistics = reinterpret_cast<const float2 *>(slot(tile) + SLOT_BYTES);
#pragma unroll 1
    for (int row = 0; row < OTHERS; row += 16) {
      float scores[1][2][4] = {}, gradients[1][2][4] = {};
      add_products(scores, 0, k, q + row * LINE_BYTES);
      add_products(gradients, 0, v, dout + row * LINE_BYTES);
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const float2 lse = statistics[(row + j * 8) / 2 + lane % 4];
        const float2 mean = statistics[(OTHERS + row + j * 8) / 2 + lane % 4];
#pragma unroll
        for (int l = 0; l < 4; ++l) {
          const float p = power_of_two(fmaf(scores[0][j][l], unit, -(l % 2 ? lse.y : lse.x) * LOG2_E));
          scores[0][j][l] = p;
          gradients[0][j][l] = p * (gradients[0][j][l] - (l % 2 ? mean.y : mean.x));
        }
      }
      unsigned p[1][4], ds[1][4];
      as_operand(p[0], scores[0][0], scores[0][1]), as_operand(ds[0], gradients[0][0], gradients[0][1]);
      add_rows(sums_v, p, dout + row * LINE_BYTES);
      add_rows(sums_k, ds, q + row * LINE_BYTES);
    }
  }
  copy_wait<0>();
  __syncthreads();
  float *const stage = reinterpret_cast<float *>(shared) + own * LINE<bf16>;
  // Keys that do not count were made like others.
#pragma unroll
  for (int j = 0; j < 8; ++j)
#pragma unroll
    for (int l = 0; l < 4; ++l)
      if (!(counting >> (l / 2 * 8 + lane / 4) & 1)) sums_k[0][j][l] = sums_v[0][j][l] = 0.0f;
  const float ones[1][2] = {{1.0f, 1.0f}}, scales[1][2] = {{task.scale, task.scale}};
  if (dk.data != nullptr) put_rows(stage, sums_k, scales, dk, first + own, add_k);
  __syncwarp();
  if (dv.data != nullptr) put_rows(stage, sums_v, ones, dv, first + own, add_v);
}

} // namespace attention_narrow
