//! Tensor maps: what a bulk tensor copy knows of its tensor, in the 128 bytes that CUDA leaves opaque.

/// Bytes of an encoded map; it lies at a multiple of [`ALIGNMENT`].
pub const BYTES: usize = 128;
pub const ALIGNMENT: u64 = 64;
/// Dimensions a tensor has at most.
pub const MOST_DIMENSIONS: usize = 5;

/// What an encoded map begins with: bytes that are no map are told from one.
const MARK: [u8; 8] = *b"PTXVMAP1";

/// Types of elements, in the order of CUDA's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElementType {
    U8,
    U16,
    U32,
    S32,
    U64,
    S64,
    F16,
    F32,
    F64,
    Bf16,
    /// f32 whose subnormals become zero on the way.
    F32Ftz,
    /// f32 rounded to tf32 on the way.
    Tf32,
    Tf32Ftz,
}

impl ElementType {
    const ALL: [ElementType; 13] = [
        Self::U8,
        Self::U16,
        Self::U32,
        Self::S32,
        Self::U64,
        Self::S64,
        Self::F16,
        Self::F32,
        Self::F64,
        Self::Bf16,
        Self::F32Ftz,
        Self::Tf32,
        Self::Tf32Ftz,
    ];

    /// By CUDA's number.
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.get(code as usize).copied()
    }

    /// Bytes of an element.
    pub fn bytes(self) -> u64 {
        match self {
            Self::U8 => 1,
            Self::U16 | Self::F16 | Self::Bf16 => 2,
            Self::U64 | Self::S64 | Self::F64 => 8,
            _ => 4,
        }
    }

    pub fn is_float(self) -> bool {
        !matches!(self, Self::U8 | Self::U16 | Self::U32 | Self::S32 | Self::U64 | Self::S64)
    }
}

/// How the innermost dimension lies in memory: in a row, or in slices of 16 or 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interleave {
    None,
    Bytes16,
    Bytes32,
}

/// How 16-byte pieces are exchanged in shared memory: inside rows of so many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swizzle {
    None,
    Bytes32,
    Bytes64,
    Bytes128,
}

impl Swizzle {
    /// Bytes of the rows; `None` without swizzle.
    pub fn span(self) -> Option<u64> {
        match self {
            Self::None => None,
            Self::Bytes32 => Some(32),
            Self::Bytes64 => Some(64),
            Self::Bytes128 => Some(128),
        }
    }
}

/// What elements outside the tensor read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outside {
    Zero,
    /// The NaN with all bits set that CUDA calls "NAN request zero fma".
    NotANumber,
}

/// A tensor in global memory and the box of it that one copy moves. Dimension 0 is the innermost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TensorMap {
    pub element: ElementType,
    pub rank: usize,
    pub address: u64,
    /// Elements; 1 beyond the rank.
    pub dimensions: [u64; MOST_DIMENSIONS],
    /// Bytes from one index to the next; of dimension 0 the element's own.
    pub strides: [u64; MOST_DIMENSIONS],
    /// Elements of the box before element strides; 1 beyond the rank.
    pub box_dimensions: [u32; MOST_DIMENSIONS],
    /// Of so many elements of the box one is moved; 1 beyond the rank.
    pub element_strides: [u32; MOST_DIMENSIONS],
    pub interleave: Interleave,
    pub swizzle: Swizzle,
    /// Bytes a cache fetches at once: 0, 64, 128 or 256.
    pub cache_bytes: u32,
    pub outside: Outside,
}

/// Checks `holds` and tells what is wrong otherwise.
fn require(holds: bool, message: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(message()) }
}

impl TensorMap {
    /// Elements of the box that are moved along a dimension.
    pub fn moved(&self, dimension: usize) -> u32 {
        match (dimension, self.interleave) {
            // Without slices the innermost dimension is moved whole, as CUDA has it.
            (0, Interleave::None) => self.box_dimensions[0],
            _ => self.box_dimensions[dimension].div_ceil(self.element_strides[dimension]),
        }
    }

    /// Bytes a copy of one box moves, and adds to the transaction count of its barrier.
    pub fn box_bytes(&self) -> u64 {
        let elements: u64 = (0..self.rank).map(|d| u64::from(self.moved(d))).product();
        elements * self.element.bytes()
    }

    /// Checks the map against the rules of `cuTensorMapEncodeTiled`.
    ///
    /// # Errors
    /// The first rule it breaks.
    pub fn check(&self) -> Result<(), String> {
        let rank = self.rank;
        require((1..=MOST_DIMENSIONS).contains(&rank), || format!("rank {rank}; 1 to 5"))?;
        require(self.interleave == Interleave::None || rank >= 3, || {
            format!("rank {rank} with interleave; at least 3")
        })?;
        let align = if self.interleave == Interleave::Bytes32 { 32 } else { 16 };
        require(self.address.is_multiple_of(align), || {
            format!("address 0x{:x}; a multiple of {align}", self.address)
        })?;
        self.check_dimensions(align)?;
        self.check_box()?;
        require(self.outside == Outside::Zero || self.element.is_float(), || {
            format!("NaN outside a tensor of {:?}", self.element)
        })
    }

