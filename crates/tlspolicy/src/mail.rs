//! A report as mail (RFC 8460 section 5.3), put into the spool.

use crate::report::Report;
use address::{Address, Path};
use envelope::{BodyType, Envelope, EnvelopeRecipient, RecipientDsn};
use spool::{Notifier, Spool, Submitter};
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes of an encoded line, without its end.
const LINE: usize = 76;

/// Writes report mails.
#[derive(Debug)]
pub struct Outbox {
    /// Where mails are written, and where they are moved.
    pub folders: [PathBuf; 2],
    submitter: Submitter,
    notifier: Notifier,
}

impl Outbox {
    pub fn open(settings: &settings::Settings) -> io::Result<Self> {
        let spool = Arc::new(Spool::open(&settings.paths.postoffice)?);
        // From here on it needs the two folders of them that it submits into, and those are open.
        let [public, router, _] = spool.acceptance_folders()?;
        Ok(Self { folders: [public, router], submitter: Submitter::new(spool), notifier: Notifier::new(&settings.paths.run, "router")? })
    }

    /// After Ok the mail is durable; its id. No reverse path: a report that cannot be delivered makes no other mail.
    pub fn send(&mut self, settings: &settings::Settings, report: &Report, compressed: &[u8], to: &Address) -> io::Result<String> {
        let id = self.submitter.next_id();
        let text = compose(settings, report, compressed, to, id.as_str());
        let envelope = Envelope {
            from: Some(Path::Null),
            bodytype: BodyType::SevenBit,
            recipients: vec![EnvelopeRecipient::new(to.clone(), RecipientDsn::default())],
            ..Envelope::default()
        };
        self.submitter.submit(id, &envelope, text.as_bytes())?;
        self.notifier.notice(id.as_str());
        Ok(id.as_str().to_owned())
    }
}

/// Every foreign word in it is a normalised domain or a parsed address.
pub fn compose(settings: &settings::Settings, report: &Report, compressed: &[u8], to: &Address, id: &str) -> String {
    let (hostname, domain) = (&settings.identity.hostname, &report.domain);
    let boundary = format!("=_{id}");
    let mut out = String::new();
    let _ = write!(
        out,
        "Date: {date}\nFrom: TLS reports <{from}>\nTo: <{to}>\nSubject: Report Domain: {domain}\n Submitter: {hostname}\n Report-ID: <{report_id}>\n\
         Message-ID: <{id}@{hostname}>\nTLS-Report-Domain: {domain}\nTLS-Report-Submitter: {hostname}\nTLS-Required: No\n\
         Auto-Submitted: auto-generated\nMIME-Version: 1.0\nContent-Type: multipart/report; report-type=\"tlsrpt\";\n boundary=\"{boundary}\"\n\n\
         --{boundary}\nContent-Type: text/plain; charset=us-ascii\n\n\
         This is a report of {hostname} about TLS with the mail servers of\n{domain}, as its _smtp._tls record asks for (RFC 8460).\n\
         Questions: {contact}\n\n\
         --{boundary}\nContent-Type: application/tlsrpt+gzip\nContent-Transfer-Encoding: base64\n\
         Content-Disposition: attachment;\n filename=\"{file}\"\n\n",
        date = message::date(report.end),
        from = settings.tls_report.sender,
        to = to.as_str(),
        report_id = report.id(hostname),
        contact = settings.tls_report.contact,
        file = report.file_name(hostname),
    );
    base64(compressed, &mut out);
    let _ = writeln!(out, "--{boundary}--");
    out
}

fn base64(bytes: &[u8], out: &mut String) {
    let encoded = data_encoding::BASE64.encode(bytes);
    for line in encoded.as_bytes().chunks(LINE) {
        out.push_str(std::str::from_utf8(line).unwrap_or_default());
        out.push('\n');
    }
}
