// Convolution of a map, forward and backward (equations: src/op/conv/mod.rs), as products with every tap of
// every pixel that are never in memory (common/convolution.cuh).
//
// A block of 256 threads makes 128 x 128 of a product, or 128 x 32 where fewer columns are left, in bf16 on
// tensor cores with 50 KB of shared memory, in f32 with 35 KB. Weights are packed beforehand as the products
// read them. Where a result has too few tiles, blocks share the sum of one, and the last of them adds their
// parts in order.
// Limits: pixels, channels and outputs from 1 to 2^30, kernels to 15 wide, 65535 tiles of rows; any
// alignment.

#include "common/convolution.cuh"
#include "common/convolution_weight.cuh"
#include "common/last_block.cuh"

constexpr int SIDE = 128;
constexpr int THREADS = gemm_threads(SIDE);

// Shared memory: the operands, then what TapLoader keeps of the pixels.
template <typename T> constexpr int OPERAND_BYTES = gemm_f32::SHARED_BYTES<Square<SIDE>>;
template <> constexpr int OPERAND_BYTES<bf16> = gemm_bf16::SHARED_BYTES<Square<SIDE>>;
struct alignas(128) Line {
  char bytes[128];
};

// first * second, the first being the taps of the map's pixels, by tiles of the given shape.
template <typename Tile, int VECTOR, Lies LIES, typename Finish>
__device__ inline void product(const bf16 *map_data, const bf16 *second, const Map &map, const GemmTask &task,
                               char *shared, unsigned *table, Finish finish) {
  TapLoader<bf16, VECTOR, SIDE, LIES, THREADS> a(map_data, map, table, task);
  // Packed weights are whole.
  gemm_bf16::Loader<Tile::COLUMNS, LIES, THREADS, LIES == Lies::BY_DEPTH> b(second, task.columns, task.depth,
                                                                            task.column, task.begin);
  gemm_bf16::product<Tile, LIES, LIES>(a, b, shared, task, finish);
}
template <typename Tile, int VECTOR, Lies LIES, typename Finish>
__device__ inline void product(const float *map_data, const float *second, const Map &map,
                               const GemmTask &task, char *shared, unsigned *table, Finish finish) {
  TapLoader<float, VECTOR, SIDE, LIES, THREADS> a(map_data, map, table, task);
  gemm_f32::Loader<Tile::COLUMNS, LIES, THREADS> b(second, task.columns, task.depth, task.column, task.begin);
  gemm_f32::product<Tile>(a, b, reinterpret_cast<float *>(shared), task, finish);
}

// The same by wide or narrow tiles.
template <int VECTOR, Lies LIES, typename T, typename Finish>
__device__ inline void product(const T *map_data, const T *second, const Map &map, const GemmTask &task,
                               Finish finish) {
  extern __shared__ Line lines[];
  char *const shared = lines[0].bytes;
  unsigned *const table = reinterpret_cast<unsigned *>(shared + OPERAND_BYTES<T>);
  if (task.columns - task.column <= Narrow::COLUMNS)
    product<Narrow, VECTOR, LIES>(map_data, second, map, task, shared, table, finish);
  else
    product<Square<SIDE>, VECTOR, LIES>(map_data, second, map, task, shared, table, finish);
}

// Sets two neighbouring numbers, or adds to them.
__device__ inline void put_two(float *at, float low, float high, bool add) {
  float2 *const both = reinterpret_cast<float2 *>(at);
  const float2 old = add ? *both : make_float2(0.0f, 0.0f);
  *both = make_float2(old.x + low, old.y + high);
}
__device__ inline void put_two(bf16 *at, float low, float high, bool add) {
  unsigned *const both = reinterpret_cast<unsigned *>(at);
  float old_low = 0.0f, old_high = 0.0f;
  if (add) unpack_pair(*both, old_low, old_high);
  *both = pack_pair(old_low + low, old_high + high);
}

