//! An SPF record (RFC 7208 sections 4.6 and 12): text to terms, the whole of it or nothing.

use crate::domain_spec::{Fault, MacroString};
use ipc::dns::SpfResult;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// With what each means when it matches.
    pub directives: Vec<(SpfResult, Mechanism)>,
    pub redirect: Option<MacroString>,
    pub explanation: Option<MacroString>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mechanism {
    All,
    Include(MacroString),
    A(Hosts),
    Mx(Hosts),
    Ptr(Option<MacroString>),
    Network(IpAddr, u8),
    Exists(MacroString),
}

/// Of `a` and `mx`: whose addresses, and how many bits of them count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosts {
    pub domain: Option<MacroString>,
    pub bits4: u8,
    pub bits6: u8,
}

/// The terms of a text that is an SPF record (section 4.5), of any version 1.
pub fn terms(text: &str) -> Option<&str> {
    let (version, rest) = text.split_at_checked("v=spf1".len())?;
    (version.eq_ignore_ascii_case("v=spf1") && (rest.is_empty() || rest.starts_with(' '))).then_some(rest)
}

impl Record {
    /// Reads what follows the version.
    pub fn read(terms: &str) -> Result<Self, Fault> {
        let mut record = Self { directives: Vec::new(), redirect: None, explanation: None };
        for term in terms.split(' ').filter(|term| !term.is_empty()) {
            match modifier(term) {
                Some((name, value)) => record.modify(name, value)?,
                None => record.directives.push(directive(term)?),
            }
        }
        Ok(record)
    }

    fn modify(&mut self, name: &str, value: &str) -> Result<(), Fault> {
        let place = match name.to_ascii_lowercase().as_str() {
            "redirect" => &mut self.redirect,
            "exp" => &mut self.explanation,
            _ => return MacroString::any(value).map(drop),
        };
        // Section 6: not twice.
        if place.is_some() { Err(Fault) } else { MacroString::domain_spec(value).map(|spec| *place = Some(spec)) }
    }
}

/// `name=value`.
fn modifier(term: &str) -> Option<(&str, &str)> {
    let (name, value) = term.split_once('=')?;
    let (first, rest) = name.as_bytes().split_first()?;
    let fits = first.is_ascii_alphabetic() && rest.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte));
    fits.then_some((name, value))
}

fn directive(term: &str) -> Result<(SpfResult, Mechanism), Fault> {
    let qualifiers = [('+', SpfResult::Pass), ('-', SpfResult::Fail), ('~', SpfResult::SoftFail), ('?', SpfResult::Neutral)];
    let written = qualifiers.into_iter().find_map(|(sign, result)| Some((result, term.strip_prefix(sign)?)));
    let (result, mechanism) = written.unwrap_or((SpfResult::Pass, term));
    let end = mechanism.find([':', '/']).unwrap_or(mechanism.len());
    let (name, argument) = mechanism.split_at_checked(end).ok_or(Fault)?;
    Ok((result, mechanism_of(&name.to_ascii_lowercase(), argument)?))
}

/// `argument`: with its colon or slash.
fn mechanism_of(name: &str, argument: &str) -> Result<Mechanism, Fault> {
    let domain = || argument.strip_prefix(':').ok_or(Fault).and_then(MacroString::domain_spec);
    Ok(match name {
        "all" if argument.is_empty() => Mechanism::All,
        "include" => Mechanism::Include(domain()?),
        "exists" => Mechanism::Exists(domain()?),
        "ptr" if argument.is_empty() => Mechanism::Ptr(None),
        "ptr" => Mechanism::Ptr(Some(domain()?)),
        "a" => Mechanism::A(hosts(argument)?),
        "mx" => Mechanism::Mx(hosts(argument)?),
        "ip4" => {
            let (address, bits) = network(argument, 32)?;
            Mechanism::Network(address.parse::<Ipv4Addr>().map_err(|_| Fault)?.into(), bits)
        }
        "ip6" => {
            let (address, bits) = network(argument, 128)?;
            Mechanism::Network(address.parse::<Ipv6Addr>().map_err(|_| Fault)?.into(), bits)
        }
        _ => return Err(Fault),
    })
}

