//! Inputs: corner cases of each type and random numbers of a fixed seed.

/// Random numbers of a fixed seed (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A random number of which often many upper or lower bits are alike.
    pub fn number(&mut self) -> u64 {
        let bits = self.next();
        match self.next() % 4 {
            0 => bits >> (self.next() % 64),
            1 => bits << (self.next() % 64),
            2 => (bits as i64 >> (self.next() % 64)) as u64,
            _ => bits,
        }
    }
}

/// The low `bits` bits.
pub fn low(value: u64, bits: u32) -> u64 {
    value & (u64::MAX >> (64 - bits))
}

/// A number of `bits` bits with its sign.
pub fn signed(value: u64, bits: u32) -> i128 {
    i128::from((value << (64 - bits)) as i64 >> (64 - bits))
}

/// Corner cases of integers of `bits` bits.
pub fn integers(bits: u32) -> Vec<u64> {
    let top = 1u64 << (bits - 1);
    let corners = [
        0,
        1,
        2,
        3,
        7,
        31,
        32,
        33,
        63,
        64,
        0x7f,
        0x80,
        0xff,
        top - 1,
        top,
        top + 1,
        u64::MAX,
        u64::MAX - 1,
        0x5555_5555_5555_5555,
        0xaaaa_aaaa_aaaa_aaaa,
    ];
    corners.iter().map(|&x| low(x, bits)).collect()
}

/// Corner cases of a format: zeros, subnormals, one, the largest, infinities, NaNs, of both signs.
pub fn floats(exponent_bits: u32, fraction_bits: u32) -> Vec<u64> {
    let one = ((1u64 << (exponent_bits - 1)) - 1) << fraction_bits;
    let infinity = ((1u64 << exponent_bits) - 1) << fraction_bits;
    let normal = 1u64 << fraction_bits;
    let sign = 1u64 << (exponent_bits + fraction_bits);
    let magnitudes = [
        0,
        1,
        2,
        3,
        normal / 2,
        normal - 1,
        normal,
        normal + 1,
        one - 1,
        one,
        one + 1,
        one + normal / 2,
        one + normal,
        one - normal,
        infinity - 1,
        infinity,
        infinity + normal / 2,
        infinity + 1,
    ];
    magnitudes.iter().flat_map(|&m| [m, m | sign]).collect()
}

pub fn f32s() -> Vec<u64> {
    floats(8, 23)
}

pub fn f64s() -> Vec<u64> {
    floats(11, 52)
}

pub fn f16s() -> Vec<u64> {
    floats(5, 10)
}

pub fn bf16s() -> Vec<u64> {
    floats(8, 7)
}

/// Every pair of corner cases, then `more` random ones.
pub fn pairs(
    a: &[u64],
    b: &[u64],
    more: usize,
    mut random: impl FnMut() -> [u64; 2],
) -> Vec<[u64; 2]> {
    let mut pairs: Vec<_> = a.iter().flat_map(|&x| b.iter().map(move |&y| [x, y])).collect();
    pairs.extend((0..more).map(|_| random()));
    pairs
}

/// Pairs of integers.
pub fn integer_pairs(bits: u32) -> Vec<[u64; 2]> {
    let (corners, mut random) = (integers(bits), Random(u64::from(bits)));
    pairs(&corners, &corners, 600, || [low(random.number(), bits), low(random.number(), bits)])
}

/// Triples of integers: some corner cases, many random ones.
pub fn integer_triples(bits: u32) -> Vec<[u64; 3]> {
    let (corners, mut random) = (integers(bits), Random(u64::from(bits) + 1));
    let pick = |random: &mut Random| match random.next() % 2 {
        0 => corners[(random.next() % corners.len() as u64) as usize],
        _ => low(random.number(), bits),
    };
    (0..1500).map(|_| [pick(&mut random), pick(&mut random), pick(&mut random)]).collect()
}

/// A random float whose exponent is near those of others from the same source, or anywhere.
pub fn float(random: &mut Random, exponent_bits: u32, fraction_bits: u32) -> u64 {
    let bits = exponent_bits + fraction_bits + 1;
    let anywhere = low(random.next(), bits);
    if random.next().is_multiple_of(4) {
        return anywhere;
    }
    let middle = (1 << (exponent_bits - 1)) - 1;
    let spread = u64::from(fraction_bits) + 4;
    let exponent = middle + random.next() % (2 * spread) - spread.min(middle);
    let fraction = low(anywhere, fraction_bits);
    // Few bits now and then, so that sums and products are exact or half way.
    let fraction = match random.next() % 3 {
        0 => fraction & (u64::MAX << (fraction_bits - 3)),
        _ => fraction,
    };
    anywhere >> (bits - 1) << (bits - 1) | exponent << fraction_bits | fraction
}

/// Triples of floats: corner cases in all combinations of `few`, random ones.
pub fn float_triples(exponent_bits: u32, fraction_bits: u32, more: usize) -> Vec<[u64; 3]> {
    let corners = floats(exponent_bits, fraction_bits);
    let mut random = Random(u64::from(exponent_bits));
    let pick = |random: &mut Random| match random.next() % 3 {
        0 => corners[(random.next() % corners.len() as u64) as usize],
        _ => float(random, exponent_bits, fraction_bits),
    };
    (0..more).map(|_| [pick(&mut random), pick(&mut random), pick(&mut random)]).collect()
}

/// Pairs of floats: all pairs of corner cases, random ones.
pub fn float_pairs(exponent_bits: u32, fraction_bits: u32, more: usize) -> Vec<[u64; 2]> {
    let corners = floats(exponent_bits, fraction_bits);
    let mut random = Random(u64::from(fraction_bits));
    pairs(&corners, &corners, more, || {
        [
            float(&mut random, exponent_bits, fraction_bits),
            float(&mut random, exponent_bits, fraction_bits),
        ]
    })
}
