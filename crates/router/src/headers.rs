//! The two things routing wants from the message headers: how often it was received, and its Message-ID.

/// What the headers say.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// `Received` fields.
    pub hops: u32,
    pub message_id: Option<String>,
}

/// Longest Message-ID kept (it only goes to the log).
const MAX_MESSAGE_ID: usize = 255;

/// True when `bytes` holds the end of the headers: an empty line, or a line that is no field.
pub fn is_complete(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(end) = rest.iter().position(|b| *b == b'\n') {
        let (line, after) = rest.split_at(end);
        if ends_headers(line) {
            return true;
        }
        rest = after.get(1..).unwrap_or_default();
    }
    false
}

/// Reads the headers at the start of `bytes`.
pub fn scan(bytes: &[u8]) -> Headers {
    let mut headers = Headers::default();
    let mut lines = bytes.split(|b| *b == b'\n').peekable();
    while let Some(line) = lines.next() {
        if ends_headers(line) {
            break;
        }
        if field(line, b"received").is_some() {
            headers.hops = headers.hops.saturating_add(1);
        } else if let Some(value) = field(line, b"message-id") {
            // RFC 5322 lets the value begin on the next line.
            let folded = lines.peek().filter(|next| next.starts_with(b" ") || next.starts_with(b"\t"));
            let value = if value.is_empty() { folded.map_or(value, |next| next.trim_ascii()) } else { value };
            headers.message_id = headers.message_id.take().or_else(|| message_id(value));
        }
    }
    headers
}

fn ends_headers(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let folded = line.starts_with(b" ") || line.starts_with(b"\t");
    line.is_empty() || (!folded && !line.contains(&b':'))
}

/// The value of a field of this name (in lower case).
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = line.split_at_checked(name.len())?;
    if !start.eq_ignore_ascii_case(name) {
        return None;
    }
    Some(rest.trim_ascii_start().strip_prefix(b":")?.trim_ascii())
}

fn message_id(value: &[u8]) -> Option<String> {
    let good = !value.is_empty() && value.len() <= MAX_MESSAGE_ID && value.iter().all(u8::is_ascii_graphic);
    good.then(|| String::from_utf8_lossy(value).into_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn counts_hops_and_finds_the_message_id() {
        let text = b"Received: a\n by b\nRECEIVED : c\nReceived-SPF: x\nMessage-ID:\n <1@x>\n\nReceived: body\n";
        assert_eq!(scan(text), Headers { hops: 2, message_id: Some("<1@x>".into()) });
        assert!(is_complete(text) && !is_complete(b"Received: a\n b\n") && is_complete(b"A: b\r\n\r\n"));
        assert_eq!(scan(b"Message-ID: <a\x07b>\n").message_id, None);
        assert_eq!(scan(b"no header\nReceived: x\n").hops, 0);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_scanned(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            let headers = scan(&bytes);
            proptest::prop_assert!(headers.hops <= 300);
            is_complete(&bytes);
        }
    }
}
