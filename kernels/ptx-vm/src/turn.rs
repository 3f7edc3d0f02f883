//! A warp's turn: all that an instruction can see and change while it runs.

use crate::block::Block;
use crate::error::{Checked, Rule, Violation};
use crate::launch::Launch;
use crate::memory::{Access, Element, Scope, Strength, window};
use crate::registers::{LANES, Registers};
use crate::stack::Stack;
use crate::syntax::Space;

/// What happens after an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// On to the next.
    Next,
    /// The lanes go to the instruction with this number.
    Jump(u32),
    /// Each lane goes where [`Turn::targets`] says.
    JumpEach,
    /// The lanes are done with the kernel.
    Exit,
    /// Again, once the other lanes of this member mask have come here.
    Converge(u32),
    /// The lanes `done` go on to the next; the others wait here for those of `members`.
    Part { done: u32, members: u32 },
    /// The lanes have arrived at this barrier of the block and wait; `resume` runs the instruction again afterwards.
    Barrier { id: u8, resume: bool },
    /// On to the next, but other warps first: the lanes are polling for something.
    Poll,
    /// The same instruction again, other warps first.
    PollAgain,
}

/// What the running split of a warp sees.
pub struct Turn<'a> {
    pub registers: &'a mut Registers,
    pub block: &'a mut Block,
    pub launch: &'a Launch<'a>,
    /// Number of the warp in its block.
    pub warp: u32,
    /// Lanes that have not exited.
    pub live: u32,
    /// Number of the running instruction.
    pub pc: u32,
    /// Instructions the warp has run.
    pub instructions: u64,
    /// Set when a barrier has let the lanes go and the instruction runs again; its result (`bar.red`).
    pub resumed: Option<crate::barrier::Gathered>,
    /// For [`Flow::JumpEach`].
    pub targets: &'a mut [u32; 32],
    /// The calls each lane is in, of functions that stand in the code once.
    pub stacks: &'a mut [Stack; 32],
    /// What the warp's last poll saw.
    pub polled: &'a mut u64,
}

/// How an access takes part in the order of threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct How {
    pub strength: Strength,
    pub scope: Scope,
}

/// What an access of the turn's lanes says of itself; the block's fields beside it stay free.
macro_rules! access {
    ($turn:ident, $mask:expr, $how:expr) => {
        Access {
            mask: $mask,
            first_thread: $turn.warp * 32,
            block: $turn.block.linear as u32,
            line: if $turn.block.order.is_some() {
                $turn.launch.kernel.origins[$turn.pc as usize].line
            } else {
                0
            },
            strength: $how.strength,
            scope: $how.scope,
            blind: false,
            repeating: 0,
            order: $turn.block.order.as_mut(),
            counts: $turn.block.profile.memory.get_mut($turn.pc as usize),
        }
    };
}

