// Cross-entropy of two classes over upsampled logits, forward and backward (equations:
// src/op/cross_entropy/mod.rs).
//
// A block of 128 threads has 512 columns of a few rows of pixels that lie between the same two rows of the
// grid: a thread has four neighbouring columns, interpolates across once, and down for each row, in registers.
// The mask is read once in each direction. Forward the last block adds the blocks' sums; backward a block
// folds its pixels onto the grid's columns (6 KB of shared memory), and the last block of an item adds what
// falls on each of its logits.
// Limits: along an axis logits times pixels below 2^32; 65535 items, 65535 parts of rows; any alignment.

#include "common/interpolation.cuh"
#include "common/last_block.cuh"
#include "common/reduce.cuh"
#include "common/vector.cuh"

constexpr int THREADS = 128;
constexpr int TILE = THREADS * FOUR;

// Logits [B, H, W, 2], mask [B, S1, S2].
struct Sizes {
  int batch, grid_height, grid_width, height, width;
};

// The sum over all threads of the block, the same bits in each of them; fixed order.
template <typename T> __device__ inline T block_sum(T value) {
  __shared__ T of_warps[THREADS / WARP];
#pragma unroll
  for (int distance = WARP / 2; distance > 0; distance /= 2)
    value += __shfl_xor_sync(0xffffffffu, value, distance);
  if (threadIdx.x % WARP == 0) of_warps[threadIdx.x / WARP] = value;
  __syncthreads();
  value = 0;
#pragma unroll
  for (int warp = 0; warp < THREADS / WARP; ++warp) value += of_warps[warp];
  return value;
}

// The pixels of a block and what a thread knows of its four columns.
// Grid: (ceil(width / 512), grid_height * parts, batch): a part of the rows after one row of the grid.
template <typename T> struct Pixels {
  Axis down, across;
  const int *mask; // of this thread's first column in the item's first row
  int width;
  int column, count; // the first of FOUR, and how many there are: 0 beyond the last
  int cell;          // the row of the grid before these rows of pixels
  int row, end;
  bool whole;
  float upper[FOUR], lower[FOUR]; // d in the grid's rows `cell` and the next, at these columns
  float fractions[FOUR];

  __device__ Pixels(const T *logits, const int *mask_, const Sizes &sizes)
      : down(sizes.grid_height, sizes.height), across(sizes.grid_width, sizes.width), width(sizes.width) {
    const int parts = gridDim.y / sizes.grid_height, part = blockIdx.y % parts;
    cell = blockIdx.y / parts;
    column = blockIdx.x * TILE + threadIdx.x * FOUR;
    count = min(max(width - column, 0), FOUR);
    whole = aligned<FOUR>(mask_, width);
    mask = mask_ + static_cast<size_t>(blockIdx.z) * sizes.height * width + column;
    const int first = down.begin(cell), last = down.begin(cell + 1),
              rows = (last - first + parts - 1) / parts;
    row = min(first + part * rows, last), end = min(row + rows, last);
    const T *const grid = logits + static_cast<size_t>(blockIdx.z) * sizes.grid_height * sizes.grid_width * 2;
    const T *const before = grid + static_cast<size_t>(cell) * sizes.grid_width * 2;
    const T *const after =
        grid + static_cast<size_t>(min(cell + 1, sizes.grid_height - 1)) * sizes.grid_width * 2;
#pragma unroll
    for (int i = 0; i < FOUR; ++i) {
      const int at = min(column + i, width - 1), left = across.first(at),
                right = min(left + 1, across.inputs - 1);
      const float f = fractions[i] = across.fraction(at, left);
      upper[i] = (1.0f - f) * difference(before, left) + f * difference(before, right);
      lower[i] = (1.0f - f) * difference(after, left) + f * difference(after, right);
    }
  }

  // d = z[1] - z[0] in a column of a row of the grid.
  static __device__ float difference(const T *grid_row, int grid_column) {
    float background[1], object[1];
    load<T, 1>(grid_row + grid_column * 2, background), load<T, 1>(grid_row + grid_column * 2 + 1, object);
    return object[0] - background[0];
  }

  // Calls `visit(i, d, object, fraction)` for this thread's pixels; `fraction` is the lower row's share.
  template <typename Visit> __device__ void each(Visit visit) const {
    if (count == 0) return;
#pragma unroll 2
    for (int y = row; y < end; ++y) {
      const int *const at = mask + static_cast<size_t>(y) * width;
      int classes[FOUR] = {};
      if (whole) {
        const int4 all = *reinterpret_cast<const int4 *>(at);
        classes[0] = all.x, classes[1] = all.y, classes[2] = all.z, classes[3] = all.w;
      } else {
#pragma unroll
        for (int i = 0; i < FOUR; ++i)
          if (i < count) classes[i] = at[i];
      }
      const float fraction = down.fraction(y, cell);
#pragma unroll
      for (int i = 0; i < FOUR; ++i)
        if (i < count)
          visit(i, (1.0f - fraction) * upper[i] + fraction * lower[i], classes[i] != 0, fraction);
    }
  }
};

