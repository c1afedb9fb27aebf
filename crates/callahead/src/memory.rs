//! What next hops have said, kept beyond the end of the process in `callahead/answers` of the postoffice; see
//! `statefile::Journal`. That nobody said is not kept: it holds for a minute.
//!
//! ```text
//! y CHANNEL HOST RECIPIENT REFRESH ENDS                   taken; milliseconds of the clock
//! n CHANNEL HOST RECIPIENT REFRESH ENDS CODE STATUS TEXT  refused, with the reply; - for no status
//! ```

use crate::cache::{Answer, Cache, Key, Known};
use crate::hop::Name;
use ipc::callahead::Verdict;
use settings::CallAhead;
use statefile::{Clock, Journal, lines};
use status::Reply;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

/// What is new waits so long for more.
const PATIENCE: Duration = Duration::from_secs(1);
/// Answers that are kept on disk, the last ones: about 150 bytes each, and as much again until the file is written anew.
const MOST_KEPT: usize = 250_000;

/// The cache, kept.
#[derive(Debug)]
pub struct Memory {
    cache: Cache,
    journal: Journal,
}

impl Memory {
    /// What the folder holds of those before us, no longer than is configured now.
    pub fn open(folder: &Path, terms: &CallAhead) -> Self {
        let mut cache = Cache::new(terms.entries);
        let now = Instant::now();
        let journal = Journal::open(folder, "answers", PATIENCE, |clock, line| {
            let (key, answer) = parse(clock, line)?;
            let ttl = if answer.verdict == Verdict::Taken { terms.taken_ttl } else { terms.refused_ttl };
            let ends = answer.ends.min(now + ttl);
            let refresh_at = answer.refresh_at.min(ends);
            // One that is over may stand in the way of nothing: it was the last of this key.
            cache.put(key, Answer { ends, refresh_at, ..answer });
            Some(())
        });
        Self { cache, journal }
    }

    pub fn len(&self) -> usize {
        self.cache.len()
    }

    pub fn resize(&mut self, most: usize) {
        self.cache.resize(most);
    }

    pub fn find(&mut self, key: &Key, now: Instant) -> Option<Known> {
        self.cache.find(key, now)
    }

    /// Keeps a verdict for `ttl`.
    pub fn insert(&mut self, key: Key, verdict: Verdict, ttl: Duration, now: Instant) {
        let said = !matches!(verdict, Verdict::Unknown(_));
        self.cache.insert(key.clone(), verdict, ttl, now);
        let clock = self.journal.clock();
        if let Some(answer) = self.cache.answer(&key).filter(|_| said) {
            self.journal.note(format_args!("{}", Line(&clock, &key, answer)), now);
        }
    }

    /// Writes what is due.
    pub fn work(&mut self, now: Instant) {
        let (cache, clock) = (&self.cache, self.journal.clock());
        self.journal.work(now, |write| all(cache, &clock, now, write));
    }

    pub fn wake(&self) -> Option<Instant> {
        self.journal.wake()
    }

    /// The last that is written.
    pub fn finish(&mut self) {
        let (cache, clock) = (&self.cache, self.journal.clock());
        self.journal.finish(|write| all(cache, &clock, Instant::now(), write));
    }
}

fn all(cache: &Cache, clock: &Clock, now: Instant, write: &mut dyn FnMut(fmt::Arguments<'_>)) {
    let kept = |(_, answer): &(&Key, &Answer)| answer.ends > now && !matches!(answer.verdict, Verdict::Unknown(_));
    let last: Vec<(&Key, &Answer)> = cache.all().rev().filter(kept).take(MOST_KEPT).collect();
    last.iter().rev().for_each(|(key, answer)| write(format_args!("{}", Line(clock, key, answer))));
}

struct Line<'a>(&'a Clock, &'a Key, &'a Answer);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(clock, Key { hop, recipient }, answer) = self;
        let kind = if answer.verdict == Verdict::Taken { 'y' } else { 'n' };
        write!(f, "{kind} {} {} {}", lines::escape(&hop.channel), lines::escape(&hop.host), lines::escape(recipient))?;
        write!(f, " {} {}", clock.at(answer.refresh_at).as_millis(), clock.at(answer.ends).as_millis())?;
        if let Verdict::Refused(reply) = &answer.verdict {
            let status = reply.status.map_or_else(|| "-".to_owned(), |status| status.to_string());
            write!(f, " {} {status} {}", reply.code, lines::escape(&reply.text))?;
        }
        Ok(())
    }
}

