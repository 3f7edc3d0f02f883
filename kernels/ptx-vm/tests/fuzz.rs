//! Mutated texts of nvcc through every stage, loading and launching: nothing panics, hangs or takes memory out of proportion.
//!
//! The mutants are the same in every run. 20 000 are tried; `PTX_VM_FUZZ=1000000 cargo test -p ptx-vm --test fuzz`
//! tries more. A mutant that fails is written to a file named in the message.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use ptx_vm::parser::parse;

#[path = "parser/printer.rs"]
mod printer;
/// Loading and launching what parses.
#[path = "fuzz/running.rs"]
mod running;

use running::Reached;

/// Counts the bytes that are allocated, and the most there were.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed to the system's allocator as it came; the counters are no part of its contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(live, Ordering::Relaxed);
        // SAFETY: the caller's promises are those of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the pointer came from `System` through `alloc` above, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes a small module and its launches may take: registers of 2^16 rows in two warps, local memory of 64 threads at
/// 512 KiB each, and what is decoded.
const MOST_BYTES: usize = 256 << 20;

/// A text through the parser and back. `true` if it was accepted.
fn stages(text: &str) -> bool {
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let parsed = parse(text);
    let peak = PEAK.load(Ordering::Relaxed) - before;
    // Bytes for each byte of text: 25 for real texts, 107 for the densest one, `x;` over and over (tokens of 32 bytes,
    // an instruction of 88, its list of names, and room to grow).
    let most = 65_536 + text.len() * 150;
    assert!(peak <= most, "{peak} bytes to parse {}", text.len());
    match parsed {
        Err(error) => {
            let lines = text.lines().count();
            assert!(error.line as usize <= lines + 1, "line {} of {lines}", error.line);
            assert!(!error.message.is_empty() && error.message.len() < 400, "{}", error.message);
            false
        }
        Ok(module) => {
            let printed = printer::print(&module);
            let again = parse(&printed).unwrap_or_else(|error| panic!("printed: {error}"));
            assert_eq!(printer::print(&again), printed);
            true
        }
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, 0 if there is none.
    fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.next() % end as u64) as usize }
    }
}

/// What a mutation may write over a token: extremes and everything that opens, closes or separates.
const TOKENS: [&str; 36] = [
    "0",
    "-1",
    "18446744073709551615",
    "0x7fffffffffffffff",
    "1e308",
    "0f7FC00000",
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    ";",
    ",",
    "|",
    "!",
    "@",
    ":",
    "<",
    ">",
    "+",
    "-",
    "*",
    "_",
    ".",
    ".reg .b32 %r<1048576>;",
    ".shared .b8 x[18446744073709551615];",
    ".param",
    ".func",
    "%r1",
    "%tid",
    "L: bra L;",
    "call",
    "\"",
    "/*",
    "\u{fffd}",
];

/// Where the tokens of a text are, roughly: runs of what names are made of, and single characters.
fn pieces(text: &[u8]) -> Vec<Range<usize>> {
    let name = |byte: u8| byte.is_ascii_alphanumeric() || b"_$%.:".contains(&byte);
    let mut pieces: Vec<Range<usize>> = Vec::new();
    for (at, &byte) in text.iter().enumerate().filter(|(_, byte)| !byte.is_ascii_whitespace()) {
        match pieces.last_mut() {
            Some(last) if last.end == at && name(byte) && name(text[at - 1]) => last.end = at + 1,
            _ => pieces.push(at..at + 1),
        }
    }
    pieces
}

/// A text and where its tokens are.
struct Seed {
    name: String,
    text: Vec<u8>,
    pieces: Vec<Range<usize>>,
}

fn seeds() -> Vec<Seed> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let paths = fs::read_dir(folder).expect("the fixtures").map(|entry| entry.expect("one").path());
    let mut seeds: Vec<Seed> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "ptx"))
        .map(|path| {
            let text = fs::read(&path).expect("a fixture");
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            Seed { name, pieces: pieces(&text), text }
        })
        .collect();
    seeds.sort_by(|a, b| a.name.cmp(&b.name));
    seeds
}

impl Seed {
    /// Some consecutive tokens.
    fn run(&self, random: &mut Random, most: usize) -> Range<usize> {
        let first = random.below(self.pieces.len());
        let last = (first + random.below(most)).min(self.pieces.len() - 1);
        self.pieces[first].start..self.pieces[last].end
    }

    /// Some whole lines.
    fn lines(&self, random: &mut Random) -> Range<usize> {
        let run = self.run(random, 40);
        let is_end = |byte: &u8| *byte == b'\n';
        let start = self.text[..run.start].iter().rposition(is_end).map_or(0, |at| at + 1);
        let end = self.text[run.end..].iter().position(is_end);
        start..end.map_or(self.text.len(), |at| run.end + at + 1)
    }

    /// What one mutation puts in place of what.
    fn edit(&self, random: &mut Random, other: &Seed) -> (Range<usize>, Vec<u8>) {
        let (own, at) = (self.run(random, 4), random.below(self.text.len()));
        match random.below(9) {
            0 => (at..at + 1, vec![self.text[at] ^ 1 << random.below(8)]),
            1 => (at..at + 1, vec![random.next() as u8]),
            2 => (own, Vec::new()),
            3 => (own.end..own.end, [b" ", &self.text[own]].concat()),
            4 => (own, other.text[other.run(random, 8)].to_vec()),
            5 => (own, TOKENS[random.below(TOKENS.len())].into()),
            6 => (self.lines(random), Vec::new()),
            7 => {
                let (here, there) = (self.lines(random).start, other.lines(random));
                (here..here, other.text[there].to_vec())
            }
            _ => (self.lines(random), self.text[self.lines(random)].to_vec()),
        }
    }

