// The products of a convolution by tiles and parts of the depth, each by its number, and how they are written.
#pragma once

#include "../common/convolution.cuh"
#include "../common/last_block.cuh"

constexpr int SIDE = 128;
constexpr int THREADS = gemm_threads(SIDE);

// Shared memory: the operands, then what TapLoader keeps of the pixels.
template <typename T> constexpr int OPERAND_BYTES = gemm_f32::SHARED_BYTES<Square<SIDE>>;
template <> constexpr int OPERAND_BYTES<bf16> = gemm_bf16::SHARED_BYTES<Square<SIDE>>;
struct alignas(128) Line {
  char bytes[128];
};
__device__ inline char *block_memory() {
  extern __shared__ Line lines[];
  return lines[0].bytes;
}

// A result's tiles [rows, columns] times the parts of its depth, column tiles first, parts last.
struct Tiles {
  int rows, columns, depth, parts;

  __device__ int across() const { return (columns + SIDE - 1) / SIDE; }
  __device__ int down() const { return (rows + SIDE - 1) / SIDE; }
  __device__ int count() const { return across() * down() * parts; }
  __device__ int tile(int number) const { return number % (across() * down()); }
  __device__ int part(int number) const { return number / (across() * down()); }

  __device__ GemmTask task(int number, int step) const {
    const int at = tile(number);
    GemmTask task(rows, columns, depth, TileAt{at / across() * SIDE, at % across() * SIDE});
    task.set_part(part(number), parts, step);
    return task;
  }
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
  char *const shared = block_memory();
  unsigned *const table = reinterpret_cast<unsigned *>(shared + OPERAND_BYTES<T>);
  if (task.columns - task.column <= Narrow::COLUMNS)
    product<Narrow, VECTOR, LIES>(map_data, second, map, task, shared, table, finish);
  else
    product<Square<SIDE>, VECTOR, LIES>(map_data, second, map, task, shared, table, finish);
}

// The same with as many numbers of the map copied at once as its lines allow: 16 bytes, or two numbers of bf16
// where lines are not multiples of that, but of four bytes.
template <Lies LIES, typename Finish>
__device__ inline void product(const float *map_data, const float *second, const Map &map,
                               const GemmTask &task, Finish finish) {
  product<1, LIES>(map_data, second, map, task, finish);
}
template <Lies LIES, typename Finish>
__device__ inline void product(const bf16 *map_data, const bf16 *second, const Map &map, const GemmTask &task,
                               Finish finish) {
  if (aligned<2>(map_data, map.stride) && !aligned<8>(map_data, map.stride))
    product<2, LIES>(map_data, second, map, task, finish);
  else
    product<8, LIES>(map_data, second, map, task, finish);
}

// Sets two neighbouring numbers, or adds to them.
__device__ inline void put_two(float *at, const float (&values)[2], bool add) {
  float2 *const both = reinterpret_cast<float2 *>(at);
  const float2 old = add ? *both : make_float2(0.0f, 0.0f);
  *both = make_float2(old.x + values[0], old.y + values[1]);
}
__device__ inline void put_two(bf16 *at, const float (&values)[2], bool add) {
  unsigned *const both = reinterpret_cast<unsigned *>(at);
  float old_low = 0.0f, old_high = 0.0f;
  if (add) unpack_pair(*both, old_low, old_high);
  *both = pack_pair(old_low + values[0], old_high + values[1]);
}

// A result [rows, columns] that is set or added to, after the bias if there is one.
template <typename T> struct Result {
  T *to;
  const float *bias;
  float *part; // null, or where this block's part of the sums goes, with columns filled up to fours
  int columns;
  bool add;

  __device__ int filled() const { return (columns + FOUR - 1) / FOUR * FOUR; }

  // Rows that begin where two numbers do, but not where four, are written by pairs, of which a warp's accesses
  // have neighbours: fours in two accesses would touch each sector twice.
  __device__ bool pairs_out() const { return aligned<2>(to, columns) && !aligned<FOUR>(to, columns); }
  __device__ bool by_pairs() const { return part == nullptr && pairs_out(); }

  template <int WIDTH> __device__ void operator()(int row, int column, float (&values)[WIDTH]) const {
    if constexpr (WIDTH == FOUR)
      if (part != nullptr) return store(part + static_cast<size_t>(row) * filled() + column, values);
    finish(row, column, values);
  }

  template <int WIDTH> __device__ void finish(int row, int column, float (&values)[WIDTH]) const {
    const int count = min(columns - column, WIDTH);
    if (bias != nullptr) {
      if constexpr (WIDTH == FOUR && sizeof(T) == 2) { // f32 has no register left for it
        float of_columns[FOUR];
        load_four(bias + column, count, count == FOUR && aligned<FOUR>(bias, FOUR), of_columns);
#pragma unroll
        for (int i = 0; i < FOUR; ++i) values[i] += of_columns[i];
      } else {
#pragma unroll
        for (int i = 0; i < WIDTH; ++i)
          if (i < count) values[i] += bias[column + i];
      }
    }
    T *const at = to + static_cast<size_t>(row) * columns + column;
    if constexpr (WIDTH == FOUR)
      put_four(at, count, count == FOUR && aligned<FOUR>(to, columns), values, add);
    else
      put_two(at, values, add);
  }

  // Adds up a tile's parts, of which `first` is part 0.
  template <int WIDTH> __device__ void sum_tile(const float *first, int parts, const GemmTask &task) const {
    using Vector = typename Word<WIDTH * sizeof(float)>::Type;
    const int across = (min(columns - task.column, SIDE) + WIDTH - 1) / WIDTH;
    for (int i = threadIdx.x; i < across * min(task.rows - task.row, SIDE); i += THREADS) {
      const int row = task.row + i / across, column = task.column + i % across * WIDTH;
      float sum[WIDTH] = {};
#pragma unroll 4
      for (int which = 0; which < parts; ++which) {
        const size_t at = (static_cast<size_t>(which) * task.rows + row) * filled() + column;
        union {
          Vector whole;
          float more[WIDTH];
        };
        whole = *reinterpret_cast<const Vector *>(first + at);
#pragma unroll
        for (int k = 0; k < WIDTH; ++k) sum[k] += more[k];
      }
      finish(row, column, sum);
    }
  }
};
template <typename T> constexpr bool TAKES_PAIRS<Result<T>> = true;

// result = the taps of a map times a packed weight; this block's tile of it, or a part of its sum. Parts lie in
// `partial` [parts, rows, columns filled up], and the last block of a tile adds them up.
template <typename T>
__device__ inline void convolve(const T *inp, const T *packed, const Map &map, Result<T> result,
                                const Tiles &tiles, int number, float *partial, unsigned *tickets) {
  const GemmTask task = tiles.task(number, Shared<T, SIDE, Lies::BY_DEPTH>::STEP);
  if (tiles.parts > 1)
    result.part = partial + static_cast<size_t>(tiles.part(number)) * tiles.rows * result.filled();
  product<Lies::BY_DEPTH>(inp, packed, map, task, result);
  if (tiles.parts == 1 || !is_last_block(tickets + tiles.tile(number), tiles.parts)) return;
  if (result.pairs_out())
    result.template sum_tile<2>(partial, tiles.parts, task);
  else
    result.template sum_tile<FOUR>(partial, tiles.parts, task);
}
