//! The line protocol: bytes of a filter program in, verdicts out. No I/O.

use ipc::filter::Judgement;

/// Longest line of a filter program.
const LONGEST: usize = 4096;
/// Longest text that goes into a reply or a reason.
const TEXT: usize = 400;

/// What the program's words came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing yet.
    Nothing,
    /// The answer to the question it had.
    Verdict(Judgement),
    /// It does not keep the protocol; what it says next cannot be trusted to belong to the next question.
    Garbage(&'static str),
}

/// The conversation with one program.
#[derive(Debug, Default)]
pub struct Dialogue {
    /// It has said `#hungry`: its answers end with that.
    hungry: bool,
    asked: bool,
    best: Option<Judgement>,
    partial: Vec<u8>,
}

impl Dialogue {
    /// A question goes to the program now.
    pub fn ask(&mut self) {
        self.asked = true;
        self.best = None;
    }

    /// Takes what was read; stops at the first verdict or garbage (nothing may follow an answer but `#hungry`).
    pub fn hear(&mut self, mut bytes: &[u8]) -> Step {
        let mut result = Step::Nothing;
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            let (line, rest) = bytes.split_at(end);
            bytes = rest.get(1..).unwrap_or_default();
            self.partial.extend_from_slice(line);
            if self.partial.len() > LONGEST {
                return Step::Garbage("a line is too long");
            }
            let line = std::mem::take(&mut self.partial);
            match self.line(&line) {
                Step::Nothing => {}
                Step::Garbage(why) => return Step::Garbage(why),
                verdict => result = verdict,
            }
        }
        self.partial.extend_from_slice(bytes);
        if self.partial.len() > LONGEST { Step::Garbage("a line is too long") } else { result }
    }

    fn line(&mut self, line: &[u8]) -> Step {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.starts_with(b"#hungry") {
            return self.hungry();
        }
        if line.starts_with(b"#") || line.is_empty() {
            return Step::Nothing;
        }
        match (verdict(line), self.asked) {
            (Some(_), false) => Step::Garbage("a verdict that nobody asked for"),
            (Some(verdict), true) if self.hungry => {
                self.best = Some(verdict);
                Step::Nothing
            }
            (Some(verdict), true) => {
                self.asked = false;
                Step::Verdict(verdict)
            }
            (None, _) if self.hungry => Step::Nothing,
            (None, _) => Step::Garbage("a line that is no verdict"),
        }
    }

    fn hungry(&mut self) -> Step {
        let greeting = !std::mem::replace(&mut self.hungry, true);
        if !self.asked {
            return Step::Nothing;
        }
        match self.best.take() {
            Some(verdict) => {
                self.asked = false;
                Step::Verdict(verdict)
            }
            // It began while the question was already on its way.
            None if greeting => Step::Nothing,
            None => Step::Garbage("#hungry without a verdict"),
        }
    }
}

/// Reads `signed-number text`.
fn verdict(line: &[u8]) -> Option<Judgement> {
    let end = line.iter().position(|b| b.is_ascii_whitespace()).unwrap_or(line.len());
    let (number, text) = line.split_at_checked(end)?;
    let number = std::str::from_utf8(number).ok()?;
    if number.len() > 11 {
        return None;
    }
    let number: i64 = number.parse().ok()?;
    let (code, text) = without_codes(printable(text));
    let text = if text.is_empty() { "message content rejected".to_owned() } else { text };
    Some(match number {
        0 => Judgement::Accept,
        1.. => Judgement::Freeze(text),
        _ if code == Some(b'4') => Judgement::Defer(text),
        _ => Judgement::Reject(text),
    })
}

/// Printable ASCII only, one line, bounded: the text goes to clients and logs.
fn printable(text: &[u8]) -> String {
    let clean = text.iter().map(|b| match b {
        b'\r' | b'\t' => ' ',
        b' '..=b'~' => char::from(*b),
        _ => '?',
    });
    clean.collect::<String>().trim().chars().take(TEXT).collect()
}

