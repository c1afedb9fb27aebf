//! zpost tlspolicy: the keeper of TLS policies, and the reporter of what became of TLS.
//!
//! **What it does.** Answers what the MTA-STS policy of a domain says (RFC 8461): looks the policy's id up, fetches the
//! policy by HTTPS, keeps it on disk for as long as it holds, and fetches it anew before that. Counts what the SMTP clients
//! tell about TLS with each domain, and sends a report a day to the domains that ask for one (RFC 8460).
//!
//! **What it trusts.** Nobody on the network: names, records, HTTP answers and policies are sized and checked; a policy
//! counts only when it came under a valid certificate. The SMTP clients' results are bounded in number and length.
//!
//! **What it may touch.** `tlspolicy/` of the postoffice (its own); the resolver; HTTPS servers; `public/` and `router/`
//! (creates and renames its report mails); the router's notification socket; the authorities of TLS, to read. Nothing else
//! (Landlock, seccomp): where a reload finds other authorities in place of a file it ends, and its successor reads them.
//!
//! **When it dies.** Askers wait a bounded time and go on without a policy they did not know; its successor reads the
//! policies and counts back from disk. Counts of the last seconds are lost; a report may be sent twice, with one id.
//!
//! **No loops.** Reports have no reverse path and carry `TLS-Required: No` (RFC 8689), so that the trouble reported does not
//! hold the report up. A day on which a domain got nothing from us but our reports is not reported.

mod discovery;
mod fetch;
mod journal;
mod keeper;
mod mail;
mod names;
mod policy;
mod pool;
mod report;
mod reporter;
mod serve;
mod shelf;
mod tally;

pub use serve::run;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod fetch_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod keeper_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod report_tests;
