//! Whole kernels on the machine: what they compute, and every rule that they can break.

/// Totals over threads, blocks and host threads.
mod atomics;
/// Barriers of a block in all their forms.
mod barriers;
/// A device to run texts on.
mod bench;
/// Device functions, printing, assertions.
mod calls;
/// The barrier of a cluster, and addresses in it.
mod clusters;
/// Branches, loops, switches: lanes part and meet.
mod divergence;
/// Shuffles, votes and what else lanes tell each other.
mod exchange;
/// Every form of loads, stores and atomic operations.
mod forms;
/// `malloc` and `free`.
mod heap;
/// Launches beyond limits, kernels without end, traps.
mod limits;
/// Addresses that are wrong: bounds, alignment, freed, unwritten, read-only memory.
mod memory_faults;
/// Kernels as nvcc writes them.
mod nvcc;
/// Cache policies, which change nothing.
mod policies;
/// Accesses that nothing orders.
mod races;
/// Special registers.
mod registers;
/// Function pointers and recursion.
mod routines;
/// State spaces, vectors, generic addresses.
mod spaces;
/// Loads wider than what is used of them.
mod used_bytes;
/// Barriers, exchanges and flags that some never reach.
mod waiting;