/// Takes `550 5.7.1 ` from the front: the server puts codes of its own there. Gives the first digit found.
fn without_codes(text: String) -> (Option<u8>, String) {
    let mut rest = text.as_str();
    let mut class = None;
    if let Some((word, after)) = first_word(rest)
        && word.len() == 3
        && word.bytes().all(|b| b.is_ascii_digit())
    {
        (class, rest) = (word.bytes().next(), after);
    }
    if let Some((word, after)) = first_word(rest)
        && word.split('.').count() == 3
        && word.split('.').all(|part| !part.is_empty() && part.len() <= 3 && part.bytes().all(|b| b.is_ascii_digit()))
    {
        (class, rest) = (class.or(word.bytes().next()), after);
    }
    (class, rest.to_owned())
}

fn first_word(text: &str) -> Option<(&str, &str)> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    (!word.is_empty()).then(|| (word, rest.trim_start()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reject(text: &str) -> Step {
        Step::Verdict(Judgement::Reject(text.into()))
    }

    #[test]
    fn one_line_answers() {
        let mut dialogue = Dialogue::default();
        for (line, wanted) in [
            ("0\n", Step::Verdict(Judgement::Accept)),
            ("0 250 2.0.0 fine\n", Step::Verdict(Judgement::Accept)),
            ("-1 spam\n", reject("spam")),
            ("-1 550 5.7.1 it is\rspam\n", reject("it is spam")),
            ("-1 451 4.7.1 later\n", Step::Verdict(Judgement::Defer("later".into()))),
            ("-1\n", reject("message content rejected")),
            ("+5 looks odd\n", Step::Verdict(Judgement::Freeze("looks odd".into()))),
        ] {
            dialogue.ask();
            assert_eq!(dialogue.hear(line.as_bytes()), wanted, "{line:?}");
        }
    }

    #[test]
    fn hungry_ends_an_answer_and_the_last_valid_line_counts() {
        let mut dialogue = Dialogue::default();
        assert_eq!(dialogue.hear(b"#hungry\n"), Step::Nothing);
        dialogue.ask();
        assert_eq!(dialogue.hear(b"0 first\nrubbish\n# note\n-1 se"), Step::Nothing);
        assert_eq!(dialogue.hear(b"cond\n"), Step::Nothing);
        assert_eq!(dialogue.hear(b"#hungry\n"), reject("second"));
        dialogue.ask();
        assert!(matches!(dialogue.hear(b"rubbish\n#hungry\n"), Step::Garbage(_)));
    }

    #[test]
    fn a_late_greeting_is_no_answer() {
        let mut dialogue = Dialogue::default();
        dialogue.ask();
        assert_eq!(dialogue.hear(b"#hungry\n"), Step::Nothing);
        assert_eq!(dialogue.hear(b"-2 x\n#hungry\n"), reject("x"));
    }

    #[test]
    fn nonsense_is_found() {
        let ask = |text: &[u8]| {
            let mut dialogue = Dialogue::default();
            dialogue.ask();
            dialogue.hear(text)
        };
        for text in [&b"hello\n"[..], b"99999999999999 x\n", b"0 a\n0 b\n", b"--1 x\n", &[b'x'; 5000], b"0x\n", b"\xff\n"] {
            assert!(matches!(ask(text), Step::Garbage(_)), "{text:?}");
        }
        assert!(matches!(Dialogue::default().hear(b"0 unasked\n"), Step::Garbage(_)));
        assert_eq!(ask(b"-1 \x1b[2J\xffevil\x00\n"), reject("?[2J?evil?"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived_and_texts_are_clean(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..20)) {
            let mut dialogue = Dialogue::default();
            for piece in pieces {
                dialogue.ask();
                if let Step::Verdict(Judgement::Reject(t) | Judgement::Freeze(t) | Judgement::Defer(t)) = dialogue.hear(&piece) {
                    prop_assert!(t.len() <= TEXT && t.bytes().all(|b| (b' '..=b'~').contains(&b)));
                }
            }
        }
    }
}
