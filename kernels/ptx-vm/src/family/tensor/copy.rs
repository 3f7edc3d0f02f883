//! `cp`: which of the asynchronous copies it is.

use super::{bulk, copy_async, mbarrier};
use crate::decode::Site;
use crate::error::LoadResult;

pub fn decode(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let mut modifiers = site.modifiers();
    let reduce = modifiers.take("reduce");
    if !modifiers.take("async") {
        return Err(site.error("only asynchronous copies are known: cp.async"));
    }
    match (reduce, modifiers.rest().first().copied()) {
        (_, Some("bulk")) => {
            modifiers.take("bulk");
            bulk::decode(site, modifiers, reduce)
        }
        (false, Some("mbarrier")) => {
            modifiers.take("mbarrier");
            mbarrier::arrive_after_copies(site, modifiers)
        }
        (false, _) => copy_async::decode(site, modifiers),
        (true, _) => Err(site.error("expected cp.reduce.async.bulk")),
    }
}
