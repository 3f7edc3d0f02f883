//! BERT's embedding: `out[b, l] = word[tokens[b, l]] + position[l] + token_type[0]`.
//!
//! `tokens [B, L]` (indices), `word [V, C]`, `position [P, C]` with `P >= L`, `token_type [T, C]`,
//! `out [B, L, C]`. Token ids are below `V`: whoever writes them sees to it.
//!
//! Backward: `dword[v] = sum of dout[b, l] where tokens[b, l] = v`,
//! `dposition[l] = sum over b of dout[b, l]`, `dtoken_type[0] = sum over b and l of dout[b, l]`, 0
//! for all other rows. The tokens are read.

mod cpu;
mod cuda;

use super::contract::{Kind, Operation, Signature, TensorType, mismatch};
use crate::cpu::sum::column_sums_workspace;
use crate::error::Result;

/// Inputs: `tokens`, `word`, `position`, `token_type`.
#[derive(Clone, Debug)]
pub struct Embedding {}

impl Operation for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn signature(&self, inputs: &[&TensorType]) -> Result<Signature> {
        let needed = "index tokens [B, L], word [V, C], position [P, C] with P >= L and \
                      token_type [T, C] with T >= 1";
        let wrong = || Err(mismatch(self.name(), needed, inputs));
        let [tokens, tables @ ..] = inputs else { return wrong() };
        let &[batch, words] = tokens.shape.extents() else { return wrong() };
        let [word, position, token_type] = tables else { return wrong() };
        let channels = word.shape.channels();
        let table = |t: &&TensorType, rows: usize| {
            let fits = matches!(*t.shape.extents(), [r, c] if r >= rows && c == channels);
            fits && t.kind == Kind::Activation
        };
        let tables_fit = table(word, 1) && table(position, words) && table(token_type, 1);
        if tokens.kind != Kind::Index || !tables_fit {
            return wrong();
        }
        Ok(Signature {
            out: TensorType::activation([batch, words, channels]),
            kept: Vec::new(),
            reads_inputs: vec![true, false, false, false],
            reads_out: false,
            differentiable: vec![false, true, true, true],
            forward_workspace: 0,
            backward_workspace: column_sums_workspace(batch * words, channels),
        })
    }
}
