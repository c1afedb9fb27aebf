//! Rates (`100/1m`), hours of the week (`Mon-Fri 08:00-18:00`) and factors (`1 1 2 3 5`).

use crate::units;
use std::fmt;
use std::time::Duration;

/// So many in so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub count: u32,
    pub per: Duration,
}

/// When something is allowed; no windows: always. Times in minutes of the day, days from Monday, 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hours(Vec<Window>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    /// Bit 0: Monday. The day on which the window begins.
    days: u8,
    from: u16,
    /// Less than `from`: on the next day. 1440: midnight.
    to: u16,
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY: u16 = 24 * 60;

impl Rate {
    pub fn parse(text: &str) -> Option<Self> {
        let (count, per) = text.split_once('/')?;
        let per = Some(per.trim()).filter(|per| !per.is_empty())?;
        let per = if per.starts_with(|c: char| c.is_ascii_digit()) { units::duration(per) } else { units::duration(&format!("1{per}")) }?;
        let count = count.trim().parse().ok()?;
        (count > 0 && (Duration::from_secs(1)..=Duration::from_secs(7 * 86_400)).contains(&per)).then_some(Self { count, per })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, units::print_duration(u64::try_from(self.per.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl Hours {
    pub fn parse(text: &str) -> Option<Self> {
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(window).collect::<Option<_>>().map(Self)
    }

    pub fn is_always(&self) -> bool {
        self.0.is_empty()
    }

    /// Is this minute (0 to 10,079, from Monday 00:00) inside?
    pub fn allow(&self, minute_of_week: u16) -> bool {
        let (day, minute) = (minute_of_week / DAY, minute_of_week % DAY);
        let yesterday = if day == 0 { 6 } else { day - 1 };
        self.is_always()
            || self.0.iter().any(|w| {
                let begins = |day: u16| w.days & (1 << day) != 0;
                if w.from < w.to {
                    begins(day) && (w.from..w.to).contains(&minute)
                } else {
                    (begins(day) && minute >= w.from) || (begins(yesterday) && minute < w.to)
                }
            })
    }

    /// Minutes from this one to the next that is allowed; 0: this one is.
    pub fn wait(&self, minute_of_week: u16) -> u16 {
        (0..7 * DAY).find(|wait| self.allow((minute_of_week + wait) % (7 * DAY))).unwrap_or(7 * DAY)
    }
}

fn window(text: &str) -> Option<Window> {
    let (days, times) = text.rsplit_once(' ').map_or((Some(0x7f), text), |(days, times)| (read_days(days.trim()), times));
    let (from, to) = times.split_once('-')?;
    let (from, to) = (read_time(from)?, read_time(to)?);
    (from != to && from < DAY).then_some(Window { days: days?, from, to })
}

/// `Mon-Fri`, `Sat`.
fn read_days(text: &str) -> Option<u8> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |name: &str| DAYS.iter().position(|day| name.trim().eq_ignore_ascii_case(day));
    let (first, last) = (number(first)?, number(last)?);
    let mut days = 0u8;
    let mut day = first;
    loop {
        days |= 1 << day;
        if day == last {
            return Some(days);
        }
        day = (day + 1) % 7;
    }
}

fn read_time(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let digits = |text: &str| (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse::<u16>().ok()).flatten();
    let (hour, minute) = (digits(hour)?, digits(minute)?);
    let time = hour * 60 + minute;
    (minute < 60 && time <= DAY).then_some(time)
}

/// `1 1 2 3 5`, each 0.01 to 10,000.
pub fn factors(text: &str) -> Option<Vec<f64>> {
    let number = |word: &str| word.parse::<f64>().ok().filter(|factor| (0.01..=10_000.0).contains(factor));
    text.split_ascii_whitespace().map(number).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        for (text, count, seconds) in [("100/1m", 100, 60), ("5/s", 5, 1), ("1/90s", 1, 90), ("20 / h", 20, 3600)] {
            assert_eq!(Rate::parse(text).unwrap(), Rate { count, per: Duration::from_secs(seconds) }, "{text}");
        }
        assert_eq!(Rate::parse("100/60s").unwrap().to_string(), "100/1m");
        assert!(["", "5", "/m", "0/m", "-1/m", "5/0s", "5/8d", "5/"].iter().all(|text| Rate::parse(text).is_none()));
    }

    #[test]
    fn hours() {
        let at = |day: u16, hour: u16, minute: u16| day * DAY + hour * 60 + minute;
        let night = Hours::parse("22:00-06:00").unwrap();
        assert!(night.allow(at(0, 22, 0)) && night.allow(at(0, 5, 59)) && !night.allow(at(3, 6, 0)) && !night.allow(at(3, 21, 59)));
        let office = Hours::parse("Mon-Fri 08:00-18:00, Sat 10:00-12:00").unwrap();
        assert!(office.allow(at(4, 17, 59)) && office.allow(at(5, 11, 0)) && !office.allow(at(5, 12, 0)) && !office.allow(at(6, 11, 0)));
        let over = Hours::parse("Sun 23:00-01:00").unwrap();
        assert!(over.allow(at(6, 23, 30)) && over.allow(at(0, 0, 30)) && !over.allow(at(6, 0, 30)));
        assert_eq!((office.wait(at(4, 18, 0)), office.wait(at(4, 9, 0)), over.wait(at(0, 1, 0))), (16 * 60, 0, 6 * DAY + 22 * 60));
        assert!(Hours::parse("").unwrap().allow(5) && Hours::parse("00:00-24:00").unwrap().allow(at(2, 23, 59)));
        for bad in ["8-9", "08:00", "08:00-08:00", "25:00-26:00", "Mun 08:00-09:00", "24:00-01:00", "08:60-09:00"] {
            assert_eq!(Hours::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn factor_lists() {
        assert_eq!(factors("1 1 2 3.5"), Some(vec![1.0, 1.0, 2.0, 3.5]));
        assert_eq!(factors(""), Some(vec![]));
        assert!(["0", "x", "1,2", "-1", "NaN"].iter().all(|text| factors(text).is_none()));
    }
}
