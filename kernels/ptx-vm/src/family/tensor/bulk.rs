//! `cp.async.bulk`, `cp.async.bulk.tensor` and `cp.reduce.async.bulk`: copies of many bytes, or of a box of a tensor,
//! that one thread starts.

use super::copy_async::constant;
use super::mbarrier::{check, describe};
use super::pointer::{self, Pointer, addresses, global_addresses, shared_addresses};
use super::reduction;
use super::tile;
use crate::asynchronous::{BulkLoad, BulkStore, Effect, Place, Reduction};
use crate::block::Block;
use crate::decode::{Encoded, Modifiers, Site};
use crate::error::{Checked, LoadResult, Rule, Violation};
use crate::launch::Launch;
use crate::memory::{Access, window};
use crate::program::{Family, Instruction, Run};
use crate::registers::LANES;
use crate::syntax::{Operand, Space, Type};
use crate::tensor_map::{BYTES, MOST_DIMENSIONS, TensorMap};
use crate::turn::{Flow, How, Turn};

/// Operands: the address in shared memory, the one in global memory or of the map, the mbarrier's.
const SHARED: usize = 0;
const GLOBAL: usize = pointer::SLOTS;
const BARRIER: usize = 2 * pointer::SLOTS;
/// `detail` above the addresses: dimensions of the tensor (0 for bytes in a row), and which reduction.
const RANK_SHIFT: u32 = 3 * pointer::BITS;
const REDUCTION_SHIFT: u32 = RANK_SHIFT + 3;

/// Everything after `cp.async.bulk`, or `cp.reduce.async.bulk` if `reduce`.
pub fn decode(
    site: &mut Site<'_, '_, '_>,
    mut modifiers: Modifiers<'_>,
    reduce: bool,
) -> LoadResult<()> {
    if modifiers.take("commit_group") {
        modifiers.finish()?;
        site.expect_operands(0)?;
        return site.emit(Encoded::new(run_commit, Family::Asynchronous, &[]));
    }
    if modifiers.take("wait_group") {
        let run: Run = if modifiers.take("read") { run_wait_read } else { run_wait };
        modifiers.finish()?;
        site.expect_operands(1)?;
        let number = i64::from(constant(site, 0)?);
        return site.emit(Encoded { number, ..Encoded::new(run, Family::Asynchronous, &[]) });
    }
    let rank = match modifiers.take("tensor") {
        true => modifiers.take_one(dimensions).ok_or_else(|| site.error("expected .1d to .5d"))?,
        false => 0,
    };
    if modifiers.take("prefetch") {
        // Caches are not modelled: the machine has nothing to fetch.
        return site.emit(Encoded::new(crate::family::address::nothing, Family::Asynchronous, &[]));
    }
    modifiers.take("tile");
    let policy = usize::from(modifiers.take("L2::cache_hint"));
    let rest = modifiers.rest().to_vec();
    match rest.split_first_chunk::<3>() {
        Some((["shared::cluster" | "shared::cta", "global", MBARRIER], [])) if !reduce => {
            load(site, rank, policy)
        }
        Some((["global", "shared::cta", "bulk_group"], operation)) => {
            store(site, rank, policy, reduce, operation)
        }
        Some((["global", "shared::cta", operation], ["bulk_group"])) if rank > 0 => {
            store(site, rank, policy, reduce, &[operation])
        }
        _ => Err(site.error(format!(
            "bulk copies .{} are not supported: from .global to .shared::cluster (of the block itself) with an \
             mbarrier, and from .shared::cta to .global in a bulk_group are",
            rest.join(".")
        ))),
    }
}

const MBARRIER: &str = "mbarrier::complete_tx::bytes";

fn dimensions(modifier: &str) -> Option<u32> {
    let digit = modifier.strip_suffix('d')?.parse().ok()?;
    (1..=MOST_DIMENSIONS as u32).contains(&digit).then_some(digit)
}

/// `[to], [from], bytes, [mbarrier]` or `[to], [map, {..}], [mbarrier]`.
fn load(site: &mut Site<'_, '_, '_>, rank: u32, policy: usize) -> LoadResult<()> {
    let to = Pointer::decode(site, 0, Space::Shared)?;
    let (from, list) = global_side(site, rank, 1, 2)?;
    let barrier = if rank == 0 { 3 } else { 2 };
    site.expect_operands(barrier + 1 + policy)?;
    let barrier = Pointer::decode(site, barrier, Space::Shared)?;
    let operands = [to.slots, from.slots, barrier.slots].concat();
    let flags = from.flags << pointer::BITS | barrier.flags << (2 * pointer::BITS);
    let detail = to.flags | flags | rank << RANK_SHIFT;
    site.uses_async_proxy();
    site.emit(Encoded { detail, list, ..Encoded::new(run_load, Family::Asynchronous, &operands) })
}

