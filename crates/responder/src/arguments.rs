//! The command lines, and what they set going.

use crate::away::Home;
use crate::incoming::{Incoming, Me, judge};
use crate::memory::Memory;
use crate::reply::{Author, compose};
use crate::template::{Template, USUAL};
use crate::trouble::{CONFIG, NO_INPUT, NO_USER, TEMPORARY, Trouble, USAGE, trouble};
use crate::{LONGEST_HEADER, sending};
use clap::{Parser, Subcommand};
use nix::unistd::{Uid, User};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

const DAY: u64 = 86_400;

/// What both programs take.
#[derive(Debug, clap::Args)]
struct Usual {
    /// The file with the answer [default: ~/.vacation.msg].
    #[arg(short = 'm', long, value_name = "FILE")]
    message: Option<PathBuf>,
    /// Where it is kept who was answered [default: ~/.vacation.db].
    #[arg(short = 'f', long, value_name = "FILE")]
    database: Option<PathBuf>,
    /// Answer each sender once in so long: 7d, 12h, or a number of days.
    #[arg(short = 'r', long, value_name = "TIME", default_value = "7d", value_parser = seconds)]
    interval: u64,
    /// The sender of the message, where it is known otherwise than by the message [default: $SENDER].
    #[arg(short = 's', long, value_name = "ADDRESS")]
    sender: Option<String>,
    /// Who the answer is from [default: the recipient].
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// The program that takes the answer.
    #[arg(long, value_name = "PATH")]
    sendmail: Option<PathBuf>,
    /// Say why nothing is answered, instead of being silent.
    #[arg(short = 'd', long)]
    debug: bool,
}

/// Answers mail for a user who is away: from .forward, with a message on standard input.
#[derive(Debug, Parser)]
#[command(name = "vacation", args_conflicts_with_subcommands = true)]
struct Vacation {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    usual: Usual,
    /// A further address of the user; a name without domain is that name at any.
    #[arg(short = 'a', long, value_name = "ADDRESS")]
    alias: Vec<String>,
    /// Answer too where the user is not named in To or Cc.
    #[arg(short = 'j', long)]
    unnamed: bool,
    /// The user who is away [default: who runs this].
    user: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Begin: makes ~/.vacation.msg where it is missing, and puts vacation into ~/.forward.
    Start,
    /// End: ~/.forward is as it was before.
    Stop,
    /// Who was answered, and when.
    List,
    /// Forget who was answered.
    Clear,
}

/// Answers mail to an address that exists to be answered by: from an alias, with a message on standard input.
#[derive(Debug, Parser)]
#[command(name = "autoanswer")]
struct AutoAnswer {
    #[command(flatten)]
    usual: Usual,
    /// Do not give the header of the message back.
    #[arg(long)]
    brief: bool,
}

pub(crate) fn vacation() -> Result<(), Trouble> {
    let Some(arguments) = Vacation::try_parse().map(Some).or_else(|e| usage(&e))? else { return Ok(()) };
    let home = home(arguments.user.as_deref())?;
    match arguments.verb {
        Some(Verb::Start) => print(&home.start(&std::env::current_exe().map_err(|e| trouble(TEMPORARY, e.to_string()))?)?),
        Some(Verb::Stop) => print(&home.stop()?),
        Some(Verb::List) => {
            let memory = open(&home.memory())?;
            print(&memory.list().iter().map(|(time, sender)| format!("{} {sender}\n", message::date(*time))).collect::<String>())
        }
        Some(Verb::Clear) => open(&home.memory())?.clear().map_err(|e| trouble(TEMPORARY, e.to_string())),
        None => {
            let addresses = std::iter::once(&home.user).chain(&arguments.alias).map(|address| address.to_lowercase()).collect();
            let me = Me { addresses, must_be_named: !arguments.unnamed };
            let text = read_message(&arguments.usual.message.clone().unwrap_or_else(|| home.message()))?;
            answer(&arguments.usual, &me, &text, &home.user, false, Some(&home.memory()))
        }
    }
}

pub(crate) fn autoanswer() -> Result<(), Trouble> {
    let Some(arguments) = AutoAnswer::try_parse().map(Some).or_else(|e| usage(&e))? else { return Ok(()) };
    let recipient = std::env::var("RECIPIENT").unwrap_or_default();
    let from = arguments.usual.from.clone().or(Some(recipient).filter(|r| !r.is_empty()));
    let Some(from) = from else { return Err(trouble(USAGE, "nobody said who answers: give --from, or set RECIPIENT")) };
    let text = match &arguments.usual.message {
        Some(path) => read_message(path)?,
        None => Template::automatic(),
    };
    let me = Me { addresses: vec![from.to_lowercase()], must_be_named: false };
    answer(&arguments.usual, &me, &text, &from, !arguments.brief, None)
}

