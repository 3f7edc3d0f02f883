//! Reading and making data, from the outside.

/// The made data set: what is on disk, judged from pixels and English alone.
mod drawn;
