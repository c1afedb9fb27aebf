//! The values of one answer.

use crate::Trouble;
use ipc::tables::LONGEST_ANSWER;

/// Values of one answer at most.
const MOST: usize = 10_000;

/// In the server's order, and no more than an answer may hold.
#[derive(Debug, Default)]
pub struct Values {
    list: Vec<String>,
    bytes: usize,
}

impl Values {
    /// Texts without control characters only: what else a table holds is no value of ours.
    ///
    /// The rest of the answer can be read and thrown away, so the connection stays good.
    pub fn push(&mut self, value: &[u8]) -> Result<(), Trouble> {
        self.bytes = self.bytes.saturating_add(value.len());
        if self.bytes > LONGEST_ANSWER || self.list.len() >= MOST {
            return Err(Trouble::passing(format!("the answer has more than {LONGEST_ANSWER} bytes or {MOST} values")));
        }
        let text = std::str::from_utf8(value).map_err(|_| Trouble::passing("a value of the answer is no UTF-8 text"))?;
        if text.chars().any(char::is_control) {
            return Err(Trouble::passing("a value of the answer holds control characters"));
        }
        self.list.push(text.to_owned());
        Ok(())
    }

    /// Nothing found is absence.
    pub fn answer(self) -> Option<Vec<String>> {
        Some(self.list).filter(|list| !list.is_empty())
    }
}
