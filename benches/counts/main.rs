//! Launch counts, first form.

use std::time::Instant;

use crformer::cuda::precision::Precision;
use crformer::exec::Device;

mod counted;
mod memory;
mod numbers;
mod work;

fn main() {
    let device = Device::Vm.open().expect("the PTX machine").expect("a device");
    crformer::cuda::library::set_machine("written=0").expect("set");
    let began = Instant::now();
    for work in work::of_model(1) {
        let memory = memory::Memory::new(&device, Precision::Bf16, &work).expect("memory");
        let t0 = Instant::now();
        let backward = work.direction == work::Direction::Backward;
        if backward {
            memory.forward().expect("forward");
            device.synchronize().expect("s");
        }
        counted::begin().expect("counts");
        let t1 = Instant::now();
        if backward { memory.backward() } else { memory.forward() }.expect("pass");
        device.synchronize().expect("done");
        let t2 = Instant::now();
        let counted = counted::end().expect("counts");
        println!(
            "{:9} {:3}x {:2} launches  {:8.2} {:8.2} MB {:6.2} GF {:.2}s {:.2}s {} {}",
            work.direction.name(), work.times, counted.sum.launches,
            counted.sum.bytes as f64 / 1e6, counted.sum.memory_sectors as f64 * 32e-6, counted.sum.tensor as f64 / 1e9,
            (t1 - t0).as_secs_f64(), (t2 - t1).as_secs_f64(),
            work::attributes(&work.op), work.shapes(),
        );
    }
    println!("{:.1} s", began.elapsed().as_secs_f64());
}
