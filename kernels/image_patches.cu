// Square patches of a picture as rows, forward and backward (equations: src/op/image_patches/mod.rs).
//
// A block has neighbouring patches of one line of patches, or some of the picture's lines of them, and brings them
// through 16 KB of shared memory, where they lie as in the result. A warp reads four lines of the picture at once,
// eight groups of four pixels of each, so that neither side meets in a bank for three channels and patches of 4; the
// result is written in vectors. What is not aligned moves number by number.
// Limits: patches of up to 4096 pixels a side, fewer than 2^31 blocks.

#include "common/elementwise.cuh"

constexpr int THREADS = ELEMENT_THREADS;
constexpr int TILE_BYTES = 16384;

// Sizes, and which patches and lines of them a block has. A line is a row of one channel of a patch.
struct Tile {
  int patch, lines;     // of a whole patch
  int width;            // of the picture
  int across;           // patches beside each other
  int first, patches;   // which patches this block has
  int first_line, count; // which lines of them
  size_t picture;       // where line 0 of the line of patches begins in the picture: channels follow
  size_t plane;         // numbers of a channel
  size_t result;        // where this block's first number begins in the result

  // Grid: for each line of patches, groups of at most `patches_most`, and for each parts of at most `lines_most`.
  __device__ Tile(int channels, int height, int width_, int patch_, int patches_most, int lines_most)
      : patch(patch_), lines(channels * patch_), width(width_), across(width_ / patch_) {
    const unsigned groups = (across + patches_most - 1) / patches_most, parts = (lines + lines_most - 1) / lines_most;
    const unsigned part = blockIdx.x % parts, group = blockIdx.x / parts % groups, row = blockIdx.x / parts / groups;
    const unsigned down = height / patch, item = row / down, y = row % down;
    first = group * patches_most, patches = min(patches_most, across - first);
    first_line = part * lines_most, count = min(lines_most, lines - first_line);
    plane = static_cast<size_t>(height) * width;
    picture = item * channels * plane + static_cast<size_t>(y) * patch * width + static_cast<size_t>(first) * patch;
    result = (static_cast<size_t>(row) * across + first) * lines * patch + static_cast<size_t>(first_line) * patch;
  }

  // Calls `visit(in_tile, in_picture)` for groups of WIDTH pixels, of which LINES lines are visited at once.
  template <int WIDTH, int LINES, typename Visit> __device__ void each_in_picture(Visit visit) const {
    constexpr int BESIDE = 32 / LINES; // lanes on a line
    const int vectors = patch / WIDTH, line_groups = (count + LINES - 1) / LINES;
    const int groups = (patches * vectors + BESIDE - 1) / BESIDE * line_groups, lane = threadIdx.x % 32;
#pragma unroll 2
    for (int group = threadIdx.x / 32; group < groups; group += THREADS / 32) {
      const int line = group % line_groups * LINES + lane % LINES;
      const int at = group / line_groups * BESIDE + lane / LINES;
      if (line >= count || at >= patches * vectors) continue;
      const int channel = (first_line + line) / patch, row = (first_line + line) % patch;
      visit((at / vectors * count + line) * patch + at % vectors * WIDTH,
            picture + channel * plane + static_cast<size_t>(row) * width + at * WIDTH);
    }
  }

  // Calls `visit(in_tile, in_result)` for groups of WIDTH numbers of the result.
  template <int WIDTH, typename Visit> __device__ void each_in_result(Visit visit) const {
    const int vectors = count * patch / WIDTH;
#pragma unroll 2
    for (int at = threadIdx.x; at < patches * vectors; at += THREADS)
      visit(at * WIDTH, result + static_cast<size_t>(at / vectors) * lines * patch + at % vectors * WIDTH);
  }

  // Whether WIDTH numbers can be moved at once.
  template <int WIDTH, typename T> __device__ bool whole_in_picture(const T *at) const {
    return aligned<WIDTH>(at, width) && patch % WIDTH == 0;
  }
  template <int WIDTH, typename T> __device__ bool whole_in_result(const T *at) const {
    return aligned<WIDTH>(at + result, lines * patch) && count * patch % WIDTH == 0;
  }
};

template <typename T> __device__ inline void forward(const T *image, T *out, const Tile task) {
  __shared__ alignas(16) char bytes[TILE_BYTES];
  T *const tile = reinterpret_cast<T *>(bytes);
  if (task.whole_in_picture<FOUR>(image))
    task.each_in_picture<FOUR, 4>([&](int at, size_t place) { copy<T, FOUR>(image + place, tile + at, false); });
  else
    task.each_in_picture<1, 1>([&](int at, size_t place) { copy<T, 1>(image + place, tile + at, false); });
  __syncthreads();
  if (task.whole_in_result<WIDEST<T>>(out))
    task.each_in_result<WIDEST<T>>([&](int at, size_t place) { copy<T, WIDEST<T>>(tile + at, out + place, false); });
  else
    task.each_in_result<1>([&](int at, size_t place) { copy<T, 1>(tile + at, out + place, false); });
}

template <typename T> __device__ inline void backward(const T *dout, T *dimage, const Tile task, bool add) {
  __shared__ alignas(16) char bytes[TILE_BYTES];
  T *const tile = reinterpret_cast<T *>(bytes);
  if (task.whole_in_result<WIDEST<T>>(dout))
    task.each_in_result<WIDEST<T>>([&](int at, size_t place) { copy<T, WIDEST<T>>(dout + place, tile + at, false); });
  else
    task.each_in_result<1>([&](int at, size_t place) { copy<T, 1>(dout + place, tile + at, false); });
  __syncthreads();
  // forward: out[b, y, x, (c, i, j)] = image[b, c, y p + i, x p + j]
  if (task.whole_in_picture<FOUR>(dimage))
    task.each_in_picture<FOUR, 4>([&](int at, size_t place) { copy<T, FOUR>(tile + at, dimage + place, add); });
  else
    task.each_in_picture<1, 1>([&](int at, size_t place) { copy<T, 1>(tile + at, dimage + place, add); });
}

// Blocks have at most `patches_most` patches and `lines_most` lines of them, together at most 16 KB.
// Grid: for each line of patches ceil(width / patch / patches_most) * ceil(channels patch / lines_most) blocks of 256.
extern "C" __global__ __launch_bounds__(THREADS) void
image_patches_forward_f32(const float *image, float *out, int channels, int height, int width, int patch,
                          int patches_most, int lines_most) {
  forward(image, out, Tile(channels, height, width, patch, patches_most, lines_most));
}
extern "C" __global__ __launch_bounds__(THREADS) void
image_patches_forward_bf16(const bf16 *image, bf16 *out, int channels, int height, int width, int patch,
                           int patches_most, int lines_most) {
  forward(image, out, Tile(channels, height, width, patch, patches_most, lines_most));
}

// `add` is 1 to add to `dimage`, 0 to set it. Grid: as forward.
extern "C" __global__ __launch_bounds__(THREADS) void
image_patches_backward_f32(const float *dout, float *dimage, int channels, int height, int width, int patch,
                           int patches_most, int lines_most, int add) {
  backward(dout, dimage, Tile(channels, height, width, patch, patches_most, lines_most), add != 0);
}
extern "C" __global__ __launch_bounds__(THREADS) void
image_patches_backward_bf16(const bf16 *dout, bf16 *dimage, int channels, int height, int width, int patch,
                            int patches_most, int lines_most, int add) {
  backward(dout, dimage, Tile(channels, height, width, patch, patches_most, lines_most), add != 0);
}
