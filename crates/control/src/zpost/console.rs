//! `zpost route` without an address: one question a line, at a terminal or through a pipe.

use super::history::{History, MOST, place};
use super::{lookup, route};
use crate::link;
use crate::output::{complain, print, shown};
use crate::site::Site;
use crate::trouble::{EX_CONFIG, EX_DATAERR, EX_IOERR, EX_SOFTWARE, EX_TEMPFAIL, EX_USAGE, Trouble};
use rustyline::error::ReadlineError;
use rustyline::history::MemHistory;
use rustyline::{Config, Editor};
use serde::Serialize;
use std::io::{BufRead, IsTerminal, Read};

/// Bytes of a line; no address and no key that any table takes is as long.
const LONGEST: u64 = 4096;
const PROMPT: &str = "route> ";
const HELP: &str = "\
ADDRESS            where mail to it goes
route ADDRESS      the same, of an address that looks like one of these words
lookup TABLE KEY   what a [[table]] says of the rest of the line
sender ADDRESS     as if sent by this address, from now on; without one: as a report
explain on|off     tell the rules that made it so, or not
help               this text
quit               leave (so does the end of input)
";

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Word<'l> {
    Route(&'l str),
    Lookup { table: &'l str, key: &'l str },
    Sender(&'l str),
    Explain(bool),
    Help,
    Quit,
}

/// None: an empty line or a comment.
fn word(line: &str) -> Result<Option<Word<'_>>, Trouble> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let usage = |text: &str| Err(Trouble::new(EX_USAGE, format!("usage: {text}")));
    let (first, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    Ok(Some(match (first, rest) {
        ("route", "") => return usage("route ADDRESS"),
        ("route", address) => Word::Route(address),
        ("lookup", rest) => match rest.split_once(char::is_whitespace) {
            Some((table, key)) => Word::Lookup { table, key: key.trim() },
            None => return usage("lookup TABLE KEY"),
        },
        ("sender", "<>") => Word::Sender(""),
        ("sender", address) => Word::Sender(address),
        ("explain", "on") => Word::Explain(true),
        ("explain", "off") => Word::Explain(false),
        ("explain", _) => return usage("explain on|off"),
        ("help" | "?", "") => Word::Help,
        ("quit" | "exit", "") => Word::Quit,
        _ => Word::Route(line),
    }))
}

/// What holds from one line to the next.
#[derive(Debug)]
struct Session<'s> {
    site: &'s Site,
    sender: String,
    explain: bool,
    json: bool,
}

impl Session<'_> {
    /// Does what a line wants; its exit status, or none at the word to leave.
    fn line(&mut self, line: &str) -> Result<Option<u8>, Trouble> {
        match word(line)? {
            None => {}
            Some(Word::Route(address)) => return self.route(address).map(Some),
            Some(Word::Lookup { table, key }) => return self.lookup(table, key).map(Some),
            Some(Word::Sender(sender)) => {
                route::checked_sender(sender)?;
                sender.clone_into(&mut self.sender);
            }
            Some(Word::Explain(explain)) => self.explain = explain,
            Some(Word::Help) => print(HELP)?,
            Some(Word::Quit) => return Ok(None),
        }
        Ok(Some(0))
    }

    fn route(&self, address: &str) -> Result<u8, Trouble> {
        let answer = route::ask(self.site, address, &self.sender)?;
        if self.json {
            print_line(&route::document(address, &self.sender, &answer))?;
        } else {
            print(route::text(address, &answer, self.explain))?;
        }
        Ok(route::code(&answer))
    }

    fn lookup(&self, table: &str, key: &str) -> Result<u8, Trouble> {
        lookup::declared(self.site, table)?;
        let finding = lookup::find(self.site, table, key)?;
        if self.json {
            print_line(&finding)?;
        } else if let Some(trouble) = &finding.trouble {
            return Err(Trouble::new(EX_TEMPFAIL, lookup::unanswered(&finding, trouble)));
        } else if finding.values.is_empty() {
            print(format!("{}: not there\n", shown(key)))?;
        } else {
            print(lookup::text(&finding, true))?;
            if let Some(place) = finding.place.as_ref().filter(|_| self.explain) {
                print(format!("  {}\n", shown(place)))?;
            }
        }
        Ok(lookup::code(&finding))
    }
}

/// One JSON document, on one line.
fn print_line(value: &impl Serialize) -> Result<(), Trouble> {
    let mut text = serde_json::to_string(value).map_err(|e| Trouble::new(EX_SOFTWARE, e.to_string()))?;
    text.push('\n');
    print(text)
}

/// Through a pipe: the worst status of all lines. At a terminal: 0, the answers were seen.
pub fn run(site: &Site, sender: &str, explain: bool, json: bool) -> Result<u8, Trouble> {
    route::checked_sender(sender)?;
    // Told before the first question is typed.
    drop(link::connect_to(&site.settings.paths.run)?.ok_or_else(link::not_running)?);
    let mut session = Session { site, sender: sender.to_owned(), explain, json };
    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        at_a_terminal(&mut session)
    } else {
        of_a_pipe(&mut session, &mut std::io::stdin().lock())
    }
}

