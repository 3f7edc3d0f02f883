//! Labels of a function: used before they stand somewhere, seen from inner scopes but not from outer ones.

use std::collections::HashMap;

use crate::error::{LoadError, LoadResult};
use crate::literal::short;
use crate::syntax::LabelId;

/// Where a label stands.
#[derive(Debug, Clone, Copy)]
enum Place {
    Unknown,
    /// Before the instruction of this index.
    At(usize),
    /// It was no label of its scope, but this one of a scope around it.
    Same(LabelId),
}

/// A name in one scope.
struct Entry {
    id: LabelId,
    /// Where it was named first.
    line: u32,
    placed: bool,
}

/// A name gets a number in each scope that uses it. When a scope closes, names without a place are handed to the
/// scope around it; nothing that was parsed has to be touched again.
pub(super) struct Labels<'a> {
    scopes: Vec<HashMap<&'a str, Entry>>,
    places: Vec<Place>,
}

impl<'a> Labels<'a> {
    pub fn new() -> Self {
        Self { scopes: vec![HashMap::new()], places: Vec::new() }
    }

    pub fn open(&mut self) {
        self.scopes.push(HashMap::new());
    }

    /// Uses a label, whether it stands somewhere yet or not.
    pub fn mention(&mut self, name: &'a str, line: u32) -> LabelId {
        self.entry(name, line).id
    }

    /// Places a label before the instruction `at`.
    pub fn place(&mut self, name: &'a str, at: usize, line: u32) -> LoadResult<()> {
        let entry = self.entry(name, line);
        if entry.placed {
            let message = format!("label `{}` stands twice in one scope", short(name));
            return Err(LoadError::new(line, message));
        }
        entry.placed = true;
        let id = entry.id;
        self.places[id.0 as usize] = Place::At(at);
        Ok(())
    }

    fn entry(&mut self, name: &'a str, line: u32) -> &mut Entry {
        if self.scopes.is_empty() {
            self.open();
        }
        let places = &mut self.places;
        let innermost = self.scopes.len() - 1;
        self.scopes[innermost].entry(name).or_insert_with(|| {
            places.push(Place::Unknown);
            Entry { id: LabelId((places.len() - 1) as u32), line, placed: false }
        })
    }

    /// Closes a scope inside another.
    pub fn close(&mut self) {
        let Some(closed) = self.scopes.pop() else { return };
        let Some(outer) = self.scopes.last_mut() else { return };
        for (name, entry) in closed.into_iter().filter(|(_, entry)| !entry.placed) {
            match outer.get_mut(name) {
                Some(known) => {
                    known.line = known.line.min(entry.line);
                    self.places[entry.id.0 as usize] = Place::Same(known.id);
                }
                None => {
                    outer.insert(name, entry);
                }
            }
        }
    }

    /// For each number the instruction it stands before.
    pub fn finish(mut self) -> LoadResult<Vec<usize>> {
        while self.scopes.len() > 1 {
            self.close();
        }
        let names = self.scopes.pop().unwrap_or_default();
        let lost = names.into_iter().filter(|(_, entry)| !entry.placed);
        if let Some((name, entry)) = lost.min_by_key(|&(name, ref entry)| (entry.line, name)) {
            let message = format!(
                "`{}` is not declared: no register, variable, function or label here",
                short(name)
            );
            return Err(LoadError::new(entry.line, message));
        }
        Ok((0..self.places.len()).map(|index| self.position(index)).collect())
    }

    /// Follows a number to its place: as many steps as scopes stood inside each other.
    fn position(&self, index: usize) -> usize {
        let mut index = index;
        loop {
            match self.places[index] {
                Place::At(instruction) => return instruction,
                Place::Same(outer) => index = outer.0 as usize,
                // Not reached: a number without a place is an error of `finish`.
                Place::Unknown => return 0,
            }
        }
    }
}
