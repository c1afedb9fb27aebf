//! One caller's conversation.

use crate::answers::answer;
use crate::lookups::Lookups;
use crate::watch::watch;
use ipc::dns::{Ask, Told, Trouble};
use ipc::{Channel, RecvError};
use std::rc::Rc;
use tokio::io::{Interest, Ready};
use tokio::sync::mpsc;
use tokio::sync::watch::Receiver;

/// Open questions of one caller: beyond, its frames wait in the socket.
pub const MOST_OPEN: usize = 1000;

/// Answers a caller until it closes, sends what is no question, or (draining) has its answers.
pub async fn converse(channel: Channel<Told, Ask>, lookups: Rc<Lookups>, draining: Receiver<bool>) {
    let (answers, answered) = mpsc::unbounded_channel();
    let mut conversation = Conversation { channel, lookups, answers, open: 0 };
    if let Err(error) = conversation.run(answered, draining).await
        && !matches!(error, RecvError::Closed)
    {
        daemon::event!(Warning, "conversation_ended", reason = error);
    }
}

struct Conversation {
    channel: Channel<Told, Ask>,
    lookups: Rc<Lookups>,
    answers: mpsc::UnboundedSender<Told>,
    /// Questions taken and not yet answered.
    open: usize,
}

impl Conversation {
    async fn run(&mut self, mut answered: mpsc::UnboundedReceiver<Told>, mut draining: Receiver<bool>) -> Result<(), RecvError> {
        // Dropped before the channel, so that the descriptor is still open when it is taken out of the poll.
        let socket = watch(&self.channel, Interest::READABLE | Interest::WRITABLE).map_err(RecvError::Io)?;
        loop {
            let stopping = *draining.borrow();
            if stopping && self.open == 0 && self.channel.pending() == 0 {
                return Ok(());
            }
            let interest = self.interest(stopping);
            tokio::select! {
                Some(told) = answered.recv() => self.tell(told, &mut answered)?,
                ready = socket.ready(interest.unwrap_or(Interest::READABLE)), if interest.is_some() => {
                    let mut ready = ready.map_err(RecvError::Io)?;
                    if ready.ready().is_writable() {
                        self.channel.flush().map_err(RecvError::Io)?;
                        if self.channel.pending() > 0 {
                            ready.clear_ready_matching(Ready::WRITABLE);
                        }
                    }
                    if ready.ready().is_readable() && self.take()? {
                        ready.clear_ready_matching(Ready::READABLE);
                    }
                }
                _ = draining.changed() => {}
            }
        }
    }

    /// A caller that does not take its answers, or has too many questions open, is not read.
    fn interest(&self, stopping: bool) -> Option<Interest> {
        if self.channel.pending() > 0 {
            Some(Interest::WRITABLE)
        } else if self.open < MOST_OPEN && !stopping {
            Some(Interest::READABLE)
        } else {
            None
        }
    }

    /// Takes questions until there is none (true) or there are enough.
    fn take(&mut self) -> Result<bool, RecvError> {
        while self.open < MOST_OPEN && self.channel.pending() == 0 {
            let Some((Ask { number, question }, _)) = self.channel.recv()? else { return Ok(true) };
            self.open += 1;
            self.lookups.counters.add("questions", 1);
            let (lookups, answers) = (Rc::clone(&self.lookups), self.answers.clone());
            tokio::task::spawn_local(async move {
                let answer = answer(&lookups, question).await;
                let _ = answers.send(Told { number, answer });
            });
        }
        Ok(false)
    }

    /// Sends this answer and those that are there with it.
    fn tell(&mut self, first: Told, answered: &mut mpsc::UnboundedReceiver<Told>) -> Result<(), RecvError> {
        let mut next = Some(first);
        while let Some(told) = next {
            self.open = self.open.saturating_sub(1);
            self.send(&told)?;
            next = answered.try_recv().ok();
        }
        Ok(())
    }

    fn send(&mut self, told: &Told) -> Result<(), RecvError> {
        match self.channel.send(told) {
            // The limits keep answers below a frame; should they ever not, the question still gets one.
            Err(e) if e.kind() == std::io::ErrorKind::InvalidInput => {
                let answer = Err(Trouble::Temporary("answer too large".to_owned()));
                self.channel.send(&Told { number: told.number, answer }).map_err(RecvError::Io)
            }
            Err(e) if matches!(e.kind(), std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset) => Err(RecvError::Closed),
            other => other.map_err(RecvError::Io),
        }
    }
}
