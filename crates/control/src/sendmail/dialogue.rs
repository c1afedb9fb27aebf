//! `-bs`: standard input and output become a session on the submission socket.
//!
//! Command by command: the next one goes out when the last is answered. So a batch from a file or a pipe works too,
//! although the server refuses clients that do not wait for its replies; and lines that end in LF are given CRLF.

use super::submission::connect;
use crate::trouble::{EX_IOERR, Trouble};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::path::Path;

/// A longer line is passed on in pieces of this size.
const PIECE: u64 = 64 * 1024;

pub fn run(run: &Path) -> Result<u8, Trouble> {
    let stream = match connect(run) {
        Ok(stream) => stream,
        Err(trouble) => {
            crate::output::print("421 4.3.2 the mail system is not running; try again later\r\n")?;
            return Err(trouble);
        }
    };
    let mut server = BufReader::new(&stream);
    let session = session(&mut io::stdin().lock(), &mut io::stdout().lock(), &mut server, &mut &stream);
    session.map(|()| 0).map_err(|e| Trouble::new(EX_IOERR, format!("the session broke: {e}")))
}

/// Until the client or the server ends it.
fn session(client: &mut impl BufRead, answers: &mut impl Write, server: &mut impl BufRead, commands: &mut impl Write) -> io::Result<()> {
    let mut code = reply(server, answers)?;
    while code.is_some() {
        let Some(command) = line(client)? else { return Ok(()) };
        send(commands, &command)?;
        code = reply(server, answers)?;
        if code.as_deref() == Some(b"354") {
            content(client, commands)?;
            code = reply(server, answers)?;
        }
    }
    Ok(())
}

/// Passes one reply on, continuation lines included; its code. `None`: the server has closed.
fn reply(server: &mut impl BufRead, answers: &mut impl Write) -> io::Result<Option<Vec<u8>>> {
    loop {
        let Some(line) = line(server)? else { return Ok(None) };
        answers.write_all(&line)?;
        if line.get(3) != Some(&b'-') {
            answers.flush()?;
            return Ok(Some(line.into_iter().take(3).collect()));
        }
    }
}

/// Passes lines on up to the lone dot.
fn content(client: &mut impl BufRead, commands: &mut impl Write) -> io::Result<()> {
    let mut at_start = true;
    while let Some(piece) = line(client)? {
        send(commands, &piece)?;
        if at_start && matches!(&piece[..], b".\n" | b".\r\n") {
            return Ok(());
        }
        at_start = piece.ends_with(b"\n");
    }
    Err(io::Error::new(ErrorKind::UnexpectedEof, "the message has no end; nothing was sent"))
}

fn send(commands: &mut impl Write, line: &[u8]) -> io::Result<()> {
    match line.strip_suffix(b"\n") {
        Some(bare) if !bare.ends_with(b"\r") => commands.write_all(&[bare, b"\r\n"].concat()),
        _ => commands.write_all(line),
    }
}

/// The next line, or a piece of a long one.
fn line(from: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    match from.take(PIECE).read_until(b'\n', &mut line)? {
        0 => Ok(None),
        _ => Ok(Some(line)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_waits_for_every_reply() {
        let replies = "220-hi\r\n220 there\r\n250 ok\r\n354 go\r\n250 queued\r\n221 bye\r\n";
        let batch = "EHLO x\nDATA\na\n..\n.\nQUIT\n";
        let (mut answers, mut commands) = (Vec::new(), Vec::new());
        session(&mut batch.as_bytes(), &mut answers, &mut replies.as_bytes(), &mut commands).unwrap();
        assert_eq!(answers, replies.as_bytes());
        assert_eq!(commands, b"EHLO x\r\nDATA\r\na\r\n..\r\n.\r\nQUIT\r\n");
    }

    #[test]
    fn a_message_without_end_is_an_error() {
        let got = session(&mut "DATA\nx\n".as_bytes(), &mut Vec::new(), &mut "220 x\r\n354 go\r\n".as_bytes(), &mut Vec::new());
        assert_eq!(got.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }
}
