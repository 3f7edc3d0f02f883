//! Instructions that steer the hardware and compute nothing: `setmaxnreg`, `griddepcontrol`.

use super::aligned::whole_warp;
use super::copy_async::constant;
use crate::decode::Encoded;
use crate::decode::Site;
use crate::error::{Checked, LoadResult};
use crate::family::address::nothing;
use crate::program::{Family, Instruction, Run};
use crate::turn::{Flow, Turn};

pub fn decode(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let mut modifiers = site.modifiers();
    let run: Run = if site.opcode() == "griddepcontrol" {
        // Launches run one after the other: there is nothing to wait for and nobody to let go.
        if !modifiers.take("launch_dependents") && !modifiers.take("wait") {
            return Err(site.error("expected .launch_dependents or .wait"));
        }
        site.expect_operands(0)?;
        nothing
    } else {
        if !modifiers.take("inc") && !modifiers.take("dec") {
            return Err(site.error("expected .inc or .dec"));
        }
        let _ = modifiers.take("sync") && modifiers.take("aligned") && modifiers.take("u32");
        site.expect_operands(1)?;
        let count = constant(site, 0)?;
        if count % 8 != 0 || !(24..=256).contains(&count) {
            return Err(site.error(format!("{count} registers; 24 to 256 in steps of 8")));
        }
        run_set
    };
    modifiers.finish()?;
    site.emit(Encoded::new(run, Family::Control, &[]))
}

/// Registers are not rationed here; all lanes still have to come.
fn run_set(turn: &mut Turn<'_>, _: &Instruction, mask: u32) -> Checked<Flow> {
    Ok(whole_warp(turn, mask)?.unwrap_or(Flow::Next))
}
