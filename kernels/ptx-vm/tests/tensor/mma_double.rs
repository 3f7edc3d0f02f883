//! `mma.sync` of doubles: every shape with the places of the manual's tables, and exact bits of a rounded sum.

use crate::bench::Bench;
use ptx_vm::random::Random;

/// Rows, depth, and where the manual puts register `i` of lane `4 g + t`.
struct Shape {
    name: &'static str,
    rows: usize,
    depth: usize,
    left: fn(usize, usize, usize) -> (usize, usize),
    right: fn(usize, usize, usize) -> (usize, usize),
}

const SHAPES: [Shape; 4] = [
    Shape { name: "m8n8k4", rows: 8, depth: 4, left: |_, g, t| (g, t), right: |_, g, t| (t, g) },
    Shape {
        name: "m16n8k4",
        rows: 16,
        depth: 4,
        left: |i, g, t| (if i == 0 { g } else { g + 8 }, t),
        right: |_, g, t| (t, g),
    },
    Shape {
        name: "m16n8k8",
        rows: 16,
        depth: 8,
        left: |i, g, t| (if i % 2 == 0 { g } else { g + 8 }, if i < 2 { t } else { t + 4 }),
        right: |i, g, t| (t + 4 * i, g),
    },
    Shape {
        name: "m16n8k16",
        rows: 16,
        depth: 16,
        left: |i, g, t| (if i % 2 == 0 { g } else { g + 8 }, i / 2 * 4 + t),
        right: |i, g, t| (i * 4 + t, g),
    },
];

#[test]
fn sums_are_rounded_once_a_product() {
    let mut random = Random::new(9);
    for Shape { name, rows, depth, left, right } in &SHAPES {
        let (a, b, c) = (rows * depth / 32, depth / 4, rows / 4);
        let list = |first: usize, count: usize| {
            let names: Vec<String> = (first..first + count).map(|i| format!("d{i}")).collect();
            format!("{{{}}}", names.join(", "))
        };
        let mut text =
            ".reg .f64 d<48>; add.u64 %rd1, %rd1, %rd1; sub.u64 %rd1, %rd1, %rd0;".to_owned();
        (0..a + b + c).for_each(|i| text += &format!("ld.global.f64 d{i}, [%rd1+{}];", 256 * i));
        text += &format!(
            "mma.sync.aligned.{name}.row.col.f64.f64.f64.f64 {}, {}, {}, {}; mul.wide.u32 %rd6, %lane, 8; add.u64 %rd6, %rd4, %rd6;",
            list(40, c),
            list(0, a),
            list(a, b),
            list(a + b, c)
        );
        (0..c).for_each(|i| text += &format!("st.global.f64 [%rd6+{}], d{};", 256 * i, 40 + i));
        let mut number = || (random.next() as i64 as f64) * 2f64.powi(-60);
        let ma: Vec<f64> = (0..rows * depth).map(|_| number()).collect();
        let mb: Vec<f64> = (0..depth * 8).map(|_| number()).collect();
        let mc: Vec<f64> = (0..rows * 8).map(|_| number()).collect();
        let sum_at = |i: usize, g: usize, t: usize| (if i < 2 { g } else { g + 8 }, t * 2 + i % 2);
        let mut words: Vec<u32> = Vec::new();
        let mut lay = |count: usize, value: &dyn Fn(usize, usize, usize) -> f64| {
            for i in 0..count {
                for lane in 0..32 {
                    let bits = value(i, lane / 4, lane % 4).to_bits();
                    words.extend([bits as u32, (bits >> 32) as u32]);
                }
            }
        };
        lay(a, &|i, g, t| {
            let (r, k) = left(i, g, t);
            ma[r * depth + k]
        });
        lay(b, &|i, g, t| {
            let (k, n) = right(i, g, t);
            mb[k * 8 + n]
        });
        lay(c, &|i, g, t| {
            let (r, n) = sum_at(i, g, t);
            mc[r * 8 + n]
        });
        let bench = Bench::new(&text);
        let to = bench.unset(64 * c);
        let profile = bench.passes(32, [bench.words(&words), 0, to]);
        let found = bench.read(to, 64 * c);
        for i in 0..c {
            for lane in 0..32 {
                let (row, column) = sum_at(i, lane / 4, lane % 4);
                let sum = (0..*depth).fold(mc[row * 8 + column], |sum, k| {
                    ma[row * depth + k].mul_add(mb[k * 8 + column], sum)
                });
                let at = 2 * (32 * i + lane);
                let bits = u64::from(found[at]) | u64::from(found[at + 1]) << 32;
                assert_eq!(bits, sum.to_bits(), "{name} row {row} column {column}");
            }
        }
        assert_eq!(profile.tensor_operations.iter().sum::<u64>(), (2 * rows * 8 * depth) as u64);
    }
}
