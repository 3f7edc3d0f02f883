//! One instruction as its family sees it while decoding: operands as slots, and the place to put the result.

mod typed;

use super::frame::Binding;
use super::{Decoder, Frame, Modifiers, constant_bits};
use crate::error::{LoadError, LoadResult};
use crate::program::{Family, Guard, Instruction, OPERANDS, Origin, Run, Special};
use crate::registers::Slot;
use crate::shapes::Host;
use crate::syntax::{self, Base, Operand, Space, Symbol, Type};

/// Functions that may call one another in a chain.
const MOST_DEPTH: usize = 64;

/// A decoded instruction without guard and origin.
#[derive(Debug, Clone)]
pub struct Encoded {
    pub run: Run,
    pub family: Family,
    /// At most [`OPERANDS`].
    pub operands: Vec<Slot>,
    pub number: i64,
    pub detail: u32,
    pub list: Vec<Slot>,
}

impl Encoded {
    pub fn new(run: Run, family: Family, operands: &[Slot]) -> Self {
        Self { run, family, operands: operands.to_vec(), number: 0, detail: 0, list: Vec::new() }
    }
}

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

/// The instruction being decoded, with its surroundings.
pub struct Site<'d, 'm, 't> {
    decoder: &'d mut Decoder<'m, 't>,
    frame: &'d Frame,
    pub instruction: &'d syntax::Instruction<'t>,
}

impl<'d, 'm, 't> Site<'d, 'm, 't> {
    pub(super) fn new(
        decoder: &'d mut Decoder<'m, 't>,
        frame: &'d Frame,
        instruction: &'d syntax::Instruction<'t>,
    ) -> Self {
        Self { decoder, frame, instruction }
    }

    /// The kernel reads shared memory by the asynchronous proxy (bulk copies, `wgmma`).
    pub fn uses_async_proxy(&mut self) {
        self.decoder.async_proxy = true;
    }

    pub fn host(&self) -> Host {
        self.decoder.host
    }

