//! How products are divided among blocks: tiles of the result, and parts of the sum. It follows from the shapes
//! alone, so that the order of every sum is the same on every device.

use crate::cuda::arguments::{Layout, Pointer};
use crate::cuda::kernels::Kernel;
use crate::cuda::precision::Precision;

/// What a block makes of a product, and what that takes, in clocks of a multiprocessor of an H200: modelled, good enough
/// to choose by. The second cache serves 24 bytes a clock where all ask, 64 where few do.
#[derive(Clone, Copy, Debug)]
pub struct Tile {
    /// Which of the kernels that differ in tiles makes them.
    kernel: usize,
    rows: usize,
    columns: usize,
    threads: u32,
    shared: u32,
    /// Numbers of the depth that are brought at once, and what they take beside other blocks, and alone.
    step: usize,
    of_step: usize,
    of_step_alone: usize,
    /// Writing the result.
    of_result: usize,
    /// Writing a part or reading it, beside other blocks, and alone.
    of_part: usize,
    of_part_alone: usize,
}

const LARGE_F32: Tile = Tile {
    kernel: 0,
    rows: 128,
    columns: 128,
    threads: 256,
    shared: 33 << 10,
    step: 16,
    of_step: 2300,
    of_step_alone: 2300,
    of_result: 3000,
    of_part: 2730,
    of_part_alone: 1100,
};
/// With what kernels declare beside their operands it is more than a kernel has without asking.
const LARGE: Tile = Tile {
    kernel: 1,
    rows: 128,
    columns: 128,
    threads: 256,
    shared: (48 << 10) + 128,
    step: 32,
    of_step: 700,
    of_step_alone: 700,
    of_result: 2500,
    of_part: 2730,
    of_part_alone: 1100,
};
const SMALL: Tile = Tile {
    kernel: 2,
    rows: 64,
    columns: 64,
    threads: 128,
    shared: 24 << 10,
    step: 32,
    of_step: 350,
    of_step_alone: 450,
    of_result: 700,
    of_part: 680,
    of_part_alone: 280,
};

/// Rows of an MLP with all their outputs, of at most 128 inputs and outputs: the depth is what is hidden, of which a
/// step makes its numbers and multiplies them on. What a block takes for its input and its statistics is in `of_result`.
const MLP: Tile = Tile {
    kernel: 0,
    rows: 128,
    columns: 128,
    threads: 128,
    shared: 51_584,
    step: 32,
    of_step: 1400,
    of_step_alone: 1400,
    of_result: 4000,
    of_part: 2730,
    of_part_alone: 1100,
};
/// The same for at most 256.
const WIDE_MLP: Tile = Tile {
    kernel: 1,
    columns: 256,
    threads: 256,
    shared: 101_760,
    of_step: 2800,
    of_step_alone: 2800,
    of_result: 7000,
    of_part: 5460,
    of_part_alone: 2200,
    ..MLP
};

/// Shared memory for the statistics and parameters of a norm.
const OF_NORM: u32 = 2 << 10;
/// Multiprocessors that are to be kept busy.
const MULTIPROCESSORS: usize = 132;
/// How many parts of a sum there may be, each of so many steps at least.
const PARTS: [usize; 12] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64];
const LEAST_STEPS: usize = 4;
/// Parts that one block adds up, and what it takes for them to meet, in clocks.
const FAN: usize = 4;
const OF_MEETING: usize = 1500;
/// Numbers of rows whose statistics are made.
const STATISTICS_A_CLOCK: usize = 24;

impl Tile {
    /// The kernel that makes such tiles, of these for f32, bf16 and small tiles of bf16, or for an MLP and a wide one.
    pub fn choose<const N: usize>(&self, kernels: [Kernel; N]) -> Kernel {
        kernels[self.kernel]
    }

    /// Whether a block has so much shared memory; a kernel declares a line of its own.
    pub fn fits(&self, shared: u32) -> bool {
        self.shared + 128 <= shared
    }

    /// `blocks` blocks that make such tiles, of a normalised operand with `norm`.
    pub fn layout(&self, blocks: usize, norm: bool) -> Layout {
        let more = if norm { OF_NORM } else { 0 };
        Layout { shared: self.shared + more, ..Layout::row(blocks, self.threads) }
    }
}

/// Extents of a product: of the result, and of the sum.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    pub rows: usize,
    pub columns: usize,
    pub depth: usize,
    /// Whether each block makes the statistics of its rows, over the whole depth.
    pub norm: bool,
}

/// A product and how it is divided.
#[derive(Clone, Copy, Debug)]
pub struct Divided {
    product: Product,
    pub tile: Tile,
    pub parts: usize,
}

impl Divided {
    fn tiles(&self) -> usize {
        self.product.rows.div_ceil(self.tile.rows)
            * self.product.columns.div_ceil(self.tile.columns)
    }

    fn steps(&self) -> usize {
        self.product.depth.div_ceil(self.tile.step)
    }

    pub fn blocks(&self) -> usize {
        self.tiles() * self.parts
    }

    pub fn steps_of_block(&self) -> usize {
        self.steps().div_ceil(self.parts)
    }

    /// Bytes of the parts, none if there is one only.
    pub fn memory(&self) -> usize {
        let parts = if self.parts > 1 { self.blocks() } else { 0 };
        parts * self.tile.rows * self.tile.columns * size_of::<f32>()
    }

