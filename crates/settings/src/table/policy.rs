//! `[[channel]]` and `[[destination]]`: what is different for some of the mail that goes out.

use super::{DAY, Kind, Parameter, SECOND, count, optional};

const WAIT: Kind = Kind::Duration { min: SECOND, max: 30 * DAY };
const AGE: Kind = Kind::Duration { min: SECOND, max: 100 * DAY };

/// The same parameters for two sections; what is left out is inherited.
macro_rules! policy {
    ($section:literal) => {
        [
            optional($section, "retry_first", WAIT, "", "As in [queue] (ZMailer's interval)."),
            optional(
                $section,
                "retries",
                Kind::Factors,
                "",
                "Waits as multiples of retry_first, one for each attempt; the last one stays. Instead of retry_factor. Default: none.",
            ),
            optional($section, "retry_factor", Kind::Number { min: 1.0, max: 100.0 }, "", "As in [queue]."),
            optional($section, "retry_longest", WAIT, "", "As in [queue]."),
            optional($section, "retry_jitter", Kind::Number { min: 0.0, max: 1.0 }, "", "As in [queue]."),
            optional($section, "expiry", AGE, "", "As in [queue]."),
            optional(
                $section,
                "expiry_untried",
                Kind::Duration { min: 0, max: 100 * DAY },
                "",
                "Beyond expiry, for mail that was never tried (ZMailer's expiry2). Default: 2d.",
            ),
            optional(
                $section,
                "warn_after",
                Kind::Duration { min: 0, max: 100 * DAY },
                "",
                "Age at which the sender is told that the message is late (RFC 3461); 0: only when a sender asks for it by NOTIFY=DELAY, then after 4h. Default: 0.",
            ),
            optional($section, "concurrency_first", count(1, 10_000), "", "As in [queue]."),
            optional($section, "concurrency_most", count(1, 10_000), "", "As in [queue] (ZMailer's maxthr)."),
            optional(
                $section,
                "ring_most",
                count(0, 1_000_000),
                "",
                "Most jobs at a time for all destinations that this clause matches, together (ZMailer's maxring); 0: no limit. Default: 0.",
            ),
            optional($section, "jobs_ahead", count(0, 10_000), "", "Most jobs beyond the concurrency that wait in an agent for a session (ZMailer's overfeed), so that a session is never without work; what waits there is out of reach of priorities. Default: 0."),
            optional($section, "recipients_per_job", count(1, 10_000), "", "As in [queue]."),
            optional($section, "messages_per_session", count(1, 1_000_000), "", "As in [client]."),
            optional($section, "age_order", Kind::Bool, "", "Strictly the oldest message first. Default: false."),
            optional(
                $section,
                "queue_only",
                Kind::Bool,
                "",
                "Nothing is sent until somebody asks, by ETRN (RFC 1985) or zpost retry. Default: false.",
            ),
            optional($section, "message_rate", Kind::Rate, "", "Messages in a time, such as \"100/1m\". Default: no limit."),
            optional($section, "recipient_rate", Kind::Rate, "", "Recipients in a time. Default: no limit."),
            optional($section, "connection_rate", Kind::Rate, "", "New connections in a time. Default: no limit."),
            optional(
                $section,
                "hours",
                Kind::Hours,
                "",
                "When mail may be sent: \"22:00-06:00\", \"Mon-Fri 08:00-18:00\", several with commas between; local time. Default: always.",
            ),
            optional(
                $section,
                "priority",
                Kind::Priority,
                "",
                "Added to the priority of each message (MT-PRIORITY, RFC 6710), -9 to 9. Default: 0.",
            ),
            optional(
                $section,
                "site",
                Kind::Text,
                "",
                "Destinations with the same name here share one window, their limits and their sessions. Default: those with the same mail exchangers do.",
            ),
            optional(
                $section,
                "tls",
                Kind::Choice(&["none", "may", "encrypt", "verify", "dane", "sts"]),
                "",
                "TLS to the next hop. none: never. may: where offered, whatever the certificate. encrypt: or not at all. verify: and the certificate must be valid for the host. dane: by DANE (RFC 7672) where the domain has it, else as may. sts: by DANE or MTA-STS (RFC 8461) where the domain has it, else as may. Default: sts.",
            ),
            optional(
                $section,
                "tls_names",
                Kind::Texts,
                "",
                "With tls = \"verify\": the certificate must be for one of these names. Default: the mail exchanger's, which is only as safe as the DNS.",
            ),
            optional(
                $section,
                "source",
                Kind::Text,
                "",
                "The [[source]] addresses of this pool are used for connections. Default: what the system chooses.",
            ),
            optional($section, "credentials", Kind::Text, "", "The [[credentials]] with this name log in at the next hop. Default: no login."),
        ]
    };
}

pub const CHANNEL: &[Parameter] = &policy!("channel");
pub const DESTINATION: &[Parameter] = &policy!("destination");

/// What a clause is about.
pub const SCOPE: &[Parameter] = &[
    optional("channel", "name", Kind::Text, "*", "The channels meant, as a pattern with *, ? and {a,b}; or channel/host."),
    optional("channel", "agents", count(1, 1000), "", "Most agent processes of the channel. Default: agents_per_channel of [queue]."),
    optional("destination", "channel", Kind::Text, "*", "Only on these channels, as a pattern with *, ? and {a,b}."),
    optional(
        "destination",
        "host",
        Kind::Texts,
        "",
        "Hosts or domains of the next hop as zpost queue shows it (a route's host as it is written there, brackets and port too), as patterns with *, ? and {a,b}. Default: all.",
    ),
    optional(
        "destination",
        "domain",
        Kind::Domains,
        "",
        "Domains that mail goes to by MX: a domain, or .suffix for all below it. Default: all.",
    ),
    optional(
        "destination",
        "mx",
        Kind::Texts,
        "",
        "Patterns of mail exchanger names, such as \"*.google.com\": domains all of whose best exchangers match. Default: whatever they are.",
    ),
];

/// Values of what no clause sets and no other section has.
pub const FALLBACK: &[(&str, &str)] = &[
    ("retries", ""),
    ("expiry_untried", "2d"),
    ("warn_after", "0"),
    ("ring_most", "0"),
    ("jobs_ahead", "0"),
    ("age_order", "false"),
    ("queue_only", "false"),
    ("message_rate", ""),
    ("recipient_rate", ""),
    ("connection_rate", ""),
    ("hours", ""),
    ("priority", "0"),
    ("site", ""),
    ("tls", "sts"),
    ("tls_names", ""),
    ("source", ""),
    ("credentials", ""),
];

/// Where the other values come from when no clause sets them.
pub const INHERITED: &[(&str, &str, &str)] = &[
    ("retry_first", "queue", "retry_first"),
    ("retry_factor", "queue", "retry_factor"),
    ("retry_longest", "queue", "retry_longest"),
    ("retry_jitter", "queue", "retry_jitter"),
    ("expiry", "queue", "expiry"),
    ("concurrency_first", "queue", "concurrency_first"),
    ("concurrency_most", "queue", "concurrency_most"),
    ("recipients_per_job", "queue", "recipients_per_job"),
    ("agents", "queue", "agents_per_channel"),
    ("messages_per_session", "client", "messages_per_session"),
];
