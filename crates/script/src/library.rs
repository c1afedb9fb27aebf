//! Functions of ours that a script may call. Each pays for the length of its work before it begins.

use crate::budget::Budget;
use crate::fault::{current_line, shortened};
use crate::patterns::{Patterns, cost};
use memchr::memmem;
use mlua::{Lua, LuaString, MultiValue, Table, Value};
use std::cell::RefCell;
use std::rc::Rc;

/// Lines that one call may log.
const LOG_LINES: usize = 20;

/// What a call has logged: line and text.
pub type LogLines = Rc<RefCell<Vec<(usize, String)>>>;

/// The table `r` of `library.lua`.
pub fn functions(lua: &Lua, budget: &Rc<Budget>, log: &LogLines) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    endings(lua, &table, budget)?;
    texts(lua, &table, budget)?;
    parts(lua, &table, budget)?;
    let lines = Rc::clone(log);
    let logged = lua.create_function(move |lua, text: Value| {
        let mut lines = lines.borrow_mut();
        if lines.len() < LOG_LINES {
            lines.push((current_line(lua), shortened(&said(&text))));
        }
        Ok(())
    })?;
    table.raw_set("log", logged)?;
    Ok(table)
}

/// A value in words; objects have no address.
fn said(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_string_lossy(),
        Value::Integer(number) => number.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Boolean(yes) => yes.to_string(),
        other => other.type_name().to_owned(),
    }
}

/// What ends a call: work that is not paid for, mistakes of the script, `error` and `assert`.
fn endings(lua: &Lua, table: &Table, budget: &Rc<Budget>) -> mlua::Result<()> {
    let spender = Rc::clone(budget);
    table.raw_set("charge", lua.create_function(move |lua, cost: f64| spender.spend(lua, cost.max(1.0) as u64))?)?;
    for name in ["mistake", "error"] {
        let ender = Rc::clone(budget);
        let end = lua.create_function(move |lua, value: Value| -> mlua::Result<()> {
            let text = match &value {
                Value::String(_) | Value::Integer(_) | Value::Number(_) => shortened(&said(&value)),
                other => format!("error with a {} for a text", other.type_name()),
            };
            Err(ender.fault(lua, text))
        })?;
        table.raw_set(name, end)?;
    }
    let ender = Rc::clone(budget);
    let assert = lua.create_function(move |lua, values: MultiValue| match values.front() {
        None | Some(Value::Nil | Value::Boolean(false)) => {
            let text = values.get(1).map_or_else(|| "assertion failed".to_owned(), |text| shortened(&said(text)));
            Err(ender.fault(lua, text))
        }
        Some(_) => Ok(values),
    })?;
    table.raw_set("assert", assert)
}

/// Searching, and parts of texts. All take time in proportion to the text, whatever is in it.
fn texts(lua: &Lua, table: &Table, budget: &Rc<Budget>) -> mlua::Result<()> {
    let payer = Rc::clone(budget);
    let find = lua.create_function(move |lua, (text, part, from): (LuaString, LuaString, Option<i64>)| {
        let (text, part) = (text.as_bytes(), part.as_bytes());
        payer.spend(lua, length_cost(text.len() + part.len()))?;
        let start = usize::try_from(from.unwrap_or(1).max(1) - 1).unwrap_or(usize::MAX);
        let found = text.get(start..).and_then(|rest| memmem::find(rest, &part)).map(|at| at + start);
        Ok(found.map_or((None, None), |at| (Some(at + 1), Some(at + part.len()))))
    })?;
    table.raw_set("find", find)?;
    let starts = lua.create_function(|_, (text, part): (LuaString, LuaString)| Ok(text.as_bytes().starts_with(&part.as_bytes())))?;
    table.raw_set("starts_with", starts)?;
    let ends = lua.create_function(|_, (text, part): (LuaString, LuaString)| Ok(text.as_bytes().ends_with(&part.as_bytes())))?;
    table.raw_set("ends_with", ends)?;
    let payer = Rc::clone(budget);
    let trim = lua.create_function(move |lua, text: LuaString| {
        payer.spend(lua, length_cost(text.as_bytes().len()))?;
        lua.create_string(text.as_bytes().trim_ascii())
    })?;
    table.raw_set("trim", trim)?;
    // True when the form has no %p, which would show an address.
    let harmless = lua.create_function(|_, form: LuaString| {
        let (form, mut bytes) = (form.as_bytes(), 0..);
        let mut next = || bytes.next().and_then(|at: usize| form.get(at).copied());
        while let Some(byte) = next() {
            // `%%` has no letter.
            let mut letter = || std::iter::from_fn(&mut next).find(|b| b.is_ascii_alphabetic() || *b == b'%');
            if byte == b'%' && letter() == Some(b'p') {
                return Ok(false);
            }
        }
        Ok(true)
    })?;
    table.raw_set("harmless", harmless)
}

