//! In which order work happens: streams, events between them, captures of them.

use std::cell::Cell;
use std::sync::{Arc, OnceLock};

use crate::driver::capture::{Capture, Graph, Mode, sinks};
use crate::driver::machine::{Machine, refuse};
use crate::driver::operation::Operation;
use crate::driver::state::{Recorded, State};
use crate::driver::status::{Answer, Status};
use crate::driver::table::{Handle, new_handle};

thread_local! {
    /// What this thread's calls may disturb (`cuThreadExchangeStreamCaptureMode`).
    static THREAD_MODE: Cell<Mode> = const { Cell::new(Mode::Global) };
}

/// Sets the thread's mode; returns the one before.
pub fn exchange_thread_mode(mode: Mode) -> Mode {
    THREAD_MODE.replace(mode)
}

impl Machine {
    /// Gives a stream (by its handle) a piece of work: run now, queued, or recorded where the stream captures.
    ///
    /// # Errors
    /// A bad stream, a broken rule of captures, or what went wrong in work that ran.
    pub fn submit(&self, handle: Handle, operation: Operation) -> Answer {
        let placed = {
            let mut state = self.lock();
            let stream = state.stream(handle)?;
            state.place(stream, operation)?
        };
        placed.map_or(Ok(()), |id| self.begin(&[id]))
    }

    /// As [`Machine::submit`], and waits until it has run.
    ///
    /// # Errors
    /// As [`Machine::submit`].
    pub fn submit_and_wait(&self, handle: Handle, operation: Operation) -> Answer {
        let placed = {
            let mut state = self.lock();
            let stream = state.stream(handle)?;
            state.place(stream, operation)?
        };
        placed.map_or(Ok(()), |id| self.finish(&[id]))
    }
}

impl State {
    /// The place of the next piece of work of `stream`: its number, or nothing where it was recorded.
    ///
    /// # Errors
    /// `STREAM_CAPTURE_INVALIDATED`; `STREAM_CAPTURE_IMPLICIT`: the legacy stream would come after a capture.
    pub fn place(&mut self, stream: Handle, operation: Operation) -> Answer<Option<u64>> {
        if let Some(id) = self.streams.get(stream)?.capture {
            self.recording(id)?.push(stream, operation);
            return Ok(None);
        }
        self.calls += u64::from(!matches!(operation, Operation::Record(_)));
        let context = self.streams.get(stream)?.context;
        let after = self.before(stream)?;
        let id = self.queue.push(context, after, operation);
        self.streams.get_mut(stream)?.frontier = vec![id];
        Ok(Some(id))
    }

    /// What the next piece of work of a stream that does not capture comes after: its own work, and between the
    /// legacy stream and blocking streams the other's.
    fn before(&mut self, stream: Handle) -> Answer<Vec<u64>> {
        let own = self.streams.get(stream)?;
        let (context, blocking) = (own.context, own.is_blocking());
        let mut after = own.frontier.clone();
        let legacy = self.contexts.get(context)?.legacy;
        if stream == legacy {
            self.refuse_implicit(context)?;
            let others =
                self.streams.iter().filter(|(_, s)| s.context == context && s.is_blocking());
            after.extend(others.flat_map(|(_, s)| s.frontier.iter().copied()));
        } else if blocking {
            after.extend(&self.streams.get(legacy)?.frontier);
        }
        Ok(after)
    }

    /// The legacy stream may not be used while a blocking stream captures.
    fn refuse_implicit(&mut self, context: Handle) -> Answer {
        let streams = self.streams.iter();
        let capturing: Vec<u64> = streams
            .filter(|(_, s)| s.context == context && s.is_blocking())
            .filter_map(|(_, s)| s.capture)
            .collect();
        capturing.iter().for_each(|&id| self.invalidate(id));
        if capturing.is_empty() { Ok(()) } else { Err(Status::STREAM_CAPTURE_IMPLICIT) }
    }

    /// The capture with this number, still valid.
    fn recording(&mut self, id: u64) -> Answer<&mut Capture> {
        let capture = self.captures.get_mut(&id).ok_or(Status::STREAM_CAPTURE_INVALIDATED)?;
        if capture.invalid { Err(Status::STREAM_CAPTURE_INVALIDATED) } else { Ok(capture) }
    }

    /// Something forbidden happened to a capture.
    pub fn invalidate(&mut self, id: u64) {
        if let Some(capture) = self.captures.get_mut(&id) {
            capture.invalid = true;
        }
    }

