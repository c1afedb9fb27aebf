//! `zpost` commands: a SOCK_SEQPACKET connection to `<run>/control`. The master answers what is its own and passes the
//! connection on to the process that knows the rest. One request a connection; replies until `End` or `Refused`.

use crate::channel::Frame;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Request {
    // The master's.
    Status,
    /// `now`: without draining.
    Stop {
        now: bool,
    },
    Reload,
    Upgrade,
    Freeze,
    Thaw,
    Counters,
    // The scheduler's.
    Queue(Selection),
    /// One line per destination (`mailq -Q`).
    Destinations,
    /// How one destination is; of every channel that has it, when none is named.
    Destination {
        host: String,
        channel: Option<String>,
    },
    Change {
        action: Action,
        selection: Selection,
        dry_run: bool,
    },
    /// Why recipients of a message are not delivered yet: of all, or of one address.
    Why {
        id: String,
        recipient: Option<String>,
    },
    /// No delivery of this part begins until it is thawed: channel and host (patterns), sender, recipient, domain of it count.
    FreezePart(Selection),
    /// The part that was frozen in these words; none: all parts.
    ThawPart(Option<Selection>),
    /// Lists the parts that are frozen.
    FrozenParts,
    /// Of the tlspolicy: the reports about TLS, now.
    TlsReports,
    /// Of the ratetracker: what it counts, the largest first.
    Rates(RateQuery),
    /// Forgets what the query selects.
    ClearRates(RateQuery),
    /// Of an SMTP server: what a client would see, layer by layer.
    PolicyTest(Box<PolicyTest>),
    /// The master's: routers try the configuration beside the one at work, then it is taken.
    Shadow {
        seconds: u64,
    },
    /// Ends that; nothing is taken.
    ShadowCancel,
    // The routermux's.
    Route {
        address: String,
        sender: String,
    },
    /// What a declared table says.
    Lookup {
        table: String,
        key: String,
    },
}

/// Which counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateQuery {
    /// An address, `network/prefix`, `user`, or sender `@domain`; none: all.
    pub subject: Option<String>,
    /// address, network, user, domain, grey or passed; none: all.
    pub kind: Option<String>,
    /// Rows at most.
    pub most: u32,
}

/// One row of `zpost rates`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateRow {
    /// address, network, user, domain, grey or passed.
    pub kind: String,
    pub subject: String,
    pub connections: u64,
    pub messages: u64,
    pub recipients: u64,
    pub failed_authentications: u64,
    pub aborts: u64,
    pub excesses: u64,
    /// Unix seconds; 0: not known.
    pub last: u64,
    /// For greylisted triplets: waiting, passed or known.
    pub state: String,
}

/// A made-up client for `zpost policy test`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyTest {
    pub address: String,
    pub hello: String,
    /// Empty: the null sender; none: the test ends before MAIL.
    pub sender: Option<String>,
    pub recipients: Vec<String>,
    pub user: Option<String>,
    /// Number of a `[[listener]]`, from 0.
    pub listener: u16,
    pub tls: bool,
}

/// One step of a decision.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyStep {
    /// connect, name, helo, mail, rcpt or data.
    pub layer: String,
    /// `file:line` of the rule, empty where the program itself decides.
    pub place: String,
    /// What matched, was asked or was found.
    pub text: String,
    /// The reply a client would see, on the last step of a layer.
    pub reply: Option<String>,
}

/// What to do with queued messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    Retry,
    Hold,
    Release,
    /// Bounce now.
    Expire,
    Delete,
    /// Back to the routers.
    Reroute,
}

