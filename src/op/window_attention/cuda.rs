//! Window attention on a device: one kernel a direction. Blocks share the rectangles of a head; backward, the last
//! one of a head adds up what each has summed of the gradients of table and padding.
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
        if head_dim > WIDEST || tiles > MOST_TILES || heads > TICKETS {
            let found = format!("{heads} heads {head_dim} wide, windows of {}", op.window);
            return refused(format!(
                "{found}; on a device at most {TICKETS} heads, {WIDEST} wide, {} positions a window",
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

    fn blocks(&self) -> usize {
        (ENOUGH_BLOCKS / self.problem.heads).clamp(1, self.rectangles)
    }

    fn tiles_of_warp(&self) -> usize {
        if self.precision == Precision::F32 || self.width() <= 32 { 2 } else { 1 }
    }

    /// Bytes of the rows of one operand.
    fn operand(&self) -> usize {
        self.tiles * 16 * self.width() * self.precision.bytes()
    }

    /// The three planes of biases, offsets of keys and queries, sums of padding, places, `lse`.
    fn biases(&self) -> usize {
        let window = self.problem.window;
        let side = 2 * window - 1;
        let pitch = if window <= 17 { window + 16 } else { side };
        let of_rows = self.tiles * 16 * size_of::<f32>();
        pieces(&[
            (side + 2 * window) * pitch * 4,
            of_rows,
            of_rows,
            self.strips(),
            of_rows,
            of_rows,
        ])
    }

    fn strips(&self) -> usize {
        2 * (2 * self.problem.window - 1) * self.problem.window * size_of::<f32>()
    }

    fn forward_shared(&self) -> usize {
        3 * self.operand() + self.biases()
    }

    /// With gradients of scores of `group` tiles of queries.
    fn backward_shared(&self, group: usize) -> usize {
        let Problem { window, head_dim, .. } = self.problem;
        let (words, bank) = match self.precision {
            Precision::F32 => (group * 16, 12),
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
        3 * self.operand()
            + v
            + self.biases()
            + pieces(&[scores])
            + pieces(&sums.map(|n| n * size_of::<f32>()))
    }

    /// Tiles of queries whose gradients of scores are in shared memory at once: as many as fit, and whole rows of
    /// a window if possible, which are summed up faster.
    fn group(&self) -> usize {
        let fits = || {
            let groups = (1..=self.tiles).rev();
            groups.filter(|&group| self.backward_shared(group) <= PREFERRED)
        };
        let whole = fits().find(|group| (group * 16).is_multiple_of(self.problem.window));
        whole.or_else(|| fits().next()).unwrap_or(1)
    }

    /// Numbers of a block's partial sums.
    fn partial_len(&self) -> usize {
        self.problem.displacements() + 2 * self.problem.head_dim
    }

    fn layout(&self, shared: usize) -> Layout {
        let [heads, blocks, threads] =
            [self.problem.heads, self.blocks(), 32 * self.tiles.div_ceil(self.tiles_of_warp())]
                .map(|n| n as u32);
        Layout { grid: [heads, blocks, 1], block: [threads, 1, 1], shared: shared as u32 }
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
        let (share, more) = (self.rectangles / self.blocks(), self.rectangles % self.blocks());
        let sizes = sizes.into_iter().chain([op.shift, share, more, self.tiles]);
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
        let sums = division.problem.heads * division.blocks() * division.partial_len();
        Workspace { forward: 0, backward: sums * size_of::<f32>() }
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
            .pointer(pass.kept.first().copied().unwrap_or(Pointer::NULL));
        let layout = division.layout(division.forward_shared());
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
        let arguments = Arguments::new()
            .pointer(pass.inputs[0].working)
            .pointer(pass.inputs[1].working)
            .pointer(pass.inputs[2].full)
            .pointer(pass.kept[0])
            .pointer(pass.dout)
            .pointer(values(pass.dinputs[0]))
            .pointer(values(pass.dinputs[1]))
            .pointer(values(pass.dinputs[2]))
            .pointer(if sums { pass.workspace } else { Pointer::NULL })
            .pointer(pass.tickets);
        let adds = |gradient: &Option<CudaGradient>| gradient.is_some_and(|g| g.write.adds());
        let arguments = pass.dinputs.iter().fold(arguments, |a, g| a.count(usize::from(adds(g))));
        let group = division.group();
        let layout = division.layout(division.backward_shared(group));
        pass.device.launch(kernel, layout, &division.map(self, arguments).count(group))
    }
}
