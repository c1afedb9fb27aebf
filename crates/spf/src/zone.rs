//! A DNS of text for tests: a line is a name, a type and a value; `FAIL` as type makes the name's other
//! questions fail, `FAIL-A` those for A.

use crate::{Client, Family, Names, check};
use ipc::dns::{Spf, Trouble};
use std::cell::RefCell;
use std::net::IpAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

pub struct Zone {
    lines: Vec<(String, String, String)>,
    pub asked: RefCell<Vec<String>>,
}

impl Zone {
    pub fn new(text: &str) -> Self {
        let mut zone = Self { lines: Vec::new(), asked: RefCell::default() };
        text.lines().map(str::trim).filter(|line| !line.is_empty()).for_each(|line| zone.add(line));
        zone
    }

    pub fn add(&mut self, line: &str) {
        let mut parts = line.splitn(3, ' ').map(str::to_owned);
        self.lines.push((parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap_or_default()));
    }

    pub fn and(mut self, name: &str, kind: &str, value: &str) -> Self {
        self.lines.push((name.to_owned(), kind.to_owned(), value.to_owned()));
        self
    }

    fn find(&self, name: &str, kind: &str) -> Result<Vec<String>, Trouble> {
        // A blank in a name is written so.
        let name = &name.replace(' ', "\\032");
        self.asked.borrow_mut().push(format!("{name} {kind}"));
        if name.len() > 253 || name.split('.').any(|label| !matches!(label.len(), 1..=63)) {
            return Err(Trouble::Invalid);
        }
        let of_name: Vec<_> = self.lines.iter().filter(|(owner, ..)| owner == name).collect();
        if of_name.is_empty() {
            return Err(Trouble::NoSuchName);
        }
        let values: Vec<String> = of_name.iter().filter(|(_, of, _)| of == kind).map(|(.., value)| value.clone()).collect();
        let fails = |of: &str| of == "FAIL" && values.is_empty() || of.strip_prefix("FAIL-") == Some(kind);
        if of_name.iter().any(|(_, of, _)| fails(of)) {
            return Err(Trouble::Temporary("SERVFAIL".into()));
        }
        if let Some((.., alias)) = of_name.iter().find(|(_, of, _)| of == "CNAME" && values.is_empty()) {
            // An alias of itself has no records.
            return if *alias == *name { Err(Trouble::NoRecords) } else { self.find(alias, kind) };
        }
        if values.is_empty() { Err(Trouble::NoRecords) } else { Ok(values) }
    }

    /// The check of a client for a sender, `<>` for the null sender.
    pub fn check(&self, address: &str, hello: &str, sender: &str) -> Spf {
        let sender = Some(sender.to_owned()).filter(|sender| sender != "<>");
        let client = Client { address: address.parse().unwrap(), hello: hello.into(), sender, time: 1_000_000_000 };
        let checking = pin!(check(self, &client));
        // Nothing here waits.
        match checking.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(spf) => spf,
            Poll::Pending => panic!("it waits"),
        }
    }

    /// `result` or `result explanation`.
    pub fn says(&self, address: &str, sender: &str) -> String {
        let Spf { result, explanation, .. } = self.check(address, "mail.example.net", sender);
        format!("{} {explanation}", result.word()).trim_end().to_owned()
    }
}

impl Names for Zone {
    async fn texts(&self, name: String) -> Result<Vec<String>, Trouble> {
        self.find(&name, "TXT")
    }

    async fn addresses(&self, name: String, kind: Family) -> Result<Vec<IpAddr>, Trouble> {
        let kind = if kind == Family::V4 { "A" } else { "AAAA" };
        self.find(&name, kind).map(|list| list.iter().map(|text| text.parse().unwrap()).collect())
    }

    async fn exchanges(&self, name: String) -> Result<Vec<String>, Trouble> {
        self.find(&name, "MX")
    }

    async fn pointers(&self, address: IpAddr) -> Result<Vec<String>, Trouble> {
        self.find(&address.to_string(), "PTR").map_err(|trouble| if trouble == Trouble::Invalid { Trouble::NoSuchName } else { trouble })
    }
}
