//! What an operand may refer to: names of the function around it and of the module.

use std::collections::HashMap;

use crate::syntax::LabelId;

use super::labels::Labels;
use super::scopes::{Name, Scopes};
use super::unit::Unit;

pub(super) struct Block<'p, 'a> {
    pub unit: &'p mut Unit<'a>,
    pub scopes: Scopes<'a>,
    pub labels: Labels<'a>,
    /// `.branchtargets` lists, and the name of each.
    pub targets: Vec<Vec<LabelId>>,
    pub target_names: HashMap<&'a str, u32>,
    /// The number of each `.callprototype`.
    pub prototype_names: HashMap<&'a str, u32>,
}

impl Block<'_, '_> {
    /// What a name stands for, labels aside.
    pub fn find(&mut self, name: &str) -> Option<Name> {
        self.scopes.find(name).or_else(|| self.unit.find(name).map(Name::Symbol))
    }
}
