// A convolution's weight [outputs, channels, taps] in the order of a product's depth, and its gradient back
// from it. Tiles go through shared memory, so that both sides are read and written in whole lines. A block is told
// which of them it has, and where its shared memory is.
#pragma once

#include "convolution.cuh"

constexpr int WEIGHT_THREADS = 256;
constexpr int TAPS = 9; // that a tile has at once

// The number of a channel's tap in the depth, of `filled` channels.
__device__ inline int number_of(int channel, int tap, int filled, int taps) {
  const int group = channel / GROUP * GROUP;
  return group * taps + tap * min(filled - group, GROUP) + channel - group;
}

// 32 outputs by 32 channels by nine taps; lines are as long as keeps two of them out of the same bank.
template <typename T> struct WeightTile {
  static constexpr int LINE = GROUP * TAPS + 4 / sizeof(T);
  T values[GROUP * LINE];

  __device__ void load(const T *weight, int outputs, int channels, int taps, int first_output,
                       int first_channel, int first_tap) {
    for (int o = threadIdx.x / WARP; o < GROUP; o += WEIGHT_THREADS / WARP) {
      const int output = first_output + o;
#pragma unroll
      for (int n = threadIdx.x % WARP; n < GROUP * TAPS; n += WARP) {
        const int channel = first_channel + n / TAPS, tap = first_tap + n % TAPS;
        const bool there = output < outputs && channel < channels && tap < taps;
        const size_t at = (static_cast<size_t>(output) * channels + channel) * taps + tap;
        values[o * LINE + n] = there ? weight[at] : static_cast<T>(0.0f);
      }
    }
  }

  __device__ float at(int output, int channel, int tap) const {
    return static_cast<float>(values[output * LINE + channel * TAPS + tap]);
  }
};

// Blocks that pack a weight: one for each 32 outputs by 32 channels.
__device__ inline int pack_blocks(int outputs, int channels) {
  return ((outputs + GROUP - 1) / GROUP) * ((channels + GROUP - 1) / GROUP);
}

// packed [outputs, the depth of the channels' taps], or [channels, the depth of the outputs' taps], these in
// the opposite order, FOR_INPUT.
template <bool FOR_INPUT, typename T>
__device__ inline void pack_weight(const T *weight, T *packed, int outputs, int channels, int taps, int block,
                                   void *shared) {
  WeightTile<T> &tile = *static_cast<WeightTile<T> *>(shared);
  const int across = (channels + GROUP - 1) / GROUP;
  const int first_channel = block % across * GROUP, first_output = block / across * GROUP;
  const int rows = FOR_INPUT ? channels : outputs, filled = filled_up(FOR_INPUT ? outputs : channels);
  const int first_row = FOR_INPUT ? first_channel : first_output;
  const int first = FOR_INPUT ? first_output : first_channel;
  constexpr int CHUNK = 8, CHUNKS = GROUP / CHUNK;
  for (int first_tap = 0; first_tap < taps; first_tap += TAPS) {
    __syncthreads();
    tile.load(weight, outputs, channels, taps, first_output, first_channel, first_tap);
    __syncthreads();
    for (int i = threadIdx.x; i < GROUP * TAPS * CHUNKS; i += WEIGHT_THREADS) {
      const int row = i / (TAPS * CHUNKS), t = i / CHUNKS % TAPS, number = i % CHUNKS * CHUNK;
      if (first_row + row >= rows || first + number >= filled || first_tap + t >= taps) continue;
      float values[CHUNK];
#pragma unroll
      for (int k = 0; k < CHUNK; ++k)
        values[k] = FOR_INPUT ? tile.at(number + k, row, t) : tile.at(row, number + k, t);
      const int tap = FOR_INPUT ? taps - 1 - first_tap - t : first_tap + t;
      store(packed + static_cast<size_t>(first_row + row) * filled * taps +
                number_of(first + number, tap, filled, taps),
            values);
    }
  }
}

// Channels of a block that sums a weight's gradient, and such blocks.
constexpr int SUM_CHANNELS = WEIGHT_THREADS / WARP;
__device__ inline int sum_blocks(int outputs, int channels) {
  return ((outputs + WARP - 1) / WARP) * ((channels + SUM_CHANNELS - 1) / SUM_CHANNELS);
}

// dweight [outputs, channels, taps] and dbias [outputs], null for what is not wanted; each is set or added to.
struct WeightGradient {
  float *dweight, *dbias;
  bool add, add_bias;

  __device__ bool wanted() const { return dweight != nullptr || dbias != nullptr; }
};

// (+)= the sums of `partial` [parts, the channels' depth and the bias, outputs]. A warp sums a channel of 32
// outputs, nine taps at once.
__device__ inline void sum_weight(const float *partial, const WeightGradient &to, int parts, int outputs,
                                  int channels, int taps, int block, void *shared) {
  float(&tile)[WARP][SUM_CHANNELS * TAPS + 1] = *static_cast<float(*)[WARP][SUM_CHANNELS * TAPS + 1]>(shared);
  const int across = (channels + SUM_CHANNELS - 1) / SUM_CHANNELS;
  const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
  const int filled = filled_up(channels), first = block % across * SUM_CHANNELS;
  const int first_output = block / across * WARP, output = first_output + lane;
  const int width = min(filled - first / GROUP * GROUP, GROUP);
  const size_t apart = (static_cast<size_t>(filled) * taps + 1) * outputs;
  const float *const from = partial + static_cast<size_t>(number_of(first + warp, 0, filled, taps)) * outputs;
  if (to.dbias != nullptr && first == 0 && warp == 0 && output < outputs) {
    float sum[1] = {0.0f};
    for (int part = 0; part < parts; ++part) sum[0] += partial[(part + 1) * apart - outputs + output];
    put(to.dbias + output, sum, to.add_bias);
  }
  if (to.dweight == nullptr) return;
  for (int first_tap = 0; first_tap < taps; first_tap += TAPS) {
    float sums[TAPS] = {};
    if (output < outputs) {
#pragma unroll 1
      for (int part = 0; part < parts; ++part) {
        const float *const of_part = from + part * apart + output;
#pragma unroll
        for (int t = 0; t < TAPS; ++t)
          if (first_tap + t < taps) sums[t] += of_part[static_cast<size_t>(first_tap + t) * width * outputs];
      }
    }
    __syncthreads(); // the taps before these are out
#pragma unroll
    for (int t = 0; t < TAPS; ++t) tile[lane][warp * TAPS + t] = sums[t];
    __syncthreads();
    for (int o = warp; o < WARP && first_output + o < outputs; o += SUM_CHANNELS) {
#pragma unroll
      for (int n = lane; n < SUM_CHANNELS * TAPS; n += WARP) {
        const int channel = first + n / TAPS, tap = first_tap + n % TAPS;
        const float sum[1] = {tile[o][n]};
        if (channel < channels && tap < taps)
          put(to.dweight + (static_cast<size_t>(first_output + o) * channels + channel) * taps + tap, sum,
              to.add);
      }
    }
  }
}
