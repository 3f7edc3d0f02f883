//! Where variables lie: module variables on the device, shared variables in a block's memory, parameters in their bank.

use super::Placement;
use crate::decode::constants::constant_bits;
use crate::error::{LoadError, LoadResult};
use crate::memory::window;
use crate::syntax::{Function, Initial, Module, Space, Symbol, Variable};

/// Parameters and constants a kernel may take, in bytes (CUDA's limit since 12.1).
const MOST_PARAMETER_BYTES: u32 = 32_764;
/// The largest variable a module may declare.
const MOST_VARIABLE_BYTES: u64 = 1 << 32;
/// Shared memory no target exceeds; launches check their own target's limit.
const MOST_SHARED_BYTES: u64 = 1 << 20;

/// What the system keeps of a block's shared memory since sm_80.
pub const RESERVED_BYTES: u32 = 1024;
const RESERVED_ALIGN: u32 = 16;

/// Shared variables of a kernel, at increasing offsets.
#[derive(Debug, Default)]
pub(super) struct Shared {
    bytes: u32,
    /// Module-scope variables that the kernel names: index and offset.
    modules: Vec<(u32, u32)>,
    reserved: Option<u32>,
    dynamic_align: u32,
    /// Where dynamic shared memory begins: known only after a first decoding, 0 until then.
    dynamic_at: u32,
}

impl Shared {
    pub fn new(dynamic_at: u32) -> Self {
        Self { dynamic_at, ..Self::default() }
    }

    pub fn dynamic_at(&self) -> u32 {
        self.dynamic_at
    }

    pub fn place(&mut self, variable: &Variable<'_>) -> LoadResult<u32> {
        let at = u64::from(self.bytes).next_multiple_of(u64::from(variable.align.max(1)));
        let end = at.saturating_add(variable.bytes());
        if end > MOST_SHARED_BYTES {
            return Err(LoadError::new(
                variable.line,
                format!("shared variables of {end} bytes; no target has as many"),
            ));
        }
        self.bytes = end as u32;
        Ok(at as u32)
    }

    /// Offset of a module-scope shared variable, placed at its first use.
    pub fn module(&mut self, index: u32, variable: &Variable<'_>) -> LoadResult<u32> {
        if let Some(&(_, offset)) = self.modules.iter().find(|(i, _)| *i == index) {
            return Ok(offset);
        }
        let offset = self.place(variable)?;
        self.modules.push((index, offset));
        Ok(offset)
    }

    /// Where what the system keeps for itself lies, if the kernel names it.
    pub fn reserved_at(&self) -> Option<u32> {
        self.reserved
    }

    /// Offset of what the system keeps for itself (`%reserved_smem_offset_1`: cooperative groups have their scratch
    /// there), placed at its first use.
    pub fn reserved(&mut self) -> u32 {
        *self.reserved.get_or_insert_with(|| {
            let at = self.bytes.next_multiple_of(RESERVED_ALIGN);
            self.bytes = at + RESERVED_BYTES;
            at
        })
    }

    /// Offset of the dynamic shared memory.
    pub fn dynamic(&mut self, align: u32) -> u32 {
        self.dynamic_align = self.dynamic_align.max(align);
        self.dynamic_at
    }

    /// Bytes of the sized variables, and where dynamic shared memory has to begin.
    pub fn finish(&self) -> (u32, u32) {
        (self.bytes, self.bytes.next_multiple_of(self.dynamic_align.max(1)))
    }
}

/// Offset and size of each parameter, and the size of all.
pub(super) fn parameters(function: &Function<'_>) -> LoadResult<(Vec<(u32, u32)>, u32)> {
    let (mut places, mut end) = (Vec::new(), 0u32);
    for parameter in &function.parameters {
        let at = end.next_multiple_of(parameter.align.max(1));
        let bytes = parameter.bytes().min(u64::from(u32::MAX)) as u32;
        end = at.saturating_add(bytes);
        if end > MOST_PARAMETER_BYTES {
            let message = format!("parameters of {end} bytes; at most {MOST_PARAMETER_BYTES}");
            return Err(LoadError::new(parameter.line, message));
        }
        places.push((at, bytes));
    }
    Ok((places, end))
}

/// Gives the module's `.global` and `.const` variables memory and their first content.
pub(super) fn place_variables(
    module: &Module<'_>,
    placement: &mut dyn Placement,
) -> LoadResult<Vec<Option<u64>>> {
    let mut addresses = Vec::with_capacity(module.variables.len());
    for variable in &module.variables {
        if variable.space == Space::Shared {
            addresses.push(None);
            continue;
        }
        if variable.external {
            let message = format!(
                "{} is declared .extern: modules are not linked with others",
                variable.name
            );
            return Err(LoadError::new(variable.line, message));
        }
        if variable.bytes() > MOST_VARIABLE_BYTES {
            return Err(LoadError::new(
                variable.line,
                format!("a variable of {} bytes", variable.bytes()),
            ));
        }
        let content = content(variable, &[])?;
        addresses.push(Some(placement.place(
            variable,
            &content,
            variable.space == Space::Constant,
        )?));
    }
    for (variable, address) in module.variables.iter().zip(&addresses) {
        if let (Some(address), true) =
            (address, variable.initial.iter().any(|i| !matches!(i, Initial::Value(_))))
        {
            placement.patch(*address, &content(variable, &addresses)?)?;
        }
    }
    Ok(addresses)
}

/// The bytes of a variable; addresses of others are zero while `addresses` is empty.
fn content(variable: &Variable<'_>, addresses: &[Option<u64>]) -> LoadResult<Vec<u8>> {
    let wrong =
        |message: String| LoadError::new(variable.line, format!("{}: {message}", variable.name));
    let size = variable.element.bytes() as usize;
    if variable.initial.is_empty() {
        return Ok(Vec::new());
    }
    if variable.initial.len() as u64 > variable.length {
        return Err(wrong(format!(
            "{} initial values for {} elements",
            variable.initial.len(),
            variable.length
        )));
    }
    let address = |symbol, offset| match symbol {
        Symbol::Module(index) => match addresses.get(index as usize) {
            Some(Some(address)) => Ok(address.wrapping_add_signed(offset)),
            Some(None) => Err("the address of a shared variable".to_owned()),
            None => Ok(0),
        },
        Symbol::Function(index) => {
            Ok(window::address_of_function(index).wrapping_add_signed(offset))
        }
        _ => Err("an address that is known in a function only".to_owned()),
    };
    let mut bytes = Vec::with_capacity(variable.initial.len() * size);
    for initial in &variable.initial {
        let bits = match *initial {
            Initial::Value(value) => constant_bits(value, variable.element)
                .ok_or_else(|| wrong(format!("{value:?} is no {:?}", variable.element)))?,
            Initial::Address { symbol, offset, .. } => address(symbol, offset).map_err(wrong)?,
            Initial::AddressByte { symbol, offset, byte, .. } => {
                address(symbol, offset).map_err(wrong)? >> (8 * byte.min(7)) & 0xff
            }
        };
        bytes.extend_from_slice(&bits.to_le_bytes()[..size.min(8)]);
    }
    Ok(bytes)
}
