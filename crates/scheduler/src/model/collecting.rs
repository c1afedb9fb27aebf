//! Which recipients of a share make a job.

use super::Model;
use super::entry::{Course, State};

/// A job's recipients take at most so many bytes: with the rest of it, one always fits into a frame.
const MOST_BYTES: usize = 80 * 1024;
/// Recipients in a job when each has a sender of its own.
const MOST_PARTS: usize = 32;

impl Model {
    /// The next ready members of a share, as many as a job takes, and those on the way that a freeze keeps.
    pub(super) fn collect(&mut self, share_key: u32) -> (Vec<u32>, Vec<u32>) {
        let (mut found, mut frozen) = (Vec::new(), Vec::new());
        let Some(share) = self.shares.get_mut(share_key) else { return (found, frozen) };
        let Some(destination) = self.destinations.get(share.destination) else { return (found, frozen) };
        let learned = self.sites.get(destination.site).map(|site| site.learned).unwrap_or_default();
        let most = clamped(destination.rules.policy.recipients_per_job, learned.rcpt_max) as usize;
        let mut domains = Domains::new(learned.rcpt_domain_max);
        let Some(message) = self.messages.get(share.message) else { return (found, frozen) };
        // A transaction each, and the job is over with the last of them.
        let most = if message.is_parted(share.form) { most.min(MOST_PARTS) } else { most };
        let (count, course, want) = (share.members.len(), share.members.course(), most.min(share.ready as usize));
        let keeper = self.freezes.keeper(&self.lanes, destination, course);
        found.reserve_exact(want);
        let mut bytes = 0;
        for _ in 0..count {
            let position = share.members.at(share.cursor);
            let recipient = position.and_then(|position| message.recipients.get(position as usize));
            if let (Some(position), Some(recipient)) = (position, recipient)
                && recipient.state == State::Ready
                && recipient.course == course
            {
                if let Some(keeper) = &keeper
                    && keeper.keeps(&message.sender, recipient.address())
                {
                    frozen.push(position);
                    share.cursor = if share.cursor + 1 >= count { 0 } else { share.cursor + 1 };
                    continue;
                }
                bytes += recipient.weight();
                if (bytes > MOST_BYTES && !found.is_empty()) || !domains.admit(&recipient.user) {
                    break;
                }
                found.push(position);
            }
            share.cursor = if share.cursor + 1 >= count { 0 } else { share.cursor + 1 };
            if found.len() >= want {
                break;
            }
        }
        if course == Course::Warning {
            // Who makes the trip a second time stands in the list twice.
            found.sort_unstable();
            found.dedup();
        }
        (found, frozen)
    }
}

/// A limit of the policy, and what the server has said; 0: nothing.
fn clamped(policy: u32, learned: u32) -> u32 {
    if learned == 0 { policy.max(1) } else { policy.min(learned).max(1) }
}

/// The recipients' domains of one job, where the server takes only so many (RCPTDOMAINMAX, RFC 9422).
struct Domains {
    most: usize,
    seen: Vec<String>,
}

impl Domains {
    fn new(most: u32) -> Self {
        Self { most: most as usize, seen: Vec::new() }
    }

    /// False: the domain would be one too many.
    fn admit(&mut self, address: &str) -> bool {
        let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
        if self.most == 0 || self.seen.iter().any(|seen| seen.eq_ignore_ascii_case(domain)) {
            return true;
        }
        self.seen.push(domain.to_owned());
        self.seen.len() <= self.most
    }
}
