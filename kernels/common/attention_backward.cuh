// Attention backward for any number of keys and any width of heads, in two kernels: one for the queries'
// gradient, which also sums p dp of each row, and one for that of keys and values, which reads those sums.
//
// Scores s and the gradients dp of probabilities are made again, over the head's columns a line at a time. A
// block makes 64 columns of the gradients of 64 queries, or of 32 keys; blocks for other columns make the
// scores again. While a step is used the next is on its way.
#pragma once

#include "attention_tile.cuh"

// forward: p = exp(s - lse), and 0 for keys that do not count. Nothing counts where lse is minus infinity. The
// product is rounded as forward rounds it, so that the one key that counts has exactly 1.
__device__ inline float probability(float score, float scale, float lse, bool counts) {
  return counts ? __expf(__fmul_rn(score, scale) - lse) : 0.0f;
}

// What both kernels do: a step brings a line of a tile of queries and one of keys, of which the block's own
// stay in shared memory if they are at most OWN lines; `rest` has a group of columns of what is not its own.
template <typename T, bool OWN_QUERIES> struct AttentionBackward {
  using Math = TileMath<T>;
  static constexpr int LINES = GROUP_LINES<T>;
  static constexpr int OWN = 2;
  static constexpr int OWN_BYTES = 2 * (OWN_QUERIES ? QUERIES_BYTES : KEYS_BYTES);
  static constexpr int OTHER_BYTES = 2 * (OWN_QUERIES ? KEYS_BYTES : QUERIES_BYTES);
  static constexpr int REST_BYTES = OWN_QUERIES ? KEYS_BYTES : OTHER_BYTES;
  static constexpr int WEIGHTS_BYTES = OWN_QUERIES ? QUERIES_BYTES : Math::WEIGHTS_BYTES;
  static constexpr int SHARED_BYTES = OWN * OWN_BYTES + 2 * OTHER_BYTES + LINES * REST_BYTES + WEIGHTS_BYTES;

  const Attention<T> &task;
  const Saved<T> &saved;
  char *own, *others, *rest, *weights;
  int lines, count; // lines of the head's columns; keys that count
  int held;         // lines of this block's columns

  __device__ AttentionBackward(const Attention<T> &task_, const Saved<T> &saved_, char *shared)
      : task(task_), saved(saved_), own(shared), others(own + OWN * OWN_BYTES), rest(others + 2 * OTHER_BYTES),
        weights(rest + LINES * REST_BYTES), lines((task_.q.columns + LINE<T> - 1) / LINE<T>),
        count(keys_to_the_last(task_.mask, task_.k.rows)),
        held(min(LINES, lines - static_cast<int>(blockIdx.z) * LINES)) {}

  __device__ char *own_of(int step) const {
    return own + (lines <= OWN ? step % lines : step % OWN) * OWN_BYTES;
  }
  __device__ char *other_of(int step) const { return others + step % 2 * OTHER_BYTES; }

  __device__ void load_queries(char *to, int tile, int line) {
    load_tile<TILE_QUERIES>(to, task.q, tile * TILE_QUERIES, line * LINE<T>);
    load_tile<TILE_QUERIES>(to + QUERIES_BYTES, saved.dout, tile * TILE_QUERIES, line * LINE<T>);
  }
  __device__ void load_keys(char *to, int tile, int line) {
    load_tile<TILE_KEYS>(to, task.k, tile * TILE_KEYS, line * LINE<T>);
    load_tile<TILE_KEYS>(to + KEYS_BYTES, task.v, tile * TILE_KEYS, line * LINE<T>);
  }

  // `tile` is the other's.
  __device__ void load_step(int step, int tile) {
    const int line = step % lines;
    const bool needs_own = lines > OWN || step < lines;
    if constexpr (OWN_QUERIES) {
      if (needs_own) load_queries(own_of(step), blockIdx.x, line);
      load_keys(other_of(step), tile, line);
    } else {
      if (needs_own) load_keys(own_of(step), blockIdx.x, line);
      load_queries(other_of(step), tile, line);
    }
  }

  // The block's columns of the other tile: to be called in a tile's first step, there before its last is done.
  __device__ void load_rest(int tile) {
    if (lines == 1) return;
    for (int i = 0; i < held; ++i) {
      const int line = blockIdx.z * LINES + i;
      if constexpr (OWN_QUERIES)
        load_tile<TILE_KEYS>(rest + i * REST_BYTES, task.k, tile * TILE_KEYS, line * LINE<T>);
      else
        load_queries(rest + i * REST_BYTES, tile, line);
    }
  }
  __device__ unsigned rest_of(int step, int i) const {
    return shared_address(lines == 1 ? other_of(step) : rest + i * REST_BYTES);
  }

  // Adds a line's products; in a tile's last step all are there.
  __device__ void add_scores(Scores &scores, Scores &gradients, int step) {
    const unsigned mine = shared_address(own_of(step)), other = shared_address(other_of(step));
    const unsigned queries = OWN_QUERIES ? mine : other, keys = OWN_QUERIES ? other : mine;
    Math::add_scores(scores, queries, keys);
    Math::add_scores(gradients, queries + QUERIES_BYTES, keys + KEYS_BYTES);
  }

  // A statistic of this lane's rows, `beyond` where there are none.
  __device__ void rows_of(const float *statistic, int tile, float beyond, float (&values)[Math::HELD]) {
    const int first = tile * TILE_QUERIES + threadIdx.x / WARP * WARP_QUERIES;
#pragma unroll
    for (int i = 0; i < Math::HELD; ++i) {
      const int row = first + Math::row(i);
      values[i] = row < task.q.rows ? statistic[row] : beyond;
    }
  }
};

