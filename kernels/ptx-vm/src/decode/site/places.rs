//! Addresses that an instruction names.

use super::Site;
use crate::decode::frame::Binding;
use crate::error::LoadResult;
use crate::memory::window;
use crate::registers::Slot;
use crate::syntax::{Base, Operand, Space, Symbol};

/// Where an address operand points, as far as it is known at load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Register with the variable part, and whether it has 64 bits.
    pub base: Option<(Slot, bool)>,
    /// Added to the base; without a base the address itself.
    pub offset: i64,
    /// The space the named variable lies in; `None` if only the instruction can tell.
    pub space: Option<Space>,
}

impl Site<'_, '_, '_> {
    /// Where an address operand points.
    ///
    /// # Errors
    /// The operand is no address, or its base no address register or variable.
    pub fn place(&mut self, index: usize) -> LoadResult<Place> {
        match self.operand(index)? {
            Operand::Address { base, offset } | Operand::Tensor { base, offset, .. } => {
                self.place_of(*base, *offset)
            }
            other => Err(self.error(format!("expected an address in brackets, found {other:?}"))),
        }
    }

    /// The same for an address already taken apart.
    ///
    /// # Errors
    /// As [`Site::place`].
    pub fn place_of(&mut self, base: Base, offset: i64) -> LoadResult<Place> {
        match base {
            Base::None => Ok(Place { base: None, offset, space: None }),
            Base::Register(register) => match self.frame.register(register) {
                Some((slot, kind)) if kind.bytes() == 8 => {
                    Ok(Place { base: Some((slot, true)), offset, space: None })
                }
                Some((slot, kind)) if kind.bytes() == 4 => {
                    Ok(Place { base: Some((slot, false)), offset, space: None })
                }
                _ => Err(self.error("an address register has 32 or 64 bits")),
            },
            Base::Symbol(symbol) => {
                if let Some(Binding::Stack(at)) = self.frame.binding(symbol) {
                    let (base, space) = (self.decoder.frame, Some(Space::Local));
                    let offset = offset.wrapping_add(i64::from(at));
                    return Ok(Place { base: Some((base, false)), offset, space });
                }
                let (space, address) = self.symbol_place(symbol)?;
                let offset = (address as i64).wrapping_add(offset);
                Ok(Place { base: None, offset, space: Some(space) })
            }
        }
    }

    /// Space of a name and its address in that space; in a frame, from its beginning.
    ///
    /// # Errors
    /// A shared variable too large, or one without memory.
    pub fn symbol_place(&mut self, symbol: Symbol) -> LoadResult<(Space, u64)> {
        if let Some(binding) = self.frame.binding(symbol) {
            return Ok(match binding {
                Binding::Parameter(offset) => (Space::Parameter, u64::from(offset)),
                Binding::Local(offset) | Binding::Stack(offset) => {
                    (Space::Local, u64::from(offset))
                }
                Binding::Shared(offset) => (Space::Shared, u64::from(offset)),
                Binding::DynamicShared => {
                    (Space::Shared, u64::from(self.decoder.shared.dynamic_at()))
                }
            });
        }
        let index = match symbol {
            Symbol::Module(index) => index,
            Symbol::Function(index) => {
                return Ok((Space::Global, window::address_of_function(index)));
            }
            _ => return Err(self.error("unknown variable")),
        };
        let variable = self.decoder.module.variables.get(index as usize);
        let variable = variable.ok_or_else(|| self.error("unknown variable"))?;
        match (variable.space, self.decoder.addresses[index as usize]) {
            (Space::Shared, _) if variable.length == 0 => {
                Ok((Space::Shared, u64::from(self.decoder.shared.dynamic(variable.align))))
            }
            (Space::Shared, _) => {
                let offset = self.decoder.shared.module(index, variable)?;
                Ok((Space::Shared, u64::from(offset)))
            }
            (space, Some(address)) => Ok((space, address)),
            (_, None) => Err(self.error(format!("{} has no memory", variable.name))),
        }
    }
}
