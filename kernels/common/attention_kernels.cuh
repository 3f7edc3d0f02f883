// The kernels of an operation that is an attention: ATTENTION_KERNELS(name) defines them all.
//
// q, k, v and their gradients begin at the first head's first column; rows of q are q_stride numbers apart, those
// of k and v key_stride. `mask` [images, keys] is 0 for keys that are left out, or null. out and dout are
// [images, queries, heads head_dim]; lse and means (the sums of p dp) are [images heads, queries]. Gradients
// that are null are not wanted; the others are set, or added to.
// Limits: 65535 heads of images; head_dim, queries and keys from 1 to 2^30; any alignment.
#pragma once

#include "attention_few_keys.cuh"
#include "attention_forward.cuh"
#include "attention_narrow_backward.cuh"

// Sizes, and this block's head: blockIdx.y counts images and heads.
struct AttentionSizes {
  int q_stride, key_stride, queries, keys, heads, head_dim;
  float scale;

  template <typename T> __device__ HeadRows<T> rows(T *data, int stride, int count) const {
    const size_t image = blockIdx.y / heads, column = blockIdx.y % heads * head_dim;
    return {data == nullptr ? nullptr : data + image * count * stride + column, stride, count, head_dim};
  }
  template <typename T> __device__ HeadRows<T> of_queries(T *data) const {
    return rows(data, q_stride, queries);
  }
  template <typename T> __device__ HeadRows<T> of_keys(T *data) const { return rows(data, key_stride, keys); }
  template <typename T> __device__ HeadRows<T> of_result(T *data) const {
    return rows(data, heads * head_dim, queries);
  }
  template <typename T> __device__ T *statistic(T *data) const {
    return data == nullptr ? nullptr : data + static_cast<size_t>(blockIdx.y) * queries;
  }

  template <typename T>
  __device__ Attention<T> task(const T *q, const T *k, const T *v, const int *mask) const {
    const int *const of_image = mask == nullptr ? nullptr
                                                : mask + static_cast<size_t>(blockIdx.y / heads) * keys;
    return {of_queries(q), of_keys(k), of_keys(v), of_image, static_cast<int>(blockIdx.y), scale};
  }
  template <typename T> __device__ Saved<T> saved(const T *dout, const float *lse) const {
    return {of_result(dout), statistic(lse)};
  }
};

// What kernels need beyond 48 KB of shared memory they are given by the launch.
extern __shared__ __align__(LINE_BYTES)
char attention_shared[];

#define ATTENTION_INPUTS(T)                                                                                    \
  const T *q, const T *k, const T *v, const int *mask, int q_stride, int key_stride, int queries, int keys,    \
      int heads, int head_dim, float scale
#define ATTENTION_TASK(T)                                                                                      \
  const AttentionSizes sizes{q_stride, key_stride, queries, keys, heads, head_dim, scale};                     \
  const Attention<T> task = sizes.task(q, k, v, mask)
#define ATTENTION_KERNEL(BLOCKS) extern "C" __global__ __launch_bounds__(ATTENTION_THREADS, BLOCKS) void

