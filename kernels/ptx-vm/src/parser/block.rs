//! What an operand may refer to: names of the function around it and of the module.

use super::labels::Labels;
use super::scopes::{Name, Scopes};
use super::unit::Unit;

pub(super) struct Block<'p, 'a> {
    pub unit: &'p mut Unit<'a>,
    pub scopes: Scopes<'a>,
    pub labels: Labels<'a>,
}

impl Block<'_, '_> {
    /// What a name stands for, labels aside.
    pub fn find(&mut self, name: &str) -> Option<Name> {
        self.scopes.find(name).or_else(|| self.unit.find(name).map(Name::Symbol))
    }
}
