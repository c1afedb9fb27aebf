//! `zpost queue`.

use crate::fields::Message;
use crate::link::connect_to;
use crate::moment::{now_seconds, span, until};
use crate::offline;
use crate::output::shown;
use crate::selection::matches;
use crate::site::Site;
use crate::trouble::{EX_IOERR, EX_SOFTWARE, Trouble};
use ipc::control::{QueuedMessage, Reply, Request, Selection};
use spool::{Place, Volumes};
use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};

pub fn run(site: &Site, selection: &Selection, unrouted: bool, json: bool) -> Result<u8, Trouble> {
    let mut listing = Listing::new(std::io::stdout().lock(), json, now_seconds());
    each(site, selection, |message| listing.put(&message))?;
    if unrouted {
        let volumes = offline::open(&site.settings)?;
        for message in offline::unrouted(&volumes)?.into_iter().filter_map(|m| selected(selection, m)) {
            listing.put(&message)?;
        }
    } else if !json && *selection == Selection::default() {
        listing.aside = aside(site);
    }
    listing.end()?;
    Ok(0)
}

/// Messages in `router/`, `deferred/` and `freezer/`, for a line of their own; `None` for who may not look there.
fn aside(site: &Site) -> Option<[usize; 3]> {
    let volumes = Volumes::open(&site.settings.paths.postoffice, site.settings.volume_roots()).ok()?;
    let count = |place| volumes.usable().map(|(_, spool)| spool.read_names(place).map(|names| names.len()).ok()).sum::<Option<usize>>();
    Some([count(Place::Router)?, count(Place::Deferred)?, count(Place::Freezer)?])
}

/// The queue from the scheduler, or from the spool when the suite is stopped; oldest id first. One message at a time
/// is in memory. Until `take` says that it wants no more.
fn each(site: &Site, selection: &Selection, mut take: impl FnMut(QueuedMessage) -> Result<bool, Trouble>) -> Result<(), Trouble> {
    let Some(link) = connect_to(&site.settings.paths.run)? else {
        let volumes = offline::open(&site.settings)?;
        for message in offline::routed(&volumes)?.filter_map(|m| selected(selection, m)) {
            if !take(message)? {
                break;
            }
        }
        return Ok(());
    };
    let mut part: Option<QueuedMessage> = None;
    link.ask_while(&Request::Queue(selection.clone()), |reply| match gather(&mut part, reply) {
        Some(whole) => take(whole),
        None => Ok(true),
    })?;
    part.map_or(Ok(()), |last| take(last).map(drop))
}

/// The same, all at once: for one message.
pub fn messages(site: &Site, selection: &Selection) -> Result<Vec<QueuedMessage>, Trouble> {
    let mut all = Vec::new();
    each(site, selection, |message| {
        all.push(message);
        Ok(true)
    })?;
    Ok(all)
}

fn selected(selection: &Selection, mut message: QueuedMessage) -> Option<QueuedMessage> {
    matches(selection, &mut message, now_seconds()).then_some(message)
}

/// Puts the frames of one message together; the message when it is whole.
fn gather(part: &mut Option<QueuedMessage>, reply: Reply) -> Option<QueuedMessage> {
    let Reply::Message(message) = reply else { return None };
    let more = message.more;
    let whole = match part.take() {
        Some(mut before) if before.id == message.id => {
            before.recipients.extend(message.recipients);
            before.more = more;
            before
        }
        _ => message,
    };
    if more {
        *part = Some(whole);
        return None;
    }
    Some(whole)
}

/// The listing on its way out, message by message.
struct Listing<W: Write> {
    out: BufWriter<W>,
    json: bool,
    now: u64,
    messages: usize,
    recipients: usize,
    bytes: u64,
    /// Not routed yet, set aside, and frozen.
    aside: Option<[usize; 3]>,
    /// Nobody reads it (`zpost queue | head`).
    closed: bool,
}

impl<W: Write> Listing<W> {
    fn new(out: W, json: bool, now: u64) -> Self {
        Self { out: BufWriter::with_capacity(64 * 1024, out), json, now, messages: 0, recipients: 0, bytes: 0, aside: None, closed: false }
    }

    /// False: nobody reads any more.
    fn put(&mut self, message: &QueuedMessage) -> Result<bool, Trouble> {
        self.messages += 1;
        self.recipients += message.recipients.len();
        self.bytes = self.bytes.saturating_add(message.size);
        let text = if self.json {
            let begin = if self.messages == 1 { "[\n" } else { ",\n" };
            let object = serde_json::to_string(&Message::from(message)).map_err(|e| Trouble::new(EX_SOFTWARE, e.to_string()))?;
            format!("{begin}{object}")
        } else {
            let mut text = String::new();
            lines(message, self.now, &mut text);
            text
        };
        self.write(&text)?;
        Ok(!self.closed)
    }

    fn end(mut self) -> Result<(), Trouble> {
        let mut text = match (self.json, self.messages) {
            (true, 0) => "[]\n".to_owned(),
            (true, _) => "\n]\n".to_owned(),
            (false, n) => total(n, self.recipients, self.bytes),
        };
        if let Some([router, deferred, frozen]) = self.aside.filter(|aside| *aside != [0; 3]) {
            text.push_str(&format!(
                "-- besides {router} not routed yet in router/, {deferred} set aside in deferred/, {frozen} in freezer/: zpost queue --unrouted\n"
            ));
        }
        self.write(&text)?;
        let flushed = self.out.flush();
        self.heard(flushed)
    }

