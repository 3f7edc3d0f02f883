//! Window attention on a device: one kernel a direction. Blocks share the rectangles of a head; the first ones turn
//! the table, so that each finds its head's numbers together. Backward, the last one of a head adds up what each has
//! summed of the gradients of table and padding.
//!
//! The `lse` that a device keeps is a power of two.

use arrayvec::ArrayVec;

use super::WindowAttention;
use super::problem::Problem;
use super::regions::Run;
use crate::cuda::arguments::{Arguments, Layout, Pointer};
use crate::cuda::kernels::Kernel;
use crate::cuda::precision::Precision;
use crate::error::{Error, Result};
use crate::op::contract::{MAX_INPUTS, TensorType};
use crate::op::device::{CudaBackward, CudaForward, CudaGradient, OnCuda, TICKETS, Workspace};

/// The widest heads there are kernels for.
const WIDEST: usize = 64;
/// Most tiles of 16 positions that a rectangle may have: a block's warps hold them in registers.
const MOST_TILES: usize = 10;
/// Blocks that are enough for a device: more of them would read the table, and write partial sums, more often.
const ENOUGH_BLOCKS: usize = 256;
/// Blocks move at most one byte of the table and of partial sums for so many bytes of the map.
const SHARE_OF_MAP: usize = 8;
/// Numbers of a sector of memory: heads whose tables are turned together, and what rows are rounded to.
const SECTOR: usize = 8;
/// Counters of the turned table, and flags of its pieces for every sector of heads, in
/// `kernels/window_attention/table.cuh`.
const TABLE_COUNTERS: usize = 8;
const PIECES: usize = 8;
/// Numbers between the planes of biases, so that each begins in the bank that it has to.
const SKIPPED_BANKS: usize = 48;
/// Bytes of shared memory that a block of backward's kernel takes at most if groups of queries can be made that
/// small: two of them share a multiprocessor of compute capability 8.0.
const PREFERRED: usize = 82_432;

/// How the kernels divide the work: from the shapes alone, so that the order of every sum is the same on every
/// device.
struct Division {
    problem: Problem,
    precision: Precision,
    /// Rectangles of a head.
    rectangles: usize,
    /// Tiles of 16 positions in the largest rectangle, of which padding is one.
    tiles: usize,
}

/// Memory is taken in pieces of 16 bytes, as in `kernels/window_attention/rows.cuh`.
fn pieces(sizes: &[usize]) -> usize {
    sizes.iter().map(|bytes| bytes.next_multiple_of(16)).sum()
}

impl Division {
    fn of(op: &WindowAttention, qkv: &TensorType, precision: Precision) -> Result<Self> {
        let refused = |what: String| Err(Error::usage(format!("window_attention: {what}")));
        let Some(problem) = Problem::new(op, &qkv.shape) else {
            return refused("sizes that its signature refuses".to_owned());
        };
        let keys = |(rows, cols): (&Run, &Run)| {
            let real = rows.real * cols.real;
            real + usize::from(real < rows.len * cols.len)
        };
        let pairs =
            || problem.rows().iter().flat_map(|r| problem.cols().iter().map(move |c| (r, c)));
        let count: usize = pairs().map(|(r, c)| r.count * c.count).sum();
        let tiles = pairs().map(keys).max().unwrap_or(0).div_ceil(16);
        let (rectangles, head_dim, heads) =
            (problem.batch * count, problem.head_dim, problem.heads);
        // A ticket for each head and each sector of heads.
        let most_heads = (TICKETS - TABLE_COUNTERS) / (PIECES + SECTOR + 1) * SECTOR;
        if head_dim > WIDEST || tiles > MOST_TILES || heads > most_heads {
            let found = format!("{heads} heads {head_dim} wide, windows of {}", op.window);
            return refused(format!(
                "{found}; on a device at most {most_heads} heads, {WIDEST} wide, {} positions a window",
                MOST_TILES * 16
            ));
        }
        Ok(Self { problem, precision, rectangles, tiles })
    }

    /// The width of heads that the kernel is made for.
    fn width(&self) -> usize {
        let narrowest = if self.precision == Precision::F32 { 32 } else { 16 };
        self.problem.head_dim.next_power_of_two().clamp(narrowest, WIDEST)
    }