/// `[to], [from], bytes` or `[map, {..}], [from]`.
fn store(
    site: &mut Site<'_, '_, '_>,
    rank: u32,
    policy: usize,
    reduce: bool,
    operation: &[&str],
) -> LoadResult<()> {
    let number = match (reduce, operation) {
        (false, []) => 0,
        (true, [operation]) if rank > 0 => match reduction::of_tensor(operation) {
            Some(number) => number + 1,
            None => return Err(site.error(format!("reductions .{operation} are not known"))),
        },
        (true, [operation, kind]) if rank == 0 => match reduction::find(operation, kind) {
            Some(number) => number + 1,
            None => return Err(site.error(format!("reductions .{operation}.{kind} are not known"))),
        },
        (true, [operation, "noftz", kind]) if rank == 0 => match reduction::find(operation, kind) {
            Some(number) => number + 1,
            None => return Err(site.error(format!("reductions .{operation}.{kind} are not known"))),
        },
        _ => {
            return Err(site.error(format!(
                "modifiers .{} of a bulk copy are not known",
                operation.join(".")
            )));
        }
    };
    let (to, list) = global_side(site, rank, 0, 2)?;
    let from = Pointer::decode(site, 1, Space::Shared)?;
    site.expect_operands(if rank == 0 { 3 } else { 2 } + policy)?;
    let operands = [from.slots, to.slots].concat();
    let detail = from.flags | to.flags << pointer::BITS | rank << RANK_SHIFT;
    let detail = detail | (number as u32) << REDUCTION_SHIFT;
    site.uses_async_proxy();
    site.emit(Encoded { detail, list, ..Encoded::new(run_store, Family::Asynchronous, &operands) })
}

/// The side in global memory: its address with the number of bytes, or a map with coordinates.
fn global_side(
    site: &mut Site<'_, '_, '_>,
    rank: u32,
    index: usize,
    size: usize,
) -> LoadResult<(Pointer, Vec<crate::registers::Slot>)> {
    if rank == 0 {
        let pointer = Pointer::decode(site, index, Space::Global)?;
        return Ok((pointer, vec![site.source(size, Type::U32)?]));
    }
    let Operand::Tensor { base, offset, coordinates } = site.operand(index)? else {
        return Err(site.error("expected a tensor map with coordinates"));
    };
    if coordinates.len() != rank as usize {
        return Err(site.error(format!("{} coordinates in {rank} dimensions", coordinates.len())));
    }
    let pointer = Pointer::decode_base(site, *base, *offset, Space::Generic)?;
    let list = coordinates.iter().map(|c| site.source_of(c, Type::S32));
    Ok((pointer, list.collect::<LoadResult<_>>()?))
}

fn lanes(mask: u32) -> impl Iterator<Item = usize> {
    (0..LANES).filter(move |lane| mask >> lane & 1 == 1)
}

fn broken<T>(lane: usize, address: u64, message: String) -> Checked<T> {
    Err(Box::new(Violation::at(Rule::Asynchronous, lane as u32, address, message)))
}

/// What a lane's copy moves: how many bytes, and where in global memory.
fn place(
    turn: &mut Turn<'_>,
    instruction: &Instruction,
    lane: usize,
    shared: u64,
) -> Checked<(Place, u64)> {
    let rank = (instruction.detail >> RANK_SHIFT & 7) as usize;
    let list = turn.launch.list(instruction.list);
    if rank == 0 {
        let bytes = u64::from(turn.registers.row(list[0]).0[lane]);
        let at = global_addresses(turn, instruction, 1 << lane, GLOBAL, pointer::BITS)?[lane];
        for (number, what) in
            [(bytes, "bytes"), (at, "as the global address"), (shared, "as the shared address")]
        {
            if number % 16 != 0 {
                let message = format!("a bulk copy with {number} {what}: no multiple of 16");
                return broken(lane, at, message);
            }
        }
        return Ok((Place::Row(at), bytes));
    }
    let mut at = [0; MOST_DIMENSIONS];
    for (at, slot) in at.iter_mut().zip(list) {
        *at = turn.registers.row(*slot).0[lane] as i32;
    }
    let address = addresses(turn, instruction, GLOBAL, pointer::BITS)[lane];
    let map = tensor_map(turn, lane, address)?;
    if let Some(message) = tile::refusal(&map, rank) {
        return broken(lane, address, message);
    }
    if !shared.is_multiple_of(128) {
        let message =
            format!("a box of a tensor at 0x{shared:x} of shared memory: no multiple of 128");
        return broken(lane, shared, message);
    }
    let bytes = map.box_bytes();
    Ok((Place::Tile(Box::new(map), at), bytes))
}

