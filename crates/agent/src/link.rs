//! The agent's end of the job conversation.
use ipc::agents::{Job, Report, ToAgent, ToScheduler};
use ipc::{Channel, RecvError};
use std::fs::File;
use std::io;

/// The job conversation; register `channel` with mio.
#[derive(Debug)]
pub struct Link {
    pub channel: Channel<ToScheduler, ToAgent>,
    reports: Vec<Report>,
}
/// What the scheduler sent.
#[derive(Debug)]
pub enum Incoming {
    Jobs(Vec<(Job, File)>),
    Drain,
}
impl Link {
    pub fn new(channel: Channel<ToScheduler, ToAgent>) -> Self { Self { channel, reports: Vec::new() } }
    /// The next frame; a count of descriptors that differs from the jobs' is `Malformed`.
    pub fn recv(&mut self) -> Result<Option<Incoming>, RecvError> {
        let Some((frame, descriptors)) = self.channel.recv()? else { return Ok(None) };
        match frame {
            ToAgent::Jobs(jobs) if jobs.len() == descriptors.len() => {
                Ok(Some(Incoming::Jobs(jobs.into_iter().zip(descriptors.into_iter().map(File::from)).collect())))
            }
            ToAgent::Jobs(_) => Err(RecvError::Malformed("jobs and descriptors differ in number")),
            ToAgent::Drain => Ok(Some(Incoming::Drain)),
        }
    }
    pub fn credit(&mut self, jobs: u32) -> io::Result<()> { self.channel.send(&ToScheduler::Credit(jobs)) }
    /// Keeps a report until [`Link::flush`], so that one frame carries what one turn of the loop brought.
    pub fn report(&mut self, report: Report) { self.reports.push(report); }
    /// Sends the kept reports and whatever still waits for the socket.
    pub fn flush(&mut self) -> io::Result<()> {
        for chunk in self.reports.chunks(64) {
            self.channel.send(&ToScheduler::Reports(chunk.to_vec()))?;
        }
        self.reports.clear();
        self.channel.flush()
    }
}
