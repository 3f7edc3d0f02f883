// The operand of a product that a convolution makes of a map: every tap of every pixel, brought straight from
// the map into shared memory.
//
// A pixel's numbers have an order, its depth: channels in groups of 32, of each group all taps, of each tap
// the group's channels. So a step along the depth reads almost the same pixels as the one before it, which the
// first cache has. Channels are filled up with zeros.
#pragma once

#include "gemm_bf16.cuh"
#include "gemm_f32.cuh"

// Channels filled up: to a multiple of eight, and of so many that packed lines begin where sectors do, if there are
// more than a group, to which that is little.
constexpr int GROUP = 32;
__device__ inline int filled_up(int channels) {
  const int to = channels > GROUP ? 16 : 8;
  return (channels + to - 1) / to * to;
}

// A map [items, height, width, channels] and the width of a square kernel over it, 15 at most.
struct Map {
  int height, width, channels, kernel;
  int stride; // from a pixel to the next; what there is between them is 0

  __device__ int taps() const { return kernel * kernel; }
  __device__ int filled() const { return filled_up(channels); }
  __device__ int depth() const { return filled() * taps(); }
};

// Where a number of the depth is from, moving on along it.
struct Place {
  int group; // its first channel
  int width; // of the group; 0 or less beyond the end
  int rest;  // the number in the group

  __device__ Place(const Map &map, int at) {
    group = at / (GROUP * map.taps()) * GROUP;
    width = min(map.filled() - group, GROUP), rest = at - group * map.taps();
  }

  __device__ void move(const Map &map, int by) {
    rest += by;
    while (width > 0 && rest >= width * map.taps()) {
      rest -= width * map.taps(), group += GROUP;
      width = min(map.filled() - group, GROUP);
    }
  }

  __device__ int tap() const { return width == GROUP ? rest / GROUP : rest / max(width, 1); }
  __device__ int channel(int tap) const { return group + rest - tap * width; }
};

// What of the taps of a pixel lies outside of the map: a bit for each of their rows, from bit 16 on for each
// of their columns; the bits after the last are always set.
__device__ inline unsigned outside(const Map &map, int pixel) {
  const int all_rows = pixel / map.width, row = all_rows % map.height, column = pixel - all_rows * map.width;
  const auto bits = [&](int at, int extent) {
    const unsigned before = (1u << max(map.kernel / 2 - at, 0)) - 1;
    return (before | 0xffffu << min(extent + map.kernel / 2 - at, 15)) & 0xffffu;
  };
  return bits(row, map.height) | bits(column, map.width) << 16;
}
constexpr unsigned EVERYTHING = 0xffffffffu;

// Where a step of an operand lies in shared memory, in bytes: the number of a line and a column, and what lies
// `lines` further on, a multiple of as many as a thread's lines are apart.
template <typename T, int SIDE, Lies LIES> struct Shared;
template <int SIDE, Lies LIES> struct Shared<bf16, SIDE, LIES> {
  using In = gemm_bf16::Step<SIDE, LIES>;
  static constexpr int STEP = gemm_bf16::STEP, CHUNK = gemm_bf16::CHUNK;

  static __device__ int offset(int line, int column) {
    return In::offset(line, column / CHUNK) + column % CHUNK * static_cast<int>(sizeof(bf16));
  }
  static __device__ int further(int offset, int lines) {
    return (offset ^ lines % 8 * 16) + lines * In::LINE_BYTES;
  }
};
template <int SIDE, Lies LIES> struct Shared<float, SIDE, LIES> {
  static constexpr int STEP = gemm_f32::STEP, LINE = gemm_f32::LINE<SIDE>;
  static constexpr int OF_LINE = (LIES == Lies::BY_DEPTH ? 1 : LINE) * sizeof(float);
  static constexpr int OF_COLUMN = (LIES == Lies::BY_DEPTH ? LINE : 1) * sizeof(float);

  static __device__ int offset(int line, int column) { return line * OF_LINE + column * OF_COLUMN; }
  static __device__ int further(int offset, int lines) { return offset + lines * OF_LINE; }
};

// Copies in the background through the first cache, where the next steps find it.
template <int BYTES> __device__ inline void copy_near(void *to, const void *from, bool there) {
  if constexpr (BYTES == 16)
    asm volatile("cp.async.ca.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from),
                 "r"(there ? 16 : 0)
                 : "memory");
  else
    copy_async<BYTES>(shared_address(to), from, there);
}

// Chunks that begin with the number 1. Not `const`: nvcc would put the source's folder into their names.
__device__ uint4 one_f32 = {0x3f800000, 0, 0, 0}, one_bf16 = {0x3f80, 0, 0, 0};
template <typename T> __device__ inline const uint4 *one() { return sizeof(T) == 4 ? &one_f32 : &one_bf16; }

