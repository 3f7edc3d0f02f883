//! Where the time of a pass on the CPU goes: the operations, by their share.

use std::collections::BTreeMap;

use crformer::error::Result;
use crformer::exec::cpu::CpuSession;

use crate::case::{Inputs, Settings};

pub fn profile(settings: &Settings) -> Result<()> {
    for build in settings.builds(1) {
        let (graph, reverse, inputs) = Inputs::of(settings, build)?;
        let mut session = CpuSession::<f32>::new(graph, reverse, 0);
        inputs.fill(&mut session)?;
        session.time_nodes(0);
        let times = session.time_nodes(1);
        let mut sums: BTreeMap<&str, [f64; 3]> = BTreeMap::new();
        for time in &times {
            let sum = sums.entry(time.operation).or_default();
            *sum = [sum[0] + time.forward, sum[1] + time.backward, sum[2] + 1.0];
        }
        let total = |i: usize| sums.values().map(|s| s[i]).sum::<f64>() * 1e3;
        println!("{build:?}: forward {:.0} ms, backward {:.0} ms", total(0), total(1));
        let mut rows: Vec<_> = sums.iter().collect();
        rows.sort_by(|a, b| (b.1[0] + b.1[1]).total_cmp(&(a.1[0] + a.1[1])));
        for (operation, [forward, backward, count]) in rows {
            let (forward, backward) = (forward * 1e3, backward * 1e3);
            println!("  {operation:22} {count:4} x  {forward:8.1} ms  {backward:8.1} ms");
        }
    }
    Ok(())
}