/// Which messages; all given conditions must hold. Addresses compare without case; `domain` of the recipient.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    pub ids: Vec<String>,
    pub sender: Option<String>,
    pub recipient: Option<String>,
    pub domain: Option<String>,
    pub channel: Option<String>,
    pub host: Option<String>,
    /// queued, active, deferred, held, delivered, failed
    pub state: Option<String>,
    /// Seconds.
    pub older: Option<u64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Reply {
    /// Done, with a line for the operator (may be empty).
    Done(String),
    /// Not done: a sysexits code, whose fault it is and what to do.
    Refused {
        code: u8,
        reason: String,
    },
    Status(Status),
    /// service, index, name, value
    Counters(Vec<(String, u16, String, u64)>),
    Message(QueuedMessage),
    Destination(QueuedDestination),
    DestinationState(Box<DestinationState>),
    /// A message (and how many of its recipients) that a change touched or would touch.
    Touched {
        id: String,
        recipients: u32,
    },
    Routed(crate::routing::Answer),
    Reason(Box<Reason>),
    Rate(RateRow),
    PolicyStep(PolicyStep),
    FrozenPart(Selection),
    /// The last frame of an answer of several.
    End,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub pid: u32,
    pub generation: u32,
    pub uptime_seconds: u64,
    pub frozen: bool,
    pub sessions: u32,
    pub listeners: Vec<String>,
    pub processes: Vec<ProcessStatus>,
    /// Empty when healthy.
    pub troubles: Vec<String>,
    /// How a configuration does that is tried; empty: none is.
    pub shadow: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProcessStatus {
    pub service: String,
    pub index: u16,
    pub pid: u32,
    /// starting, ready, draining, waiting (to be restarted)
    pub state: String,
    pub restarts: u32,
    pub sessions: u32,
    /// Why it ended the last time, empty when it never did.
    pub last_end: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QueuedMessage {
    pub id: String,
    pub sender: String,
    pub size: u64,
    /// Unix milliseconds.
    pub arrived: u64,
    pub state: String,
    pub recipients: Vec<QueuedRecipient>,
    /// True when more recipients of the same message follow in the next `Message` frame.
    pub more: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedRecipient {
    pub address: String,
    pub channel: String,
    pub host: String,
    /// queued | active | deferred | held | delivered | failed
    pub state: String,
    pub attempts: u32,
    /// Unix seconds, 0 when none is planned.
    pub next_attempt: u64,
    pub last: String,
    /// About reports to the sender: `failed`, `delivered`, `relayed`, `expanded` or `delayed` for one that is to be
    /// sent, `told` when the sender has been told of the delay, empty for none.
    pub report: String,
    /// Who sends to it, where that is another than the message's sender; else empty.
    pub sender: String,
}

/// The one reason why a recipient is not delivered yet, and what comes next. Moments in Unix milliseconds; 0: none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    pub recipient: QueuedRecipient,
    /// active, suite-frozen, stopping, frozen, held, held-until, deferred, gathering, hours, ring, asking, resolver, disk,
    /// dead, probe, rate, window, agent, turn, done
    pub reason: String,
    pub since: u64,
    pub until: u64,
    /// Process of the agent.
    pub agent: u32,
    /// Jobs under way, and how many there may be.
    pub active: u32,
    pub most: u32,
    /// What is frozen, why no agent comes, which site.
    pub detail: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QueuedDestination {
    pub channel: String,
    pub host: String,
    pub queued: u64,
    pub active: u64,
    pub deferred: u64,
    pub held: u64,
    /// Jobs allowed at once now.
    pub concurrency: u32,
    /// Unix seconds of the next attempt to a dead destination, else 0.
    pub next_attempt: u64,
    pub last: String,
}

/// How a destination is, and the site that it belongs to. Moments in Unix seconds; 0: none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationState {
    pub channel: String,
    pub host: String,
    pub queued: u64,
    pub active: u64,
    pub deferred: u64,
    pub held: u64,
    /// What keeps it from being served: hours, ring, asking, resolver, thaw; empty: nothing of its own.
    pub waits_for: String,
    pub waits_until: u64,
    /// The best mail exchangers, where they are known.
    pub exchangers: Vec<String>,
    /// host, exchangers or named; empty: not known yet.
    pub site_kind: String,
    pub site: String,
    /// Destinations of the site.
    pub members: u32,
    /// Jobs under way of the site, and how many it may have.
    pub site_active: u32,
    pub window: u32,
    /// What the server has shown to be too many connections begins above it; 0: nothing was shown.
    pub ceiling: u32,
    pub ceiling_until: u64,
    /// Probes that failed since the site died; 0: it is alive.
    pub probes: u32,
    pub next_probe: u64,
    /// The rates allow nothing before.
    pub rate_until: u64,
    /// LIMITS (RFC 9422); 0: not said.
    pub mail_max: u32,
    pub rcpt_max: u32,
    pub rcpt_domain_max: u32,
    /// Why the site could not be reached.
    pub last: String,
}

impl Frame for Request {
    const PROTOCOL: u8 = 0x70;
}
impl Frame for Reply {
    const PROTOCOL: u8 = 0x71;
}
