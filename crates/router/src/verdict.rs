//! What a decision says about one address, and how that becomes a quad of the control file.

use address::Path;
use envelope::Quad;
pub use lookup::Keeper;
use lookup::{TableError, table_in};
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
    /// What has led to it, where that is not to be done again.
    pub via: Option<String>,
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
    /// A route or the script wants it later; as with a refusal, the text is for everybody.
    Deferred {
        status: Enhanced,
        text: String,
    },
    /// A table could not answer: hold and try again, never bounce.
    Temporary(String),
    /// The script has failed, and the log has it already: hold and try again.
    ScriptFailed(String),
    /// A table has not answered yet: the decision is made again once it has. Never leaves the router.
    Pending,
}

impl From<TableError> for Verdict {
    fn from(error: TableError) -> Self {
        match error {
            TableError::Temporary(reason) => Self::Temporary(reason),
            TableError::Permanent(reason) => Self::refused(3, 5, reason),
            TableError::Pending => Self::Pending,
        }
    }
}

impl Verdict {
    /// Not known now, but later.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Deferred { .. } | Self::Temporary(_) | Self::ScriptFailed(_) | Self::Pending)
    }

    pub fn refused(subject: u16, detail: u16, text: impl Into<String>) -> Self {
        Self::Refused { status: Enhanced::permanent(subject, detail), text: text.into() }
    }

    pub fn quad(channel: &str, host: &str, user: impl Into<String>) -> Self {
        Self::Deliver(Quad { channel: channel.to_owned(), host: host.to_owned(), user: user.into(), attributes: "-".to_owned() })
    }
}

impl Routed {
    /// A verdict that no list and no alias has had a part in.
    pub fn plain(address: impl Into<String>, verdict: Verdict) -> Self {
        Self { verdict, address: address.into(), owner: None, way: Way::default(), via: None }
    }

    /// The quad: refusals go through channel `error` (host: `<status>:<text, blanks as %20>`), all that is not known now
    /// through `hold` (host: `table:<name>/<reason>` where a declared table cannot answer, else `retry:<reason>`).
    pub fn into_quad(self) -> Quad {
        let retry = |reason: &str| format!("retry:{}", percent_encoded(reason));
        let condition = match self.verdict {
            Verdict::Deliver(quad) => return quad,
            Verdict::Refused { status, text } => return special("error", format!("{status}:{}", percent_encoded(&text)), self.address),
            Verdict::Temporary(reason) => match table_in(&reason) {
                Some((table, why)) => format!("table:{table}/{}", percent_encoded(why)),
                None => retry(&reason),
            },
            Verdict::Deferred { text, .. } => retry(&text),
            Verdict::ScriptFailed(reason) => retry(&reason),
            Verdict::Pending => retry("a table did not answer in time"),
        };
        special("hold", condition, self.address)
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
        let routed = |verdict| Routed::plain("a@b", verdict).into_quad();
        let quad = routed(Verdict::refused(1, 1, "User unknown: 100%"));
        assert_eq!((quad.channel.as_str(), quad.host.as_str(), quad.user.as_str()), ("error", "5.1.1:User%20unknown:%20100%25", "a@b"));
        let quad = routed(Verdict::Temporary("/etc/x: gone\n".into()));
        assert_eq!((quad.channel.as_str(), quad.host.as_str()), ("hold", "retry:/etc/x:%20gone%0A"));
        let quad = routed(Verdict::Temporary("table people: no way there".into()));
        assert_eq!((quad.channel.as_str(), quad.host.as_str()), ("hold", "table:people/no%20way%20there"));
        // What an administrator or a script says names no table.
        let quad = routed(Verdict::Deferred { status: Enhanced::transient(7, 1), text: "table people: closed".into() });
        assert_eq!(quad.host, "retry:table%20people:%20closed");
        assert_eq!(routed(Verdict::ScriptFailed("router.lua:3: x".into())).host, "retry:router.lua:3:%20x");
    }
}
