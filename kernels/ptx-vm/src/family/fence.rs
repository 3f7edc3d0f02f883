//! Fences between accesses of a thread: `fence membar`.

use super::address::take_scope;
use crate::decode::{Encoded, Site};
use crate::error::{Checked, LoadResult};
use crate::memory::{Scope, fence};
use crate::program::{Family, Instruction};
use crate::turn::{Flow, Turn};

pub fn decode(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    site.expect_operands(0)?;
    let mut modifiers = site.modifiers();
    while modifiers
        .take_one(|m| ["sc", "acq_rel", "acquire", "release", "gl"].contains(&m).then_some(()))
        .is_some()
    {}
    let scope = take_scope(&mut modifiers);
    modifiers.finish()?;
    let detail = u32::from(scope == Scope::Block);
    site.emit(Encoded { detail, ..Encoded::new(run_fence, Family::Barrier, &[]) })
}

fn run_fence(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    let scope = if instruction.detail == 1 { Scope::Block } else { Scope::Device };
    fence();
    if let Some(order) = &mut turn.block.order {
        order.fence(turn.warp, mask, scope);
    }
    Ok(Flow::Next)
}
