//! The command line of sendmail(1), by hand: single-dash words and values with or without a blank are beyond clap.

use crate::output::shown;
use crate::trouble::{EX_USAGE, Trouble};
use envelope::{Notify, Ret};
use std::ffi::OsString;

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `-bm` and without any: submit a message.
    Submit,
    /// `-bs`: SMTP on standard input and output.
    Smtp,
    /// `-bp`: list the queue.
    Queue,
    /// `-bi`, `-I`: check the aliases.
    Aliases,
    /// `-bt`, `-bv`: say where addresses go.
    Route,
    /// `-q`: try the queue now.
    Retry,
}

/// A parsed command line.
#[derive(Debug, Clone, PartialEq)]
pub struct Invocation {
    pub mode: Mode,
    /// `-f`, `-r`; the empty text is the null sender.
    pub sender: Option<String>,
    /// `-F`
    pub fullname: Option<String>,
    /// `-t`: recipients from the headers, in addition to those given.
    pub extract: bool,
    /// A line with only a dot ends the message; not with `-i`, `-oi`.
    pub dot_ends: bool,
    pub recipients: Vec<String>,
    pub notify: Option<Notify>,
    pub ret: Option<Ret>,
    pub envid: Option<String>,
    /// `-B8BITMIME`
    pub eight_bit: bool,
}

impl Default for Invocation {
    fn default() -> Self {
        Self {
            mode: Mode::Submit,
            sender: None,
            fullname: None,
            extract: false,
            dot_ends: true,
            recipients: Vec::new(),
            notify: None,
            ret: None,
            envid: None,
            eight_bit: false,
        }
    }
}

/// Letters whose value is the rest of the word or the next one.
const WITH_VALUE: &str = "fFrNRVBbhpXLCODM";
/// Letters whose value, if any, is the rest of the word.
const WITH_TAIL: &str = "odqAe";

/// Reads the arguments after the program's name.
pub fn parse(arguments: Vec<OsString>) -> Result<Invocation, Trouble> {
    let mut invocation = Invocation::default();
    let mut words = arguments.into_iter().map(|word| word.into_string().map_err(|_| usage("an argument is not UTF-8")));
    while let Some(word) = words.next().transpose()? {
        match word.strip_prefix('-') {
            Some("-") => {
                invocation.recipients.extend(words.collect::<Result<Vec<_>, _>>()?);
                break;
            }
            Some(letters) if !letters.is_empty() => options(&mut invocation, letters, &mut words)?,
            // The first word that is no option ends the options; what looks like one after it comes from somebody
            // who composed a command line out of addresses.
            _ => {
                invocation.recipients.push(word);
                for word in words.by_ref() {
                    let word = word?;
                    if word.starts_with('-') {
                        return Err(usage(format!(
                            "`{}` stands behind an address; options stand first, or put -- before the addresses",
                            shown(&word)
                        )));
                    }
                    invocation.recipients.push(word);
                }
            }
        }
    }
    Ok(invocation)
}

fn usage(text: impl Into<String>) -> Trouble {
    Trouble::new(EX_USAGE, text)
}

type Words<'w> = dyn Iterator<Item = Result<String, Trouble>> + 'w;

/// One word of options: letters without value may stand together, as in `-ti`.
fn options(invocation: &mut Invocation, letters: &str, words: &mut Words<'_>) -> Result<(), Trouble> {
    for (at, letter) in letters.char_indices() {
        let tail = letters.get(at + letter.len_utf8()..).unwrap_or_default();
        if WITH_VALUE.contains(letter) {
            let value = if tail.is_empty() { words.next().transpose()? } else { Some(tail.to_owned()) };
            let value = value.ok_or_else(|| usage(format!("-{letter} needs a value")))?;
            return valued(invocation, letter, value);
        }
        if WITH_TAIL.contains(letter) {
            return tailed(invocation, letter, tail, words);
        }
        match letter {
            't' => invocation.extract = true,
            'i' => invocation.dot_ends = false,
            'I' => invocation.mode = Mode::Aliases,
            // Verbose, "me too", no aliases, initial submission, and the like: nothing to do here.
            'v' | 'm' | 'n' | 's' | 'G' | 'U' | 'x' | 'E' | 'c' | 'T' | 'J' | 'Y' => {}
            other => return Err(usage(format!("unknown option -{}", shown(&other.to_string())))),
        }
    }
    Ok(())
}

fn valued(invocation: &mut Invocation, letter: char, value: String) -> Result<(), Trouble> {
    match letter {
        'f' | 'r' => invocation.sender = Some(value.trim().trim_start_matches('<').trim_end_matches('>').to_owned()),
        'F' => invocation.fullname = Some(value),
        'N' => invocation.notify = Some(notify(&value)?),
        'R' => invocation.ret = Some(ret(&value)?),
        'V' => invocation.envid = Some(value),
        'B' => invocation.eight_bit = body(&value)?,
        'b' => invocation.mode = mode(&value)?,
        // Hop count, protocol and host of origin, log file and tag, configuration, long options: the suite has its own.
        _ => {}
    }
    Ok(())
}

