//! Index: what the operations' CPU code shares.

pub mod activation;
pub mod attention;
pub mod columns;
pub mod dropout;
pub mod element;
pub mod interpolation;
pub mod norm;
pub mod product;
pub mod rows;
pub mod scratch;
pub mod simd;
pub mod softmax;
pub mod sum;
pub mod threads;
pub mod tile;
