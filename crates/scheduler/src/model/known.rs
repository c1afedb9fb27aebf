//! The text of what is known about sites: one line a site, channel, name, then numbers.
//!
//! It is not synced, so a power cut may tear it anywhere: what does not read back whole is left out.

use std::collections::HashMap;
use std::fmt::Write;
use std::ops::RangeInclusive;

/// Sites remembered.
pub const MOST: usize = 10_000;
/// Longest name kept.
pub const NAME: usize = 1100;
pub const HEAD: &str = "zpost sites 1\n";
/// Largest number believed of a window or a limit.
const LARGE: u32 = 100_000;

/// What LIMITS (RFC 9422) has said; 0: nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LearnedLimits {
    pub mail_max: u32,
    pub rcpt_max: u32,
    pub rcpt_domain_max: u32,
}

/// The sites of a text that were used within `fresh` (Unix seconds), by channel and name. Of a torn text those before the
/// tear: a line counts only with its end, for half a number is a number too.
pub fn read_text(text: &str, fresh: RangeInclusive<u64>) -> HashMap<(String, String), Known> {
    let Some(lines) = text.strip_prefix(HEAD) else { return HashMap::new() };
    let whole = lines.split_inclusive('\n').filter_map(|line| Known::read(line.strip_suffix('\n')?));
    whole.filter(|(_, known)| fresh.contains(&known.used)).take(MOST).collect()
}

/// One site; moments in Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub size: u32,
    /// 0: none.
    pub ceiling: u32,
    pub lift: u64,
    pub probes: u32,
    pub until: u64,
    pub learned: LearnedLimits,
    pub used: u64,
}

impl Known {
    /// Appends the line of a site.
    pub fn line(&self, channel: &str, name: &str, text: &mut String) {
        let Self { size, ceiling, lift, probes, until, learned: l, used } = self;
        let limits = format_args!("{} {} {}", l.mail_max, l.rcpt_max, l.rcpt_domain_max);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{channel} {name} {size} {ceiling} {lift} {probes} {until} {limits} {used}");
    }

    /// The site of a line without its end; `None`: it is none of ours, or torn.
    pub fn read(line: &str) -> Option<((String, String), Self)> {
        let mut words = line.split(' ');
        let (channel, name) = (words.next()?, words.next()?);
        let sane = !channel.is_empty() && channel.len() <= 64 && name.len() > 1 && name.len() <= NAME + 1;
        let graphic = channel.bytes().chain(name.bytes()).all(|b| b.is_ascii_graphic()) && name.starts_with(['@', '%', '=']);
        let mut number = |most: u64| words.next()?.parse::<u64>().ok().filter(|n| *n <= most);
        let mut small = || number(u64::from(LARGE)).and_then(|n| u32::try_from(n).ok());
        let (size, ceiling) = (small()?, small()?);
        let lift = number(u64::MAX)?;
        let probes = u32::try_from(number(u64::from(LARGE))?).ok()?;
        let until = number(u64::MAX)?;
        let mut small = || number(u64::from(LARGE)).and_then(|n| u32::try_from(n).ok());
        let learned = LearnedLimits { mail_max: small()?, rcpt_max: small()?, rcpt_domain_max: small()? };
        let used = number(u64::MAX)?;
        let whole = words.next().is_none() && size > 0 && sane && graphic;
        whole.then(|| ((channel.to_owned(), name.to_owned()), Self { size, ceiling, lift, probes, until, learned, used }))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_reads_back() {
        let learned = LearnedLimits { mail_max: 1, rcpt_max: 20, rcpt_domain_max: 1 };
        let known = Known { size: 5, ceiling: 5, lift: 1_800_000_600, probes: 2, until: 1_800_000_300, learned, used: 1_800_000_000 };
        let mut text = String::new();
        known.line("smtp", "%mx1.example,mx2.example", &mut text);
        assert_eq!(text, "smtp %mx1.example,mx2.example 5 5 1800000600 2 1800000300 1 20 1 1800000000\n");
        assert_eq!(Known::read(text.trim_end()), Some((("smtp".into(), "%mx1.example,mx2.example".into()), known)));
    }

    proptest! {
        #[test]
        fn any_line(line in "\\PC{0,200}|smtp @[a-z.]{1,9}( [0-9]{1,20}){8,10}") {
            if let Some(((channel, name), known)) = Known::read(&line) {
                let mut text = String::new();
                known.line(&channel, &name, &mut text);
                prop_assert_eq!(Known::read(text.trim_end()).unwrap().1, known);
            }
        }
    }

    #[test]
    fn a_text_torn_anywhere_gives_its_whole_lines() {
        let line = |n: u32| format!("smtp @h{n}.example {n} 5 1800000600 2 1800000300 1 20 1 1800000000\n");
        let text = format!("{HEAD}{}", (1..5).map(line).collect::<String>());
        let fresh = || 1_799_999_000..=1_800_000_010;
        let all = read_text(&text, fresh());
        assert_eq!(all.len(), 4);
        for cut in 0..text.len() {
            let torn = &text[..cut];
            let known = read_text(torn, fresh());
            let whole = torn.strip_prefix(HEAD).map_or(0, |lines| lines.matches('\n').count());
            assert_eq!(known.len(), whole, "{torn}");
            assert!(known.iter().all(|(site, known)| all.get(site) == Some(known)), "{torn}");
            // A hole, as a filesystem leaves it that had the length on disk and not yet the bytes.
            let hole = format!("{torn}{}", "\0".repeat(text.len() - cut));
            assert!(read_text(&hole, fresh()).iter().all(|(site, known)| all.get(site) == Some(known)), "{hole}");
        }
    }
}
