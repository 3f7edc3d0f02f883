//! Where parameters lie in the memory that a session has for them all.

use crate::graph::{Graph, TensorId};

/// Where each parameter that has a `len` begins, and how many numbers there are in all.
pub(super) fn lay_out(
    graph: &Graph,
    len: impl Fn(TensorId) -> Option<usize>,
) -> (Vec<Option<usize>>, usize) {
    const ALIGNMENT: usize = 64;
    let mut at = vec![None; graph.tensors().count()];
    let mut end = 0;
    for (id, _) in graph.parameters() {
        if let Some(len) = len(id) {
            at[id.index()] = Some(end);
            end += len.next_multiple_of(ALIGNMENT);
        }
    }
    (at, end)
}
