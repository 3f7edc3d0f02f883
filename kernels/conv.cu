// Convolution of a map, forward and backward (equations: src/op/conv/mod.rs), as products with every tap of
// every pixel that are never in memory (common/convolution.cuh). One launch in each direction, in phases
// (common/turns.cuh): weights are packed as a product reads them before it does; the weight's gradient is put in
// the weight's order when its product is there. A map whose pixels do not begin where sectors do is copied to where
// they do first, if there is memory for it (conv/lines.cuh).
//
// A block of 256 threads makes 128 x 128 of a product, or 128 x 32 where fewer columns are left, in bf16 on
// tensor cores with 50 KB of shared memory, in f32 with 37 KB. Where a result has too few tiles, blocks share the
// sum of one, and the last of them adds their parts in order.
// Limits: pixels, channels and outputs from 1 to 2^30, kernels to 15 wide; any alignment.

#include "common/convolution_weight.cuh"
#include "common/turns.cuh"
#include "conv/lines.cuh"
#include "conv/tiles.cuh"

// Maps of `pixels` pixels in all, and the counters of a launch: the turn, three phases, and one for each tile.
struct Sizes {
  int pixels, height, width, channels, outputs, kernel;

  __device__ Map inp(int stride) const { return {height, width, channels, kernel, stride}; }
  __device__ Map out() const { return {height, width, outputs, kernel, outputs}; }
};
constexpr int OF_PACKING = 1, OF_WEIGHT = OF_PACKING + Phase::COUNTERS;
constexpr int OF_LINES = OF_WEIGHT + Phase::COUNTERS, OF_TILES = OF_LINES + Phase::COUNTERS;

// Where a product reads the map, and how many blocks copy it there: `lines`, or the map itself if that is null.
template <typename T> struct Source {
  const T *inp;
  T *lines;
  Sizes sizes;

  __device__ int blocks() const { return lines == nullptr ? 0 : line_blocks(sizes.pixels); }
  __device__ const T *data() const { return lines == nullptr ? inp : lines; }
  __device__ Map map() const {
    return sizes.inp(lines == nullptr ? sizes.channels : line_stride<T>(sizes.channels));
  }
  __device__ void copy(int block) const { copy_lines(inp, lines, sizes.pixels, sizes.channels, block); }
};

template <typename T>
__device__ inline void forward(const Source<T> &source, const T *weight, const float *bias, T *out, T *packed,
                               float *partial, unsigned *tickets, int parts) {
  const Sizes &sizes = source.sizes;
  const Map map = source.map();
  const Tiles tiles = {sizes.pixels, sizes.outputs, map.depth(), parts};
  const int of_map = source.blocks();
  const Phase packing = {tickets + OF_PACKING, of_map + pack_blocks(sizes.outputs, sizes.channels), tiles.count()};
  const int turn = take_turn(tickets), number = turn - packing.blocks;
  if (number < 0) {
    if (turn < of_map)
      source.copy(turn);
    else
      pack_weight<false>(weight, packed, sizes.outputs, sizes.channels, map.taps(), turn - of_map, block_memory());
    packing.done();
    return;
  }
  packing.wait();
  convolve(source.data(), packed, map, Result<T>{out, bias, nullptr, tiles.columns, false}, tiles, number, partial,
           tickets + OF_TILES);
}

// A part of the sum over the pixels, `partial` [parts, the taps' depth and 1, outputs].
// forward: out = bias + sum over taps of weight inp
template <typename T>
__device__ inline void make_dweight(const T *inp, const T *dout, float *partial, const Map &map,
                                    const Tiles &tiles, int number) {
  const GemmTask task = tiles.task(number, Shared<T, SIDE, Lies::BY_OTHER>::STEP);
  const int outputs = tiles.columns;
  partial += static_cast<size_t>(tiles.part(number)) * tiles.rows * outputs;
  product<Lies::BY_OTHER>(inp, dout, map, task, [=](int row, int column, float(&values)[FOUR]) {
    const int count = min(outputs - column, FOUR);
    put_four(partial + static_cast<size_t>(row) * outputs + column, count,
             count == FOUR && aligned<FOUR>(partial, outputs), values, false);
  });
}

template <typename T> struct Backward {
  const T *dout;
  Source<T> source;
  const T *weight;
  T *dinp; // null if it is not wanted
  WeightGradient to;
  T *packed;
  float *partial_inp, *partial_weight;
  unsigned *tickets;
  int parts_inp, parts_weight;
  bool add;
};

