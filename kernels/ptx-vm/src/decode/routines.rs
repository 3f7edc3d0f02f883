//! Functions that are called by their address or call themselves: decoded once each, before the kernel.

use super::graph::Graph;
use super::{Binding, Decoder};
use crate::error::{LoadError, LoadResult};
use crate::family;
use crate::program::{Family, Kept, Origin, Routine};
use crate::stack::STACK_BYTES;
use crate::syntax::Variable;

impl Decoder<'_, '_> {
    /// Decodes the functions with these indices.
    pub(super) fn write_routines(&mut self, graph: &Graph, indices: Vec<usize>) -> LoadResult<()> {
        if indices.is_empty() {
            return Ok(());
        }
        self.frame = self.new_rows(1);
        let functions = &self.module.functions;
        // All are known before any is decoded: they may call each other.
        self.routines.extend(indices.iter().map(|&index| Routine {
            name: functions[index].name.to_owned(),
            function: index as u32,
            entry: 0,
            frame_bytes: 0,
            parameters: Vec::new(),
            returns: Vec::new(),
            kept: Kept::default(),
        }));
        indices
            .iter()
            .enumerate()
            .try_for_each(|(number, &index)| self.write_routine(number, graph.is_recursive(index)))
    }

    fn write_routine(&mut self, number: usize, recursive: bool) -> LoadResult<()> {
        let function = &self.module.functions[self.routines[number].function as usize];
        let (entry, predicates) = (self.code.len() as u32, self.predicates);
        self.frame_bytes = Some(0);
        let parameters = self.frame_places(&function.parameters)?;
        let returns = self.frame_places(&function.returns)?;
        let bindings =
            |places: &[(u32, u32)]| places.iter().map(|&(at, _)| Binding::Stack(at)).collect();
        self.write_out(function, bindings(&parameters), bindings(&returns))?;
        let line = function.body.as_ref().and_then(|body| body.instructions.last());
        let line = line.map_or(function.line, |instruction| instruction.line);
        let origin = Origin { line, source: None, family: Family::Control };
        self.push(family::routine::leave(), origin);
        let frame_bytes = self.frame_bytes.take().unwrap_or_default();
        let mut kept = std::mem::take(&mut self.kept);
        kept.predicates = predicates..self.predicates;
        let routine = &mut self.routines[number];
        if recursive {
            routine.kept = kept;
        }
        (routine.entry, routine.frame_bytes) = (entry, frame_bytes);
        (routine.parameters, routine.returns) = (parameters, returns);
        Ok(())
    }

    /// Offset in the frame and size of each parameter or result.
    fn frame_places(&mut self, variables: &[Variable<'_>]) -> LoadResult<Vec<(u32, u32)>> {
        let place = |variable: &Variable<'_>| {
            if variable.register.is_some() {
                let message = format!("{} is a register: .param variables only", variable.name);
                return Err(LoadError::new(variable.line, message));
            }
            let bytes = variable.bytes();
            match self.new_local(bytes, variable.align, variable.line)? {
                Binding::Stack(at) => Ok((at, bytes as u32)),
                _ => Err(LoadError::new(variable.line, "a parameter outside a frame")),
            }
        };
        variables.iter().map(place).collect()
    }

    /// Adds the stack to local memory, and says where it begins.
    pub(super) fn finish_routines(&mut self) -> u32 {
        for routine in &mut self.routines {
            routine.frame_bytes = routine.frame_bytes.next_multiple_of(self.frame_align);
        }
        let at = self.local_bytes.next_multiple_of(self.frame_align);
        if !self.routines.is_empty() {
            self.local_bytes = at + STACK_BYTES;
        }
        at
    }
}
