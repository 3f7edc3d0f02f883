//! Accesses that nothing orders, each beside the program that orders them; and what a missing barrier does to results
//! when warps run in a random order.

use ptx_vm::error::{Fault, Rule};

use crate::bench::Bench;

/// The program races at `at` in (block, thread); without the detector it runs through.
#[track_caller]
fn races(statements: &str, (grid, block): (u32, u32), at: &str, place: (u32, u32)) -> Fault {
    let mut bench = Bench::kernel("", statements);
    let arguments =
        |bench: &Bench| [bench.words(&vec![0; (grid * block) as usize]), bench.words(&[0; 64])];
    let fault = bench.fault(grid, block, &arguments(&bench));
    bench.assert_at(&fault, Rule::Race, at, place);
    for seed in 1..=20 {
        bench.options.adversarial = Some(seed);
        let fault = bench.fault(grid, block, &arguments(&bench));
        assert_eq!(fault.rule, Rule::Race, "seed {seed}: {fault}");
    }
    (bench.options.races, bench.options.adversarial) = (false, None);
    bench.pass(grid, block, &arguments(&bench));
    fault
}

/// The program does not race, in no order of warps, with one host thread or two.
#[track_caller]
fn ordered(statements: &str, (grid, block): (u32, u32)) {
    crate::bench::results("", statements, (grid, block), &[0; 64]);
}

/// Neighbours exchange words in shared memory, `distance` threads apart; three rounds.
fn exchange(distance: u32, before: &str, behind: &str) -> String {
    exchange_among(64, distance, before, behind)
}

/// The same in a block of so many threads.
fn exchange_among(threads: u32, distance: u32, before: &str, behind: &str) -> String {
    format!(
        ".shared .b32 s[{threads}]; mov.u32 %r10, s; mad.lo.u32 %r11, %r1, 4, %r10; xor.b32 %r12, %r1, {distance}; mad.lo.u32 %r12, %r12, 4, %r10;
        mov.u32 %r13, 0; add.u32 %r9, %r1, 1; st.shared.u32 [%r11], %r9; bar.sync 0;
        LOOP:
        st.shared.u32 [%r11], %r9; // written
        {before}
        ld.shared.u32 %r14, [%r12]; // read
        {behind}
        mad.lo.u32 %r9, %r14, 3, %r9; add.u32 %r13, %r13, 1; setp.lt.u32 %p1, %r13, 3; @%p1 bra LOOP;
        st.global.u32 [%rd4], %r9;"
    )
}

#[test]
fn shared_memory_between_warps() {
    let fault = races(&exchange(32, "", "bar.sync 0;"), (1, 64), "// written", (0, 32));
    assert_eq!(fault.address, Some(128));
    assert!(fault.message.contains("thread 0"), "{fault}");
    races(&exchange(32, "bar.sync 0;", ""), (1, 64), "// read", (0, 32));
    ordered(&exchange(32, "bar.sync 0;", "bar.sync 0;"), (1, 64));
    // A barrier of each warp is not enough.
    races(&exchange(32, "bar.warp.sync -1;", "bar.warp.sync -1;"), (1, 64), "// written", (0, 32));
}

#[test]
fn shared_memory_inside_a_warp() {
    let fault = races(&exchange(1, "", "bar.warp.sync -1;"), (1, 64), "// read", (0, 0));
    assert_eq!(fault.address, Some(4));
    ordered(&exchange(1, "bar.warp.sync -1;", "bar.warp.sync -1;"), (1, 64));
}

/// Groups of two warps exchange words behind a barrier of their own; another group's, one of another number for one of
/// the warps or the arrival alone orders nothing.
#[test]
fn barriers_of_some_warps() {
    let named = |barrier: &str| format!("shr.u32 %r16, %r1, 6; add.u32 %r16, %r16, 1; {barrier}");
    let own = named("bar.sync %r16, 64;");
    ordered(&exchange_among(128, 32, &own, &own), (1, 128));
    races(&exchange_among(128, 32, "", &own), (1, 128), "// written", (0, 32));
    races(&exchange_among(128, 32, &own, ""), (1, 128), "// read", (0, 32));
    // Partners are in the other group: each group's barrier passes, and they are not ordered.
    races(&exchange_among(128, 64, &own, &own), (1, 128), "// read", (0, 0));
    // Warps 0 and 3 meet at one barrier, 1 and 2 at the other.
    let crossed = "shr.u32 %r16, %r1, 5; add.u32 %r16, %r16, 1; bfe.u32 %r16, %r16, 1, 1; add.u32 %r16, %r16, 1; bar.sync %r16, 64;";
    races(&exchange_among(128, 32, crossed, crossed), (1, 128), "// read", (0, 0));
    ordered(&exchange_among(128, 96, crossed, crossed), (1, 128));
}