    /// Refuses a call that would disturb a capture (an allocation, a synchronous copy, a look at an event), as the
    /// modes of the captures and of this thread have it.
    ///
    /// # Errors
    /// `STREAM_CAPTURE_UNSUPPORTED`: and the captures that forbade it are invalid now.
    pub fn refuse_unsafe(&mut self) -> Answer {
        let thread_mode = THREAD_MODE.get();
        let thread = std::thread::current().id();
        let forbids = |capture: &Capture| match (thread_mode, capture.mode) {
            (Mode::Relaxed, _) | (_, Mode::Relaxed) => false,
            _ if capture.thread == thread => true,
            (Mode::Global, Mode::Global) => true,
            _ => false,
        };
        let disturbed: Vec<u64> =
            self.captures.iter().filter(|(_, c)| forbids(c)).map(|(&id, _)| id).collect();
        disturbed.iter().for_each(|&id| self.invalidate(id));
        if disturbed.is_empty() { Ok(()) } else { Err(Status::STREAM_CAPTURE_UNSUPPORTED) }
    }

    /// The work a synchronisation with `stream` waits for.
    ///
    /// # Errors
    /// `STREAM_CAPTURE_UNSUPPORTED`: it captures, and the capture is invalid now.
    pub fn waited_for(&mut self, stream: Handle) -> Answer<Vec<u64>> {
        if let Some(id) = self.streams.get(stream)?.capture {
            self.invalidate(id);
            return Err(Status::STREAM_CAPTURE_UNSUPPORTED);
        }
        match self.is_legacy(stream) {
            true => self.before(stream),
            false => Ok(self.streams.get(stream)?.frontier.clone()),
        }
    }

    /// All work of a context.
    ///
    /// # Errors
    /// `STREAM_CAPTURE_UNSUPPORTED`: one of its streams captures.
    pub fn context_waited_for(&mut self, context: Handle) -> Answer<Vec<u64>> {
        let streams = self.streams.iter().filter(|(_, s)| s.context == context);
        let capturing: Vec<u64> = streams.filter_map(|(_, s)| s.capture).collect();
        capturing.iter().for_each(|&id| self.invalidate(id));
        match capturing.is_empty() {
            true => Ok(self.queue.of_context(context)),
            false => Err(Status::STREAM_CAPTURE_UNSUPPORTED),
        }
    }

    /// Sets an event to the work a stream has been given so far.
    ///
    /// # Errors
    /// As [`State::place`]; bad handles.
    pub fn record(&mut self, event: Handle, stream: Handle) -> Answer<Option<u64>> {
        self.events.get(event)?;
        let recorded = match self.streams.get(stream)?.capture {
            Some(capture) => {
                let frontiers = &self.recording(capture)?.frontiers;
                let nodes = frontiers.get(&stream).cloned().unwrap_or_default();
                Recorded::Captured { capture, nodes }
            }
            None => {
                let moment = Arc::new(OnceLock::new());
                let placed = self.place(stream, Operation::Record(moment.clone()))?;
                Recorded::Work { id: placed.unwrap_or_default(), moment }
            }
        };
        let event = self.events.get_mut(event)?;
        event.recorded = recorded;
        match event.recorded {
            Recorded::Work { id, .. } => Ok(Some(id)),
            _ => Ok(None),
        }
    }

    /// Makes the next work of a stream come after an event.
    ///
    /// # Errors
    /// `STREAM_CAPTURE_ISOLATION`, `_MERGE`, `_IMPLICIT`, `_INVALIDATED`, `CAPTURED_EVENT`; bad handles.
    pub fn wait(&mut self, stream: Handle, event: Handle) -> Answer {
        let recorded = self.events.get(event)?.recorded.clone();
        let capturing = self.streams.get(stream)?.capture;
        match (recorded, capturing) {
            (Recorded::Never, _) => Ok(()),
            (Recorded::Work { id, .. }, None) => {
                if self.queue.is_waiting(id) {
                    self.streams.get_mut(stream)?.frontier.push(id);
                }
                Ok(())
            }
            (Recorded::Work { .. }, Some(capture)) => {
                self.invalidate(capture);
                Err(Status::STREAM_CAPTURE_ISOLATION)
            }
            (Recorded::Captured { capture, .. }, _) if !self.captures.contains_key(&capture) => {
                Err(Status::CAPTURED_EVENT)
            }
            (Recorded::Captured { capture, .. }, Some(other)) if other != capture => {
                self.invalidate(capture);
                self.invalidate(other);
                Err(Status::STREAM_CAPTURE_MERGE)
            }
            (Recorded::Captured { capture, .. }, None) if self.is_legacy(stream) => {
                self.invalidate(capture);
                Err(Status::STREAM_CAPTURE_IMPLICIT)
            }
            (Recorded::Captured { capture, nodes }, _) => {
                self.recording(capture)?.join(stream, &nodes);
                self.streams.get_mut(stream)?.capture = Some(capture);
                Ok(())
            }
        }
    }

