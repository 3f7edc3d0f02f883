//! Referring image segmentation with hand-written kernels: CRFormer, trained and run without a
//! deep-learning framework.
//!
//! A program trains a **model** made of **layers**, which are nodes of a **graph** of
//! **operations**, which run on **machines**. A room imports lower floors only.
//!
//! | floor | rooms | arrows down to |
//! |---|---|---|
//! | 7 | the binaries | `train`, `infer` |
//! | 6 | `train`, `infer` | `model`, `exec`, `optim`, `data`, `weights` |
//! | 5 | `model` | `nn`, `graph`, `op`, `data` |
//! | 4 | `exec`, `nn` | `graph`, `optim`, `op`, `cpu`, `cuda` |
//! | 3 | `graph`, `optim` | `op`, `cpu` |
//! | 2 | `op`: equal rooms, none knows another | `cpu`, `cuda` |
//! | 1 | `cpu`, `cuda`, `data`, `weights` | the ground |
//! | 0 | `error`, `file`, `shape`, `scalar`, `write`, `rng` | nothing of ours |

pub mod cpu;
pub mod cuda;
pub mod data;
pub mod error;
pub mod exec;
pub mod file;
pub mod graph;
pub mod infer;
pub mod model;
pub mod nn;
pub mod op;
pub mod optim;
pub mod rng;
pub mod scalar;
pub mod shape;
pub mod train;
pub mod weights;
pub mod write;