// ln(1 + e^x) without overflow or cancellation
__device__ inline float softplus(float x) { return fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x))); }

// What a block of the forward pass adds to the sums.
struct Share {
  float loss;
  unsigned objects;
};

template <typename T>
__device__ inline void forward(const T *logits, const int *mask, float *out, float *total, Share *shares,
                               unsigned *ticket, const Sizes &sizes, float background, float object) {
  float loss = 0.0f;
  unsigned objects = 0;
  Pixels<T>(logits, mask, sizes).each([&](int, float d, bool is_object, float) {
    loss += (is_object ? object : background) * softplus(is_object ? -d : d);
    objects += is_object;
  });
  loss = block_sum(loss), objects = block_sum(objects);
  const unsigned blocks = gridDim.x * gridDim.y * gridDim.z;
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  if (threadIdx.x == 0) shares[block] = {loss, objects};
  if (!is_last_block(ticket, blocks)) return;
  unsigned long long all_objects = 0;
  loss = 0.0f;
  for (unsigned i = threadIdx.x; i < blocks; i += THREADS)
    loss += shares[i].loss, all_objects += shares[i].objects;
  loss = block_sum(loss), all_objects = block_sum(all_objects);
  if (threadIdx.x != 0) return;
  const double pixels = static_cast<double>(sizes.batch) * sizes.height * sizes.width;
  const double weight = background * (pixels - all_objects) + static_cast<double>(object) * all_objects;
  *out = static_cast<float>(loss / weight);
  if (total != nullptr) *total = static_cast<float>(weight);
}

// Adds the pixels of a block's columns, in shared memory, to the grid's columns between them; writes what the
// grid's row before (0) and after them (1) get, `to` [2, grid_width], as far as the tile reaches.
__device__ inline void fold_columns(const Axis &across, const float *fractions, const float (*pixels)[TILE],
                                    float *to) {
  const int tile = blockIdx.x * TILE, end = min(tile + TILE, across.outputs);
  const int first = across.first(tile), columns = min(across.first(end - 1) + 2, across.inputs) - first;
  for (int i = threadIdx.x; i < 2 * columns; i += THREADS) {
    const int which = i / columns, column = first + i % columns;
    const int begin = max(across.begin(column - 1), tile) - tile;
    const int middle = min(max(across.begin(column), tile), end) - tile;
    const int stop = min(across.begin(column + 1), end) - tile;
    // forward: d = (1 - fraction) grid[c] + fraction grid[c + 1]
    float sum = 0.0f;
#pragma unroll 4
    for (int x = begin; x < middle; ++x) sum += fractions[x] * pixels[which][x];
#pragma unroll 4
    for (int x = middle; x < stop; ++x) sum += (1.0f - fractions[x]) * pixels[which][x];
    to[which * across.inputs + column] = sum;
  }
}

// What the blocks of an item, `folded` [rows of blocks, tiles, 2, grid_width], give one of its logits.
__device__ inline float gather(const float *folded, const Axis &across, int parts, int row, int column) {
  const int begin = across.begin(column - 1), end = across.begin(column + 1);
  float sum = 0.0f;
  for (int lower = 1; lower >= 0; --lower) {
    if (row < lower || begin == end) continue;
    for (int part = 0; part < parts; ++part)
      for (int tile = begin / TILE; tile * TILE < end; ++tile) {
        const size_t block = static_cast<size_t>((row - lower) * parts + part) * gridDim.x + tile;
        sum += folded[(block * 2 + lower) * across.inputs + column];
      }
  }
  return sum;
}

