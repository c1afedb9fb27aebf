//! Replies out of the session's output, and whether they are well formed.

use std::collections::VecDeque;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub code: u16,
    pub text: String,
}

/// Output that has not been matched with commands.
#[derive(Debug, Default)]
pub struct Replies {
    ready: VecDeque<Reply>,
    /// How many there have been, and how many of them were matched.
    pub heard: usize,
    pub matched: usize,
}

impl Replies {
    /// Takes what one call of the session has said: whole replies, always.
    pub fn heard(&mut self, output: &[u8]) {
        let text = std::str::from_utf8(output).expect("replies are ASCII");
        assert!(text.is_empty() || text.ends_with("\r\n"), "half a line: {text:?}");
        let mut open: Option<Reply> = None;
        for line in text.split_terminator("\r\n") {
            assert!(line.bytes().all(|b| (b' '..=b'~').contains(&b)), "not printable: {line:?}");
            assert!((4..=510).contains(&line.len()), "too long or too short: {line:?}");
            let code: u16 = line[..3].parse().unwrap_or_else(|_| panic!("no code: {line:?}"));
            assert!((200..600).contains(&code), "{line:?}");
            let reply = open.get_or_insert_with(|| Reply { code, text: String::new() });
            assert_eq!(reply.code, code, "the code changes: {text:?}");
            reply.text.push_str(&line[4..]);
            match line.as_bytes()[3] {
                b' ' => {
                    self.ready.extend(open.take());
                    self.heard += 1;
                }
                b'-' => reply.text.push('\n'),
                _ => panic!("no reply line: {line:?}"),
            }
        }
        assert!(open.is_none(), "a reply without its last line: {text:?}");
    }

    /// The next reply, which must carry an enhanced status unless `plain` (RFC 2034 section 4).
    pub fn next(&mut self, plain: bool) -> Option<Reply> {
        let reply = self.ready.pop_front()?;
        self.matched += 1;
        let carries = reply.text.split(' ').next().is_some_and(|status| {
            let numbers: Vec<&str> = status.split('.').collect();
            numbers.len() == 3
                && numbers.iter().all(|n| (1..=3).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_digit()))
                && numbers[0] == (reply.code / 100).to_string()
        });
        let free = (300..400).contains(&reply.code) || (plain && reply.code / 100 == 2);
        assert!(carries || free, "no enhanced status: {reply:?}");
        Some(reply)
    }

    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }
}
