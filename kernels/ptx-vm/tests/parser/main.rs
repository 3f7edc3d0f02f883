//! The parser against texts of nvcc and against the grammar, rule by rule.

/// What the tests share: a kernel around statements, the error of a text.
mod support;

/// A module as PTX text again.
mod printer;

/// Whole texts of nvcc.
mod texts;

/// Comments, strings, characters that begin nothing.
mod tokens;

/// Integers, floats, constant expressions.
mod constants;

/// Registers and the scopes they live in.
mod registers;

/// Labels before and behind their use.
mod labels;

/// Every form of an operand.
mod operands;

/// Calls of functions.
mod calls;

/// Variables of every space, with initial values.
mod variables;

/// Kernels, device functions and their parameters.
mod functions;

/// Header, files, lines, sections and what is refused by name.
mod directives;

/// Texts made to exhaust a parser.
mod bounds;
