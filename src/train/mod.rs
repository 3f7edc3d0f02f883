//! Index: training, evaluation, and what stands around them.
//!
//! `layers` puts `settings` together; `run` is the loop, around `trainer` (one update), `source`
//! and `phrases` (what is learnt from), `evaluate` and `metrics` (how well), `checkpoint`, `settle`,
//! `moments` and `state` (what stays), `log` and `progress` (what is told).

pub mod checkpoint;
pub mod demo;
pub mod evaluate;
pub mod judge;
pub mod layers;
pub mod log;
mod memory;
pub mod metrics;
mod moments;
pub mod pattern;
pub mod phrases;
pub mod place;
pub mod probe;
pub mod progress;
pub mod report;
pub mod run;
pub mod samples;
pub mod settings;
mod settle;
pub mod signals;
pub mod source;
pub mod state;
mod suggestion;
pub mod trainer;
