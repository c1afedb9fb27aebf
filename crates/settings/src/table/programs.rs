//! Programs of others: pipes, agents, scripts that held mail waits for.

use super::{DAY, Kind, MINUTE, Parameter, SECOND, count, optional, required};

/// The words of a pipe's arguments and the flags are the `pipe` crate's; the checks here only see that they are known.
pub const TABLE: &[Parameter] = &[
    required("pipe", "name", Kind::Text, "What [[route]] host says, with channel = \"pipe\". Made of a-z, 0-9 and -."),
    required(
        "pipe",
        "program",
        Kind::Texts,
        "The program, by an absolute path, and its arguments. No shell is involved. In arguments %s is the sender, %r the recipient, %u its local part without detail, %e the detail, %d the domain, %o the recipient before routing, %h the route's host, %i the message id in the queue, %m the Message-ID, %% a percent sign; each stays inside its argument. An argument that foreign text makes begin with - is refused, unless the argument -- stands before it.",
    ),
    optional(
        "pipe",
        "channel",
        Kind::Text,
        "pipe",
        "A channel of your own that this pipe serves whatever the route's host is; the host is then %h. On channel pipe the host names the [[pipe]].",
    ),
    optional(
        "pipe",
        "user",
        Kind::Text,
        "",
        "Who the program runs as when the suite is started as root; then it must be given, and is neither root nor a user of the suite.",
    ),
    optional("pipe", "group", Kind::Text, "", "Its group instead of the user's own. Default: the user's, with all of its groups."),
    optional("pipe", "folder", Kind::Path, "", "Its working folder. Default: the user's home folder."),
    optional("pipe", "umask", Kind::Text, "077", "Rights that files it makes do not get, in octal."),
    optional(
        "pipe",
        "timeout",
        Kind::Duration { min: 100, max: DAY },
        "10m",
        "Longest run; then the program and all it started get SIGTERM, and SIGKILL 3 seconds later, and the mail is tried again.",
    ),
    optional(
        "pipe",
        "max_output",
        Kind::Size { min: 0, max: 1 << 20 },
        "4KiB",
        "What is kept of its output and error output; the first line goes into the result.",
    ),
    optional("pipe", "processes", count(1, 1000), "10", "Most runs at a time in one agent process."),
    optional(
        "pipe",
        "flags",
        Kind::Text,
        "",
        "Letters as of ZMailer's sm: F a From_ line before the message (and E quotes such lines inside), P a Return-Path field, D a Delivered-To field, O Original-Recipient, e X-Envelope-From and X-Envelope-To fields, R line ends CRLF, X dot-stuffing and a final dot, m all recipients of a job in one run (each argument with a word of the recipient is repeated), B batch SMTP (with m: one transaction).",
    ),
    required("agent", "channel", Kind::Text, "The channel it serves, made of a-z, 0-9 and -."),
    optional(
        "agent",
        "program",
        Kind::Texts,
        "",
        "The program and its arguments, started when there is mail; it speaks the protocol of zpost-agent(7) on standard input and output. Default: none; it connects to the agents socket in the run folder by itself.",
    ),
    optional(
        "agent",
        "user",
        Kind::Text,
        "",
        "Who it runs as when the suite is started as root; of one that comes by itself, who may come. Default: the suite's own user.",
    ),
    optional(
        "agent",
        "timeout",
        Kind::Duration { min: 100, max: DAY },
        "10m",
        "Longest time for the results of a job; then the program is ended (or the conversation is) and the mail tried again.",
    ),
    required("script", "name", Kind::Text, "What a route to channel hold names: script:NAME or script:NAME/ARGUMENT."),
    required(
        "script",
        "program",
        Kind::Texts,
        "The program, by an absolute path, and its arguments; exit code 0 lets held mail go. Runs as the user of ta-hold.",
    ),
    optional("script", "timeout", Kind::Duration { min: SECOND, max: 5 * MINUTE }, "10s", "Longest run; then the mail stays held."),
];
