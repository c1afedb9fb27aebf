//! The virtual machine with one script in it.

use crate::arguments::Asked;
use crate::budget::{Budget, Stop};
use crate::fault::{CHUNK, read, shortened};
use crate::library::{LogLines, functions};
use crate::results::{self, Crossing, Route};
use crate::{Address, Envelope, Fault, Hook, Limits, Place, Trouble, World};
use lookup::TableError;
use mlua::chunk::ChunkMode;
use mlua::{Error, Function, Lua, LuaOptions, LuaString, StdLib, Table, Value};
use status::Reply;
use std::rc::Rc;

const LIBRARY: &str = include_str!("library.lua");
/// Bytes of a script.
const LONGEST: usize = 1 << 20;
/// Bytes of a key or of a table's name.
const LONGEST_KEY: usize = 1024;
/// Look-ups of one call.
const MOST_LOOKUPS: usize = 200;

/// A script that has been read, tried and found to define hooks.
pub struct Script {
    lua: Lua,
    file: String,
    chunk: Function,
    call: Function,
    hooks: [bool; Hook::ALL.len()],
    /// Whether it asks for tables at all.
    asks: bool,
    budget: Rc<Budget>,
    log: LogLines,
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Script").field("file", &self.file).field("hooks", &self.hooks).finish_non_exhaustive()
    }
}

impl Script {
    /// Reads a script and runs its text once, within the limits. `file`: its name, for what is said about it.
    pub fn load(file: &str, text: &str, limits: Limits) -> Result<Self, Fault> {
        let fault = |line, text: &str| Fault { file: file.to_owned(), line, text: text.to_owned() };
        if text.len() > LONGEST {
            return Err(fault(0, &format!("longer than {LONGEST} bytes")));
        }
        let (budget, log) = (Budget::new(limits), LogLines::default());
        let made = Machine::new(text, &budget, &log, limits.memory);
        let machine = made.map_err(|error| {
            let (line, text) = read(&error);
            fault(line, &text)
        })?;
        let Machine { lua, chunk, call, defines } = machine;
        let asks = text.contains("lookup");
        let mut script = Self { lua, file: file.to_owned(), chunk, call, hooks: [false; 5], asks, budget, log };
        for (at, hook) in Hook::ALL.into_iter().enumerate() {
            let defined = script.guarded(|script| defines.call::<bool>((&script.chunk, hook.name()))).map_err(|trouble| match trouble {
                Trouble::Fault(fault) => fault,
                other => fault(0, &other.to_string()),
            })?;
            if let Some(slot) = script.hooks.get_mut(at) {
                *slot = defined;
            }
        }
        if !script.hooks.contains(&true) {
            return Err(fault(0, "defines none of the functions route, rewrite, expand, crossbar, policy"));
        }
        Ok(script)
    }

    /// Whether it defines a hook: one that it does not define costs nothing.
    pub fn has(&self, hook: Hook) -> bool {
        Hook::ALL.iter().zip(&self.hooks).any(|(known, defined)| *known == hook && *defined)
    }

    pub fn file(&self) -> &str {
        &self.file
    }

    /// `file:line: text` of each line that the last call has logged.
    pub fn take_log(&mut self) -> Vec<String> {
        let lines = std::mem::take(&mut *self.log.borrow_mut());
        lines.into_iter().map(|(line, text)| format!("{}:{line}: {text}", self.file)).collect()
    }

    /// Where does this address go?
    pub fn route(&mut self, address: Address<'_>, envelope: Envelope<'_>, world: &mut dyn World) -> Result<Option<Route>, Trouble> {
        let asked = Asked { first: Some(address), envelope, ..Asked::default() };
        self.ask(Hook::Route, &asked, world, results::route)
    }

    /// Another form of an address; `kind` is `sender` or `recipient`.
    pub fn rewrite(
        &mut self,
        address: Address<'_>,
        envelope: Envelope<'_>,
        kind: &str,
        world: &mut dyn World,
    ) -> Result<Option<String>, Trouble> {
        let asked = Asked { first: Some(address), word: Some(kind), envelope, ..Asked::default() };
        self.ask(Hook::Rewrite, &asked, world, results::rewrite)
    }

    /// Whom does `name` at the local `domain` stand for?
    pub fn expand(
        &mut self,
        name: &str,
        domain: &str,
        envelope: Envelope<'_>,
        world: &mut dyn World,
    ) -> Result<Option<Vec<String>>, Trouble> {
        let place = Place { channel: "", host: domain };
        let asked = Asked { word: Some(name), place: Some(place), envelope, ..Asked::default() };
        self.ask(Hook::Expand, &asked, world, results::expand)
    }

    /// What of this sender and this recipient, which goes to `place`? `from` is `None` for the null sender.
    pub fn crossbar(
        &mut self,
        from: Option<Address<'_>>,
        to: Address<'_>,
        place: Place<'_>,
        envelope: Envelope<'_>,
        world: &mut dyn World,
    ) -> Result<Option<Crossing>, Trouble> {
        let asked = Asked { first: from, second: Some(to), place: Some(place), envelope, ..Asked::default() };
        self.ask(Hook::Crossbar, &asked, world, results::crossbar)
    }

    /// Is this recipient taken?
    pub fn policy(&mut self, envelope: Envelope<'_>, recipient: Address<'_>, world: &mut dyn World) -> Result<Option<Reply>, Trouble> {
        let asked = Asked { first: Some(recipient), envelope, ..Asked::default() };
        self.ask(Hook::Policy, &asked, world, results::policy)
    }

