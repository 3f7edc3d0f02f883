//! Kernels as nvcc writes them, launched and compared with the same sums in Rust; in every order of warps.

use ptx_vm::error::Rule;
use ptx_vm::launch::Dimensions;

use crate::bench::Bench;

/// An argument of a kernel.
trait Bytes {
    fn bytes(&self) -> Vec<u8>;
}

macro_rules! bytes {
    ($($t:ty)*) => {$(
        impl Bytes for $t {
            fn bytes(&self) -> Vec<u8> {
                self.to_le_bytes().to_vec()
            }
        }
    )*};
}

bytes!(u8 i8 u16 i16 u32 i32 u64 f32 f64);

/// Arguments one after the other, each at a multiple of its size.
fn arguments(list: &[&dyn Bytes]) -> Vec<u8> {
    let mut all = Vec::new();
    for bytes in list.iter().map(|argument| argument.bytes()) {
        all.resize(all.len().next_multiple_of(bytes.len()), 0);
        all.extend(bytes);
    }
    all
}

fn array<T: Bytes>(values: impl IntoIterator<Item = T>) -> Vec<u8> {
    values.into_iter().flat_map(|value| value.bytes()).collect()
}

/// Runs `launch` on benches with one host thread and two, in order and in three random orders.
fn in_every_order(fixture: &str, launch: impl Fn(&Bench)) {
    for seed in [None, Some(1), Some(2), Some(3)] {
        for threads in [1, 2] {
            let mut bench = Bench::fixture(fixture);
            (bench.options.threads, bench.options.adversarial) = (threads, seed);
            launch(&bench);
        }
    }
}

fn plain(grid: u32, block: u32) -> Dimensions {
    Dimensions { grid: [grid, 1, 1], block: [block, 1, 1], dynamic_shared: 0 }
}

#[track_caller]
fn run(bench: &Bench, kernel: &str, dimensions: Dimensions, list: &[&dyn Bytes]) {
    if let Err(fault) = bench.launch(kernel, dimensions, &arguments(list)) {
        panic!("{fault}");
    }
}

#[test]
fn a_grid_stride_loop_over_a_polynomial() {
    let x: Vec<f32> = (0..1000).map(|i| i as f32 / 64.0 - 7.0).collect();
    in_every_order("elementwise.ptx", |bench| {
        let (out, from) = (bench.unset(1000), bench.bytes(&array(x.clone())));
        run(bench, "_Z3mapIfEvPT_PKS0_l", plain(2, 96), &[&out, &from, &1000u64]);
        let expected = x.iter().map(|x| {
            [3.0f32, -2.0, 1.0].iter().fold(0.5, |sum, c| f32::mul_add(sum, *x, *c)).to_bits()
        });
        assert_eq!(bench.read(out, 1000), expected.collect::<Vec<_>>());
    });
    let x: Vec<f64> = (0..300).map(|i| f64::from(i) / 64.0 - 7.0).collect();
    in_every_order("elementwise.ptx", |bench| {
        let (out, from) = (bench.unset(600), bench.bytes(&array(x.clone())));
        run(bench, "_Z3mapIdEvPT_PKS0_l", plain(3, 64), &[&out, &from, &300u64]);
        let expected = array(
            x.iter().map(|x| [3.0, -2.0, 1.0].iter().fold(0.5, |sum, c| f64::mul_add(sum, *x, *c))),
        );
        assert_eq!(bench.read_bytes(out, 2400), expected);
    });
}

#[test]
fn vectors_of_four() {
    let (x, y) = ((0..400).map(|i| i as f32 / 8.0), (0..400).map(|i| 3.0 - i as f32 / 4.0));
    in_every_order("elementwise.ptx", |bench| {
        let (from, to) = (bench.bytes(&array(x.clone())), bench.bytes(&array(y.clone())));
        run(bench, "saxpy", plain(4, 32), &[&100i32, &2.5f32, &from, &to]);
        let expected = x.clone().zip(y.clone()).map(|(x, y)| f32::mul_add(2.5, x, y).to_bits());
        assert_eq!(bench.read(to, 400), expected.collect::<Vec<_>>());
    });
}