/// Whatever a line says, a reply is one that refuses, and of one line.
fn parse(clock: &Clock, line: &str) -> Option<(Key, Answer)> {
    let mut words = line.split(' ');
    let kind = words.next()?;
    let mut text = || lines::unescape(words.next()?);
    let key = Key { hop: Name { channel: text()?, host: text()? }, recipient: text()? };
    // What is over already ends now.
    let mut moment = || Some(clock.moment(Duration::from_millis(words.next()?.parse().ok()?)).unwrap_or_else(|| clock.began()));
    let (refresh_at, ends) = (moment()?, moment()?);
    let verdict = match kind {
        "y" => Verdict::Taken,
        "n" => {
            let code = words.next()?.parse().ok().filter(|code| (500..600).contains(code))?;
            let status = match words.next()? {
                "-" => None,
                status => Some(status.parse().ok()?),
            };
            let text = lines::unescape(words.next()?).filter(|text| !text.contains(char::is_control))?;
            Verdict::Refused(Reply { code, status, text })
        }
        _ => return None,
    };
    words.next().is_none().then_some((key, Answer { verdict, refresh_at, ends }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use status::Enhanced;

    const HOUR: Duration = Duration::from_secs(3600);

    fn terms(more: &str) -> CallAhead {
        let text = format!(
            "[paths]\npostoffice = \"/p\"\n[identity]\nhostname = \"us.example\"\n[call_ahead]\ndomains = [\"ours.example\"]\n{more}"
        );
        settings::parse(&text, "x").unwrap().call_ahead
    }

    fn key(recipient: &str) -> Key {
        Key { hop: Name { channel: "smtp".into(), host: "[192.0.2.1]:2525".into() }, recipient: recipient.into() }
    }

    fn refused() -> Verdict {
        Verdict::Refused(Reply::new(550, Enhanced::permanent(1, 1), "no such user  here %"))
    }

    #[test]
    fn answers_outlive_the_process_and_end_when_they_would_have() {
        let folder = tempfile::tempdir().unwrap();
        let (terms, now) = (terms("taken_ttl = \"4h\"\nrefused_ttl = \"2h\"\n"), Instant::now());
        let mut memory = Memory::open(folder.path(), &terms);
        memory.insert(key("a@ours.example"), Verdict::Taken, terms.taken_ttl, now);
        memory.insert(key("\"b b\"@ours.example"), refused(), terms.refused_ttl, now);
        memory.insert(key("c@ours.example"), Verdict::Unknown("away".into()), HOUR, now);
        assert!(memory.wake().is_some_and(|at| at <= now + PATIENCE));
        memory.finish();
        let mut next = Memory::open(folder.path(), &terms);
        let soon = Instant::now() + HOUR;
        assert_eq!(next.find(&key("a@ours.example"), soon), Some(Known { verdict: Verdict::Taken, refresh: false }));
        assert_eq!(next.find(&key("\"b b\"@ours.example"), soon), Some(Known { verdict: refused(), refresh: false }));
        assert_eq!((next.find(&key("c@ours.example"), soon), next.len()), (None, 2));
        let later = soon + HOUR + HOUR / 2;
        assert!(next.find(&key("a@ours.example"), later).unwrap().refresh);
        assert!(next.find(&key("\"b b\"@ours.example"), later).is_none());
        // Refused meanwhile: the later line counts.
        next.insert(key("a@ours.example"), refused(), terms.refused_ttl, Instant::now());
        next.finish();
        let mut last = Memory::open(folder.path(), &terms);
        assert_eq!(last.find(&key("a@ours.example"), soon), Some(Known { verdict: refused(), refresh: false }));
    }

    #[test]
    fn no_answer_holds_longer_than_is_configured_now_and_no_more_are_kept_than_fit() {
        let folder = tempfile::tempdir().unwrap();
        let mut memory = Memory::open(folder.path(), &terms("taken_ttl = \"4h\"\n"));
        (0..300).for_each(|n| memory.insert(key(&n.to_string()), Verdict::Taken, HOUR * 4, Instant::now()));
        memory.finish();
        let mut next = Memory::open(folder.path(), &terms("taken_ttl = \"1h\"\nentries = 100\n"));
        let now = Instant::now();
        assert_eq!((next.len(), next.find(&key("0"), now)), (100, None));
        assert!(next.find(&key("299"), now).is_some() && next.find(&key("299"), now + HOUR).is_none());
    }

    proptest! {
        #[test]
        fn lines_are_read_as_they_are_written(host in ".{1,40}", recipient in ".{1,40}", text in "[ -~]{0,40}", code in 500u16..600, left in 1u64..1 << 30) {
            let clock = Clock::since([].into_iter(), 1_000_000);
            let key = Key { hop: Name { channel: "lmtp".into(), host }, recipient };
            let ends = clock.began() + Duration::from_millis(left);
            for verdict in [Verdict::Taken, Verdict::Refused(Reply { code, status: None, text })] {
                let answer = Answer { verdict, refresh_at: clock.began(), ends };
                prop_assert_eq!(parse(&clock, &Line(&clock, &key, &answer).to_string()), Some((key.clone(), answer)));
            }
        }

        #[test]
        fn any_line_is_read(line in "[ynt]( [a-z0-9:.%-]{0,20}){0,9}") {
            if let Some((_, Answer { verdict: Verdict::Refused(reply), .. })) = parse(&Clock::since([].into_iter(), 5), &line) {
                prop_assert!(reply.code / 100 == 5 && !reply.text.contains(char::is_control));
            }
        }
    }
}
