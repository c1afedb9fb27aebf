//! What a fuzzer's bytes mean.

use smtp::server::{Config, Offers, Protocol, RelayPolicy, Rights, Security};

/// Ends a piece.
pub const CUT: u8 = 0x1d;
/// The next byte is the driver's next answer.
pub const ANSWER: u8 = 0x1e;
/// The next byte is a word of [`WORDS`].
pub const WORD: u8 = 0x1c;
/// The next byte stands for itself.
pub const LITERAL: u8 = 0x1b;

/// What a client says often: a mutation finds it in one byte.
pub const WORDS: &[&[u8]] = &[
    b"EHLO client.example\r\n",
    b"HELO client.example\r\n",
    b"LHLO client.example\r\n",
    b"MAIL FROM:<a@sender.example>\r\n",
    b"MAIL FROM:<>\r\n",
    b"MAIL FROM:<a@sender.example> BODY=BINARYMIME\r\n",
    b"MAIL FROM:<a@sender.example> BODY=8BITMIME SIZE=100 RET=HDRS ENVID=x\r\n",
    b"MAIL FROM:<\xc3\xa4@sender.example> SMTPUTF8\r\n",
    b"RCPT TO:<b@local.example>\r\n",
    b"RCPT TO:<c@x.relay.example>\r\n",
    b"RCPT TO:<d@elsewhere.example>\r\n",
    b"RCPT TO:<postmaster>\r\n",
    b"RCPT TO:<b@local.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;o@x.example\r\n",
    b"DATA\r\n",
    b"Subject: x\r\n\r\nbody\r\n.\r\n",
    b"BDAT 0 LAST\r\n",
    b"BDAT 4\r\n",
    b"BDAT 10 LAST\r\n",
    b"BDAT 300\r\n",
    b"RSET\r\n",
    b"NOOP\r\n",
    b"QUIT\r\n",
    b"STARTTLS\r\n",
    b"AUTH PLAIN AHUAcA==\r\n",
    b"AUTH PLAIN\r\n",
    b"AUTH LOGIN\r\n",
    b"AHUAcA==\r\n",
    b"*\r\n",
    b"VRFY b\r\n",
    b"ETRN sender.example\r\n",
    b"\r\n.\r\n",
    b"\n.\n",
    b"\r\n",
    b"Received: by x\r\n",
    b"EXPN b\r\n",
    b"EXPN list@local.example\r\n",
    b"XCLIENT ADDR=192.0.2.1 NAME=c.example\r\n",
    b"XCLIENT HELO=c.example PROTO=SMTP LOGIN=u\r\n",
    b"XFORWARD NAME=c.example ADDR=192.0.2.1\r\n",
    b"MAIL FROM:<a@sender.example> BY=100;R HOLDFOR=50 MT-PRIORITY=3 PRDR\r\n",
    b"MAIL FROM:<a@sender.example> REQUIRETLS AUTH=<>\r\n",
    b"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789",
    b"MAIL FROM:<a@sender.example> PRDR\r\n",
];

/// The driver's answer to a question; to those that it does not fit, yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Yes,
    No(u16),
    /// Against the relay policy.
    Grant,
    /// One more message of a login.
    Challenge,
    /// At the end of a message: refused for the recipients of these bits.
    Each(u8),
}

#[derive(Debug, Clone)]
pub struct Case {
    pub config: Config,
    pub protocol: Protocol,
    pub rights: Rights,
    pub security: Security,
    pub pieces: Vec<Vec<u8>>,
    pub answers: Vec<Answer>,
}

/// Small, so that limits are reached.
pub const MOST_BYTES: u64 = 2000;
pub const MOST_HEADER: u64 = 1000;
pub const MOST_LINE: u64 = 500;
pub const MOST_HOPS: u32 = 3;

impl Case {
    pub fn read(input: &[u8]) -> Self {
        let (choices, rest) = input.split_at_checked(3).unwrap_or((&[0, 0, 0], input));
        let (first, second, third) = (choices[0], choices[1], choices[2]);
        let bit = |byte: u8, number: u8| byte >> number & 1 == 1;
        let (mechanisms, tls_required) = (bit(first, 5), bit(second, 1));
        // Rights to come are not given before the model knows them.
        #[allow(clippy::needless_update)]
        let rights = Rights {
            relay: bit(first, 3),
            etrn: bit(first, 4),
            mechanisms: if mechanisms { vec!["PLAIN".into(), "LOGIN".into()] } else { Vec::new() },
            auth_after_tls: bit(second, 2),
            login_required: bit(second, 0) && mechanisms,
            tls_required,
            max_message_size: bit(second, 3).then_some(1000),
            vrfy: bit(third, 0),
            expn: bit(third, 1),
            xclient: bit(third, 2),
            xforward: bit(third, 3),
            prdr: bit(third, 4),
            ask_hello: bit(first, 6),
            ask_data: bit(first, 7),
            ..Rights::default()
        };
        let offers = Offers {
            clock: || 1_700_000_000,
            max_hold: if bit(third, 5) { 1000 } else { 0 },
            max_messages: bit(third, 6).then_some(2),
            ..Offers::default()
        };
        let config = Config {
            hostname: "mx.example".into(),
            banner: "ESMTP".into(),
            max_message_size: MOST_BYTES,
            max_recipients: 5,
            max_hops: MOST_HOPS,
            max_errors: if bit(second, 4) { 3 } else { 50 },
            max_idle_commands: if bit(second, 5) { 3 } else { 50 },
            max_refused_recipients: if bit(third, 7) { 2 } else { 1000 },
            max_header_bytes: MOST_HEADER,
            max_line: MOST_LINE,
            blank_newlines: bit(first, 2),
            relay: RelayPolicy { local: vec!["local.example".into()], relay: vec![".relay.example".into()], ..RelayPolicy::default() },
            offers,
        };
        let protocol = [Protocol::Smtp, Protocol::Submission, Protocol::Lmtp, Protocol::Smtp][usize::from(first & 3)];
        let security = [Security::Offered, Security::Plain, Security::Tls, Security::Offered][usize::from(second >> 6)];
        let mut case = Self { config, protocol, rights, security, pieces: vec![Vec::new()], answers: Vec::new() };
        // A polite client waits for each reply; another one cuts only where the input says so.
        case.stream(rest, first & 3 != 3);
        case
    }

    fn stream(&mut self, input: &[u8], polite: bool) {
        let mut bytes = input.iter().copied();
        while let Some(byte) = bytes.next() {
            match byte {
                CUT => self.cut(),
                ANSWER => {
                    let byte = bytes.next().unwrap_or(0);
                    let answer = match byte % 8 {
                        0 => Answer::Yes,
                        1 => Answer::No(550),
                        2 => Answer::No(450),
                        3 => Answer::No(421),
                        4 => Answer::Grant,
                        5 => Answer::Each(byte >> 3),
                        _ => Answer::Challenge,
                    };
                    self.answers.push(answer);
                }
                WORD => {
                    let at = usize::from(bytes.next().unwrap_or(0)) % WORDS.len();
                    for byte in WORDS[at] {
                        self.push(*byte, polite);
                    }
                }
                LITERAL => self.push(bytes.next().unwrap_or(0), polite),
                byte => self.push(byte, polite),
            }
        }
    }

    fn push(&mut self, byte: u8, polite: bool) {
        self.pieces.last_mut().expect("never empty").push(byte);
        if polite && byte == b'\n' {
            self.cut();
        }
    }

    fn cut(&mut self) {
        if self.pieces.last().is_some_and(|piece| !piece.is_empty()) {
            self.pieces.push(Vec::new());
        }
    }
}
