//! Log lines: one line an event, `key=value` after a fixed prefix, or JSON with the same keys.
//!
//! Lines gather in a buffer of the process and leave with one write: call [`flush`] before the event loop sleeps.
//! Warnings and errors leave at once. Our own writer instead of a logging framework because the form of these lines
//! is an interface of the suite, and because a line must cost less than a microsecond.

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, Write as _};
use std::sync::{Mutex, OnceLock, PoisonError};

pub use settings::{LogFormat, LogLevel};

/// A full buffer is written without waiting for [`flush`].
const BUFFER: usize = 32 * 1024;

struct Logger {
    service: String,
    pid: u32,
    format: LogFormat,
    level: LogLevel,
    sink: Mutex<Sink>,
}

struct Sink {
    /// `None`: standard error.
    file: Option<File>,
    buffer: Vec<u8>,
}

static LOGGER: OnceLock<Logger> = OnceLock::new();

/// Sets the process's log up; later calls change nothing.
pub fn init(service: &str, format: LogFormat, level: LogLevel, file: Option<File>) {
    let sink = Mutex::new(Sink { file, buffer: Vec::new() });
    let _ = LOGGER.set(Logger { service: service.to_owned(), pid: std::process::id(), format, level, sink });
}

/// Goes on in another file (after rotation).
pub fn reopen(file: Option<File>) {
    flush();
    if let Some(logger) = LOGGER.get() {
        logger.sink.lock().unwrap_or_else(PoisonError::into_inner).file = file;
    }
}

pub fn enabled(level: LogLevel) -> bool {
    LOGGER.get().map_or(level <= LogLevel::Warning, |logger| level <= logger.level)
}

/// Writes what has gathered.
pub fn flush() {
    if let Some(logger) = LOGGER.get() {
        logger.sink.lock().unwrap_or_else(PoisonError::into_inner).flush();
    }
}

impl Sink {
    fn flush(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        // A log that cannot be written must not stop the mail; the lines are lost.
        let _ = match &mut self.file {
            Some(file) => file.write_all(&self.buffer),
            None => io::stderr().write_all(&self.buffer),
        };
        self.buffer.clear();
    }
}

/// A line being made: `log::info("accepted").field("id", id).end()`, usually through [`event!`](crate::event).
#[derive(Debug)]
pub struct Line {
    text: String,
    json: bool,
    level: LogLevel,
}

impl Line {
    /// Begins a line; `None` when nobody wants this level.
    pub fn begin(level: LogLevel, event: &str) -> Option<Self> {
        if !enabled(level) {
            return None;
        }
        let (service, pid, format) =
            LOGGER.get().map_or_else(|| ("zpost", std::process::id(), LogFormat::Text), |l| (l.service.as_str(), l.pid, l.format));
        let mut text = String::with_capacity(256);
        let json = format == LogFormat::Json;
        if json {
            text.push_str("{\"time\":\"");
            stamp(&mut text);
            let _ = write!(text, "\",\"service\":\"{service}\",\"pid\":{pid},\"level\":\"{}\",\"event\":\"{event}\"", word(level));
        } else {
            stamp(&mut text);
            let _ = write!(text, " {service}[{pid}]: {event}");
            if level <= LogLevel::Warning {
                let _ = write!(text, " level={}", word(level));
            }
        }
        Some(Self { text, json, level })
    }

    /// Adds `key=value`. Control bytes are escaped; a text value with a blank or a quote is quoted.
    #[must_use]
    pub fn field(mut self, key: &str, value: &dyn fmt::Display) -> Self {
        thread_local! { static VALUE: RefCell<String> = const { RefCell::new(String::new()) }; }
        VALUE.with_borrow_mut(|scratch| {
            scratch.clear();
            let _ = write!(scratch, "{value}");
            if self.json {
                let _ = write!(self.text, ",\"{key}\":\"");
                escape(scratch, &mut self.text);
                self.text.push('"');
            } else if !scratch.is_empty() && scratch.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\') {
                let _ = write!(self.text, " {key}={scratch}");
            } else {
                let _ = write!(self.text, " {key}=\"");
                escape(scratch, &mut self.text);
                self.text.push('"');
            }
        });
        self
    }

    pub fn end(mut self) {
        if self.json {
            self.text.push('}');
        }
        self.text.push('\n');
        let Some(logger) = LOGGER.get() else {
            let _ = io::stderr().write_all(self.text.as_bytes());
            return;
        };
        let mut sink = logger.sink.lock().unwrap_or_else(PoisonError::into_inner);
        sink.buffer.extend_from_slice(self.text.as_bytes());
        if sink.buffer.len() >= BUFFER || self.level <= LogLevel::Warning {
            sink.flush();
        }
    }
}

/// `daemon::event!(Info, "accepted", id = id, size = n)`: one log line. Values need `Display`.
#[macro_export]
macro_rules! event {
    ($level:ident, $event:expr $(, $key:ident = $value:expr)* $(,)?) => {
        if let Some(line) = $crate::log::Line::begin($crate::log::LogLevel::$level, $event) {
            line$(.field(stringify!($key), &$value))*.end();
        }
    };
}

const fn word(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warning => "warning",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
    }
}

/// RFC 3339 in UTC with milliseconds. The second is made into text once, not for every line.
fn stamp(out: &mut String) {
    thread_local! { static SECOND: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) }; }
    let millis = crate::clock::unix_millis();
    let second = millis / 1000;
    SECOND.with_borrow_mut(|(known, text)| {
        if *known != second {
            let moment = jiff::Timestamp::from_second(i64::try_from(second).unwrap_or(0)).unwrap_or_default();
            text.clear();
            let _ = write!(text, "{}", moment.strftime("%Y-%m-%dT%H:%M:%S"));
            *known = second;
        }
        out.push_str(text);
    });
    let _ = write!(out, ".{:03}Z", millis % 1000);
}

/// Remote text may say anything: no control byte, quote or line end of it reaches the log raw.
fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || ('\u{200b}'..='\u{202e}').contains(&c) || ('\u{2066}'..='\u{2069}').contains(&c) => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(json: bool) -> Line {
        Line { text: String::new(), json, level: LogLevel::Info }
    }

    #[test]
    fn plain_values_stay_bare_and_others_are_quoted() {
        let text = line(false).field("id", &7).field("text", &"two words").field("empty", &"").text;
        assert_eq!(text, " id=7 text=\"two words\" empty=\"\"");
    }

    #[test]
    fn hostile_text_stays_on_its_line() {
        let text = line(false).field("text", &"a\r\nb=\"c\" \\ \u{1b}[2J\u{202e}").text;
        assert_eq!(text, " text=\"a\\r\\nb=\\\"c\\\" \\\\ \\u001b[2J\\u202e\"");
        let text = line(true).field("text", &"a\"\n\u{0}").text;
        assert_eq!(text, ",\"text\":\"a\\\"\\n\\u0000\"");
    }
}