/// One warp writes and arrives, the other waits and reads; the way back has a barrier of its own.
#[test]
fn arrival_orders_what_came_before_it() {
    let hand_over = |filled: &str, first: &str, early: &str, late: &str| {
        format!(
            ".shared .b32 s[32]; mov.u32 %r10, s; and.b32 %r11, %r1, 31; mad.lo.u32 %r11, %r11, 4, %r10; mov.u32 %r13, 0; mov.u32 %r9, 0;
            setp.ge.u32 %p1, %r1, 32; @%p1 bra READ;
            WRITER: add.u32 %r9, %r1, %r13;
            bar.sync 2, 64;
            st.shared.u32 [%r11], %r9; // written
            {filled}
            add.u32 %r13, %r13, 1; setp.lt.u32 %p1, %r13, 3; @%p1 bra WRITER; bra END;
            READ: {first}
            READER: {late}
            bar.sync 1, 64;
            {early}
            ld.shared.u32 %r14, [%r11]; // read
            add.u32 %r9, %r9, %r14;
            add.u32 %r13, %r13, 1; setp.lt.u32 %p1, %r13, 3; @%p1 bra READER;
            END: st.global.u32 [%rd4], %r9;"
        )
    };
    let (filled, emptied) = ("bar.arrive 1, 64;", "bar.arrive 2, 64;");
    ordered(&hand_over(filled, "", "", emptied), (1, 64));
    ordered(&hand_over("bar.sync 1, 64;", "", "", emptied), (1, 64));
    // The reader gives the words back before it has read them.
    let early = "setp.lt.u32 %p2, %r13, 2; @%p2 bar.arrive 2, 64;";
    races(&hand_over(filled, emptied, early, ""), (1, 64), "// read", (0, 32));
}

/// Threads of two warps store `first` and `second`; then all threads of the block have met.
fn parts(first: &str, second: &str) -> String {
    format!(
        ".shared .align 8 .b8 s[64]; mov.u32 %r10, s; mov.u64 %rd7, %rd2; mov.u32 %r9, 7; mov.b32 {{%h1, %h2}}, %r9; and.b32 %r11, %r1, 31;
        mov.u64 %rd8, 0; setp.ne.u32 %p1, %r1, 33; @!%p1 st.shared.u64 [s], %rd8; bar.sync 0;
        setp.ne.u32 %p1, %r11, 0; @%p1 bra END; setp.ne.u32 %p1, %r1, 0; @%p1 bra OTHER;
        {first} // first
        bra END;
        OTHER: {second} // second
        END: bar.sync 0;"
    )
}

#[test]
fn parts_of_words() {
    for (space, base) in [("shared", "%r10"), ("global", "%rd7")] {
        let store = |kind: &str, offset: u32| {
            let value = if kind == "u16" { "%h1" } else { "%r9" };
            format!("st.{space}.{kind} [{base}+{offset}], {value};")
        };
        let load = |kind: &str, offset: u32| {
            let value = if kind == "u16" { "%h2" } else { "%r12" };
            format!("ld.{space}.{kind} {value}, [{base}+{offset}];")
        };
        // Neighbours in one word are none of each other's business, whatever their sizes.
        for (first, second) in [
            (store("u8", 0), store("u8", 1)),
            (store("u8", 3), store("u8", 2)),
            (store("u16", 0), store("u16", 2)),
            (store("u16", 2), store("u8", 1)),
            (store("u32", 0), store("u8", 4)),
            (store("u16", 6), store("u32", 0)),
        ] {
            ordered(&parts(&first, &second), (1, 64));
        }
        for (first, second, at) in [
            (store("u8", 1), store("u8", 1), 1),
            (store("u16", 2), store("u16", 2), 2),
            (store("u16", 2), store("u8", 3), 3),
            (store("u32", 0), store("u8", 2), 2),
            (store("u8", 2), store("u32", 0), 0),
            (store("u32", 4), store("u16", 6), 6),
            (store("u32", 4), load("u8", 7), 7),
            (load("u16", 2), store("u32", 0), 0),
            (store("u8", 0), load("u16", 0), 0),
            (store("b64", 0).replace("%r9", "%rd2"), store("u8", 5), 5),
        ] {
            races_at(&parts(&first, &second), space == "global", at);
        }
    }
}