/// `integers` of `elementwise.cu` for one thread.
fn integers(i: u32, a: u8, b: u16, c: u32, d: u64, s: i8, t: i16) -> (u8, u16, u32, u64) {
    let first_set = if c == 0 { 0 } else { c.trailing_zeros() + 1 };
    let funnel = i << 5 | c >> 27;
    let mut sum = [c.count_ones(), c.leading_zeros(), c.reverse_bits(), first_set, funnel, c]
        .into_iter()
        .fold(0u32, u32::wrapping_add);
    let quotient = ((u128::from(d) * 0x9e37_79b9_7f4a_7c15) >> 64) as u64 % 1_000_003;
    let d = quotient.wrapping_add(d / (u64::from(i) + 7));
    let byte = |x: u32, k: u32| i32::from((x >> (8 * k)) as u8 as i8);
    let dot = (0..4).fold(7, |dot, k| dot + byte(sum, k) * byte(i, k));
    let added = (0..4).fold(0, |all, k| {
        all | (((sum >> (8 * k)) as u8).wrapping_add((i >> (8 * k)) as u8) as u32 * (1 << (8 * k)))
    });
    let distance = 5 + (i as i32).abs_diff(3);
    let high = ((i64::from(i) * 12345) >> 32) as u32;
    let more = [dot as u32, added, distance, high, sum.min(9), if sum > 5 { 17 } else { 3 }];
    sum = more.into_iter().fold(sum, u32::wrapping_add);
    ((a << 3) ^ s as u8, b.wrapping_mul(77).wrapping_add(t as u16), sum, d)
}

#[test]
fn integer_arithmetic_of_every_width() {
    let word = |i: u32| (i + 3).wrapping_mul(0x9e37_79b9);
    let dimensions = Dimensions { grid: [1; 3], block: [5, 3, 4], dynamic_shared: 0 };
    in_every_order("elementwise.ptx", |bench| {
        let wide = |i: u32| u64::from(word(i)) << 32 | u64::from(word(i + 9));
        let a = bench.bytes(&array((0..60).map(|i| word(i) as u8)));
        let b = bench.bytes(&array((0..60).map(|i| word(i) as u16)));
        let (c, d) =
            (bench.bytes(&array((0..60).map(word))), bench.bytes(&array((0..60).map(wide))));
        run(bench, "integers", dimensions, &[&a, &b, &c, &d, &-5i8, &-1234i16]);
        let all = (0..60)
            .map(|i| integers(i, word(i) as u8, word(i) as u16, word(i), wide(i), -5, -1234));
        let all: Vec<_> = all.collect();
        assert_eq!(bench.read_bytes(a, 60), array(all.iter().map(|x| x.0)));
        assert_eq!(bench.read_bytes(b, 120), array(all.iter().map(|x| x.1)));
        assert_eq!(bench.read(c, 60), all.iter().map(|x| x.2).collect::<Vec<_>>());
        assert_eq!(bench.read_bytes(d, 480), array(all.iter().map(|x| x.3)));
    });
}

#[test]
fn a_transpose_through_shared_memory() {
    const N: usize = 50;
    let dimensions = Dimensions { grid: [2, 2, 1], block: [32, 32, 1], dynamic_shared: 0 };
    in_every_order("shared.ptx", |bench| {
        let (out, from) =
            (bench.unset(N * N), bench.words(&(0..(N * N) as u32).collect::<Vec<_>>()));
        run(bench, "transpose", dimensions, &[&out, &from, &(N as i32)]);
        let expected = (0..N * N).map(|i| (i % N * N + i / N) as u32);
        assert_eq!(bench.read(out, N * N), expected.collect::<Vec<_>>());
    });
}

