//! A job in hand: what is to be sent, where it may still go, and its report.

use crate::egress::Way;
use crate::plan::Plan;
use crate::security::Demand;
use envelope::TlsTerms;
use ipc::agents::{Handed, Job, RecipientResult, Report, Sharing};
use nexthop::Candidate;
use settings::TlsPolicy;
use smtp::client::{By, Client, Flavour, Recipient, Transaction, Verdict};
use status::{Outcome, Phase};
use std::collections::VecDeque;
use std::fs::File;
use std::sync::Arc;

#[derive(Debug)]
pub struct Work {
    pub number: u64,
    pub message: String,
    /// What it shares its sessions with, and their limits.
    pub sharing: Sharing,
    pub host: String,
    pub flavour: Flavour,
    pub file: Arc<File>,
    pub content: ipc::Content,
    pub size: u64,
    /// Stored as it came (BINARYMIME).
    pub octets: bool,
    /// What a conversion would do, once somebody has looked.
    pub plan: Option<Arc<message::Plan>>,
    pub way: Way,
    indexes: Vec<u32>,
    /// `None` while a session has it.
    pub transaction: Option<Transaction>,
    pub candidates: VecDeque<Candidate>,
    /// Addresses that may still be tried.
    pub tries: u32,
    /// A reused session broke before the transaction began; it happens once only.
    pub redialled: bool,
    trouble: Option<Trouble>,
    /// A server has refused the connection because it has too many.
    crowded: bool,
    /// BY with trace (RFC 2852): every relay reports, also one whose next hop would.
    trace: bool,
    pub channel: String,
    pub tls: Wanted,
}

/// What the job wants of TLS.
#[derive(Debug)]
pub struct Wanted {
    /// By the destination's name alone: what sessions in the pool are compared by.
    pub asked: Demand,
    /// With its exchangers known.
    pub demand: Demand,
    /// `tls_names`.
    pub names: Vec<String>,
    /// `None`: nothing had to be found out.
    pub plan: Option<Box<Plan>>,
}

/// Seconds from now to a moment of Unix time; negative when it has passed.
fn seconds_until(moment: u64) -> i64 {
    let signed = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
    signed(moment).saturating_sub(signed(daemon::clock::unix_seconds()))
}

/// Why the last address tried did not do.
#[derive(Debug)]
struct Trouble {
    phase: Phase,
    verdict: Verdict,
    remote: String,
}

impl Work {
    pub fn new(job: Job, file: Arc<File>, content: ipc::Content, tries: u32, way: Way, send_anyway: bool) -> Box<Self> {
        let octets = job.bodytype == envelope::BodyType::Binary;
        let flavour = if job.channel == "lmtp" || job.host.starts_with("unix:") { Flavour::Lmtp } else { Flavour::Smtp };
        let indexes = job.recipients.iter().map(|recipient| recipient.index).collect();
        let recipients = job.recipients.into_iter().map(|r| Recipient { address: r.user, dsn: r.dsn }).collect();
        // LMTP is the last step, not a relay: REQUIRETLS is about those (RFC 8689 section 2).
        let terms = if flavour == Flavour::Lmtp && job.terms.tls == TlsTerms::Required { TlsTerms::Usual } else { job.terms.tls };
        let asked = Demand { policy: TlsPolicy::Sts, terms };
        let trace = job.terms.deliver_by.is_some_and(|by| by.trace);
        // LMTP delivers at once: no time is left to pass on.
        let by = job.terms.deliver_by.filter(|_| flavour == Flavour::Smtp).map(|by| By {
            seconds: seconds_until(by.until),
            or_return: by.or_return,
            trace: by.trace,
        });
        let transaction = Transaction {
            sender: job.sender,
            size: job.size,
            bodytype: job.bodytype,
            smtputf8: job.smtputf8,
            envid: job.envid,
            ret: job.ret,
            send_anyway,
            require_tls: terms == TlsTerms::Required,
            priority: job.terms.priority,
            by,
            recipients,
        };
        Box::new(Self {
            number: job.number,
            message: job.message,
            sharing: job.sharing,
            host: job.host,
            flavour,
            file,
            content,
            size: job.size,
            octets,
            plan: None,
            way,
            indexes,
            transaction: Some(transaction),
            candidates: VecDeque::new(),
            tries,
            redialled: false,
            trouble: None,
            crowded: false,
            trace,
            channel: job.channel,
            tls: Wanted { asked, demand: asked, names: Vec::new(), plan: None },
        })
    }

    /// Keeps why an address did not do. One that may do later outweighs one that never will.
    pub fn trouble(&mut self, phase: Phase, verdict: Verdict, remote: String) {
        let keeps = self.trouble.as_ref().is_some_and(|t| t.verdict.outcome == Outcome::Deferred);
        if !keeps || verdict.outcome == Outcome::Deferred {
            self.trouble = Some(Trouble { phase, verdict, remote });
        }
    }

    /// The report of a job for which every address has failed.
    pub fn unreached(mut self) -> Report {
        let trouble = self.trouble.take().unwrap_or_else(|| Trouble {
            phase: Phase::Connect,
            verdict: Verdict::deferred(status::Enhanced::transient(4, 1), "no address could be tried"),
            remote: "-".to_owned(),
        });
        let verdicts = vec![trouble.verdict; self.indexes.len()];
        let mut report = self.report(trouble.phase, verdicts, &trouble.remote, Handed::default());
        report.learned.crowded = self.crowded;
        report
    }

    /// What a session that came to nothing has taught.
    pub fn refused(&mut self, client: &Client) {
        self.crowded |= client.crowded();
    }

    /// What a delivery over a session means for reports of success (RFC 3461 section 5.2.2): a server that knows DSN
    /// got the sender's wishes with the recipient, and reports further itself. LMTP delivers for good.
    pub fn handed(&self, knows_dsn: bool) -> Handed {
        match self.flavour {
            Flavour::Lmtp => Handed::Delivered,
            Flavour::Smtp if knows_dsn && !self.trace => Handed::Passed,
            Flavour::Smtp => Handed::Relayed,
        }
    }

    /// The report of a job with these verdicts, in the order of its recipients.
    pub fn report(&self, phase: Phase, verdicts: Vec<Verdict>, remote: &str, handed: Handed) -> Report {
        let result = |(index, verdict): (&u32, Verdict)| RecipientResult {
            handed,
            ..RecipientResult::new(*index, verdict.outcome, verdict.status, clean(remote), clean(&verdict.text))
        };
        Report::new(self.number, phase, self.indexes.iter().zip(verdicts).map(result).collect())
    }
}

/// No control byte leaves in a report; host names of a job may hold what nobody has checked.
fn clean(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    smtp::reply_reader::escape(text.as_bytes(), &mut out);
    out.truncate(out.floor_char_boundary(smtp::client::MAX_VERDICT_TEXT));
    out
}
