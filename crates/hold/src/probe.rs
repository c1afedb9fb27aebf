//! Looking whether a condition holds: the resolver, a home folder, a program. Each look takes a bounded time, in which the
//! agent does nothing else.

use crate::condition::Kind;
use ipc::Caller;
use ipc::dns::{Ask, Question, Told, Trouble};
use nix::unistd::User;
use program::{Bytes, Ending, Order};
use settings::Settings;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Beyond the resolver's own deadline.
const GRACE: Duration = Duration::from_secs(2);
/// Bytes kept of what a script says.
const OUTPUT: usize = 4096;

/// What the conditions look at. `Ok`: it holds, with a reason; `Err`: what the message waits for.
#[derive(Debug)]
pub struct Probe {
    settings: Option<Arc<Settings>>,
    resolver: Option<Caller>,
}

impl Probe {
    pub const fn new(settings: Arc<Settings>, resolver: Option<Caller>) -> Self {
        Self { settings: Some(settings), resolver }
    }

    /// No configuration and no resolver: every look fails.
    pub const fn none() -> Self {
        Self { settings: None, resolver: None }
    }

    /// A name is there, or certainly is not: what was asked for it before can be asked again.
    pub fn lookup(&self, name: &str, kind: Kind) -> Result<String, String> {
        let resolver = self.resolver.as_ref().ok_or("held: there is no resolver to ask")?;
        let name = name.to_owned();
        let question = match kind {
            Kind::Address => Question::Addresses { host: name.clone() },
            Kind::Mx => Question::MailHosts { domain: name.clone(), validate: false },
            Kind::Text => Question::Text { name: name.clone() },
        };
        let patience = self.settings.as_ref().map_or(Duration::ZERO, |settings| settings.dns.deadline);
        let trouble = |e: &dyn std::fmt::Display| format!("held: the resolver cannot be asked: {e}");
        let mut conversation = resolver.call::<Ask, Told>().map_err(|e| trouble(&e))?;
        conversation.send(&Ask { number: 1, question }).map_err(|e| trouble(&e))?;
        let (told, _) = conversation.recv_by(Instant::now() + patience + GRACE).map_err(|e| trouble(&e))?;
        match told.answer {
            Err(Trouble::Temporary(why)) => Err(format!("held: {name} cannot be looked up: {}", clean(&why))),
            _ => Ok(format!("{name} can be looked up")),
        }
    }

    /// The home folder of a user is there.
    pub fn home(user: &str) -> Result<String, String> {
        let account = User::from_name(user).map_err(|e| format!("held: system accounts: {e}"))?;
        let home = account.ok_or_else(|| format!("held: there is no such user {}", clean(user)))?.dir;
        std::fs::metadata(&home).map(|_| format!("{} is there", home.display())).map_err(|e| format!("held: {}: {e}", home.display()))
    }

    /// A program of the configuration ends with exit code 0.
    pub fn script(&self, name: &str, argument: Option<&str>) -> Result<String, String> {
        let found = self.settings.as_ref().and_then(|settings| settings.scripts.iter().find(|script| script.name == name));
        let script = found.ok_or_else(|| format!("held: there is no [[script]] {}", clean(name)))?;
        let path = script.program.first().map(Path::new).unwrap_or(Path::new(""));
        program::check_program(path, Some(nix::unistd::geteuid().as_raw())).map_err(|e| format!("held: {}", e.0))?;
        let order = Order {
            words: script.program.iter().cloned().chain(argument.map(str::to_owned)).collect(),
            environment: vec![("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned())],
            folder: "/".into(),
            identity: None,
            umask: 0o077,
            timeout: script.timeout,
            max_output: OUTPUT,
        };
        let ended = program::run(order, Box::new(Bytes::default()));
        match ended.ending {
            Ending::Exited(0) => Ok(format!("script {name} says yes")),
            _ => Err(format!("held: script {name}: {}", ended.judgement().text)),
        }
    }
}

/// Text of others, for the log.
pub(crate) fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}
