//! From text to [`Module`]: one pass over the tokens, names resolved on the way.
//!
//! Beyond the grammar of the PTX manual it refuses what the machine has no use for (vector variables, indirect
//! calls, textures, aliases) in so many words. Time and memory grow with the length of the text, whatever it says.

mod block;
mod body;
mod constant;
mod function;
mod initial;
mod labels;
mod module;
mod operand;
mod scopes;
mod special;
mod tokens;
mod unit;
mod variable;

use crate::error::LoadResult;
use crate::syntax::Module;

/// Parses a PTX text. An error quotes the line it complains about.
///
/// `.address_size` may be missing: 64 is then taken, as ptxas does.
pub fn parse(text: &str) -> LoadResult<Module<'_>> {
    module::parse(text).map_err(|error| error.quoting(text))
}
