//! The optimiser's moments in a file: `first.<parameter>` and `second.<parameter>`.

use std::path::Path;

use crate::error::{Error, Result};
use crate::exec::{Session, Slot, Values, ValuesMut};
use crate::graph::TensorId;
use crate::weights::TensorFile;
use crate::weights::save::{Entry, save};

const SLOTS: [(&str, Slot); 2] = [("first", Slot::FirstMoment), ("second", Slot::SecondMoment)];

/// Writes the parameters of the session's graph.
pub fn write_parameters(path: &Path, session: &dyn Session) -> Result<()> {
    let graph = session.graph();
    let ids: Vec<TensorId> = graph.parameters().map(|(id, _)| id).collect();
    let entry = |&id: &TensorId| Entry::new(&graph.get(id).name, graph.shape(id).extents(), false);
    let entries: Vec<Entry> = ids.iter().map(entry).collect();
    save(path, &[], &entries, |i, room| session.read(ids[i], Slot::Value, ValuesMut::F64(room)))
}

/// Writes both moments of every trained parameter.
pub fn write_moments(path: &Path, session: &dyn Session) -> Result<()> {
    let list = list(session);
    let entry = |(_, _, name, extents): &(TensorId, Slot, String, Vec<usize>)| {
        Entry::new(name, extents, false)
    };
    let entries: Vec<Entry> = list.iter().map(entry).collect();
    save(path, &[], &entries, |i, room| session.read(list[i].0, list[i].1, ValuesMut::F64(room)))
}

/// Reads what [`write_moments`] wrote, for the same trained parameters.
///
/// # Errors
/// A tensor that is missing, has another shape or belongs to no trained parameter.
pub fn read_moments(path: &Path, session: &mut dyn Session) -> Result<()> {
    let file = TensorFile::open(path)?;
    let list = list(session);
    let known = |name: &String| list.iter().any(|(_, _, known, _)| known == name);
    if let Some(name) = file.names().into_iter().find(|name| !known(name)) {
        let message = format!("tensor {name} belongs to no parameter that this run trains");
        return Err(Error::data(path, message));
    }
    for (id, slot, name, extents) in &list {
        let found = file.extents(name).ok_or_else(|| file.missing(name))?;
        if found != *extents {
            let message = format!("tensor {name} is {found:?}, expected {extents:?}");
            return Err(Error::data(path, message));
        }
        session.write(*id, *slot, Values::F64(&file.real(name)?))?;
    }
    Ok(())
}

/// Tensor, slot, name in the file and extents of every moment.
fn list(session: &dyn Session) -> Vec<(TensorId, Slot, String, Vec<usize>)> {
    let graph = session.graph();
    let of = |&(prefix, slot): &(&str, Slot), id: TensorId| {
        let name = format!("{prefix}.{}", graph.get(id).name);
        (id, slot, name, graph.shape(id).extents().to_vec())
    };
    let both = |&id: &TensorId| SLOTS.iter().map(move |s| of(s, id)).collect::<Vec<_>>();
    session.trained().iter().flat_map(both).collect()
}
