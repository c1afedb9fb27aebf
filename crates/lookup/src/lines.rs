//! The lines of a table's text, read one by one, so that a text of any size can be compiled.

use std::io::{BufRead, Read};

/// Bytes of one line of a file, and of one with its continuations.
const LONGEST: usize = 1024 * 1024;

/// A line that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxFault {
    /// 1-based.
    pub line: usize,
    pub reason: String,
}

/// Lines with their numbers: empty ones and those that begin with `#` are left out, one that begins with a blank goes on
/// the one before. Blanks at both ends are gone. After an error there is nothing more.
#[derive(Debug)]
pub struct Lines<R> {
    input: R,
    number: usize,
    held: Option<(usize, String)>,
    over: bool,
}

impl<R: BufRead> Lines<R> {
    pub const fn new(input: R) -> Self {
        Self { input, number: 0, held: None, over: false }
    }

    /// A line of the file; `None` at its end.
    fn physical(&mut self) -> Result<Option<String>, SyntaxFault> {
        let mut bytes = Vec::new();
        self.number += 1;
        let fault = |reason: String| SyntaxFault { line: self.number, reason };
        let read = self.input.by_ref().take(LONGEST as u64 + 1).read_until(b'\n', &mut bytes);
        match read.map_err(|e| fault(e.to_string()))? {
            0 => return Ok(None),
            length if length > LONGEST => return Err(fault(format!("longer than {LONGEST} bytes"))),
            _ => {}
        }
        String::from_utf8(bytes).map(Some).map_err(|_| fault("not UTF-8".to_owned()))
    }

    fn logical(&mut self) -> Result<Option<(usize, String)>, SyntaxFault> {
        while let Some(line) = self.physical()? {
            let text = line.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            match &mut self.held {
                Some((_, held)) if line.starts_with([' ', '\t']) => {
                    if held.len() + text.len() >= LONGEST {
                        return Err(SyntaxFault {
                            line: self.number,
                            reason: format!("longer than {LONGEST} bytes with the lines before"),
                        });
                    }
                    held.push(' ');
                    held.push_str(text);
                }
                held => {
                    if let Some(whole) = held.replace((self.number, text.to_owned())) {
                        return Ok(Some(whole));
                    }
                }
            }
        }
        self.over = true;
        Ok(self.held.take())
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<(usize, String), SyntaxFault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let line = self.logical();
        self.over |= line.is_err();
        line.transpose()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_on_and_comments_go_away() {
        let text = "  first\n# c\n\n\tgoes on \r\nsecond\n #c\n";
        let lines: Vec<_> = Lines::new(text.as_bytes()).map(Result::unwrap).collect();
        assert_eq!(lines, [(1, "first goes on".to_owned()), (5, "second".to_owned())]);
        assert_eq!(Lines::new(&b""[..]).count(), 0);
    }

    #[test]
    fn what_cannot_be_read_ends_it() {
        let last = |bytes: &[u8]| Lines::new(bytes).last().unwrap().unwrap_err();
        assert_eq!(last(b"a\nb\xff\nc\n"), SyntaxFault { line: 2, reason: "not UTF-8".into() });
        assert!(last(&vec![b'x'; LONGEST + 1]).reason.contains("longer"));
        let long = format!("a\n {0}\n {0}\n", "x".repeat(LONGEST / 2));
        assert_eq!(last(long.as_bytes()).line, 3);
    }
}
