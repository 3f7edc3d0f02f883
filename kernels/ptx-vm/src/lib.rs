//! A machine that runs PTX on the CPU, stricter than a GPU, and shows itself as a CUDA driver library.
//!
//! | floor | rooms |
//! |---|---|
//! | 4 | `launch` (grid over host threads), `block` (warps in turn), `warp` (splits, lowest instruction first) |
//! | 3 | `family` (what each instruction does), `decode` (text to instructions) |
//! | 2 | `turn` (what an instruction sees), `shapes` (loops over lanes), `program` (decoded code) |
//! | 1 | `arithmetic` (numbers and roundings), `registers`, `stack`, `heap`, `barrier`, `asynchronous`, `memory`, `print`, `profile`, `progress`, `target`, `random` |
//! | 0 | `error`, `syntax` (what a text says) |

pub mod arithmetic;
pub mod asynchronous;
pub mod barrier;
pub mod block;
pub mod decode;
pub mod driver;
pub mod error;
pub mod family;
pub mod heap;
pub mod launch;
mod lexer;
mod literal;
pub mod memory;
pub mod module;
pub mod parser;
pub mod print;
pub mod profile;
pub mod program;
mod progress;
pub mod random;
pub mod registers;
pub mod shapes;
pub mod stack;
pub mod syntax;
pub mod target;
pub mod tensor_map;
pub mod turn;
pub mod warp;
