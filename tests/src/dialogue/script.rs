//! One dialogue out of its file.

use super::pattern::unescape;

/// What the client does next, or what it must hear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Sent as one group.
    Send(Vec<u8>),
    /// So many replies that fit the pattern; `postfix`: what Postfix says there.
    Hear { times: usize, pattern: String, postfix: Option<String> },
    /// The last reply, all its lines, fits the pattern, or must not.
    Last { pattern: String, fits: bool },
    /// Shakes hands; `refused`: and must fail.
    Tls { alpn: Option<String>, refused: bool },
    /// The server has closed; nothing came before that.
    Close { postfix: bool },
    /// The next connection.
    Again,
}

/// What must have been delivered, or logged, once all is quiet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// So many messages arrived, over all mailboxes and next hops of this run.
    Messages { count: usize, postfix: Option<usize> },
    /// These bytes are, or are not, in one of them.
    Content { bytes: Vec<u8>, present: bool },
    /// This is, or is not, in the suite's log.
    Log { text: String, present: bool },
}

#[derive(Debug, Clone)]
pub struct Script {
    pub name: String,
    /// The first comment.
    pub title: String,
    /// TOML for the suite.
    pub config: String,
    /// The listener spoken to, where it is not the first: its section's body, `PORT` standing for the port.
    pub listener: Option<String>,
    /// The client is on no network of relay.networks.
    pub stranger: bool,
    /// Only meant for whole groups: it is about what stands together in one segment.
    pub whole: bool,
    /// Not for Postfix.
    pub ours: bool,
    pub actions: Vec<(usize, Action)>,
    pub outcomes: Vec<(usize, Outcome)>,
}

impl Script {
    /// Reads a dialogue; `run` is what `\u` stands for. `Err` says where the file is wrong.
    pub fn parse(name: &str, text: &str, run: &str) -> Result<Self, String> {
        let mut script = Self {
            name: name.to_owned(),
            title: String::new(),
            config: String::new(),
            listener: None,
            stranger: false,
            whole: false,
            ours: false,
            actions: Vec::new(),
            outcomes: Vec::new(),
        };
        for (number, line) in text.lines().enumerate() {
            script.line(number + 1, line, run).map_err(|fault| format!("{name}:{}: {fault}", number + 1))?;
        }
        if script.title.is_empty() || script.actions.is_empty() {
            return Err(format!("{name}: it has no title (# ...) or says nothing"));
        }
        Ok(script)
    }

    /// Bytes that the client sends.
    pub fn size(&self) -> usize {
        self.actions.iter().map(|(_, action)| if let Action::Send(bytes) = action { bytes.len() } else { 0 }).sum()
    }

    fn line(&mut self, number: usize, line: &str, run: &str) -> Result<(), String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let plain = || String::from_utf8(unescape(rest, run)?).map_err(|_| "not UTF-8".to_owned());
        match word {
            "" => {}
            "#" if self.title.is_empty() => rest.clone_into(&mut self.title),
            "#" => {}
            "config" => self.config.push_str(&format!("{rest}\n")),
            "listener" => self.listener = Some(format!("{}{rest}\n", self.listener.take().unwrap_or_default())),
            "stranger" => self.stranger = true,
            "whole" => self.whole = true,
            "ours" => self.ours = true,
            "C:" => self.send([unescape(rest, run)?, b"\r\n".to_vec()].concat(), number),
            "C+" => self.send(unescape(rest, run)?, number),
            "S:" => self.act(number, Action::Hear { times: 1, pattern: plain()?, postfix: None }),
            "has" | "lacks" => self.act(number, Action::Last { pattern: plain()?, fits: word == "has" }),
            "tls" => self.tls(number, rest)?,
            "close" => self.act(number, Action::Close { postfix: true }),
            "===" => self.act(number, Action::Again),
            "postfix:" => self.postfix(rest)?,
            "messages" => {
                let count = rest.parse().map_err(|_| "messages wants a number")?;
                self.outcomes.push((number, Outcome::Messages { count, postfix: None }));
            }
            "content" | "content!" => {
                self.outcomes.push((number, Outcome::Content { bytes: unescape(rest, run)?, present: word == "content" }));
            }
            "log" | "log!" => self.outcomes.push((number, Outcome::Log { text: plain()?, present: word == "log" })),
            _ => match word.strip_prefix("S*").and_then(|word| word.strip_suffix(':')) {
                Some(times) => {
                    let times = times.parse().map_err(|_| "S*N: wants a number")?;
                    self.act(number, Action::Hear { times, pattern: plain()?, postfix: None });
                }
                None => return Err(format!("{word:?} is no word of a dialogue")),
            },
        }
        Ok(())
    }

    fn act(&mut self, number: usize, action: Action) {
        self.actions.push((number, action));
    }

    /// Lines that follow each other are one group.
    fn send(&mut self, bytes: Vec<u8>, number: usize) {
        if let Some((_, Action::Send(group))) = self.actions.last_mut() {
            return group.extend_from_slice(&bytes);
        }
        self.act(number, Action::Send(bytes));
    }

    fn tls(&mut self, number: usize, rest: &str) -> Result<(), String> {
        let (mut alpn, mut refused) = (None, false);
        let mut words = rest.split_whitespace();
        while let Some(word) = words.next() {
            match word {
                "alpn" => alpn = Some(words.next().ok_or("alpn wants a name")?.to_owned()),
                "refused" => refused = true,
                other => return Err(format!("tls {other} is unknown")),
            }
        }
        self.act(number, Action::Tls { alpn, refused });
        Ok(())
    }

    /// What Postfix does where the line before says what we do.
    fn postfix(&mut self, rest: &str) -> Result<(), String> {
        let last = self.outcomes.last_mut().filter(|(at, _)| self.actions.last().is_none_or(|(action, _)| at > action));
        match (last, self.actions.last_mut()) {
            (Some((_, Outcome::Messages { postfix, .. })), _) => {
                *postfix = Some(rest.parse().map_err(|_| "a number of messages is wanted")?)
            }
            (None, Some((_, Action::Hear { postfix, .. }))) => *postfix = Some(rest.to_owned()),
            (None, Some((_, Action::Close { postfix }))) if rest == "stays" => *postfix = false,
            _ => return Err("postfix: stands behind S:, messages or close".to_owned()),
        }
        Ok(())
    }
}
