//! The server side: one exchange as a state machine. It hears the client's messages (decoded from base64), says
//! challenges, and asks for what only a back-end knows ([`Need`]); it holds no secrets of its own.

mod bearer;
mod plain;
mod scram;

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

use std::fmt;

/// Longest user name in bytes.
const MAX_USER: usize = 255;
/// Longest password in bytes: what costs an attacker one line must not cost us more than one look.
const MAX_PASSWORD: usize = 1024;

/// What a client may log in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// RFC 4616
    Plain,
    /// Never standardised, and asked for by many.
    Login,
    /// RFC 5802, RFC 7677
    ScramSha256,
    /// With channel binding: nobody stands between the two ends of TLS.
    ScramSha256Plus,
    /// RFC 7628
    OauthBearer,
    /// Google's and Microsoft's forerunner of it.
    Xoauth2,
}

/// In the order in which they are offered: the first one known is what most clients take.
pub const METHODS: [Method; 6] =
    [Method::ScramSha256Plus, Method::ScramSha256, Method::OauthBearer, Method::Xoauth2, Method::Plain, Method::Login];

impl Method {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::OauthBearer => "OAUTHBEARER",
            Self::Xoauth2 => "XOAUTH2",
        }
    }

    /// By its name, in any case.
    pub fn named(name: &str) -> Option<Self> {
        METHODS.into_iter().find(|method| method.name().eq_ignore_ascii_case(name))
    }
}

/// What only a back-end knows. The answer goes to [`Server::decided`] or [`Server::secret`].
#[derive(Clone, PartialEq, Eq)]
pub enum Need {
    /// Is this the user's password?
    Password { user: String, password: String },
    /// The keys of this user; for unknown ones [`crate::ScramSecret::decoy`], so that nobody can tell.
    ScramSecret { user: String },
    /// Is this token good, and whose is it? `user`: whose the client says it is.
    Token { user: Option<String>, token: String },
}

/// Without secrets.
impl fmt::Debug for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { user, .. } => write!(f, "Password({user:?})"),
            Self::ScramSecret { user } => write!(f, "ScramSecret({user:?})"),
            Self::Token { user, .. } => write!(f, "Token({user:?})"),
        }
    }
}

/// What is next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// Say this; the client's answer goes to [`Server::hear`].
    Challenge(Vec<u8>),
    Need(Need),
    /// The exchange is over: this user.
    Accepted(String),
    /// The exchange is over.
    Refused(Why),
}

/// Why nobody has logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The message is none of the mechanism.
    Malformed,
    /// Wrong password, unknown user, bad token: which of them is not said.
    Credentials,
    /// Wants to act as somebody else.
    Authorization,
    /// The client is bound to another TLS connection than ours, or was made to believe that we know no binding.
    Binding,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "message is none of the mechanism",
            Self::Credentials => "wrong credentials",
            Self::Authorization => "wants to act as another user",
            Self::Binding => "channel binding does not match",
        })
    }
}

/// What the connection gives to an exchange.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Channel bindings by name (`tls-exporter`, `tls-server-end-point`).
    pub bindings: Vec<(String, Vec<u8>)>,
    /// SCRAM-SHA-256-PLUS is among what was offered.
    pub offers_plus: bool,
    /// Printable, without comma, never used before. Only SCRAM needs it.
    pub nonce: String,
}

enum State {
    Begun,
    LoginUser,
    LoginPassword {
        user: String,
    },
    /// A [`Need`] is out.
    Judging,
    Scram(Box<scram::Scram>),
    /// The client is to be told why in the mechanism's way, says a last word, and is refused.
    Refusing,
    Over,
}

/// One exchange.
pub struct Server {
    method: Method,
    around: Surroundings,
    state: State,
    user: Option<String>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("method", &self.method).field("user", &self.user).finish_non_exhaustive()
    }
}

