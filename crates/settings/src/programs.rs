//! `[[pipe]]`, `[[agent]]`, `[[script]]`: programs of others, and the routes that name them.

use crate::checks::{CHANNELS, at, text};
use crate::sheet::{Group, Sheet};
use crate::typed::{ForeignAgent, Pipe, Script};
use crate::value::Value;
use crate::{Fault, units};

/// Letters of `pipe.flags`.
const FLAGS: &str = "FEPDOeRXmB";
/// Letters after a percent sign in arguments of a pipe.
const WORDS: &str = "sruedohim%";

pub fn pipe(g: &Group) -> Pipe {
    Pipe {
        name: g.text("name"),
        program: g.texts("program"),
        channel: g.text("channel"),
        user: g.filled("user"),
        group: g.filled("group"),
        folder: g.path("folder"),
        umask: u32::from_str_radix(&g.text("umask"), 8).unwrap_or(0o077),
        timeout: g.duration("timeout"),
        max_output: g.usize("max_output"),
        processes: g.usize("processes"),
        flags: g.text("flags"),
    }
}

pub fn agent(g: &Group) -> ForeignAgent {
    ForeignAgent { channel: g.text("channel"), program: g.texts("program"), user: g.filled("user"), timeout: g.duration("timeout") }
}

pub fn script(g: &Group) -> Script {
    Script { name: g.text("name"), program: g.texts("program"), timeout: g.duration("timeout") }
}

/// A name of a channel, pipe or script: it goes into control files and file names.
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 32 && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Checks the sections; gives the channels they add to those of `queue.channels`.
pub fn check(sheet: &Sheet, own: &[String], faults: &mut Vec<Fault>) -> Vec<String> {
    let mut added: Vec<String> = Vec::new();
    for (section, key) in [("pipe", "name"), ("script", "name"), ("agent", "channel")] {
        let mut seen: Vec<&str> = Vec::new();
        for group in sheet.groups(section) {
            let Some(name) = text(group, key) else { continue };
            if !is_name(name) {
                faults.push(at(group, key, format!("{section}.{key}: `{name}` is not made of a-z, 0-9 and -, at most 32 of them")));
            } else if seen.contains(&name) {
                faults.push(at(group, key, format!("{section}.{key}: there is a [[{section}]] with {key} `{name}` already")));
            }
            seen.push(name);
            program(section, group, faults);
        }
    }
    for (section, group) in sheet.groups("pipe").iter().map(|g| ("pipe", g)).chain(sheet.groups("agent").iter().map(|g| ("agent", g))) {
        let Some(channel) = text(group, "channel").filter(|channel| section != "pipe" || *channel != "pipe") else { continue };
        if CHANNELS.contains(&channel) || added.iter().chain(own).any(|other| other == channel) || !is_name(channel) {
            faults.push(at(group, "channel", format!("{section}.channel: `{channel}` is taken by another, or not made of a-z, 0-9 and -")));
        }
        added.push(channel.to_owned());
    }
    for group in sheet.groups("pipe") {
        pipe_words(group, faults);
    }
    added
}

fn list<'g>(group: &'g Group, key: &str) -> &'g [String] {
    match group.entry(key).map(|e| &e.value) {
        Some(Value::Texts(list)) => list,
        _ => &[],
    }
}

fn program(section: &str, group: &Group, faults: &mut Vec<Fault>) {
    match list(group, "program").first() {
        None if section == "agent" || group.entry("program").is_none() => {}
        None => faults.push(at(group, "program", format!("{section}.program: no program is named"))),
        Some(path) if !path.starts_with('/') || path.contains('%') && section == "pipe" => {
            faults.push(at(
                group,
                "program",
                format!("{section}.program: `{path}` is no absolute path; the program itself has no %-words"),
            ));
        }
        Some(_) => {}
    }
}

fn pipe_words(group: &Group, faults: &mut Vec<Fault>) {
    for argument in list(group, "program").iter().skip(1) {
        let mut letters = argument.chars();
        while let Some(letter) = letters.next() {
            let word = if letter == '%' { letters.next().unwrap_or(' ') } else { '%' };
            if !WORDS.contains(word) {
                faults.push(at(group, "program", format!("pipe.program: `%{word}` in `{argument}` is no word; %% is a percent sign")));
            }
        }
    }
    if let Some(flag) = text(group, "flags").and_then(|flags| flags.chars().find(|flag| !FLAGS.contains(*flag))) {
        faults.push(at(group, "flags", format!("pipe.flags: `{flag}` is none of {FLAGS}")));
    }
    if text(group, "umask").is_some_and(|umask| u32::from_str_radix(umask, 8).map_or(true, |umask| umask > 0o777)) {
        faults.push(at(group, "umask", "pipe.umask: not octal such as 077".to_owned()));
    }
    if text(group, "user") == Some("root") {
        faults.push(at(group, "user", "pipe.user: nothing is run as root".to_owned()));
    }
}

/// Routes to pipes, and conditions of held mail.
pub fn check_route(sheet: &Sheet, route: &Group, faults: &mut Vec<Fault>) {
    let host = text(route, "host").unwrap_or("-");
    match text(route, "channel") {
        Some("pipe") if !sheet.groups("pipe").iter().any(|pipe| text(pipe, "name") == Some(host)) => {
            faults.push(at(route, "host", format!("route.host: there is no [[pipe]] with name `{host}`")));
        }
        Some("hold") if !is_condition(sheet, host) => {
            let text = format!(
                "route.host: `{host}` is none of -, admin, until:SECONDS, retry, retry:REASON, age:TIME, ns:NAME/TYPE, home:USER, script:NAME (of a [[script]]), io"
            );
            faults.push(at(route, "host", text));
        }
        _ => {}
    }
}

