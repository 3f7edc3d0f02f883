//! Special registers, in launches of three dimensions.

use ptx_vm::launch::Dimensions;

use crate::bench::{Bench, kernel};

/// What `register` holds in each thread, in the order of blocks and threads; `_` where it has 64 bits.
fn read(register: &str, grid: [u32; 3], block: [u32; 3], dynamic_shared: u32) -> Vec<u32> {
    let text = kernel(&format!(
        "mov.u32 %r9, {register};
        mov.u32 %r10, %ctaid.y; mov.u32 %r11, %ctaid.z; mov.u32 %r12, %nctaid.x; mov.u32 %r13, %nctaid.y;
        mad.lo.u32 %r10, %r11, %r13, %r10; mad.lo.u32 %r10, %r10, %r12, %r2;
        mov.u32 %r11, %ntid.z; mad.lo.u32 %r10, %r10, %r11, 0; mov.u32 %r11, %tid.z; add.u32 %r10, %r10, %r11;
        mov.u32 %r11, %ntid.y; mul.lo.u32 %r10, %r10, %r11; mov.u32 %r11, %tid.y; add.u32 %r10, %r10, %r11;
        mul.lo.u32 %r10, %r10, %r3; add.u32 %r10, %r10, %r1;
        mad.wide.u32 %rd6, %r10, 4, %rd1; st.global.u32 [%rd6], %r9;"
    ));
    let mut bench = Bench::new(&text);
    bench.options.threads = 2;
    let count = grid.into_iter().chain(block).product::<u32>() as usize;
    let out = bench.unset(count);
    let arguments = [out.to_le_bytes(), [0; 8]].concat();
    let dimensions = Dimensions { grid, block, dynamic_shared };
    bench.launch("k", dimensions, &arguments).unwrap_or_else(|e| panic!("{e}"));
    bench.read(out, count)
}

const GRID: [u32; 3] = [3, 2, 2];
const BLOCK: [u32; 3] = [5, 4, 3];

/// `f(block, thread)` for all, x fastest.
fn all(f: impl Fn([u32; 3], [u32; 3]) -> u32) -> Vec<u32> {
    let positions = |[x, y, z]: [u32; 3]| {
        (0..z).flat_map(move |z| (0..y).flat_map(move |y| (0..x).map(move |x| [x, y, z])))
    };
    positions(GRID)
        .flat_map(|block| positions(BLOCK).map(move |thread| (block, thread)))
        .map(|(b, t)| f(b, t))
        .collect()
}

#[test]
fn positions_in_block_and_grid() {
    for (axis, name) in ["x", "y", "z"].into_iter().enumerate() {
        let read = |register: &str| read(&format!("%{register}.{name}"), GRID, BLOCK, 0);
        assert_eq!(read("tid"), all(|_, thread| thread[axis]));
        assert_eq!(read("ntid"), all(|_, _| BLOCK[axis]));
        assert_eq!(read("ctaid"), all(|block, _| block[axis]));
        assert_eq!(read("nctaid"), all(|_, _| GRID[axis]));
        assert_eq!(read("clusterid"), all(|block, _| block[axis]));
        assert_eq!(read("nclusterid"), all(|_, _| GRID[axis]));
        assert_eq!(read("cluster_ctaid"), all(|_, _| 0));
        assert_eq!(read("cluster_nctaid"), all(|_, _| 1));
    }
}

#[test]
fn lanes_and_warps() {
    let linear = |[x, y, z]: [u32; 3]| x + BLOCK[0] * (y + BLOCK[1] * z);
    let read = |register: &str| read(register, GRID, BLOCK, 0);
    assert_eq!(read("%laneid"), all(|_, t| linear(t) % 32));
    assert_eq!(read("%warpid"), all(|_, t| linear(t) / 32));
    assert_eq!(read("%nwarpid"), all(|_, _| 2));
    for (name, holds) in [
        ("eq", (|a, b| a == b) as fn(u32, u32) -> bool),
        ("lt", |a, b| a < b),
        ("le", |a, b| a <= b),
        ("gt", |a, b| a > b),
        ("ge", |a, b| a >= b),
    ] {
        let mask =
            |lane: u32| (0..32).filter(|&other| holds(other, lane)).fold(0, |m, l| m | 1 << l);
        assert_eq!(read(&format!("%lanemask_{name}")), all(|_, t| mask(linear(t) % 32)), "{name}");
    }
}