#[test]
fn variables_with_initial_values() {
    in_every_order("constants.ptx", |bench| {
        let (out, text) = (bench.unset(6), bench.bytes(&[0; 6]));
        run(bench, "lookup", plain(1, 6), &[&out, &text, &4i32]);
        let weights = [1.0f32, -2.5, 3.25, 0.0, 1e-7, 0.0];
        for (i, bits) in bench.read(out, 6).into_iter().enumerate() {
            // Sums of a float, a double and integers, in the order of the source.
            let mixed = f64::from(weights[i] + weights[4] + -3.0) + 0.1;
            let aligned = if i % 2 == 0 { -1.0f64 } else { i64::MAX as f64 };
            let expected = (mixed + f64::from(b'x') + 3.0 + 0.0 + aligned + 2.0) as f32;
            assert_eq!(f32::from_bits(bits), expected, "thread {i}");
        }
        assert_eq!(bench.read_bytes(text, 6), b"first\n");
        let variable = |name: &str, words: usize| {
            let found =
                bench.program.variables.iter().find(|v| v.name == name).expect("a variable");
            bench.read(found.address, words)
        };
        assert_eq!(variable("counters", 4), [4, 2, 3, 4]);
        assert_eq!(variable("managed", 1), [6]);
        assert_eq!(variable("total", 2), [0, 0x4010_0000]);
    });
}

#[test]
fn a_mean_of_nvcc_with_debug_information() {
    for fixture in ["lines.ptx", "lines_debug.ptx"] {
        in_every_order(fixture, |bench| {
            let x: Vec<f32> = (0..333).map(|i| i as f32).collect();
            let (out, from) = (bench.unset(1), bench.bytes(&array(x)));
            run(bench, "mean", plain(1, 32), &[&out, &from, &333i32]);
            // Thread 0 has 0, 32, ..., 320.
            assert_eq!(bench.read(out, 1), [160.0f32.to_bits()]);
        });
    }
}

#[test]
fn function_pointers_virtual_functions_and_recursion() {
    let which: Vec<i32> = (0..40).map(|i| i * 5 % 3).collect();
    let fibonacci = [0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55];
    in_every_order("pointers.ptx", |bench| {
        let (out, from) = (bench.unset(40), bench.bytes(&array(which.clone())));
        run(bench, "pointers", plain(1, 40), &[&out, &from]);
        let expected = (0..40).map(|i| {
            let value = [i + 7, i * 7, i.max(7)][which[i as usize] as usize];
            let area = if i % 3 == 0 { 2 * i } else { i * i };
            (value * 1_000_000 + area * 1000 + fibonacci[i as usize % 11]) as u32
        });
        assert_eq!(bench.read(out, 40), expected.collect::<Vec<_>>());
    });
}

#[test]
fn each_thread_sorts_by_itself() {
    const N: usize = 30;
    let values: Vec<i32> = (0..40 * N as i32).map(|i| i * 7919 % 1009 - 500).collect();
    in_every_order("pointers.ptx", |bench| {
        let a = bench.bytes(&array(values.clone()));
        run(bench, "sorts", plain(1, 40), &[&a, &(N as i32)]);
        let mut expected = values.clone();
        expected.chunks_mut(N).for_each(<[i32]>::sort_unstable);
        assert_eq!(bench.read_bytes(a, 4 * values.len()), array(expected));
    });
}

#[test]
fn a_vector_with_an_element_nobody_wrote_or_uses() {
    in_every_order("pointers.ptx", |bench| {
        let out = bench.unset(32);
        run(bench, "points", plain(1, 32), &[&out]);
        let sum = |i: u32| i as f32 + 2.0 * (i + 100) as f32 + 4.0 * (i + 200) as f32;
        let expected = (0..32).map(|i| sum(31 - i).to_bits());
        assert_eq!(bench.read(out, 32), expected.collect::<Vec<_>>());
    });
}

/// `atomics.cu` adds to a shared variable that nobody wrote.
#[test]
fn a_mistake_in_a_kernel_of_nvcc() {
    let bench = Bench::fixture("atomics.ptx");
    let buffers: Vec<u64> = (0..7).map(|_| bench.words(&[0; 64])).collect();
    let list: Vec<&dyn Bytes> = buffers.iter().map(|buffer| buffer as &dyn Bytes).collect();
    let fault =
        bench.launch("atomics", plain(1, 64), &arguments(&list)).expect_err("unwritten memory");
    assert_eq!((fault.rule, fault.kernel.as_str()), (Rule::Unwritten, "atomics"));
    assert!(
        fault.text.starts_with("atom.shared.add.f32")
            || fault.text.starts_with("red.shared.add.f32"),
        "{fault}"
    );
}
