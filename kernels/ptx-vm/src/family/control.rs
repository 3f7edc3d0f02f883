//! Branches, calls, the end: `bra brx ret exit call trap`.

use super::external;
use super::routine::{self, Callee};
use crate::decode::{Binding, Encoded, Site};
use crate::error::{Checked, LoadResult, Rule, Violation};
use crate::program::{Family, Guard, Instruction, OPERANDS};
use crate::registers::{LANES, Slot};
use crate::syntax::{Operand, Symbol, Type, Variable};
use crate::turn::{Flow, Turn};

pub fn decode(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    match site.opcode() {
        "bra" => branch(site),
        "brx" => branch_table(site),
        "ret" if !site.in_kernel() => {
            plain(site)?;
            site.emit_jump_to_end(Encoded::new(jump, Family::Control, &[]))
        }
        "ret" | "exit" => {
            plain(site)?;
            site.emit(Encoded::new(exit, Family::Control, &[]))
        }
        "trap" | "brkpt" => {
            plain(site)?;
            site.emit(Encoded::new(trap, Family::Control, &[]))
        }
        "nanosleep" => {
            site.modifiers().take_last_type()?;
            site.source(0, Type::U32)?;
            site.emit(Encoded::new(sleep, Family::Control, &[]))
        }
        _ => call(site),
    }
}

/// No operands; `.uni` at most.
fn plain(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    site.expect_operands(0)?;
    let mut modifiers = site.modifiers();
    modifiers.take("uni");
    modifiers.finish()
}

fn branch(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    site.expect_operands(1)?;
    let mut modifiers = site.modifiers();
    modifiers.take("uni");
    modifiers.finish()?;
    let target = site.operand(0)?;
    site.emit_jump(Encoded::new(jump, Family::Control, &[]), target)
}

/// `brx.idx %r, targets`.
fn branch_table(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    site.expect_operands(2)?;
    let mut modifiers = site.modifiers();
    modifiers.take("uni");
    if !modifiers.take("idx") {
        return Err(site.error("expected brx.idx"));
    }
    modifiers.finish()?;
    let index = site.source(0, Type::U32)?;
    let targets = site.operand(1)?;
    site.emit_jump_table(Encoded::new(jump_by_table, Family::Control, &[index]), targets)
}

