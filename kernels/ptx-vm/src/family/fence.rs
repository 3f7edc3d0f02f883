//! Fences between accesses of a thread: `fence membar`.

use super::address::{nothing, take_scope};
use crate::decode::{Encoded, Modifiers, Site};
use crate::error::{Checked, LoadResult};
use crate::memory::{Scope, fence};
use crate::program::{Family, Instruction, Run};
use crate::turn::{Flow, Turn};

pub fn decode(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let mut modifiers = site.modifiers();
    if modifiers.take("proxy") {
        return proxy(site, modifiers);
    }
    site.expect_operands(0)?;
    // Orders the initialisation of mbarriers before copies of other blocks of the cluster: a fence of the cluster.
    modifiers.take("mbarrier_init");
    while modifiers
        .take_one(|m| ["sc", "acq_rel", "acquire", "release", "gl"].contains(&m).then_some(()))
        .is_some()
    {}
    let scope = take_scope(&mut modifiers);
    modifiers.finish()?;
    let detail = u32::from(scope == Scope::Block);
    site.emit(Encoded { detail, ..Encoded::new(run_fence, Family::Barrier, &[]) })
}

/// `fence.proxy.async`, with a space or for both; `.alias` and `.tensormap`, which are nothing here: memory has one
/// address, and maps are read when they are used.
fn proxy(site: &mut Site<'_, '_, '_>, mut modifiers: Modifiers<'_>) -> LoadResult<()> {
    if modifiers.take("async") {
        let space = modifiers.take_one(|m| {
            ["global", "shared::cta", "shared::cluster"].contains(&m).then_some(m == "global")
        });
        modifiers.finish()?;
        site.expect_operands(0)?;
        let run: Run = if space == Some(true) { nothing } else { run_proxy };
        return site.emit(Encoded::new(run, Family::Barrier, &[]));
    }
    let named = modifiers.take("alias");
    if !named && !modifiers.take("tensormap::generic") {
        return Err(site.error("expected fence.proxy.async, .alias or .tensormap::generic"));
    }
    modifiers.take_one(|m| ["acquire", "release"].contains(&m).then_some(()));
    take_scope(&mut modifiers);
    modifiers.finish()?;
    site.emit(Encoded::new(nothing, Family::Barrier, &[]))
}

fn run_proxy(turn: &mut Turn<'_>, _: &Instruction, _: u32) -> Checked<Flow> {
    turn.block.shared.fence_proxies();
    Ok(Flow::Next)
}

fn run_fence(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    let scope = if instruction.detail == 1 { Scope::Block } else { Scope::Device };
    fence();
    if let Some(order) = &mut turn.block.order {
        order.fence(turn.warp, mask, scope);
    }
    Ok(Flow::Next)
}