/// The second of two warps races, at so many bytes from the beginning of the shared or of the second buffer.
#[track_caller]
fn races_at(statements: &str, global: bool, offset: u64) {
    let mut bench = Bench::kernel("", statements);
    let arguments = [0, bench.words(&[0; 4])];
    for seed in [None, Some(1), Some(2), Some(3), Some(4)] {
        bench.options.adversarial = seed;
        let fault = bench.fault(1, 64, &arguments);
        assert_eq!(fault.rule, Rule::Race, "{fault}");
        if seed.is_none() {
            bench.assert_at(&fault, Rule::Race, "// second", (0, 32));
            let base = if global { arguments[1] } else { 0 };
            assert_eq!(fault.address.map(|at| at - base), Some(offset), "{fault}");
        }
    }
    (bench.options.races, bench.options.adversarial) = (false, None);
    bench.pass(1, 64, &arguments);
}

#[test]
fn blocks_that_share_a_word() {
    let both = |first: &str, second: &str| {
        format!(
            "mov.u32 %r9, 1; setp.eq.u32 %p1, %r2, 0; @%p1 bra FIRST;
            {second} // second
            bra END;
            FIRST: {first} // first
            END:"
        )
    };
    let (load, store) = ("ld.global.u32 %r9, [%rd2];", "st.global.u32 [%rd2], %r9;");
    let (atom, relaxed) =
        ("red.global.add.u32 [%rd2], 1;", "st.relaxed.gpu.global.u32 [%rd2], %r9;");
    for (first, second) in
        [(store, load), (load, store), (store, store), (atom, load), (store, atom)]
    {
        races_in_blocks(&both(first, second), "// second");
    }
    // A scope of the block is not enough for two of them.
    races_in_blocks(&both("st.relaxed.cta.global.u32 [%rd2], %r9;", relaxed), "// second");
    for (first, second) in [
        (load, load),
        (atom, atom),
        (relaxed, atom),
        ("ld.relaxed.gpu.global.u32 %r9, [%rd2];", relaxed),
    ] {
        ordered(&both(first, second), (2, 1));
    }
    // The words beside each other are none of the other's business.
    ordered(&both(store, "st.global.u32 [%rd2+4], %r9;"), (2, 1));
}

#[track_caller]
fn races_in_blocks(statements: &str, at: &str) {
    let mut bench = Bench::kernel("", statements);
    let arguments = [bench.words(&[0; 2]), bench.words(&[0; 64])];
    let fault = bench.fault(2, 1, &arguments);
    bench.assert_at(&fault, Rule::Race, at, (1, 0));
    assert_eq!(fault.address, Some(arguments[1]));
    bench.options.races = false;
    bench.pass(2, 1, &arguments);
}

/// Block 0 writes data and then a flag, block 1 waits for the flag and reads the data.
fn message(release: &str, flag: &str, wait: &str, acquire: &str) -> String {
    format!(
        "mov.u32 %r9, 5; mov.u32 %r10, 1; setp.eq.u32 %p1, %r2, 0; @%p1 bra WRITER;
        WAIT: {wait}.u32 %r10, [%rd2+4]; setp.eq.u32 %p2, %r10, 0; @%p2 bra WAIT;
        {acquire}
        ld.global.u32 %r9, [%rd2]; // data
        st.global.u32 [%rd4], %r9; bra END;
        WRITER: st.global.u32 [%rd2], %r9;
        {release}
        {flag}.u32 [%rd2+4], %r10;
        END:"
    )
}

#[test]
fn data_behind_a_flag() {
    let (fence, store, load) =
        ("fence.acq_rel.gpu;", "st.relaxed.gpu.global", "ld.relaxed.gpu.global");
    ordered(&message(fence, store, load, fence), (2, 1));
    ordered(&message("", "st.release.gpu.global", "ld.acquire.gpu.global", ""), (2, 1));
    ordered(
        &message("membar.gl;", "st.volatile.global", "ld.volatile.global", "membar.gl;"),
        (2, 1),
    );
    races_in_blocks(&message("", store, load, fence), "// data");
    races_in_blocks(&message(fence, store, load, ""), "// data");
    races_in_blocks(&message("fence.acq_rel.cta;", store, load, fence), "// data");
}

