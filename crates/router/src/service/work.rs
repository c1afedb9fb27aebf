//! A turn of work: frames of the routermux, files between them, what threads of volumes have done.

use super::{End, Service, closed};
use crate::hand::Report;
use crate::lines::{Lines, News, count_parked};
use crate::shadow::Noted;
use daemon::log;
use ipc::RecvError;
use ipc::routing::{FromRouter, ToRouter};
use std::time::{Duration, Instant};

/// Files routed before the socket is looked at for questions again.
const FILES_A_TURN: usize = 4;
/// Frames taken before a file gets its turn.
const FRAMES_A_TURN: usize = 64;
/// Frames taken between two looks at the clock.
const FRAMES_A_LOOK: usize = 8;
/// Work before the master, signals, tables and what waits for them are looked at: long beside what that costs, short beside
/// anything that anybody waits for.
const TURN: Duration = Duration::from_millis(20);

impl Service {
    /// Until nothing is left to do, or it is time for others; true: something is left.
    pub(super) fn work(&mut self) -> Result<bool, End> {
        self.jobs.flush().map_err(closed)?;
        self.finished()?;
        let end = Instant::now() + TURN;
        loop {
            let emptied = self.frames(end)?;
            self.vitals.report(self.router.addresses, &mut self.jobs).map_err(closed)?;
            if !self.hand.has_work() && emptied {
                return Ok(false);
            }
            self.files()?;
            if Instant::now() >= end {
                return Ok(true);
            }
        }
    }

    /// Takes frames; true when the socket holds no more.
    fn frames(&mut self, end: Instant) -> Result<bool, End> {
        for number in 0..FRAMES_A_TURN {
            if number % FRAMES_A_LOOK == FRAMES_A_LOOK - 1 && Instant::now() >= end {
                break;
            }
            match self.jobs.recv() {
                Ok(None) => return Ok(true),
                Ok(Some((ToRouter::Files(names), _))) => {
                    self.leaving = self.leaving.map(|_| Instant::now());
                    self.take(names)?;
                }
                Ok(Some((ToRouter::Ask(ask), _))) => {
                    self.started.counters.add("questions", 1);
                    self.router.addresses += 1;
                    if let Some((observer, noted)) = self.router.observer.as_ref().zip(Noted::question(&ask.question)) {
                        let _ = observer.try_send(noted);
                    }
                    self.question(ask)?;
                }
                Err(RecvError::Closed) => return Err(End::Done),
                Err(e) => return Err(End::Failed(format!("routermux: {e}"))),
            }
        }
        Ok(false)
    }

    fn take(&mut self, names: Vec<String>) -> Result<(), End> {
        let Some(lines) = &self.lines else {
            if !self.hand.has_work() {
                self.signs.rested();
            }
            self.hand.take(names);
            return Ok(());
        };
        let files = names.clone();
        if lines.route(names) {
            return Ok(());
        }
        // Of a volume that is missing here; the routermux has it, so its scan brings them again.
        self.jobs.send(&FromRouter::Done(files)).map_err(closed)
    }

    /// What the threads of the volumes have done.
    fn finished(&mut self) -> Result<(), End> {
        while let Some(news) = self.lines.as_ref().and_then(Lines::news) {
            let mut finished = match news {
                News::Finished(finished) => finished,
                News::Begun(name) => {
                    self.jobs.send(&FromRouter::Begun(name)).map_err(closed)?;
                    continue;
                }
            };
            self.router.addresses = self.router.addresses.saturating_add(finished.addresses);
            self.leaving = self.leaving.map(|_| Instant::now());
            log::flush();
            self.scheduler.tell(&mut finished.arrived);
            self.report(finished.report)?;
        }
        Ok(())
    }

    fn files(&mut self) -> Result<(), End> {
        for _ in 0..FILES_A_TURN {
            let before = self.hand.parked();
            let (router, signs, mut begun) = (&mut self.router, &mut self.signs, None);
            let jobs = &mut self.jobs;
            let report = self.hand.next(&mut |name, pass| {
                if signs.begins(pass.began) {
                    begun = jobs.send(&FromRouter::Begun(name.to_owned())).err();
                }
                router.route_file(name, pass)
            });
            if let Some(error) = begun {
                return Err(closed(error));
            }
            count_parked(&self.started.counters, before, self.hand.parked());
            if let Some(report) = report {
                self.through(report)?;
            }
        }
        Ok(())
    }

    pub(crate) fn through(&mut self, report: Report) -> Result<(), End> {
        // The log first: once the routermux knows, a reader of the log may look for the lines.
        log::flush();
        self.scheduler.tell(&mut self.router.arrived);
        self.report(report)
    }

    fn report(&mut self, report: Report) -> Result<(), End> {
        if !report.parked.is_empty() {
            self.jobs.send(&FromRouter::Parked(report.parked)).map_err(closed)?;
        }
        if !report.done.is_empty() {
            self.jobs.send(&FromRouter::Done(report.done)).map_err(closed)?;
        }
        Ok(())
    }
}
