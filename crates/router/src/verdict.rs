//! What a decision says about one address, and how that becomes a quad of the control file.

use address::Path;
use envelope::Quad;
pub use lookup::Keeper;
use status::Enhanced;
use std::fmt::Write as _;

/// One outcome of routing an address; an alias gives several.
#[derive(Debug, Clone, PartialEq)]
pub struct Routed {
    pub verdict: Verdict,
    /// The address that got the verdict (after expansion).
    pub address: String,
    /// The owner of the list it came from: failures go there instead of to the sender.
    pub owner: Option<Path>,
    pub way: Way,
}

/// What lists and forwarding change about mail on its way out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Way {
    /// The owner's address is made into one for each recipient.
    pub verp: bool,
    /// The list whose header fields the mail gets.
    pub list: Option<std::rc::Rc<str>>,
    /// An alias or a user of this host sends it on: where it leaves for another host, its sender may need another form.
    pub forwarded: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    Deliver(Quad),
    /// Never: a 5.x.x status and the text for the report.
    Refused {
        status: Enhanced,
        text: String,
    },
    /// A table could not answer: hold and try again, never bounce.
    Temporary(String),
    /// A table has not answered yet: the decision is made again once it has. Never leaves the router.
    Pending,
}

impl Verdict {
    pub fn refused(subject: u16, detail: u16, text: impl Into<String>) -> Self {
        Self::Refused { status: Enhanced::permanent(subject, detail), text: text.into() }
    }

    pub fn quad(channel: &str, host: &str, user: impl Into<String>) -> Self {
        Self::Deliver(Quad { channel: channel.to_owned(), host: host.to_owned(), user: user.into(), attributes: "-".to_owned() })
    }
}

impl Routed {
    /// The quad: refusals go through channel `error` (host: `<status>:<text, blanks as %20>`), temporary failures
    /// through `hold` (host: `retry:<reason>`).
    pub fn into_quad(self) -> Quad {
        match self.verdict {
            Verdict::Deliver(quad) => quad,
            Verdict::Refused { status, text } => special("error", format!("{status}:{}", percent_encoded(&text)), self.address),
            Verdict::Temporary(reason) => special("hold", format!("retry:{}", percent_encoded(&reason)), self.address),
            Verdict::Pending => special("hold", format!("retry:{}", percent_encoded("a table did not answer in time")), self.address),
        }
    }
}

fn special(channel: &str, host: String, user: String) -> Quad {
    Quad { channel: channel.to_owned(), host, user, attributes: "-".to_owned() }
}

/// Text as one word of ASCII: everything but graphic characters, and `%` itself, as `%XX`; cut at 500 bytes.
pub fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if out.len() > 500 {
            break;
        }
        if byte.is_ascii_graphic() && byte != b'%' {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_and_temporary_failures_become_quads() {
        let routed = |verdict| Routed { verdict, address: "a@b".into(), owner: None, way: Way::default() }.into_quad();
        let quad = routed(Verdict::refused(1, 1, "User unknown: 100%"));
        assert_eq!((quad.channel.as_str(), quad.host.as_str(), quad.user.as_str()), ("error", "5.1.1:User%20unknown:%20100%25", "a@b"));
        let quad = routed(Verdict::Temporary("/etc/x: gone\n".into()));
        assert_eq!((quad.channel.as_str(), quad.host.as_str()), ("hold", "retry:/etc/x:%20gone%0A"));
    }
}
