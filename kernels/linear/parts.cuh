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

// What takes a block's part: the memory of parts, or `finish` if there is no other part of the tile.
template <typename Part, typename Finish> struct PutPart {
  const Part &part;
  Finish &finish;

  __device__ void operator()(int row, int column, float (&values)[FOUR]) {
    if (part.parts.count == 1)
      finish(row, column, values);
    else
      store_part(part.at(part.which) + (row - part.task.row) * Part::COLUMNS + column - part.task.column, values);
  }
};
template <typename Part, typename Finish> constexpr int AT_ONCE<PutPart<Part, Finish>> = AT_ONCE<Finish>;

template <typename Tile> struct TilePart {
  static constexpr int COLUMNS = Tile::COLUMNS, NUMBERS = Tile::ROWS * COLUMNS;
  Parts parts;
  int tiles, tile, which;
  GemmTask task;

  // Of a product [rows, columns] that sums over `depth`.
  __device__ TilePart(const Parts &parts_, int rows, int columns, int depth, int block, int step)
      : parts(parts_), tiles(tiles_of<Tile::ROWS>(rows) * tiles_of<Tile::COLUMNS>(columns)), tile(block % tiles),
        which(block / tiles), task(rows, columns, depth, tile_at<Tile>(tile, columns)) {
    task.set_part(which, parts.count, step);
  }

  __device__ float *at(int part) const {
    return parts.memory + (static_cast<size_t>(tile) * parts.count + part) * NUMBERS;
  }

  // Takes this block's part of the sums, and in the block that comes last of the tile calls `finish` with them.
  // `make(put)` makes the part.
  template <typename Make, typename Finish> __device__ void run(Make make, Finish finish) const {
    make(PutPart<TilePart, Finish>{*this, finish});
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
    for (int i = threadIdx.x; i < NUMBERS / FOUR; i += Tile::THREADS) {
      const int row = task.row + i / (Tile::COLUMNS / FOUR), column = task.column + i % (Tile::COLUMNS / FOUR) * FOUR;
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
