//! Files of numbers: read strictly, written whole, translated from public names.

/// Public Swin and BERT weights under every naming.
mod pretrained;
/// Files that are not what they should be.
mod strict;