impl Server {
    /// Begins; `initial` is what the client said with its command.
    pub fn begin(method: Method, around: Surroundings, initial: Option<&[u8]>) -> (Self, Turn) {
        let mut server = Self { method, around, state: State::Begun, user: None };
        let turn = match (initial, method) {
            (Some(message), Method::Login) => server.login_user(message),
            (Some(message), _) => server.hear(message),
            (None, Method::Login) => {
                server.state = State::LoginUser;
                Turn::Challenge(b"Username:".to_vec())
            }
            (None, _) => Turn::Challenge(Vec::new()),
        };
        (server, turn)
    }

    /// Who the client says it is, once it has.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The client's next message.
    pub fn hear(&mut self, message: &[u8]) -> Turn {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Begun => self.first(message),
            State::LoginUser => self.login_user(message),
            State::LoginPassword { user } => match plain::password(message) {
                Some(password) => self.need_password(user, password),
                None => Turn::Refused(Why::Malformed),
            },
            State::Scram(mut scram) => {
                let turn = scram.hear(message);
                self.state = State::Scram(scram);
                self.over(turn)
            }
            State::Refusing => Turn::Refused(Why::Credentials),
            State::Judging | State::Over => Turn::Refused(Why::Malformed),
        }
    }

    /// The back-end's word on a password or a token: whose it is, in the back-end's spelling; `None`: nobody's.
    pub fn decided(&mut self, user: Option<String>) -> Turn {
        match (std::mem::replace(&mut self.state, State::Over), user) {
            (State::Judging, Some(user)) => Turn::Accepted(user),
            (State::Judging, None) => match bearer::refusal(self.method) {
                Some(text) => {
                    self.state = State::Refusing;
                    Turn::Challenge(text.to_vec())
                }
                None => Turn::Refused(Why::Credentials),
            },
            _ => Turn::Refused(Why::Malformed),
        }
    }

    /// The keys that were asked for.
    pub fn secret(&mut self, secret: crate::ScramSecret) -> Turn {
        match &mut self.state {
            State::Scram(scram) => scram.secret(secret),
            _ => self.over(Turn::Refused(Why::Malformed)),
        }
    }

    fn first(&mut self, message: &[u8]) -> Turn {
        match self.method {
            Method::Plain => match plain::plain(message) {
                Ok((user, password)) => self.need_password(user, password),
                Err(why) => Turn::Refused(why),
            },
            Method::Login => self.login_user(message),
            Method::ScramSha256 | Method::ScramSha256Plus => {
                match scram::Scram::begin(self.method == Method::ScramSha256Plus, &self.around, message) {
                    Ok((scram, user)) => {
                        self.user = Some(user.clone());
                        self.state = State::Scram(Box::new(scram));
                        Turn::Need(Need::ScramSecret { user })
                    }
                    Err(why) => Turn::Refused(why),
                }
            }
            Method::OauthBearer | Method::Xoauth2 => match bearer::token(self.method, message) {
                Ok((user, token)) => {
                    self.user.clone_from(&user);
                    self.state = State::Judging;
                    Turn::Need(Need::Token { user, token })
                }
                Err(why) => Turn::Refused(why),
            },
        }
    }

    fn login_user(&mut self, message: &[u8]) -> Turn {
        let Some(user) = plain::user(message) else {
            self.state = State::Over;
            return Turn::Refused(Why::Malformed);
        };
        self.user = Some(user.clone());
        self.state = State::LoginPassword { user };
        Turn::Challenge(b"Password:".to_vec())
    }

    fn need_password(&mut self, user: String, password: String) -> Turn {
        self.user = Some(user.clone());
        self.state = State::Judging;
        Turn::Need(Need::Password { user, password })
    }

    fn over(&mut self, turn: Turn) -> Turn {
        if matches!(turn, Turn::Accepted(_) | Turn::Refused(_)) {
            self.state = State::Over;
        }
        turn
    }
}
