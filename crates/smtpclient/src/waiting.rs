//! Jobs that wait for a session: the scheduler sends a few more than there may be sessions of a site, so that none is idle
//! while the next job is on its way.

use crate::work::Work;
use std::collections::{HashMap, VecDeque};

/// The jobs of one site.
#[derive(Debug, Default)]
struct Site {
    /// With a session, or on their way to one.
    under_way: u32,
    waiting: VecDeque<Box<Work>>,
}

/// The jobs of all sites that have any.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    sites: HashMap<u32, Site>,
    /// Sites where a job has ended: the next may begin.
    free: Vec<u32>,
}

impl Waiting {
    /// A job that has come: back at once if it may begin now.
    pub fn admit(&mut self, work: Box<Work>) -> Option<Box<Work>> {
        let (number, most) = (work.sharing.site, work.sharing.sessions);
        let site = self.sites.entry(number).or_default();
        if most == 0 || site.under_way < most {
            site.under_way = site.under_way.saturating_add(1);
            return Some(work);
        }
        site.waiting.push_back(work);
        None
    }

    /// A job of a site has ended.
    pub fn ended(&mut self, number: u32) {
        let Some(site) = self.sites.get_mut(&number) else { return };
        site.under_way = site.under_way.saturating_sub(1);
        if !site.waiting.is_empty() {
            self.free.push(number);
        } else if site.under_way == 0 {
            self.sites.remove(&number);
        }
    }

    /// The next job that may begin.
    pub fn next(&mut self) -> Option<Box<Work>> {
        loop {
            let number = self.free.pop()?;
            let Some(site) = self.sites.get_mut(&number) else { continue };
            // The place may have been taken meanwhile; who has it will make it free again.
            let room = |work: &Work| work.sharing.sessions == 0 || site.under_way < work.sharing.sessions;
            if site.waiting.front().is_some_and(|work| room(work))
                && let Some(work) = site.waiting.pop_front()
            {
                site.under_way = site.under_way.saturating_add(1);
                return Some(work);
            }
        }
    }

    /// Takes what waits for a site whose server cannot be reached.
    pub fn give_up(&mut self, number: u32) -> VecDeque<Box<Work>> {
        self.sites.get_mut(&number).map(|site| std::mem::take(&mut site.waiting)).unwrap_or_default()
    }
}