/// The map at a generic address.
fn tensor_map(turn: &mut Turn<'_>, lane: usize, address: u64) -> Checked<TensorMap> {
    let mut bytes = [0; BYTES];
    if !address.is_multiple_of(crate::tensor_map::ALIGNMENT) {
        return broken(lane, address, format!("a tensor map at 0x{address:x}: no multiple of 64"));
    }
    match window::split(address) {
        (Space::Parameter, offset) => turn.launch.parameters.copy_out(lane, offset, &mut bytes)?,
        (Space::Global, _) => turn.global_out(lane, address, &mut bytes)?,
        (space, _) => return broken(lane, address, format!("a tensor map in {space:?} memory")),
    }
    TensorMap::decode(&bytes).or_else(|message| broken(lane, address, message))
}

/// Bytes of global memory as a load brings them to `to`; `read` reads a row of them.
fn bring(
    place: &Place,
    to: u64,
    bytes: u64,
    mut read: impl FnMut(u64, &mut [u8]) -> Checked<()>,
) -> Checked<Vec<u8>> {
    match place {
        Place::Row(from) => {
            let mut row = vec![0; bytes as usize];
            read(*from, &mut row)?;
            Ok(row)
        }
        Place::Tile(map, at) => tile::gather(map, at, to, read),
    }
}

fn run_load(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    let to = shared_addresses(turn, instruction, mask, SHARED, 0)?;
    let barriers = shared_addresses(turn, instruction, mask, BARRIER, 2 * pointer::BITS)?;
    check(turn, mask, &barriers, How::default())?;
    for lane in lanes(mask) {
        let (from, bytes) = place(turn, instruction, lane, to[lane])?;
        // Outside shared memory is refused before anything large is made.
        turn.shared_poison(lane, to[lane], bytes)?;
        let values = bring(&from, to[lane], bytes, |at, row| turn.global_out(lane, at, row))?;
        let done = turn.block.order.as_mut().map(|order| order.snapshot(turn.warp, 1 << lane));
        let thread = turn.first_thread() + lane as u32;
        let load = BulkLoad { to: to[lane], bytes: values, from, thread, pc: turn.pc, done };
        let barrier = turn.block.asynchronous.mbarriers.get_mut(&barriers[lane]);
        let Some(barrier) = barrier else { continue };
        barrier.add(Effect::Load(Box::new(load)));
    }
    Ok(Flow::Next)
}

/// The copy may read its source as late as now: nobody may have changed it.
pub fn read_again(turn: &mut Turn<'_>, lane: usize, load: &BulkLoad) -> Checked<()> {
    let block = &mut *turn.block;
    let number = block.linear as u32;
    let now = bring(&load.from, load.to, load.bytes.len() as u64, |at, row| {
        let mut access = Access::new(1 << lane, load.thread & !31, number);
        block.global.copy_out(&mut access, lane, at, row)
    })?;
    if now == load.bytes {
        return Ok(());
    }
    let message = format!(
        "the source of the bulk copy at PTX line {}, {}, was changed before the copy was waited for",
        turn.line(load.pc),
        describe(&load.from)
    );
    broken(lane, load.to, message)
}

fn run_store(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    let from = shared_addresses(turn, instruction, mask, SHARED, 0)?;
    for lane in lanes(mask) {
        let (to, bytes) = place(turn, instruction, lane, from[lane])?;
        if bytes > turn.block.shared.size() {
            return broken(lane, from[lane], format!("{bytes} bytes of shared memory"));
        }
        let mut values = vec![0; bytes as usize];
        turn.shared_async_out(lane, from[lane], &mut values)?;
        let element = match &to {
            Place::Tile(map, _) => Some(map.element),
            Place::Row(_) => None,
        };
        let reduction = reduction_of(instruction, element)
            .or_else(|message| broken(lane, from[lane], message))?;
        let (thread, pc) = (turn.first_thread() + lane as u32, turn.pc);
        let mut store = BulkStore {
            from: from[lane],
            bytes: values,
            to,
            reduction,
            thread,
            pc,
            read: false,
            written: false,
        };
        if turn.launch.options.adversarial.is_none() {
            write(turn.block, turn.launch, &mut store)?;
        }
        turn.block.asynchronous.stores.start(store);
    }
    Ok(Flow::Next)
}

