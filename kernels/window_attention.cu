// Window attention, forward and backward (equations: src/op/window_attention/mod.rs).
//
// A block does its share of the rectangles of one head, in which everything sees everything, one after the
// other. Rows of q, k, v and dout come into shared memory once. A warp has 32 queries (forward) or 32 keys
// (backward); in bf16 16 if heads are wider than 32. Scores and probabilities stay in its registers;
// gradients of scores go through shared memory, a group of queries at a time, to those of q and of the
// table. With windows of 12 x 12 and heads of 32 in bf16 a block has 37 KB of shared memory forward and 82
// KB backward. Limits: 160 positions in a rectangle, heads up to 64 wide, 4096 heads; any alignment.

#include "window_attention/backward.cuh"
#include "window_attention/forward.cuh"

// `lse` [B, heads, H, W], as a power of two, is null where no backward pass will follow.
// Grid: (heads, blocks that share a head's rectangles) blocks of a warp for each 32 or 16 keys of the
// largest rectangle, which are `tiles` of 16.
#define FORWARD(D, T)                                                                                       \
  (const T *qkv, const T *qkv_bias, const float *table, T *out, float *lse, int height, int width,          \
   int windows_down, int windows_across, int heads, int head_dim, int window, int shift, int share,         \
   int more, int tiles) {                                                                                   \
    const Map map = {height, width, windows_down, windows_across, heads, head_dim,                          \
                     window, shift, share,        more,           tiles};                                   \
    forward<T, D>(qkv, qkv_bias, table, out, lse, map);                                                     \
  }

extern "C" __global__ __launch_bounds__(160, 3) void window_attention_forward_16_bf16
    FORWARD(16, bf16) extern "C" __global__ __launch_bounds__(160, 3) void window_attention_forward_32_bf16
    FORWARD(32, bf16) extern "C" __global__ __launch_bounds__(320, 1) void window_attention_forward_64_bf16
    FORWARD(64, bf16) extern "C" __global__ __launch_bounds__(160, 1) void window_attention_forward_32_f32
    FORWARD(32, float) extern "C" __global__ __launch_bounds__(160, 1) void window_attention_forward_64_f32
    FORWARD(64, float)

// Gradients that nobody wants are null; `add_...` is 1 to add to one, 0 to set it. `partial`
// [heads, blocks, (2 window - 1)^2 + 2 head_dim] is null if neither dbias nor dtable is wanted; `tickets`
// has a zero for every head. `group` tiles of queries have their gradients of scores in shared memory at
// once. Grid: as forward.
#define BACKWARD(D, T)                                                                                      \
  (const T *qkv, const T *qkv_bias, const float *table, const float *lse, const T *dout, T *dqkv,           \
   float *dbias, float *dtable, float *partial, unsigned *tickets, int add_qkv, int add_bias,               \
   int add_table, int height, int width, int windows_down, int windows_across, int heads, int head_dim,     \
   int window, int shift, int share, int more, int tiles, int group) {                                      \
    const Map map = {height, width, windows_down, windows_across, heads, head_dim,                          \
                     window, shift, share,        more,           tiles};                                   \
    const BackwardPass<T> pass = {qkv,          qkv_bias,      table,          lse,     dout,               \
                                  dqkv,         dbias,         dtable,         partial, tickets,            \
                                  add_qkv != 0, add_bias != 0, add_table != 0, group};                      \
    backward<T, D>(pass, map);                                                                              \
  }

        extern "C" __global__ __launch_bounds__(160, 2) void window_attention_backward_16_bf16
    BACKWARD(16, bf16) extern "C" __global__ __launch_bounds__(160, 2) void window_attention_backward_32_bf16
    BACKWARD(32, bf16) extern "C" __global__ __launch_bounds__(320, 1) void window_attention_backward_64_bf16
    BACKWARD(64, bf16) extern "C" __global__ __launch_bounds__(160, 1) void window_attention_backward_32_f32
    BACKWARD(32, float) extern "C" __global__ __launch_bounds__(160, 1) void window_attention_backward_64_f32
    BACKWARD(64, float)
