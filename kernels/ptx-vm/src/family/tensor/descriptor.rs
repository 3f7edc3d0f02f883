//! Matrix descriptors of `wgmma`: where the elements of A and B lie in shared memory.
//!
//! PTX ISA, "Asynchronous Warpgroup Level Matrix Shared Memory Layout": pieces of 16 bytes make up core matrices of
//! eight pieces; the stride offset leads from one to the next along one side, the leading offset along the other.

use super::tile::swizzled;
use crate::tensor_map::Swizzle;

/// A descriptor taken apart; all in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    start: u64,
    leading: u64,
    stride: u64,
    swizzle: Swizzle,
}

impl Descriptor {
    /// # Errors
    /// A base offset, which no supported layout has, or bits that have to be zero.
    pub fn new(bits: u64) -> Result<Self, String> {
        let field = |shift: u32| (bits >> shift & 0x3fff) << 4;
        let unused = bits & !(0x3fff | 0x3fff << 16 | 0x3fff << 32 | 3 << 62);
        if bits >> 49 & 7 != 0 {
            return Err(format!("matrix descriptor 0x{bits:016x}: a base offset is not supported"));
        }
        if unused != 0 {
            return Err(format!(
                "matrix descriptor 0x{bits:016x}: bits 0x{unused:x} have to be zero"
            ));
        }
        let swizzle = match bits >> 62 {
            0 => Swizzle::None,
            1 => Swizzle::Bytes128,
            2 => Swizzle::Bytes64,
            _ => Swizzle::Bytes32,
        };
        Ok(Self { start: field(0), leading: field(16), stride: field(32), swizzle })
    }

    /// Address of the 16 bytes with columns `8 half ..` (of 16-bit elements) of row `row`, rows along the depth.
    pub fn along_depth(&self, row: u64, half: u64) -> u64 {
        let (inside, block) = (row % 8, row / 8);
        let offset = match self.swizzle.span() {
            None => inside * 16 + block * self.stride + half * self.leading,
            Some(span) => inside * span + block * self.stride + half * 16,
        };
        swizzled(self.swizzle, self.start + offset)
    }

    /// Address of the 16 bytes with rows `8 piece ..` (of 16-bit elements) of column `depth`, columns along the depth.
    pub fn across_depth(&self, piece: u64, depth: u64) -> u64 {
        let (inside, block) = (depth % 8, depth / 8);
        let offset = match self.swizzle.span() {
            None => piece * self.stride + inside * 16 + block * self.leading,
            Some(span) => {
                let pieces = span / 16;
                piece % pieces * 16
                    + piece / pieces * self.leading
                    + inside * span
                    + block * self.stride
            }
        };
        swizzled(self.swizzle, self.start + offset)
    }
}
