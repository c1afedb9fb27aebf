//! What a call has left, counted while it runs.

use mlua::{Error, HookTriggers, Lua, VmState};
use nix::time::{ClockId, clock_gettime};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use crate::fault::current_line;
use crate::{Limits, Trouble};

/// The machine is looked at after so many instructions: few enough that those between two looks, each on the longest string
/// that memory allows, take a fraction of a second.
const STEP: u32 = 100;
/// Looks between two at the clock.
const CLOCK: u64 = 10;

/// Why a call was ended: kept beside the machine, since an error that travels through it becomes text.
#[derive(Debug)]
pub enum Stop {
    Fault { line: usize, text: String },
    Trouble(Trouble),
}

#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    spent: Cell<u64>,
    ticks: Cell<u64>,
    /// Processor time at the first look.
    began: Cell<Option<Duration>>,
    stop: RefCell<Option<Stop>>,
    /// The last line that was begun, while lines are followed.
    line: Cell<usize>,
}

impl Budget {
    pub fn new(limits: Limits) -> Rc<Self> {
        let (spent, ticks) = (Cell::new(0), Cell::new(0));
        Rc::new(Self { limits, spent, ticks, began: Cell::new(None), stop: RefCell::new(None), line: Cell::new(0) })
    }

    /// A call begins. `lines`: note every line, for an error that has none.
    pub fn begin(self: &Rc<Self>, lua: &Lua, lines: bool) -> mlua::Result<()> {
        self.spent.set(0);
        self.ticks.set(0);
        self.began.set(None);
        self.line.set(0);
        *self.stop.borrow_mut() = None;
        // Set anew for each call, so that the count begins at nothing.
        let budget = Rc::clone(self);
        let triggers = HookTriggers::new().every_nth_instruction(STEP);
        let triggers = if lines { triggers.every_line() } else { triggers };
        lua.set_global_hook(triggers, move |lua, frame| {
            if frame.event() == mlua::debug::DebugEvent::Line {
                budget.follow(frame);
                return Ok(VmState::Continue);
            }
            budget.spend(lua, u64::from(STEP)).map(|()| VmState::Continue)
        })
    }

    fn follow(&self, frame: &mlua::debug::Debug) {
        if frame.source().short_src.as_deref() == Some(crate::fault::CHUNK) {
            self.line.set(frame.current_line().unwrap_or(0));
        }
    }

    pub fn last_line(&self) -> usize {
        self.line.get()
    }

    /// Pays for work before it is done.
    pub fn spend(&self, lua: &Lua, instructions: u64) -> mlua::Result<()> {
        let spent = self.spent.get().saturating_add(instructions);
        self.spent.set(spent);
        if spent > self.limits.instructions {
            return Err(self.fault(lua, format!("more than {} instructions", self.limits.instructions)));
        }
        let ticks = self.ticks.get() + 1;
        self.ticks.set(ticks);
        if ticks.is_multiple_of(CLOCK) && self.taken() > self.limits.time {
            return Err(self.fault(lua, format!("more than {} ms of processor time", self.limits.time.as_millis())));
        }
        Ok(())
    }

    /// Since the first look: short calls never ask for the time.
    fn taken(&self) -> Duration {
        let now = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from);
        match self.began.get() {
            Some(began) => now.saturating_sub(began),
            None => {
                self.began.set(Some(now));
                Duration::ZERO
            }
        }
    }

    /// The end of the call, with the line that is running.
    pub fn fault(&self, lua: &Lua, text: String) -> Error {
        self.end(Stop::Fault { line: current_line(lua), text })
    }

    pub fn trouble(&self, trouble: Trouble) -> Error {
        self.end(Stop::Trouble(trouble))
    }

    fn end(&self, stop: Stop) -> Error {
        let mut slot = self.stop.borrow_mut();
        // The first is the reason; what follows comes of it.
        slot.get_or_insert(stop);
        Error::RuntimeError("ended".to_owned())
    }

    pub fn stopped(&self) -> Option<Stop> {
        self.stop.borrow_mut().take()
    }
}
