//! The backward pass of a layer norm, for every operation that has one in it: the counterpart of
//! `kernels/layer_norm.cu` and `kernels/common/parts.cuh`, whose chunks and groups the numbers here are.

use super::arguments::{Arguments, Layout, Pointer};
use super::device::Device;
use super::kernels::Kernel;
use super::precision::Precision;
use crate::error::Result;
use crate::write::Write;

const THREADS: u32 = 256;
/// Rows of a chunk, unless there would be more chunks than multiprocessors: a chunk's sums cost as many bytes as
/// two or three rows.
const CHUNK: usize = 32;
const MOST_CHUNKS: usize = 132;
/// Chunks whose sums one block adds up.
const GROUP: usize = 12;

/// What the backward pass of `out = (inp - mean) rstd weight + bias` over `rows` of `channels` reads and writes.
/// `dout`, `inp` and `dinp` are in the session's precision, all else is f32.
#[derive(Clone, Copy, Debug)]
pub struct Backward {
    pub precision: Precision,
    pub rows: usize,
    pub channels: usize,
    pub dout: Pointer,
    pub inp: Pointer,
    pub weight: Pointer,
    /// A number for each row.
    pub mean: Pointer,
    pub rstd: Pointer,
    pub dinp: Option<(Pointer, Write)>,
    pub dweight: Option<(Pointer, Write)>,
    pub dbias: Option<(Pointer, Write)>,
    /// [`backward_workspace`] bytes, aligned to 16.
    pub workspace: Pointer,
    /// [`TICKETS`] counters, zero before and after.
    pub tickets: Pointer,
}

/// Counters that [`queue_backward`] needs.
pub const TICKETS: usize = MOST_CHUNKS.div_ceil(GROUP) + 1;

/// Chunks of rows that are summed apart, none of them empty: from the shapes alone, so that the order of every sum
/// is the same on every device.
fn chunks(rows: usize) -> usize {
    let most = rows.div_ceil(CHUNK).clamp(1, MOST_CHUNKS);
    rows.div_ceil(rows.div_ceil(most))
}

/// Bytes of scratch memory: the sums of chunks and of groups of them, for weight and bias.
pub fn backward_workspace(rows: usize, channels: usize) -> usize {
    let parts = match chunks(rows) {
        1 => 0,
        chunks => chunks + chunks.div_ceil(GROUP),
    };
    parts * 2 * channels.next_multiple_of(4) * size_of::<f32>()
}

/// Queues what writes all gradients that are wanted, as one launch.
///
/// # Errors
/// The launch failed.
pub fn queue_backward(device: &Device, pass: &Backward) -> Result<()> {
    let gradients = [pass.dinp, pass.dweight, pass.dbias];
    if gradients.iter().all(Option::is_none) {
        return Ok(());
    }
    let kernel = match pass.precision {
        Precision::F32 => Kernel::LayerNormBackwardF32,
        Precision::Bf16 => Kernel::LayerNormBackwardBf16,
    };
    let read = [pass.dout, pass.inp, pass.weight, pass.mean, pass.rstd];
    let written = gradients.map(|d| d.map_or(Pointer::NULL, |(values, _)| values));
    let adds = gradients.map(|d| usize::from(d.is_some_and(|(_, write)| write.adds())));
    let pointers = read.into_iter().chain(written).chain([pass.workspace, pass.tickets]);
    let counts = [pass.rows, pass.channels].into_iter().chain(adds);
    let arguments =
        counts.fold(pointers.fold(Arguments::new(), Arguments::pointer), Arguments::count);
    device.launch(kernel, Layout::row(chunks(pass.rows), THREADS), &arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_have_rows() {
        for rows in (1..2000).chain([14_400, 921_600]) {
            let chunks = chunks(rows);
            let of_chunk = rows.div_ceil(chunks);
            assert!((1..=MOST_CHUNKS).contains(&chunks), "{chunks} chunks of {rows} rows");
            assert!(
                (chunks - 1) * of_chunk < rows,
                "{chunks} chunks of {rows} rows: the last is empty"
            );
        }
    }
}
