// What a block of the backward pass works with, and what its warps do together.
#pragma once

#include "gradients.cuh"

// Tiles of 16 keys that a warp has.
template <typename T, int D> constexpr int KEYS = sizeof(T) == 4 || D <= 32 ? 2 : 1;

// Whether a warp keeps its tiles of k and v in registers, and gradients of scores take the place of v in
// shared memory.
template <typename T, int D> constexpr bool KEEPS = sizeof(T) == 2 && D <= 32;

// What the launch gives besides sizes. Gradients that nobody wants are null.
template <typename T> struct BackwardPass {
  const T *qkv, *qkv_bias;
  const float *table, *lse;
  const T *dout;
  T *dqkv;
  float *dbias, *dtable;
  float *turned, *partial; // scratch
  unsigned *tickets;
  bool add_qkv, add_bias, add_table;
  int group; // tiles of queries
};

// Places for sums of warps, of which there are at most 5 or 10: no rectangle has more than 10 tiles.
template <typename T, int D> constexpr int SLOTS = KEYS<T, D> == 2 ? 6 : 10;

// Numbers of two neighbouring queries that all keys need: where their biases are, and the logarithms of their
// sums of exponentials. A query that is none has infinity for a logarithm, which makes nothing of its scores.
struct QueryPairs {
  static constexpr int WORDS = 4; // of a pair
  enum Number { BIASES = 0, LOGARITHM = 2 };

  Shared<float> words;

  __device__ float &of(int query, Number number) const {
    return words[query / 2 * WORDS + number + query % 2];
  }
  __device__ unsigned address(int query) const { return words.address() + query / 2 * WORDS * 4; }
};

template <typename T, int D> struct BackwardBlock {
  Shared<T> q, k, v, dout;        // rows; if KEEPS, v lies where gradients of scores come later
  Shared<int> places, of_queries; // of rows of keys and of queries on the map
  QueryPairs queries;
  Biases biases;
  Gradients<T> gradients;
  Shared<float> sums; // [2, slots, 16]: sum(p dp) of the queries of a tile over each warp's keys

  static __device__ BackwardBlock of(const BackwardPass<T> &pass, const Map &map) {
    Pieces memory;
    BackwardBlock block;
    const int rows = map.tiles * 16, size = sizeof(T), strips = (3 * map.window - 2) * map.window * 4;
    block.q = memory.take<T>(rows * D), block.k = memory.take<T>(rows * D);
    block.dout = memory.take<T>(rows * D);
    if (!KEEPS<T, D>) block.v = memory.take<T>(rows * D);
    block.gradients.pitch = Gradients<T>::pitch_of(pass.group);
    block.gradients.ds = {memory.at};
    if (KEEPS<T, D>) block.v = {memory.at};
    memory.take<char>(max(rows * block.gradients.pitch, max(KEEPS<T, D> ? rows * D * size : 0, strips)));
    block.biases = Biases::take(memory, map);
    block.places = memory.take<int>(rows), block.of_queries = memory.take<int>(rows);
    block.queries.words = memory.take<float>(rows / 2 * QueryPairs::WORDS);
    block.sums = memory.take<float>(2 * SLOTS<T, D> * 16);
    block.gradients.take(memory, map, pass.partial != nullptr);
    return block;
  }

  // Brings everything of a rectangle; nothing is there before the copies are waited for.
  __device__ void bring(const Rectangle &r, const BackwardPass<T> &pass, const Map &map) const {
    const int head = map.head(), channels = map.heads * map.head_dim;
    const auto of = [&](const T *of_map, int parts) { return Head<const T>::of(of_map, map, head, parts, 0); };
    const Head<const T> rows = of(pass.qkv, 3);
    const T *const padding = of(pass.qkv_bias, 3).first;
    const Source<T> from[4] = {{rows, nullptr, true, q},
                               {rows.part(1, channels), padding + channels, false, k},
                               {rows.part(2, channels), padding + 2 * channels, false, v},
                               {of(pass.dout, 1), nullptr, true, dout}};
    bring_rows<T, D>(from, r, map.width);
  }

  // Of rows, and of keys and queries.
  __device__ void set_places(const Rectangle r, const float *statistic, const Map &map) const {
    // [B, heads, H, W], of which places know the batch's part
    statistic += static_cast<size_t>(r.image * (map.heads - 1) + map.head()) * map.height * map.width;
    for (int i = of_thread(); i < r.key_tiles() * 16; i += blockDim.x) {
      const int position = r.position(i), place = r.place(position, map.width);
      places[i] = r.place(i, map.width), of_queries[i] = place;
      biases.keys[i] = biases.key(r, i);
      queries.of(i, QueryPairs::BIASES) = __int_as_float(biases.query(r, position));
      queries.of(i, QueryPairs::LOGARITHM) = place >= 0 ? statistic[place] : INFINITY;
    }
    for (int i = of_thread(); i < 2 * SLOTS<T, D> * 16; i += blockDim.x) sums[i] = 0.0f; // without a warp
  }

  // Gradients of the N tiles of queries from `row` on, of the group that begins at row `begin`, by one warp.
  template <int N>
  __device__ void put_queries(int row, int begin, int keys, const BackwardPass<T> &pass, const Map &map) const {
    const int lane = of_lane(), pitch = gradients.pitch;
    unsigned ds = gradients.ds.address() + (row - begin) * static_cast<int>(sizeof(T));
    float dq[N][D / 8][4] = {};
#pragma unroll 1
    for (int key = 0; key < keys; key += 16, ds += 16 * pitch)
      multiply_transposed<T, D, N>(dq, ds, pitch, k.address(), key, lane);
    // forward: s = scale q k^T + biases. Nobody reads the group's q any more.
#pragma unroll
    for (int n = 0; n < N; ++n)
      put_sums(dq[n], biases.root, row + n * 16, q, of_queries, 0, pass, map);
  }

  // Writes the gradients of 16 rows of q, k or v (`part`), in whose place they are first put.
  __device__ void put_sums(const float (&sums)[D / 8][4], float factor, int row, const Shared<T> rows,
                           const Shared<int> of_rows, int part, const BackwardPass<T> &pass,
                           const Map &map) const {
    const int lane = of_lane();
    const Head<T> to = Head<T>::of(pass.dqkv, map, map.head(), 3, part);
    if (pass.add_qkv) return add_sums<T, D>(sums, factor, row, to, of_rows, lane);
    store_sums<T, D>(rows.address(), row, sums, factor, factor, lane);
    __syncwarp();
    put_rows<T, D>(rows, row, to, of_rows, lane);
  }

  // After a group: all threads have written `ds`, and come here.
  __device__ void finish_group(const Rectangle &r, int begin, int end, const BackwardPass<T> &pass,
                               const Map &map) const {
    __syncthreads();
    if (pass.partial != nullptr) gradients.sum_group(r, map.window, begin, end);
    if (pass.dqkv != nullptr)
      for (int row = begin + of_thread() / WARP * 32; row < end; row += blockDim.x / WARP * 32) {
        if (row + 16 < end)
          put_queries<2>(row, begin, r.key_tiles() * 16, pass, map);
        else
          put_queries<1>(row, begin, r.key_tiles() * 16, pass, map);
      }
    __syncthreads();
  }
};
