//! Index: what an inference program does around the model.

pub mod files;
pub mod pairs;
pub mod predictor;
pub mod report;
pub mod run;