fn reduction_of(
    instruction: &Instruction,
    element: Option<crate::tensor_map::ElementType>,
) -> Result<Option<Reduction>, String> {
    match (instruction.detail >> REDUCTION_SHIFT, element) {
        (0, _) => Ok(None),
        (number, Some(element)) => reduction::on_tensor(number as usize - 1, element).map(Some),
        (number, None) => Ok(reduction::by_number(number as usize - 1)),
    }
}

/// Writes global memory, in the name of the thread that started the store.
fn write(block: &mut Block, launch: &Launch<'_>, store: &mut BulkStore) -> Checked<()> {
    if std::mem::replace(&mut store.written, true) {
        return Ok(());
    }
    let origin = launch.kernel.origins.get(store.pc as usize);
    let lane = store.thread as usize % LANES;
    let mut row = |at: u64, bytes: &[u8]| {
        let mut access = Access {
            line: origin.map_or(0, |origin| origin.line),
            blind: true,
            order: block.order.as_mut(),
            counts: block.profile.memory.get_mut(store.pc as usize),
            ..Access::new(1 << lane, store.thread & !31, block.linear as u32)
        };
        match store.reduction {
            None => block.global.copy_in(&mut access, lane, at, bytes),
            Some(reduction) => reduction.apply(&block.global, &mut access, at, bytes),
        }
    };
    match &store.to {
        Place::Row(at) => row(*at, &store.bytes),
        Place::Tile(map, at) => tile::scatter(map, at, store.from, &store.bytes, row),
    }
}

/// The store has read its shared memory, as late as now: nobody may have changed it.
fn finish_reading(turn: &mut Turn<'_>, store: &mut BulkStore) -> Checked<()> {
    if std::mem::replace(&mut store.read, true) {
        return Ok(());
    }
    let lane = store.thread as usize % LANES;
    let mut now = vec![0; store.bytes.len()];
    let access = Access::new(1 << lane, store.thread & !31, turn.block.linear as u32);
    let read = turn.block.shared.copy_out(&access, lane, store.from, &mut now);
    if read.is_ok() && now == store.bytes {
        return Ok(());
    }
    let message = format!(
        "shared memory from 0x{:x} on was changed while the bulk copy at PTX line {} still read it",
        store.from,
        turn.line(store.pc)
    );
    broken(lane, store.from, message)
}

fn run_commit(turn: &mut Turn<'_>, _: &Instruction, mask: u32) -> Checked<Flow> {
    for lane in lanes(mask) {
        let thread = turn.first_thread() + lane as u32;
        turn.block.asynchronous.stores.commit(thread);
    }
    Ok(Flow::Next)
}

fn run_wait_read(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    let mut stores = std::mem::take(&mut turn.block.asynchronous.stores);
    let mut result = Ok(Flow::Next);
    for lane in lanes(mask) {
        let thread = turn.first_thread() + lane as u32;
        for store in stores.peek(thread, instruction.number as usize) {
            result = result.and_then(|flow| finish_reading(turn, store).map(|()| flow));
        }
    }
    turn.block.asynchronous.stores = stores;
    result
}

fn run_wait(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    for lane in lanes(mask) {
        let thread = turn.first_thread() + lane as u32;
        let due = turn.block.asynchronous.stores.take(thread, instruction.number as usize);
        for mut store in due {
            finish_reading(turn, &mut store)?;
            write(turn.block, turn.launch, &mut store)?;
        }
    }
    Ok(Flow::Next)
}

/// The block has ended: what its stores have yet to write is written.
///
/// # Errors
/// With the number of the instruction and the thread: a store that nobody waited for, which may still read the shared
/// memory of the block, or one that goes wrong.
pub fn finish(block: &mut Block, launch: &Launch<'_>) -> Result<(), (u32, u32, Box<Violation>)> {
    for mut store in block.asynchronous.stores.take_all() {
        let place = (store.pc, store.thread);
        let result = match store.read {
            true => write(block, launch, &mut store),
            false => {
                let message = "the block ends while this copy may still read its shared memory: \
                    cp.async.bulk.wait_group is missing";
                broken(store.thread as usize % LANES, store.from, message.to_owned())
            }
        };
        result.map_err(|violation| (place.0, place.1, violation))?;
    }
    Ok(())
}
