//! Index: CRFormer, part by part, as the paper's equations number them.

pub mod config;
pub mod crformer;
pub mod decoder;
pub mod folder;
pub mod fusion;
pub mod initial;
pub mod neck;
pub mod position;
pub mod prediction;
pub mod pretrained;
pub mod query;
pub mod reconstruction;
pub mod swin;
pub mod text;

pub use config::Config;
pub use crformer::{Build, Crformer, Losses};
