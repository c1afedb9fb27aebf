//! What of a decision outlives it, for an address that is routed again: from channel hold, or by order of the administrator.
//!
//! An address is rewritten once. So whoever gives back what was rewritten says so, and the decision begins behind that step; as
//! it does behind an alias that names itself, which would stand for all its members again.

use crate::expansion::Context;
use crate::verdict::Way;

/// What a parent is called that `[routing] canonical` has put in place of an address.
pub(crate) const CANONICAL: &str = "canonical\0";
/// The same of the script's `rewrite`.
pub(crate) const REWRITE: &str = "rewrite\0";

/// Whether the step that has led to an address is to be remembered with it.
pub(crate) fn lasts(parent: &str, address: &str) -> bool {
    let names_itself = || {
        let named = parent.rsplit('\0').next().unwrap_or_default();
        !named.is_empty() && address.get(..named.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(named))
    };
    parent == envelope::SENT_ON || parent.starts_with(CANONICAL) || parent.starts_with(REWRITE) || names_itself()
}

/// Where the decision about such an address begins.
pub(crate) fn beginning(via: &str) -> Context {
    // Of one value alone that names itself nothing would have come.
    let parent = Some((via.to_owned(), 2));
    Context { parent, way: Way { forwarded: true, ..Way::default() }, ..Context::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_done_again_is_remembered_and_nothing_else() {
        for (parent, address, expected) in [
            ("canonical\0a@x.example", "b@x.example", true),
            ("rewrite\0a@x.example", "b@x.example", true),
            ("virtual\0joe@x.example", "Joe@X.example", true),
            ("virtual\0joe@x.example", "tim@x.example", false),
            ("joe", "joe+news@x.example", true),
            ("team", "joe@x.example", false),
            ("srs\0SRS0=x@x.example", "joe@x.example", false),
            (envelope::SENT_ON, "joe@x.example", true),
            ("", "joe@x.example", false),
            ("ü", "a@x.example", false),
        ] {
            assert_eq!(lasts(parent, address), expected, "{parent:?} {address}");
        }
    }
}
