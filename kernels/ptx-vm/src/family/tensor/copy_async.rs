//! `cp.async`: copies of 4, 8 or 16 bytes a lane from global to shared memory that arrive when their group is waited for.

use super::pointer::{self, Pointer, global_addresses, shared_addresses};
use crate::asynchronous::Copy;
use crate::decode::{Encoded, Modifiers, Site};
use crate::error::{Checked, LoadResult, Rule, Violation};
use crate::memory::Access;
use crate::program::{Family, Instruction};
use crate::registers::LANES;
use crate::syntax::{Immediate, Operand, Space, Type};
use crate::turn::{Flow, How, Turn};

/// Operands: destination, source, bytes to read (or the predicate that leaves the source alone).
const TO: usize = 0;
const FROM: usize = pointer::SLOTS;
const SIZE: usize = 2 * pointer::SLOTS;
/// `detail` above the two addresses.
const SIZED: u32 = 1 << (2 * pointer::BITS);
const IGNORED: u32 = 2 << (2 * pointer::BITS);
const NEGATED: u32 = 4 << (2 * pointer::BITS);

/// Everything after `cp.async` that is no bulk copy.
pub fn decode(site: &mut Site<'_, '_, '_>, mut modifiers: Modifiers<'_>) -> LoadResult<()> {
    if modifiers.take("commit_group") {
        modifiers.finish()?;
        site.expect_operands(0)?;
        return site.emit(Encoded::new(commit, Family::Asynchronous, &[]));
    }
    if modifiers.take("wait_all") {
        modifiers.finish()?;
        site.expect_operands(0)?;
        return site.emit(Encoded::new(wait_all, Family::Asynchronous, &[]));
    }
    if modifiers.take("wait_group") {
        modifiers.finish()?;
        site.expect_operands(1)?;
        let number = i64::from(constant(site, 0)?);
        return site.emit(Encoded { number, ..Encoded::new(wait, Family::Asynchronous, &[]) });
    }
    copy(site, modifiers)
}

/// An operand that has to be an integer in the text.
///
/// # Errors
/// It is none, or above `u32`.
pub fn constant(site: &Site<'_, '_, '_>, index: usize) -> LoadResult<u32> {
    match site.operand(index)? {
        Operand::Immediate(Immediate::Integer(value)) if *value <= u64::from(u32::MAX) => {
            Ok(*value as u32)
        }
        other => Err(site.error(format!("expected an integer constant, found {other:?}"))),
    }
}

/// `cp.async.ca|cg.shared.global{.L2::..} [to], [from], bytes{, read | ignore}{, policy}`.
fn copy(site: &mut Site<'_, '_, '_>, mut modifiers: Modifiers<'_>) -> LoadResult<()> {
    let through_all = modifiers.take("ca");
    if !through_all && !modifiers.take("cg") {
        return Err(site.error("expected .ca or .cg"));
    }
    if !modifiers.take("shared") && !modifiers.take("shared::cta") {
        return Err(site.error("expected .shared"));
    }
    if !modifiers.take("global") {
        return Err(site.error("expected .global"));
    }
    let policy = usize::from(modifiers.take("L2::cache_hint"));
    modifiers.take_one(|m| ["L2::64B", "L2::128B", "L2::256B"].contains(&m).then_some(()));
    modifiers.finish()?;
    let width = constant(site, 2)?;
    if !(width == 16 || through_all && (width == 4 || width == 8)) {
        return Err(site.error(format!("{width} bytes; .ca copies 4, 8 or 16, .cg 16")));
    }
    let to = Pointer::decode(site, 0, Space::Shared)?;
    let from = Pointer::decode(site, 1, Space::Global)?;
    let mut operands = [to.slots, from.slots].concat();
    let mut detail = to.flags | from.flags << pointer::BITS;
    match site.instruction.operands.len().checked_sub(policy) {
        Some(3) => {}
        Some(4) if site.is_predicate(site.operand(3)?) => {
            let (ignored, negated) = site.predicate_source(3)?;
            detail |= IGNORED | if negated { NEGATED } else { 0 };
            operands.push(ignored);
        }
        Some(4) => {
            operands.push(site.source(3, Type::U32)?);
            detail |= SIZED;
        }
        _ => return Err(site.error("expected two addresses, the bytes, and those to read")),
    }
    let run = match width {
        4 => start::<4>,
        8 => start::<8>,
        _ => start::<16>,
    };
    site.emit(Encoded { detail, ..Encoded::new(run, Family::Asynchronous, &operands) })
}

fn start<const WIDTH: usize>(
    turn: &mut Turn<'_>,
    instruction: &Instruction,
    mask: u32,
) -> Checked<Flow> {
    let to = shared_addresses(turn, instruction, mask, TO, 0)?;
    let from = global_addresses(turn, instruction, mask, FROM, pointer::BITS)?;
    let read = sizes(turn, instruction, mask, WIDTH)?;
    let warp = turn.warp as usize;
    let mut copy = turn.block.asynchronous.copies[warp].fresh();
    (copy.mask, copy.width, copy.pc) = (mask, WIDTH as u8, turn.pc);
    (copy.to, copy.from, copy.read) = (to, from, read);
    let whole = lanes_reading(&read, mask, WIDTH);
    copy.values = [[0; LANES]; 2];
    if whole != 0 {
        match WIDTH {
            4 => {
                let words = turn.load::<u32, 1>(Space::Global, whole, &from, How::default())?;
                copy.values[0] = words[0].map(u64::from);
            }
            8 => {
                copy.values[0] =
                    turn.load::<u64, 1>(Space::Global, whole, &from, How::default())?[0]
            }
            _ => copy.values = turn.load(Space::Global, whole, &from, How::default())?,
        }
    }
    for lane in lanes(mask & !whole) {
        if read[lane] > 0 {
            let bytes = partly(turn, &copy, lane, true)?;
            [copy.values[0][lane], copy.values[1][lane]] = bytes;
        }
    }
    match WIDTH {
        4 => turn.shared_poison_lanes::<u32, 1>(mask, &to)?,
        8 => turn.shared_poison_lanes::<u64, 1>(mask, &to)?,
        _ => turn.shared_poison_lanes::<u64, 2>(mask, &to)?,
    }
    turn.block.asynchronous.copies[warp].start(copy);
    Ok(Flow::Next)
}