/// One message: read, judged, answered, remembered.
fn answer(usual: &Usual, me: &Me, template: &Template, own: &str, quote: bool, memory: Option<&Path>) -> Result<(), Trouble> {
    let sender = usual.sender.clone().or_else(|| std::env::var("SENDER").ok());
    let incoming = Incoming::read(&header(&mut io::stdin().lock())?, sender.as_deref());
    let to = match judge(&incoming, me) {
        Ok(to) => to,
        Err(silence) => return told(usual.debug, &format!("not answered: {silence}\n")),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let path = usual.database.as_deref().or(memory);
    let mut memory = path.map(open).transpose()?;
    if memory.as_ref().is_some_and(|memory| memory.knows(to.as_str(), now, usual.interval)) {
        return told(usual.debug, &format!("not answered: {to} was answered lately\n"));
    }
    let recipient = std::env::var("RECIPIENT").ok().filter(|recipient| recipient.contains('@'));
    let from = usual.from.clone().or(recipient).unwrap_or_else(|| own.to_owned());
    let from: String = from.chars().filter(|c| !c.is_control()).collect();
    let program = sending::program(usual.sendmail.as_deref())?;
    // Remembered first: two answers are worse than none, and what could not be sent is forgotten again below.
    if let Some(memory) = &mut memory {
        memory.remember(to.as_str(), now, usual.interval).map_err(|e| trouble(TEMPORARY, format!("{}: {e}", shown(path))))?;
    }
    let sent = sending::send(&program, &to, &compose(&incoming, &to, &Author { from }, template, quote, now));
    if let (Err(_), Some(memory)) = (&sent, &mut memory) {
        let _ = memory.forget(to.as_str());
    }
    sent?;
    told(usual.debug, &format!("answered: {to}\n"))
}

/// The header, and all the rest read and dropped: a writer that meets a closed pipe would call it a failure.
fn header(input: &mut dyn Read) -> Result<Vec<u8>, Trouble> {
    let mut content = Vec::new();
    let read = |e: io::Error| trouble(NO_INPUT, format!("standard input: {e}"));
    input.take(LONGEST_HEADER as u64).read_to_end(&mut content).map_err(read)?;
    io::copy(input, &mut io::sink()).map_err(read)?;
    Ok(content)
}

fn read_message(path: &Path) -> Result<Template, Trouble> {
    let text = match std::fs::read_to_string(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => USUAL.to_owned(),
        other => other.map_err(|e| trouble(TEMPORARY, format!("{}: {e}", path.display())))?,
    };
    Template::read(&text).map_err(|reason| trouble(CONFIG, format!("{}: {reason}", path.display())))
}

fn open(path: &Path) -> Result<Memory, Trouble> {
    Memory::open(path).map_err(|e| trouble(TEMPORARY, format!("{}: {e}", path.display())))
}

fn home(user: Option<&str>) -> Result<Home, Trouble> {
    let found = match user {
        Some(name) => User::from_name(name),
        None => User::from_uid(Uid::effective()),
    };
    let home = std::env::var_os("HOME").map(PathBuf::from);
    match found {
        Ok(Some(account)) => {
            let own = account.uid == Uid::effective();
            Ok(Home { folder: home.filter(|_| own).unwrap_or(account.dir), user: account.name })
        }
        // Where users are no accounts of the system, the delivering agent says where they live.
        Ok(None) => match (user, home) {
            (Some(name), Some(folder)) => Ok(Home { folder, user: name.to_owned() }),
            _ => Err(trouble(NO_USER, "there is no such user")),
        },
        Err(e) => Err(trouble(TEMPORARY, format!("system accounts: {e}"))),
    }
}

fn seconds(text: &str) -> Result<u64, String> {
    let (number, unit) = match text.char_indices().last() {
        Some((at, 'd')) => (text.get(..at), DAY),
        Some((at, 'h')) => (text.get(..at), 3600),
        Some((at, 'm')) => (text.get(..at), 60),
        Some((at, 's')) => (text.get(..at), 1),
        _ => (Some(text), DAY),
    };
    let number: Option<u64> = number.and_then(|number| number.parse().ok());
    number.and_then(|number| number.checked_mul(unit)).ok_or_else(|| format!("`{text}` is no time such as 7d or 12h"))
}

fn usage<T>(error: &clap::Error) -> Result<Option<T>, Trouble> {
    if !error.use_stderr() {
        return print(&error.to_string()).map(|()| None);
    }
    Err(trouble(USAGE, error.to_string().trim_start_matches("error: ").trim_end().to_owned()))
}

fn told(debug: bool, text: &str) -> Result<(), Trouble> {
    if debug { print(text) } else { Ok(()) }
}

fn print(text: &str) -> Result<(), Trouble> {
    io::stdout().write_all(text.as_bytes()).map_err(|e| trouble(TEMPORARY, e.to_string()))
}

fn shown(path: Option<&Path>) -> String {
    path.map_or_else(String::new, |path| path.display().to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_lines_are_sound() {
        Vacation::command().debug_assert();
        AutoAnswer::command().debug_assert();
        let parsed = Vacation::try_parse_from(["vacation", "-a", "joseph", "-r", "3", "joe"]).unwrap();
        assert_eq!((parsed.usual.interval, parsed.user.as_deref(), parsed.verb.is_none()), (3 * DAY, Some("joe"), true));
        assert!(matches!(Vacation::try_parse_from(["vacation", "start"]).unwrap().verb, Some(Verb::Start)));
        assert!(Vacation::try_parse_from(["vacation", "-r", "soon"]).is_err());
        assert_eq!((seconds("12h"), seconds("0s")), (Ok(43_200), Ok(0)));
        assert!(seconds("99999999999999999999d").is_err() && seconds("").is_err());
    }
}
