//! Every parameter of the suite once: name, type, default, documentation (the table in `table`), and the typed
//! [`Settings`] that the programs use.
//!
//! **Invariant:** parameter names and defaults exist nowhere else; a configuration with any error yields no settings.

mod access;
mod auth;
mod build;
mod checks;
mod clients;
mod contact;
mod doubts;
mod effective;
mod egress;
mod extensions;
mod glob;
mod headers;
mod inquiries;
mod lanes;
mod lists;
mod lookups;
mod nearest;
mod network;
mod place;
mod policy;
pub(crate) mod programs;
mod queries;
mod rates;
mod reference;
mod routing;
pub mod search;
mod sheet;
mod statement;
mod table;
mod texts;
mod times;
mod typed;
mod units;
mod value;

pub use access::{
    About, Access, AccessKeys, AccessPolicy, AnswerPattern, Attributes, DnsList, DnsLists, Otherwise, SPF_RESULTS, SpfAction, TAG_DEPTH,
};
pub use auth::{Auth, Backend, Introspection, LdapBind, SenderRule};
pub use checks::CHANNELS;
pub use clients::{ClientCertificate, ClientCertificates};
pub use contact::{EarlyTalkers, FirstContact, Overload, Patience};
pub use doubts::doubts;
pub use effective::{Effective, effective};
pub use egress::{Convert, Credentials, Proxy, Source};
pub use extensions::{Extensions, Submission};
pub use glob::Glob;
pub use headers::Headers;
pub use inquiries::{CallAhead, PolicyService};
pub use lanes::{Lane, LaneFacts};
pub use lists::{Lists, Srs};
pub use lookups::{KeyForm, SourceForm, Table, TableKind};
pub use nearest::nearest;
pub use policy::{Explained, Place, Policies, Policy, TlsPolicy};
pub use queries::{domain_matches, sender_matches};
pub use rates::{Greylist, OverloadSigns, Rates};
pub use reference::mdoc;
pub use routing::{LocalStep, Routing, RoutingStep, Virtual};
pub use statement::{Part, Statement};
pub use times::{Hours, Rate};
pub use typed::*;
pub use units::duration;
pub use value::mailbox;

/// One thing wrong with a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// 1-based; 0 when it is about the whole file.
    pub line: usize,
    pub column: usize,
    /// Says what is wrong, whose fault, and the nearest known key where a key is unknown.
    pub text: String,
}

impl Fault {
    /// `file:line:column: text`, as compilers print it, so that editors find the place.
    pub fn display(&self, path: &str) -> String {
        match self.line {
            0 => format!("{path}: {}", self.text),
            line => format!("{path}:{line}:{}: {}", self.column, self.text),
        }
    }
}

/// Reads and checks a configuration text; all faults at once, in the order of the file. `path` is the caller's name
/// for it, used nowhere but in messages (see [`Fault::display`]). No I/O.
pub fn parse(text: &str, path: &str) -> Result<Settings, Vec<Fault>> {
    let _ = path;
    checked(text).map(|sheet| build::build(&sheet))
}

/// For commands that speak with a suite at work, which goes on with the configuration it read before: the settings with
/// the default in place of each faulty value, and the faults. No settings where the faults leave open where the suite
/// lives or who it is.
pub fn parse_leniently(text: &str) -> (Option<Settings>, Vec<Fault>) {
    let mut sheet = sheet::Sheet::read(text);
    checks::check(&mut sheet);
    let whole = sheet.fill_in();
    (whole.then(|| build::build(&sheet)), sheet.faults)
}

/// A sheet without faults.
fn checked(text: &str) -> Result<sheet::Sheet, Vec<Fault>> {
    let mut sheet = sheet::Sheet::read(text);
    checks::check(&mut sheet);
    if sheet.faults.is_empty() { Ok(sheet) } else { Err(sheet.faults) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