template <typename T> struct QueryGradient : AttentionBackward<T, true> {
  using Base = AttentionBackward<T, true>;
  using Math = TileMath<T>;
  using Base::Base, Base::task, Base::saved, Base::own, Base::others, Base::weights, Base::lines, Base::count,
      Base::held;
  using Base::load_step, Base::load_rest, Base::rest_of, Base::add_scores, Base::rows_of;

  // dq (+)= scale ds k, and `means`, the sums of p dp of each row. dq may be without data: not wanted.
  __device__ void run(const HeadRows<T> &dq, float *means, bool add) {
    const int tiles = (count + TILE_KEYS - 1) / TILE_KEYS, steps = tiles * lines;
    const int all_steps = dq.data == nullptr ? steps : 2 * steps, all = max(tiles, 1);
    float lse[Math::HELD], mean[Math::HELD] = {};
    rows_of(saved.lse, blockIdx.x, INFINITY, lse);
    Scores scores = {}, gradients = {};
    typename Math::QuerySums sums[GROUP_LINES<T>] = {};
#pragma unroll 1
    for (int step = -1; step < all_steps; ++step) {
      copy_wait<0>();
      __syncthreads();
      const int tile = step / lines % all, next = (step + 1) / lines % all;
      const bool second = step >= steps;
      if (step + 1 < all_steps) load_step(step + 1, next);
      if (second && step % lines == 0) load_rest(tile);
      copy_commit();
      if (step < 0) continue;
      add_scores(scores, gradients, step);
      if (step % lines < lines - 1) continue;
      const unsigned counting = counting_keys(task.mask, count, tile * TILE_KEYS);
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const int row = Math::held(i, j);
          const float p = probability(scores[i][j], task.scale, lse[row], counting >> Math::key(i, j) & 1);
          if (!second) mean[row] += p * gradients[i][j];
          scores[i][j] = p * (gradients[i][j] - mean[row]);
        }
      if (second) {
        Math::put_weights(weights, false, scores);
        __syncwarp();
#pragma unroll
        for (int i = 0; i < GROUP_LINES<T>; ++i)
          if (i < held) Math::add_over_keys(sums[i], shared_address(weights), false, rest_of(step, i));
      } else if (step == steps - 1) {
        put_means(means, mean);
      }
      zero(scores), zero(gradients);
    }
    if (steps == 0) put_means(means, mean);
    if (dq.data != nullptr) put(sums, dq, add);
  }

  // Completes the sums over the rows' keys.
  __device__ void put_means(float *means, float (&mean)[Math::HELD]) {
    const int first = blockIdx.x * TILE_QUERIES + threadIdx.x / WARP * WARP_QUERIES;
#pragma unroll
    for (int i = 0; i < Math::HELD; ++i) {
      mean[i] = row_sum<Math::LANES>(mean[i]);
      const int row = first + Math::row(i);
      if (blockIdx.z == 0 && threadIdx.x % Math::LANES == 0 && row < task.q.rows) means[row] = mean[i];
    }
  }

  __device__ void put(const typename Math::QuerySums (&sums)[GROUP_LINES<T>], const HeadRows<T> &dq, bool add) {
    const int row = threadIdx.x / WARP * WARP_QUERIES;
    float *const stage = reinterpret_cast<float *>(own) + row * LINE<T>;
    float factors[Math::HELD];
#pragma unroll
    for (int i = 0; i < Math::HELD; ++i) factors[i] = task.scale;
    __syncthreads(); // nobody uses the queries any more
#pragma unroll
    for (int i = 0; i < GROUP_LINES<T>; ++i) {
      Math::stage(stage, sums[i], factors);
      __syncwarp();
      put_staged<WARP_QUERIES>(stage, threadIdx.x % WARP, WARP, dq, blockIdx.x * TILE_QUERIES + row,
                               (blockIdx.z * GROUP_LINES<T> + i) * LINE<T>, add);
      __syncwarp();
    }
  }
};