#[test]
fn sizes_and_counts() {
    assert_eq!(read("%dynamic_smem_size", [1; 3], [2, 1, 1], 4096), [4096; 2]);
    assert_eq!(read("%total_smem_size", [1; 3], [2, 1, 1], 4096), [4096; 2]);
    assert_eq!(read("%smid", [2, 1, 1], [1; 3], 0), [0; 2]);
    assert_eq!(read("%nsmid", [2, 1, 1], [1; 3], 0), [1; 2]);
    assert_eq!(read("%cluster_ctarank", [2, 1, 1], [1; 3], 0), [0; 2]);
    assert_eq!(read("%cluster_nctarank", [2, 1, 1], [1; 3], 0), [1; 2]);
}

/// There is one grid, no graph, and no cluster that anybody asked for.
#[test]
fn what_is_always_the_same() {
    let statements = "mov.u64 %rd6, %gridid; mov.u64 %rd7, %current_graph_exec; mov.u32 %r9, %gridid; or.b64 %rd6, %rd6, %rd7;
        mov.pred %p1, %is_explicit_cluster; selp.u32 %r10, 1, 0, %p1; cvt.u32.u64 %r11, %rd6;
        or.b32 %r9, %r9, %r10; or.b32 %r9, %r9, %r11; st.global.u32 [%rd4], %r9;";
    assert_eq!(crate::bench::results("", statements, (2, 32), &[0]), [0; 64]);
    assert_eq!(read("%aggr_smem_size", [1; 3], [2, 1, 1], 4096), [4096; 2]);
}

/// What the system keeps of shared memory (cooperative groups have their scratch there) is nobody's variable.
#[test]
fn reserved_shared_memory() {
    let statements = ".shared .align 4 .b8 mine[64]; mov.u32 %r9, %reserved_smem_offset_1; mov.u32 %r10, mine;
        st.shared.u32 [%r9+1020], %r1; ld.shared.u32 %r11, [%r9+1020]; sub.u32 %r12, %r9, %r10; add.u32 %r13, %r12, 1023;
        setp.lt.u32 %p1, %r12, 64; setp.lt.u32 %p2, %r13, 1023; or.pred %p1, %p1, %p2; selp.u32 %r9, 1000, %r11, %p1; st.global.u32 [%rd4], %r9;";
    assert_eq!(crate::bench::results("", statements, (3, 1), &[0]), [0; 3]);
    // It is zero when a block starts, whatever the block before left there.
    let statements = "mov.u32 %r9, %reserved_smem_offset_begin; ld.shared.u32 %r10, [%r9]; ld.shared.u32 %r11, [%r9+1020];
        add.u32 %r12, %r1, 5; st.shared.u32 [%r9], %r12; st.shared.u32 [%r9+1020], %r12; or.b32 %r10, %r10, %r11; st.global.u32 [%rd4], %r10;";
    assert_eq!(crate::bench::results("", statements, (3, 1), &[0]), [0; 3]);
    let beyond = "mov.u32 %r9, %reserved_smem_offset_1;\nst.shared.u32 [%r9+1024], %r1;\n";
    let bench = crate::bench::Bench::kernel("", beyond);
    let fault = bench.fault(1, 1, &[0, 0]);
    assert_eq!(fault.rule, ptx_vm::error::Rule::OutOfBounds);
}

/// Clocks never go back, and go on.
#[test]
fn clocks() {
    let statements = "mov.u32 %r9, %clock; mov.u64 %rd6, %clock64; mov.u64 %rd7, %globaltimer; mov.u32 %r11, 0;
        LOOP: add.u32 %r11, %r11, 1; setp.lt.u32 %p1, %r11, 100; @%p1 bra LOOP; nanosleep.u32 20;
        mov.u32 %r10, %clock; mov.u64 %rd8, %clock64; mov.u64 %rd9, %globaltimer;
        sub.u32 %r9, %r10, %r9; sub.u64 %rd6, %rd8, %rd6; setp.ge.u64 %p1, %rd9, %rd7; cvt.u32.u64 %r10, %rd6;
        min.u32 %r9, %r9, %r10; selp.u32 %r9, %r9, 0, %p1; st.global.u32 [%rd4], %r9;";
    for passed in crate::bench::results("", statements, (1, 33), &[0]) {
        assert!((100..10_000).contains(&passed), "{passed} clocks for 300 instructions");
    }
}
