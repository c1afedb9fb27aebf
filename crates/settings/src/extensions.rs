//! Extensions of SMTP that are told to clients, whom they are told to, and submission.

use crate::Network;
use crate::sheet::Group;
use std::time::Duration;

/// What `[server]` offers beyond the plain protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extensions {
    /// Load balancers whose PROXY headers count; empty: those on this machine.
    pub proxies: Vec<Network>,
    pub xclient: Vec<Network>,
    /// More than one XCLIENT in a session.
    pub xclient_repeated: bool,
    pub xforward: Vec<Network>,
    pub vrfy: Vec<Network>,
    pub expn: Vec<Network>,
    /// Messages of one session.
    pub max_messages: Option<u32>,
    /// Zero: FUTURERELEASE is not offered.
    pub max_future_release: Duration,
    /// MT-PRIORITY of clients that are not trusted.
    pub max_priority: i8,
    pub min_deliver_by: Duration,
}

/// `[submission]`: what is mended in messages of users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submission {
    pub add_date: bool,
    pub add_message_id: bool,
    pub add_from: bool,
    pub add_sender: bool,
}

pub fn extensions(g: &Group) -> Extensions {
    Extensions {
        proxies: g.networks("proxies"),
        xclient: g.networks("xclient"),
        xclient_repeated: g.is("xclient_repeated"),
        xforward: g.networks("xforward"),
        vrfy: g.networks("vrfy"),
        expn: g.networks("expn"),
        max_messages: g.limit("max_messages"),
        max_future_release: g.duration("max_future_release"),
        max_priority: g.text("max_priority").parse().unwrap_or(0),
        min_deliver_by: g.duration("min_deliver_by"),
    }
}

pub fn submission(g: &Group) -> Submission {
    Submission {
        add_date: g.is("add_date"),
        add_message_id: g.is("add_message_id"),
        add_from: g.is("add_from"),
        add_sender: g.is("add_sender"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    #[test]
    fn nobody_is_told_more_than_asked_for() {
        let text = "[paths]\npostoffice = \"/p\"\n[identity]\nhostname = \"mx.example\"\n";
        let settings = crate::parse(text, "t").unwrap();
        let e = &settings.extensions;
        assert!(e.xclient.is_empty() && e.xforward.is_empty() && e.vrfy.is_empty() && e.expn.is_empty() && e.proxies.is_empty());
        assert_eq!((e.max_messages, e.max_priority, e.min_deliver_by), (None, 0, Duration::ZERO));
        assert!(settings.submission.add_date && !settings.submission.add_sender);
        let text =
            format!("{text}[server]\nmax_priority = 3\nxclient = [\"10.0.0.0/8\"]\n[[listener]]\nbind = \"127.0.0.1:25\"\nproxy = true\n");
        let settings = crate::parse(&text, "t").unwrap();
        assert_eq!((settings.extensions.max_priority, settings.extensions.xclient.len()), (3, 1));
        assert!(settings.listeners.iter().all(|listener| listener.proxy));
    }
}
