//! The agent's end of the job conversation.
use crate::parts::{Given, Parts};
use daemon::EX_ORPHANED;
use ipc::agents::{Learned, Report, ToAgent, ToScheduler};
use ipc::master::{ToChild, ToMaster};
use ipc::{Channel, RecvError};
use mio::{Interest, Registry, Token};
use std::fs::File;
use std::io;
use std::sync::Arc;

/// The job conversation; register `channel` with mio.
#[derive(Debug)]
pub struct Link {
    pub channel: Channel<ToScheduler, ToAgent>,
    reports: Vec<Report>,
    /// It is registered for writing too.
    full: bool,
    /// The agent knows jobs whose recipients have senders of their own.
    knows_senders: bool,
    parts: Parts,
}
/// What the scheduler sent.
#[derive(Debug)]
pub enum Incoming {
    Jobs(Vec<Given>),
    Drain,
}
impl Link {
    /// For agents with one sender for each job: one whose recipients have senders of their own comes in parts, one after the
    /// other, so that it takes one credit and one place of its destination like any other.
    pub fn new(channel: Channel<ToScheduler, ToAgent>) -> Self {
        Self { channel, reports: Vec::new(), full: false, knows_senders: false, parts: Parts::default() }
    }
    /// For agents that read [`ipc::agents::Job::verp`] themselves.
    pub fn knowing_senders(channel: Channel<ToScheduler, ToAgent>) -> Self {
        Self { knows_senders: true, ..Self::new(channel) }
    }
    fn begin(&mut self, given: Given) -> Given {
        if self.knows_senders { given } else { self.parts.begin(given) }
    }
    /// The next frame; a count of descriptors that differs from the jobs' is `Malformed`.
    pub fn recv(&mut self) -> Result<Option<Incoming>, RecvError> {
        let Some((frame, descriptors)) = self.channel.recv()? else { return Ok(None) };
        match frame {
            ToAgent::Jobs(jobs) if jobs.len() == descriptors.len() => {
                let files = descriptors.into_iter().map(|descriptor| Arc::new(File::from(descriptor)));
                Ok(Some(Incoming::Jobs(jobs.into_iter().zip(files).map(|given| self.begin(given)).collect())))
            }
            ToAgent::Jobs(_) => Err(RecvError::Malformed("jobs and descriptors differ in number")),
            ToAgent::Drain => Ok(Some(Incoming::Drain)),
        }
    }
    /// Takes so many jobs more; of those that have ended, only where [`Link::report`] gave no further part.
    pub fn credit(&mut self, jobs: u32) -> io::Result<()> {
        self.channel.send(&ToScheduler::Credit(jobs))
    }
    /// Keeps a report until [`Link::flush`], so that one frame carries what one turn of the loop brought. Gives the next part
    /// of the same job: it is the agent's to deliver before the job is over.
    #[must_use]
    pub fn report(&mut self, mut report: Report) -> Option<Given> {
        let next = self.parts.ended(&mut report);
        self.reports.push(report);
        next
    }
    /// Sends the kept reports and whatever still waits for the socket.
    pub fn flush(&mut self) -> io::Result<()> {
        for frame in frames(std::mem::take(&mut self.reports)) {
            self.channel.send(&ToScheduler::Reports(frame))?;
        }
        self.channel.flush()
    }

    /// Asks to be woken for writing only while frames wait: a socket between processes says "writable" whenever the other
    /// side has read, and that is not worth a wake-up. `token`: by which the channel is registered.
    pub fn watch(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let full = self.channel.pending() > 0;
        if full != self.full {
            let interest = if full { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
            registry.reregister(&mut self.channel, token, interest)?;
            self.full = full;
        }
        Ok(())
    }

    /// Takes in what the master and the scheduler say, for agents that serve several jobs at once. `Some`: the agent ends with
    /// this exit code, 0 without scheduler, 75 without master.
    pub fn hear(&mut self, master: &mut Channel<ToMaster, ToChild>, draining: &mut bool, jobs: &mut Vec<Given>) -> io::Result<Option<i32>> {
        loop {
            match master.recv() {
                Ok(Some((ToChild::Drain, _))) => *draining = true,
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return Ok(Some(EX_ORPHANED)),
            }
        }
        loop {
            match self.recv() {
                Ok(Some(Incoming::Jobs(more))) => jobs.extend(more),
                Ok(Some(Incoming::Drain)) => *draining = true,
                Ok(None) => return Ok(None),
                Err(RecvError::Closed) => return Ok(Some(0)),
                Err(e) => return Err(e.into()),
            }
        }
    }
}

/// Bytes of results put into one frame, by a generous estimate: well under `ipc::channel::MAX_FRAME`, since a frame over
/// that could never be sent and would cost the whole conversation.
const FRAME_ESTIMATE: usize = 96 * 1024;

/// Reports packed into frames. One with very many recipients is told in several parts, as `ipc::agents` allows; what the
/// session taught goes with the first, for it must count once.
fn frames(reports: Vec<Report>) -> Vec<Vec<Report>> {
    let (mut frames, mut frame, mut filled) = (Vec::new(), Vec::new(), 0usize);
    for Report { job, phase, results, learned } in reports {
        let mut part = Report { job, phase, results: Vec::with_capacity(results.len()), learned };
        filled = filled.saturating_add(32);
        for result in results {
            let size = result.remote.len().saturating_add(result.text.len()).saturating_add(result.tls.len()).saturating_add(32);
            if filled.saturating_add(size) > FRAME_ESTIMATE {
                if !part.results.is_empty() {
                    frame.push(std::mem::replace(&mut part, Report { job, phase, results: Vec::new(), learned: Learned::default() }));
                }
                frames.push(std::mem::take(&mut frame));
                filled = 64;
            }
            filled = filled.saturating_add(size);
            part.results.push(result);
        }
        frame.push(part);
    }
    frames.push(frame);
    frames.retain(|frame| !frame.is_empty());
    frames
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use ipc::agents::RecipientResult;
    use ipc::channel::pair;
    use status::{Enhanced, Outcome, Phase};
    use std::time::{Duration, Instant};

    #[test]
    fn many_long_results_arrive_in_order_whatever_frames_they_need() {
        let (ours, theirs) = pair().unwrap();
        let mut link = Link::new(Channel::new(ours).unwrap());
        let mut scheduler: Channel<ToAgent, ToScheduler> = Channel::new(theirs).unwrap();
        let sizes = [0, 1, 100, 1000, 3, 200];
        for (job, size) in (0u64..).zip(sizes) {
            let result = |index| {
                RecipientResult::new(index, Outcome::Deferred, Enhanced::transient(0, 0), "mx.example.org [192.0.2.1]:25", "x".repeat(512))
            };
            let _ = link.report(Report::new(job, Phase::Transaction, (0..size).map(result).collect()));
        }
        link.flush().unwrap();
        let mut seen: Vec<Vec<u32>> = vec![Vec::new(); sizes.len()];
        while seen.iter().map(Vec::len).sum::<usize>() < 1304 {
            link.flush().unwrap();
            let (frame, _) = scheduler.recv_by(Instant::now() + Duration::from_secs(20)).unwrap();
            let ToScheduler::Reports(reports) = frame else { panic!() };
            for report in reports {
                seen[usize::try_from(report.job).unwrap()].extend(report.results.iter().map(|r| r.index));
            }
        }
        for (indices, size) in seen.iter().zip(sizes) {
            assert_eq!(*indices, (0..size).collect::<Vec<u32>>());
        }
    }
}
