//! Launches of an attention, for the operations that are one: the counterpart of
//! `kernels/common/attention_kernels.cuh`, whose tiles the numbers here describe.

use super::arguments::{Arguments, Layout, Pointer};
use super::device::Device;
use super::kernels::Kernel;
use super::precision::Precision;
use crate::error::{Error, Result};
use crate::write::Write;

const THREADS: u32 = 128;
/// Queries and keys of a tile, and columns of the result that a block makes at a time.
const QUERIES: usize = 64;
const KEYS: usize = 32;
const COLUMNS: usize = 64;
/// Heads of at most so many columns have kernels of their own in bf16, with larger tiles.
const NARROW: usize = 64;
const NARROW_QUERIES: usize = 128;
const NARROW_KEYS: usize = 64;
/// Bytes of a tile's line.
const LINE: usize = 128;
/// Tiles of queries that a block may add up for heads of one line, and parts that one block adds up.
const MOST_TILES: usize = 8;
const FEW_PARTS: usize = 16;

/// Kernels of an operation for one precision.
pub struct Kernels {
    pub forward: Kernel,
    pub queries: Kernel,
    pub keys: Kernel,
    pub few_keys: Kernel,
}

/// Kernels for narrow heads in bf16.
pub struct NarrowKernels {
    pub forward: Kernel,
    pub queries: Kernel,
    pub keys: Kernel,
}

/// All kernels of an operation.
pub struct Table {
    pub f32: Kernels,
    pub bf16: Kernels,
    pub narrow: NarrowKernels,
}

/// Extents of an attention, and what `q . k` is multiplied by.
#[derive(Clone, Copy, Debug)]
pub struct Extents {
    pub batch: usize,
    pub heads: usize,
    pub head_dim: usize,
    pub queries: usize,
    pub keys: usize,
    pub scale: f64,
}

/// What both directions read. Rows of `q` are `q_row` numbers long, those of `k` and `v` `key_row`.
#[derive(Clone, Copy, Debug)]
pub struct Inputs {
    pub q: Pointer,
    pub k: Pointer,
    pub v: Pointer,
    /// Null if there is none.
    pub mask: Pointer,
    pub q_row: usize,
    pub key_row: usize,
}

/// What the backward pass reads besides, and its scratch memory.
#[derive(Clone, Copy, Debug)]
pub struct Saved {
    pub dout: Pointer,
    pub lse: Pointer,
    pub workspace: Pointer,
    pub tickets: Pointer,
    /// Of them.
    pub ticket_count: usize,
}

/// Gradients that are wanted, in rows as long as those of the inputs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gradients {
    pub q: Option<(Pointer, Write)>,
    pub k: Option<(Pointer, Write)>,
    pub v: Option<(Pointer, Write)>,
}

/// An attention on a device.
pub struct Attention<'a> {
    /// Of the operation, for messages.
    pub name: &'static str,
    pub device: &'a Device,
    pub precision: Precision,
    pub table: &'a Table,
    pub extents: Extents,
    pub inputs: Inputs,
}

impl Extents {
    /// Images and heads.
    fn groups(&self) -> usize {
        self.batch * self.heads
    }

    fn lines(&self, precision: Precision) -> usize {
        (self.head_dim * precision.bytes()).div_ceil(LINE)
    }

    /// Tiles of queries in a part, and parts whose sums over queries are made apart: from the shapes
    /// alone, so that the order of every sum is the same on every device.
    fn parts(&self, precision: Precision) -> (usize, usize) {
        let tiles = self.queries.div_ceil(QUERIES);
        match self.lines(precision) {
            1 => {
                let of_part = tiles.div_ceil(tiles.div_ceil(MOST_TILES));
                (of_part, tiles.div_ceil(of_part))
            }
            _ => (1, tiles),
        }
    }

    /// Bytes of scratch memory for the backward pass: the parts' sums, or a number for each query.
    pub fn backward_workspace(&self, precision: Precision) -> usize {
        let numbers = if self.keys > KEYS {
            self.groups() * self.queries
        } else {
            match self.parts(precision).1 {
                1 => 0,
                parts => {
                    let line = LINE / precision.bytes();
                    self.groups() * parts * self.lines(precision) * 2 * self.keys * line
                }
            }
        };
        numbers * size_of::<f32>()
    }
}

/// Tickets of one sum of `parts` parts: one for each block that adds some of them up.
fn tickets(mut parts: usize) -> usize {
    let mut count = 0;
    while parts > 1 {
        parts = parts.div_ceil(FEW_PARTS);
        count += parts;
    }
    count
}

fn values(gradient: Option<(Pointer, Write)>) -> Pointer {
    gradient.map_or(Pointer::NULL, |(values, _)| values)
}

fn adds(gradient: Option<(Pointer, Write)>) -> usize {
    usize::from(gradient.is_some_and(|(_, write)| write.adds()))
}

