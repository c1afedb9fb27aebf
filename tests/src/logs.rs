//! What a suite has logged.

use crate::{LONG, Suite, wait_until};
use std::fs;
use std::io::Read;

impl Suite {
    /// Standard error so far.
    pub fn errors(&self) -> String {
        let mut text = String::new();
        let _ = fs::File::open(self.path("stderr")).and_then(|mut f| f.read_to_string(&mut text));
        text
    }

    /// Everything logged so far.
    pub fn log(&self) -> String {
        let mut text = String::new();
        for name in crate::files(&self.postoffice("log")) {
            text.push_str(&String::from_utf8_lossy(&fs::read(self.postoffice("log").join(name)).unwrap_or_default()));
        }
        text
    }

    /// Waits for a text in the log: a line may leave after what it is about is seen elsewhere.
    pub fn logged(&self, text: &str) {
        wait_until(&format!("`{text}` in the log"), LONG, || self.log().contains(text));
    }

    /// Lines about this event and this text, an address mostly.
    pub fn lines(&self, event: &str, about: &str) -> Vec<String> {
        let wanted = |line: &&str| line.contains(&format!(" {event} ")) && line.contains(about);
        self.log().lines().filter(wanted).map(str::to_owned).collect()
    }

    /// The first of these lines, once it is there.
    pub fn wait_for(&self, event: &str, about: &str) -> String {
        wait_until(&format!("{event} {about}"), LONG, || !self.lines(event, about).is_empty());
        self.lines(event, about).remove(0)
    }
}
