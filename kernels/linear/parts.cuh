// A product by tiles and by parts of its depth, so that it has blocks for a whole device: each block leaves its part
// of a tile in memory, and the last of every FAN neighbours adds up theirs, then the last of every FAN of those, up
// to the whole. A single block that read all parts would take longer than the parts do, where they are many.
#pragma once

#include "../common/last_block.cuh"
#include "tiles.cuh"

constexpr int FAN = 4;

// How the sums of a product are shared among blocks, of which each has a part of a tile: first those of part 0.
struct Parts {
  float *memory;     // [parts of all tiles, tile], unless there is one part only
  unsigned *tickets; // for all tiles as many as they have groups of FAN, then groups of groups ...
  int count;         // of a tile
};

// Past the first cache, which nobody reads it from. (Of an ordinary store of what was just loaded nvcc makes four.)
__device__ inline void store_part(float *at, const float (&from)[FOUR]) {
  __stcg(reinterpret_cast<float4 *>(at), make_float4(from[0], from[1], from[2], from[3]));
}

template <int SIDE> struct TilePart {
  static constexpr int NUMBERS = SIDE * SIDE, THREADS = gemm_threads(SIDE);
  Parts parts;
  int tiles, tile, which;
  GemmTask task;

  // Of a product [rows, columns] that sums over `depth`.
  __device__ TilePart(const Parts &parts_, int rows, int columns, int depth, int block, int step)
      : parts(parts_), tiles(tiles_of<SIDE>(rows) * tiles_of<SIDE>(columns)), tile(block % tiles),
        which(block / tiles), task(rows, columns, depth, tile_at<SIDE>(tile, columns)) {
    task.set_part(which, parts.count, step);
  }

  __device__ float *at(int part) const {
    return parts.memory + (static_cast<size_t>(tile) * parts.count + part) * NUMBERS;
  }

  // Takes this block's part of the sums, and in the block that comes last of the tile calls `finish` with them.
  // `make(put)` makes the part.
  template <typename Make, typename Finish> __device__ void run(Make make, Finish finish) const {
    make([&](int row, int column, float(&values)[FOUR]) {
      if (parts.count == 1)
        finish(row, column, values);
      else
        store_part(at(which) + (row - task.row) * SIDE + column - task.column, values);
    });
    if (parts.count > 1) add_up(finish);
  }

  template <typename Finish> __device__ void add_up(Finish &finish) const {
    unsigned *ticket = parts.tickets;
    int left = parts.count, apart = 1, member = which, groups;
    for (; left > 1; left = groups, apart *= FAN, member /= FAN) {
      groups = (left + FAN - 1) / FAN;
      const int group = member / FAN, members = min(left - group * FAN, FAN);
      if (members > 1) {
        if (!is_last_block(ticket + tile * groups + group, members)) return;
        add_group(at(group * FAN * apart), members, apart, groups == 1, finish);
      }
      ticket += tiles * groups;
    }
  }

  // The sum takes the first member's place, or is finished. A thread has the same numbers each time.
  template <typename Finish>
  __device__ void add_group(float *first, int members, int apart, bool whole, Finish &finish) const {
#pragma unroll 4
    for (int i = threadIdx.x; i < NUMBERS / FOUR; i += THREADS) {
      const int row = task.row + i / (SIDE / FOUR), column = task.column + i % (SIDE / FOUR) * FOUR;
      if (row >= task.rows || column >= task.columns) continue;
      float sum[FOUR] = {};
#pragma unroll
      for (int member = 0; member < FAN; ++member) {
        if (member >= members) break;
        float more[FOUR];
        load<float, FOUR>(first + static_cast<size_t>(member) * apart * NUMBERS + i * FOUR, more);
#pragma unroll
        for (int k = 0; k < FOUR; ++k) sum[k] += more[k];
      }
      if (whole)
        finish(row, column, sum);
      else
        store_part(first + i * FOUR, sum);
    }
  }
};
