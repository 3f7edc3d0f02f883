//! How a product is cut for threads.

use std::ops::Range;

use super::left::ROWS;
use super::panels::WIDTH;

/// Panels of the right operand that a task has at most: in blocks of the longest depth they fill
/// half of a second-level cache.
pub(super) const MAX_COLS: usize = 8;
/// Rows that a task has at least, in panels: fewer would not pay for reading the right operand.
const MIN_ROWS: usize = 16;
/// Products with fewer multiplications than this are one task.
const PARALLEL_FROM: usize = 1 << 18;
/// Tasks for each thread, so that one that is held up leaves work to others.
const TASKS: usize = 2;

/// Tasks are rectangles of the result, measured in panels. No sum depends on where they are cut, so
/// they may depend on how many threads there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    rows: usize,
    cols: usize,
    task_rows: usize,
    task_cols: usize,
}

impl Grid {
    /// For a `rows x inner` matrix times an `inner x cols` one. If the latter is packed, rows are
    /// cut first; else columns, as every task packs its own.
    pub fn new(rows: usize, cols: usize, inner: usize, packed: bool) -> Self {
        let threads = rayon::current_num_threads();
        let parallel = threads > 1 && rows * cols * inner >= PARALLEL_FROM;
        let tasks = if parallel { TASKS * threads } else { 1 };
        let (rows, cols) = (rows.div_ceil(ROWS), cols.div_ceil(WIDTH));
        let by_cols = if packed { 1 } else { tasks.min(cols.div_ceil(MAX_COLS / 2)) };
        let by_cols = by_cols.max(cols.div_ceil(MAX_COLS)).max(1);
        let task_rows = rows.div_ceil(tasks.div_ceil(by_cols)).max(MIN_ROWS.min(rows)).max(1);
        let by_cols = by_cols.max(tasks.div_ceil(rows.div_ceil(task_rows).max(1)));
        Self { rows, cols, task_rows, task_cols: cols.div_ceil(by_cols).max(1) }
    }

    pub fn tasks(&self) -> usize {
        self.rows.div_ceil(self.task_rows) * self.cols.div_ceil(self.task_cols)
    }

    /// The rows and columns of a task, in panels; tasks with the same columns stand together.
    pub fn task(&self, number: usize) -> [Range<usize>; 2] {
        let by_rows = self.rows.div_ceil(self.task_rows);
        let (row, col) = (number % by_rows * self.task_rows, number / by_rows * self.task_cols);
        let row_end = (row + self.task_rows).min(self.rows);
        [row..row_end, col..(col + self.task_cols).min(self.cols)]
    }
}