template <typename T> struct KeyGradient : AttentionBackward<T, false> {
  using Base = AttentionBackward<T, false>;
  using Math = TileMath<T>;
  using Base::Base, Base::task, Base::saved, Base::own, Base::others, Base::weights, Base::lines, Base::count,
      Base::held;
  using Base::load_step, Base::load_rest, Base::rest_of, Base::add_scores, Base::rows_of;

  // dk (+)= scale ds^T q, dv (+)= p^T dout; either may be without data: not wanted.
  __device__ void run(const HeadRows<T> &dk, const HeadRows<T> &dv, const float *means, bool add_k,
                      bool add_v) {
    const unsigned counting = counting_keys(task.mask, count, blockIdx.x * TILE_KEYS);
    const int tiles = counting == 0 ? 0 : (task.q.rows + TILE_QUERIES - 1) / TILE_QUERIES;
    const int steps = tiles * lines;
    const bool for_keys = threadIdx.x >= 2 * WARP; // these warps sum dk, the others dv
    Scores scores = {}, gradients = {};
    typename Math::KeySums sums[GROUP_LINES<T>] = {};
#pragma unroll 1
    for (int step = -1; step < steps; ++step) {
      copy_wait<0>();
      __syncthreads();
      const int tile = step / lines;
      if (step + 1 < steps) load_step(step + 1, (step + 1) / lines);
      if (step >= 0 && step % lines == 0) load_rest(tile);
      copy_commit();
      if (step < 0) continue;
      add_scores(scores, gradients, step);
      if (step % lines < lines - 1) continue;
      put_weights(scores, gradients, means, tile, counting);
      __syncthreads();
#pragma unroll
      for (int i = 0; i < GROUP_LINES<T>; ++i)
        if (i < held)
          Math::add_over_queries(sums[i], shared_address(weights), for_keys,
                                 rest_of(step, i) + (for_keys ? 0 : QUERIES_BYTES));
      zero(scores), zero(gradients);
    }
    put(sums, dk, dv, add_k, add_v);
  }

  __device__ void put_weights(Scores &scores, Scores &gradients, const float *means, int tile,
                              unsigned counting) {
    float lse[Math::HELD], mean[Math::HELD];
    rows_of(saved.lse, tile, INFINITY, lse);
    rows_of(means, tile, 0.0f, mean);
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int row = Math::held(i, j);
        scores[i][j] = probability(scores[i][j], task.scale, lse[row], counting >> Math::key(i, j) & 1);
        gradients[i][j] = scores[i][j] * (gradients[i][j] - mean[row]);
      }
    Math::put_weights(weights, false, scores);
    Math::put_weights(weights, true, gradients);
  }

  __device__ void put(const typename Math::KeySums (&sums)[GROUP_LINES<T>], const HeadRows<T> &dk,
                      const HeadRows<T> &dv, bool add_k, bool add_v) {
    const bool for_keys = threadIdx.x >= 2 * WARP;
    const HeadRows<T> to = either(for_keys, dk, dv);
    float *const stage = reinterpret_cast<float *>(others + (for_keys ? QUERIES_BYTES : 0));
#pragma unroll
    for (int i = 0; i < GROUP_LINES<T>; ++i) {
      __syncthreads();
      Math::stage(stage, sums[i], for_keys ? task.scale : 1.0f);
      __syncthreads();
      if (to.data == nullptr) continue;
      put_staged<TILE_KEYS>(stage, threadIdx.x % (2 * WARP), 2 * WARP, to, blockIdx.x * TILE_KEYS,
                            (blockIdx.z * GROUP_LINES<T> + i) * LINE<T>, for_keys ? add_k : add_v);
    }
  }
};
