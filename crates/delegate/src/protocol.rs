//! Questions and answers as bytes.

/// Attributes of a question at most.
const MOST_ATTRIBUTES: usize = 100;
/// Bytes of a name, and of a value.
const MOST_NAME: usize = 64;
const MOST_VALUE: usize = 2048;
/// Bytes of an answer, all its lines together.
const MOST_ANSWER: usize = 8192;

/// A question without one of these would be about somebody else.
const TELLING: &[&str] = &["request", "protocol_state", "client_address", "sender", "recipient", "sasl_username"];

/// A question for the wire, and the names of attributes that were left out. `Err`: why it must not be asked.
pub fn question(attributes: &[(String, String)]) -> Result<(Vec<u8>, Vec<&str>), String> {
    if attributes.len() > MOST_ATTRIBUTES || attributes.first().is_none_or(|(name, _)| name != "request") {
        return Err("the question is no policy request".to_owned());
    }
    let (mut bytes, mut left_out) = (Vec::with_capacity(1024), Vec::new());
    for (name, value) in attributes {
        if is_name(name) && is_value(value) {
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(b'=');
            bytes.extend_from_slice(value.as_bytes());
            bytes.push(b'\n');
        } else if TELLING.contains(&name.as_str()) {
            return Err(format!("{name} holds what cannot be said in the protocol"));
        } else {
            left_out.push(name.as_str());
        }
    }
    bytes.push(b'\n');
    Ok((bytes, left_out))
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= MOST_NAME && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn is_value(value: &str) -> bool {
    value.len() <= MOST_VALUE && !value.chars().any(char::is_control)
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What follows `action=`.
    pub action: String,
    /// More came than the answer: the next one on this connection could be to nothing we asked.
    pub more: bool,
}

/// Reads answers, however they are cut into pieces.
#[derive(Debug, Default)]
pub struct AnswerReader(Vec<u8>);

impl AnswerReader {
    /// `None`: not complete yet. `Err`: it is no answer, and nothing after it can be trusted.
    pub fn take(&mut self, piece: &[u8]) -> Result<Option<Answer>, String> {
        self.0.extend_from_slice(piece.get(..MOST_ANSWER.min(piece.len())).unwrap_or_default());
        let Some((end, length)) = end(&self.0) else {
            return if self.0.len() >= MOST_ANSWER { Err(format!("an answer of more than {MOST_ANSWER} bytes")) } else { Ok(None) };
        };
        let more = self.0.len() > end.saturating_add(length);
        let lines = std::mem::take(&mut self.0);
        let mut action = None;
        for line in lines.get(..end).unwrap_or_default().split(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned();
            match line.split_once('=') {
                Some(("action", value)) if action.is_none() => action = Some(value.to_owned()),
                Some(("action", _)) => return Err("an answer of two actions".to_owned()),
                Some(_) => {}
                None => return Err("an answer with a line that is no attribute".to_owned()),
            }
        }
        action.map(|action| Some(Answer { action, more })).ok_or_else(|| "an answer without action".to_owned())
    }

    pub const fn new() -> Self {
        Self(Vec::new())
    }

    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Where the lines end, and the length of the line ends there.
fn end(bytes: &[u8]) -> Option<(usize, usize)> {
    let find = |end: &[u8]| bytes.windows(end.len()).position(|window| window == end).map(|at| (at, end.len()));
    match bytes.first() {
        // An empty line first: an answer of nothing.
        Some(b'\n') => Some((0, 1)),
        _ => find(b"\n\n").into_iter().chain(find(b"\r\n\r\n")).min(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn attributes(more: &[(&str, &str)]) -> Vec<(String, String)> {
        let request = [("request", "smtpd_access_policy")];
        request.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_question() {
        let attributes = attributes(&[("sender", "a b@x"), ("helo_name", "h=1"), ("size", "")]);
        let (bytes, left_out) = question(&attributes).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), "request=smtpd_access_policy\nsender=a b@x\nhelo_name=h=1\nsize=\n\n");
        assert!(left_out.is_empty());
    }

    /// Hostile keys and values (a policy protocol key that holds a line end): never sent, in no part.
    #[test]
    fn what_could_end_a_line_stays_here() {
        let long = "x".repeat(10_240);
        for value in ["a\nrecipient=b@y", "a\r\n", "a\0b", "\u{85}", long.as_str()] {
            let hostile = attributes(&[("helo_name", value), ("size", "1")]);
            let (bytes, left_out) = question(&hostile).unwrap();
            assert_eq!((bytes.as_slice(), left_out), (b"request=smtpd_access_policy\nsize=1\n\n".as_slice(), vec!["helo_name"]));
            for telling in ["sender", "recipient", "client_address"] {
                assert!(question(&attributes(&[(telling, value)])).is_err(), "{telling} {value:?}");
            }
        }
        for name in ["a\nb", "", "a=b", "a b", "a\0", long.as_str()] {
            let hostile = attributes(&[(name, "x")]);
            assert_eq!(question(&hostile).unwrap().0, b"request=smtpd_access_policy\n\n", "{name:?}");
        }
        assert!(question(&attributes(&vec![("a", "b"); 100])).is_err());
        assert!(question(&[("sender".to_owned(), "a@x".to_owned())]).is_err());
        assert!(question(&[]).is_err());
    }

    fn read(text: &[u8]) -> Result<Option<Answer>, String> {
        AnswerReader::default().take(text)
    }

    #[test]
    fn answers() {
        let answer = |action: &str, more| Ok(Some(Answer { action: action.to_owned(), more }));
        assert_eq!(read(b"action=DUNNO\n\n"), answer("DUNNO", false));
        assert_eq!(read(b"action=550 a=b\r\n\r\n"), answer("550 a=b", false));
        assert_eq!(read(b"other=1\naction=OK\n\n"), answer("OK", false));
        assert_eq!(read(b"action=OK\n\naction=REJECT\n\n"), answer("OK", true));
        assert_eq!(read(b"action=\n\n"), answer("", false));
        assert_eq!(read(b"action=OK\n"), Ok(None));
        for bad in ["\n", "x\n\n", "action=OK\naction=REJECT\n\n", "220 mail ESMTP\r\n\r\n", "a=b\n\n", "action = OK\n\n"] {
            assert!(read(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(read(&vec![b'x'; 1_000_000]).is_err());
        assert!(read(&[b"action=".as_slice(), &[b'x'; 8192], b"\n\n"].concat()).is_err());
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(text in "(action=[A-Z]{0,5}|x=y|z)?\n?(action=OK)?(\n|\r\n){0,3}", cut in 0usize..40) {
            let bytes = text.as_bytes();
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            let mut reader = AnswerReader::default();
            let pieces = match reader.take(first) {
                Ok(None) => reader.take(second),
                early => early,
            };
            let (whole, pieces) = (read(bytes).map(|a| a.map(|a| a.action)), pieces.map(|a| a.map(|a| a.action)));
            prop_assert_eq!(whole, pieces);
        }

        #[test]
        fn any_question_is_lines_of_attributes(list in proptest::collection::vec(("[a-z_\n=]{0,5}", "\\PC{0,9}|[\\x00-\\x7f]{0,9}"), 0..6)) {
            let list: Vec<(String, String)> = std::iter::once(("request".to_owned(), "x".to_owned())).chain(list).collect();
            if let Ok((bytes, left_out)) = question(&list) {
                let text = String::from_utf8(bytes).unwrap();
                let lines: Vec<&str> = text.strip_suffix("\n\n").unwrap().split('\n').collect();
                prop_assert_eq!(lines.len() + left_out.len(), list.len());
                prop_assert!(lines.iter().all(|line| line.contains('=')));
            }
        }
    }
}
