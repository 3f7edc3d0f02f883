// Bilinear resizing of a map, forward and backward (equations: src/op/resize/mod.rs).
//
// A block makes some rows of one map, 32 bytes of the channels: it brings all it needs into shared memory, once,
// 32 bytes a pixel, and each thread makes vectors of one column from there. Backward gathers: a gradient is summed
// over the outputs that have its pixel as a neighbour, row by row. Where a block would need more than fits (48 KB),
// threads read from global memory instead. Pixels that are not aligned move number by number.
// Limits: fewer than 2^31 blocks, and those of Axis.

#include "common/interpolation.cuh"
#include "common/mma.cuh"
#include "common/vector.cuh"

constexpr int THREADS = 256;
constexpr int SLOT_BYTES = 32; // of a pixel
constexpr int QUARTER = 8;     // lanes whose 128 bits go to shared memory together
template <typename T> constexpr int SLOT = SLOT_BYTES / sizeof(T);

// What a block makes: rows `row` to `end` of a map of the result, channels from `channel` on.
struct Task {
  int item, row, end;
  int channel, channels;

  // Grid: for each map its bands of rows, and for each of those slices of SLOT channels.
  __device__ Task(int slot, int channels_, int rows, int rows_most) : channels(channels_) {
    const unsigned slices = (channels + slot - 1) / slot, bands = (rows + rows_most - 1) / rows_most;
    channel = blockIdx.x % slices * slot;
    row = blockIdx.x / slices % bands * rows_most;
    end = min(row + rows_most, rows);
    item = blockIdx.x / slices / bands;
  }

  // Where this slice of pixel (row, 0) begins in maps of `rows` x `columns`.
  __device__ size_t offset(int rows, int columns, int at_row) const {
    return ((static_cast<size_t>(item) * rows + at_row) * columns) * channels + channel;
  }
};

// The pixels a block reads, vectors of WIDTH numbers, in shared memory or where they are.
template <typename T, int WIDTH, bool STAGED> struct Source {
  const T *from; // slice of the first pixel
  T *slots;
  int channels, vectors;

  // Pixels are permuted so that lanes with every other pixel, as with every one, meet in no bank.
  static __device__ int slot(int pixel, int vector) {
    return (pixel ^ (pixel >> 2 & 1)) * SLOT<T> + vector * WIDTH;
  }

  __device__ Source(const T *from_, const Task &task, int pixels) : from(from_), channels(task.channels) {
    extern __shared__ uint4 shared[];
    slots = reinterpret_cast<T *>(shared);
    vectors = min(SLOT<T>, channels - task.channel) / WIDTH;
    if constexpr (STAGED) stage(pixels);
  }

  __device__ void stage(int pixels) {
#pragma unroll 2
    for (int i = threadIdx.x; i < pixels * vectors; i += THREADS) {
      const int pixel = i / vectors, vector = i % vectors;
      const T *const at = from + static_cast<size_t>(pixel) * channels + vector * WIDTH;
      if constexpr (sizeof(T) * WIDTH == 16)
        copy_async<16>(shared_address(slots + slot(pixel, vector)), at, true);
      else
        slots[slot(pixel, vector)] = *at;
    }
    copy_commit();
    copy_wait<0>();
    __syncthreads();
  }

  __device__ void get(int pixel, int vector, float (&to)[WIDTH]) const {
    if constexpr (STAGED)
      load<T, WIDTH>(slots + slot(pixel, vector), to);
    else
      load<T, WIDTH>(from + static_cast<size_t>(pixel) * channels + vector * WIDTH, to);
  }

  // Calls `visit(column, vector, group, groups)` for the columns of this thread, whose rows it shares with those of
  // other groups of threads.
  template <typename Visit> __device__ void each_column(int columns, Visit visit) const {
    const int count = columns * vectors, lanes = (count + QUARTER - 1) / QUARTER * QUARTER;
    const int groups = max(THREADS / lanes, 1), group = lanes < THREADS ? threadIdx.x / lanes : 0;
    if (group >= groups) return;
#pragma unroll 1
    for (int at = threadIdx.x - group * lanes; at < count; at += THREADS)
      visit(at / vectors, at % vectors, group, groups);
  }
};

template <typename T, int WIDTH, bool STAGED>
__device__ inline void forward_rows(const T *inp, T *out, const Task &task, const Axis &down, const Axis &across) {
  const int above = down.first(task.row), below = min(down.first(task.end - 1) + 1, down.inputs - 1);
  const Source<T, WIDTH, STAGED> source(inp + task.offset(down.inputs, across.inputs, above), task,
                                        (below + 1 - above) * across.inputs);
  T *const to = out + task.offset(down.outputs, across.outputs, 0);
  source.each_column(across.outputs, [&](int x, int vector, int group, int groups) {
    const int left = across.first(x), right = min(left + 1, across.inputs - 1);
    const float in_x = across.fraction(x, left);
#pragma unroll 1
    for (int y = task.row + group; y < task.end; y += groups) {
      const int upper = down.first(y), lower = min(upper + 1, down.inputs - 1);
      const float in_y = down.fraction(y, upper);
      const int first = (upper - above) * across.inputs, second = (lower - above) * across.inputs;
      float a[WIDTH], b[WIDTH], c[WIDTH], d[WIDTH];
      source.get(first + left, vector, a);
      source.get(first + right, vector, b);
      source.get(second + left, vector, c);
      source.get(second + right, vector, d);
      const float of_b = (1.0f - in_y) * in_x, of_a = 1.0f - in_y - of_b, of_d = in_y * in_x, of_c = in_y - of_d;
#pragma unroll
      for (int i = 0; i < WIDTH; ++i) a[i] = of_a * a[i] + of_b * b[i] + of_c * c[i] + of_d * d[i];
      store(to + (static_cast<size_t>(y) * across.outputs + x) * task.channels + vector * WIDTH, a);
    }
  });
}

