//! The frame of a subdaemon: a process that answers questions at the contact point of its name.
//!
//! [`run`] is the whole program around a [`Service`]: start-up, the loop, callers that come and go, flow control, reload,
//! commands, drain, and the end with the master. The service sees questions and says answers through its [`Desk`]; it
//! never blocks (threads of its own wake the loop by [`Desk::waker`]).
//!
//! **Invariants.** A malformed frame ends that conversation and nothing else. A caller that does not take its answers is
//! not read until it does, and one that leaves too many is dropped. Callers that come while we drain stay at the contact
//! point for our successor.

mod desk;
mod serve;

pub use desk::{Asker, Desk};
pub use serve::run;

use ipc::control::{Reply, Request};
use ipc::master::Peer;
use mio::event::Event;
use std::time::Instant;

/// What a subdaemon does; the frame does the rest.
pub trait Service: Sized {
    /// Questions.
    type In: ipc::Frame + serde::de::DeserializeOwned;
    /// Answers.
    type Out: ipc::Frame + serde::Serialize;

    /// A frame of a caller. Answers go by [`Desk::answer`], now or later.
    fn heed(&mut self, asker: Asker, frame: Self::In, desk: &mut Desk<Self::Out>);

    /// A caller has gone; its questions need no answer.
    fn gone(&mut self, _asker: Asker) {}

    /// Something that the service registered itself under a [`Desk::token`].
    fn event(&mut self, _event: &Event, _desk: &mut Desk<Self::Out>) {}

    /// Once in every turn of the loop: what threads have done ([`Desk::waker`]), what time brings.
    fn work(&mut self, _now: Instant, _desk: &mut Desk<Self::Out>) {}

    /// When `work` is wanted at the latest.
    fn wake(&self) -> Option<Instant> {
        None
    }

    /// A child process has ended.
    fn child_ended(&mut self, _desk: &mut Desk<Self::Out>) {}

    /// A new configuration is in `desk.started.settings`; `contacts` are the descriptors that came with it. `Err`: why
    /// the old one goes on.
    fn reload(&mut self, _contacts: daemon::Contacts, _desk: &mut Desk<Self::Out>) -> Result<(), String> {
        Ok(())
    }

    /// A `zpost` command that the master handed over; all its replies at once.
    fn command(&mut self, _request: &Request, _peer: &Peer, _desk: &mut Desk<Self::Out>) -> Vec<Reply> {
        vec![Reply::Refused { code: 70, reason: "this process knows no such command".to_owned() }]
    }

    /// Nothing is in hand that a drain must wait for.
    fn is_idle(&self) -> bool {
        true
    }

    /// The last call before the process ends.
    fn end(&mut self, _desk: &mut Desk<Self::Out>) {}
}