/// What a route may have channel `hold` wait for. Anything else would be kept for ever, or go round and round.
fn is_condition(sheet: &Sheet, host: &str) -> bool {
    let (word, value) = host.split_once(':').unwrap_or((host, ""));
    let bare = !host.contains(':');
    match word.to_ascii_lowercase().as_str() {
        "-" | "" | "admin" => bare,
        "retry" | "io" => true,
        "until" | "timeout" => value.parse::<u64>().is_ok(),
        "age" => units::duration(value).is_some(),
        "ns" => value.split_once('/').is_some_and(|(name, kind)| {
            address::normalise(name).is_ok() && ["a", "aaaa", "mx", "txt"].contains(&kind.to_ascii_lowercase().as_str())
        }),
        "home" => !value.is_empty() && !value.starts_with('-') && !value.contains('/'),
        "script" => {
            let (name, argument) = value.split_once('/').unwrap_or((value, ""));
            !argument.starts_with('-') && sheet.groups("script").iter().any(|script| text(script, "name") == Some(name))
        }
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    const LEAST: &str = "[paths]\npostoffice = \"/p\"\n[identity]\nhostname = \"a.example\"\n";

    fn faults(text: &str) -> Vec<String> {
        let parsed = crate::parse(&format!("{LEAST}{text}"), "f");
        parsed.map_or_else(|faults| faults.iter().map(|fault| fault.text.clone()).collect(), |_| Vec::new())
    }

    #[test]
    fn pipes_agents_and_scripts_in_all_their_forms() {
        let good = "[[pipe]]\nname = \"procmail\"\nprogram = [\"/usr/bin/procmail\", \"-d\", \"%u\", \"100%%\"]\nuser = \"joe\"\nflags = \"FP\"\n\
            [[pipe]]\nname = \"uu\"\nchannel = \"uucp\"\nprogram = [\"/usr/bin/uux\", \"-\", \"%h!rmail\", \"(%r)\"]\n\
            [[agent]]\nchannel = \"sms\"\nprogram = [\"/usr/bin/sms\"]\n[[agent]]\nchannel = \"fax\"\nuser = \"fax\"\n\
            [[script]]\nname = \"line-up\"\nprogram = [\"/bin/true\"]\n\
            [[route]]\ndomain = \"a.b\"\nchannel = \"pipe\"\nhost = \"procmail\"\n[[route]]\ndomain = \"b.b\"\nchannel = \"uucp\"\nhost = \"far\"\n\
            [[route]]\ndomain = \"c.b\"\nchannel = \"sms\"\n[[route]]\ndomain = \"d.b\"\nchannel = \"fax\"\n";
        assert_eq!(faults(good), Vec::<String>::new());
        let settings = crate::parse(&format!("{LEAST}{good}"), "f").unwrap();
        assert_eq!(settings.queue.channels, ["fax"]);
        assert_eq!(settings.pipe_for("pipe", "procmail").unwrap().umask, 0o77);
        assert_eq!(settings.pipe_for("uucp", "far").unwrap().name, "uu");
        assert!(settings.pipe_for("pipe", "uu").is_none() && settings.agent_for("sms").is_some());
        for host in [
            "ns:a.example/MX",
            "NS:a.example/a",
            "age:3h",
            "AGE:2d",
            "io",
            "IO:load",
            "home:joe",
            "HOME:joe",
            "script:line-up",
            "script:line-up/x",
            "timeout:17",
            "retry:x",
            "admin",
        ] {
            let route = format!("{good}[[route]]\ndomain = \"e.b\"\nchannel = \"hold\"\nhost = \"{host}\"\n");
            assert_eq!(faults(&route), Vec::<String>::new(), "{host}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        let pipe = |more: &str| format!("[[pipe]]\nname = \"p\"\nprogram = [\"/bin/cat\"]\n{more}\n");
        for (text, wanted) in [
            ("[[pipe]]\nname = \"p\"\nprogram = [\"cat\"]\n".to_owned(), "no absolute path"),
            ("[[pipe]]\nname = \"P\"\nprogram = [\"/bin/cat\"]\n".to_owned(), "is not made of"),
            ("[[pipe]]\nname = \"p\"\nprogram = []\n".to_owned(), "no program is named"),
            ("[[pipe]]\nname = \"p\"\nprogram = [\"/bin/cat\", \"%x\"]\n".to_owned(), "`%x`"),
            ("[[pipe]]\nname = \"p\"\nprogram = [\"/bin/cat\", \"5%\"]\n".to_owned(), "`% `"),
            (pipe("flags = \"Z\""), "`Z` is none"),
            (pipe("umask = \"9\""), "not octal"),
            (pipe("user = \"root\""), "nothing is run as root"),
            (pipe("channel = \"smtp\""), "is taken"),
            (pipe("") + &pipe(""), "already"),
            ("[[agent]]\nchannel = \"local\"\n".to_owned(), "is taken"),
            ("[queue]\nchannels = [\"x\"]\n[[agent]]\nchannel = \"x\"\n".to_owned(), "is taken"),
            ("[[route]]\ndomain = \"*\"\nchannel = \"pipe\"\nhost = \"none\"\n".to_owned(), "there is no [[pipe]]"),
        ] {
            assert!(faults(&text).iter().any(|fault| fault.contains(wanted)), "{text}: {:?}", faults(&text));
        }
        for host in ["age:x", "ns:a.example", "ns:a.example/SOA", "script:none", "home:", "now", "admin:x", "tomorrow", "home:../x"] {
            let route = format!("[[route]]\ndomain = \"*\"\nchannel = \"hold\"\nhost = \"{host}\"\n");
            assert!(faults(&route).iter().any(|fault| fault.contains("is none of")), "{host}");
        }
    }
}