// Brings the operand into shared memory, step by step: lines are pixels, of which VECTOR numbers are copied at
// once. Lying by depth it is the pixels of a map by the depth of their taps. Lying by the other, the product
// sums over the pixels, and the number after the last of the depth is 1 for all of them.
template <typename T, int VECTOR, int SIDE, Lies LIES, int THREADS> struct TapLoader {
  using To = Shared<T, SIDE, LIES>;
  static constexpr bool BY_DEPTH = LIES == Lies::BY_DEPTH;
  static constexpr int LINES = BY_DEPTH ? SIDE : To::STEP;
  static constexpr int ITEMS = (BY_DEPTH ? To::STEP : SIDE) / VECTOR, BETWEEN = THREADS / ITEMS;
  static constexpr int BYTES = VECTOR * sizeof(T);
  // What of the taps is outside is kept for this many pixels: all, or those of the coming steps, found by all
  // threads at once, and as many after them.
  static constexpr int FOUND = BY_DEPTH ? LINES : THREADS, TABLE = BY_DEPTH ? FOUND : 2 * FOUND;

  const T *data, *from; // the map, and this thread's first number of the next step
  const Map &map;
  int stride; // from a pixel to the next
  unsigned *table;
  int count, begin; // pixels there are, and the first of this block's
  int pixel;        // the first of the next step
  int line;         // this thread's first
  unsigned offset;  // in shared memory
  unsigned tap;     // the bits of its row and its column
  int left;         // numbers that are there from this thread's first on
  bool whole;
  unsigned inverse; // of the kernel's width
  Place place;

  // The table has TABLE words.
  __device__ TapLoader(const T *data_, const Map &map_, unsigned *table_, const GemmTask &task)
      : data(data_), map(map_), stride(map_.stride), table(table_),
        count(BY_DEPTH ? task.rows : task.depth), begin(BY_DEPTH ? task.row : task.begin), pixel(begin),
        line(threadIdx.x / ITEMS), whole(BYTES < 16 || aligned<VECTOR>(data_, map_.stride)),
        inverse(0xffffffffu / map_.kernel + 1),
        place(map_, (BY_DEPTH ? task.begin : task.row) + threadIdx.x % ITEMS * VECTOR) {
    const int column = threadIdx.x % ITEMS * VECTOR;
    offset = gemm_bf16::held(To::offset(line, column));
    find(pixel);
    aim();
    if (!BY_DEPTH && task.row + column == map.depth())
      from = reinterpret_cast<const T *>(one<T>()), stride = 0, left = VECTOR, tap = 0;
  }

  // Looks at FOUND pixels from `first` on.
  __device__ void find(int first) {
    const int i = threadIdx.x, at = first + i;
    if (i < FOUND) table[(BY_DEPTH ? i : at) % TABLE] = at < count ? outside(map, at) : EVERYTHING;
  }

  // Finds where the next step's numbers are.
  __device__ void aim() {
    const int at = place.tap(), channel = place.channel(at), half = map.kernel / 2;
    const int i = __umulhi(at, inverse), j = at - i * map.kernel;
    left = map.channels - channel;
    tap = place.width > 0 && left > 0 ? 1u << i | 0x10000u << j : EVERYTHING;
    const int shifted = pixel + line + (i - half) * map.width + j - half;
    from = data + (static_cast<long long>(shifted) * stride + channel);
  }

  __device__ void arrived(void *, int) const {}

  __device__ void next(void *to_) {
    char *const to = static_cast<char *>(to_);
    const unsigned *const is_outside = table + (BY_DEPTH ? line : pixel % TABLE + line);
    bool inside[LINES / BETWEEN]; // all of them, before the first copy
#pragma unroll
    for (int l = 0; l < LINES; l += BETWEEN) inside[l / BETWEEN] = (is_outside[l] & tap) == 0;
    if (whole)
      each_line([&](int l, const T *at) {
        copy_near<BYTES>(to + To::further(offset, l), at, inside[l / BETWEEN]);
      });
    else if constexpr (BYTES == 16)
      each_line([&](int l, const T *at) {
        *reinterpret_cast<uint4 *>(to + To::further(offset, l)) =
            gemm_bf16::guarded(at, inside[l / BETWEEN] ? min(left, VECTOR) : 0);
      });
    if (BY_DEPTH) {
      place.move(map, To::STEP);
      aim();
    } else {
      if ((pixel - begin) % FOUND == 0) find(pixel + FOUND); // where the steps before this one have looked
      pixel += To::STEP, from += static_cast<size_t>(To::STEP) * stride;
    }
  }

  template <typename Visit> __device__ void each_line(Visit visit) const {
#pragma unroll
    for (int l = 0; l < LINES; l += BETWEEN) visit(l, from + static_cast<size_t>(l) * stride);
  }
};