    /// Blocks of a head whose rows on the map are read and written `parts` times; each block also reads and writes
    /// so many `numbers` of its own.
    fn blocks(&self, parts: usize, numbers: usize) -> usize {
        let Problem { batch, height, width, head_dim, .. } = self.problem;
        let of_map = batch * height * width * head_dim * parts * self.precision.bytes();
        let most = of_map / SHARE_OF_MAP / (numbers * size_of::<f32>());
        (ENOUGH_BLOCKS / self.problem.heads).min(most).clamp(1, self.rectangles)
    }

    /// They read q, k, v and the table, and write `out`.
    fn forward_blocks(&self) -> usize {
        self.blocks(4, self.problem.displacements())
    }

    /// They read q, k, v, `dout` and the table, write `dqkv`, and leave sums that are read again.
    fn backward_blocks(&self) -> usize {
        self.blocks(7, self.problem.displacements() + 2 * self.partial_len())
    }

    /// Bytes of the turned table.
    fn turned(&self) -> usize {
        let side = 2 * self.problem.window - 1;
        self.problem.heads * side * side.next_multiple_of(SECTOR) * size_of::<f32>()
    }

    fn tiles_of_warp(&self) -> usize {
        if self.precision == Precision::F32 || self.width() <= 32 { 2 } else { 1 }
    }

    /// Bytes of the rows of one operand.
    fn operand(&self) -> usize {
        self.tiles * 16 * self.width() * self.precision.bytes()
    }

    /// The three planes of biases, sums of padding, offsets of keys.
    fn biases(&self) -> usize {
        let window = self.problem.window;
        let side = 2 * window - 1;
        let pitch = if window <= 17 { window + 16 } else { side };
        let planes = (side + 2 * window) * pitch + SKIPPED_BANKS;
        pieces(&[planes * size_of::<f32>(), self.strips(), self.of_rows()])
    }

    fn strips(&self) -> usize {
        (3 * self.problem.window - 2) * self.problem.window * size_of::<f32>()
    }

    /// Bytes of one number of each row.
    fn of_rows(&self) -> usize {
        self.tiles * 16 * size_of::<f32>()
    }

    /// Rows, biases, places and offsets of queries.
    fn forward_shared(&self) -> usize {
        3 * self.operand() + self.biases() + 2 * self.of_rows()
    }

    /// With gradients of scores of `group` tiles of queries.
    fn backward_shared(&self, group: usize) -> usize {
        let Problem { window, head_dim, .. } = self.problem;
        let (words, bank) = match self.precision {
            Precision::F32 => (group * 16, 24),
            Precision::Bf16 => (group * 8, 20),
        };
        let pitch = (words + (bank + 32 - words % 32) % 32) * size_of::<f32>();
        let scores = (self.tiles * 16 * pitch).max(self.strips());
        let keeps_v = self.precision == Precision::Bf16 && self.width() <= 32;
        let (v, scores) =
            if keeps_v { (0, scores.max(self.operand())) } else { (self.operand(), scores) };
        let pairs = (2 * window - 1) * window * window;
        let of_warps = 2 * (MOST_TILES / self.tiles_of_warp()).next_multiple_of(2) * 16;
        let sums = [of_warps, pairs, 2 * head_dim, self.tiles * 16];
        // Places of keys and queries, and two numbers of each query.
        3 * self.operand()
            + v
            + self.biases()
            + 4 * self.of_rows()
            + pieces(&[scores])
            + pieces(&sums.map(|n| n * size_of::<f32>()))
    }

    /// Tiles of queries whose gradients of scores are in shared memory at once: as many as fit, and whole pairs of
    /// rows of a window if possible, which are summed up faster.
    fn group(&self) -> usize {
        let fits = || {
            let groups = (1..=self.tiles).rev();
            groups.filter(|&group| self.backward_shared(group) <= PREFERRED)
        };
        let pairs = 2 * self.problem.window;
        let whole = fits().find(|&group| group == self.tiles || (group * 16).is_multiple_of(pairs));
        whole.or_else(|| fits().next()).unwrap_or(1)
    }

    /// Numbers of a block's partial sums.
    fn partial_len(&self) -> usize {
        self.problem.displacements().next_multiple_of(SECTOR)
            + (2 * self.problem.head_dim).next_multiple_of(SECTOR)
    }

    /// `blocks` for each head, `tiles_of_warp` tiles for each warp.
    fn layout(&self, blocks: usize, tiles_of_warp: usize, shared: usize) -> Layout {
        let threads = 32 * self.tiles.div_ceil(tiles_of_warp);
        let [heads, blocks, threads, shared] =
            [self.problem.heads, blocks, threads, shared].map(|n| n as u32);
        Layout { grid: [heads, blocks, 1], block: [threads, 1, 1], shared }
    }

