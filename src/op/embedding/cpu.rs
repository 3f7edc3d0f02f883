//! Embedding on the CPU. Backward goes over the tables, not over the tokens: each row of a table
//! belongs to one thread, which adds up its tokens in their order.

use super::Embedding;
use crate::cpu::rows::{self, Parts};
use crate::cpu::sum::column_sums;
use crate::op::contract::{Backward, Forward, Gradient, OnCpu};
use crate::scalar::Scalar;
use crate::write::Write;

impl<S: Scalar> OnCpu<S> for Embedding {
    fn forward(&self, pass: Forward<'_, S>) {
        let shape = pass.inputs.shape(1);
        let (vocabulary, channels) = (shape.rows(), shape.channels());
        let words = pass.inputs.shape(0).channels();
        let tokens = pass.inputs.indices(0);
        let token_type = &pass.inputs.real(3)[..channels];
        let (word, position) = (pass.inputs.real(1), pass.inputs.real(2));
        rows::for_rows(
            pass.out,
            channels,
            #[inline(always)]
            |row, out| {
                let id = tokens[row];
                assert!(
                    usize::try_from(id).is_ok_and(|id| id < vocabulary),
                    "token id {id} (number {row} of the batch) is not below {vocabulary}, the rows of \
                 the word table: ids have to be checked where they are read"
                );
                let word = &word[id as usize * channels..][..channels];
                let position = &position[row % words * channels..][..channels];
                let sums = word.iter().zip(position).zip(token_type);
                Write::Set.put_all(out, sums.map(|((&w, &p), &t)| w + p + t));
            },
        );
    }

    fn backward(&self, mut pass: Backward<'_, S>) {
        let channels = pass.inputs.shape(1).channels();
        let words = pass.inputs.shape(0).channels();
        let (tokens, dout) = (pass.inputs.indices(0), pass.dout);
        // forward: out[b, l] = word[tokens[b, l]] + ..
        if let Some(dword) = pass.gradient(1) {
            sum_rows(dword, channels, dout, |row| tokens[row] as usize);
        }
        // forward: out[b, l] = .. + position[l] + ..
        if let Some(dposition) = pass.gradient(2) {
            sum_rows(dposition, channels, dout, |row| row % words);
        }
        // forward: out[b, l] = .. + token_type[0]
        if let Some(dtype) = pass.gradient(3) {
            let (first, others) = dtype.values.split_at_mut(channels);
            column_sums(
                first,
                dtype.write,
                tokens.len(),
                pass.workspace,
                #[inline(always)]
                |row, sums| {
                    for (sum, &d) in sums.iter_mut().zip(&dout[row * channels..]) {
                        *sum += d;
                    }
                },
            );
            dtype.write.begin(others);
        }
    }
}

/// Adds every row of `dout` to the row `target(row)` of a table's gradient.
fn sum_rows<S: Scalar>(
    table: Gradient<'_, S>,
    channels: usize,
    dout: &[S],
    target: impl Fn(usize) -> usize + Sync,
) {
    let table_rows = table.values.len() / channels.max(1);
    let values = Parts::new(table.values);
    rows::for_chunks(
        table_rows,
        rows::chunk_rows(channels),
        #[inline(always)]
        |range| {
            // SAFETY: chunks do not overlap.
            let values = unsafe { values.part(range.start * channels..range.end * channels) };
            table.write.begin(values);
            for (row, dout) in dout.chunks_exact(channels).enumerate() {
                let target = target(row);
                if range.contains(&target) {
                    let values = values[(target - range.start) * channels..].iter_mut();
                    for (value, &d) in values.zip(dout) {
                        *value += d;
                    }
                }
            }
        },
    );
}
