//! One function as it is written out in one place: where its registers, variables and parameters lie.

use std::cell::RefCell;
use std::collections::HashSet;

use super::Decoder;
use crate::error::LoadResult;
use crate::program::Instruction;
use crate::registers::Slot;
use crate::syntax::{
    Base, Body, Function, LabelId, Operand, RegisterId, Space, Symbol, Type, Variable,
};

/// Where a parameter or variable of a function lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// Offset in the kernel's parameters.
    Parameter(u32),
    /// Offset in the thread's local memory: arguments of device functions, `.local` variables.
    Local(u32),
    /// Offset in the frame of a routine, on the thread's stack in local memory.
    Stack(u32),
    /// Offset in shared memory.
    Shared(u32),
    /// The shared memory that a launch adds.
    DynamicShared,
}

/// A jump whose target is still a label.
#[derive(Debug, Clone, Copy)]
enum Jump {
    /// `number` of this instruction.
    Number { code: usize, label: LabelId },
    /// An element of the lists (`.branchtargets`).
    Element { list: usize, label: LabelId },
    /// `number` of this instruction becomes the end of the body (`ret` of a device function).
    End { code: usize },
}

/// Slots of one body's registers and places of its variables.
pub struct Frame {
    pub entry: bool,
    first_code: usize,
    registers: Vec<(Slot, Type)>,
    /// Which registers are named anywhere but as the result of an `atom`.
    used: Vec<bool>,
    /// What compare-and-swaps compare with what they find: base and offset of the address, and the register.
    compared: HashSet<(Base, i64, RegisterId)>,
    variables: Vec<Binding>,
    parameters: Vec<Binding>,
    returns: Vec<Binding>,
    /// Bytes of the variables, of the parameters and of the results.
    sizes: [Vec<u64>; 3],
    /// First element and length of each `.branchtargets` list.
    tables: Vec<(u32, u32)>,
    /// Sizes of the results and of the parameters of each `.callprototype`.
    prototypes: Vec<[Vec<u64>; 2]>,
    jumps: RefCell<Vec<Jump>>,
}