impl Attention<'_> {
    /// `lse` is null if no backward pass will follow.
    ///
    /// # Errors
    /// The launch failed, or no device has a grid for so many heads.
    pub fn forward(&self, out: Pointer, lse: Pointer) -> Result<()> {
        let &Extents { queries, head_dim, keys, .. } = &self.extents;
        let arguments = self.arguments().pointer(out).pointer(lse);
        if self.is_narrow() {
            let layout = self.layout(queries.div_ceil(NARROW_QUERIES), 1, 0);
            return self.device.launch(self.table.narrow.forward, layout, &arguments);
        }
        let groups = if keys > KEYS { head_dim.div_ceil(COLUMNS) } else { 1 };
        let layout = self.layout(queries.div_ceil(QUERIES), groups, 0);
        self.device.launch(self.kernels().forward, layout, &arguments)
    }

    /// One launch for few keys, else one for the queries and one for keys and values.
    ///
    /// # Errors
    /// A launch failed, or there are too many heads and parts of them for the tickets or a grid.
    pub fn backward(&self, saved: &Saved, to: &Gradients) -> Result<()> {
        if to.q.is_none() && to.k.is_none() && to.v.is_none() {
            return Ok(());
        }
        let arguments = self.arguments().pointer(saved.dout).pointer(saved.lse);
        if self.extents.keys <= KEYS {
            return self.backward_few_keys(arguments, saved, to);
        }
        self.backward_queries(arguments.clone().pointer(saved.workspace), to)?;
        if to.k.is_none() && to.v.is_none() {
            return Ok(());
        }
        self.backward_keys(arguments.pointer(saved.workspace), to)
    }

    fn backward_few_keys(&self, arguments: Arguments, saved: &Saved, to: &Gradients) -> Result<()> {
        let Extents { heads, batch, .. } = self.extents;
        let (tiles, parts) = self.extents.parts(self.precision);
        let tickets = tickets(parts);
        if heads * batch * self.extents.lines(self.precision) * tickets > saved.ticket_count {
            return Err(Error::usage(format!(
                "{}: the gradients of {heads} heads of {batch} images in {parts} parts need more than {} tickets; \
                 take smaller batches",
                self.name, saved.ticket_count
            )));
        }
        let arguments = arguments
            .pointer(saved.workspace)
            .pointer(saved.tickets)
            .count(tickets)
            .count(tiles)
            .pointer(values(to.q))
            .pointer(values(to.k))
            .pointer(values(to.v))
            .count(adds(to.q))
            .count(adds(to.k))
            .count(adds(to.v));
        let layout = self.layout(parts, 1, 72 << 10);
        self.device.launch(self.kernels().few_keys, layout, &arguments)
    }

    /// The queries' gradient, and the sums that [`Self::backward_keys`] reads.
    fn backward_queries(&self, arguments: Arguments, to: &Gradients) -> Result<()> {
        let Extents { queries, head_dim, .. } = self.extents;
        let arguments = arguments.pointer(values(to.q)).count(adds(to.q));
        if self.is_narrow() {
            let layout = self.layout(queries.div_ceil(NARROW_QUERIES), 1, 0);
            return self.device.launch(self.table.narrow.queries, layout, &arguments);
        }
        let shared = match self.precision {
            Precision::F32 => 64 << 10,
            Precision::Bf16 => 60 << 10,
        };
        let layout = self.layout(queries.div_ceil(QUERIES), head_dim.div_ceil(COLUMNS), shared);
        self.device.launch(self.kernels().queries, layout, &arguments)
    }

    fn backward_keys(&self, arguments: Arguments, to: &Gradients) -> Result<()> {
        let Extents { keys, head_dim, .. } = self.extents;
        let arguments = arguments
            .pointer(values(to.k))
            .pointer(values(to.v))
            .count(adds(to.k))
            .count(adds(to.v));
        if self.is_narrow() {
            let layout = self.layout(keys.div_ceil(NARROW_KEYS), 1, 0);
            return self.device.launch(self.table.narrow.keys, layout, &arguments);
        }
        let shared = match self.precision {
            Precision::F32 => 96 << 10,
            Precision::Bf16 => 72 << 10,
        };
        let layout = self.layout(keys.div_ceil(KEYS), head_dim.div_ceil(COLUMNS), shared);
        self.device.launch(self.kernels().keys, layout, &arguments)
    }

    fn kernels(&self) -> &Kernels {
        match self.precision {
            Precision::F32 => &self.table.f32,
            Precision::Bf16 => &self.table.bf16,
        }
    }

    fn is_narrow(&self) -> bool {
        let Extents { head_dim, keys, .. } = self.extents;
        self.precision == Precision::Bf16 && head_dim <= NARROW && keys > KEYS
    }

    fn layout(&self, tiles: usize, columns: usize, shared: u32) -> Layout {
        let grid = [tiles, self.extents.groups(), columns].map(|n| n as u32);
        Layout { grid, block: [THREADS, 1, 1], shared }
    }

    /// What all kernels begin with.
    fn arguments(&self) -> Arguments {
        let &Inputs { q, k, v, mask, q_row, key_row } = &self.inputs;
        let &Extents { queries, keys, heads, head_dim, scale, .. } = &self.extents;
        Arguments::new()
            .pointer(q)
            .pointer(k)
            .pointer(v)
            .pointer(mask)
            .count(q_row)
            .count(key_row)
            .count(queries)
            .count(keys)
            .count(heads)
            .count(head_dim)
            .float(scale as f32)
    }
}
