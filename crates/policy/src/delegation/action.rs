//! What a policy service answers: an action of Postfix's access(5).

use status::{Class, Enhanced, Reply};

/// Bytes of a text at most: with code and status a reply line stays below 512 (RFC 5321 section 4.5.3.1.5).
const MOST_TEXT: usize = 400;
/// Bytes of a header line (RFC 5322 section 2.1.1).
const MOST_HEADER: usize = 998;

/// An action. Keywords are matched in any case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `OK`, or a number: allowed, no further rule of this list is asked.
    Permit,
    /// `DUNNO`: no opinion; `INFO` and an empty `WARN` come to the same.
    Continue,
    /// `REJECT`, `DEFER`, `4NN` or `5NN`. After 421 and 521 the session ends.
    Reply(Reply),
    /// `DEFER_IF_REJECT`: this reply instead, should a later rule refuse for good.
    DeferIfReject(Reply),
    /// `DEFER_IF_PERMIT`: this reply, unless a later rule refuses anyhow.
    DeferIfPermit(Reply),
    /// `HOLD`: the message waits for the operator; why.
    Hold(String),
    /// `DISCARD`: accepted and thrown away; why.
    Discard(String),
    /// `PREPEND`: a header line for the message, `Name: value`; of use only where a message follows.
    Prepend(String),
    /// `WARN` and `INFO` with a text: to be logged.
    Warn(String),
}

/// No action we know or may do: the reply is `451 4.3.5`, the text goes to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable(pub String);

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Unusable {
    /// What the client sees of it: nothing of the service's.
    pub fn reply(&self) -> Reply {
        Reply::new(451, Enhanced::transient(3, 5), "Server configuration problem")
    }
}

impl Action {
    /// Reads what follows `action=`.
    pub fn read(text: &str) -> Result<Self, Unusable> {
        let text = text.trim();
        let (word, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
        let rest = rest.trim();
        if let Some(code) = reply_code(word) {
            let default = if code < 500 { "Service unavailable" } else { "Access denied" };
            return Ok(Self::Reply(reply(code, 0, default, rest)));
        }
        if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Self::Permit);
        }
        match word.to_ascii_uppercase().as_str() {
            "OK" => Ok(Self::Permit),
            "DUNNO" => Ok(Self::Continue),
            "REJECT" => Ok(Self::Reply(reply(554, 1, "Access denied", rest))),
            "DEFER" => Ok(Self::Reply(reply(450, 1, "Service temporarily unavailable", rest))),
            "DEFER_IF_REJECT" => Ok(Self::DeferIfReject(reply(450, 1, "Service temporarily unavailable", rest))),
            "DEFER_IF_PERMIT" => Ok(Self::DeferIfPermit(reply(450, 1, "Service temporarily unavailable", rest))),
            "HOLD" => Ok(Self::Hold(printable(rest))),
            "DISCARD" => Ok(Self::Discard(printable(rest))),
            "PREPEND" => header(rest).map(Self::Prepend),
            "WARN" | "INFO" if rest.is_empty() => Ok(Self::Continue),
            "WARN" | "INFO" => Ok(Self::Warn(printable(rest))),
            word @ ("REDIRECT" | "FILTER" | "BCC") => Err(Unusable(format!("action {word} is not supported; use routes or filters"))),
            "" => Err(Unusable("no action".to_owned())),
            _ => Err(Unusable(format!("unknown action {:.100}", printable(text)))),
        }
    }
}

/// `4NN` or `5NN`.
fn reply_code(word: &str) -> Option<u16> {
    let digits = word.len() == 3 && word.bytes().all(|byte| byte.is_ascii_digit());
    word.parse().ok().filter(|code| digits && (400..600).contains(code))
}

/// A reply of the service's text, or of ours where it gives none. Its enhanced code counts with the class of the basic code.
fn reply(code: u16, detail: u16, default: &str, text: &str) -> Reply {
    let class = if code < 500 { Class::Transient } else { Class::Permanent };
    let (status, text) = match Enhanced::split(text) {
        Some((status, rest)) => (Enhanced { class, ..status }, rest),
        None => (Enhanced { class, subject: 7, detail }, text),
    };
    Reply::new(code, status, if text.is_empty() { default.to_owned() } else { printable(text) })
}

fn header(line: &str) -> Result<String, Unusable> {
    let (name, value) = line.split_once(':').unwrap_or_default();
    let (name, value) = (name.trim_end(), value.trim());
    let fits = name.len().saturating_add(value.len()).saturating_add(2) <= MOST_HEADER;
    if name.is_empty() || !name.bytes().all(|byte| matches!(byte, b'!'..=b'~')) || !fits {
        return Err(Unusable(format!("PREPEND without a usable header line: {:.100}", printable(line))));
    }
    Ok(format!("{name}: {}", value.chars().map(visible).collect::<String>()))
}