// Turns: copying the map, packing, dweight's tiles, which wait for the copy, dinp's, which wait for the packing, and
// dweight's sums, which wait for its tiles. dinp's tiles keep the device busy between the two.
template <typename T> __device__ inline void backward(const Backward<T> &pass) {
  const Sizes &sizes = pass.source.sizes;
  const Map map = pass.source.map();
  const int outputs = sizes.outputs, channels = sizes.channels;
  const Tiles weight_tiles = {map.depth() + 1, outputs, sizes.pixels, pass.parts_weight};
  const Tiles inp_tiles = {sizes.pixels, channels, sizes.out().depth(), pass.parts_inp};
  const bool dinp_wanted = pass.dinp != nullptr, weight_wanted = pass.to.wanted();
  const Phase packing = {pass.tickets + OF_PACKING, dinp_wanted ? pack_blocks(outputs, channels) : 0,
                         inp_tiles.count()};
  const Phase making = {pass.tickets + OF_WEIGHT, weight_wanted ? weight_tiles.count() : 0,
                        sum_blocks(outputs, channels)};
  const Phase lining = {pass.tickets + OF_LINES, weight_wanted ? pass.source.blocks() : 0, making.blocks};
  int number = take_turn(pass.tickets);
  if (number < lining.blocks) {
    pass.source.copy(number);
    lining.done();
    return;
  }
  number -= lining.blocks;
  if (number < packing.blocks) {
    pack_weight<true>(pass.weight, pass.packed, outputs, channels, map.taps(), number,
                      block_memory());
    packing.done();
    return;
  }
  number -= packing.blocks;
  if (number < making.blocks) {
    if (lining.blocks > 0) lining.wait();
    make_dweight(pass.source.data(), pass.dout, pass.partial_weight, map, weight_tiles, number);
    making.done();
    return;
  }
  number -= making.blocks;
  if (dinp_wanted && number < inp_tiles.count()) {
    packing.wait();
    convolve(pass.dout, pass.packed, sizes.out(), Result<T>{pass.dinp, nullptr, nullptr, channels, pass.add},
             inp_tiles, number, pass.partial_inp, pass.tickets + OF_TILES);
    return;
  }
  number -= dinp_wanted ? inp_tiles.count() : 0;
  making.wait();
  sum_weight(pass.partial_weight, pass.to, pass.parts_weight, outputs, channels, map.taps(), number,
             block_memory());
}

// inp [pixels, channels] of maps height x width, weight [outputs, channels, kernel, kernel], out [pixels, outputs];
// `lines` is null or [pixels, channels filled up to 32 bytes]; `packed` [outputs, depth], where the depth is that of
// all taps of the channels, filled up to a multiple of eight, or of 16 if they are more than 32.
// With parts of the depth their sums lie in `partial` [parts, pixels, outputs filled up to a multiple of four].
// Tickets: seven, and with parts one for each tile. Grid: with lines ceil(pixels / 16) blocks, ceil(outputs / 32)
// ceil(channels / 32), and
// ceil(pixels / 128) ceil(outputs / 128) parts, of 256 threads with all the shared memory said above.
extern "C" __global__ __launch_bounds__(THREADS, 2) void
conv_forward_f32(const float *inp, const float *weight, const float *bias, float *out, float *lines, float *packed,
                 float *partial, unsigned *tickets, int pixels, int height, int width, int channels,
                 int outputs, int kernel, int parts) {
  const Source<float> source = {inp, lines, {pixels, height, width, channels, outputs, kernel}};
  forward(source, weight, bias, out, packed, partial, tickets, parts);
}
extern "C" __global__ __launch_bounds__(THREADS, 2) void
conv_forward_bf16(const bf16 *inp, const bf16 *weight, const float *bias, bf16 *out, bf16 *lines, bf16 *packed,
                 float *partial, unsigned *tickets, int pixels, int height, int width, int channels,
                 int outputs, int kernel, int parts) {
  const Source<bf16> source = {inp, lines, {pixels, height, width, channels, outputs, kernel}};
  forward(source, weight, bias, out, packed, partial, tickets, parts);
}

// dinp [pixels, channels], dweight as the weight and dbias [outputs] (+)= their gradients; null for what is not
// wanted. `packed` [channels, depth of the outputs' taps] and `partial_inp` are for dinp as forward's are for out;
// `partial_weight` [parts, the depth of the channels' taps and one more, outputs]. Tickets as forward, for dinp.
// `lines` are read for dweight and dbias. Grid: for dinp as forward without lines; for dweight or dbias as many as for
// lines, ceil(outputs / 128) ceil((depth + 1) / 128) parts, and
// ceil(outputs / 32) ceil(channels / 8) blocks.
// (A product in f32 leaves no register for what is needed before and after it, unless its block is alone.)
extern "C" __global__ __launch_bounds__(THREADS, 1) void
conv_backward_f32(const float *dout, const float *inp, const float *weight, float *dinp, float *dweight,
                  float *dbias, float *lines, float *packed, float *partial_inp, float *partial_weight,
                  unsigned *tickets, int pixels, int height, int width, int channels, int outputs, int kernel,
                  int parts_inp, int parts_weight, int add, int add_weight, int add_bias) {
  const Source<float> source = {inp, lines, {pixels, height, width, channels, outputs, kernel}};
  const Backward<float> pass = {dout, source, weight, dinp, {dweight, dbias, add_weight != 0, add_bias != 0},
                              packed, partial_inp, partial_weight, tickets, parts_inp, parts_weight, add != 0};
  backward(pass);
}
extern "C" __global__ __launch_bounds__(THREADS, 2) void
conv_backward_bf16(const bf16 *dout, const bf16 *inp, const bf16 *weight, bf16 *dinp, float *dweight,
                  float *dbias, bf16 *lines, bf16 *packed, float *partial_inp, float *partial_weight,
                  unsigned *tickets, int pixels, int height, int width, int channels, int outputs, int kernel,
                  int parts_inp, int parts_weight, int add, int add_weight, int add_bias) {
  const Source<bf16> source = {inp, lines, {pixels, height, width, channels, outputs, kernel}};
  const Backward<bf16> pass = {dout, source, weight, dinp, {dweight, dbias, add_weight != 0, add_bias != 0},
                              packed, partial_inp, partial_weight, tickets, parts_inp, parts_weight, add != 0};
  backward(pass);
}
