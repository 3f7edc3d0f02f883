// Brings operands of bf16 whose lines begin where four bytes do, but not where 16 do, word by word, without
// touching a sector of 32 bytes twice.
//
// Lying by depth, 64 bytes of a line that begin anywhere lie in three sectors, of which the next step needs one
// again. So a step's copies are of whole sectors, two a line: of the first one the words before the step are those
// that the step before it lacks, and they go where that step lies. It is complete a step later than with copies
// of 16 bytes, so that only one step is on its way while one is used.
#pragma once

#include "gemm_bf16.cuh"

namespace gemm_bf16 {

constexpr int WORD = 2; // numbers in four bytes
constexpr int SECTOR = 32 / sizeof(bf16);

// As Loader, which it is for lines of other alignments: then a thread of THREADS has one word of every APART-th line.
template <int SIDE, Lies LIES, int THREADS> class WordLoader {
public:
  using Chunks = Loader<SIDE, LIES, THREADS>;

  // The part of the depth from `begin` to `end`.
  __device__ WordLoader(const bf16 *data, int others, int depth, int other, int begin, int end)
      : in_chunks(data, others, depth, other, begin), at(in_chunks), late(false),
        words(!at.whole && aligned<WORD>(data, at.length)), left((end - begin + STEP - 1) / STEP), before(nullptr) {
    if (words) aim(data, others, depth, other, begin);
  }

  __device__ bool is_whole() const { return in_chunks.whole; }
  __device__ Loader<SIDE, LIES, THREADS, true> whole() const {
    return Loader<SIDE, LIES, THREADS, true>(in_chunks);
  }

  // For those who do something to chunks that they have copied themselves.
  __device__ operator const Chunks &() const { return in_chunks; }

  __device__ void arrived(char *, int) const {}

  __device__ void next(char *to) {
    if (!words) return at.next(to);
    if constexpr (BY_DEPTH) {
      if (!late || before != nullptr) copy(late ? before : to);
      if (--left == 0 && late) copy(to);
      before = to;
    } else {
      copy(to);
    }
    copy_commit(); // a group of its own, which the next wait is for
  }

private:
  using Place = typename Chunks::Place;
  static constexpr bool BY_DEPTH = Chunks::BY_DEPTH, IN_TURN = Place::CHUNKS > 4;
  static constexpr int WORDS = Chunks::LINE_NUMBERS / WORD, APART = THREADS / WORDS, CHUNK_WORDS = CHUNK / WORD;
  static_assert(IN_TURN ? APART == 4 : APART % 8 == 0, "chunks of a thread are permuted alike, or in turn");

  __device__ void aim(const bf16 *data, int others, int depth, int other, int begin) {
    const int line = threadIdx.x / WORDS, first = (BY_DEPTH ? other : begin) + line;
    const int first_column = BY_DEPTH ? begin : other;
    at.from = data + static_cast<size_t>(first) * at.length + first_column;
    int word = threadIdx.x % WORDS;
    if constexpr (BY_DEPTH) { // eight lines of whole words are whole sectors: all of a thread's begin alike
      const int before_line = reinterpret_cast<unsigned long long>(at.from) / 4 % (SECTOR / WORD);
      late = word < before_line, word = (word - before_line) & (WORDS - 1);
    }
    at.from += word * WORD;
    at.lines = (BY_DEPTH ? others : depth) - first, at.count = at.length - first_column - word * WORD;
    at.place = held(Place::offset(line, word / CHUNK_WORDS) + word % CHUNK_WORDS * 4);
  }

  __device__ void copy(char *to) {
#pragma unroll
    for (int l = 0; l < Chunks::LINES; l += APART) {
      const unsigned in_step = (at.place ^ (IN_TURN ? l % 8 * 16 : 0)) + l * Place::LINE_BYTES;
      copy_async<4>(shared_address(to) + in_step, at.from + static_cast<size_t>(l) * at.length,
                    l < at.lines && at.count > 0);
    }
    (BY_DEPTH ? at.count : at.lines) -= STEP;
    at.from += BY_DEPTH ? STEP : static_cast<size_t>(STEP) * at.length;
  }

  const Chunks in_chunks; // as it was in the beginning
  Chunks at;              // this thread's words, or chunks
  bool late;              // its word of a step is in a sector that comes with the next one
  bool words;
  int left;     // steps
  char *before; // the step before this one
};

} // namespace gemm_bf16