    fn write(&mut self, text: &str) -> Result<(), Trouble> {
        if self.closed {
            return Ok(());
        }
        let written = self.out.write_all(text.as_bytes());
        self.heard(written)
    }

    fn heard(&mut self, written: io::Result<()>) -> Result<(), Trouble> {
        match written {
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => self.closed = true,
            Err(e) => return Err(Trouble::new(EX_IOERR, format!("cannot write to standard output: {e}"))),
            Ok(()) => {}
        }
        Ok(())
    }
}

/// `1 message`, `2 messages`.
pub fn counted<N: std::fmt::Display + PartialEq + From<bool>>(n: N, what: &str) -> String {
    let many = if n == N::from(true) { "" } else { "s" };
    format!("{n} {what}{many}")
}

fn total(messages: usize, recipients: usize, bytes: u64) -> String {
    match messages {
        0 => "the queue is empty\n".to_owned(),
        n => format!("-- {}, {}, {bytes} bytes\n", counted(n, "message"), counted(recipients, "recipient")),
    }
}

/// One line a message, one below it for each recipient, one for what the other side said.
pub fn text(messages: &[QueuedMessage], now: u64) -> String {
    let mut out = String::new();
    messages.iter().for_each(|message| lines(message, now, &mut out));
    let recipients = messages.iter().map(|message| message.recipients.len()).sum();
    out + &total(messages.len(), recipients, messages.iter().map(|message| message.size).fold(0, u64::saturating_add))
}

fn lines(m: &QueuedMessage, now: u64, out: &mut String) {
    let age = span(now.saturating_sub(m.arrived / 1000));
    let _ = writeln!(out, "{}  {:>9}  {age:>6}  {:<8}  <{}>", shown(&m.id), m.size, shown(&m.state), shown(&m.sender));
    for r in &m.recipients {
        let _ = write!(out, "    {:<8}  <{}>  {}/{}", shown(&r.state), shown(&r.address), shown(&r.channel), shown(&r.host));
        if !r.sender.is_empty() {
            let _ = write!(out, "  from <{}>", shown(&r.sender));
        }
        if r.attempts > 0 {
            let _ = write!(out, "  attempts {}", r.attempts);
        }
        if r.next_attempt > 0 {
            let _ = write!(out, ", next {}", until(r.next_attempt, now));
        }
        out.push('\n');
        if !r.last.is_empty() {
            let _ = writeln!(out, "              ({})", shown(&r.last));
        }
        if let Some(text) = report(&r.report) {
            let _ = writeln!(out, "              ({text})");
        }
    }
}

/// About reports to the sender; `None` where there is nothing to say.
pub fn report(word: &str) -> Option<&'static str> {
    Some(match word {
        "failed" => "the report of failure to the sender waits to be sent",
        "delivered" => "the report of delivery to the sender waits to be sent",
        "relayed" => "the report of relaying to the sender waits to be sent",
        "expanded" => "the report of expansion to the sender waits to be sent",
        "delayed" => "the report of delay to the sender waits to be sent",
        "told" => "the sender has been told of the delay",
        _ => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::link::tests::fake;
    use crate::selection::tests::message;

    #[test]
    fn text_for_people() {
        assert_eq!(
            text(&[message()], 1_600),
            "01234567890abcde       1234     10m  deferred  <a@b.example>\n    \
             deferred  <x@Y.example>  smtp/-  attempts 1, next in 6m\n              \
             (451 4.3.0 later\\u0007)\n    \
             queued    <z@local.example>  local/-  attempts 1, next in 6m\n              \
             (451 4.3.0 later\\u0007)\n-- 1 message, 2 recipients, 1234 bytes\n"
        );
        assert_eq!(text(&[], 0), "the queue is empty\n");
        let mut told = message();
        told.recipients[0].report = "told".to_owned();
        assert!(text(&[told], 1_600).contains("later\\u0007)\n              (the sender has been told of the delay)\n"));
    }

    #[test]
    fn a_message_in_several_frames_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let site = crate::site::tests::scratch(folder.path());
        std::fs::create_dir(&site.settings.paths.run).unwrap();
        let (mut first, second) = (message(), message());
        first.more = true;
        let server = fake(&site.settings.paths.run, vec![Reply::Message(first), Reply::Message(second), Reply::End]);
        let selection = Selection { domain: Some("y.example".to_owned()), ..Selection::default() };
        let all = messages(&site, &selection).unwrap();
        assert_eq!((all.len(), all[0].recipients.len()), (1, 4));
        assert!(matches!(server.join().unwrap(), Request::Queue(s) if s == selection));
    }

    #[test]
    fn a_listing_is_one_document_and_ends_when_nobody_reads() {
        let listed = |count: usize| {
            let mut bytes = Vec::new();
            let mut listing = Listing::new(&mut bytes, true, 0);
            (0..count).for_each(|_| assert!(listing.put(&message()).unwrap()));
            listing.end().unwrap();
            serde_json::from_slice::<Vec<serde_json::Value>>(&bytes).unwrap().len()
        };
        assert_eq!([0, 1, 3].map(listed), [0, 1, 3]);
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut listing = Listing::new(Closed, false, 0);
        assert!((0..10_000).any(|_| !listing.put(&message()).unwrap()), "it says that nobody reads");
        listing.end().unwrap();
    }
}
