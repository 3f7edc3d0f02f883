// A map whose pixels do not begin where sectors of 32 bytes do, copied to where they do: a product reads each of
// them for every tap and every tile, 64 bytes at a time, and would touch three sectors for two.
#pragma once

#include "../common/convolution.cuh"
#include "../common/word_rows.cuh"

// Pixels that a block copies.
constexpr int LINE_PIXELS = 16;
__device__ inline int line_blocks(int pixels) { return (pixels + LINE_PIXELS - 1) / LINE_PIXELS; }

// From a pixel to the next: whole sectors.
template <typename T> __device__ inline int line_stride(int channels) {
  constexpr int SECTOR = 32 / sizeof(T);
  return (channels + SECTOR - 1) / SECTOR * SECTOR;
}

// lines [pixels, line_stride] = inp [pixels, channels], then zeros; what block `block` has of it.
template <typename T>
__device__ inline void copy_lines(const T *inp, T *lines, int pixels, int channels, int block) {
  const int stride = line_stride<T>(channels), first = block * LINE_PIXELS, count = min(pixels - first, LINE_PIXELS);
  const T *const from = inp + static_cast<size_t>(first) * channels;
  T *const to = lines + static_cast<size_t>(first) * stride;
  const WordRows<T> rows = {from, to, channels, stride, count, channels, false};
  const bool by_words = rows.possible();
  if (by_words) rows.copy(0, 1);
  const int begin = by_words ? channels : 0, width = stride - begin;
#pragma unroll 1
  for (int i = threadIdx.x; i < count * width; i += ELEMENT_THREADS) {
    const int pixel = i / width, channel = begin + i % width;
    to[pixel * stride + channel] = channel < channels ? from[pixel * channels + channel] : static_cast<T>(0.0f);
  }
}