    fn check_dimensions(&self, align: u64) -> Result<(), String> {
        for (d, &size) in self.dimensions[..self.rank].iter().enumerate() {
            require((1..=1 << 32).contains(&size), || {
                format!("dimension {d} of {size} elements; 1 to 2^32")
            })?;
        }
        for (d, &stride) in self.strides[..self.rank].iter().enumerate().skip(1) {
            require(stride.is_multiple_of(align) && stride < 1 << 40, || {
                format!("stride {stride} of dimension {d}; a multiple of {align} below 2^40")
            })?;
        }
        // The slices of an interleaved tensor lie apart; else a row may not run into the next.
        let row = self.dimensions[0] * self.element.bytes();
        let packed = self.rank < 2 || self.interleave != Interleave::None || self.strides[1] >= row;
        require(packed, || format!("stride {} of rows of {row} bytes", self.strides[1]))
    }

    fn check_box(&self) -> Result<(), String> {
        for d in 0..self.rank {
            let (size, step) = (self.box_dimensions[d], self.element_strides[d]);
            require((1..=256).contains(&size), || {
                format!("box of {size} in dimension {d}; 1 to 256")
            })?;
            require((1..=8).contains(&step), || {
                format!("element stride {step} in dimension {d}; 1 to 8")
            })?;
        }
        let row = u64::from(self.box_dimensions[0]) * self.element.bytes();
        match (self.interleave, self.swizzle) {
            (Interleave::None, swizzle) => {
                require(row.is_multiple_of(16), || {
                    format!("box rows of {row} bytes; a multiple of 16")
                })?;
                let span = swizzle.span().unwrap_or(u64::MAX);
                require(row <= span, || {
                    format!("box rows of {row} bytes; the swizzle takes {span}")
                })
            }
            (Interleave::Bytes32, swizzle) => require(swizzle == Swizzle::Bytes32, || {
                format!("swizzle {swizzle:?} with interleave of 32 bytes; Bytes32")
            }),
            (Interleave::Bytes16, swizzle) => require(swizzle == Swizzle::None, || {
                format!("swizzle {swizzle:?} with interleave of 16 bytes; None")
            }),
        }
    }

    /// The map as it lies in memory.
    pub fn encode(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(&MARK);
        bytes[8..16].copy_from_slice(&self.address.to_le_bytes());
        let small = [
            self.element as u8,
            self.rank as u8,
            self.interleave as u8,
            self.swizzle as u8,
            (self.cache_bytes / 64) as u8,
            self.outside as u8,
        ];
        bytes[16..22].copy_from_slice(&small);
        for d in 0..MOST_DIMENSIONS {
            // At most 2^32, so one less fits.
            let less = (self.dimensions[d].wrapping_sub(1) as u32).to_le_bytes();
            bytes[24 + 4 * d..][..4].copy_from_slice(&less);
            bytes[48 + 8 * d..][..8].copy_from_slice(&self.strides[d].to_le_bytes());
            bytes[88 + 2 * d..][..2]
                .copy_from_slice(&(self.box_dimensions[d] as u16).to_le_bytes());
            bytes[98 + d] = self.element_strides[d] as u8;
        }
        let sum = checksum(&bytes[..120]);
        bytes[120..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// The map that lies in these bytes.
    ///
    /// # Errors
    /// They are no map of this machine, or were changed since.
    pub fn decode(bytes: &[u8; BYTES]) -> Result<Self, String> {
        require(bytes[..8] == MARK, || "no tensor map of this machine".to_owned())?;
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let broken = || "a tensor map that was changed after it was encoded".to_owned();
        require(word(120) == checksum(&bytes[..120]), broken)?;
        let half = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let map = Self {
            address: word(8),
            element: ElementType::from_code(u32::from(bytes[16])).ok_or_else(broken)?,
            rank: usize::from(bytes[17]),
            interleave: interleave(u32::from(bytes[18])).ok_or_else(broken)?,
            swizzle: swizzle(u32::from(bytes[19])).ok_or_else(broken)?,
            cache_bytes: u32::from(bytes[20]) * 64,
            outside: if bytes[21] == 0 { Outside::Zero } else { Outside::NotANumber },
            dimensions: std::array::from_fn(|d| u64::from(half(24 + 4 * d)) + 1),
            strides: std::array::from_fn(|d| word(48 + 8 * d)),
            box_dimensions: std::array::from_fn(|d| {
                u32::from(u16::from_le_bytes([bytes[88 + 2 * d], bytes[89 + 2 * d]]))
            }),
            element_strides: std::array::from_fn(|d| u32::from(bytes[98 + d])),
        };
        map.check().map(|()| map)
    }
}

/// By CUDA's number.
pub fn interleave(code: u32) -> Option<Interleave> {
    [Interleave::None, Interleave::Bytes16, Interleave::Bytes32].get(code as usize).copied()
}

/// By CUDA's number.
pub fn swizzle(code: u32) -> Option<Swizzle> {
    let all = [Swizzle::None, Swizzle::Bytes32, Swizzle::Bytes64, Swizzle::Bytes128];
    all.get(code as usize).copied()
}

/// FNV-1a.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, &byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}