// A result [rows, columns] that is set or added to, after the bias if there is one. Where the grid has parts
// of the depth, their sums go to `partial` [parts, rows, columns] first, with columns filled up to a multiple
// of four.
template <typename T> struct Result {
  T *to;
  const float *bias;
  float *partial;
  int rows, columns;
  bool add;

  __device__ void operator()(int row, int column, float (&values)[FOUR]) const {
    if (gridDim.z > 1)
      store(part(blockIdx.z, row, column), values);
    else
      finish(row, column, values);
  }

  __device__ float *part(int which, int row, int column) const {
    return partial + (static_cast<size_t>(which) * rows + row) * ((columns + FOUR - 1) / FOUR * FOUR) +
           column;
  }

  __device__ void finish(int row, int column, float (&values)[FOUR]) const {
    const int count = min(columns - column, FOUR);
    if (bias != nullptr) {
      float more[FOUR];
      load_four(bias + column, count, count == FOUR && aligned<FOUR>(bias, FOUR), more);
#pragma unroll
      for (int i = 0; i < FOUR; ++i) values[i] += more[i];
    }
    T *const at = to + static_cast<size_t>(row) * columns + column;
    const bool whole = count == FOUR && aligned<FOUR>(to, columns);
    if (whole || !aligned<2>(to, columns)) {
      put_four(at, count, whole, values, add);
    } else { // half as many accesses as of single numbers
      put_two(at, values[0], values[1], add);
      if (count == FOUR) put_two(at + 2, values[2], values[3], add);
    }
  }

  // The last block of a tile adds its parts.
  __device__ void add_parts(unsigned *tickets, const GemmTask &task) const {
    if (gridDim.z == 1 || !is_last_block(tickets + blockIdx.y * gridDim.x + blockIdx.x, gridDim.z)) return;
    const int across = (min(columns - task.column, SIDE) + FOUR - 1) / FOUR;
    for (int i = threadIdx.x; i < across * min(rows - task.row, SIDE); i += THREADS) {
      const int row = task.row + i / across, column = task.column + i % across * FOUR;
      float sum[FOUR] = {};
#pragma unroll 4
      for (int which = 0; which < gridDim.z; ++which) {
        float more[FOUR];
        load<float, FOUR>(part(which, row, column), more);
#pragma unroll
        for (int k = 0; k < FOUR; ++k) sum[k] += more[k];
      }
      finish(row, column, sum);
    }
  }
};

// out [pixels, outputs] = the taps of inp times the packed weight, and a bias
template <int VECTOR, typename T>
__device__ inline void convolve(const T *inp, const T *packed, const Map &map, int pixels,
                                const Result<T> &result, unsigned *tickets) {
  constexpr int STEP = Shared<T, SIDE, Lies::BY_DEPTH>::STEP;
  const GemmTask task(pixels, result.columns, map.depth(), SIDE, STEP);
  product<VECTOR, Lies::BY_DEPTH>(inp, packed, map, task, result);
  result.add_parts(tickets, task);
}

// Part z of the sum over the pixels, `partial` [parts, the taps' depth and 1, outputs].
// forward: out = bias + sum over taps of weight inp
template <int VECTOR, typename T>
__device__ inline void backward_weight(const T *inp, const T *dout, float *partial, const Map &map,
                                       int pixels, int outputs) {
  constexpr int STEP = Shared<T, SIDE, Lies::BY_OTHER>::STEP;
  const int rows = map.depth() + 1;
  const GemmTask task(rows, outputs, pixels, SIDE, STEP);
  partial += static_cast<size_t>(blockIdx.z) * rows * outputs;
  product<VECTOR, Lies::BY_OTHER>(inp, dout, map, task, [=](int row, int column, float(&values)[FOUR]) {
    const int count = min(outputs - column, FOUR);
    put_four(partial + static_cast<size_t>(row) * outputs + column, count,
             count == FOUR && aligned<FOUR>(partial, outputs), values, false);
  });
}

// The weight [outputs, channels, kernel, kernel] as the forward product reads it, or as that for dinp does.
// Grid: (ceil(channels / 32), ceil(outputs / 32)) blocks of 256 threads.
extern "C" __global__ __launch_bounds__(WEIGHT_THREADS) void
conv_forward_pack_f32(const float *weight, float *packed, int outputs, int channels, int kernel) {
  pack_weight<false>(weight, packed, outputs, channels, kernel * kernel);
}
extern "C" __global__ __launch_bounds__(WEIGHT_THREADS) void
conv_forward_pack_bf16(const bf16 *weight, bf16 *packed, int outputs, int channels, int kernel) {
  pack_weight<false>(weight, packed, outputs, channels, kernel * kernel);
}
extern "C" __global__ __launch_bounds__(WEIGHT_THREADS) void
conv_backward_pack_f32(const float *weight, float *packed, int outputs, int channels, int kernel) {
  pack_weight<true>(weight, packed, outputs, channels, kernel * kernel);
}
extern "C" __global__ __launch_bounds__(WEIGHT_THREADS) void
conv_backward_pack_bf16(const bf16 *weight, bf16 *packed, int outputs, int channels, int kernel) {
  pack_weight<true>(weight, packed, outputs, channels, kernel * kernel);
}