    /// How many groups have to meet until each tile's parts are added up.
    pub fn tickets(&self) -> usize {
        self.tiles() * self.meetings().map(|left| left.div_ceil(FAN)).sum::<usize>()
    }

    /// How many parts of a tile are left before each meeting.
    fn meetings(&self) -> impl Iterator<Item = usize> {
        let parts = std::iter::successors(Some(self.parts), |&left| Some(left.div_ceil(FAN)));
        parts.take_while(|&left| left > 1)
    }

    /// Clocks of all blocks together; each part is written and read.
    fn work(&self) -> usize {
        let of_parts = if self.parts > 1 { 2 * self.tile.of_part } else { 0 };
        self.blocks() * (self.steps_of_block() * self.tile.of_step + self.around() + of_parts)
    }

    /// Clocks until a tile is finished.
    pub fn latency(&self) -> usize {
        let add = |left: usize| OF_MEETING + (1 + left.min(FAN)) * self.tile.of_part_alone;
        let summed: usize = self.meetings().map(add).sum();
        self.steps_of_block() * self.tile.of_step_alone + self.around() + summed
    }

    /// Clocks of a block before and after its steps.
    fn around(&self) -> usize {
        let statistics = self.tile.rows * self.product.depth / STATISTICS_A_CLOCK;
        self.tile.of_result + if self.product.norm { statistics } else { 0 }
    }

    /// In so many parts, or fewer if there are not as many steps.
    fn with_parts(self, parts: usize) -> Self {
        let steps = self.steps().max(1);
        Self { parts: steps.div_ceil(steps.div_ceil(parts)), ..self }
    }
}

/// How a launch makes several products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// All at the same time.
    Together,
    /// Each waits for the one before it.
    InTurn,
}

impl Order {
    /// Clocks until all products are there.
    fn time(self, division: &[Divided]) -> usize {
        match self {
            Self::Together => time(division),
            Self::InTurn => {
                division.iter().map(|product| time(std::slice::from_ref(product))).sum()
            }
        }
    }
}

/// Divides products that one launch makes, whose blocks have `tickets` to meet at.
pub fn divide<const N: usize>(
    products: [Product; N],
    order: Order,
    precision: Precision,
    tickets: usize,
) -> [Divided; N] {
    let large = match precision {
        Precision::F32 => LARGE_F32,
        Precision::Bf16 => LARGE,
    };
    let large = divide_by(large, products, order, tickets);
    let small = divide_by(SMALL, products, order, tickets);
    match precision {
        Precision::Bf16 if order.time(&small) < order.time(&large) => small,
        _ => large,
    }
}

/// Divides the rows of an MLP, and what is hidden, if one launch can make both its products.
pub fn divide_mlp(
    [rows, inputs, hidden, outputs]: [usize; 4],
    precision: Precision,
    tickets: usize,
) -> Option<Divided> {
    let tile = match (precision, inputs.max(outputs)) {
        (Precision::Bf16, ..=128) => MLP,
        (Precision::Bf16, ..=256) => WIDE_MLP,
        _ => return None,
    };
    let product = Product { rows, columns: outputs, depth: hidden, norm: false };
    let [divided] = divide_by(tile, [product], Order::Together, tickets);
    Some(divided)
}

fn divide_by<const N: usize>(
    tile: Tile,
    products: [Product; N],
    order: Order,
    tickets: usize,
) -> [Divided; N] {
    let mut division = products.map(|product| Divided { product, tile, parts: 1 });
    for i in 0..N {
        division[i] = best_parts(&division, i, order, tickets);
    }
    division
}

/// Clocks until products are there that are made at the same time.
fn time(division: &[Divided]) -> usize {
    let latest = division.iter().map(Divided::latency).max().unwrap_or(0);
    latest.max(work(division) / MULTIPROCESSORS)
}

fn work(division: &[Divided]) -> usize {
    division.iter().map(Divided::work).sum()
}

/// Product `i` in the fewest parts with which all are finished first.
fn best_parts(division: &[Divided], i: usize, order: Order, tickets: usize) -> Divided {
    let whole = division[i];
    let others = match order {
        Order::Together => work(division) - whole.work(),
        Order::InTurn => 0,
    };
    let left = tickets - division.iter().map(Divided::tickets).sum::<usize>();
    let candidates = PARTS.iter().map(|&parts| whole.with_parts(parts));
    candidates
        .filter(|c| c.parts == 1 || c.steps_of_block() >= LEAST_STEPS && c.tickets() <= left)
        .min_by_key(|c| ((others + c.work()) / MULTIPROCESSORS).max(c.latency()))
        .unwrap_or(whole)
}

/// Scratch memory and tickets that are handed out one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Scratch {
    memory: Pointer,
    tickets: Pointer,
}

impl Scratch {
    pub fn new(memory: Pointer, tickets: Pointer) -> Self {
        Self { memory, tickets }
    }

    /// Bytes as they are handed out, aligned as far as anybody wants.
    pub fn rounded(bytes: usize) -> usize {
        bytes.next_multiple_of(256)
    }

    pub fn bytes(&mut self, bytes: usize) -> Pointer {
        let at = self.memory;
        self.memory = at.offset(Self::rounded(bytes));
        at
    }

    pub fn tickets(&mut self, count: usize) -> Pointer {
        let at = self.tickets;
        self.tickets = at.offset(count * size_of::<u32>());
        at
    }
}