fn tailed(invocation: &mut Invocation, letter: char, tail: &str, words: &mut Words<'_>) -> Result<(), Trouble> {
    match (letter, tail) {
        ('q', "") => invocation.mode = Mode::Retry,
        ('q', _) => return Err(usage("-q with a value: the suite tries its queue by itself; for some messages use `zpost retry`")),
        ('o', "") => {
            let value = words.next().transpose()?.ok_or_else(|| usage("-o needs a value"))?;
            return tailed(invocation, 'o', &value, &mut std::iter::empty());
        }
        // -oi, and -oiTrue in the long form of some callers; -oem, -odb and the rest change nothing here.
        ('o', "i" | "itrue" | "iTrue") => invocation.dot_ends = false,
        _ => {}
    }
    Ok(())
}

fn mode(value: &str) -> Result<Mode, Trouble> {
    match value {
        "m" => Ok(Mode::Submit),
        "s" => Ok(Mode::Smtp),
        "p" => Ok(Mode::Queue),
        "i" => Ok(Mode::Aliases),
        "t" | "v" => Ok(Mode::Route),
        "d" | "D" | "l" => Err(usage("-bd: this program is no daemon; start the suite with `zpost start`")),
        other => Err(usage(format!("-b{}: no such mode", shown(other)))),
    }
}

fn notify(value: &str) -> Result<Notify, Trouble> {
    let mut notify = Notify { never: false, success: false, failure: false, delay: false };
    for word in value.split(',') {
        match word.trim().to_ascii_lowercase().as_str() {
            "never" => notify.never = true,
            "success" => notify.success = true,
            "failure" => notify.failure = true,
            "delay" => notify.delay = true,
            _ => return Err(usage(format!("-N {}: expected never, or some of success,failure,delay", shown(value)))),
        }
    }
    if notify.never && (notify.success || notify.failure || notify.delay) {
        return Err(usage("-N: never stands alone"));
    }
    Ok(notify)
}

fn ret(value: &str) -> Result<Ret, Trouble> {
    match value.to_ascii_lowercase().as_str() {
        "full" => Ok(Ret::Full),
        "hdrs" => Ok(Ret::Headers),
        _ => Err(usage(format!("-R {}: expected full or hdrs", shown(value)))),
    }
}

fn body(value: &str) -> Result<bool, Trouble> {
    match value.to_ascii_lowercase().as_str() {
        "8bitmime" => Ok(true),
        "7bit" => Ok(false),
        _ => Err(usage(format!("-B {}: expected 7BIT or 8BITMIME", shown(value)))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(line: &str) -> Result<Invocation, Trouble> {
        parse(line.split(' ').filter(|w| !w.is_empty()).map(OsString::from).collect())
    }

    #[test]
    fn what_programs_really_pass() {
        let php = of("-t -i -fweb@example.org").unwrap();
        assert_eq!((php.extract, php.dot_ends, php.sender.as_deref()), (true, false, Some("web@example.org")));
        let cron = of("-FCronDaemon -i -odi -oem -oi root").unwrap();
        assert_eq!((cron.fullname.as_deref(), cron.recipients), (Some("CronDaemon"), vec!["root".to_owned()]));
        let git = of("-ti -f <me@example.org> -- a@b -c@d").unwrap();
        assert_eq!((git.extract, git.sender.as_deref(), git.recipients.len()), (true, Some("me@example.org"), 2));
        let mutt = of("-oem -oi -N failure,delay -R hdrs -V id1 -B8BITMIME x@y").unwrap();
        assert!(mutt.notify.unwrap().failure && !mutt.notify.unwrap().success && mutt.eight_bit);
        assert_eq!((mutt.ret, mutt.envid.as_deref()), (Some(Ret::Headers), Some("id1")));
        assert_eq!(of("-f <> x@y").unwrap().sender.as_deref(), Some(""));
        assert_eq!(of("-G -v -C /etc/x -X /tmp/log -O DeliveryMode=b -om -L tag -p smtp:h -Am x").unwrap().recipients, ["x"]);
    }

    #[test]
    fn modes() {
        for (line, mode) in [
            ("-bm", Mode::Submit),
            ("-bs", Mode::Smtp),
            ("-bp", Mode::Queue),
            ("-bi", Mode::Aliases),
            ("-I", Mode::Aliases),
            ("-bt x", Mode::Route),
            ("-bv x", Mode::Route),
            ("-q", Mode::Retry),
        ] {
            assert_eq!(of(line).unwrap().mode, mode, "{line}");
        }
    }

    #[test]
    fn what_is_refused() {
        for line in ["-bd", "-bD -q30m", "-q30m", "-bx", "-Nnever,delay", "-Nsometimes", "-Rall", "-f", "-Z", "a@b -f c@d", "-Bx"] {
            assert_eq!(of(line).unwrap_err().code, EX_USAGE, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_command_line_makes_it_panic(words in prop::collection::vec("\\PC{0,12}|-[a-zA-Z]{0,4}", 0..6)) {
            let _ = parse(words.into_iter().map(OsString::from).collect());
        }
    }
}
