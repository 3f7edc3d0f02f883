// Sum of three table rows for each token, forward and backward (equations: src/op/embedding/mod.rs).
//
// Forward a block of 128 threads has a token. Backward a block of 256 threads has either one position of all
// items, whose tokens it sums for that position, or 32 rows of the word table: it looks through the tokens
// once to see which of the rows they name, zeroes the others a warp each, and sums the named ones in the
// tokens' order, four in flight. The last block of the positions adds their sums for the token type.
// Limits: tokens and rows of a table from 1 to 2^31; any channels and alignment.

#include "common/last_block.cuh"
#include "common/reduce.cuh"
#include "common/vector.cuh"

constexpr int TOKEN_THREADS = 128;
constexpr int THREADS = 256;
constexpr int BLOCKS = 6;      // of a multiprocessor, at least
constexpr int TABLE_ROWS = 32; // a bit each
constexpr int FLIGHT = 4;      // rows of dout that are loaded before the first is added

template <typename T, int WIDTH>
__device__ inline void forward_row(const T *word, const T *position, const T *token_type, T *out,
                                   int channels) {
  for (int c = threadIdx.x * WIDTH; c < channels; c += TOKEN_THREADS * WIDTH) {
    float sum[WIDTH], more[2][WIDTH];
    load<T, WIDTH>(word + c, sum);
    load<T, WIDTH>(position + c, more[0]), load<T, WIDTH>(token_type + c, more[1]);
#pragma unroll
    for (int i = 0; i < WIDTH; ++i) sum[i] = sum[i] + more[0][i] + more[1][i];
    store(out + c, sum);
  }
}

template <typename T>
__device__ inline void forward(const int *tokens, const T *word, const T *position, const T *token_type,
                               T *out, int words, int channels) {
  constexpr int WIDE = WIDEST<T>;
  const int row = blockIdx.x;
  word += static_cast<size_t>(tokens[row]) * channels,
      position += static_cast<size_t>(row % words) * channels;
  out += static_cast<size_t>(row) * channels;
  if (aligned<WIDE>(word, channels) && aligned<WIDE>(position, channels) &&
      aligned<WIDE>(token_type, channels) && aligned<WIDE>(out, channels))
    forward_row<T, WIDE>(word, position, token_type, out, channels);
  else
    forward_row<T, 1>(word, position, token_type, out, channels);
}

// A table's gradient [rows, channels], null if it is not wanted, and whether to add to it.
struct Table {
  float *values;
  int rows;
  bool add;

  __device__ float *row(int i, int channels) const { return values + static_cast<size_t>(i) * channels; }
};

// Zeros `count` numbers, with all of `threads`.
template <int WIDTH> __device__ inline void zero(float *at, int count, int thread, int threads) {
  const float zeros[WIDTH] = {};
  for (int i = thread * WIDTH; i < count; i += threads * WIDTH) store(at + i, zeros);
}

// Adds the numbers of row rows[0], rows[1] and so on at `column`; a row below 0 is not there.
template <int WIDTH, typename T>
__device__ inline void add_rows(float (&sum)[WIDTH], const T *from, const int (&rows)[FLIGHT], int column,
                                int channels) {
  float more[FLIGHT][WIDTH];
#pragma unroll
  for (int k = 0; k < FLIGHT; ++k) {
#pragma unroll
    for (int i = 0; i < WIDTH; ++i) more[k][i] = 0.0f;
    if (rows[k] >= 0) load<T, WIDTH>(from + static_cast<size_t>(rows[k]) * channels + column, more[k]);
  }
#pragma unroll
  for (int k = 0; k < FLIGHT; ++k)
#pragma unroll
    for (int i = 0; i < WIDTH; ++i) sum[i] += more[k][i];
}

// The sum of `count` rows of `from`, each `stride` rows after the one before it, put to `to` and `sums`.
template <int WIDTH, typename T>
__device__ inline void sum_strided(const T *from, int count, int stride, int channels, float *to, bool add,
                                   float *sums) {
  for (int column = threadIdx.x * WIDTH; column < channels; column += THREADS * WIDTH) {
    float sum[WIDTH] = {};
    for (int first = 0; first < count; first += FLIGHT) {
      int rows[FLIGHT];
#pragma unroll
      for (int k = 0; k < FLIGHT; ++k) rows[k] = first + k < count ? (first + k) * stride : -1;
      add_rows(sum, from, rows, column, channels);
    }
    if (to != nullptr) put(to + column, sum, add);
    if (sums != nullptr) store(sums + column, sum);
  }
}

// forward: out[b, l] = .. + position[l] + token_type[0]
// Block l of the positions also zeroes its share of the rows that nothing refers to.
template <int WIDTH, typename T>
__device__ inline void backward_position(const T *dout, const Table &position, const Table &type, float *sums,
                                         unsigned *ticket, int batch, int words, int channels) {
  const int l = blockIdx.x;
  sum_strided<WIDTH>(dout + static_cast<size_t>(l) * channels, batch, words, channels,
                     position.values == nullptr ? nullptr : position.row(l, channels), position.add,
                     type.values == nullptr ? nullptr : sums + static_cast<size_t>(l) * channels);
  if (position.values != nullptr && !position.add)
    for (int row = l + words; row < position.rows; row += words)
      zero<WIDTH>(position.row(row, channels), channels, threadIdx.x, THREADS);
  if (type.values == nullptr) return;
  if (!type.add)
    for (int row = l + 1; row < type.rows; row += words)
      zero<WIDTH>(type.row(row, channels), channels, threadIdx.x, THREADS);
  if (is_last_block(ticket, words))
    sum_strided<WIDTH>(sums, words, 1, channels, type.values, type.add, static_cast<float *>(nullptr));
}