impl Frame {
    pub(super) fn new<'m, 't>(
        decoder: &mut Decoder<'m, 't>,
        function: &Function<'t>,
        body: &Body<'t>,
        parameters: Vec<Binding>,
        returns: Vec<Binding>,
    ) -> LoadResult<Self> {
        let registers = body.registers.iter().map(|register| {
            let slot = match register.kind {
                Type::Pred => decoder.new_predicate(),
                kind => decoder.new_rows(kind.bytes().div_ceil(4).max(1)),
            };
            (slot, register.kind)
        });
        let registers = registers.collect();
        let mut variables = Vec::with_capacity(body.variables.len());
        for variable in &body.variables {
            variables.push(match variable.space {
                Space::Shared if variable.length == 0 => {
                    decoder.shared.dynamic(variable.align);
                    Binding::DynamicShared
                }
                Space::Shared => Binding::Shared(decoder.shared.place(variable)?),
                _ => decoder.new_local(variable.bytes(), variable.align, variable.line)?,
            });
        }
        let mut jumps = Vec::new();
        let tables = body.targets.iter().map(|targets| table(decoder, targets, &mut jumps));
        let tables = tables.collect();
        let sizes = [&body.variables, &function.parameters, &function.returns];
        let sizes = sizes.map(|list| list.iter().map(|variable| variable.bytes()).collect());
        let bytes = |list: &[Variable<'_>]| list.iter().map(Variable::bytes).collect::<Vec<_>>();
        let prototypes = body.prototypes.iter();
        let prototypes = prototypes.map(|p| [bytes(&p.returns), bytes(&p.parameters)]).collect();
        let (entry, first_code) = (function.entry, decoder.code.len());
        let jumps = RefCell::new(jumps);
        Ok(Self {
            entry,
            first_code,
            registers,
            used: used(body),
            compared: compared(body),
            variables,
            parameters,
            returns,
            sizes,
            tables,
            prototypes,
            jumps,
        })
    }

    /// Where the elements of a `.branchtargets` list lie, and how many they are.
    pub fn table(&self, index: u32) -> Option<(u32, u32)> {
        self.tables.get(index as usize).copied()
    }

    /// Sizes of the results and of the parameters of a `.callprototype`.
    pub fn prototype(&self, index: u32) -> Option<&[Vec<u64>; 2]> {
        self.prototypes.get(index as usize)
    }

    /// Bytes of a variable of the function's own.
    pub fn size(&self, symbol: Symbol) -> Option<u64> {
        let (list, index) = match symbol {
            Symbol::Body(i) => (0, i),
            Symbol::Parameter(i) => (1, i),
            Symbol::Return(i) => (2, i),
            Symbol::Module(_) | Symbol::Function(_) => return None,
        };
        self.sizes[list].get(index as usize).copied()
    }

    /// Slot and declared type of a register.
    pub fn register(&self, register: RegisterId) -> Option<(Slot, Type)> {
        self.registers.get(register.0 as usize).copied()
    }

    /// Nobody looks at what an `atom` leaves in the register.
    pub fn is_unused(&self, register: RegisterId) -> bool {
        self.used.get(register.0 as usize) == Some(&false)
    }

    /// A compare-and-swap compares the register with what it finds at that address.
    pub fn is_compared(&self, base: Base, offset: i64, register: RegisterId) -> bool {
        self.compared.contains(&(base, offset, register))
    }

    /// Where a name of the function's own lies; `None` for module scope.
    pub fn binding(&self, symbol: Symbol) -> Option<Binding> {
        let (list, index) = match symbol {
            Symbol::Body(i) => (&self.variables, i),
            Symbol::Parameter(i) => (&self.parameters, i),
            Symbol::Return(i) => (&self.returns, i),
            Symbol::Module(_) | Symbol::Function(_) => return None,
        };
        list.get(index as usize).copied()
    }

    pub(super) fn jump_number(&self, code: usize, label: LabelId) {
        self.jumps.borrow_mut().push(Jump::Number { code, label });
    }

    pub(super) fn jump_end(&self, code: usize) {
        self.jumps.borrow_mut().push(Jump::End { code });
    }

    /// Puts instruction numbers in the place of labels. `starts[i]` is where the body's instruction `i` begins.
    pub(super) fn resolve_jumps(
        &self,
        code: &mut [Instruction],
        lists: &mut [Slot],
        labels: &[usize],
        starts: &[u32],
    ) {
        let end = starts[starts.len() - 1];
        let target = |label: LabelId| {
            labels.get(label.0 as usize).and_then(|&i| starts.get(i)).copied().unwrap_or(end)
        };
        for jump in self.jumps.borrow().iter() {
            match *jump {
                Jump::Number { code: at, label } => {
                    code[at - self.first_code].number = i64::from(target(label))
                }
                Jump::Element { list, label } => lists[list] = Slot(target(label)),
                Jump::End { code: at } => code[at - self.first_code].number = i64::from(end),
            }
        }
    }
}

/// For each register of a body whether it is named anywhere but as the result of an `atom`.
fn used(body: &Body<'_>) -> Vec<bool> {
    fn mark(operand: &Operand<'_>, used: &mut [bool]) {
        match operand {
            Operand::Register(register) | Operand::Not(register) => {
                used[register.0 as usize] = true
            }
            Operand::Address { base, .. } => mark_base(*base, used),
            Operand::Tensor { base, coordinates, .. } => {
                mark_base(*base, used);
                coordinates.iter().for_each(|operand| mark(operand, used));
            }
            Operand::Vector(list) | Operand::List(list) => {
                list.iter().for_each(|operand| mark(operand, used));
            }
            Operand::Pair(pair) => {
                mark(&pair.0, used);
                mark(&pair.1, used);
            }
            _ => {}
        }
    }
    fn mark_base(base: Base, used: &mut [bool]) {
        if let Base::Register(register) = base {
            used[register.0 as usize] = true;
        }
    }
    let mut used = vec![false; body.registers.len()];
    for instruction in &body.instructions {
        let results = usize::from(instruction.parts.first() == Some(&"atom"));
        instruction.operands.iter().skip(results).for_each(|operand| mark(operand, &mut used));
        if let Some(guard) = instruction.guard {
            used[guard.register.0 as usize] = true;
        }
    }
    used
}

fn compared(body: &Body<'_>) -> HashSet<(Base, i64, RegisterId)> {
    let swaps = body.instructions.iter().filter(|i| i.parts.contains(&"cas"));
    let compared = swaps.filter_map(|swap| match swap.operands[..] {
        [_, Operand::Address { base, offset }, Operand::Register(register), _] => {
            Some((base, offset, register))
        }
        _ => None,
    });
    compared.collect()
}

/// Room for a `.branchtargets` list; its elements become instruction numbers with the other jumps.
fn table(decoder: &mut Decoder<'_, '_>, targets: &[LabelId], jumps: &mut Vec<Jump>) -> (u32, u32) {
    let first = decoder.lists.len();
    for (i, &label) in targets.iter().enumerate() {
        decoder.lists.push(Slot::default());
        jumps.push(Jump::Element { list: first + i, label });
    }
    (first as u32, targets.len() as u32)
}