/// `[":" domain-spec] [dual-cidr-length]`.
fn hosts(argument: &str) -> Result<Hosts, Fault> {
    let (rest, bits6) = length(argument, "//", 128)?;
    let (domain, bits4) = length(rest, "/", 32)?;
    let domain = match domain.strip_prefix(':') {
        Some(domain) => Some(MacroString::domain_spec(domain)?),
        None if domain.is_empty() => None,
        None => return Err(Fault),
    };
    Ok(Hosts { domain, bits4, bits6 })
}

/// `":" address ["/" bits]`.
fn network(argument: &str, most: u8) -> Result<(&str, u8), Fault> {
    length(argument.strip_prefix(':').ok_or(Fault)?, "/", most)
}

/// Takes a length off the end, where there is one. Digits only and no leading zero; slashes inside macros are none.
fn length<'a>(text: &'a str, mark: &str, most: u8) -> Result<(&'a str, u8), Fault> {
    let Some((head, digits)) = text.rsplit_once(mark).filter(|(_, digits)| is_number(digits)) else { return Ok((text, most)) };
    if digits.len() > 1 && digits.starts_with('0') {
        return Err(Fault);
    }
    digits.parse().ok().filter(|bits| *bits <= most).map(|bits| (head, bits)).ok_or(Fault)
}

fn is_number(digits: &str) -> bool {
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_a_record() {
        for (text, expected) in [
            ("v=spf1", Some("")),
            ("V=SPF1 -all", Some(" -all")),
            ("v=spf10", None),
            ("v=spf1\t-all", None),
            (" v=spf1", None),
            ("v=spf", None),
            ("", None),
            ("v=spf\u{e9}", None),
        ] {
            assert_eq!(terms(text), expected, "{text:?}");
        }
    }

    #[test]
    fn faults_anywhere_spoil_the_record() {
        for bad in [
            "all:x",
            "-all/8",
            "include",
            "include:",
            "exists",
            "exists/24",
            "a:",
            "a:/24",
            "a/33",
            "a/024",
            "a//129",
            "a///64",
            "a/",
            "a//",
            "a/24/64",
            "a:example.com:8080",
            "mx:",
            "mx/x",
            "ptr:",
            "ptr/24",
            "ip4",
            "ip4:",
            "ip4:1.2.3",
            "ip4:1.2.3.4/33",
            "ip4:1.2.3.4/",
            "ip4:1.2.3.4//8",
            "ip4:::1",
            "ip4:01.2.3.4",
            "ip6",
            "ip6:1.2.3.4",
            "ip6:::1/129",
            "ip6:::g",
            "what",
            "+redirect=a.b",
            "--all",
            "redirect=",
            "redirect=a.b redirect=a.b",
            "exp=a.b exp=c.d",
            "exp=",
            "1x=y",
            "x=%",
            "x=%{q}",
            "a:%{c}.a.b",
            "a\tmx",
            "a:\u{e9}.b",
            "=x",
            "-",
        ] {
            assert_eq!(Record::read(&format!("{bad} -all")), Err(Fault), "{bad}");
        }
    }

    #[test]
    fn terms_of_every_kind() {
        let good = "  a/24//64 A:%{d/}.x.y/0 ~mx:x.y//0 ?ptr -ptr:x.y ip4:10.0.0.0/8 ip6:2001:db8::/32 ip6:::1.1.1.1 exists:%{i}.x.y \
            include:x.y moo.cow-far_out=man:dog/cat default=pass exp=x.y -all redirect=y.z ";
        let record = Record::read(good).unwrap();
        assert_eq!(record.directives.len(), 11);
        let hosts = |domain, bits4, bits6| Hosts { domain, bits4, bits6 };
        assert_eq!(record.directives.first(), Some(&(SpfResult::Pass, Mechanism::A(hosts(None, 24, 64)))));
        let spec = MacroString::domain_spec("x.y").ok();
        assert_eq!(record.directives.get(2), Some(&(SpfResult::SoftFail, Mechanism::Mx(hosts(spec, 32, 0)))));
        assert_eq!(record.directives.last(), Some(&(SpfResult::Fail, Mechanism::All)));
        assert!(record.redirect.is_some() && record.explanation.is_some());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,60}|((a|mx|ip4|ip6|ptr|exists|exp=|redirect=|all|include)[:/%{}dir0-9.]{0,12} ){0,4}") {
            let _ = Record::read(&text);
        }
    }
}