#[test]
fn fences_of_every_kind_and_scope() {
    let (store, load) = ("st.relaxed.gpu.global", "ld.relaxed.gpu.global");
    for kind in ["", ".sc", ".acq_rel"] {
        for scope in ["cluster", "gpu", "sys"] {
            let fence = format!("fence{kind}.{scope};");
            ordered(&message(&fence, store, load, &fence), (2, 1));
        }
        // The scope of a block is not enough for two of them, and is for two warps of one.
        let narrow = format!("fence{kind}.cta;");
        races_in_blocks(&message(&narrow, store, load, &narrow), "// data");
        races_in_blocks(&message(&narrow, store, load, "fence.acq_rel.gpu;"), "// data");
        let warps = message(&narrow, store, load, &narrow)
            .replace("setp.eq.u32 %p1, %r2, 0;", "setp.lt.u32 %p1, %r1, 32;");
        let warps = warps.replace("WRITER:", "WRITER: setp.ne.u32 %p3, %r1, 0; @%p3 bra END;");
        let warps = warps.replace("WAIT:", "setp.ne.u32 %p3, %r1, 32; @%p3 bra END; WAIT:");
        ordered(&warps, (1, 64));
    }
    for scope in ["cluster", "gpu", "sys"] {
        let (release, acquire) =
            (format!("fence.release.{scope};"), format!("fence.acquire.{scope};"));
        ordered(&message(&release, store, load, &acquire), (2, 1));
    }
    for name in ["membar.gl", "membar.sys"] {
        ordered(&message(&format!("{name};"), store, load, &format!("{name};")), (2, 1));
    }
    races_in_blocks(&message("membar.cta;", store, load, "membar.gl;"), "// data");
    // Fences of proxies are for others: they order no ordinary accesses.
    for proxy in [
        "fence.proxy.alias;",
        "fence.proxy.async;",
        "fence.proxy.async.global;",
        "fence.proxy.tensormap::generic.release.gpu;",
    ] {
        races_in_blocks(&message(proxy, store, load, "fence.acq_rel.gpu;"), "// data");
    }
}

/// Sums of all blocks, added up by the one that comes last (`threadFenceReduction` of the CUDA samples).
#[test]
fn the_last_block_reads_what_all_wrote() {
    let statements = |fence: &str| {
        format!(
            ".shared .b32 ticket; mul.lo.u32 %r9, %r1, 2; st.global.u32 [%rd4], %r9;
            bar.sync 0;
            setp.ne.u32 %p1, %r1, 0; @%p1 bra WAIT;
            {fence}
            atom.global.add.u32 %r10, [%rd2], 1; st.shared.u32 [ticket], %r10;
            WAIT: bar.sync 0;
            ld.shared.u32 %r10, [ticket]; mov.u32 %r11, %nctaid.x; add.u32 %r10, %r10, 1; setp.ne.u32 %p1, %r10, %r11; @%p1 exit;
            setp.ne.u32 %p1, %r1, 0; @%p1 exit;
            mul.lo.u32 %r12, %r11, %r3; mov.u32 %r13, 0; mov.u32 %r14, 0;
            LOOP: mad.wide.u32 %rd6, %r13, 4, %rd1;
            ld.global.u32 %r15, [%rd6]; // others
            add.u32 %r14, %r14, %r15; add.u32 %r13, %r13, 1; setp.lt.u32 %p2, %r13, %r12; @%p2 bra LOOP;
            st.global.u32 [%rd2+4], %r14;"
        )
    };
    let mut bench = Bench::kernel("", &statements("membar.gl;"));
    for threads in [1, 2] {
        bench.options.threads = threads;
        let arguments = [bench.unset(4 * 64), bench.words(&[0, 0])];
        bench.pass(4, 64, &arguments);
        assert_eq!(bench.read(arguments[1], 2), [4, 4 * 63 * 64]);
    }
    let bench = Bench::kernel("", &statements(""));
    let fault = bench.fault(4, 64, &[bench.unset(4 * 64), bench.words(&[0, 0])]);
    bench.assert_at(&fault, Rule::Race, "// others", (3, 0));
}

