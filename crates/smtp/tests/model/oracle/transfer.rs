//! Content: when it may begin, and what becomes of it.

use super::super::content::{self, Due, Framing};
use super::super::run::{Event, replies_due};
use super::{Oracle, Phase};
use smtp::server::Protocol;

impl Oracle<'_> {
    pub(super) fn data(&mut self, code: u16) {
        let asked = match self.event() {
            None => return assert!(code >= 400, "DATA was taken and nobody asked"),
            Some(Event::Data(verdict)) => verdict,
            Some(Event::Begin) => Ok(()),
            other => panic!("{other:?} at DATA"),
        };
        self.may_begin();
        assert!(!self.binary, "BINARYMIME with DATA");
        match asked {
            Ok(()) => {
                assert_eq!(code, 354);
                self.phase = Phase::Content;
            }
            Err(refusal) => {
                assert_eq!(code, refusal);
                self.clear();
            }
        }
    }

    /// The heart of it: no content without a sender and a recipient.
    fn may_begin(&self) {
        assert!(self.transaction.as_ref().is_some_and(|recipients| !recipients.is_empty()), "content without a recipient");
        assert!(self.chunks.is_none(), "content within content");
    }

    pub(super) fn bdat(&mut self, argument: &[u8]) {
        let words: Vec<&[u8]> = argument.split(|b| *b == b' ').collect();
        let size = Some(words[0]).filter(|w| (1..=18).contains(&w.len()) && w.iter().all(u8::is_ascii_digit));
        let last = words.get(1).map(|word| word.eq_ignore_ascii_case(b"LAST"));
        match (size, last, words.len()) {
            (Some(size), None | Some(true), 1 | 2) => {
                let size = std::str::from_utf8(size).unwrap().parse().unwrap();
                let taken = self.chunks.is_some() || self.transaction.as_ref().is_some_and(|recipients| !recipients.is_empty());
                self.phase = Phase::Chunk { size, last: last.is_some(), taken };
                if taken && self.chunks.is_none() {
                    self.begin_chunks();
                }
            }
            _ => {
                let reply = self.reply(false);
                assert!(reply.code == 501 || reply.code == 421, "{reply:?} to a malformed BDAT");
                self.close();
            }
        }
    }

    fn begin_chunks(&mut self) {
        // Whoever is not heard of any more has been closed meanwhile: the reply tells.
        match self.event_of(self.replies.matched) {
            Some(Event::Begin | Event::Data(Ok(()))) => {
                self.may_begin();
                self.chunks = Some(Vec::new());
            }
            Some(Event::Data(Err(refusal))) => {
                self.clear();
                self.refused = Some(refusal);
            }
            None => {}
            other => panic!("{other:?} at BDAT"),
        }
    }

    pub(super) fn chunk(&mut self, octets: &[u8], last: bool, taken: bool) {
        if let (true, Some(chunks)) = (taken, &mut self.chunks) {
            chunks.extend_from_slice(octets);
            let (wire, framing) = (chunks.clone(), if self.binary { Framing::Octets } else { Framing::Lines });
            return if last { self.end(&wire, framing) } else { self.part(&wire, framing) };
        }
        let refused = self.refused.take();
        let reply = self.reply(false);
        match refused {
            _ if self.closed => {}
            Some(code) => assert_eq!(reply.code, code),
            None => assert!(!taken && reply.code >= 500, "a chunk where none belongs: {reply:?}"),
        }
    }

    /// A chunk that is not the last.
    fn part(&mut self, wire: &[u8], framing: Framing) {
        let due = self.due(wire, framing, false);
        let reply = self.reply(false);
        if self.closed {
            return;
        }
        if reply.code == 250 {
            return assert_ne!(due, Due::Refused, "a chunk was taken: {:?}", wire.escape_ascii().to_string());
        }
        assert!(matches!(self.event(), Some(Event::Refused)), "content left with the driver");
        assert!(!matches!(due, Due::Taken(_)), "{reply:?} to a good chunk: {:?}", wire.escape_ascii().to_string());
        self.clear();
    }

    fn due(&self, wire: &[u8], framing: Framing, last: bool) -> Due {
        let most = self.case.rights.max_message_size.unwrap_or(u64::MAX);
        content::read(wire, framing, self.case.config.blank_newlines, most, last)
    }

    /// The end of content: one message or one refusal.
    pub(super) fn end(&mut self, wire: &[u8], framing: Framing) {
        let due = self.due(wire, framing, true);
        let recipients = self.transaction.take().expect("content has a transaction");
        let prdr = self.prdr;
        self.clear();
        let (first, count) = (self.replies.matched, replies_due(self.case, recipients.len()));
        let event = self.event_of(first).or_else(|| self.event_of(first + count - 1)).expect("an end that nobody was told of");
        let due_codes = match &event {
            Event::End { verdicts, .. } => self.codes_due(verdicts, prdr),
            _ => vec![0; count],
        };
        let codes: Vec<u16> = due_codes.iter().map(|_| self.reply(false).code).collect();
        let sent = wire.escape_ascii().to_string();
        match event {
            Event::End { recipients: given, content, verdicts } => {
                assert_eq!(given, recipients, "the message's recipients");
                assert_eq!(codes, due_codes, "after {verdicts:?}");
                match due {
                    Due::Taken(text) | Due::Either(text) => {
                        assert_eq!(content.escape_ascii().to_string(), text.escape_ascii().to_string(), "content of {sent:?}");
                    }
                    Due::Refused => panic!("taken, and must not be: {sent:?}"),
                    Due::Unknown => {}
                }
            }
            Event::Refused => {
                assert!(!matches!(due, Due::Taken(_)), "{codes:?} to good content: {sent:?}");
                assert!(codes.iter().all(|code| *code >= 500), "{codes:?}");
            }
            other => panic!("{other:?} at the end of content"),
        }
    }

    /// Nobody is told of a message that is not there, and whoever is refused hears so: one by one where the protocol allows
    /// it, else all together.
    fn codes_due(&self, verdicts: &[Result<(), u16>], prdr: bool) -> Vec<u16> {
        let first = verdicts.iter().find_map(|verdict| verdict.err());
        let alike = verdicts.iter().all(|verdict| verdict.err() == first);
        let lmtp = self.case.protocol == Protocol::Lmtp;
        if alike || !(prdr || lmtp) {
            let code = first.unwrap_or(250);
            return vec![code; if lmtp { verdicts.len() } else { 1 }];
        }
        // 421 is for sessions.
        let mut codes: Vec<u16> = verdicts.iter().map(|v| v.err().map_or(250, |code| if code == 421 { 451 } else { code })).collect();
        if prdr {
            // The last reply overrules the others.
            let whole = match () {
                () if codes.contains(&250) => 250,
                () if codes.iter().any(|code| *code < 500) => 450,
                () => 550,
            };
            codes.insert(0, 353);
            codes.push(whole);
        }
        codes
    }
}
