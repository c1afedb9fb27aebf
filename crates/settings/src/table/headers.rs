//! Headers of mail on its way out.

use super::{Kind, Parameter, optional};

pub const TABLE: &[Parameter] = &[
    optional(
        "headers",
        "canonical",
        Kind::Texts,
        "",
        "Tables of other spellings for addresses: key user@domain, value user@domain or @domain. For mail that leaves by channels, in From, To and the other fields that hold addresses, and for the envelope's sender. The first table that knows an address decides. Fields that a DKIM-Signature covers stay as they are, here and below: changed, the message would be a forgery to everybody behind us; the log says so (header_left).",
    ),
    optional(
        "headers",
        "masquerade",
        Kind::Domains,
        "",
        "Domains below which hosts hide: of user@host.example.org there remains user@example.org. Where several match, the longest. After canonical, for the same mail and fields.",
    ),
    optional("headers", "masquerade_except", Kind::Texts, "", "Users whose addresses are not masqueraded, as in root."),
    optional("headers", "masquerade_sender", Kind::Bool, "true", "Whether the envelope's sender is masqueraded too."),
    optional(
        "headers",
        "channels",
        Kind::Texts,
        "smtp",
        "Channels whose mail gets other spellings. Mail that stays here is delivered as it came.",
    ),
    optional(
        "headers",
        "generic",
        Kind::Texts,
        "",
        "Tables of addresses that are good outside, for those that are only good here: as canonical, after masquerading, for channel smtp alone.",
    ),
    optional(
        "headers",
        "senders",
        Kind::Texts,
        "",
        "Tables of senders that a user of this host may give to mail that he drops into the spool or gives to sendmail, beside his own address: key is his name, value an address, @domain, or * for any. Root and the suite's own users may give any. Mail with another sender is not refused: it goes, with the user's own address as its sender, and the log says sender_denied. Programs seldom read an exit status and would lose their mail; so it reaches its recipients, and what comes back reaches who sent it.",
    ),
];
