// Matrices transposed, forward and backward, which is the same the other way (src/op/transpose/mod.rs).
//
// A block moves a tile of 256 x 32 numbers, or 32 x 256 where that takes fewer tiles, through shared memory, in
// f32 (32 KB): long lines, since those that begin within a sector of 32 bytes touch one more than they fill. Rows are
// read and columns written four numbers at a time where their lines are aligned, else one at a time; the tile is
// permuted so that neither way of either side meets in a bank.
// Limit: fewer than 2^31 tiles.

#include "common/vector.cuh"

constexpr int THREADS = 256;
constexpr int LONG = 256, SHORT = 32;
constexpr int NUMBERS = LONG * SHORT;

// Where the tile has number `across` of its short lines and `along` of its long ones. Lanes that have 32
// neighbours or 32 fours along a long line have different banks, and so have those with 32 neighbours across, or
// with eight fours across and four neighbours along.
__device__ inline int place(int along, int across) { return across * LONG + (along ^ along / 32 % 4 ^ across); }

// Which number of its line in the tile a vector begins with, if the first is at `line`. Vectors of a long line are
// counted from where a sector begins, so that those of a warp fill theirs; the first few are the line's last.
template <int LENGTH, int WIDTH, typename T> __device__ inline int in_line(const T *line, int vector) {
  constexpr int SECTOR = 32 / sizeof(T);
  const int before = reinterpret_cast<unsigned long long>(line) / sizeof(T) % SECTOR;
  const int number = vector % (LENGTH / WIDTH) * WIDTH;
  return LENGTH == LONG && WIDTH == FOUR ? (number - before) & (LENGTH - 1) : number;
}

// Which tile of which matrix a block has, and the sizes of the matrix that is read.
template <bool WIDE> struct Tile {
  static constexpr int ROWS = WIDE ? SHORT : LONG, COLUMNS = WIDE ? LONG : SHORT;
  int rows, columns;
  int row, column; // where the tile begins
  size_t matrix;   // where its matrix begins

  __device__ Tile(int rows_, int columns_) : rows(rows_), columns(columns_) {
    const unsigned across = (columns + COLUMNS - 1) / COLUMNS, down = (rows + ROWS - 1) / ROWS;
    column = blockIdx.x % across * COLUMNS;
    row = blockIdx.x / across % down * ROWS;
    matrix = static_cast<size_t>(blockIdx.x / across / down) * rows * columns;
  }

  static __device__ int at(int row, int column) { return WIDE ? place(column, row) : place(row, column); }

  template <typename T, int WIDTH> __device__ void read(const T *inp, float *tile) const {
    constexpr int STEPS = NUMBERS / WIDTH / THREADS;
    Packed<T, WIDTH> held[STEPS];
#pragma unroll
    for (int i = 0; i < STEPS; ++i) {
      const int vector = i * THREADS + threadIdx.x;
      const int r = row + vector / (COLUMNS / WIDTH);
      const T *const line = inp + matrix + static_cast<size_t>(r) * columns + column;
      const int c = in_line<COLUMNS, WIDTH>(line, vector);
      if (r < rows && column + c < columns) held[i] = load_packed<T, WIDTH>(line + c);
    }
#pragma unroll
    for (int i = 0; i < STEPS; ++i) {
      const int vector = i * THREADS + threadIdx.x;
      const int r = vector / (COLUMNS / WIDTH);
      const int c = in_line<COLUMNS, WIDTH>(inp + matrix + static_cast<size_t>(row + r) * columns + column, vector);
      float values[WIDTH];
      unpack(held[i], values);
#pragma unroll
      for (int j = 0; j < WIDTH; ++j) tile[at(r, c + j)] = values[j];
    }
  }

  template <typename T, int WIDTH> __device__ void write(const float *tile, T *out, bool add) const {
#pragma unroll 2
    for (int vector = threadIdx.x; vector < NUMBERS / WIDTH; vector += THREADS) {
      const int c = vector / (ROWS / WIDTH);
      T *const line = out + matrix + static_cast<size_t>(column + c) * rows + row;
      const int r = in_line<ROWS, WIDTH>(line, vector);
      if (row + r >= rows || column + c >= columns) continue;
      float values[WIDTH];
#pragma unroll
      for (int j = 0; j < WIDTH; ++j) values[j] = tile[at(r + j, c)];
      put(line + r, values, add);
    }
  }
};

template <bool WIDE, typename T>
__device__ inline void transpose_tile(const T *inp, T *out, int rows, int columns, bool add, float *tile) {
  const Tile<WIDE> task(rows, columns);
  if (aligned<FOUR>(inp, columns))
    task.template read<T, FOUR>(inp, tile);
  else
    task.template read<T, 1>(inp, tile);
  __syncthreads();
  if (aligned<FOUR>(out, rows))
    task.template write<T, FOUR>(tile, out, add);
  else
    task.template write<T, 1>(tile, out, add);
}

template <typename T>
__device__ inline void transpose(const T *inp, T *out, int rows, int columns, bool wide, bool add) {
  __shared__ float tile[NUMBERS];
  if (wide)
    transpose_tile<true>(inp, out, rows, columns, add, tile);
  else
    transpose_tile<false>(inp, out, rows, columns, add, tile);
}

// Matrices of `rows` x `columns` are read. Tiles have 256 rows and 32 columns, or, if `wide` is 1, 32 rows and 256
// columns. Grid: for each matrix its tiles, blocks of 256 threads.
extern "C" __global__ __launch_bounds__(THREADS) void transpose_forward_f32(const float *inp, float *out, int rows,
                                                                            int columns, int wide) {
  transpose(inp, out, rows, columns, wide != 0, false);
}
extern "C" __global__ __launch_bounds__(THREADS) void transpose_forward_bf16(const bf16 *inp, bf16 *out, int rows,
                                                                             int columns, int wide) {
  transpose(inp, out, rows, columns, wide != 0, false);
}

// `dout` is what is read here. `add` is 1 to add to `dinp`, 0 to set it. Grid: as forward.
extern "C" __global__ __launch_bounds__(THREADS) void
transpose_backward_f32(const float *dout, float *dinp, int rows, int columns, int wide, int add) {
  transpose(dout, dinp, rows, columns, wide != 0, add != 0);
}
extern "C" __global__ __launch_bounds__(THREADS) void
transpose_backward_bf16(const bf16 *dout, bf16 *dinp, int rows, int columns, int wide, int add) {
  transpose(dout, dinp, rows, columns, wide != 0, add != 0);
}
