//! The query generation's maps, channels to the front.

use crformer::op::contract::TensorType;
use crformer::op::transpose::Transpose;
use criterion::Criterion;

use crate::run;

pub fn bench(c: &mut Criterion) {
    let inp = [TensorType::activation([1, 900, 24])];
    run::both(c, "transpose/900x24", Transpose {}, &inp);
    let inp = [TensorType::activation([1, 900, 512])];
    run::both(c, "transpose/900x512", Transpose {}, &inp);
}
