//! Sizes of a window attention and the tasks it is done in: chunks of equal rectangles of a head.

use arrayvec::ArrayVec;

use super::WindowAttention;
use super::regions::{MAX_RUNS, Run, runs};
use crate::cpu::tile::LANES;
use crate::shape::Shape;

/// Rectangles of a task: they share the table's values spread over all their pairs.
const CHUNK: usize = 8;

/// Sizes of a window attention, with its rectangles.
#[derive(Clone, Debug)]
pub struct Problem {
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    pub heads: usize,
    pub head_dim: usize,
    pub window: usize,
    rows: ArrayVec<Run, MAX_RUNS>,
    cols: ArrayVec<Run, MAX_RUNS>,
}

/// Equal rectangles of one head, to be done by one thread.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    pub head: usize,
    rows: Run,
    cols: Run,
    first: usize,
    count: usize,
}

/// A rectangle's first position on the map.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub image: usize,
    pub row: usize,
    pub col: usize,
}

impl Problem {
    /// Nothing if `qkv` has another rank, is empty, or cannot be divided among the heads.
    pub fn new(op: &WindowAttention, qkv: &Shape) -> Option<Self> {
        let &[batch, height, width, columns] = qkv.extents() else { return None };
        let fits = !qkv.is_empty() && op.heads > 0 && columns.is_multiple_of(3 * op.heads);
        fits.then(|| Self {
            batch,
            height,
            width,
            heads: op.heads,
            head_dim: columns / 3 / op.heads,
            window: op.window,
            rows: runs(height, op.window, op.shift),
            cols: runs(width, op.window, op.shift),
        })
    }

    pub fn channels(&self) -> usize {
        self.heads * self.head_dim
    }

    /// The pieces of the map's rows.
    pub fn rows(&self) -> &[Run] {
        &self.rows
    }

    /// And of its columns.
    pub fn cols(&self) -> &[Run] {
        &self.cols
    }

    /// Rows of the table.
    pub fn displacements(&self) -> usize {
        (2 * self.window - 1) * (2 * self.window - 1)
    }

    /// Channels of a head, filled up to whole vectors.
    pub fn head_lanes(&self) -> usize {
        self.head_dim.next_multiple_of(LANES)
    }

    /// Elements of what a task adds to the table's and the bias's gradient.
    pub fn partial_len(&self) -> usize {
        self.displacements() + 2 * self.head_lanes()
    }

    /// Chunks of each kind of rectangle, kinds in the order of [`Problem::task`].
    fn kinds(&self) -> impl Iterator<Item = (Run, Run, usize)> + '_ {
        let kinds = self.rows.iter().flat_map(|&r| self.cols.iter().map(move |&c| (r, c)));
        kinds.map(|(r, c)| (r, c, (self.batch * r.count * c.count).div_ceil(CHUNK)))
    }

    /// Tasks of one head.
    fn tasks_of_head(&self) -> usize {
        self.kinds().map(|(_, _, chunks)| chunks).sum()
    }

    pub fn task_count(&self) -> usize {
        self.heads * self.tasks_of_head()
    }

    /// The numbers of a head's tasks.
    pub fn tasks_of(&self, head: usize) -> impl Iterator<Item = usize> + '_ {
        (0..self.tasks_of_head()).map(move |i| i * self.heads + head)
    }

    /// Task `number`: heads vary fastest, so that equal tasks stand together.
    pub fn task(&self, number: usize) -> Task {
        let (mut chunk, head) = (number / self.heads, number % self.heads);
        for (rows, cols, chunks) in self.kinds() {
            if chunk < chunks {
                let (first, all) = (chunk * CHUNK, self.batch * rows.count * cols.count);
                return Task { head, rows, cols, first, count: CHUNK.min(all - first) };
            }
            chunk -= chunks;
        }
        unreachable!("task {number} of {}", self.task_count());
    }
}

impl Task {
    /// Rows and columns of the map in each rectangle.
    pub fn real(&self) -> (usize, usize) {
        (self.rows.real, self.cols.real)
    }

    /// Rows and columns of each rectangle with its padding.
    pub fn extents(&self) -> (usize, usize) {
        (self.rows.len, self.cols.len)
    }

    pub fn queries(&self) -> usize {
        self.rows.real * self.cols.real
    }

    pub fn keys(&self) -> usize {
        self.rows.len * self.cols.len
    }

    /// Keys filled up to whole vectors.
    pub fn key_lanes(&self) -> usize {
        self.keys().next_multiple_of(LANES)
    }

    /// Where the rectangles begin.
    pub fn places(self, window: usize) -> impl Iterator<Item = Place> {
        let Self { rows, cols, .. } = self;
        (self.first..self.first + self.count).map(move |i| Place {
            image: i / (rows.count * cols.count),
            row: rows.start + i / cols.count % rows.count * window,
            col: cols.start + i % cols.count * window,
        })
    }
}