/// One line of printable ASCII, cut.
fn printable(text: &str) -> String {
    text.chars().map(visible).take(MOST_TEXT).collect()
}

const fn visible(c: char) -> char {
    match c {
        ' '..='~' => c,
        '\t' => ' ',
        _ => '?',
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn said(text: &str) -> String {
        match Action::read(text) {
            Ok(Action::Reply(reply)) => reply.to_string(),
            Ok(Action::DeferIfPermit(reply)) => format!("if permit {reply}"),
            Ok(Action::DeferIfReject(reply)) => format!("if reject {reply}"),
            Ok(other) => format!("{other:?}"),
            Err(unusable) => format!("unusable: {unusable}"),
        }
    }

    #[test]
    fn actions_of_access_5() {
        for (text, expected) in [
            ("OK", "Permit"),
            ("ok ", "Permit"),
            ("1", "Permit"),
            ("20061122", "Permit"),
            ("DUNNO", "Continue"),
            ("dunno", "Continue"),
            ("REJECT", "554 5.7.1 Access denied"),
            ("REJECT go away", "554 5.7.1 go away"),
            ("REJECT 5.7.23 SPF", "554 5.7.23 SPF"),
            ("REJECT 4.7.23 SPF", "554 5.7.23 SPF"),
            ("DEFER", "450 4.7.1 Service temporarily unavailable"),
            ("550", "550 5.7.0 Access denied"),
            ("450 later", "450 4.7.0 later"),
            ("550 5.1.1 nobody", "550 5.1.1 nobody"),
            ("521 bye", "521 5.7.0 bye"),
            ("4500 x", "Permit"),
            ("DEFER_IF_PERMIT Greylisted, see http://x/", "if permit 450 4.7.1 Greylisted, see http://x/"),
            ("defer_if_reject", "if reject 450 4.7.1 Service temporarily unavailable"),
            ("HOLD look at it", "Hold(\"look at it\")"),
            ("DISCARD", "Discard(\"\")"),
            ("WARN odd", "Warn(\"odd\")"),
            ("WARN", "Continue"),
            ("PREPEND X-Greylist: delayed 3 seconds", "Prepend(\"X-Greylist: delayed 3 seconds\")"),
            ("PREPEND X-A:b:c", "Prepend(\"X-A: b:c\")"),
            ("PREPEND no header", "unusable: PREPEND without a usable header line: no header"),
            ("PREPEND : x", "unusable: PREPEND without a usable header line: : x"),
            ("PREPEND a b: x", "unusable: PREPEND without a usable header line: a b: x"),
            ("REDIRECT a@b", "unusable: action REDIRECT is not supported; use routes or filters"),
            ("FILTER smtp:x", "unusable: action FILTER is not supported; use routes or filters"),
            ("reject_unlisted_sender", "unusable: unknown action reject_unlisted_sender"),
            ("", "unusable: no action"),
        ] {
            assert_eq!(said(text), expected, "{text:?}");
        }
        assert_eq!(Unusable(String::new()).reply().to_string(), "451 4.3.5 Server configuration problem");
    }

    #[test]
    fn nothing_unprintable_and_nothing_long() {
        assert_eq!(said("REJECT a\u{1b}[2Jb\u{e9}"), "554 5.7.1 a?[2Jb?");
        let Ok(Action::Reply(reply)) = Action::read(&format!("550 {}", "x".repeat(10_000))) else { panic!() };
        assert_eq!(reply.text.len(), MOST_TEXT);
        assert!(Action::read(&format!("PREPEND X: {}", "x".repeat(1000))).is_err());
    }

    proptest! {
        #[test]
        fn any_text_gives_one_printable_line(text in "(PREPEND |550 |HOLD |)\\PC{0,600}|[\\x00-\\x7f]{0,40}") {
            let line = match Action::read(&text) {
                Ok(Action::Reply(r) | Action::DeferIfReject(r) | Action::DeferIfPermit(r)) => r.text,
                Ok(Action::Hold(t) | Action::Discard(t) | Action::Prepend(t) | Action::Warn(t)) => t,
                Ok(Action::Permit | Action::Continue) => String::new(),
                Err(Unusable(t)) => t,
            };
            prop_assert!(line.bytes().all(|b| matches!(b, b' '..=b'~')));
            prop_assert!(line.len() <= MOST_HEADER + 2);
        }
    }
}
