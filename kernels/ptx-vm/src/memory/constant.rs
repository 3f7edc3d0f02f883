//! Read-only bytes: the parameters of a launch.

use super::LANES;
use super::access::Access;
use super::element::Element;
use super::refusal::{Verb, Want};
use super::region::{Reading, Region, width};
use crate::error::{Checked, Rule, Violation};

const NAME: &str = "the parameters";

/// Bytes a launch is given; addresses are offsets from their start. (`.const` variables are allocations
/// under [`super::Memory::protect`].)
pub struct Constant {
    region: Region,
}

impl Constant {
    /// `None` where the host has no memory.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let region = Region::new(0, bytes.len() as u64)?;
        region.storage.write(0, bytes);
        Some(Self { region })
    }

    pub fn size(&self) -> u64 {
        self.region.size()
    }

    /// As [`super::GlobalView::load`].
    ///
    /// # Errors
    /// As for [`Constant::load_into`].
    #[inline]
    pub fn load<T: Element, const N: usize>(
        &self,
        access: &mut Access,
        addresses: &[u64; LANES],
    ) -> Checked<[[T; LANES]; N]> {
        let mut values = [[T::default(); LANES]; N];
        self.load_into(access, addresses, &mut values)?;
        Ok(values)
    }

    /// As [`super::GlobalView::load_into`].
    ///
    /// # Errors
    /// A lane lies outside or at no multiple of the size of the `N` elements.
    #[inline]
    pub fn load_into<T: Element, const N: usize>(
        &self,
        access: &mut Access,
        addresses: &[u64; LANES],
        to: &mut [[T; LANES]; N],
    ) -> Checked<()> {
        let (mask, width) = (access.mask, width::<T, N>());
        let reading = Reading { written: false, single: false };
        let Some(reach) = self.region.reach(mask, addresses, width) else {
            return Err(self.refusal(Verb::Load, access, addresses, width));
        };
        // SAFETY: this region's reach, with this mask and width.
        unsafe { self.region.load(reach, mask, addresses, reading, to) };
        Ok(())
    }

    /// Refused: nobody stores here.
    ///
    /// # Errors
    /// Always: what is wrong beyond that, or [`Rule::ReadOnly`].
    #[cold]
    pub fn store<T: Element, const N: usize>(
        &self,
        access: &mut Access,
        addresses: &[u64; LANES],
    ) -> Checked<()> {
        Err(self.refusal(Verb::Store, access, addresses, width::<T, N>()))
    }

    /// Refused: nobody updates here.
    ///
    /// # Errors
    /// As for [`Constant::store`].
    #[cold]
    pub fn atomic<T: Element>(
        &self,
        access: &mut Access,
        addresses: &[u64; LANES],
    ) -> Checked<[T; LANES]> {
        Err(self.refusal(Verb::Update, access, addresses, width::<T, 1>()))
    }

    /// Copies bytes out for an operation of the machine's own (a tensor map), in the name of `lane`.
    ///
    /// # Errors
    /// The bytes lie outside.
    pub fn copy_out(&self, lane: usize, from: u64, to: &mut [u8]) -> Checked<()> {
        let want = Want { verb: Verb::Load, lane, address: from, width: to.len() as u64 };
        want.outside(&self.region, NAME).map_or(Ok(()), Err)?;
        self.region.storage.read(from, to);
        Ok(())
    }

    #[cold]
    fn refusal(
        &self,
        verb: Verb,
        access: &Access,
        addresses: &[u64; LANES],
        width: u64,
    ) -> Box<Violation> {
        super::refusal::first(verb, access.mask, addresses, width, |want| {
            want.refusal(&self.region, NAME, false).or_else(|| {
                let why = "the parameters of a launch cannot be written";
                want.verb.writes().then(|| want.refused(Rule::ReadOnly, why))
            })
        })
    }
}
