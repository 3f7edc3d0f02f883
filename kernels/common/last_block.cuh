// Sums over blocks in one launch: every block writes its part, and the one that comes last adds them up, in
// the order of their numbers whoever came when.
#pragma once

// Says to all threads of exactly one block that all `blocks` blocks have come here, this one last: what
// any of their threads wrote before is there to be read. `ticket` is 0 before and after. For blocks that share
// a sum; other sums have other tickets.
__device__ inline bool is_last_block(unsigned *ticket, unsigned blocks) {
  __shared__ bool last;
  __syncthreads(); // all of this block have written
  if (threadIdx.x == 0) {
    __threadfence(); // before anybody can see the ticket
    last = atomicInc(ticket, blocks - 1) == blocks - 1;
    __threadfence(); // nothing is read before the ticket was seen
  }
  __syncthreads();
  return last;
}
