//! Index: a made data set. Pictures of coloured shapes, phrases that pick out exactly one of them,
//! and both on disk as REFER and COCO lay them out, so that everything that reads RefCOCO reads it.
//!
//! `scene` says what is in a picture, `phrase` what can be said about it, `compose` draws both from
//! a random stream, `paint` makes pixels, `pickling` and `layout` make files.

mod compose;
mod layout;
mod paint;
mod phrase;
mod pickling;
mod scene;

pub use layout::{Options, Summary, write};
