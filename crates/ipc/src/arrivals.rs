//! Hints inside the suite: these messages are there now. To the routermux (files in `router/`, from workers) and to the
//! scheduler (ids in `queue/`, from routers). One-way; nobody waits for the other side.
//!
//! The notification sockets say the same for everybody else. Inside the suite a conversation is better under load: a
//! datagram socket holds ten datagrams (net.unix.max_dgram_qlen) and what does not fit is lost until the next scan, while
//! here one frame carries all names of a turn and waits its time.

use crate::channel::{Channel, Frame};
use crate::contact::Caller;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrived {
    pub names: Vec<String>,
    /// Nodes whose mail is to go now, as ETRN (RFC 1985) names them. Only to the scheduler.
    pub wanted: Vec<String>,
}

/// What never comes back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Nothing;

/// Names in one frame: at most 16 bytes an id, 128 a dropped file's name.
const NAMES: usize = 512;
/// Frames that wait for a slow listener; beyond that the scan finds the rest.
const WAITING: usize = 256;

/// The telling end. It calls when there is something to tell and calls again when the listener was restarted.
#[derive(Debug)]
pub struct Teller {
    caller: Option<Caller>,
    channel: Option<Channel<Arrived, Nothing>>,
}

impl Teller {
    pub fn new(caller: Option<Caller>) -> Self {
        Self { caller, channel: None }
    }

    /// Tells and empties `names`. What nobody listens to is lost: a hint.
    pub fn tell(&mut self, names: &mut Vec<String>) {
        while !names.is_empty() {
            let rest = names.split_off(names.len().min(NAMES));
            self.say(&Arrived { names: std::mem::replace(names, rest), wanted: Vec::new() });
        }
    }

    /// Asks for the mail of a node.
    pub fn want(&mut self, node: String) {
        self.say(&Arrived { names: Vec::new(), wanted: vec![node] });
    }

    /// There is somebody to tell.
    pub fn exists(&self) -> bool {
        self.caller.is_some()
    }

    fn say(&mut self, frame: &Arrived) {
        if !self.send(frame) {
            // The listener may have been restarted: the contact point keeps callers for its successor.
            self.channel = None;
            self.send(frame);
        }
    }

    fn send(&mut self, frame: &Arrived) -> bool {
        if self.channel.is_none() {
            self.channel = self.caller.as_ref().and_then(|caller| caller.call().ok());
        }
        let Some(channel) = &mut self.channel else { return false };
        channel.flush().is_ok() && (channel.pending() >= WAITING || channel.send(frame).is_ok())
    }

    /// Frames wait for room: call [`Teller::flush`] soon.
    pub fn waits(&self) -> bool {
        self.channel.as_ref().is_some_and(|channel| channel.pending() > 0)
    }

    pub fn flush(&mut self) {
        if self.channel.as_mut().is_some_and(|channel| channel.flush().is_err()) {
            self.channel = None;
        }
    }
}

impl Frame for Arrived {
    const PROTOCOL: u8 = 0x80;
}
impl Frame for Nothing {
    const PROTOCOL: u8 = 0x81;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::channel::pair;
    use crate::contact::ContactPoint;

    type Listener = Channel<Nothing, Arrived>;

    fn heard(listener: &mut Listener) -> Vec<String> {
        let mut names = Vec::new();
        while let Ok(Some((frame, _))) = listener.recv() {
            names.extend(frame.names);
        }
        names
    }

    #[test]
    fn every_name_arrives_also_after_the_listener_was_restarted() {
        let (calling, serving) = pair().unwrap();
        let point = ContactPoint::new(serving).unwrap();
        let mut teller = Teller::new(Caller::new(calling).ok());
        let names = |from: usize, to: usize| (from..to).map(|n| n.to_string()).collect::<Vec<_>>();
        teller.tell(&mut names(0, 2000));
        let mut listener: Listener = point.accept().unwrap().unwrap();
        assert_eq!(heard(&mut listener), names(0, 2000));
        drop(listener);
        teller.tell(&mut names(5, 7));
        let mut listener: Listener = point.accept().unwrap().unwrap();
        assert_eq!(heard(&mut listener), names(5, 7));
    }

    #[test]
    fn a_listener_that_does_not_listen_costs_bounded_memory() {
        let (calling, serving) = pair().unwrap();
        let point = ContactPoint::new(serving).unwrap();
        let mut teller = Teller::new(Caller::new(calling).ok());
        for _ in 0..3000 {
            teller.tell(&mut vec!["x".repeat(100); 50]);
        }
        assert!(teller.waits());
        let mut listener: Listener = point.accept().unwrap().unwrap();
        let first = heard(&mut listener).len();
        teller.flush();
        assert!(first > 0 && first + heard(&mut listener).len() < 3000 * 50);
    }
}