// Forward: out, and lse if it is not null. Grid: (ceil(queries / 64), heads, groups of 64 columns if there are
// more than 32 keys, else 1).
// Backward, first: dq, and means. Grid: (ceil(queries / 64), heads, groups of 64 columns).
// Backward, second: dk and dv. Grid: (ceil(keys / 32), heads, groups of 64 columns).
// Backward for at most 32 keys: dq, dk, dv. Grid: (parts of the queries, heads): a part has 64 queries, or
// `tiles` times 64 if a head is no wider than a line. With more parts than one `sums` has their sums
// [heads][parts][lines][2 keys][numbers of a line], and a head's line has `ticket_count` tickets.
#define ATTENTION_KERNELS_IN(OPERATION, PRECISION, T)                                                          \
  ATTENTION_KERNEL(3) OPERATION##_forward_##PRECISION(ATTENTION_INPUTS(T), T *out, float *lse) {               \
    __shared__ __align__(LINE_BYTES) char shared[AttentionForward<T>::SHARED_BYTES];                           \
    ATTENTION_TASK(T);                                                                                         \
    AttentionForward<T>(task, shared).run(sizes.of_result(out), sizes.statistic(lse));                         \
  }                                                                                                            \
  ATTENTION_KERNEL(2)                                                                                          \
  OPERATION##_backward_queries_##PRECISION(ATTENTION_INPUTS(T), const T *dout, const float *lse, float *means, \
                                           T *dq, int add_q) {                                                 \
    ATTENTION_TASK(T);                                                                                         \
    const Saved<T> saved = sizes.saved(dout, lse);                                                             \
    QueryGradient<T>(task, saved, attention_shared)                                                            \
        .run(sizes.of_queries(dq), sizes.statistic(means), add_q != 0);                                        \
  }                                                                                                            \
  ATTENTION_KERNEL(2)                                                                                          \
  OPERATION##_backward_keys_##PRECISION(ATTENTION_INPUTS(T), const T *dout, const float *lse,                  \
                                        const float *means, T *dk, T *dv, int add_k, int add_v) {              \
    ATTENTION_TASK(T);                                                                                         \
    const Saved<T> saved = sizes.saved(dout, lse);                                                             \
    KeyGradient<T>(task, saved, attention_shared)                                                              \
        .run(sizes.of_keys(dk), sizes.of_keys(dv), sizes.statistic(means), add_k != 0, add_v != 0);            \
  }                                                                                                            \
  ATTENTION_KERNEL(3)                                                                                          \
  OPERATION##_backward_few_keys_##PRECISION(ATTENTION_INPUTS(T), const T *dout, const float *lse, float *sums, \
                                            unsigned *tickets, int ticket_count, int tiles, T *dq, T *dk,      \
                                            T *dv, int add_q, int add_k, int add_v) {                          \
    ATTENTION_TASK(T);                                                                                         \
    const Saved<T> saved = sizes.saved(dout, lse);                                                             \
    const Gradients<T> to = {sizes.of_queries(dq), sizes.of_keys(dk), sizes.of_keys(dv),                       \
                             add_q != 0,           add_k != 0,        add_v != 0};                             \
    FewKeys<T>(task, saved, to, attention_shared).run({sums, tickets, ticket_count}, tiles);                   \
  }

// The same for heads of at most 64 columns in bf16 with more than 32 keys. Grids: (ceil(queries / 128), heads),
// and for keys and values (ceil(keys / 64), heads).
#define ATTENTION_KERNELS_NARROW(OPERATION)                                                                    \
  ATTENTION_KERNEL(2) OPERATION##_forward_narrow_bf16(ATTENTION_INPUTS(bf16), bf16 *out, float *lse) {         \
    __shared__ __align__(LINE_BYTES) char shared[attention_narrow::FORWARD_BYTES];                             \
    ATTENTION_TASK(bf16);                                                                                      \
    attention_narrow::forward(task, sizes.of_result(out), sizes.statistic(lse), shared);                       \
  }                                                                                                            \
  ATTENTION_KERNEL(2)                                                                                          \
  OPERATION##_backward_queries_narrow_bf16(ATTENTION_INPUTS(bf16), const bf16 *dout, const float *lse,         \
                                           float *means, bf16 *dq, int add_q) {                                \
    __shared__ __align__(LINE_BYTES) char shared[attention_narrow::QUERIES_BYTES];                             \
    ATTENTION_TASK(bf16);                                                                                      \
    attention_narrow::query_gradient(task, sizes.saved(dout, lse), sizes.of_queries(dq),                       \
                                     sizes.statistic(means), add_q != 0, shared);                              \
  }                                                                                                            \
  ATTENTION_KERNEL(3)                                                                                          \
  OPERATION##_backward_keys_narrow_bf16(ATTENTION_INPUTS(bf16), const bf16 *dout, const float *lse,            \
                                        const float *means, bf16 *dk, bf16 *dv, int add_k, int add_v) {        \
    __shared__ __align__(LINE_BYTES) char shared[attention_narrow::KEYS_BYTES];                                \
    ATTENTION_TASK(bf16);                                                                                      \
    attention_narrow::key_gradient(task, sizes.saved(dout, lse), sizes.of_keys(dk), sizes.of_keys(dv),         \
                                   sizes.statistic(means), add_k != 0, add_v != 0, shared);                    \
  }

#define ATTENTION_KERNELS(OPERATION)                                                                           \
  ATTENTION_KERNELS_IN(OPERATION, f32, float)                                                                  \
  ATTENTION_KERNELS_IN(OPERATION, bf16, bf16)                                                                  \
  ATTENTION_KERNELS_NARROW(OPERATION)
