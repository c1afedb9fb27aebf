//! Regular expressions whose time grows with the length of the text and no faster.

use regex::bytes::{Regex, RegexBuilder};
use std::collections::HashMap;
use std::rc::Rc;

/// Expressions kept compiled.
const KEPT: usize = 64;
/// Bytes of a compiled expression, and of the states made while it runs.
const SIZE: usize = 256 * 1024;
/// Bytes of an expression.
const LONGEST: usize = 2000;

/// The expressions that a script has used. Only speed depends on what is in here.
#[derive(Debug, Default)]
pub struct Patterns {
    kept: HashMap<String, Rc<Regex>>,
}

/// What a match costs, in instructions: the same whether the expression is kept or not.
pub fn cost(text: usize, pattern: usize) -> u64 {
    let (text, pattern) = (text as u64, pattern as u64);
    200 + pattern.saturating_mul(20) + text.saturating_mul(1 + pattern / 8)
}

impl Patterns {
    pub fn compiled(&mut self, pattern: &str) -> Result<Rc<Regex>, String> {
        if let Some(kept) = self.kept.get(pattern) {
            return Ok(Rc::clone(kept));
        }
        if pattern.len() > LONGEST {
            return Err(format!("the expression is longer than {LONGEST} bytes"));
        }
        // Bytes, as Lua's own: a class never means more of the world's scripts than ASCII.
        let made = RegexBuilder::new(pattern).unicode(false).size_limit(SIZE).dfa_size_limit(SIZE).nest_limit(50).build();
        let made = made.map_err(|e| match e {
            regex::Error::CompiledTooBig(_) => "the expression is too large".to_owned(),
            other => other.to_string().lines().last().unwrap_or_default().trim().to_owned(),
        })?;
        if self.kept.len() >= KEPT {
            self.kept.clear();
        }
        let made = Rc::new(made);
        self.kept.insert(pattern.to_owned(), Rc::clone(&made));
        Ok(made)
    }
}
