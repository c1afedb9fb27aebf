//! `[lists]` and `[srs]`: mailing lists kept in files, and senders of forwarded mail.

use crate::Fault;
use crate::checks::{at, text};
use crate::sheet::{Group, Sheet};
use std::path::PathBuf;
use std::time::Duration;

/// `[lists]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lists {
    /// A file of addresses for each list.
    pub folder: Option<PathBuf>,
    /// The sender of list mail is `owner-NAME` instead of `NAME-owner`.
    pub owner_first: bool,
    /// Where nothing else is said: a sender for every recipient.
    pub verp: bool,
    /// Where nothing else is said: List-Id and the like are added.
    pub headers: bool,
    /// Recipients of one address at most.
    pub max_recipients: u64,
}

/// `[srs]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Srs {
    /// Senders of forwarded mail get this domain (normalised); empty: they stay.
    pub domain: String,
    /// The first line signs; all lines are believed.
    pub secret_file: Option<PathBuf>,
    /// How long such a sender may be answered to.
    pub max_age: Duration,
}

pub fn lists(g: &Group) -> Lists {
    Lists {
        folder: g.path("folder"),
        owner_first: g.text("owner_form") == "owner-NAME",
        verp: g.is("verp"),
        headers: g.is("headers"),
        max_recipients: g.u64("max_recipients"),
    }
}

pub fn srs(g: &Group) -> Srs {
    let domain = address::normalise(&g.text("domain")).unwrap_or_default();
    Srs { domain, secret_file: g.path("secret_file"), max_age: g.duration("max_age") }
}

pub fn check(sheet: &Sheet, faults: &mut Vec<Fault>) {
    for group in sheet.groups("srs") {
        let given = |key: &str| text(group, key).is_some_and(|value| !value.is_empty());
        if given("domain") && !given("secret_file") {
            faults.push(at(group, "domain", "srs.domain: secret_file must be given too".to_owned()));
        }
        let domain = text(group, "domain").unwrap_or_default();
        if given("domain") && (domain.starts_with(['.', '[']) || address::normalise(domain).is_err()) {
            faults.push(at(group, "domain", format!("srs.domain: `{domain}` is no domain of a host")));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    fn parsed(domain: &str) -> Result<String, String> {
        let text = format!(
            "[paths]\npostoffice = \"/p\"\n[identity]\nhostname = \"mta.example\"\n[srs]\ndomain = \"{domain}\"\nsecret_file = \"/s\"\n"
        );
        crate::parse(&text, "test").map(|settings| settings.srs.domain).map_err(|faults| faults.first().unwrap().text.clone())
    }

    #[test]
    fn the_domain_of_srs_is_normal() {
        for (written, normal) in [("", ""), ("SRS.Example", "srs.example"), ("B\u{fc}cher.example", "xn--bcher-kva.example")] {
            assert_eq!(parsed(written).unwrap(), normal);
        }
        for bad in [".example", "[192.0.2.1]", "a b", "a..b"] {
            assert!(parsed(bad).unwrap_err().contains("no domain"), "{bad}");
        }
    }
}
