//! Index: scaled dot-product attention over heads that lie side by side in rows.
//!
//! First every head's keys and values are packed, then tiles of queries are done one by one.
//! Scores of one tile and head stay in the cache: forward keeps only `lse`, the logarithm of each
//! row's sum of exponentials, and backward recomputes the probabilities from it.

mod backward;
mod forward;
mod heads;

pub use backward::{Saved, backward, backward_workspace};
pub use forward::{forward, forward_workspace};
pub use heads::{Columns, ColumnsMut, Sizes};
