//! Matrix products: every layout against plain sums, what follows them, and the same bits with any
//! number of threads, on which determinism rests.

use crformer::cpu::product::{Matrix, MatrixMut, Panels, Right, multiply, multiply_then};
use crformer::rng::Philox;
use crformer::scalar::Scalar;
use crformer::write::Write;

fn numbers<S: Scalar>(len: usize, seed: u64) -> Vec<S> {
    let mut reader = Philox::new(seed, 0).reader();
    (0..len).map(|_| S::from_f64(reader.normal())).collect()
}

/// Rows, inner extent and columns: multiples of what the kernels do at once, and of nothing; less
/// than one panel, blocks along the inner extent, several tasks.
const SHAPES: [(usize, usize, usize); 16] = [
    (1, 1, 1),
    (1, 0, 3),
    (7, 5, 3),
    (6, 512, 64),
    (12, 513, 65),
    (2, 16, 129),
    (1, 700, 500),
    (20, 768, 1536),
    (24, 900, 512),
    (33, 127, 1025),
    (96, 1200, 48),
    (225, 1024, 512),
    (513, 97, 511),
    (900, 514, 130),
    (3600, 64, 64),
    (14400, 16, 48),
];

/// The same matrix, its elements lying in the order of its transposed.
fn turned<S: Scalar>(values: &[S], rows: usize, cols: usize) -> Vec<S> {
    (0..rows * cols).map(|i| values[i % rows * cols + i / rows]).collect()
}

/// The product of an `m x k` and a `k x n` matrix, both in every layout, added to ones, then packed.
fn products<S: Scalar>((m, k, n): (usize, usize, usize), threads: usize) -> Vec<Vec<S>> {
    let (a, b) = (numbers::<S>(m * k, 1), numbers::<S>(k * n, 2));
    let (at, bt) = (turned(&a, m, k), turned(&b, k, n));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
    let lefts = [Matrix::new(&a, m, k), Matrix::new(&at, k, m).t()];
    let rights = [Matrix::new(&b, k, n), Matrix::new(&bt, n, k).t()];
    let mut made = Vec::new();
    pool.install(|| {
        for (left, right) in lefts.iter().flat_map(|l| rights.iter().map(move |r| (*l, *r))) {
            let mut out = vec![S::ONE; m * n];
            multiply(MatrixMut::new(&mut out, m, n), Write::Add, left, right);
            made.push(out);
            let mut packed = vec![S::from_f64(f64::NAN); Panels::<S>::len(k, n)];
            Panels::pack(right, &mut packed);
            let mut out = vec![S::from_f64(f64::NAN); m * n];
            let right = Right::Panels(Panels::new(&packed, k, n));
            let matrix = MatrixMut::new(&mut out, m, n);
            multiply_then(matrix, left, right, |_, _, sums| {
                sums.iter_mut().for_each(|x| *x += S::ONE)
            });
            made.push(out);
        }
    });
    made
}

/// The product plus one, and for each element the sum of its terms' sizes.
fn plain((m, k, n): (usize, usize, usize)) -> (Vec<f64>, Vec<f64>) {
    let (a, b) = (numbers::<f64>(m * k, 1), numbers::<f64>(k * n, 2));
    let mut sums = vec![1.0; m * n];
    let mut sizes = vec![1.0; m * n];
    for (i, &x) in a.iter().enumerate() {
        let row = &b[i % k * n..][..n];
        let at = i / k * n;
        for ((sum, size), &y) in sums[at..].iter_mut().zip(&mut sizes[at..]).zip(row) {
            *sum += x * y;
            *size += (x * y).abs();
        }
    }
    (sums, sizes)
}

#[test]
fn every_layout_gives_the_product() {
    for shape in SHAPES {
        let (want, sizes) = plain(shape);
        for (layout, got) in products::<f64>(shape, 2).iter().enumerate() {
            for ((&got, &want), &size) in got.iter().zip(&want).zip(&sizes) {
                let error = (got - want).abs();
                assert!(error <= 1e-14 * size, "{shape:?}, layout {layout}: {got}, not {want}");
            }
        }
    }
}

#[test]
fn layouts_and_threads_do_not_change_bits() {
    for shape in SHAPES {
        let made = products::<f32>(shape, 1);
        // A sum of one block that begins with zero and one to which it is added are rounded alike.
        let same = if shape.1 <= 512 { &made[..] } else { &[] };
        assert!(same.iter().all(|other| *other == made[0]), "{shape:?}: layouts");
        for threads in [2, 3, 4, 7] {
            assert!(made == products::<f32>(shape, threads), "{shape:?}, {threads} threads");
        }
    }
}

#[test]
fn what_follows_sees_every_element_once() {
    for (m, k, n) in [(37, 20, 201), (3, 1100, 70), (500, 64, 64)] {
        let (a, b) = (numbers::<f64>(m * k, 1), numbers::<f64>(k * n, 2));
        let mut product = vec![0.0; m * n];
        let (left, right) = (Matrix::new(&a, m, k), Matrix::new(&b, k, n));
        multiply(MatrixMut::new(&mut product, m, n), Write::Set, left, right);
        let mut out = vec![f64::NAN; m * n];
        let matrix = MatrixMut::new(&mut out, m, n);
        multiply_then(matrix, left, Right::Matrix(right), |row, col, sums| {
            for (i, x) in sums.iter_mut().enumerate() {
                *x += (row * n + col + i) as f64;
            }
        });
        let want: Vec<f64> = product.iter().enumerate().map(|(i, x)| x + i as f64).collect();
        assert!(out == want, "{m} x {k} x {n}");
    }
}

#[test]
fn unpacking_inverts_packing() {
    let (rows, cols) = (21, 131);
    let weight = numbers::<f32>(cols * rows, 3);
    let mut packed = vec![f32::NAN; Panels::<f32>::len(rows, cols)];
    Panels::pack(Matrix::new(&weight, cols, rows).t(), &mut packed);
    assert!(packed.iter().all(|x| x.is_finite()), "what fills the last panel up");
    let mut back = vec![f32::NAN; cols * rows];
    Panels::new(&packed, rows, cols).unpack_transposed(&mut back);
    assert!(back == weight);
}

#[test]
#[should_panic(expected = "inner extents")]
fn inner_extents_have_to_agree() {
    let (a, b, mut out) = (vec![0.0; 6], vec![0.0; 8], vec![0.0; 8]);
    let (a, b) = (Matrix::<f64>::new(&a, 2, 3), Matrix::new(&b, 2, 4));
    multiply(MatrixMut::new(&mut out, 2, 4), Write::Set, a, b);
}
