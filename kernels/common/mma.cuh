// The instructions of tensor cores and of copies that run beside them, and what else is written as
// inline PTX.
#pragma once

// Where a pointer into shared memory points, as these instructions want it.
__device__ inline unsigned shared_address(const void *at) {
  return static_cast<unsigned>(__cvta_generic_to_shared(at));
}

// Copies BYTES from global to shared memory in the background, or as many zeros unless `there`; then
// nothing is read.
template <int BYTES> __device__ inline void copy_async(unsigned to, const void *from, bool there) {
  static_assert(BYTES == 4 || BYTES == 16, "sizes that are used here");
  const int read = there ? BYTES : 0;
  if constexpr (BYTES == 16) // past the first cache, which a tile would not be found in again
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(read)
                 : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(from), "r"(read)
                 : "memory");
}

// Ends a group of copies.
__device__ inline void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most the PENDING latest groups of this thread are under way.
template <int PENDING> __device__ inline void copy_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}

// Four numbers. In a long row of ordinary loads from shared memory nvcc now and then loads some of them
// twice, not always the same, and its PTX would not be the same each time.
__device__ inline void load_shared(float (&to)[4], unsigned at) {
  asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(to[0]), "=f"(to[1]), "=f"(to[2]), "=f"(to[3])
               : "r"(at)
               : "memory");
}

// Four numbers at once; of an ordinary store nvcc now and then makes four.
__device__ inline void store_shared(unsigned at, const float (&from)[4]) {
  asm volatile("st.shared.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(at), "f"(from[0]), "f"(from[1]), "f"(from[2]),
               "f"(from[3])
               : "memory");
}

// Four 8x8 matrices of 16 bits; lane l gives the address of row l % 8 of matrix l / 8. Of each, lane l
// gets elements 2 (l % 4) and the next of row l / 4; of its transpose with TRANSPOSED.
template <bool TRANSPOSED> __device__ inline void load_matrices(unsigned (&to)[4], unsigned at) {
  if constexpr (TRANSPOSED)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(at)
                 : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(at)
                 : "memory");
}

// sum += a b for a [16, 16] and b [16, 8] of bf16, sum [16, 8] of f32. Lane l = 4 g + t has of a the
// pairs (row, depth) = (g, 2t), (g + 8, 2t), (g, 2t + 8), (g + 8, 2t + 8), of b the pairs
// (depth, column) = (2t, g), (2t + 8, g), of the sum the pairs (row, column) = (g, 2t), (g + 8, 2t).
__device__ inline void multiply_add(float (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, "
               "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
