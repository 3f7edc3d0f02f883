// Both products of an MLP in one launch: a block has the rows, goes through its part of the hidden units 32 at a
// time, and leaves nothing of them in memory but what backward wants.
#pragma once

#include "../linear/forward.cuh"
#include "hidden.cuh"

// As kernels are told; null for what there is not.
struct MlpForward {
  const bf16 *inp;
  Norm norm; // of inp, unless its weight is null
  const bf16 *first_weight;  // [hidden, inputs]
  const float *first_bias;   // [hidden]
  const bf16 *second_weight; // [outputs, hidden]
  const float *second_bias;  // [outputs]
  const bf16 *residual;
  bf16 *out, *pre;
  float *memory;
  unsigned *tickets;
  float eps;
  int rows, inputs, hidden, outputs, parts, activation;
  Drop drop;
};

// Two numbers at once: of an assignment nvcc makes two stores now and then.
__device__ inline void store_shared(unsigned at, float first, float second) {
  asm volatile("st.shared.v2.f32 [%0], {%1, %2};" ::"r"(at), "f"(first), "f"(second) : "memory");
}

// One block's part of the sums; `task` has the hidden units as its depth.
template <typename Shape> struct MlpBlock {
  static constexpr int ROW_TILES = Shape::ROW_TILES; // of 16 rows
  static constexpr int DEPTHS = Shape::CHANNELS / 16, COLUMN_TILES = Shape::CHANNELS / 8;
  const MlpForward &of;
  const GemmTask &task;
  // This thread's share of its warp's rows.
  unsigned inputs[DEPTHS][ROW_TILES][4];
  float sums[ROW_TILES][COLUMN_TILES][4];

  __device__ MlpBlock(const MlpForward &of_, const GemmTask &task_) : of(of_), task(task_) {}

  // Brings that step's weights. Where a thread finds them is worked out anew each time, from numbers of which
  // nvcc does not know what they are, and takes no registers meanwhile.
  __device__ void bring(int step) const {
    const int slot = step % HIDDEN_STAGES, unit = gemm_bf16::held(task.begin + step * HIDDEN_STEP);
    const int channel = gemm_bf16::held(0);
    char *const to = block_memory() + slot * Shape::STEP_BYTES;
    typename Shape::FirstWeights(of.first_weight, of.inputs, of.hidden, channel, unit).next(to);
    typename Shape::SecondWeights(of.second_weight, of.outputs, of.hidden, channel, unit)
        .next(to + Shape::WEIGHTS);
    if (threadIdx.x >= HIDDEN_STEP) return;
    const int own = unit + threadIdx.x;
    float *const place = Shape::floats(Shape::BIASES_AT) + slot * HIDDEN_STEP + threadIdx.x;
    copy_async<4>(shared_address(place), of.first_bias + own,
                  own < (of.first_bias == nullptr ? 0 : of.hidden));
  }

  __device__ void bring_inputs() const {
    typename Shape::Inputs loader(of.inp, of.rows, of.inputs, task.row, 0);
#pragma unroll 1
    for (int step = 0; step < Shape::CHANNELS / HIDDEN_STEP; ++step)
      loader.next(block_memory() + Shape::INPUT_AT + step * Shape::INPUT_STEP);
  }

  // Makes the statistics of the rows, which lie in shared memory then, as the parameters do.
  __device__ void prepare_norm(bool leave) const {
    float *const statistics = Shape::floats(Shape::STATISTICS_AT);
    float *const parameters = Shape::floats(Shape::NORM_AT);
    for (int i = threadIdx.x; i < Shape::CHANNELS; i += Shape::THREADS) {
      parameters[i] = i < of.inputs ? of.norm.weight[i] : 0.0f;
      parameters[Shape::CHANNELS + i] = i < of.inputs ? of.norm.bias[i] : 0.0f;
    }
    const auto put = [&](int row, float mean, float rstd) {
      statistics[row - task.row] = mean, statistics[MLP_ROWS + row - task.row] = rstd;
      if (leave && row < of.rows) of.norm.mean[row] = mean, of.norm.rstd[row] = rstd;
    };
    const int first = task.row + Shape::warp_row();
    if (aligned<8>(of.inp, of.inputs)) {
#pragma unroll
      for (int i = 0; i < ROW_TILES; ++i)
        warp_statistics<8, 4>(of.inp, of.rows, of.inputs, first + i * 16, of.eps, put);
    } else {
#pragma unroll 1
      for (int i = 0; i < ROW_TILES; ++i)
        warp_statistics<1, 1>(of.inp, of.rows, of.inputs, first + i * 16, of.eps, put);
    }
  }

  __device__ void take_inputs() {
    using gemm_bf16::first_at;
    const unsigned at = shared_address(block_memory() + Shape::INPUT_AT) +
                        first_at<MLP_ROWS, Lies::BY_DEPTH>(Shape::warp_row());
#pragma unroll
    for (int d = 0; d < DEPTHS; ++d)
#pragma unroll
      for (int i = 0; i < ROW_TILES; ++i)
        gemm_bf16::load_fragment<MLP_ROWS, Lies::BY_DEPTH>(inputs[d][i], at + d / 2 * Shape::INPUT_STEP, i,
                                                           d % 2 * 16);
  }

  // forward: n = (inp - mean) rstd weight + bias
  __device__ void normalize() {
    const int lane = threadIdx.x % WARP;
    const float *const weight = Shape::floats(Shape::NORM_AT) + lane % 4 * 2;
    const float *const bias = weight + Shape::CHANNELS;
    const float *const means = Shape::floats(Shape::STATISTICS_AT) + Shape::warp_row() + lane / 4;
#pragma unroll
    for (int i = 0; i < ROW_TILES; ++i)
#pragma unroll
      for (int lower = 0; lower < 2; ++lower) {
        const float *const of_row = means + i * 16 + lower * 8;
        const float rstd = of_row[MLP_ROWS], shift = -of_row[0] * rstd;
#pragma unroll
        for (int d = 0; d < DEPTHS; ++d)
#pragma unroll
          for (int right = 0; right < 2; ++right) {
            const float2 w = *reinterpret_cast<const float2 *>(weight + d * 16 + right * 8);
            const float2 b = *reinterpret_cast<const float2 *>(bias + d * 16 + right * 8);
            unsigned &word = inputs[d][i][right * 2 + lower];
            float x, y;
            unpack_pair(word, x, y);
            word = pack_pair(fmaf(fmaf(x, rstd, shift), w.x, b.x), fmaf(fmaf(y, rstd, shift), w.y, b.y));
          }
      }
  }

  // One group of a step's hidden units.
  __device__ void add_group(int step, int group) {
    const int line = group * Shape::GROUP, slot = step % HIDDEN_STAGES;
    const unsigned weights = shared_address(block_memory()) + slot * Shape::STEP_BYTES;
    Hidden<Shape> hidden(Shape::floats(Shape::BIASES_AT) + slot * HIDDEN_STEP + line);
    make_hidden(hidden, weights, line);
    if (of.pre != nullptr)
      hidden.put({of.pre, of.rows, of.hidden}, task.row + Shape::warp_row(), task.begin + step * HIDDEN_STEP + line);
    hidden.activate(of.activation);
    add_hidden(hidden, weights + Shape::WEIGHTS, line);
  }

  // The first product, with the lines of the weights from `line` on.
  __device__ void make_hidden(Hidden<Shape> &hidden, unsigned weights, int line) const {
    using Place = typename Shape::FirstWeights::Place;
    const int lane = threadIdx.x % WARP;
    const unsigned at = weights + Place::offset(line + lane / 16 * 8 + lane % 8, lane / 8 % 2);
#pragma unroll
    for (int d = 0; d < DEPTHS; ++d)
#pragma unroll
      for (int p = 0; p < Hidden<Shape>::PAIRS; ++p) {
        unsigned b[4];
        load_matrices<false>(b, (at ^ d % 4 * 32) + d / 4 * 128 + p * 16 * Place::LINE_BYTES);
        hidden.add(inputs[d], p, b);
      }
  }

  // The second, with the columns of the weights from `column` on.
  __device__ void add_hidden(const Hidden<Shape> &hidden, unsigned weights, int column) {
    constexpr int SIDE = Shape::CHANNELS;
    const unsigned at =
        weights + gemm_bf16::second_at<SIDE, Lies::BY_DEPTH>(0) ^ column / gemm_bf16::CHUNK * 16;
#pragma unroll
    for (int p = 0; p < Hidden<Shape>::PAIRS; ++p) {
      unsigned a[ROW_TILES][4];
      hidden.pack(p, a);
#pragma unroll
      for (int j = 0; j < COLUMN_TILES / 2; ++j) {
        unsigned b[4];
        gemm_bf16::load_fragment<SIDE, Lies::BY_DEPTH>(b, at, j, p * 16);
#pragma unroll
        for (int i = 0; i < ROW_TILES; ++i) {
          multiply_add(sums[i][j * 2], a[i], b[0], b[1]);
          multiply_add(sums[i][j * 2 + 1], a[i], b[2], b[3]);
        }
      }
    }
  }

  __device__ void clear_sums() {
#pragma unroll
    for (int i = 0; i < ROW_TILES; ++i)
#pragma unroll
      for (int j = 0; j < COLUMN_TILES * 4; ++j) sums[i][j / 4][j % 4] = 0.0f;
  }

  __device__ void run(bool leave) {
    const bool norm = of.norm.weight != nullptr;
    const int steps = (task.end - task.begin + HIDDEN_STEP - 1) / HIDDEN_STEP;
    bring_inputs(), copy_commit();
    if (steps > 0) bring(0);
    copy_commit();
    if (norm) prepare_norm(leave);
    copy_wait<1>(), __syncthreads(); // the input has come, for all
    take_inputs();
    if (norm) normalize();
    __syncthreads(); // nobody reads it from shared memory any more
    if (steps > 1) bring(1);
    copy_commit();
    clear_sums();
#pragma unroll 1
    for (int step = 0; step < steps; ++step) {
      copy_wait<HIDDEN_STAGES - 2>(); // its weights have come, for this thread
      __syncthreads();                // for all, and nobody uses those before them any more
      if (step + HIDDEN_STAGES - 1 < steps) bring(step + HIDDEN_STAGES - 1);
      copy_commit();
      if (task.row + Shape::warp_row() < of.rows)
#pragma unroll 1
        for (int group = 0; group < HIDDEN_STEP / Shape::GROUP; ++group) add_group(step, group);
    }
    copy_wait<0>();
  }

  template <typename Finish> __device__ void finish(Finish finish) const {
    using Tile = typename Shape::Tile;
    const auto put = [&](float *half) {
      const int lane = threadIdx.x % WARP, row = Shape::warp_row() % (MLP_ROWS / 2) + lane / 4;
#pragma unroll
      for (int i = 0; i < ROW_TILES; ++i)
#pragma unroll
        for (int j = 0; j < COLUMN_TILES; ++j)
#pragma unroll
          for (int lower = 0; lower < 2; ++lower)
            store_shared(shared_address(half + in_half<Tile>(row + i * 16 + lower * 8, j * 8 + lane % 4 * 2)),
                         sums[i][j][lower * 2], sums[i][j][lower * 2 + 1]);
    };
    finish_tile<Tile>(reinterpret_cast<float *>(block_memory()), task, put, finish);
  }
};

// Up to CHANNELS inputs and outputs.
template <int CHANNELS> __device__ inline void mlp_forward(const MlpForward &of) {
  using Shape = MlpShape<CHANNELS>;
  const Parts parts = {of.memory, of.tickets, of.parts};
  const TilePart<typename Shape::Tile> part(parts, of.rows, of.outputs, of.hidden, blockIdx.x, HIDDEN_STEP);
  const auto make = [&](auto put) {
    MlpBlock<Shape> block(of, part.task);
    block.run(of.norm.mean != nullptr && part.which == 0);
    block.finish(put);
  };
  part.run(make, Epilogue<bf16>{of.second_bias, of.residual, of.out, nullptr, of.outputs, NONE, of.drop});
}