fn call(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let mut modifiers = site.modifiers();
    modifiers.take("uni");
    modifiers.finish()?;
    let operands = &site.instruction.operands;
    let (returns, rest): (&[Operand<'_>], _) = match operands.split_first() {
        Some((Operand::List(returns), rest)) => (returns, rest),
        _ => (&[], operands.as_slice()),
    };
    let (index, arguments): (_, &[Operand<'_>]) = match rest {
        [Operand::Symbol { symbol: Symbol::Function(index), .. }] => (*index, &[]),
        [Operand::Symbol { symbol: Symbol::Function(index), .. }, Operand::List(arguments)] => {
            (*index, arguments)
        }
        [address @ Operand::Register(_), Operand::Prototype(prototype)] => {
            return call_by_address(site, address, *prototype, &[], returns);
        }
        [
            address @ Operand::Register(_),
            Operand::List(arguments),
            Operand::Prototype(prototype),
        ] => {
            return call_by_address(site, address, *prototype, arguments, returns);
        }
        _ => return Err(site.error("expected call (results), function, (arguments)")),
    };
    let function = site.function(index).ok_or_else(|| site.error("unknown function"))?;
    if function.entry {
        return Err(site.error(format!("{} is a kernel: those are launched", function.name)));
    }
    if (arguments.len(), returns.len()) != (function.parameters.len(), function.returns.len()) {
        return Err(site.error(format!(
            "{} takes {} arguments and gives {} results",
            function.name,
            function.parameters.len(),
            function.returns.len()
        )));
    }
    let bind = |operands: &[Operand<'_>], formals: &[Variable<'_>]| {
        let both = operands.iter().zip(formals);
        both.map(|(operand, formal)| match formal.register {
            None => site.argument(operand, (formal.name, formal.bytes())),
            Some(_) => {
                let message = format!("{} is a register: .param variables only", formal.name);
                Err(site.error(message))
            }
        })
        .collect::<LoadResult<Vec<_>>>()
    };
    let (arguments, returns) =
        (bind(arguments, &function.parameters)?, bind(returns, &function.returns)?);
    if function.body.is_none() {
        return external::decode(site, function.name, &arguments, &returns);
    }
    if let Some(number) = site.routine(index) {
        let sized = |bindings: Vec<Binding>, formals: &[Variable<'_>]| {
            bindings.into_iter().zip(formals.iter().map(Variable::bytes)).collect::<Vec<_>>()
        };
        let arguments = sized(arguments, &function.parameters);
        let returns = sized(returns, &function.returns);
        return routine::call(site, &Callee::Routine(number), &arguments, &returns);
    }
    if site.instruction.guard.is_some() {
        return guarded_call(site, index, arguments, returns);
    }
    site.write_out(index, arguments, returns)
}

/// `call (results), %rd1, (arguments), prototype`.
fn call_by_address(
    site: &mut Site<'_, '_, '_>,
    address: &Operand<'_>,
    prototype: u32,
    arguments: &[Operand<'_>],
    returns: &[Operand<'_>],
) -> LoadResult<()> {
    let address = site.source_of(address, Type::U64)?;
    let Some([results, parameters]) = site.prototype(prototype) else {
        return Err(site.error("unknown prototype"));
    };
    if (arguments.len(), returns.len()) != (parameters.len(), results.len()) {
        return Err(site.error(format!(
            "the prototype has {} arguments and {} results",
            parameters.len(),
            results.len()
        )));
    }
    let bind = |operands: &[Operand<'_>], sizes: &[u64]| {
        let both = operands.iter().zip(sizes);
        let place = |(operand, &bytes): (&Operand<'_>, &u64)| {
            Ok((site.argument(operand, ("a parameter of the prototype", bytes))?, bytes))
        };
        both.map(place).collect::<LoadResult<Vec<_>>>()
    };
    let (arguments, returns) = (bind(arguments, parameters)?, bind(returns, results)?);
    routine::call(site, &Callee::Address(address), &arguments, &returns)
}

/// The lanes whose guard does not hold jump over what is written out.
fn guarded_call(
    site: &mut Site<'_, '_, '_>,
    index: u32,
    arguments: Vec<Binding>,
    returns: Vec<Binding>,
) -> LoadResult<()> {
    let at = site.emit_inverted(Encoded::new(jump, Family::Control, &[]))?;
    site.write_out(index, arguments, returns)?;
    site.land(at);
    Ok(())
}

/// What stands behind a kernel's last instruction.
pub fn end() -> Instruction {
    let operands = [Slot::default(); OPERANDS];
    Instruction { run: exit, guard: Guard::Always, operands, number: 0, detail: 0, list: (0, 0) }
}

fn jump(_: &mut Turn<'_>, instruction: &Instruction, _: u32) -> Checked<Flow> {
    Ok(Flow::Jump(instruction.number as u32))
}

fn jump_by_table(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    let index = turn.registers.get::<u32>(instruction.operands[0]);
    let targets = turn.launch.list(instruction.list);
    for lane in (0..LANES).filter(|lane| mask >> lane & 1 == 1) {
        let Some(target) = targets.get(index[lane] as usize) else {
            let message =
                format!("brx.idx with index {} of a list of {} labels", index[lane], targets.len());
            return Err(Box::new(Violation::by(Rule::Trap, lane as u32, message)));
        };
        turn.targets[lane] = target.0;
    }
    Ok(Flow::JumpEach)
}

fn exit(turn: &mut Turn<'_>, _: &Instruction, mask: u32) -> Checked<Flow> {
    let Turn { block, launch, warp, .. } = turn;
    block.cluster.exit(*warp, mask, launch.threads());
    Ok(Flow::Exit)
}

/// Nothing is ever late here, but who sleeps waits for others, who may want this processor of the host.
fn sleep(_: &mut Turn<'_>, _: &Instruction, _: u32) -> Checked<Flow> {
    std::thread::yield_now();
    Ok(Flow::Next)
}

fn trap(_: &mut Turn<'_>, _: &Instruction, mask: u32) -> Checked<Flow> {
    Err(Box::new(Violation::by(Rule::Trap, mask.trailing_zeros(), "the kernel ran into a trap")))
}
