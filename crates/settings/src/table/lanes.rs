//! Lanes of messages that wait for a router.

use super::{Kind, Parameter, count, optional, required};

pub const TABLE: &[Parameter] = &[
    required("lane", "name", Kind::Text, "Its name, for zpost counters and the log. Made of a-z, 0-9 and -."),
    optional("lane", "min_size", Kind::Size { min: 0, max: u64::MAX / 2 }, "0", "Messages of so many bytes and more."),
    optional("lane", "precedence", Kind::Texts, "", "Words of the field Precedence, such as bulk, list, junk. Default: any, or none."),
    optional("lane", "senders", Kind::Mailboxes, "", "Senders: user@domain, a domain, .suffix, user@ or <>. Default: any."),
    optional("lane", "share", count(1, 1000), "1", "Messages of this lane routed for every 10 of no lane, while both wait."),
    optional("lane", "routers", count(0, 100), "0", "Routers that work on this lane at a time; 0: all."),
];
