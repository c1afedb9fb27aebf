//! Signatures of the keyholder, for processes that speak TLS.
//!
//! The asker waits: a signature is work that it would do itself had it the key, and rustls asks for it in the middle of a
//! handshake. A keyholder that does not answer costs one wait of [`PATIENCE`], whatever the number of handshakes: until it
//! answers that one question, everything fails at once.
//!
//! **Invariant:** knows no key, and waits for one question at a time.

use daemon::Counters;
use ipc::keys::{Sign, Signed};
use ipc::{Caller, Channel, RecvError};
use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tls::keys::{KeyId, RemoteSigner};

/// Longest wait for one signature.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// A question that breaks two conversations may be what breaks them.
const TRIES: u8 = 2;

/// The conversation with the keyholder.
pub struct Keyholder {
    counters: Counters,
    patience: Duration,
    line: Mutex<Line>,
}

impl fmt::Debug for Keyholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyholder")
    }
}

struct Line {
    caller: Option<Caller>,
    channel: Option<Channel<Sign, Signed>>,
    number: u64,
    /// A question whose time was over; its answer will show that somebody is there.
    owed: bool,
    failing: bool,
}

impl Keyholder {
    /// `caller`: its contact point. Failures count as `key_failures`.
    pub const fn new(caller: Option<Caller>, counters: Counters) -> Self {
        Self::with_patience(caller, counters, PATIENCE)
    }

    const fn with_patience(caller: Option<Caller>, counters: Counters, patience: Duration) -> Self {
        let line = Line { caller, channel: None, number: 0, owed: false, failing: false };
        Self { counters, patience, line: Mutex::new(line) }
    }
}

impl RemoteSigner for Keyholder {
    fn sign(&self, key: &KeyId, scheme: u16, message: &[u8]) -> Result<Vec<u8>, String> {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = line.ask(key, scheme, message, Instant::now() + self.patience);
        let trouble = match &answer {
            Ok(Ok(_)) => None,
            Ok(Err(refused)) => Some(format!("the keyholder refuses: {refused}")),
            Err(why) => Some(format!("the keyholder does not answer: {why}")),
        };
        if trouble.is_some() {
            self.counters.add("key_failures", 1);
        }
        // Once, not for each client that comes meanwhile.
        if trouble.is_some() != std::mem::replace(&mut line.failing, trouble.is_some()) {
            match &trouble {
                Some(reason) => daemon::event!(Error, "no_signature", reason = reason),
                None => daemon::event!(Info, "signing_again"),
            }
        }
        match answer {
            Ok(Ok(signature)) => Ok(signature),
            _ => Err(trouble.unwrap_or_default()),
        }
    }
}

impl Line {
    /// `Err`: no answer. `Ok(Err)`: the answer is no.
    fn ask(&mut self, key: &KeyId, scheme: u16, message: &[u8], deadline: Instant) -> io::Result<Result<Vec<u8>, String>> {
        let mut last = io::Error::from(io::ErrorKind::NotConnected);
        for _ in 0..TRIES {
            let mut channel = match self.channel.take() {
                Some(channel) => channel,
                None => self.caller.as_ref().ok_or_else(|| io::Error::other("the suite runs without one"))?.call()?,
            };
            if self.owed {
                match settle(&mut channel) {
                    Ok(true) => self.owed = false,
                    Ok(false) => {
                        self.channel = Some(channel);
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    Err(_) => {
                        self.owed = false;
                        continue;
                    }
                }
            }
            self.number += 1;
            let question = Sign { number: self.number, key: *key, scheme, message: message.to_vec() };
            match channel.send(&question).and_then(|()| hear(&mut channel, self.number, deadline)) {
                Ok(signature) => {
                    self.channel = Some(channel);
                    return Ok(signature);
                }
                Err(e) if e.kind() == io::ErrorKind::TimedOut => {
                    (self.owed, self.channel) = (true, Some(channel));
                    return Err(e);
                }
                Err(e) => last = e,
            }
        }
        Err(last)
    }
}

/// Has the answer come that was waited for in vain?
fn settle(channel: &mut Channel<Sign, Signed>) -> Result<bool, RecvError> {
    channel.recv().map(|answer| answer.is_some())
}

fn hear(channel: &mut Channel<Sign, Signed>, number: u64, deadline: Instant) -> io::Result<Result<Vec<u8>, String>> {
    loop {
        let (answer, _) = channel.recv_by(deadline)?;
        if answer.number == number {
            return Ok(answer.signature);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use ipc::ContactPoint;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixDatagram;

    fn contact() -> (Caller, ContactPoint) {
        let (a, b) = UnixDatagram::pair().unwrap();
        (Caller::new(OwnedFd::from(a)).unwrap(), ContactPoint::new(OwnedFd::from(b)).unwrap())
    }

    fn asker(caller: Caller) -> Keyholder {
        Keyholder::with_patience(Some(caller), Counters::detached("smtpserver").unwrap(), Duration::from_millis(200))
    }

    fn failures(asker: &Keyholder) -> u64 {
        let row = asker.counters.read_row(0, "smtpserver");
        row.into_iter().find(|(name, _)| *name == "key_failures").unwrap().1
    }

    /// Answers so many questions of the next caller, then is gone.
    fn serve(contact: &ContactPoint, questions: usize) {
        let mut channel = loop {
            match contact.accept::<Signed, Sign>().unwrap() {
                Some(channel) => break channel,
                None => std::thread::yield_now(),
            }
        };
        for _ in 0..questions {
            let (question, _) = channel.recv_by(Instant::now() + Duration::from_secs(30)).unwrap();
            channel.send(&Signed { number: question.number, signature: Ok(question.message) }).unwrap();
        }
    }

    #[test]
    fn asked_again_after_a_death() {
        let (caller, contact) = contact();
        let asker = asker(caller);
        let server = std::thread::spawn(move || (0..3).for_each(|_| serve(&contact, 2)));
        for word in [b"1", b"2", b"3", b"4", b"5", b"6"] {
            assert_eq!(asker.sign(&[0; 32], 1, word).unwrap(), word);
        }
        server.join().unwrap();
        assert_eq!(failures(&asker), 0);
    }

    #[test]
    fn silence_costs_one_wait() {
        let (caller, contact) = contact();
        let asker = asker(caller);
        let begun = Instant::now();
        assert!(asker.sign(&[0; 32], 1, b"a").unwrap_err().contains("does not answer"));
        let first = begun.elapsed();
        for _ in 0..100 {
            assert!(asker.sign(&[0; 32], 1, b"b").is_err());
        }
        assert!(begun.elapsed() < first * 3, "only the first one waits");
        assert_eq!(failures(&asker), 101);
        // It comes back, and finds the question that is still open.
        let server = std::thread::spawn(move || serve(&contact, 2));
        let answered = loop {
            if let Ok(answered) = asker.sign(&[0; 32], 1, b"c") {
                break answered;
            }
        };
        assert_eq!(answered, b"c");
        server.join().unwrap();
    }

    #[test]
    fn without_one_nothing_is_signed() {
        let asker = Keyholder::new(None, Counters::detached("smtpserver").unwrap());
        assert!(asker.sign(&[0; 32], 1, b"a").unwrap_err().contains("without one"));
    }
}