template <typename T, int WIDTH, bool STAGED>
__device__ inline void backward_rows(const T *dout, T *dinp, const Task &task, const Axis &down, const Axis &across,
                                     bool add) {
  const int above = down.begin(task.row - 1);
  const Source<T, WIDTH, STAGED> source(dout + task.offset(down.outputs, across.outputs, above), task,
                                        (down.begin(task.end) - above) * across.outputs);
  T *const to = dinp + task.offset(down.inputs, across.inputs, 0);
  source.each_column(across.inputs, [&](int column, int vector, int group, int groups) {
    const int x_begin = across.begin(column - 1), x_end = across.begin(column + 1);
#pragma unroll 1
    for (int row = task.row + group; row < task.end; row += groups) {
      const int y_begin = down.begin(row - 1), y_end = down.begin(row + 1);
      float sum[WIDTH] = {};
#pragma unroll 1
      for (int y = y_begin; y < y_end; ++y) {
        // forward: out[y, x] = .. + wy[row] wx[column] inp[row, column] + ..
        const float in_y = down.weight(y, row);
#pragma unroll 2
        for (int x = x_begin; x < x_end; ++x) {
          const float share = in_y * across.weight(x, column);
          float d[WIDTH];
          source.get((y - above) * across.outputs + x, vector, d);
#pragma unroll
          for (int i = 0; i < WIDTH; ++i) sum[i] += share * d[i];
        }
      }
      put(to + (static_cast<size_t>(row) * across.inputs + column) * task.channels + vector * WIDTH, sum, add);
    }
  });
}

template <typename T>
__device__ inline void forward(const T *inp, T *out, const Axis &down, const Axis &across, int channels,
                               int rows_most, bool staged) {
  const Task task(SLOT<T>, channels, down.outputs, rows_most);
  const bool whole = aligned<WIDEST<T>>(inp, channels) && aligned<WIDEST<T>>(out, channels);
  if (whole && staged)
    forward_rows<T, WIDEST<T>, true>(inp, out, task, down, across);
  else if (whole)
    forward_rows<T, WIDEST<T>, false>(inp, out, task, down, across);
  else if (staged)
    forward_rows<T, 1, true>(inp, out, task, down, across);
  else
    forward_rows<T, 1, false>(inp, out, task, down, across);
}

template <typename T>
__device__ inline void backward(const T *dout, T *dinp, const Axis &down, const Axis &across, int channels,
                                int rows_most, bool staged, bool add) {
  const Task task(SLOT<T>, channels, down.inputs, rows_most);
  const bool whole = aligned<WIDEST<T>>(dout, channels) && aligned<WIDEST<T>>(dinp, channels);
  if (whole && staged)
    backward_rows<T, WIDEST<T>, true>(dout, dinp, task, down, across, add);
  else if (whole)
    backward_rows<T, WIDEST<T>, false>(dout, dinp, task, down, across, add);
  else if (staged)
    backward_rows<T, 1, true>(dout, dinp, task, down, across, add);
  else
    backward_rows<T, 1, false>(dout, dinp, task, down, across, add);
}

// `inp` is maps of `inp_height` x `inp_width`, `out` of `out_height` x `out_width`. A block makes at most `rows_most`
// rows; `staged` is 1 if all that a block needs is in the launch's shared memory, 32 bytes a pixel.
// Grid: maps * ceil(out_height / rows_most) * ceil(channels / SLOT) blocks of 256 threads.
extern "C" __global__ __launch_bounds__(THREADS) void
resize_forward_f32(const float *inp, float *out, int inp_height, int inp_width, int out_height, int out_width,
                   int channels, int align_corners, int rows_most, int staged) {
  forward(inp, out, Axis(inp_height, out_height, align_corners != 0), Axis(inp_width, out_width, align_corners != 0),
          channels, rows_most, staged != 0);
}
extern "C" __global__ __launch_bounds__(THREADS) void
resize_forward_bf16(const bf16 *inp, bf16 *out, int inp_height, int inp_width, int out_height, int out_width,
                    int channels, int align_corners, int rows_most, int staged) {
  forward(inp, out, Axis(inp_height, out_height, align_corners != 0), Axis(inp_width, out_width, align_corners != 0),
          channels, rows_most, staged != 0);
}

// `add` is 1 to add to `dinp`, 0 to set it. Grid: as forward, with `inp_height` for `out_height`.
extern "C" __global__ __launch_bounds__(THREADS) void
resize_backward_f32(const float *dout, float *dinp, int inp_height, int inp_width, int out_height, int out_width,
                    int channels, int align_corners, int rows_most, int staged, int add) {
  backward(dout, dinp, Axis(inp_height, out_height, align_corners != 0),
           Axis(inp_width, out_width, align_corners != 0), channels, rows_most, staged != 0, add != 0);
}
extern "C" __global__ __launch_bounds__(THREADS) void
resize_backward_bf16(const bf16 *dout, bf16 *dinp, int inp_height, int inp_width, int out_height, int out_width,
                     int channels, int align_corners, int rows_most, int staged, int add) {
  backward(dout, dinp, Axis(inp_height, out_height, align_corners != 0),
           Axis(inp_width, out_width, align_corners != 0), channels, rows_most, staged != 0, add != 0);
}
