//! What happens with one copy once this process may touch what is the user's: the loop check, the `.forward`, the mailbox.

use crate::delivery::{Copy as MailCopy, Mailbox};
use crate::forward::{self, Entry};
use crate::home::{self, Found};
use crate::original::Original;
use crate::verdict::Verdict;
use ipc::deliveries::{Answer, Copy, Manner};
use program::{Account, Content, Order};
use status::Outcome;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest detail that names a `.forward+detail`, in bytes.
const MAX_DETAIL: usize = 100;
/// Bytes of a program's output that are looked at.
const MAX_OUTPUT: usize = 4096;

/// Delivers a copy as the user that this process runs as.
pub fn deliver(copy: &Copy, manner: &Manner, file: &File) -> Answer {
    let opened = Original::open(file, &copy.job);
    match opened {
        Err(e) => Verdict::of_error("the message", &e).into(),
        Ok(original) => match Local::new(copy, manner, file, &original) {
            Ok(local) => local.deliver(),
            Err(verdict) => verdict.into(),
        },
    }
}

impl From<Verdict> for Answer {
    fn from(verdict: Verdict) -> Self {
        let Verdict { outcome, status, text } = verdict.clean();
        Self { outcome, status, text, place: "-".to_owned(), addresses: Vec::new(), kept: false, warning: None }
    }
}

struct Local<'a> {
    order: &'a Copy,
    manner: &'a Manner,
    file: &'a File,
    mail: MailCopy<'a>,
    mailbox: Mailbox,
    /// Programs of this copy must have ended by then.
    deadline: Instant,
}

impl<'a> Local<'a> {
    fn new(order: &'a Copy, manner: &'a Manner, file: &'a File, original: &'a Original<'a>) -> Result<Self, Verdict> {
        let [recipient] = order.job.recipients.as_slice() else { return Err(Verdict::deferred(3, 5, "a copy has one recipient")) };
        let mail = MailCopy {
            original,
            sender: &order.job.sender,
            address: &recipient.user,
            user: &order.user,
            detail: order.detail.as_deref(),
            manner,
            now: daemon::clock::unix_seconds(),
        };
        let deadline = Instant::now() + Duration::from_millis(manner.program_time);
        Ok(Self { order, manner, file, mail, mailbox: Mailbox::new(&order.mailbox), deadline })
    }

    fn deliver(&self) -> Answer {
        let address = self.mail.address;
        if self.mail.original.was_delivered_to(address) {
            return Verdict::failed(4, 6, format!("mail for {address} loops: it has been delivered there before")).into();
        }
        if let Some(task) = &self.order.task {
            return match crate::task::entry(task, self.manner) {
                Ok(entry) => self.entries(vec![entry]),
                Err(verdict) => verdict.into(),
            };
        }
        if !self.order.forward {
            return self.to_mailbox(None);
        }
        match self.forward() {
            Err(verdict) => verdict.into(),
            Ok(Ok(entries)) if entries.is_empty() => self.to_mailbox(None),
            Ok(Ok(entries)) => self.entries(entries),
            Ok(Err(why)) => self.to_mailbox(Some(why)),
        }
    }

