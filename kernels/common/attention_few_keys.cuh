// Attention backward for at most 32 keys, in one kernel.
//
// A block has 64 queries of a head at a time and all its keys. Scores and the gradients of probabilities are
// summed over the head's columns, a line at a time; then it goes back over the lines for the columns of all
// gradients, beginning with those that are still in shared memory. Its part of the keys' and values'
// gradients goes to memory in f32, where the last block of a head adds up the parts of all, in their order.
// Heads of one line keep keys and values in shared memory and their gradients in registers, over several
// tiles of queries. While a step is used the next is on its way.
#pragma once

#include "attention_backward.cuh"
#include "last_block.cuh"

// Parts that one block adds up: of more, every FEW_PARTS-th block adds FEW_PARTS of them, and so on.
constexpr int FEW_PARTS = 16;

// Where gradients go; those without data are not wanted.
template <typename T> struct Gradients {
  HeadRows<T> dq, dk, dv;
  bool add_q, add_k, add_v;
};

// The parts' sums: [groups][parts][lines] of dv and dk [keys, LINE], and the tickets for them, of which a
// line of a head has `ticket_count`.
struct Parts {
  float *sums;
  unsigned *tickets;
  int ticket_count;
};

template <typename T> struct FewKeys {
  using Math = TileMath<T>;
  static constexpr int SLOTS = 2; // lines in shared memory
  static constexpr int SLOT_BYTES = 2 * QUERIES_BYTES + 2 * KEYS_BYTES;
  static constexpr int STAGE_BYTES = TILE_QUERIES * LINE<T> * sizeof(float);
  static constexpr int SHARED_BYTES = SLOTS * SLOT_BYTES + Math::WEIGHTS_BYTES + STAGE_BYTES;
  static constexpr int DOUT = QUERIES_BYTES, KEYS = 2 * QUERIES_BYTES, VALUES = KEYS + KEYS_BYTES; // in a slot

  const Attention<T> &task;
  const Saved<T> &saved;
  const Gradients<T> &to;
  char *slots, *weights;
  float *stage;
  int lines;
  unsigned counting;
  bool for_keys; // this warp sums dk, else dv

  __device__ FewKeys(const Attention<T> &task_, const Saved<T> &saved_, const Gradients<T> &to_, char *shared)
      : task(task_), saved(saved_), to(to_), slots(shared), weights(slots + SLOTS * SLOT_BYTES),
        stage(reinterpret_cast<float *>(weights + Math::WEIGHTS_BYTES)),
        lines((task_.q.columns + LINE<T> - 1) / LINE<T>), counting(counting_keys(task_.mask, task_.k.rows, 0)),
        for_keys(threadIdx.x >= 2 * WARP) {}

  __device__ char *slot(int line) const { return slots + line % SLOTS * SLOT_BYTES; }

  __device__ void load_queries(char *at, int tile, int line) {
    load_tile<TILE_QUERIES>(at, task.q, tile * TILE_QUERIES, line * LINE<T>);
    load_tile<TILE_QUERIES>(at + DOUT, saved.dout, tile * TILE_QUERIES, line * LINE<T>);
  }
  __device__ void load_keys(char *at, int line) {
    load_tile<TILE_KEYS>(at + KEYS, task.k, 0, line * LINE<T>);
    load_tile<TILE_KEYS>(at + VALUES, task.v, 0, line * LINE<T>);
  }

  __device__ void add_scores(Scores &scores, Scores &gradients, unsigned queries, unsigned keys) {
    Math::add_scores(scores, queries, keys + KEYS);
    Math::add_scores(gradients, queries + DOUT, keys + VALUES);
  }

  // Probabilities and the gradients of scores, to shared memory.
  __device__ void put_weights(Scores &scores, Scores &gradients, int tile) {
    const int first = tile * TILE_QUERIES + threadIdx.x / WARP * WARP_QUERIES;
    float lse[Math::HELD], mean[Math::HELD] = {};
#pragma unroll
    for (int i = 0; i < Math::HELD; ++i)
      lse[i] = first + Math::row(i) < task.q.rows ? saved.lse[first + Math::row(i)] : INFINITY;
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int held = Math::held(i, j);
        scores[i][j] = probability(scores[i][j], task.scale, lse[held], counting >> Math::key(i, j) & 1);
        mean[held] += scores[i][j] * gradients[i][j];
      }
#pragma unroll
    for (int i = 0; i < Math::HELD; ++i) mean[i] = row_sum<Math::LANES>(mean[i]);
    // forward: p = softmax(s)
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j) gradients[i][j] = scores[i][j] * (gradients[i][j] - mean[Math::held(i, j)]);
    Math::put_weights(weights, false, scores);
    Math::put_weights(weights, true, gradients);
  }

  // forward: s = scale q k^T
  __device__ void put_queries(int tile, int line, unsigned keys) {
    if (to.dq.data == nullptr) return;
    typename Math::QuerySums sums = {};
    Math::add_over_keys(sums, shared_address(weights), true, keys + KEYS);
    float factors[Math::HELD];
#pragma unroll
    for (int i = 0; i < Math::HELD; ++i) factors[i] = task.scale;
    const int own = threadIdx.x / WARP * WARP_QUERIES;
    Math::stage(stage + own * LINE<T>, sums, factors);
    __syncwarp();
    put_staged<WARP_QUERIES>(stage + own * LINE<T>, threadIdx.x % WARP, WARP, to.dq, tile * TILE_QUERIES + own,
                             line * LINE<T>, to.add_q);
  }

  // forward: out = p v, s = scale q k^T
  __device__ void add_keys(typename Math::KeySums &sums, unsigned queries) {
    Math::add_over_queries(sums, shared_address(weights), for_keys, queries + (for_keys ? 0 : DOUT));
  }

  __device__ bool wants_keys() const { return to.dk.data != nullptr || to.dv.data != nullptr; }

  // A line of this block's part of dv and dk.
  __device__ void put_keys(const typename Math::KeySums &sums, int line, const Parts &parts) {
    const int half = for_keys ? TILE_KEYS : 0;
    __syncthreads(); // what was there has gone out
    Math::stage(stage + half * LINE<T>, sums, for_keys ? task.scale : 1.0f);
    __syncthreads();
    const int count = gridDim.x, keys = task.k.rows, size = 2 * keys * LINE<T>;
    if (count == 1) {
      const HeadRows<T> rows = either(for_keys, to.dk, to.dv);
      if (rows.data != nullptr)
        put_staged<TILE_KEYS>(stage + half * LINE<T>, threadIdx.x % (2 * WARP), 2 * WARP, rows, 0,
                              line * LINE<T>, for_keys ? to.add_k : to.add_v);
      return;
    }
    const size_t next = static_cast<size_t>(lines) * size; // from a part to the next
    float *const first = parts.sums + (static_cast<size_t>(task.group) * count * lines + line) * size;
    each_own([&](int row, int column, int at) {
      float four[FOUR];
      load_staged<LINE<T>>(stage, half + row, column, four);
      store(first + blockIdx.x * next + at, four);
    });
    add_parts(first, next, line, parts.tickets + (task.group * lines + line) * parts.ticket_count);
  }

  __device__ void add_parts(float *parts, size_t next, int line, unsigned *tickets) {
    const int count = gridDim.x, part = blockIdx.x;
#pragma unroll 1
    for (int span = 1; span < count; span *= FEW_PARTS) {
      const int all = span * FEW_PARTS, first = part / all * all;
      const int members = (min(count - first, all) + span - 1) / span;
      if (!is_last_block(tickets + part / all, members)) return;
      each_own([&](int row, int column, int at) {
        float sum[FOUR] = {};
#pragma unroll 4
        for (int i = 0; i < members; ++i) {
          float more[FOUR];
          load<float, FOUR>(parts + (first + i * span) * next + at, more);
#pragma unroll
          for (int j = 0; j < FOUR; ++j) sum[j] += more[j];
        }
        if (all >= count)
          put_final(row, line * LINE<T> + column, sum);
        else
          store(parts + first * next + at, sum);
      });
      tickets += (count + all - 1) / all;
    }
  }

  __device__ void put_final(int row, int column, const float (&four)[FOUR]) {
    const HeadRows<T> rows = either(for_keys, to.dk, to.dv);
    const int count = min(rows.columns - column, FOUR);
    if (rows.data != nullptr && count > 0)
      put_four(rows.at(row, column), count, rows.whole, four, for_keys ? to.add_k : to.add_v);
  }

  // `visit(row, column, at)` for four neighbouring numbers of dv, or dk, that this thread puts.
  template <typename Visit> __device__ void each_own(Visit visit) {
    const int keys = task.k.rows, thread = threadIdx.x % (2 * WARP);
    for (int i = thread; i < keys * LINE<T> / FOUR; i += 2 * WARP) {
      const int row = i / (LINE<T> / FOUR), column = i % (LINE<T> / FOUR) * FOUR;
      visit(row, column, ((for_keys ? keys : 0) + row) * LINE<T> + column);
    }
  }

  // A block's part of the queries is one tile, or up to `tiles` if the head is no wider than a line.
  __device__ void run(const Parts &parts, int tiles) {
    if (lines == 1)
      run_narrow(parts, tiles);
    else
      run_wide(parts);
  }

  __device__ void run_wide(const Parts &parts) {
    Scores scores = {}, gradients = {};
    const auto line_of = [&](int step) {
      return step < lines ? step : 2 * lines - 1 - step;
    };
    const auto load_step = [&](int step) {
      const int line = line_of(step);
      if (step >= 2 * lines || (step >= lines && line >= lines - SLOTS)) return; // it is still there
      load_queries(slot(line), blockIdx.x, line), load_keys(slot(line), line);
    };
#pragma unroll 1
    for (int step = -1; step < 2 * lines; ++step) {
      copy_wait<0>();
      __syncthreads();
      load_step(step + 1);
      copy_commit();
      if (step < 0) continue;
      const int line = line_of(step);
      const unsigned at = shared_address(slot(line));
      if (step < lines) {
        add_scores(scores, gradients, at, at);
        if (step == lines - 1) put_weights(scores, gradients, blockIdx.x);
        continue;
      }
      put_queries(blockIdx.x, line, at);
      if (!wants_keys()) continue;
      typename Math::KeySums sums = {};
      add_keys(sums, at);
      put_keys(sums, line, parts);
    }
  }

  __device__ void run_narrow(const Parts &parts, int most) {
    const int begin = blockIdx.x * most,
              end = min(begin + most, (task.q.rows + TILE_QUERIES - 1) / TILE_QUERIES);
    const unsigned keys = shared_address(slots);
    typename Math::KeySums sums = {};
    load_keys(slots, 0);
#pragma unroll 1
    for (int tile = begin - 1; tile < end; ++tile) {
      copy_wait<0>();
      __syncthreads();
      if (tile + 1 < end) load_queries(slot(tile + 1 - begin), tile + 1, 0);
      copy_commit();
      if (tile < begin) continue;
      const unsigned queries = shared_address(slot(tile - begin));
      Scores scores = {}, gradients = {};
      add_scores(scores, gradients, queries, keys);
      put_weights(scores, gradients, tile);
      __syncthreads();
      put_queries(tile, 0, keys);
      if (wants_keys()) add_keys(sums, queries);
    }
    if (wants_keys()) put_keys(sums, 0, parts);
  }
};