impl Turn<'_> {
    /// Linear number in the block of the warp's first thread.
    pub fn first_thread(&self) -> u32 {
        self.warp * 32
    }

    /// `N` consecutive elements of each lane of `mask` from addresses in `space`.
    ///
    /// # Errors
    /// A rule of the memory is broken.
    #[inline(always)]
    pub fn load<T: Element, const N: usize>(
        &mut self,
        space: Space,
        mask: u32,
        addresses: &[u64; LANES],
        how: How,
    ) -> Checked<[[T; LANES]; N]> {
        if space == Space::Generic {
            return self.load_generic(mask, addresses, how);
        }
        let mut access = access!(self, mask, how);
        match space {
            Space::Shared => {
                let loaded = self.block.shared.load(&mut access, addresses);
                loaded.map_err(|violation| self.pending(violation))
            }
            Space::Local => self.block.local.load(&mut access, addresses),
            Space::Parameter => self.launch.parameters.load(&mut access, addresses),
            Space::Global | Space::Constant | Space::Generic => {
                self.block.global.load(&mut access, addresses)
            }
        }
    }

    /// Stores `N` consecutive elements of each lane of `mask`.
    ///
    /// # Errors
    /// As [`Turn::load`].
    #[inline(always)]
    pub fn store<T: Element, const N: usize>(
        &mut self,
        space: Space,
        mask: u32,
        addresses: &[u64; LANES],
        values: &[[T; LANES]; N],
        how: How,
    ) -> Checked<()> {
        if space == Space::Generic {
            return self.each_space(mask, addresses, |turn, space, mask, addresses| {
                turn.store(space, mask, addresses, values, how)
            });
        }
        let mut access = access!(self, mask, how);
        match space {
            Space::Shared => self.block.shared.store(&mut access, addresses, values),
            Space::Local => self.block.local.store(&mut access, addresses, values),
            Space::Parameter => self.launch.parameters.store::<T, N>(&mut access, addresses),
            Space::Global | Space::Constant | Space::Generic => {
                self.block.global.store(&mut access, addresses, values)
            }
        }
    }

    /// Replaces one element of each lane of `mask` by `f(lane, old)`; the old ones come back. `blind`: the program does
    /// not get to see them.
    ///
    /// # Errors
    /// As [`Turn::load`].
    pub fn atomic<T: Element>(
        &mut self,
        space: Space,
        mask: u32,
        addresses: &[u64; LANES],
        how: How,
        blind: bool,
        f: &mut dyn FnMut(usize, T) -> T,
    ) -> Checked<[T; LANES]> {
        if space == Space::Generic {
            let mut all = [T::default(); LANES];
            self.each_space(mask, addresses, |turn, space, mask, addresses| {
                let old = turn.atomic(space, mask, addresses, how, blind, f)?;
                (0..LANES)
                    .filter(|lane| mask >> lane & 1 == 1)
                    .for_each(|lane| all[lane] = old[lane]);
                Ok(())
            })?;
            return Ok(all);
        }
        let mut access = Access { blind, ..access!(self, mask, how) };
        match space {
            Space::Shared => self.block.shared.atomic(&mut access, addresses, f),
            Space::Local => self.block.local.atomic(&mut access, addresses, f),
            Space::Parameter => self.launch.parameters.atomic(&mut access, addresses),
            Space::Global | Space::Constant | Space::Generic => {
                self.block.global.atomic(&mut access, addresses, f)
            }
        }
    }

    /// Bytes that are unwritten because an asynchronous copy has yet to bring them are called so.
    #[cold]
    fn pending(&self, mut violation: Box<Violation>) -> Box<Violation> {
        let address = violation.address.filter(|_| violation.rule == Rule::Unwritten);
        let copy = address.and_then(|address| self.block.asynchronous.copy_into(address));
        if let Some(pc) = copy {
            violation.rule = Rule::Asynchronous;
            let line = self.line(pc);
            violation.message.push_str(&format!(
                ": the asynchronous copy at PTX line {line} brings it and was not waited for"
            ));
        }
        violation
    }

    /// Copies bytes out of shared memory for an operation of the machine's own, in the name of `lane`.
    ///
    /// # Errors
    /// As [`Turn::load`], without alignment.
    pub fn shared_out(&mut self, lane: usize, from: u64, to: &mut [u8]) -> Checked<()> {
        let access = access!(self, 1 << lane, How::default());
        let copied = self.block.shared.copy_out(&access, lane, from, to);
        copied.map_err(|violation| self.pending(violation))
    }

    /// The same by the asynchronous proxy: after ordinary stores a proxy fence is needed.
    ///
    /// # Errors
    /// As [`Turn::shared_out`], or the fence is missing.
    pub fn shared_async_out(&mut self, lane: usize, from: u64, to: &mut [u8]) -> Checked<()> {
        let access = access!(self, 1 << lane, How::default());
        let copied = self.block.shared.async_out(&access, lane, from, to);
        copied.map_err(|violation| self.pending(violation))
    }

    /// The same of many pieces of 16 bytes, each at a multiple of 16, in the name of lane 0.
    ///
    /// # Errors
    /// As [`Turn::shared_async_out`].
    pub fn shared_async_pieces(&mut self, from: &[u64], to: &mut [[u8; 16]]) -> Checked<()> {
        let access = access!(self, 1, How::default());
        let copied = self.block.shared.async_pieces(&access, from, to);
        copied.map_err(|violation| self.pending(violation))
    }

    /// Copies bytes out of global memory, likewise.
    ///
    /// # Errors
    /// As [`Turn::load`], without alignment.
    pub fn global_out(&mut self, lane: usize, from: u64, to: &mut [u8]) -> Checked<()> {
        let mut access = access!(self, 1 << lane, How::default());
        self.block.global.copy_out(&mut access, lane, from, to)
    }

    /// Copies bytes into shared memory, likewise.
    ///
    /// # Errors
    /// As [`Turn::store`], without alignment.
    pub fn shared_in(&mut self, lane: usize, to: u64, from: &[u8]) -> Checked<()> {
        let access = access!(self, 1 << lane, How::default());
        self.block.shared.copy_in(&access, lane, to, from)
    }

    /// Copies bytes into global memory, likewise.
    ///
    /// # Errors
    /// As [`Turn::store`], without alignment.
    pub fn global_in(&mut self, lane: usize, to: u64, from: &[u8]) -> Checked<()> {
        let mut access = access!(self, 1 << lane, How::default());
        self.block.global.copy_in(&mut access, lane, to, from)
    }

    /// Bytes of shared memory count as unwritten until [`crate::memory::Shared::deliver`] brings them.
    ///
    /// # Errors
    /// The bytes lie outside, or the write races.
    pub fn shared_poison(&mut self, lane: usize, to: u64, bytes: u64) -> Checked<()> {
        let access = access!(self, 1 << lane, How::default());
        self.block.shared.poison(&access, lane, to, bytes)
    }

    /// The same for `N` elements at the address of each lane of `mask`.
    ///
    /// # Errors
    /// As [`Turn::store`].
    pub fn shared_poison_lanes<T: Element, const N: usize>(
        &mut self,
        mask: u32,
        addresses: &[u64; LANES],
    ) -> Checked<()> {
        let mut access = access!(self, mask, How::default());
        self.block.shared.poison_lanes::<T, N>(&mut access, addresses)
    }

    /// Brings what [`Turn::shared_poison_lanes`] has announced; `own` copies arrive by a wait of the lanes themselves.
    ///
    /// # Errors
    /// As [`Turn::store`].
    pub fn shared_deliver_lanes<T: Element, const N: usize>(
        &mut self,
        own: bool,
        mask: u32,
        addresses: &[u64; LANES],
        values: &[[T; LANES]; N],
    ) -> Checked<()> {
        let mut access = access!(self, mask, How::default());
        access.counts = None;
        if !own {
            access.order = None;
        }
        self.block.shared.deliver_lanes(&mut access, addresses, values)
    }

    /// Line of the PTX text of the instruction with this number.
    pub fn line(&self, pc: u32) -> u32 {
        self.launch.kernel.origins.get(pc as usize).map_or(0, |origin| origin.line)
    }

    #[inline(never)]
    fn load_generic<T: Element, const N: usize>(
        &mut self,
        mask: u32,
        addresses: &[u64; LANES],
        how: How,
    ) -> Checked<[[T; LANES]; N]> {
        let mut all = [[T::default(); LANES]; N];
        self.each_space(mask, addresses, |turn, space, mask, addresses| {
            let part = turn.load::<T, N>(space, mask, addresses, how)?;
            for (all, part) in all.iter_mut().zip(&part) {
                (0..LANES)
                    .filter(|lane| mask >> lane & 1 == 1)
                    .for_each(|lane| all[lane] = part[lane]);
            }
            Ok(())
        })?;
        Ok(all)
    }

    /// Calls `body` for each space that lanes' generic addresses point into, with those lanes and their addresses there.
    fn each_space(
        &mut self,
        mask: u32,
        addresses: &[u64; LANES],
        mut body: impl FnMut(&mut Self, Space, u32, &[u64; LANES]) -> Checked<()>,
    ) -> Checked<()> {
        let split = addresses.map(window::split);
        let inner = split.map(|(_, address)| address);
        let mut left = mask;
        while left != 0 {
            let space = split[left.trailing_zeros() as usize].0;
            let lanes = (0..LANES).filter(|lane| left >> lane & 1 == 1 && split[*lane].0 == space);
            let lanes = lanes.fold(0u32, |lanes, lane| lanes | 1 << lane);
            body(self, space, lanes, &inner)?;
            left &= !lanes;
        }
        Ok(())
    }

    /// A strong read saw these values: the warp is polling if it saw the same before with nothing in between.
    pub fn after_strong_read(
        &mut self,
        addresses: &[u64; LANES],
        values: impl Iterator<Item = u64>,
    ) -> Flow {
        let mut hash = u64::from(self.pc).wrapping_add(0x9e37_79b9);
        for value in addresses.iter().copied().chain(values) {
            hash = (hash.rotate_left(5) ^ value).wrapping_mul(0x517c_c1b7_2722_0a95);
        }
        match std::mem::replace(self.polled, hash) == hash {
            true => Flow::Poll,
            false => Flow::Next,
        }
    }
}