fn at_a_terminal(session: &mut Session) -> Result<u8, Trouble> {
    let broken = |e: ReadlineError| Trouble::new(EX_IOERR, format!("the terminal: {e}"));
    let config = Config::builder().max_history_size(MOST).map_err(broken)?.build();
    let mut editor: Editor<(), MemHistory> = Editor::with_history(config.clone(), MemHistory::with_config(&config)).map_err(broken)?;
    let mut history = History::open(place().as_deref());
    for line in history.lines() {
        let _ = editor.add_history_entry(line);
    }
    loop {
        let line = match editor.readline(PROMPT) {
            Ok(line) => line,
            // What was typed is dropped, as in a shell.
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(0),
            Err(other) => return Err(broken(other)),
        };
        if !line.trim().is_empty() {
            let _ = editor.add_history_entry(line.as_str());
            history.add(&line);
        }
        match session.line(&line) {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(0),
            // The suite may be back for the next question.
            Err(trouble) => tell(&trouble, None),
        }
    }
}

fn of_a_pipe(session: &mut Session, input: &mut dyn BufRead) -> Result<u8, Trouble> {
    let (mut worst, mut number) = (0, 0_u64);
    while let Some(line) = next(input)? {
        number += 1;
        let done = match &line {
            Some(line) => session.line(line),
            None => Err(Trouble::new(EX_DATAERR, format!("no line of text of at most {LONGEST} bytes"))),
        };
        match done {
            Ok(Some(code)) => worst = worst.max(code),
            Ok(None) => break,
            Err(trouble) if matches!(trouble.code, EX_USAGE | EX_DATAERR | EX_TEMPFAIL | EX_CONFIG) => {
                tell(&trouble, Some(number));
                worst = worst.max(trouble.code);
            }
            // No other line would fare better.
            Err(trouble) => return Err(trouble),
        }
    }
    Ok(worst)
}

/// The next line; one that is too long or not UTF-8 is passed over as `Some(None)`.
fn next(input: &mut dyn BufRead) -> Result<Option<Option<String>>, Trouble> {
    let unread = |e: std::io::Error| Trouble::io("standard input", &e);
    let mut bytes = Vec::new();
    if input.take(LONGEST).read_until(b'\n', &mut bytes).map_err(unread)? == 0 {
        return Ok(None);
    }
    if bytes.len() as u64 == LONGEST && !bytes.ends_with(b"\n") {
        input.skip_until(b'\n').map_err(unread)?;
        return Ok(Some(None));
    }
    Ok(Some(String::from_utf8(bytes).ok()))
}

fn tell(trouble: &Trouble, line: Option<u64>) {
    let at = line.map_or_else(String::new, |number| format!("line {number}: "));
    for text in trouble.text.lines() {
        complain(&format!("zpost: {at}{text}\n"));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::trouble::EX_UNAVAILABLE;
    use std::io::Cursor;

    #[test]
    fn words_and_addresses() {
        for (line, wanted) in [
            (" a@b.example ", Word::Route("a@b.example")),
            ("\"a b\"@c.example", Word::Route("\"a b\"@c.example")),
            ("helper", Word::Route("helper")),
            ("help me@c.example", Word::Route("help me@c.example")),
            ("route help", Word::Route("help")),
            ("lookup t  a key ", Word::Lookup { table: "t", key: "a key" }),
            ("sender x@y.example", Word::Sender("x@y.example")),
            ("sender", Word::Sender("")),
            ("sender <>", Word::Sender("")),
            ("explain off", Word::Explain(false)),
            ("?", Word::Help),
            ("quit", Word::Quit),
        ] {
            assert_eq!(word(line), Ok(Some(wanted)), "{line}");
        }
        for nothing in ["", " \t", "# a@b"] {
            assert_eq!(word(nothing), Ok(None));
        }
        for wrong in ["lookup t", "lookup", "explain", "explain maybe", "route"] {
            assert_eq!(word(wrong).unwrap_err().code, EX_USAGE, "{wrong}");
        }
    }

    #[test]
    fn lines_have_an_end() {
        let mut input = Cursor::new([&b"one\r\n"[..], &[b'x'; 10_000], b"\n\xff\ntwo"].concat());
        let lines: Vec<_> = std::iter::from_fn(|| next(&mut input).unwrap()).collect();
        assert_eq!(lines, [Some("one\r\n".to_owned()), None, None, Some("two".to_owned())]);
    }

    #[test]
    fn a_wrong_line_is_told_and_a_lost_suite_ends_it() {
        let folder = tempfile::tempdir().unwrap();
        let site = crate::site::tests::scratch(folder.path());
        let mut session = Session { site: &site, sender: String::new(), explain: false, json: false };
        let mut through = |text: &str| of_a_pipe(&mut session, &mut Cursor::new(text.to_owned()));
        assert_eq!(through("# none\n\nexplain on\nsender a@b.example\n"), Ok(0));
        assert_eq!(through("explain maybe\n"), Ok(EX_USAGE));
        assert_eq!(through("a@@b\nexplain maybe\n"), Ok(EX_DATAERR));
        assert_eq!(through("lookup none key\na b\n"), Ok(EX_CONFIG));
        assert_eq!(through("quit\na@@b\n"), Ok(0));
        assert_eq!(through("a@b.example\na@@b\n").unwrap_err().code, EX_UNAVAILABLE);
        assert!(session.explain && session.sender == "a@b.example");
        assert_eq!(run(&site, "", false, false).unwrap_err(), link::not_running());
    }
}
