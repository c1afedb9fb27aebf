//! When reports are due, and what is left of the counts afterwards. Time is passed in.

use crate::journal::Journal;
use crate::pool::Sent;
use crate::report::{DAY, Report};
use crate::tally::Day;
use std::collections::HashMap;

/// What could not be sent is tried again after this, and given up with the day after some days.
const RETRY: u64 = 3600;
const KEEP_DAYS: u64 = 3;
/// Reports of days that are over leave so long after midnight (UTC) at the earliest and at the latest: not everybody's at
/// once (RFC 8460 section 4.1).
const EARLIEST: u64 = 300;
const SPREAD: u64 = 3600;
/// After a start, where reports of days before wait.
const SETTLE: u64 = 60;

/// Sends the day's reports.
#[derive(Debug)]
pub struct Reporter {
    next: u64,
    /// Seconds after midnight.
    offset: u64,
    in_flight: HashMap<Day, usize>,
}

impl Reporter {
    /// `random`: any number; which part of the hour is ours.
    pub fn new(journal: &Journal, random: u64, now: u64) -> Self {
        let mut reporter = Self { next: 0, offset: EARLIEST + random % SPREAD, in_flight: HashMap::new() };
        let today = now / DAY;
        let of_today = today.saturating_mul(DAY).saturating_add(reporter.offset);
        let waiting = journal.tally.days.range(..today).next().is_some();
        reporter.next = if waiting { of_today.max(now + SETTLE) } else { reporter.tomorrow(now) };
        reporter
    }

    /// Unix seconds.
    pub const fn next(&self) -> u64 {
        self.next
    }

    const fn tomorrow(&self, now: u64) -> u64 {
        (now / DAY + 1).saturating_mul(DAY).saturating_add(self.offset)
    }

    /// The reports to send now: of the days that are over; with `today` of the running day too.
    pub fn due(&mut self, journal: &mut Journal, now: u64, today: bool) -> Vec<(Day, Report)> {
        let (this, mut reports) = (now / DAY, Vec::new());
        let days: Vec<Day> = journal.tally.days.range(..this + u64::from(today)).map(|(day, _)| *day).collect();
        for day in days {
            if day.saturating_add(KEEP_DAYS) < this {
                daemon::event!(Warning, "reports_given_up", day = day, domains = journal.tally.days.get(&day).map_or(0, |d| d.len()));
                journal.remove(day);
                continue;
            }
            let domains: Vec<String> = journal.tally.days.get(&day).into_iter().flatten().map(|(domain, _)| domain.clone()).collect();
            for domain in domains {
                let Some(counted) = journal.tally.take(day, &domain) else { continue };
                if counted.is_only_ours() {
                    heed(journal.done(day, &domain));
                    continue;
                }
                *self.in_flight.entry(day).or_default() += 1;
                reports.push((day, Report::new(day, now, domain, counted)));
            }
            self.close(journal, day, now);
        }
        self.next = if reports.is_empty() { self.tomorrow(now) } else { now.saturating_add(RETRY).min(self.tomorrow(now)) };
        reports
    }

    /// What became of one.
    pub fn settled(&mut self, journal: &mut Journal, day: Day, report: &Report, sent: &Sent, now: u64) {
        if let Some(open) = self.in_flight.get_mut(&day) {
            *open = open.saturating_sub(1);
        }
        match sent {
            Sent::Failed(_) => journal.tally.put_back(day, &report.domain, &report.counted),
            Sent::NotWanted => heed(journal.done(day, &report.domain)),
            Sent::Out { mails, .. } => {
                heed(journal.done(day, &report.domain));
                for (_, to) in mails {
                    // The mail itself makes a session with that domain today.
                    if let Some(domain) = to.rsplit_once('@').and_then(|(_, domain)| address::normalise(domain).ok()) {
                        heed(journal.own(now / DAY, &domain));
                    }
                }
            }
        }
        self.close(journal, day, now);
    }

    /// A day that is over and has nothing left.
    fn close(&mut self, journal: &mut Journal, day: Day, now: u64) {
        let open = self.in_flight.get(&day).is_some_and(|open| *open > 0);
        if !open && day < now / DAY && journal.tally.days.get(&day).is_none_or(std::collections::BTreeMap::is_empty) {
            self.in_flight.remove(&day);
            journal.remove(day);
        }
    }
}

/// Counts that cannot be written are counts lost at the next start, no more.
pub fn heed(written: std::io::Result<()>) {
    if let Err(e) = written {
        daemon::event!(Warning, "results_not_written", reason = e);
    }
}