    /// What the kernels call the map.
    fn map(&self, op: &WindowAttention, arguments: Arguments) -> Arguments {
        let Problem { height, width, heads, head_dim, window, .. } = self.problem;
        let sizes = [
            height,
            width,
            height.div_ceil(window),
            width.div_ceil(window),
            heads,
            head_dim,
            window,
        ];
        let sizes = sizes.into_iter().chain([op.shift, self.rectangles, self.tiles]);
        sizes.fold(arguments, Arguments::count)
    }
}

impl OnCuda for WindowAttention {
    fn parameters(&self) -> ArrayVec<usize, MAX_INPUTS> {
        ArrayVec::from_iter([1, 2])
    }

    fn workspace(&self, inputs: &[&TensorType], precision: Precision) -> Workspace {
        let Ok(division) = Division::of(self, inputs[0], precision) else {
            return Workspace::default();
        };
        let sums = division.problem.heads * division.backward_blocks() * division.partial_len();
        let turned = division.turned();
        Workspace { forward: turned, backward: turned + sums * size_of::<f32>() }
    }

    fn forward(&self, pass: &CudaForward<'_>) -> Result<()> {
        let division = Division::of(self, pass.types[0], pass.precision)?;
        let kernel = match (pass.precision, division.width()) {
            (Precision::F32, ..=32) => Kernel::WindowAttentionForward32F32,
            (Precision::F32, _) => Kernel::WindowAttentionForward64F32,
            (Precision::Bf16, ..=16) => Kernel::WindowAttentionForward16Bf16,
            (Precision::Bf16, ..=32) => Kernel::WindowAttentionForward32Bf16,
            (Precision::Bf16, _) => Kernel::WindowAttentionForward64Bf16,
        };
        let arguments = Arguments::new()
            .pointer(pass.inputs[0].working)
            .pointer(pass.inputs[1].working)
            .pointer(pass.inputs[2].full)
            .pointer(pass.out)
            .pointer(pass.kept.first().copied().unwrap_or(Pointer::NULL))
            .pointer(pass.workspace)
            .pointer(pass.tickets);
        let layout = division.layout(division.forward_blocks(), 1, division.forward_shared());
        pass.device.launch(kernel, layout, &division.map(self, arguments))
    }

    fn backward(&self, pass: &CudaBackward<'_>) -> Result<()> {
        let division = Division::of(self, pass.types[0], pass.precision)?;
        let kernel = match (pass.precision, division.width()) {
            (Precision::F32, ..=32) => Kernel::WindowAttentionBackward32F32,
            (Precision::F32, _) => Kernel::WindowAttentionBackward64F32,
            (Precision::Bf16, ..=16) => Kernel::WindowAttentionBackward16Bf16,
            (Precision::Bf16, ..=32) => Kernel::WindowAttentionBackward32Bf16,
            (Precision::Bf16, _) => Kernel::WindowAttentionBackward64Bf16,
        };
        let values = |gradient: Option<CudaGradient>| gradient.map_or(Pointer::NULL, |g| g.values);
        let sums = pass.dinputs[1].is_some() || pass.dinputs[2].is_some();
        let parts = pass.workspace.offset(division.turned());
        let arguments = Arguments::new()
            .pointer(pass.inputs[0].working)
            .pointer(pass.inputs[1].working)
            .pointer(pass.inputs[2].full)
            .pointer(pass.kept[0])
            .pointer(pass.dout)
            .pointer(values(pass.dinputs[0]))
            .pointer(values(pass.dinputs[1]))
            .pointer(values(pass.dinputs[2]))
            .pointer(pass.workspace)
            .pointer(if sums { parts } else { Pointer::NULL })
            .pointer(pass.tickets);
        let adds = |gradient: &Option<CudaGradient>| gradient.is_some_and(|g| g.write.adds());
        let arguments = pass.dinputs.iter().fold(arguments, |a, g| a.count(usize::from(adds(g))));
        let group = division.group();
        let shared = division.backward_shared(group);
        let layout = division.layout(division.backward_blocks(), division.tiles_of_warp(), shared);
        pass.device.launch(kernel, layout, &division.map(self, arguments).count(group))
    }
}
