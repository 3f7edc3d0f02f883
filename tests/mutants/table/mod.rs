//! The mistakes, operation by operation: what is replaced by what in which file.

mod attentions;
mod maps;
mod rows;

/// One mistake: `from`, which stands once in `file`, is replaced by `to`.
pub struct Mistake {
    pub name: &'static str,
    pub file: &'static str,
    pub from: &'static str,
    pub to: &'static str,
}

/// An operation, the files of `src/cpu` that are copied with it, and its mistakes.
pub struct Subject {
    pub operation: &'static str,
    pub shared: &'static [&'static str],
    pub mistakes: Vec<Mistake>,
}

/// A mistake in the operation's `cpu.rs`.
fn cpu(name: &'static str, from: &'static str, to: &'static str) -> Mistake {
    Mistake { name, file: "cpu.rs", from, to }
}

/// A mistake in another file.
fn within(file: &'static str, name: &'static str, from: &'static str, to: &'static str) -> Mistake {
    Mistake { name, file, from, to }
}

fn subject(
    operation: &'static str,
    shared: &'static [&'static str],
    mistakes: Vec<Mistake>,
) -> Subject {
    Subject { operation, shared, mistakes }
}

/// All operations with their mistakes.
pub fn subjects() -> Vec<Subject> {
    [maps::subjects(), rows::subjects(), attentions::subjects()].into_iter().flatten().collect()
}
