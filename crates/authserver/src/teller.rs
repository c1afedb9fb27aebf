//! Failed logins, told to the ratetracker.

use ipc::rates::{Event, Kind, ToTracker, Verdict};
use ipc::{Caller, Channel};
use std::net::IpAddr;

/// Frames that the tracker may leave untaken.
const MOST: usize = 100;

pub struct Teller {
    caller: Option<Caller>,
    channel: Option<Channel<ToTracker, Verdict>>,
}

impl Teller {
    pub const fn new(caller: Option<Caller>) -> Self {
        Self { caller, channel: None }
    }

    /// No answer comes; lost when nobody listens.
    pub fn failed(&mut self, address: IpAddr, user: Option<&str>) {
        if self.channel.as_ref().is_none_or(|channel| channel.pending() > MOST) {
            self.channel = self.caller.as_ref().and_then(|caller| caller.call().ok());
        }
        let user = user.map(str::to_lowercase);
        let event = Event { user, ..Event::of(address, Kind::FailedAuthentication, 1) };
        let Some(channel) = &mut self.channel else { return };
        let frame = ToTracker::Count(vec![event]);
        if channel.flush().and_then(|()| channel.send(&frame)).is_err() {
            // It died: its successor is told.
            self.channel = self.caller.as_ref().and_then(|caller| caller.call().ok());
            if let Some(channel) = &mut self.channel {
                let _ = channel.send(&frame);
            }
        }
    }
}