    /// Entries of the user's file; `Ok(Err)`: it is not used, and why; `Err`: tried again.
    fn forward(&self) -> Result<Result<Vec<Entry>, String>, Verdict> {
        let Some(folder) = self.order.home.as_deref().filter(|folder| home::is_home(folder)) else { return Ok(Ok(Vec::new())) };
        let owner = nix::unistd::geteuid().as_raw();
        match home::read(Path::new(folder), &names(self.order.detail.as_deref()), owner) {
            Ok(Found::Nothing) => Ok(Ok(Vec::new())),
            Ok(Found::Unsafe(why)) => Ok(Err(why)),
            Ok(Found::Text(text)) => {
                let entries = forward::parse(&text, &self.order.user).and_then(|entries| self.allowed(entries, owner));
                Ok(entries.map_err(|why| format!(".forward: {why}")))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !self.manner.require_home => Ok(Ok(Vec::new())),
            Err(e) => Err(Verdict::of_error("the user's home folder", &e)),
        }
    }

    /// Programs only where they may be, and are ones that nobody else can have changed.
    fn allowed(&self, entries: Vec<Entry>, owner: u32) -> Result<Vec<Entry>, String> {
        for entry in &entries {
            if let Entry::Program(words) = entry {
                if !self.manner.programs {
                    return Err("programs are not allowed here ([local] forward_programs)".to_owned());
                }
                let name = words.first().map(String::as_str).unwrap_or_default();
                program::check_program(Path::new(name), Some(owner)).map_err(|fault| fault.to_string())?;
            }
        }
        Ok(entries)
    }

    fn to_mailbox(&self, warning: Option<String>) -> Answer {
        let mut answer = Answer::from(self.mailbox.deliver(&self.mail));
        answer.place = self.mailbox.path().display().to_string();
        answer.kept = answer.outcome == Outcome::Delivered;
        if let (Some(why), true) = (&warning, answer.kept) {
            answer.text = format!("{}; {why}", answer.text);
        }
        answer.warning = warning;
        answer
    }

    /// What most often fails comes first and the submission, which hardly ever fails, last: what is deferred is done
    /// again from the beginning, and what was done already then comes twice.
    fn entries(&self, mut entries: Vec<Entry>) -> Answer {
        entries.sort_by_key(|entry| match entry {
            Entry::Program(_) => 0,
            Entry::File(_) => 1,
            Entry::Own => 2,
            Entry::Address(_) => 3,
        });
        let (mut addresses, mut places, mut failure) = (Vec::new(), Vec::new(), None);
        for entry in entries {
            let (verdict, place) = match entry {
                Entry::Address(address) => {
                    addresses.push(address);
                    continue;
                }
                Entry::Program(words) => (self.run(&words), format!("|{}", words.first().map(String::as_str).unwrap_or_default())),
                Entry::File(path) => (self.to_file(&path), path.display().to_string()),
                Entry::Own => (self.mailbox.deliver(&self.mail), self.mailbox.path().display().to_string()),
            };
            match verdict.outcome {
                Outcome::Delivered => places.push((place, verdict.text)),
                Outcome::Deferred => return verdict.into(),
                Outcome::Failed => failure = Some(verdict),
            }
        }
        let text = places.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join(", ");
        let mut answer = Answer::from(failure.unwrap_or_else(|| Verdict::delivered(text)));
        answer.kept = !places.is_empty();
        if answer.kept {
            answer.place = places.into_iter().map(|(place, _)| place).collect::<Vec<_>>().join(", ");
        }
        answer.addresses = addresses;
        answer
    }

    fn to_file(&self, path: &Path) -> Verdict {
        let text = path.to_string_lossy();
        if text == "/dev/null" {
            return Verdict::delivered("discarded");
        }
        let own = PathBuf::from(text.trim_end_matches('/'));
        if text.ends_with('/') { Mailbox::Maildir(own).deliver(&self.mail) } else { Mailbox::Mbox(own).deliver(&self.mail) }
    }

    fn run(&self, words: &[String]) -> Verdict {
        let account =
            Account { user: self.order.user.clone(), home: self.order.home.clone().unwrap_or_default(), shell: self.order.shell.clone() };
        let job = &self.order.job;
        let message_id = self.mail.original.message_id();
        let order = Order {
            words: words.to_vec(),
            environment: program::environment(job, job.recipients.first(), &account, &message_id),
            folder: if self.order.task.is_some() { crate::task::folder(self.order.home.as_deref()) } else { PathBuf::from(&account.home) },
            identity: None,
            umask: 0o077,
            timeout: self.deadline.saturating_duration_since(Instant::now()),
            max_output: MAX_OUTPUT,
        };
        let input = match self.file.try_clone() {
            Ok(file) => file,
            Err(e) => return Verdict::of_error("the message", &e),
        };
        let mut front = message::from_line(self.mail.sender, self.mail.now).into_bytes();
        front.extend(self.mail.trace_fields());
        let content = self.mail.original.content();
        front.extend(&content.head);
        let ended = program::run(order, Box::new(Content::new(input, content.offset, content.rest, front)));
        let judgement = ended.judgement();
        Verdict { outcome: judgement.outcome, status: judgement.status, text: judgement.text }
    }
}

/// The files asked for, the more special one first. A detail that is no plain part of a name has none of its own.
fn names(detail: Option<&str>) -> Vec<String> {
    let plain = |detail: &&str| detail.len() <= MAX_DETAIL && !detail.contains('/') && !detail.chars().any(char::is_control);
    let special = detail.filter(plain).map(|detail| format!(".forward+{detail}"));
    special.into_iter().chain([".forward".to_owned()]).collect()
}