fn lanes(mask: u32) -> impl Iterator<Item = usize> {
    (0..LANES).filter(move |lane| mask >> lane & 1 == 1)
}

/// Lanes of `mask` that read all bytes.
fn lanes_reading(read: &[u8; LANES], mask: u32, width: usize) -> u32 {
    mask & crate::shapes::lanes_where(|lane| usize::from(read[lane]) == width)
}

/// Bytes each lane reads.
fn sizes(
    turn: &Turn<'_>,
    instruction: &Instruction,
    mask: u32,
    width: usize,
) -> Checked<[u8; LANES]> {
    if instruction.detail & IGNORED != 0 {
        let lanes = turn.registers.predicate(instruction.operands[SIZE]);
        let ignored = if instruction.detail & NEGATED != 0 { !lanes } else { lanes };
        return Ok(std::array::from_fn(|l| if ignored >> l & 1 == 1 { 0 } else { width as u8 }));
    }
    if instruction.detail & SIZED == 0 {
        return Ok([width as u8; LANES]);
    }
    let sizes = turn.registers.get::<u32>(instruction.operands[SIZE]);
    match lanes(mask).find(|&lane| sizes[lane] as usize > width) {
        None => Ok(sizes.map(|size| size as u8)),
        Some(lane) => {
            let message = format!("{} bytes to read in a copy of {width}", sizes[lane]);
            Err(Box::new(Violation::by(Rule::Asynchronous, lane as u32, message)))
        }
    }
}

/// A lane that reads fewer bytes than it writes. `first` is the copy's start, which is checked and counted.
fn partly(turn: &mut Turn<'_>, copy: &Copy, lane: usize, first: bool) -> Checked<[u64; 2]> {
    let (from, width) = (copy.from[lane], u64::from(copy.width));
    if from % width != 0 {
        let message =
            format!("a copy of {width} bytes from 0x{from:x}, which is no multiple of them");
        return Err(Box::new(Violation::at(Rule::Misaligned, lane as u32, from, message)));
    }
    let mut bytes = [0; 16];
    let wanted = &mut bytes[..usize::from(copy.read[lane])];
    if first {
        turn.global_out(lane, from, wanted)?;
    } else {
        let mut access = quiet(turn, lane);
        turn.block.global.copy_out(&mut access, lane, from, wanted)?;
    }
    let (halves, _) = bytes.as_chunks::<8>();
    Ok([u64::from_le_bytes(halves[0]), u64::from_le_bytes(halves[1])])
}

/// An access that is neither counted nor watched: it was at the start of the copy.
fn quiet(turn: &Turn<'_>, lane: usize) -> Access<'static> {
    Access::new(1 << lane, turn.first_thread(), turn.block.linear as u32)
}

/// The copies taken out arrive.
///
/// `own`: by a wait of their lanes, which then come after the bytes. Else an mbarrier tells who does.
pub fn deliver(
    turn: &mut Turn<'_>,
    warp: u32,
    due: Vec<(u32, Box<Copy>)>,
    own: bool,
) -> Checked<()> {
    for (mask, copy) in &due {
        if turn.launch.options.adversarial.is_some() {
            read_again(turn, *mask, copy)?;
        }
        let to = &copy.to;
        match copy.width {
            4 => {
                let words = copy.values[0].map(|x| x as u32);
                turn.shared_deliver_lanes(own, *mask, to, &[words])?;
            }
            8 => turn.shared_deliver_lanes(own, *mask, to, &[copy.values[0]])?,
            _ => turn.shared_deliver_lanes(own, *mask, to, &copy.values)?,
        }
    }
    turn.block.asynchronous.copies[warp as usize].give_back(due);
    Ok(())
}

/// The copy may read its source as late as now: nobody may have changed it.
fn read_again(turn: &mut Turn<'_>, mask: u32, copy: &Copy) -> Checked<()> {
    for lane in lanes(mask) {
        let now = partly(turn, copy, lane, false)?;
        if now != [copy.values[0][lane], copy.values[1][lane]] {
            let message = format!(
                "the source of the copy at PTX line {} was changed before the copy was waited for",
                turn.line(copy.pc)
            );
            let violation =
                Violation::at(Rule::Asynchronous, lane as u32, copy.from[lane], message);
            return Err(Box::new(violation));
        }
    }
    Ok(())
}

fn commit(turn: &mut Turn<'_>, _: &Instruction, mask: u32) -> Checked<Flow> {
    turn.block.asynchronous.copies[turn.warp as usize].commit(mask);
    Ok(Flow::Next)
}

fn wait(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    let copies = &mut turn.block.asynchronous.copies[turn.warp as usize];
    let due = copies.arrive_groups(mask, instruction.number as u32);
    deliver(turn, turn.warp, due, true)?;
    Ok(Flow::Next)
}

fn wait_all(turn: &mut Turn<'_>, _: &Instruction, mask: u32) -> Checked<Flow> {
    let copies = &mut turn.block.asynchronous.copies[turn.warp as usize];
    copies.commit(mask);
    let due = copies.arrive_groups(mask, 0);
    deliver(turn, turn.warp, due, true)?;
    Ok(Flow::Next)
}
