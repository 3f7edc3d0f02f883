// Attention forward for any number of keys and any width of heads.
//
// A block has 64 queries of a head and goes over tiles of 32 keys with an online softmax; for each it sums
// scores over the head's columns, a line at a time. If the keys are one tile, it then makes all columns of
// the result, with probabilities that stay in shared memory; else those that gridDim.z leaves to it, and
// other blocks make the scores again. While a step is used the next is on its way.
#pragma once

#include "attention_tile.cuh"

template <typename T> struct AttentionForward {
  using Math = TileMath<T>;
  static constexpr int LINES = GROUP_LINES<T>;
  static constexpr int OWN = 2; // lines of queries in shared memory; narrower heads stay there
  static constexpr int SHARED_BYTES = OWN * QUERIES_BYTES + 2 * KEYS_BYTES + 2 * LINES * KEYS_BYTES +
                                      QUERIES_BYTES;

  const Attention<T> &task;
  char *queries, *keys, *values, *weights;
  int first, lines, count,
      tiles; // first query; lines of the head's columns; keys that count, and tiles of them

  __device__ AttentionForward(const Attention<T> &task_, char *shared)
      : task(task_), queries(shared), keys(queries + OWN * QUERIES_BYTES), values(keys + 2 * KEYS_BYTES),
        weights(values + 2 * LINES * KEYS_BYTES), first(blockIdx.x * TILE_QUERIES),
        lines((task_.q.columns + LINE<T> - 1) / LINE<T>), count(keys_to_the_last(task_.mask, task_.k.rows)),
        tiles((count + TILE_KEYS - 1) / TILE_KEYS) {}

  __device__ char *own(int step) const {
    return queries + (lines <= OWN ? step % lines : step % OWN) * QUERIES_BYTES;
  }

  // Columns of the result: the tile's values for a group of LINES.
  __device__ void load_values(int tile, int group, char *to) {
#pragma unroll
    for (int i = 0; i < LINES; ++i)
      load_tile<TILE_KEYS>(to + i * KEYS_BYTES, task.v, tile * TILE_KEYS, (group * LINES + i) * LINE<T>);
  }

  // A step is one line of columns of one tile of keys.
  __device__ void load_step(int step, int group) {
    const int tile = step / lines, line = step % lines;
    if (lines > OWN || tile == 0) load_tile<TILE_QUERIES>(own(step), task.q, first, line * LINE<T>);
    load_tile<TILE_KEYS>(keys + step % 2 * KEYS_BYTES, task.k, tile * TILE_KEYS, line * LINE<T>);
    if (line == lines - 1) load_values(tile, group, values + tile % 2 * LINES * KEYS_BYTES);
  }

  using Sums = typename Math::QuerySums[LINES];

  __device__ void add_values(Sums &sums, const char *from) {
#pragma unroll
    for (int i = 0; i < LINES; ++i)
      Math::add_over_keys(sums[i], shared_address(weights), false, shared_address(from + i * KEYS_BYTES));
  }

  // Takes the queries' place for the result on its way out.
  __device__ void put(const Sums &sums, const float (&factors)[Math::HELD], int group, const HeadRows<T> &out) {
    const int own = threadIdx.x / WARP * WARP_QUERIES;
    float *const stage = reinterpret_cast<float *>(queries) + own * LINE<T>;
#pragma unroll
    for (int i = 0; i < LINES; ++i) {
      Math::stage(stage, sums[i], factors);
      __syncwarp();
      put_staged<WARP_QUERIES>(stage, threadIdx.x % WARP, WARP, out, first + own, (group * LINES + i) * LINE<T>,
                               false);
      __syncwarp();
    }
  }

  // Scores become exponentials of their distance from the row's largest so far, which go to shared memory;
  // `shrink` is what earlier sums have to be multiplied by.
  __device__ void exponentials(Scores &scores, int tile, float (&largest)[Math::HELD],
                               float (&total)[Math::HELD], float (&shrink)[Math::HELD]) {
    const unsigned counting = counting_keys(task.mask, count, tile * TILE_KEYS);
    float reference[Math::HELD], more[Math::HELD] = {};
#pragma unroll
    for (int i = 0; i < Math::HELD; ++i) reference[i] = largest[i];
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        scores[i][j] = counting >> Math::key(i, j) & 1 ? __fmul_rn(scores[i][j], task.scale) : -INFINITY;
        reference[Math::held(i, j)] = fmaxf(reference[Math::held(i, j)], scores[i][j]);
      }
#pragma unroll
    for (int i = 0; i < Math::HELD; ++i) {
      const float before = largest[i];
      largest[i] = row_largest<Math::LANES>(reference[i]);
      reference[i] = largest[i] == -INFINITY ? 0.0f : largest[i]; // no key yet
      shrink[i] = __expf(before - reference[i]);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        scores[i][j] = __expf(scores[i][j] - reference[Math::held(i, j)]);
        more[Math::held(i, j)] += scores[i][j];
      }
#pragma unroll
    for (int i = 0; i < Math::HELD; ++i) total[i] = total[i] * shrink[i] + row_sum<Math::LANES>(more[i]);
    Math::put_weights(weights, false, scores);
    __syncwarp();
  }

  __device__ void run(const HeadRows<T> &out, float *lse) {
    const int steps = tiles * lines;
    float largest[Math::HELD], total[Math::HELD], factors[Math::HELD];
#pragma unroll
    for (int i = 0; i < Math::HELD; ++i) largest[i] = -INFINITY, total[i] = 0.0f;
    Scores scores = {};
    Sums sums = {};
#pragma unroll 1
    for (int step = -1; step < steps; ++step) {
      copy_wait<0>();  // this step has come, for this thread
      __syncthreads(); // for all, and nobody uses the step before it any more
      if (step + 1 < steps) load_step(step + 1, blockIdx.z);
      copy_commit();
      if (step < 0) continue;
      Math::add_scores(scores, shared_address(own(step)), shared_address(keys + step % 2 * KEYS_BYTES));
      if (step % lines < lines - 1) continue;
      const int tile = step / lines;
      exponentials(scores, tile, largest, total, factors);
#pragma unroll
      for (int i = 0; i < LINES; ++i) Math::scale(sums[i], factors);
      add_values(sums, values + tile % 2 * LINES * KEYS_BYTES);
      zero(scores);
    }
#pragma unroll
    for (int i = 0; i < Math::HELD; ++i) {
      const int row = first + threadIdx.x / WARP * WARP_QUERIES + Math::row(i);
      factors[i] = total[i] > 0.0f ? 1.0f / total[i] : 0.0f;
      if (lse != nullptr && blockIdx.z == 0 && threadIdx.x % Math::LANES == 0 && row < task.q.rows)
        lse[row] = largest[i] + logf(total[i]);
    }
    finish(sums, factors, out);
  }

  // Puts the first group of columns, makes the others that are left to this block and puts them.
  __device__ void finish(Sums &sums, const float (&factors)[Math::HELD], const HeadRows<T> &out) {
    const int end = gridDim.z == 1 ? (lines + LINES - 1) / LINES : blockIdx.z + 1;
    int group = blockIdx.z;
#pragma unroll 1
    while (true) {
      copy_wait<0>();
      __syncthreads(); // nobody uses the queries any more, nor the values of the group before
      if (group > static_cast<int>(blockIdx.z)) {
        zero(sums);
        if (tiles > 0) add_values(sums, values + group % 2 * LINES * KEYS_BYTES);
      }
      if (group + 1 < end && tiles > 0)
        load_values(0, group + 1, values + (group + 1) % 2 * LINES * KEYS_BYTES);
      copy_commit();
      put(sums, factors, group, out);
      if (++group >= end) return;
    }
  }
};