    /// Begins to record what `stream` is given.
    ///
    /// # Errors
    /// `STREAM_CAPTURE_UNSUPPORTED`: the legacy stream. `ILLEGAL_STATE`: it captures already.
    pub fn begin_capture(&mut self, stream: Handle, mode: Mode) -> Answer {
        if self.is_legacy(stream) {
            return Err(Status::STREAM_CAPTURE_UNSUPPORTED);
        }
        if self.streams.get(stream)?.capture.is_some() {
            return Err(Status::ILLEGAL_STATE);
        }
        self.next_capture += 1;
        let capture = Capture::new(stream, mode, std::thread::current().id());
        self.captures.insert(self.next_capture, capture);
        self.streams.get_mut(stream)?.capture = Some(self.next_capture);
        Ok(())
    }

    /// A stream of a capture goes away: the capture with it if it began there, else it is invalid.
    pub fn abandon(&mut self, id: u64, stream: Handle) {
        self.invalidate(id);
        if self.captures.get(&id).is_some_and(|capture| capture.origin == stream) {
            self.captures.remove(&id);
            let streams = self.streams.values_mut().filter(|s| s.capture == Some(id));
            streams.for_each(|s| s.capture = None);
        }
    }

    /// Ends a capture; the recording becomes a graph.
    ///
    /// # Errors
    /// `ILLEGAL_STATE`: no capture. `_UNMATCHED`: it began in another stream. `_WRONG_THREAD`. `_INVALIDATED` and
    /// `_UNJOINED`: the capture is over and lost.
    pub fn end_capture(&mut self, stream: Handle) -> Answer<Handle> {
        let id = self.streams.get(stream)?.capture.ok_or(Status::ILLEGAL_STATE)?;
        let capture = self.captures.get_mut(&id).ok_or(Status::ILLEGAL_STATE)?;
        if capture.origin != stream {
            capture.invalid = true;
            return Err(Status::STREAM_CAPTURE_UNMATCHED);
        }
        if capture.mode != Mode::Relaxed && capture.thread != std::thread::current().id() {
            return Err(Status::STREAM_CAPTURE_WRONG_THREAD);
        }
        let capture = self.captures.remove(&id).ok_or(Status::ILLEGAL_STATE)?;
        self.streams.values_mut().filter(|s| s.capture == Some(id)).for_each(|s| s.capture = None);
        if capture.invalid {
            return Err(Status::STREAM_CAPTURE_INVALIDATED);
        }
        if capture.has_unjoined_work() {
            return Err(Status::STREAM_CAPTURE_UNJOINED);
        }
        let context = self.streams.get(stream)?.context;
        let handles = capture.nodes.iter().map(|_| new_handle()).collect();
        Ok(self.graphs.insert(Graph { context, nodes: Arc::new(capture.nodes), handles }))
    }

    /// Gives a stream a whole graph: the numbers of its last pieces, or nothing where it was recorded in turn.
    ///
    /// # Errors
    /// As [`State::place`].
    pub fn place_graph(&mut self, stream: Handle, executable: Handle) -> Answer<Vec<u64>> {
        let executable_nodes = self.executables.get(executable)?.nodes.clone();
        if let Some(id) = self.streams.get(stream)?.capture {
            self.recording(id)?.push_graph(stream, &executable_nodes);
            return Ok(Vec::new());
        }
        for (at, span) in executable_nodes.iter().flat_map(|node| node.operation.host_ranges()) {
            let room = self.pinned_of(at).map(|(base, pinned)| base + pinned.bytes - at);
            if room.is_none_or(|room| span > room) {
                let text = "replay of a copy whose pinned host memory was freed since its capture";
                return Err(refuse(Status::INVALID_VALUE, text));
            }
        }
        self.calls += 1;
        let mut before = self.before(stream)?;
        before.extend(&self.executables.get(executable)?.last);
        let context = self.streams.get(stream)?.context;
        let ids = self.queue.push_graph(context, &before, &executable_nodes);
        let last: Vec<u64> = sinks(&executable_nodes).into_iter().map(|node| ids[node]).collect();
        if !last.is_empty() {
            self.streams.get_mut(stream)?.frontier.clone_from(&last);
            self.executables.get_mut(executable)?.last.clone_from(&last);
        }
        Ok(last)
    }
}

/// Refuses what no graph of this machine can hold.
///
/// # Errors
/// `NOT_SUPPORTED`, with a report.
pub fn refuse_in_capture(state: &State, stream: Handle, what: &str) -> Answer {
    match state.streams.get(stream)?.capture {
        None => Ok(()),
        Some(_) => Err(refuse(
            Status::NOT_SUPPORTED,
            &format!(
                "{what} in a capturing stream: this machine records launches, copies, fills and host calls"
            ),
        )),
    }
}
