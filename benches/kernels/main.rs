//! Both directions of every operation at the model's real shapes.

use std::time::Duration;

use criterion::Criterion;

mod avg_pool;
mod conv;
mod cross_entropy;
mod image_patches;
mod patch_merging;
mod resize;
mod run;

fn main() {
    let c = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1));
    let mut c = c.configure_from_args();
    avg_pool::bench(&mut c);
    conv::bench(&mut c);
    cross_entropy::bench(&mut c);
    image_patches::bench(&mut c);
    patch_merging::bench(&mut c);
    resize::bench(&mut c);
    c.final_summary();
}