// inp [pixels, channels] of maps height x width, out [pixels, outputs]. With parts of the depth their sums lie
// in `partial` [parts, pixels, outputs], and tiles have a ticket each. `pairs` copy two numbers at once where
// lines are not multiples of 16 bytes, but of four. Grid: (ceil(outputs / 128), ceil(pixels / 128), parts)
// blocks of 256 threads, with all that `shared` says.
extern "C" __global__ __launch_bounds__(THREADS, 2) void
conv_forward_f32(const float *inp, const float *packed, const float *bias, float *out, float *partial,
                 unsigned *tickets, int pixels, int height, int width, int channels, int outputs,
                 int kernel) {
  const Result<float> result = {out, bias, partial, pixels, outputs, false};
  convolve<1>(inp, packed, Map{height, width, channels, kernel}, pixels, result, tickets);
}
extern "C" __global__ __launch_bounds__(THREADS, 2) void
conv_forward_bf16(const bf16 *inp, const bf16 *packed, const float *bias, bf16 *out, float *partial,
                  unsigned *tickets, int pixels, int height, int width, int channels, int outputs,
                  int kernel) {
  const Result<bf16> result = {out, bias, partial, pixels, outputs, false};
  convolve<8>(inp, packed, Map{height, width, channels, kernel}, pixels, result, tickets);
}
extern "C" __global__ __launch_bounds__(THREADS, 2) void
conv_forward_pairs_bf16(const bf16 *inp, const bf16 *packed, const float *bias, bf16 *out, float *partial,
                        unsigned *tickets, int pixels, int height, int width, int channels, int outputs,
                        int kernel) {
  const Result<bf16> result = {out, bias, partial, pixels, outputs, false};
  convolve<2>(inp, packed, Map{height, width, channels, kernel}, pixels, result, tickets);
}

// dinp [pixels, channels] (+)= the taps of dout [pixels, outputs] times the packed weight; else as forward.
extern "C" __global__ __launch_bounds__(THREADS, 2) void
conv_backward_input_f32(const float *dout, const float *packed, float *dinp, float *partial,
                        unsigned *tickets, int pixels, int height, int width, int channels, int outputs,
                        int kernel, int add) {
  const Result<float> result = {dinp, nullptr, partial, pixels, channels, add != 0};
  convolve<1>(dout, packed, Map{height, width, outputs, kernel}, pixels, result, tickets);
}
extern "C" __global__ __launch_bounds__(THREADS, 2) void
conv_backward_input_bf16(const bf16 *dout, const bf16 *packed, bf16 *dinp, float *partial, unsigned *tickets,
                         int pixels, int height, int width, int channels, int outputs, int kernel, int add) {
  const Result<bf16> result = {dinp, nullptr, partial, pixels, channels, add != 0};
  convolve<8>(dout, packed, Map{height, width, outputs, kernel}, pixels, result, tickets);
}
extern "C" __global__ __launch_bounds__(THREADS, 2) void
conv_backward_input_pairs_bf16(const bf16 *dout, const bf16 *packed, bf16 *dinp, float *partial,
                               unsigned *tickets, int pixels, int height, int width, int channels,
                               int outputs, int kernel, int add) {
  const Result<bf16> result = {dinp, nullptr, partial, pixels, channels, add != 0};
  convolve<2>(dout, packed, Map{height, width, outputs, kernel}, pixels, result, tickets);
}

// The sums of each part of the pixels, `partial` [parts, the depth of the channels' taps and one more,
// outputs].
// Grid: (ceil(outputs / 128), ceil(that / 128), parts) blocks of 256 threads.
extern "C" __global__ __launch_bounds__(THREADS, 2) void
conv_backward_weight_f32(const float *inp, const float *dout, float *partial, int pixels, int height,
                         int width, int channels, int outputs, int kernel) {
  backward_weight<1>(inp, dout, partial, Map{height, width, channels, kernel}, pixels, outputs);
}
extern "C" __global__ __launch_bounds__(THREADS, 2) void
conv_backward_weight_bf16(const bf16 *inp, const bf16 *dout, float *partial, int pixels, int height,
                          int width, int channels, int outputs, int kernel) {
  backward_weight<8>(inp, dout, partial, Map{height, width, channels, kernel}, pixels, outputs);
}
extern "C" __global__ __launch_bounds__(THREADS, 2) void
conv_backward_weight_pairs_bf16(const bf16 *inp, const bf16 *dout, float *partial, int pixels, int height,
                                int width, int channels, int outputs, int kernel) {
  backward_weight<2>(inp, dout, partial, Map{height, width, channels, kernel}, pixels, outputs);
}

// dweight [outputs, channels, kernel, kernel] and dbias [outputs] (+)= the parts' sums in their order; null
// for what is not wanted. Grid: (ceil(channels / 8), ceil(outputs / 32)) blocks of 256 threads.
extern "C" __global__ __launch_bounds__(WEIGHT_THREADS) void
conv_backward_weight_sum_f32(const float *partial, float *dweight, float *dbias, int parts, int channels,
                             int outputs, int kernel, int add, int add_bias) {
  sum_weight(partial, dweight, dbias, parts, outputs, channels, kernel * kernel, add != 0, add_bias != 0);
}
