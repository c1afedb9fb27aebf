//! The processes of the suite as data: who needs what, and in which order they come and go.

/// How many processes of a service there are, and who asks for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One.
    Single,
    /// smtpserver: between a least and a most number, by load.
    Workers,
    /// router: a fixed number.
    Routers,
    /// Spawned when the scheduler asks, never by the master's own wish.
    Agent,
}

/// One service.
#[derive(Debug)]
pub struct Service {
    /// Name of the service and of its program.
    pub name: &'static str,
    /// A process may wait only for one of a lower level. Processes are started in this order.
    pub level: u8,
    /// The phase of a shutdown in which it is drained.
    pub phase: u8,
    pub kind: Kind,
    /// Contact points it may call, and wait for the answers.
    pub contacts: &'static [&'static str],
    /// Contact points it may tell of arrivals, without ever waiting.
    pub tells: &'static [&'static str],
    /// Answers at a contact point of its own name.
    pub serves: bool,
    /// The notification socket it reads.
    pub notify: Option<&'static str>,
    /// Owns files: a second one may start only when the first is gone.
    pub exclusive: bool,
}

/// The last phase of a shutdown.
pub const LAST_PHASE: u8 = 5;

const fn agent(name: &'static str, contacts: &'static [&'static str]) -> Service {
    Service { name, level: 5, phase: 4, kind: Kind::Agent, contacts, tells: &[], serves: false, notify: None, exclusive: false }
}

/// Answers at a contact point and calls nobody; drained last.
const fn subdaemon(name: &'static str, level: u8) -> Service {
    Service { name, level, phase: LAST_PHASE, kind: Kind::Single, contacts: &[], tells: &[], serves: true, notify: None, exclusive: false }
}

/// All services, by level.
pub static SERVICES: &[Service] = &[
    subdaemon("resolver", 1),
    // Its state files have one writer.
    Service { exclusive: true, ..subdaemon("ratetracker", 1) },
    subdaemon("keyholder", 1),
    subdaemon("table-lmdb", 1),
    subdaemon("table-sqlite", 1),
    subdaemon("table-socketmap", 1),
    subdaemon("table-tcp", 1),
    subdaemon("table-ldap", 1),
    subdaemon("table-postgresql", 1),
    subdaemon("table-mysql", 1),
    subdaemon("contentfilter", 2),
    subdaemon("delegate", 2),
    Service { contacts: &["ratetracker"], exclusive: true, ..subdaemon("authserver", 2) },
    Service { contacts: &["resolver"], exclusive: true, ..subdaemon("callahead", 2) },
    Service {
        name: "router",
        level: 2,
        phase: 2,
        kind: Kind::Routers,
        contacts: &[
            "resolver",
            "table-lmdb",
            "table-sqlite",
            "table-socketmap",
            "table-tcp",
            "table-ldap",
            "table-postgresql",
            "table-mysql",
        ],
        tells: &["scheduler"],
        serves: false,
        notify: None,
        exclusive: false,
    },
    Service {
        name: "tlspolicy",
        level: 2,
        phase: LAST_PHASE,
        kind: Kind::Single,
        contacts: &["resolver"],
        tells: &[],
        serves: true,
        notify: None,
        exclusive: true,
    },
    Service {
        name: "routermux",
        level: 3,
        phase: 1,
        kind: Kind::Single,
        contacts: &[],
        tells: &[],
        serves: true,
        notify: Some("router"),
        exclusive: true,
    },
    Service {
        name: "smtpserver",
        level: 4,
        phase: 0,
        kind: Kind::Workers,
        contacts: &["resolver", "ratetracker", "keyholder", "contentfilter", "delegate", "authserver", "callahead", "routermux"],
        tells: &["scheduler"],
        serves: false,
        notify: None,
        exclusive: false,
    },
    Service {
        name: "scheduler",
        level: 4,
        phase: 3,
        kind: Kind::Single,
        contacts: &["resolver"],
        tells: &[],
        serves: true,
        notify: Some("scheduler"),
        exclusive: true,
    },
    agent("ta-smtp", &["resolver", "keyholder", "tlspolicy"]),
    agent("ta-mailbox", &[]),
    agent("ta-errormail", &[]),
    agent("ta-hold", &["resolver", "routermux"]),
    agent("ta-pipe", &[]),
    agent("ta-line", &[]),
];

/// The service of this name.
pub fn named(name: &str) -> Option<&'static Service> {
    SERVICES.iter().find(|service| service.name == name)
}

/// The agent program that serves a channel.
pub fn agent_for(channel: &str, settings: &settings::Settings) -> Option<&'static Service> {
    named(match channel {
        "smtp" | "lmtp" => "ta-smtp",
        "local" => "ta-mailbox",
        "error" => "ta-errormail",
        "hold" => "ta-hold",
        _ if settings.agent_for(channel).is_some_and(|agent| !agent.program.is_empty()) => "ta-line",
        _ if settings.pipes.iter().any(|pipe| pipe.channel == channel) => "ta-pipe",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_calls_upwards() {
        for service in SERVICES {
            for contact in service.contacts {
                let other = named(contact).unwrap_or(service);
                assert!(other.serves && other.level < service.level, "{} calls {contact}", service.name);
            }
            assert!(service.phase <= LAST_PHASE);
        }
    }

    #[test]
    fn services_stand_in_the_order_of_their_start() {
        assert!(SERVICES.is_sorted_by_key(|s| s.level));
    }

    #[test]
    fn every_service_has_counters() {
        for service in SERVICES {
            assert!(!daemon::counters::names(service.name).is_empty(), "{}", service.name);
        }
    }
}
