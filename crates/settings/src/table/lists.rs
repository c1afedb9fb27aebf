//! Mailing lists, and senders of forwarded mail.

use super::{DAY, Kind, Parameter, count, optional};

pub const TABLE: &[Parameter] = &[
    optional(
        "lists",
        "folder",
        Kind::Path,
        "",
        "A folder with a file of addresses for each list, named as the list; see zpost-lists(5). Default: none.",
    ),
    optional(
        "lists",
        "owner_form",
        Kind::Choice(&["NAME-owner", "owner-NAME"]),
        "NAME-owner",
        "The envelope sender of list mail, to which failures go. Both forms are always taken as recipients.",
    ),
    optional(
        "lists",
        "verp",
        Kind::Bool,
        "false",
        "A sender of its own for every member, who is then known from a failure: NAME-owner+user=domain. Lists may say otherwise.",
    ),
    optional(
        "lists",
        "headers",
        Kind::Bool,
        "false",
        "Whether List-Id, List-Post and List-Owner are added to list mail. Lists may say otherwise.",
    ),
    optional(
        "lists",
        "max_recipients",
        count(1, 10_000_000),
        "250000",
        "Recipients that one address may expand to; more is refused with 5.2.4. A router needs about 75 MB for 100,000 of them while it routes the message.",
    ),
    optional(
        "srs",
        "domain",
        Kind::Text,
        "",
        "A domain of this host. Mail from elsewhere that an alias or a list without an owner sends elsewhere gets a sender of it (SRS), so that the other side's SPF holds; what comes back goes to the first sender. Default: senders stay.",
    ),
    optional(
        "srs",
        "secret_file",
        Kind::Path,
        "",
        "A file of secrets, one a line: the first signs, all are believed. Readable by the routers only.",
    ),
    optional("srs", "max_age", Kind::Duration { min: DAY, max: 366 * DAY }, "21d", "How long such a sender is answered to."),
];