fn parts(lua: &Lua, table: &Table, budget: &Rc<Budget>) -> mlua::Result<()> {
    let payer = Rc::clone(budget);
    let split = lua.create_function(move |lua, (text, between): (LuaString, LuaString)| {
        let (text, between) = (text.as_bytes(), between.as_bytes());
        if between.is_empty() {
            return Err(payer.fault(lua, "split: nothing to split at".to_owned()));
        }
        // Every part becomes a text of its own.
        payer.spend(lua, text.len() as u64 + 1)?;
        let list = lua.create_table()?;
        let mut from = 0;
        for at in memmem::find_iter(&text, &*between) {
            list.raw_push(lua.create_string(text.get(from..at).unwrap_or_default())?)?;
            from = at + between.len();
        }
        list.raw_push(lua.create_string(text.get(from..).unwrap_or_default())?)?;
        Ok(list)
    })?;
    table.raw_set("split", split)?;
    let payer = Rc::clone(budget);
    let replace = lua.create_function(move |lua, (text, old, new): (LuaString, LuaString, LuaString)| {
        let (text, old, new) = (text.as_bytes(), old.as_bytes(), new.as_bytes());
        if old.is_empty() {
            return Err(payer.fault(lua, "replace: nothing to replace".to_owned()));
        }
        let times = memmem::find_iter(&text, &*old).count();
        let size = text.len().saturating_add(times.saturating_mul(new.len()));
        payer.spend(lua, length_cost(size) + times as u64)?;
        if size > 1 << 20 {
            return Err(payer.fault(lua, "replace: more than 1 MiB".to_owned()));
        }
        let (mut made, mut from) = (Vec::with_capacity(size), 0);
        for at in memmem::find_iter(&text, &*old) {
            made.extend_from_slice(text.get(from..at).unwrap_or_default());
            made.extend_from_slice(&new);
            from = at + old.len();
        }
        made.extend_from_slice(text.get(from..).unwrap_or_default());
        lua.create_string(made)
    })?;
    table.raw_set("replace", replace)?;
    let (payer, patterns) = (Rc::clone(budget), RefCell::new(Patterns::default()));
    let matches = lua.create_function(move |lua, (text, pattern): (LuaString, LuaString)| {
        let text = text.as_bytes();
        let pattern = pattern.to_str().map_err(|_| payer.fault(lua, "match: the expression is not UTF-8".to_owned()))?;
        payer.spend(lua, cost(text.len(), pattern.len()))?;
        let compiled = patterns.borrow_mut().compiled(&pattern).map_err(|reason| payer.fault(lua, format!("match: {reason}")))?;
        captures(lua, &compiled, &text)
    })?;
    table.raw_set("match", matches)
}

/// The groups, or the whole where there are none; nothing where it does not match. A group that took no part is nil.
fn captures(lua: &Lua, pattern: &regex::bytes::Regex, text: &[u8]) -> mlua::Result<MultiValue> {
    let Some(found) = pattern.captures(text) else { return Ok(MultiValue::from_vec(vec![Value::Nil])) };
    let skipped = usize::from(found.len() > 1);
    let part = |group: Option<regex::bytes::Match<'_>>| {
        group.map_or(Ok(Value::Nil), |group| lua.create_string(group.as_bytes()).map(Value::String))
    };
    found.iter().skip(skipped).map(part).collect::<mlua::Result<Vec<Value>>>().map(MultiValue::from_vec)
}

fn length_cost(bytes: usize) -> u64 {
    1 + bytes as u64 / 16
}
