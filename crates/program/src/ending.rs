//! How a program ended, and what that means for the message (sysexits.h, as ZMailer's mailbox and sm agents read it).

use status::{Class, Enhanced, Outcome};
use std::fmt;

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    Exited(i32),
    /// By a signal nobody of ours sent: a crash, most likely.
    Signalled(i32),
    /// It was ended at its deadline.
    TimedOut,
    /// Its input could not be read to the end, so it was ended.
    InputFailed(String),
    /// It could not be started.
    NotStarted(String),
}

/// Longest text of a result, in bytes.
const TEXT: usize = 400;

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    pub ending: Ending,
    /// What it said, up to the limit.
    pub output: Vec<u8>,
    /// It said more than that.
    pub flooded: bool,
}

/// What the end means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    pub outcome: Outcome,
    pub status: Enhanced,
    /// One line of printable text.
    pub text: String,
}

impl Ended {
    /// It did not begin.
    pub fn not_started(error: &dyn fmt::Display) -> Self {
        Self { ending: Ending::NotStarted(error.to_string()), output: Vec::new(), flooded: false }
    }

    /// The first line with anything in it, printable ASCII only (other bytes as `\xNN`), bounded.
    pub fn first_line(&self) -> String {
        let mut lines = self.output.split(|b| matches!(b, b'\n' | b'\r')).map(<[u8]>::trim_ascii);
        let line = lines.find(|line| !line.is_empty()).unwrap_or_default();
        let mut text =
            line.get(..line.len().min(TEXT)).unwrap_or_default().escape_ascii().to_string().replace("\\\"", "\"").replace("\\'", "'");
        text.truncate(TEXT);
        text
    }

    /// By exit code: 0 is delivered; DATAERR, NOUSER, NOHOST, UNAVAILABLE and NOPERM fail; all else is tried again. A first
    /// line that begins with an enhanced status code of the same class gives the code.
    pub fn judgement(&self) -> Judgement {
        let (outcome, status, text) = match &self.ending {
            Ending::Exited(0) => (Outcome::Delivered, Enhanced::success(0, 0), "delivered to a program".to_owned()),
            Ending::Exited(code) => by_code(*code),
            Ending::Signalled(number) => deferred(3, 0, format!("the program was ended by signal {number}")),
            Ending::TimedOut => deferred(4, 7, "the program did not end in time".to_owned()),
            Ending::InputFailed(reason) => deferred(3, 0, format!("the message could not be read: {reason}")),
            Ending::NotStarted(reason) => deferred(3, 5, format!("the program cannot be started: {reason}")),
        };
        let said = self.first_line();
        let class = match outcome {
            Outcome::Delivered => Class::Success,
            Outcome::Deferred => Class::Transient,
            Outcome::Failed => Class::Permanent,
        };
        let told = Enhanced::split(&said).filter(|(told, _)| told.class == class);
        let (status, said) = told.map_or((status, said.as_str()), |(told, rest)| (told, rest));
        let text = if said.is_empty() { text } else { format!("{text}: {said}") };
        Judgement { outcome, status, text: text.chars().take(TEXT).collect() }
    }
}

fn deferred(subject: u16, detail: u16, text: String) -> (Outcome, Enhanced, String) {
    (Outcome::Deferred, Enhanced::transient(subject, detail), text)
}

fn by_code(code: i32) -> (Outcome, Enhanced, String) {
    let failed = |subject, detail, text: &str| (Outcome::Failed, Enhanced::permanent(subject, detail), text.to_owned());
    match code {
        65 => failed(6, 0, "the program refuses the content"),
        67 => failed(1, 1, "the program knows no such user"),
        68 => failed(1, 2, "the program knows no such host"),
        69 => failed(3, 0, "the program's service is not available"),
        77 => failed(7, 1, "the program gives no permission"),
        73 => deferred(2, 0, "the program cannot create its output (exit code 73)".to_owned()),
        74 => deferred(3, 0, "the program had an input or output error (exit code 74)".to_owned()),
        75 => deferred(3, 0, "the program wants to be tried again (exit code 75)".to_owned()),
        126 | 127 => deferred(3, 5, format!("the program could not run what it should (exit code {code})")),
        code => deferred(3, 0, format!("the program ended with exit code {code}")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ended(ending: Ending, output: &str) -> Judgement {
        Ended { ending, output: output.as_bytes().to_vec(), flooded: false }.judgement()
    }

    #[test]
    fn every_exit_code_has_its_result() {
        for code in 0..=255 {
            let judgement = ended(Ending::Exited(code), "");
            let wanted = match code {
                0 => Outcome::Delivered,
                65 | 67 | 68 | 69 | 77 => Outcome::Failed,
                _ => Outcome::Deferred,
            };
            assert_eq!(judgement.outcome, wanted, "{code}");
        }
        for ending in [Ending::Signalled(11), Ending::TimedOut, Ending::InputFailed("x".into()), Ending::NotStarted("y".into())] {
            assert_eq!(ended(ending, "").outcome, Outcome::Deferred);
        }
    }

    #[test]
    fn the_first_line_is_the_diagnostic_and_may_name_the_code() {
        let judgement = ended(Ending::Exited(67), "\n  \r\n5.1.6 moved to \x1b[2Jelsewhere\nmore\n");
        assert_eq!((judgement.status.to_string(), judgement.outcome), ("5.1.6".to_owned(), Outcome::Failed));
        assert_eq!(judgement.text, "the program knows no such user: moved to \\x1b[2Jelsewhere");
        // A code of another class is only text.
        assert_eq!(ended(Ending::Exited(75), "5.1.1 no").status.to_string(), "4.3.0");
        assert_eq!(ended(Ending::Exited(0), "can't \"fail\"").text, "delivered to a program: can't \"fail\"");
    }

    proptest! {
        #[test]
        fn whatever_it_says_the_text_is_one_bounded_printable_line(output in proptest::collection::vec(any::<u8>(), 0..2000), code in 0..256) {
            let text = Ended { ending: Ending::Exited(code), output, flooded: false }.judgement().text;
            prop_assert!(text.len() <= TEXT && text.bytes().all(|b| (b' '..=b'~').contains(&b)));
        }
    }
}