/// The last block sets the counter of all back for the next launch, by an ordinary store, as the sample does.
#[test]
fn the_last_block_sets_the_counter_back() {
    let statements = |count: &str, who: &str| {
        format!(
            ".shared .b32 ticket; mov.u32 %r10, 0; setp.ne.u32 %p1, %r1, 0; @%p1 bra WAIT;
            {count}
            st.shared.u32 [ticket], %r10;
            WAIT: bar.sync 0;
            ld.shared.u32 %r10, [ticket]; mov.u32 %r11, %nctaid.x; sub.u32 %r11, %r11, 1;
            setp.ne.u32 %p1, {who}; setp.ne.or.u32 %p1, %r1, 33, %p1; @%p1 exit;
            mov.u32 %r12, 0;
            st.global.u32 [%rd2], %r12; // back"
        )
    };
    let (add, last) = ("atom.global.add.u32 %r10, [%rd2], 1;", "%r10, %r11");
    let mut bench = Bench::kernel("", &statements(add, last));
    for (threads, seed) in [(1, None), (2, None), (1, Some(3)), (2, Some(4))] {
        (bench.options.threads, bench.options.adversarial) = (threads, seed);
        let arguments = [0, bench.words(&[0])];
        (0..3).for_each(|_| bench.pass(6, 64, &arguments));
        assert_eq!(bench.read(arguments[1], 1), [0]);
    }
    // The last in the grid is not the last to come, and `red`, or an `atom` of whose result nothing is made, does not tell; nor does it help to look first.
    for (count, who) in [
        ("red.global.add.u32 [%rd2], 1;", "%r2, %r11"),
        ("atom.global.add.u32 %r20, [%rd2], 1;", "%r2, %r11"),
        ("ld.relaxed.gpu.global.u32 %r10, [%rd2]; red.global.add.u32 [%rd2], 1;", "%r2, %r11"),
    ] {
        let bench = Bench::kernel("", &statements(count, who));
        let fault = bench.fault(6, 64, &[0, bench.words(&[0])]);
        bench.assert_at(&fault, Rule::Race, "// back", (5, 33));
    }
}

/// A loop of compare-and-swaps begins with an ordinary load (`atomicAdd` of bf16 in CUDA's headers): whether it was right
/// the swap tells. Any other use of what was loaded is none.
#[test]
fn the_first_read_of_compare_and_swap() {
    let sum = |first: &str, swap: &str| {
        format!(
            "ld.global.u32 %r9, {first}; // first
            AGAIN: add.u32 %r11, %r9, %r4; atom.global.cas.b32 %r10, {swap}, %r9, %r11;
            setp.ne.u32 %p1, %r10, %r9; mov.u32 %r9, %r10; @%p1 bra AGAIN;"
        )
    };
    let mut bench = Bench::kernel("", &sum("[%rd2]", "[%rd2]"));
    for (threads, seed) in [(1, None), (2, None), (1, Some(5)), (2, Some(6))] {
        (bench.options.threads, bench.options.adversarial) = (threads, seed);
        let arguments = [0, bench.words(&[1])];
        bench.pass(3, 64, &arguments);
        assert_eq!(bench.read(arguments[1], 1), [1 + 191 * 96]);
    }
    let elsewhere = sum("[%rd2+4]", "[%rd2]") + "red.global.add.u32 [%rd2+4], 1; // last";
    let bench = Bench::kernel("", &elsewhere);
    let fault = bench.fault(2, 1, &[0, bench.words(&[1, 0])]);
    bench.assert_at(&fault, Rule::Race, "// first", (1, 0));
}

/// Without the detector a missing barrier shows in the numbers of at least one of twenty orders, and a program that has
/// its barriers gives the same in all.
#[test]
fn a_missing_barrier_gives_wrong_numbers() {
    let run = |statements: &str, seed: Option<u64>| {
        let mut bench = Bench::kernel("", statements);
        (bench.options.races, bench.options.adversarial) = (false, seed);
        let arguments = [bench.unset(64), 0];
        bench.pass(1, 64, &arguments);
        bench.read(arguments[0], 64)
    };
    let right = run(&exchange(32, "bar.sync 0;", "bar.sync 0;"), None);
    let wrong =
        |statements: &str| (1..=20).filter(|seed| run(statements, Some(*seed)) != right).count();
    assert_eq!(wrong(&exchange(32, "bar.sync 0;", "bar.sync 0;")), 0);
    assert!(wrong(&exchange(32, "", "bar.sync 0;")) > 0);
    assert!(wrong(&exchange(32, "bar.sync 0;", "")) > 0);
}
