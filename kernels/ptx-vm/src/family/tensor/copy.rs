//! `cp`: which of the asynchronous copies it is.

use super::copy_async;
use crate::decode::Site;
use crate::error::LoadResult;

pub fn decode(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let mut modifiers = site.modifiers();
    if !modifiers.take("async") {
        return Err(site.error("only asynchronous copies are known: cp.async"));
    }
    copy_async::decode(site, modifiers)
}