// A bit for each of this block's rows of the table that a token names, for all threads.
__device__ inline unsigned named_rows(const int *tokens, int count, int first, int rows) {
  __shared__ unsigned of_warps[THREADS / WARP];
  unsigned named = 0;
#pragma unroll 4
  for (int i = threadIdx.x; i < count; i += THREADS) {
    const int row = tokens[i] - first;
    if (row >= 0 && row < rows) named |= 1u << row;
  }
  named = __reduce_or_sync(0xffffffffu, named);
  if (threadIdx.x % WARP == 0) of_warps[threadIdx.x / WARP] = named;
  __syncthreads();
#pragma unroll
  for (int warp = 0; warp < THREADS / WARP; ++warp) named |= of_warps[warp];
  return named;
}

// The sum of the rows of dout whose token is `id`, at `column`; all of a warp have to come here.
template <int WIDTH, typename T>
__device__ inline void sum_tokens(float (&sum)[WIDTH], const int *tokens, const T *dout, int count, int id,
                                  int column, int channels) {
  for (int first = 0; first < count; first += WARP) {
    const int i = first + threadIdx.x % WARP;
    unsigned there = __ballot_sync(0xffffffffu, i < count && tokens[i] == id);
    while (there != 0) {
      int rows[FLIGHT];
#pragma unroll
      for (int k = 0; k < FLIGHT; ++k) {
        rows[k] = there != 0 && column < channels ? first + __ffs(there) - 1 : -1;
        there &= there - 1;
      }
      add_rows(sum, dout, rows, column, channels);
    }
  }
}

// forward: out[b, l] = word[tokens[b, l]] + ..
template <int WIDTH, typename T>
__device__ inline void backward_word(const int *tokens, const T *dout, const Table &word, int block,
                                     int count, int channels) {
  const int first = block * TABLE_ROWS, rows = min(word.rows - first, TABLE_ROWS);
  const int warp = threadIdx.x / WARP;
  unsigned named = named_rows(tokens, count, first, rows);
  if (!word.add)
    for (int row = warp; row < rows; row += THREADS / WARP)
      if ((named >> row & 1) == 0)
        zero<WIDTH>(word.row(first + row, channels), channels, threadIdx.x % WARP, WARP);
  for (; named != 0; named &= named - 1) {
    const int id = first + __ffs(named) - 1;
    for (int tile = warp * WARP * WIDTH; tile < channels; tile += THREADS * WIDTH) {
      const int column = tile + threadIdx.x % WARP * WIDTH;
      float sum[WIDTH] = {};
      sum_tokens(sum, tokens, dout, count, id, column, channels);
      if (column < channels) put(word.row(id, channels) + column, sum, word.add);
    }
  }
}

template <typename T>
__device__ inline void backward(const int *tokens, const T *dout, const Table &word, const Table &position,
                                const Table &type, float *sums, unsigned *ticket, int batch, int words,
                                int channels) {
  const bool whole = aligned<FOUR>(dout, channels) && aligned<FOUR>(word.values, channels) &&
                     aligned<FOUR>(position.values, channels) && aligned<FOUR>(type.values, channels) &&
                     aligned<FOUR>(sums, channels);
  const int of_positions = position.values == nullptr && type.values == nullptr ? 0 : words;
  const int block = blockIdx.x - of_positions;
  if (block < 0 && whole)
    backward_position<FOUR>(dout, position, type, sums, ticket, batch, words, channels);
  else if (block < 0)
    backward_position<1>(dout, position, type, sums, ticket, batch, words, channels);
  else if (whole)
    backward_word<FOUR>(tokens, dout, word, block, batch * words, channels);
  else
    backward_word<1>(tokens, dout, word, block, batch * words, channels);
}

// tokens [batch, words], out [batch, words, channels]. Grid: batch * words blocks of 128 threads.
extern "C" __global__ __launch_bounds__(TOKEN_THREADS) void
embedding_forward_f32(const int *tokens, const float *word, const float *position, const float *token_type,
                      float *out, int words, int channels) {
  forward(tokens, word, position, token_type, out, words, channels);
}
extern "C" __global__ __launch_bounds__(TOKEN_THREADS) void
embedding_forward_bf16(const int *tokens, const bf16 *word, const bf16 *position, const bf16 *token_type,
                       bf16 *out, int words, int channels) {
  forward(tokens, word, position, token_type, out, words, channels);
}

// dword [vocabulary, channels], dposition [positions, channels] and dtype [types, channels] (+)= .., null where
// they are not wanted; `sums` [words, channels] lies between. Grid: blocks of 256 threads, `words` of them if
// dposition or dtype is wanted, then ceil(vocabulary / 32) if dword is.
extern "C" __global__ __launch_bounds__(THREADS, BLOCKS) void
embedding_backward_f32(const int *tokens, const float *dout, float *dword, float *dposition, float *dtype,
                       float *sums, unsigned *ticket, int batch, int words, int channels, int vocabulary,
                       int positions, int types, int add_word, int add_position, int add_type) {
  backward(tokens, dout, Table{dword, vocabulary, add_word != 0},
           Table{dposition, positions, add_position != 0}, Table{dtype, types, add_type != 0}, sums, ticket,
           batch, words, channels);
}
extern "C" __global__ __launch_bounds__(THREADS, BLOCKS) void
embedding_backward_bf16(const int *tokens, const bf16 *dout, float *dword, float *dposition, float *dtype,
                        float *sums, unsigned *ticket, int batch, int words, int channels, int vocabulary,
                        int positions, int types, int add_word, int add_position, int add_type) {
  backward(tokens, dout, Table{dword, vocabulary, add_word != 0},
           Table{dposition, positions, add_position != 0}, Table{dtype, types, add_type != 0}, sums, ticket,
           batch, words, channels);
}
