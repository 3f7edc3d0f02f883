//! The one machine of a process: its memory, its objects, and the thread-safe way through them.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, RwLock};

use crate::driver::counts::{self, Counted};
use crate::driver::operation::KernelCall;
use crate::driver::queue::{MOST_WAITING, Step};
use crate::driver::settings::Settings;
use crate::driver::state::State;
use crate::driver::status::{Answer, Status};
use crate::memory::Memory;
use crate::profile::Profile;
use crate::random::Random;
use crate::target::Target;

static MACHINE: OnceLock<Machine> = OnceLock::new();
/// The last report of any thread.
static LAST_REPORT: Mutex<String> = Mutex::new(String::new());

thread_local! {
    /// The last report of this thread.
    static REPORT: RefCell<String> = const { RefCell::new(String::new()) };
    static IN_HOST_FUNCTION: Cell<bool> = const { Cell::new(false) };
}

/// Memory, settings and objects. Locks are held for moments, never while a kernel runs.
pub struct Machine {
    pub memory: Memory,
    pub target: Target,
    settings: RwLock<Settings>,
    state: Mutex<State>,
    /// Told whenever a piece of work has run.
    ran: Condvar,
    counted: Mutex<Vec<Counted>>,
}

/// Makes the machine, once.
///
/// # Errors
/// `INVALID_VALUE`: a `PTX_VM_*` variable that means nothing.
pub fn initialise() -> Answer {
    if MACHINE.get().is_some() {
        return Ok(());
    }
    let settings = Settings::from_environment(|name| std::env::var(name).ok());
    let settings = settings.map_err(|message| refuse(Status::INVALID_VALUE, &message))?;
    MACHINE.get_or_init(|| Machine {
        memory: Memory::new(settings.memory),
        target: settings.target,
        settings: RwLock::new(settings),
        state: Mutex::new(State::default()),
        ran: Condvar::new(),
        counted: Mutex::new(Vec::new()),
    });
    Ok(())
}

/// The machine, after `cuInit`.
///
/// # Errors
/// `NOT_INITIALIZED`. `NOT_PERMITTED` inside a function that a stream calls.
pub fn machine() -> Answer<&'static Machine> {
    match IN_HOST_FUNCTION.get() {
        true => Err(Status::NOT_PERMITTED),
        false => MACHINE.get().ok_or(Status::NOT_INITIALIZED),
    }
}

/// The body of every exported function: no panic leaves it.
pub fn call(body: impl FnOnce(&'static Machine) -> Answer) -> Status {
    guarded(|| body(machine()?))
}

/// As [`call`], for the functions that work before `cuInit`.
pub fn guarded(body: impl FnOnce() -> Answer) -> Status {
    let answer = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| {
        report("the driver itself failed (a panic): this is a defect of ptx-vm");
        Err(Status::UNKNOWN)
    });
    answer.into()
}

/// Runs a function of the host; calls of the driver inside are refused.
pub fn in_host_function(f: impl FnOnce()) {
    let before = IN_HOST_FUNCTION.replace(true);
    f();
    IN_HOST_FUNCTION.set(before);
}

/// Tells the user: on stderr, and for `ptxvm_last_report`.
pub fn report(text: &str) {
    if !MACHINE.get().is_some_and(|machine| machine.settings().quiet) {
        eprintln!("ptx-vm: {text}");
    }
    REPORT.with(|report| text.clone_into(&mut report.borrow_mut()));
    text.clone_into(&mut LAST_REPORT.lock().unwrap_or_else(|e| e.into_inner()));
}

/// Reports why a call is refused.
pub fn refuse(status: Status, text: &str) -> Status {
    report(text);
    status
}

/// The last report of this thread, or if it has none of the process.
pub fn last_report() -> String {
    let own = REPORT.with(|report| report.borrow().clone());
    match own.is_empty() {
        false => own,
        true => LAST_REPORT.lock().unwrap_or_else(|e| e.into_inner()).clone(),
    }
}

impl Machine {
    pub fn settings(&self) -> Settings {
        self.settings.read().unwrap_or_else(|e| e.into_inner()).clone()
    }

    /// # Errors
    /// `INVALID_VALUE`: what is wrong has been reported.
    pub fn change_settings(&self, text: &str) -> Answer {
        let changed = self.settings.write().unwrap_or_else(|e| e.into_inner()).change(text);
        self.lock().random = None;
        changed.map_err(|message| refuse(Status::INVALID_VALUE, &message))
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// What `ptxvm_counts` gives.
    pub fn counted(&self) -> MutexGuard<'_, Vec<Counted>> {
        self.counted.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Adds a launch to it.
    pub fn count(&self, call: &KernelCall, profile: &Profile) {
        counts::add(&mut self.counted(), &call.program, &call.kernel, profile);
    }

    /// Whether work waits for its last legal moment.
    pub fn delays(&self) -> bool {
        self.settings().options.adversarial.is_some()
    }

    /// What happens to work right after it was asked for: it runs, or waits.
    ///
    /// # Errors
    /// What went wrong in work that ran.
    pub fn begin(&self, work: &[u64]) -> Answer {
        if !self.delays() {
            return self.finish(work);
        }
        loop {
            let state = self.lock();
            match state.queue.oldest() {
                Some(oldest) if state.queue.count() > MOST_WAITING => {
                    drop(state);
                    self.finish(&[oldest])?;
                }
                _ => return Ok(()),
            }
        }
    }

    /// Runs these pieces and all they come after. Pieces after a failed one run too, so that no report hides another.
    ///
    /// # Errors
    /// The first thing that went wrong.
    pub fn finish(&self, work: &[u64]) -> Answer {
        let (seed, sticky) = {
            let settings = self.settings();
            (settings.options.adversarial, settings.sticky)
        };
        let mut answer = Ok(());
        let mut state = self.lock();
        loop {
            let mut random = seed.map(|seed| state.random.take().unwrap_or(Random::new(seed)));
            let step = state.queue.step(work, random.as_mut());
            state.random = random;
            match step {
                Step::Complete => return answer,
                Step::Wait => state = self.ran.wait(state).unwrap_or_else(|e| e.into_inner()),
                Step::Run(id, context, operation) => {
                    let broken = state.contexts.get(context).ok().and_then(|c| c.broken);
                    drop(state);
                    let result = broken.map_or_else(|| operation.run(self), Err);
                    state = self.lock();
                    state.queue.complete(id);
                    if let (Err(status), true) = (result, sticky)
                        && let Ok(context) = state.contexts.get_mut(context)
                    {
                        context.broken.get_or_insert(status);
                    }
                    answer = answer.and(result);
                    self.ran.notify_all();
                }
            }
        }
    }

    /// Looks whether these pieces have run; one of what they come after runs meanwhile.
    ///
    /// # Errors
    /// `NOT_READY`, or what went wrong in the piece that ran.
    pub fn poll(&self, work: &[u64]) -> Answer {
        let next = {
            let state = self.lock();
            if !work.iter().any(|&id| state.queue.is_waiting(id)) {
                return Ok(());
            }
            state.queue.ready(work).first().copied()
        };
        next.map_or(Ok(()), |id| self.finish(&[id]))?;
        Err(Status::NOT_READY)
    }

    /// Runs everything that waits.
    ///
    /// # Errors
    /// The first thing that went wrong.
    pub fn finish_all(&self) -> Answer {
        let all = self.lock().queue.all();
        self.finish(&all)
    }
}