    /// `add` of `add.s32`.
    pub fn opcode(&self) -> &'t str {
        self.instruction.parts.first().copied().unwrap_or_default()
    }

    pub fn modifiers(&self) -> Modifiers<'t> {
        Modifiers::of(self.instruction)
    }

    pub fn error(&self, message: impl Into<String>) -> LoadError {
        LoadError::new(self.instruction.line, message)
    }

    /// # Errors
    /// The instruction has another number of operands.
    pub fn expect_operands(&self, count: usize) -> LoadResult<()> {
        match self.instruction.operands.len() {
            found if found == count => Ok(()),
            found => Err(self.error(format!("expected {count} operands, found {found}"))),
        }
    }

    /// The operand with this index.
    ///
    /// # Errors
    /// There are not so many.
    pub fn operand(&self, index: usize) -> LoadResult<&'d Operand<'t>> {
        let instruction = self.instruction;
        instruction
            .operands
            .get(index)
            .ok_or_else(|| self.error(format!("operand {} is missing", index + 1)))
    }

    /// Slot and declared type of the register a result goes to; `_` gives a slot nobody reads.
    ///
    /// # Errors
    /// No register, or one too narrow for `kind` (wider ones are the instruction's business).
    pub fn destination(&mut self, operand: &Operand<'_>, kind: Type) -> LoadResult<(Slot, Type)> {
        match operand {
            Operand::Sink => Ok((self.decoder.new_rows(kind.bytes().div_ceil(4).max(1)), kind)),
            Operand::Register(register) => {
                let (slot, declared) =
                    self.frame.register(*register).ok_or_else(|| self.error("unknown register"))?;
                match declared != Type::Pred && declared.bytes() >= kind.bytes() {
                    true => Ok((slot, declared)),
                    false => Err(self
                        .error(format!("a {kind:?} does not fit a register of type {declared:?}"))),
                }
            }
            other => {
                Err(self.error(format!("expected a register for the result, found {other:?}")))
            }
        }
    }

    /// The result's slot, in a register of exactly `kind`'s size (one row for 8, 16 and 32 bits).
    ///
    /// # Errors
    /// No register, or one of another size.
    pub fn result(&mut self, index: usize, kind: Type) -> LoadResult<Slot> {
        let operand = self.operand(index)?;
        let (slot, declared) = self.destination(operand, kind)?;
        self.same_size(declared, kind).map(|()| slot)
    }

    /// Nobody looks at this result of an `atom`.
    pub fn is_unused(&self, result: &Operand<'_>) -> bool {
        match result {
            Operand::Register(register) => self.frame.is_unused(*register),
            Operand::Vector(results) => results.iter().all(|result| self.is_unused(result)),
            other => matches!(other, Operand::Sink),
        }
    }

    fn same_size(&self, declared: Type, kind: Type) -> LoadResult<()> {
        let rows = |kind: Type| kind.bytes().div_ceil(4);
        match rows(declared) == rows(kind) {
            true => Ok(()),
            false => Err(self.error(format!(
                "expected a register for {kind:?}, found one of type {declared:?}"
            ))),
        }
    }

    /// The slot of a source: register, immediate, special register or address of a variable.
    ///
    /// # Errors
    /// The operand is none of these, or has another size.
    pub fn source(&mut self, index: usize, kind: Type) -> LoadResult<Slot> {
        let operand = self.operand(index)?;
        self.source_of(operand, kind)
    }

    /// The same for an operand taken from a vector or list.
    ///
    /// # Errors
    /// As [`Site::source`].
    pub fn source_of(&mut self, operand: &Operand<'_>, kind: Type) -> LoadResult<Slot> {
        match operand {
            Operand::Register(register) => {
                let (slot, declared) =
                    self.frame.register(*register).ok_or_else(|| self.error("unknown register"))?;
                if declared == Type::Pred || declared.bytes() < kind.bytes() {
                    return Err(self.error(format!(
                        "expected a {kind:?}, found a register of type {declared:?}"
                    )));
                }
                self.same_size(declared, kind).map(|()| slot)
            }
            Operand::Immediate(immediate) => {
                let bits = constant_bits(*immediate, kind)
                    .ok_or_else(|| self.error(format!("{immediate:?} is no {kind:?}")))?;
                Ok(self.constant(bits, kind.bytes() == 8))
            }
            Operand::Special(name) => {
                let special = special(name).ok_or_else(|| {
                    self.error(format!("{name} cannot be used here or is not known"))
                })?;
                let slot = self.special(special);
                match kind.bytes() <= 4 {
                    true => Ok(slot),
                    false => Err(self.error(format!("{name} has 32 bits, expected a {kind:?}"))),
                }
            }
            Operand::Symbol { symbol, offset } => {
                let address = self.symbol_address(*symbol)?.wrapping_add_signed(*offset);
                Ok(self.constant(address, kind.bytes() == 8))
            }
            other => Err(self.error(format!("expected a {kind:?}, found {other:?}"))),
        }
    }

    /// Slot of a special register that is fixed for a warp.
    pub fn special(&mut self, special: Special) -> Slot {
        let Decoder { constants, rows, .. } = &mut *self.decoder;
        constants.special(special, || take(rows, 1))
    }

    /// Slot of a register that holds `bits` in every lane.
    pub fn constant(&mut self, bits: u64, wide: bool) -> Slot {
        let Decoder { constants, rows, .. } = &mut *self.decoder;
        constants.value(bits, wide, || take(rows, if wide { 2 } else { 1 }))
    }

    /// A predicate read: `p`, and whether it is negated; constants 0 and 1 too.
    ///
    /// # Errors
    /// The operand is no predicate.
    pub fn predicate_source(&mut self, index: usize) -> LoadResult<(Slot, bool)> {
        let operand = self.operand(index)?;
        let (register, negated) = match operand {
            Operand::Register(register) => (register, false),
            Operand::Not(register) => (register, true),
            Operand::Immediate(syntax::Immediate::Integer(value)) => {
                let Decoder { constants, predicates, .. } = &mut *self.decoder;
                return Ok((constants.predicate(*value != 0, || take(predicates, 1)), false));
            }
            other => return Err(self.error(format!("expected a predicate, found {other:?}"))),
        };
        match self.frame.register(*register) {
            Some((slot, Type::Pred)) => Ok((slot, negated)),
            _ => Err(self.error("expected a predicate")),
        }
    }

    /// The slot of a predicate written; `_` gives one nobody reads.
    ///
    /// # Errors
    /// The operand is no predicate.
    pub fn predicate_result(&mut self, operand: &Operand<'_>) -> LoadResult<Slot> {
        match operand {
            Operand::Sink => Ok(self.decoder.new_predicate()),
            Operand::Register(register) => match self.frame.register(*register) {
                Some((slot, Type::Pred)) => Ok(slot),
                _ => Err(self.error("expected a predicate for the result")),
            },
            other => {
                Err(self.error(format!("expected a predicate for the result, found {other:?}")))
            }
        }
    }

    /// Whether the operand is a predicate register.
    pub fn is_predicate(&self, operand: &Operand<'_>) -> bool {
        matches!(operand, Operand::Register(r) | Operand::Not(r) if matches!(self.frame.register(*r), Some((_, Type::Pred))))
    }

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
                let (space, address) = self.symbol_place(symbol)?;
                let offset = (address as i64).wrapping_add(offset);
                Ok(Place { base: None, offset, space: Some(space) })
            }
        }
    }

    /// The address a name stands for, in its own space.
    fn symbol_address(&mut self, symbol: Symbol) -> LoadResult<u64> {
        self.symbol_place(symbol).map(|(_, address)| address)
    }

    /// Space of a name and its address in that space.
    ///
    /// # Errors
    /// A function's address; a shared variable too large.
    pub fn symbol_place(&mut self, symbol: Symbol) -> LoadResult<(Space, u64)> {
        if let Some(binding) = self.frame.binding(symbol) {
            return Ok(match binding {
                Binding::Parameter(offset) => (Space::Parameter, u64::from(offset)),
                Binding::Local(offset) => (Space::Local, u64::from(offset)),
                Binding::Shared(offset) => (Space::Shared, u64::from(offset)),
                Binding::DynamicShared => {
                    (Space::Shared, u64::from(self.decoder.shared.dynamic_at()))
                }
            });
        }
        let Symbol::Module(index) = symbol else {
            return Err(self.error("the address of a function: indirect calls are not supported"));
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

    /// The function a `call` names.
    pub fn function(&self, index: u32) -> Option<&'m syntax::Function<'t>> {
        self.decoder.module.functions.get(index as usize)
    }

    /// Writes a device function out here; the bindings are those of its parameters and results.
    ///
    /// # Errors
    /// The function calls itself, has no body, or does not decode.
    pub fn write_out(
        &mut self,
        index: u32,
        parameters: Vec<Binding>,
        returns: Vec<Binding>,
    ) -> LoadResult<()> {
        let function = self.function(index).ok_or_else(|| self.error("unknown function"))?;
        let calls = &self.decoder.calls;
        if calls.contains(&(index as usize)) {
            return Err(
                self.error(format!("{} calls itself: recursion is not supported", function.name))
            );
        }
        if calls.len() >= MOST_DEPTH {
            return Err(self.error(format!("functions call each other {MOST_DEPTH} deep")));
        }
        self.decoder.calls.push(index as usize);
        self.decoder.write_out(function, parameters, returns)?;
        self.decoder.calls.pop();
        Ok(())
    }

    /// Place of an argument or result of a call: a `.param` variable as large as `formal`.
    ///
    /// # Errors
    /// Something else.
    pub fn argument(
        &self,
        operand: &Operand<'_>,
        formal: &syntax::Variable<'_>,
    ) -> LoadResult<Binding> {
        let Operand::Symbol { symbol, offset: 0 } = operand else {
            return Err(self.error(format!("expected a .param variable, found {operand:?}")));
        };
        if formal.register.is_some() {
            let message = format!("{} is a register: .param variables only", formal.name);
            return Err(self.error(message));
        }
        if let Some(bytes) = self.frame.size(*symbol).filter(|&bytes| bytes != formal.bytes()) {
            let message =
                format!("{bytes} bytes for {}, which has {}", formal.name, formal.bytes());
            return Err(self.error(message));
        }
        self.frame
            .binding(*symbol)
            .ok_or_else(|| self.error("expected a .param variable of this function"))
    }

    /// Whether the code stands in a kernel itself (else in a device function written out).
    pub fn in_kernel(&self) -> bool {
        self.frame.entry
    }

    /// Local memory of a thread for the machine's own use.
    ///
    /// # Errors
    /// Too much of it.
    pub fn new_local(&mut self, bytes: u64, align: u32) -> LoadResult<u32> {
        self.decoder.new_local(bytes, align, self.instruction.line)
    }

    /// The guard in front of the instruction.
    ///
    /// # Errors
    /// Its register is no predicate.
    pub fn guard(&self) -> LoadResult<Guard> {
        let Some(guard) = self.instruction.guard else { return Ok(Guard::Always) };
        match self.frame.register(guard.register) {
            Some((slot, Type::Pred)) if guard.negated => Ok(Guard::Unless(slot)),
            Some((slot, Type::Pred)) => Ok(Guard::If(slot)),
            _ => Err(self.error("the guard is no predicate")),
        }
    }

    /// Appends an instruction under this one's guard.
    ///
    /// # Errors
    /// The guard is no predicate.
    pub fn emit(&mut self, encoded: Encoded) -> LoadResult<()> {
        assert!(
            encoded.operands.len() <= OPERANDS,
            "{}: operands beyond {OPERANDS} belong into the list",
            self.opcode()
        );
        let guard = self.guard()?;
        let mut operands = [Slot::default(); OPERANDS];
        operands[..encoded.operands.len()].copy_from_slice(&encoded.operands);
        let list = (self.decoder.lists.len() as u32, encoded.list.len() as u32);
        self.decoder.lists.extend(encoded.list);
        let Encoded { run, number, detail, family, .. } = encoded;
        let origin =
            Origin { line: self.instruction.line, source: self.instruction.source, family };
        self.decoder.push(Instruction { run, guard, operands, number, detail, list }, origin);
        Ok(())
    }

    /// Appends an instruction for the lanes whose guard does not hold, and says where it stands.
    ///
    /// # Errors
    /// The guard is no predicate.
    pub fn emit_inverted(&mut self, encoded: Encoded) -> LoadResult<usize> {
        let at = self.decoder.code.len();
        self.emit(encoded)?;
        let guard = &mut self.decoder.code[at].guard;
        *guard = match *guard {
            Guard::If(slot) => Guard::Unless(slot),
            Guard::Unless(slot) => Guard::If(slot),
            Guard::Always => Guard::Always,
        };
        Ok(at)
    }

    /// The jump at `at` goes to what is written next.
    pub fn land(&mut self, at: usize) {
        self.decoder.code[at].number = self.decoder.code.len() as i64;
    }

    /// Appends a jump to a label.
    ///
    /// # Errors
    /// The operand is no label.
    pub fn emit_jump(&mut self, encoded: Encoded, target: &Operand<'_>) -> LoadResult<()> {
        let Operand::Label(label) = target else {
            return Err(self.error(format!("expected a label, found {target:?}")));
        };
        self.frame.jump_number(self.decoder.code.len(), *label);
        self.emit(encoded)
    }

    /// Appends a jump whose list is a `.branchtargets` list: instruction numbers.
    ///
    /// # Errors
    /// The operand is no such list.
    pub fn emit_jump_table(&mut self, encoded: Encoded, targets: &Operand<'_>) -> LoadResult<()> {
        let table = match targets {
            Operand::Targets(index) => self.frame.table(*index),
            _ => None,
        };
        let table =
            table.ok_or_else(|| self.error("expected the name of a .branchtargets list"))?;
        let at = self.decoder.code.len();
        self.emit(encoded)?;
        self.decoder.code[at].list = table;
        Ok(())
    }

    /// Appends a jump to the end of the function being written out.
    ///
    /// # Errors
    /// The guard is no predicate.
    pub fn emit_jump_to_end(&mut self, encoded: Encoded) -> LoadResult<()> {
        self.frame.jump_end(self.decoder.code.len());
        self.emit(encoded)
    }
}

fn take(count: &mut u32, rows: u32) -> Slot {
    let slot = Slot(*count);
    *count += rows;
    slot
}

/// The special registers that are fixed once a warp starts.
fn special(name: &str) -> Option<Special> {
    use crate::program::LaneMask;
    let axis = |name: &str| match name {
        "x" => Some(0),
        "y" => Some(1),
        "z" => Some(2),
        _ => None,
    };
    let (name, component) = name.strip_prefix('%')?.split_once('.').unwrap_or((&name[1..], ""));
    Some(match (name, axis(component)) {
        ("tid", Some(i)) => Special::Tid(i),
        ("ntid", Some(i)) => Special::Ntid(i),
        ("ctaid", Some(i)) => Special::Ctaid(i),
        ("nctaid", Some(i)) => Special::Nctaid(i),
        ("clusterid", Some(i)) => Special::Ctaid(i),
        ("nclusterid", Some(i)) => Special::Nctaid(i),
        ("cluster_ctaid", Some(_)) => Special::Fixed(0),
        ("cluster_nctaid", Some(_)) => Special::Fixed(1),
        _ if !component.is_empty() => return None,
        ("laneid", _) => Special::LaneId,
        ("warpid", _) => Special::WarpId,
        ("nwarpid", _) => Special::WarpCount,
        ("smid" | "gridid" | "cluster_ctarank", _) => Special::Fixed(0),
        ("nsmid" | "cluster_nctarank", _) => Special::Fixed(1),
        ("lanemask_eq", _) => Special::LaneMask(LaneMask::Eq),
        ("lanemask_le", _) => Special::LaneMask(LaneMask::Le),
        ("lanemask_lt", _) => Special::LaneMask(LaneMask::Lt),
        ("lanemask_ge", _) => Special::LaneMask(LaneMask::Ge),
        ("lanemask_gt", _) => Special::LaneMask(LaneMask::Gt),
        ("dynamic_smem_size", _) => Special::DynamicShared,
        ("total_smem_size", _) => Special::TotalShared,
        _ => return None,
    })
}
