//! Products have the same bits with any number of threads: what determinism rests on.

use crformer::cpu::gemm::{Matrix, MatrixMut, multiply};
use crformer::rng::Philox;
use crformer::scalar::Scalar;
use crformer::write::Write;

fn numbers<S: Scalar>(len: usize, seed: u64) -> Vec<S> {
    let mut reader = Philox::new(seed, 0).reader();
    (0..len).map(|_| S::from_f64(reader.normal())).collect()
}

/// The product of an `m x k` and a `k x n` matrix, of every layout, with `threads` threads.
fn products<S: Scalar>(m: usize, k: usize, n: usize, threads: usize) -> Vec<Vec<S>> {
    let (a, b) = (numbers::<S>(m * k, 1), numbers::<S>(k * n, 2));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
    let run = |lhs: Matrix<S>, rhs: Matrix<S>| {
        let mut out = vec![S::ONE; m * n];
        multiply(MatrixMut::new(&mut out, m, n), Write::Add, lhs, rhs);
        out
    };
    pool.install(|| {
        vec![
            run(Matrix::new(&a, m, k), Matrix::new(&b, k, n)),
            run(Matrix::new(&a, m, k), Matrix::new(&b, n, k).t()),
            run(Matrix::new(&a, k, m).t(), Matrix::new(&b, k, n)),
        ]
    })
}

#[test]
fn threads_do_not_change_bits() {
    let shapes = [
        (1, 1, 1),
        (7, 5, 3),
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
    for (m, k, n) in shapes {
        let one = products::<f32>(m, k, n, 1);
        for threads in [2, 3, 4, 7] {
            assert!(one == products::<f32>(m, k, n, threads), "{m} x {k} x {n}, {threads} threads");
        }
    }
    assert!(products::<f64>(225, 300, 130, 1) == products::<f64>(225, 300, 130, 2));
}