template <typename T>
__device__ inline void backward(const T *logits, const int *mask, const float *dout, const float *total,
                                T *dlogits, float *folded, unsigned *tickets, const Sizes &sizes, int groups,
                                float background, float object, bool add) {
  __shared__ alignas(16) float fractions[TILE], pixels[2][TILE];
  const Pixels<T> work(logits, mask, sizes);
  store(fractions + threadIdx.x * FOUR, work.fractions);
  float upper[FOUR] = {}, lower[FOUR] = {};
  work.each([&](int i, float d, bool is_object, float fraction) {
    // forward: l = softplus(is_object ? -d : d)
    const float e = expf(is_object ? d : -d), dd = __fdividef(is_object ? -object : background, 1.0f + e);
    // forward: d = (1 - fraction) upper + fraction lower
    upper[i] += (1.0f - fraction) * dd, lower[i] += fraction * dd;
  });
  store(pixels[0] + threadIdx.x * FOUR, upper), store(pixels[1] + threadIdx.x * FOUR, lower);
  __syncthreads();
  const size_t of_item = static_cast<size_t>(gridDim.y) * gridDim.x * 2 * sizes.grid_width;
  const size_t of_block = static_cast<size_t>(blockIdx.y * gridDim.x + blockIdx.x) * 2 * sizes.grid_width;
  fold_columns(work.across, fractions, pixels, folded + blockIdx.z * of_item + of_block);

  const int group = blockIdx.z % groups, items = (sizes.batch - group + groups - 1) / groups;
  if (!is_last_block(tickets + group, gridDim.x * gridDim.y * items)) return;
  const float scale = __fdividef(*dout, *total);
  for (int item = group; item < sizes.batch; item += groups) {
    const int count = sizes.grid_height * sizes.grid_width;
    T *const to = dlogits + static_cast<size_t>(item) * count * 2;
    for (int i = threadIdx.x; i < count; i += THREADS) {
      const float d = scale * gather(folded + item * of_item, work.across, gridDim.y / sizes.grid_height,
                                     i / sizes.grid_width, i % sizes.grid_width);
      // forward: d = z[1] - z[0]
      const float d_background[1] = {-d}, d_object[1] = {d};
      put(to + static_cast<size_t>(i) * 2, d_background, add);
      put(to + static_cast<size_t>(i) * 2 + 1, d_object, add);
    }
  }
}

// out [1] and the sum of the weights, `total` [1], null where no backward pass will follow; `shares` has room
// for one of each block. Both directions: grid (ceil(width / 512), grid_height * parts, batch) of 128 threads.
extern "C" __global__ __launch_bounds__(THREADS) void
cross_entropy_forward_f32(const float *logits, const int *mask, float *out, float *total, Share *shares,
                          unsigned *ticket, int batch, int grid_height, int grid_width, int height, int width,
                          float background, float object) {
  const Sizes sizes = {batch, grid_height, grid_width, height, width};
  forward(logits, mask, out, total, shares, ticket, sizes, background, object);
}
extern "C" __global__ __launch_bounds__(THREADS) void
cross_entropy_forward_bf16(const bf16 *logits, const int *mask, float *out, float *total, Share *shares,
                           unsigned *ticket, int batch, int grid_height, int grid_width, int height, int width,
                           float background, float object) {
  const Sizes sizes = {batch, grid_height, grid_width, height, width};
  forward(logits, mask, out, total, shares, ticket, sizes, background, object);
}

// dlogits [B, H, W, 2] (+)= .., with `folded` [blocks, 2, grid_width] between; items share `groups` tickets.
extern "C" __global__ __launch_bounds__(THREADS) void
cross_entropy_backward_f32(const float *logits, const int *mask, const float *dout, const float *total,
                           float *dlogits, float *folded, unsigned *tickets, int batch, int grid_height,
                           int grid_width, int height, int width, int groups, float background, float object,
                           int add) {
  const Sizes sizes = {batch, grid_height, grid_width, height, width};
  backward(logits, mask, dout, total, dlogits, folded, tickets, sizes, groups, background, object, add != 0);
}
extern "C" __global__ __launch_bounds__(THREADS) void
cross_entropy_backward_bf16(const bf16 *logits, const int *mask, const float *dout, const float *total,
                            bf16 *dlogits, float *folded, unsigned *tickets, int batch, int grid_height,
                            int grid_width, int height, int width, int groups, float background, float object,
                            int add) {
  const Sizes sizes = {batch, grid_height, grid_width, height, width};
  backward(logits, mask, dout, total, dlogits, folded, tickets, sizes, groups, background, object, add != 0);
}
