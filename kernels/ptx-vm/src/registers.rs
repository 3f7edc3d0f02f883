//! Registers of a warp: 32 lanes side by side, so that one instruction is one loop over a row.

/// Threads of a warp.
pub const LANES: usize = 32;

/// Every lane takes part.
pub const ALL: u32 = u32::MAX;

/// One 32-bit register of all lanes. A 64-bit register is two rows in sequence, read as 32 wide numbers.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(128))]
pub struct Row(pub [u32; LANES]);

/// Where a register's first row, or a predicate's mask, lies. Made by the decoder, which knows how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Slot(pub u32);

/// A value a register can hold.
pub trait Lane: Copy + Default + 'static {
    /// Rows it takes.
    const ROWS: usize;
    fn read(rows: &[Row]) -> [Self; LANES];
    fn write(rows: &mut [Row], mask: u32, values: &[Self; LANES]);
}

macro_rules! narrow_lane {
    ($($t:ty: $from:expr, $to:expr;)*) => {$(
        impl Lane for $t {
            const ROWS: usize = 1;
            #[inline(always)]
            fn read(rows: &[Row]) -> [Self; LANES] {
                let row = &rows[0].0;
                let mut values = [Self::default(); LANES];
                for lane in 0..LANES {
                    values[lane] = $from(row[lane]);
                }
                values
            }
            #[inline(always)]
            fn write(rows: &mut [Row], mask: u32, values: &[Self; LANES]) {
                let row = &mut rows[0].0;
                if mask == ALL {
                    for lane in 0..LANES {
                        row[lane] = $to(values[lane]);
                    }
                } else {
                    for lane in 0..LANES {
                        let keep = ((mask >> lane) & 1).wrapping_sub(1);
                        row[lane] = (row[lane] & keep) | ($to(values[lane]) & !keep);
                    }
                }
            }
        }
    )*};
}

// Narrow values lie in the low bits, zeros above them.
narrow_lane! {
    u8: |x: u32| x as u8, u32::from;
    i8: |x: u32| x as i8, |x: i8| u32::from(x as u8);
    u16: |x: u32| x as u16, u32::from;
    i16: |x: u32| x as i16, |x: i16| u32::from(x as u16);
    u32: |x: u32| x, |x: u32| x;
    i32: |x: u32| x as i32, |x: i32| x as u32;
    f32: f32::from_bits, f32::to_bits;
}

/// Two rows as 32 numbers of 64 bits.
#[inline(always)]
fn wide(rows: &[Row]) -> &[u64; LANES] {
    let rows: &[Row; 2] = rows[..2].try_into().expect("two rows were cut off");
    // SAFETY: two rows are 256 plain bytes in sequence, aligned to 128.
    unsafe { &*std::ptr::from_ref(rows).cast() }
}

#[inline(always)]
fn wide_mut(rows: &mut [Row]) -> &mut [u64; LANES] {
    let rows: &mut [Row; 2] = (&mut rows[..2]).try_into().expect("two rows were cut off");
    // SAFETY: two rows are 256 plain bytes in sequence, aligned to 128; the borrow is unique.
    unsafe { &mut *std::ptr::from_mut(rows).cast() }
}

macro_rules! wide_lane {
    ($($t:ty: $from:expr, $to:expr;)*) => {$(
        impl Lane for $t {
            const ROWS: usize = 2;
            #[inline(always)]
            fn read(rows: &[Row]) -> [Self; LANES] {
                let rows = wide(rows);
                let mut values = [Self::default(); LANES];
                for lane in 0..LANES {
                    values[lane] = $from(rows[lane]);
                }
                values
            }
            #[inline(always)]
            fn write(rows: &mut [Row], mask: u32, values: &[Self; LANES]) {
                let rows = wide_mut(rows);
                if mask == ALL {
                    for lane in 0..LANES {
                        rows[lane] = $to(values[lane]);
                    }
                } else {
                    for lane in 0..LANES {
                        let keep = u64::from((mask >> lane) & 1).wrapping_sub(1);
                        rows[lane] = (rows[lane] & keep) | ($to(values[lane]) & !keep);
                    }
                }
            }
        }
    )*};
}

wide_lane! {
    u64: |x: u64| x, |x: u64| x;
    i64: |x: u64| x as i64, |x: i64| x as u64;
    f64: f64::from_bits, f64::to_bits;
}

/// The registers and predicates of one warp.
#[derive(Debug, Clone)]
pub struct Registers {
    rows: Vec<Row>,
    predicates: Vec<u32>,
}

impl Registers {
    pub fn new(rows: usize, predicates: usize) -> Self {
        Self { rows: vec![Row([0; LANES]); rows], predicates: vec![0; predicates] }
    }

    /// The register at `slot`, lane by lane.
    #[inline(always)]
    pub fn get<T: Lane>(&self, slot: Slot) -> [T; LANES] {
        let at = slot.0 as usize;
        T::read(&self.rows[at..at + T::ROWS])
    }

    /// Writes the lanes of `mask`.
    #[inline(always)]
    pub fn set<T: Lane>(&mut self, slot: Slot, mask: u32, values: &[T; LANES]) {
        let at = slot.0 as usize;
        T::write(&mut self.rows[at..at + T::ROWS], mask, values);
    }

    /// The 64-bit register at `slot` of one lane.
    pub fn word(&self, slot: Slot, lane: usize) -> u64 {
        wide(&self.rows[slot.0 as usize..])[lane]
    }

    pub fn set_word(&mut self, slot: Slot, lane: usize, value: u64) {
        wide_mut(&mut self.rows[slot.0 as usize..])[lane] = value;
    }

    /// One row as it is.
    #[inline(always)]
    pub fn row(&self, slot: Slot) -> &Row {
        &self.rows[slot.0 as usize]
    }

    /// All rows.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    #[inline(always)]
    pub fn row_mut(&mut self, slot: Slot) -> &mut Row {
        &mut self.rows[slot.0 as usize]
    }

    /// The lanes in which a predicate holds.
    #[inline(always)]
    pub fn predicate(&self, slot: Slot) -> u32 {
        self.predicates[slot.0 as usize]
    }

    /// Writes the lanes of `mask`.
    #[inline(always)]
    pub fn set_predicate(&mut self, slot: Slot, mask: u32, lanes: u32) {
        let predicate = &mut self.predicates[slot.0 as usize];
        *predicate = (*predicate & !mask) | (lanes & mask);
    }
}
