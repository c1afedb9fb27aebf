//! The way over the submission socket: SMTP to `<run>/submit`, where the server knows us by our credentials.

use super::Prepared;
use crate::output::shown;
use crate::site::Site;
use crate::trouble::{EX_NOUSER, EX_TEMPFAIL, EX_UNAVAILABLE, Trouble};
use smtp::client::{Client, ContentEncoder, Event, Flavour, Form, Recipient, Transaction, Verdict};
use status::Outcome;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// RFC 5321 section 4.5.3.2.6: the reply to the final dot may take that long.
const PATIENCE: Duration = Duration::from_secs(600);

pub fn connect(run: &Path) -> Result<UnixStream, Trouble> {
    let path = run.join("submit");
    UnixStream::connect(&path).map_err(|e| {
        let what = format!("may not write into the spool and cannot reach {}: {e}", path.display());
        Trouble::new(EX_TEMPFAIL, format!("{what}; is zpost running? Nothing was sent, try again later"))
    })
}

/// Submits the message; success when every recipient was taken.
pub fn submit(site: &Site, prepared: &Prepared) -> Result<u8, Trouble> {
    let mut stream = connect(&site.settings.paths.run)?;
    let session = stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
    session.map_err(|e| Trouble::io("the submission socket", &e))?;
    let verdicts = converse(&mut stream, site.settings.identity.hostname.clone(), prepared);
    judge(prepared, &verdicts)
}

/// One session with one transaction; a verdict for each recipient.
fn converse(stream: &mut (impl Read + Write), hello: String, prepared: &Prepared) -> Vec<Verdict> {
    let content = prepared.content.clone().into_bytes();
    let mut client = Client::new(Flavour::Smtp, hello);
    let mut out = Vec::new();
    let mut input = vec![0; 16 * 1024];
    let mut event = client.begin(transaction(prepared, content.len()), &mut out);
    loop {
        match event.take() {
            Some(Event::SendContent) => {
                let mut encoder = ContentEncoder::default();
                encoder.encode(&content, &mut out);
                encoder.finish(&mut out);
                client.content_sent();
            }
            Some(Event::Finished) => {
                let verdicts = client.take_verdicts();
                client.quit(&mut out);
                let _ = stream.write_all(&out);
                return verdicts;
            }
            // The suite itself takes what it offers here; another server behind the socket gets it as it is.
            Some(Event::Unfit(_)) => {
                event = client.proceed(Form::Stored, &mut out);
                continue;
            }
            Some(Event::Refused(verdict)) => return vec![verdict; prepared.envelope.recipients.len()],
            // TLS is not asked for on the host's own socket.
            Some(Event::Ready | Event::StartTls) | None => {}
        }
        event = match exchange(stream, &mut out, &mut input) {
            Ok(received) => client.receive(received, &mut out),
            Err(error) => client.lost(&error.to_string()),
        };
    }
}

/// Writes what is to be written and reads what comes.
fn exchange<'b>(stream: &mut (impl Read + Write), out: &mut Vec<u8>, input: &'b mut [u8]) -> io::Result<&'b [u8]> {
    stream.write_all(out)?;
    out.clear();
    loop {
        match stream.read(input) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection")),
            Ok(length) => return Ok(input.get(..length).unwrap_or_default()),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

fn transaction(prepared: &Prepared, size: usize) -> Transaction {
    let envelope = &prepared.envelope;
    let recipients = envelope.recipients.iter().map(|r| Recipient { address: r.address.to_string(), dsn: r.dsn.clone() });
    Transaction {
        sender: envelope.from.as_ref().map_or_else(String::new, |p| p.as_str().to_owned()),
        size: u64::try_from(size).unwrap_or(u64::MAX),
        bodytype: envelope.bodytype,
        smtputf8: envelope.smtputf8,
        envid: envelope.envid.clone(),
        ret: envelope.ret,
        send_anyway: true,
        require_tls: false,
        priority: 0,
        by: None,
        recipients: recipients.collect(),
    }
}

/// Success, or the recipients that were not taken with what the server said.
fn judge(prepared: &Prepared, verdicts: &[Verdict]) -> Result<u8, Trouble> {
    let pairs = || prepared.envelope.recipients.iter().zip(verdicts);
    let refused: Vec<String> = pairs()
        .filter(|(_, v)| v.outcome != Outcome::Delivered)
        .map(|(r, v)| format!("<{}>: {}", shown(r.address.as_str()), shown(&v.text)))
        .collect();
    if refused.is_empty() {
        return Ok(0);
    }
    let deferred = pairs().any(|(_, v)| v.outcome == Outcome::Deferred);
    let unknown = pairs().any(|(_, v)| v.outcome == Outcome::Failed && v.status.subject == 1);
    let code = if deferred {
        EX_TEMPFAIL
    } else if unknown {
        EX_NOUSER
    } else {
        EX_UNAVAILABLE
    };
    let taken = verdicts.len().saturating_sub(refused.len());
    let rest = if taken > 0 {
        format!("\nsent to the other {taken} recipients; do not send to them again")
    } else {
        "\nnothing was sent".to_owned()
    };
    Err(Trouble::new(code, refused.join("\n") + &rest))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::os::unix::net::UnixListener;

    /// A server at `<run>/submit` for one session; gives everything the client said. `refuse`: 550 to this recipient.
    pub fn fake(run: &Path, refuse: &'static str) -> std::thread::JoinHandle<String> {
        let listener = UnixListener::bind(run.join("submit")).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"220 mta.example ESMTP\r\n").unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut said, mut data) = (String::new(), false);
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap() == 0 {
                    return said;
                }
                said.push_str(&line);
                let reply = match line.trim_end() {
                    "." if data => "250 2.0.0 queued as x\r\n",
                    _ if data => continue,
                    "DATA" => {
                        data = true;
                        "354 go\r\n"
                    }
                    "QUIT" => return said,
                    l if l.starts_with("EHLO") => "250-mta.example\r\n250 8BITMIME\r\n",
                    l if !refuse.is_empty() && l.contains(refuse) => "550 5.1.1 unknown user\r\n",
                    _ => "250 2.0.0 ok\r\n",
                };
                if line.starts_with('.') {
                    data = false;
                }
                stream.write_all(reply.as_bytes()).unwrap();
            }
        })
    }
}