    fn ask<T>(
        &mut self,
        hook: Hook,
        asked: &Asked<'_>,
        world: &mut dyn World,
        read: impl Fn(&Value) -> Result<T, String>,
    ) -> Result<T, Trouble> {
        self.guarded(|script| {
            script.log.borrow_mut().clear();
            let value = script.attempt(hook, asked, world)?;
            read(&value).map_err(|text| Error::RuntimeError(shortened(&text)))
        })
    }

    /// Runs something within a fresh budget. Where its error has no line, it is run again, noting each line as it begins: no
    /// harm, since nothing of the first time is left.
    fn guarded<T>(&mut self, mut run: impl FnMut(&Self) -> mlua::Result<T>) -> Result<T, Trouble> {
        let first = match self.once(false, &mut run) {
            Ok(value) => return Ok(value),
            Err(Stop::Trouble(trouble)) => return Err(trouble),
            Err(Stop::Fault { line, text }) if line > 0 => return Err(self.fault(line, text)),
            Err(Stop::Fault { text, .. }) => text,
        };
        // What the first time left would stand in the way of the second where memory is the matter.
        self.lua.gc_collect().ok();
        match self.once(true, &mut run) {
            Err(Stop::Trouble(trouble)) => Err(trouble),
            _ => Err(self.fault(self.budget.last_line(), first)),
        }
    }

    fn once<T>(&self, lines: bool, run: &mut impl FnMut(&Self) -> mlua::Result<T>) -> Result<T, Stop> {
        let result = self.budget.begin(&self.lua, lines).and_then(|()| run(self));
        result.map_err(|error| {
            self.budget.stopped().unwrap_or_else(|| {
                let (line, text) = read(&error);
                Stop::Fault { line, text }
            })
        })
    }

    fn fault(&self, line: usize, text: String) -> Trouble {
        Trouble::Fault(Fault { file: self.file.clone(), line, text })
    }

    fn attempt(&self, hook: Hook, asked: &Asked<'_>, world: &mut dyn World) -> mlua::Result<Value> {
        let call = |lookup: Value| {
            let name = Value::String(self.lua.create_string(hook.name())?);
            let before = [Value::Function(self.chunk.clone()), lookup, name];
            self.call.call::<Value>(asked.values(&self.lua, before)?)
        };
        if !self.asks {
            return call(Value::Nil);
        }
        let mut count = 0;
        self.lua.scope(|scope| {
            let lookup = scope.create_function_mut(|lua, (table, key): (LuaString, LuaString)| {
                count += 1;
                self.lookup(lua, (&table, &key), count, world)
            })?;
            call(Value::Function(lookup))
        })
    }

    /// The first value, and all; nothing where the key is not there.
    fn lookup(
        &self,
        lua: &Lua,
        (table, key): (&LuaString, &LuaString),
        count: usize,
        world: &mut dyn World,
    ) -> mlua::Result<(Option<LuaString>, Option<Table>)> {
        let fault = |text: String| self.budget.fault(lua, text);
        if count > MOST_LOOKUPS {
            return Err(fault(format!("more than {MOST_LOOKUPS} look-ups")));
        }
        self.budget.spend(lua, 500)?;
        let (Ok(table), Ok(key)) = (table.to_str(), key.to_str()) else { return Err(fault("lookup: not UTF-8".to_owned())) };
        // No table has such a key.
        if key.is_empty() || key.len() > LONGEST_KEY || key.chars().any(char::is_control) {
            return Ok((None, None));
        }
        let found = world.lookup(&table, &key).map_err(|error| match error {
            TableError::Pending => self.budget.trouble(Trouble::Pending),
            TableError::Temporary(reason) => self.budget.trouble(Trouble::Temporary(reason)),
            TableError::Permanent(reason) => fault(shortened(&reason)),
        })?;
        let Some(values) = found else { return Ok((None, None)) };
        self.budget.spend(lua, values.iter().map(|value| value.len() as u64 / 16 + 1).sum())?;
        let first = values.first().map_or_else(|| lua.create_string(""), |value| lua.create_string(value))?;
        Ok((Some(first), Some(lua.create_sequence_from(values)?)))
    }
}

/// The parts of a machine while it is made.
struct Machine {
    lua: Lua,
    chunk: Function,
    call: Function,
    defines: Function,
}

impl Machine {
    fn new(text: &str, budget: &Rc<Budget>, log: &LogLines, memory: usize) -> mlua::Result<Self> {
        let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH;
        let lua = Lua::new_with(libraries, LuaOptions::new())?;
        let ours = functions(&lua, budget, log)?;
        let library = lua.load(LIBRARY).set_name("=library").set_mode(ChunkMode::Text);
        let (strings, call, defines): (Table, Function, Function) = library.call((lua.globals(), ours))?;
        lua.set_type_metatable::<LuaString>(Some(strings));
        lua.set_memory_limit(lua.used_memory().saturating_add(memory))?;
        // Its first line stays the first.
        let text = format!("local _ENV = ...; {text}");
        let chunk = compiled(&lua, &text).map_err(|error| placed(&lua, &text, error))?;
        Ok(Self { lua, chunk, call, defines })
    }
}

fn compiled(lua: &Lua, text: &str) -> mlua::Result<Function> {
    lua.load(text).set_name(format!("={CHUNK}")).set_mode(ChunkMode::Text).into_function()
}

/// What nests too deep has no line: it is that of the shortest beginning that nests too deep.
fn placed(lua: &Lua, text: &str, error: Error) -> Error {
    let (line, reason) = read(&error);
    if line > 0 {
        return error;
    }
    let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).chain([text.len()]).collect();
    let fits = |end: &usize| compiled(lua, text.get(..*end).unwrap_or_default()).err().is_none_or(|e| read(&e).1 != reason);
    Error::RuntimeError(format!("{CHUNK}:{}: {reason}", ends.partition_point(fits) + 1))
}
