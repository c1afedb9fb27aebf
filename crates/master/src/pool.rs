//! Which worker takes a connection, and how many workers there should be. Decisions only.

/// A worker as the choice sees it.
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    /// The key of the child.
    pub key: usize,
    pub sessions: u32,
    pub generation: u32,
}

/// The least loaded worker of the newest generation that has a free place.
pub fn choose(candidates: impl Iterator<Item = Candidate>, places: u32) -> Option<usize> {
    candidates.filter(|c| c.sessions < places).min_by_key(|c| (std::cmp::Reverse(c.generation), c.sessions, c.key)).map(|c| c.key)
}

/// What the number of workers should become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Keep,
    Grow,
    Shrink,
}

/// The pool as the decision sees it.
#[derive(Debug, Clone, Copy)]
pub struct Pool {
    /// Places for workers that exist, started or not.
    pub workers: u32,
    /// Sessions over all of them.
    pub sessions: u32,
    /// Sessions one worker takes.
    pub places: u32,
    /// One of them is still starting.
    pub starting: bool,
}

/// Grows by one while fewer than `spare` places are free (and nobody is on the way); shrinks by one where the others
/// would still have twice the spare places, so that it does not swing.
pub fn change(pool: Pool, settings: &settings::Processes) -> Change {
    let (least, most) = (u32::from(settings.smtpserver_min).max(1), u32::from(settings.smtpserver_max).max(1));
    let free = |workers: u32| workers.saturating_mul(pool.places).saturating_sub(pool.sessions);
    if pool.workers < least {
        return Change::Grow;
    }
    if pool.workers < most.max(least) && !pool.starting && free(pool.workers) < settings.spare_sessions {
        return Change::Grow;
    }
    if pool.workers > least && !pool.starting && free(pool.workers - 1) >= settings.spare_sessions.saturating_mul(2) {
        return Change::Shrink;
    }
    Change::Keep
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn candidate(key: usize, sessions: u32, generation: u32) -> Candidate {
        Candidate { key, sessions, generation }
    }

    #[test]
    fn least_loaded_of_the_newest_generation() {
        let all = [candidate(1, 0, 1), candidate(2, 5, 2), candidate(3, 4, 2), candidate(4, 9, 2)];
        assert_eq!(choose(all.iter().copied(), 10), Some(3));
        assert_eq!(choose(all.iter().copied(), 4), Some(1));
        assert_eq!(choose(all.iter().copied(), 0), None);
    }

    #[test]
    fn grows_and_shrinks_without_swinging() {
        let processes = settings::parse(crate::tests::SMALLEST, "t").unwrap().processes;
        let processes = settings::Processes { smtpserver_min: 1, smtpserver_max: 3, spare_sessions: 10, ..processes };
        let pool = |workers, sessions| Pool { workers, sessions, places: 100, starting: false };
        assert_eq!(change(pool(0, 0), &processes), Change::Grow);
        assert_eq!(change(pool(1, 90), &processes), Change::Keep);
        assert_eq!(change(pool(1, 91), &processes), Change::Grow);
        assert_eq!(change(Pool { starting: true, ..pool(1, 91) }, &processes), Change::Keep);
        assert_eq!(change(pool(2, 91), &processes), Change::Keep);
        assert_eq!(change(pool(2, 80), &processes), Change::Shrink);
        assert_eq!(change(pool(3, 299), &processes), Change::Keep);
    }
}