    /// The text with one to three mutations.
    fn mutant(&self, random: &mut Random, other: &Seed) -> String {
        let mut text = self.text.clone();
        // Behind the first mutation the positions are those of the text before; they only have to be in bounds.
        for _ in 0..=random.below(3) {
            let (range, new) = self.edit(random, other);
            let end = range.end.min(text.len());
            text.splice(range.start.min(end)..end, new);
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// Texts of one construct over and over, each as dense as it can be written.
fn dense_texts() -> Vec<String> {
    const COUNT: usize = 50_000;
    let repeated = [
        "x;",
        "x _;",
        "x {_};",
        "x _|_;",
        "x[0];",
        "x[p];",
        "x p;",
        "{}",
        "{A:}",
        "{x A;}",
        "{.reg.b8 a;}",
        "call f;",
    ];
    let repeated = repeated.map(|statement| statement.repeat(COUNT));
    let numbered = |before: &str, behind: &str| -> String {
        (0..COUNT).map(|index| format!("{before}{index}{behind}")).collect()
    };
    let distinct = [
        numbered("L", ":"),
        numbered("{x B", ";}"),
        numbered(".reg.b8 r", ";"),
        numbered(".reg.b8 s", "_<2>;"),
        numbered(".local.b8 v", ";"),
        format!("x {}0;", "_,".repeat(COUNT)),
        format!(".reg.b8 r<1>;x {{{}0}};", "r0,".repeat(COUNT)),
    ];
    let body = |body: &String| format!(".func f;.entry k(.param.b8 p){{A:{body}}}");
    let kernels = repeated.iter().chain(&distinct).map(body);
    let modules = [
        numbered(".func f", "{}"),
        numbered(".func f", "(.reg.b8 a);"),
        numbered(".global.b8 v", ";"),
        format!(".global.b8 v[]={{{}0}};", "0,".repeat(COUNT)),
        format!(".section.x{{{}}}", ",".repeat(COUNT)),
        ".file 1\"\"".repeat(COUNT),
    ];
    kernels.chain(modules).map(|text| format!(".version 9.0 .target sm_80 {text}")).collect()
}

/// Loads and launches, under the limit of memory.
fn run(text: &str, index: u64) -> Reached {
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let reached = running::load_and_launch(text, index);
    let peak = PEAK.load(Ordering::Relaxed) - before;
    assert!(peak <= MOST_BYTES, "{peak} bytes to run {} of text", text.len());
    reached
}

/// Ends the process when one mutant takes longer than anything should.
fn watch(current: &'static AtomicU64) {
    std::thread::spawn(move || {
        let mut last = (u64::MAX, 0);
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let index = current.load(Ordering::Relaxed);
            last = if index == last.0 { (index, last.1 + 1) } else { (index, 0) };
            if last.1 > 120 {
                eprintln!("mutant {index} does not end");
                std::process::abort();
            }
        }
    });
}

/// One test, not two at a time: the counters are of the whole process.
#[test]
fn dense_texts_and_mutants_of_real_texts() {
    for text in dense_texts() {
        // A label that is named and stands nowhere is the only error among these.
        assert_eq!(stages(&text), !text.contains("x B"), "{text:.100}");
    }
    let count = std::env::var("PTX_VM_FUZZ")
        .map_or(20_000, |count| count.parse().expect("PTX_VM_FUZZ is a number of mutants"));
    let seeds = seeds();
    let (mut accepted, mut loaded, mut passed, mut broken) = (0u64, 0u64, 0u64, 0u64);
    static CURRENT: AtomicU64 = AtomicU64::new(0);
    watch(&CURRENT);
    for index in 0..count {
        CURRENT.store(index, Ordering::Relaxed);
        let mut random = Random(index);
        let seed = &seeds[random.below(seeds.len())];
        let other = &seeds[random.below(seeds.len())];
        let text = seed.mutant(&mut random, other);
        let both = || stages(&text).then(|| run(&text, index));
        match catch_unwind(AssertUnwindSafe(both)) {
            Ok(None) => {}
            Ok(Some(reached)) => {
                accepted += 1;
                if let Reached::Loaded { passed: good, broken: bad } = reached {
                    loaded += 1;
                    (passed, broken) = (passed + u64::from(good), broken + u64::from(bad));
                }
            }
            Err(_) => {
                let file =
                    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("mutant_{index}.ptx"));
                fs::write(&file, &text).expect("a folder to write to");
                panic!("mutant {index} of {} failed: {}", seed.name, file.display());
            }
        }
    }
    println!(
        "{accepted} of {count} mutants parsed, {loaded} loaded; {passed} launches passed, {broken} did not"
    );
    // Of mutants that are all good or all bad one would learn nothing.
    let telling = count / 20..=count * 19 / 20;
    assert!(count < 1000 || telling.contains(&accepted), "{accepted} of {count} accepted");
    assert!(count < 1000 || (loaded > count / 50 && passed > count / 100 && broken > count / 100));
}
