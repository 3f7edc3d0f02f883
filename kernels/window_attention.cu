// Window attention, forward and backward (equations: src/op/window_attention/mod.rs).
#include "window_attention/backward.cuh"
#include "window_attention/forward.cuh"

// `lse` [B, heads, H, W], as a power of two, is null where no backward pass will follow. `turned` is scratch for the
// table (window_attention/table.cuh).
#define FORWARD(D, T)                                                                                           \
  (const T *qkv, const T *qkv_bias, const float *table, T *out, float *lse, float *turned, unsigned *counters,  \
   int height, int width, int windows_down, int windows_across, int heads, int head_dim, int window, int shift, \
   int rectangles, int tiles) {                                                                                 \
    const Map map = {height,   width,   windows_down, windows_across, heads,                                    \
                     head_dim, window, shift,        rectangles,     tiles};                                    \
    forward<T, D>(qkv, qkv_bias, table, out, lse, turned, counters, map);                                       \
  }

extern "C" __global__ __launch_bounds__(320, 2) void window_attention_forward_16_bf16 FORWARD(16, bf16)
extern "C" __global__ __launch_bounds__(320, 2) void window_attention_forward_32_bf16 FORWARD(32, bf16)
extern "C" __global__ __launch_bounds__(320, 1) void window_attention_forward_64_bf16 FORWARD(64, bf16)
extern "C" __global__ __launch_bounds__(320, 1) void window_attention_forward_32_f32 FORWARD(32, float)
extern "C" __global__ __launch_bounds__(320, 1) void window_attention_forward_64_f32 FORWARD(64, float)

#define BACKWARD(D, T)                                                                                          \
  (const T *qkv, const T *qkv_bias, const float *table, const float *lse, const T *dout, T *dqkv, float *dbias, \
   float *dtable, float *turned, float *partial, unsigned *tickets, int add_qkv, int add_bias, int add_table,   \
   int height, int width, int windows_down, int windows_across, int heads, int head_dim, int window, int shift, \
   int rectangles, int tiles, int group) {                                                                      \
    const Map map = {height,   width,   windows_down, windows_across, heads,                                    \
                     head_dim, window, shift,        rectangles,     tiles};                                    \
    const BackwardPass<T> pass = {qkv,   qkv_bias, table,   lse,     dout,         dqkv,                        \
                                  dbias, dtable,   turned,  partial, tickets,      add_qkv != 0,                \
                                  add_bias != 0,   add_table != 0,   group};                                    \
    backward<T, D>(pass, map);                                                                                  \
  }

extern "C" __global__ __launch_bounds__(160, 2) void window_attention_backward_16_bf16 BACKWARD(16, bf16)
extern "C" __global__ __launch_bounds__(160, 2) void window_attention_backward_32_bf16 BACKWARD(32, bf16)
extern "C" __global__ __launch_bounds__(320, 1) void window_attention_backward_64_bf16 BACKWARD(64, bf16)
extern "C" __global__ __launch_bounds__(160, 1) void window_attention_backward_32_f32 BACKWARD(32, float)
extern "C" __global__ __launch_bounds__(160, 1) void window_attention_backward_64_f32 BACKWARD(64, float)
