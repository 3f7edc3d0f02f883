// Philox-4x32-10, a stream of random words by their numbers: the same as in src/rng.rs.
#pragma once

struct Philox {
  unsigned key[2], stream[2];

  // The four words from number 4 `index` on.
  __device__ uint4 block(unsigned long long index) const {
    unsigned a = static_cast<unsigned>(index), b = static_cast<unsigned>(index >> 32), c = stream[0], d = stream[1];
    unsigned first = key[0], second = key[1];
#pragma unroll
    for (int round = 0; round < 10; ++round) {
      const unsigned high = __umulhi(0xD2511F53u, a), low = 0xD2511F53u * a;
      const unsigned other_high = __umulhi(0xCD9E8D57u, c), other_low = 0xCD9E8D57u * c;
      a = other_high ^ b ^ first, b = other_low;
      c = high ^ d ^ second, d = low;
      first += 0x9E3779B9u, second += 0xBB67AE85u;
    }
    return make_uint4(a, b, c, d);
  }

  // Word `index`.
  __device__ unsigned word(unsigned long long index) const {
    const uint4 words = block(index / 4);
    const unsigned even = index % 4 < 2 ? words.x : words.z, odd = index % 4 < 2 ? words.y : words.w;
    return index % 2 == 0 ? even : odd;
  }

  // `COUNT` words from `index` on, which is a multiple of it where it is more than one.
  template <int COUNT> __device__ void words(unsigned long long index, unsigned (&to)[COUNT]) const {
    if constexpr (COUNT == 1) {
      to[0] = word(index);
    } else {
#pragma unroll
      for (int i = 0; i < COUNT; i += 4) {
        const uint4 four = block((index + i) / 4);
        to[i] = four.x, to[i + 1] = four.y, to[i + 2] = four.z, to[i + 3] = four.w;
      }
    }
  }
};

// The stream of a node of the graph in a step.
__device__ inline Philox node_stream(unsigned long long seed, unsigned long long step, int node) {
  const unsigned long long stream = step << 20 | static_cast<unsigned>(node);
  return {{static_cast<unsigned>(seed), static_cast<unsigned>(seed >> 32)},
          {static_cast<unsigned>(stream), static_cast<unsigned>(stream >> 32)}};
}
