//! The conversation of a command with the running suite.

use crate::trouble::{EX_NOPERM, EX_OSERR, EX_SOFTWARE, EX_TEMPFAIL, EX_UNAVAILABLE, Trouble};
use ipc::control::{Reply, Request};
use ipc::{Channel, RecvError};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the suite may be silent before a command gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// An open connection to `<run>/control`.
#[derive(Debug)]
pub struct Link(Channel<Request, Reply>);

/// Connects; `None` when nothing runs there.
pub fn connect_to(run: &Path) -> Result<Option<Link>, Trouble> {
    let path = run.join("control");
    let name = path.display();
    let address = UnixAddr::new(&path).map_err(|_| Trouble::new(EX_OSERR, format!("socket path {name} is too long")))?;
    let os = |e: Errno| Trouble::new(EX_OSERR, format!("cannot make a socket: {}", e.desc()));
    let end = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).map_err(os)?;
    // A full backlog must not hold a command for ever.
    setsockopt(&end, sockopt::SendTimeout, &TimeVal::seconds(10)).map_err(os)?;
    match connect(end.as_raw_fd(), &address) {
        Ok(()) => Channel::new(end).map(|c| Some(Link(c))).map_err(|e| Trouble::io(name, &e)),
        Err(Errno::ENOENT | Errno::ECONNREFUSED | Errno::ENOTDIR) => Ok(None),
        Err(Errno::EACCES) => Err(Trouble::new(EX_NOPERM, format!("no permission to reach {name}"))),
        Err(Errno::EAGAIN) => Err(Trouble::new(EX_TEMPFAIL, "the suite is too busy to answer; try again")),
        Err(e) => Err(Trouble::new(EX_OSERR, format!("cannot connect to {name}: {}", e.desc()))),
    }
}

/// The trouble of a command that needs the running suite.
pub fn not_running() -> Trouble {
    Trouble::new(EX_UNAVAILABLE, "zpost is not running; start it with `zpost start`")
}

impl Link {
    /// Asks and gives every reply to `each`, until the last one. `Refused` is the trouble it says.
    pub fn ask(self, request: &Request, mut each: impl FnMut(Reply)) -> Result<(), Trouble> {
        self.ask_while(request, |reply| {
            each(reply);
            Ok(true)
        })
    }

    /// As [`Link::ask`], until `each` wants no more. What the caller has not taken waits with the suite, which makes no
    /// more meanwhile: an answer of any size needs no memory here or there.
    pub fn ask_while(mut self, request: &Request, mut each: impl FnMut(Reply) -> Result<bool, Trouble>) -> Result<(), Trouble> {
        self.0.send(request).map_err(|e| Trouble::new(EX_UNAVAILABLE, format!("the suite does not take the question: {e}")))?;
        let mut replies: u64 = 0;
        loop {
            let reply = match self.0.recv_by(Instant::now() + PATIENCE) {
                Ok((reply, _)) => reply,
                Err(RecvError::Closed) if replies > 0 && matches!(request, Request::Counters | Request::Stop { .. }) => return Ok(()),
                Err(e) => return Err(lost(&e)),
            };
            replies += 1;
            match reply {
                Reply::End => return Ok(()),
                Reply::Refused { code, reason } => return Err(Trouble::new(code, reason)),
                last @ (Reply::Done(_) | Reply::Status(_) | Reply::Routed(_)) => {
                    return each(last).map(drop);
                }
                one => {
                    if !each(one)? {
                        return Ok(());
                    }
                }
            }
        }
    }
}

fn lost(error: &RecvError) -> Trouble {
    match error {
        RecvError::Closed => Trouble::new(EX_UNAVAILABLE, "the suite ended the conversation; it may be restarting, try again"),
        RecvError::Io(e) if e.kind() == std::io::ErrorKind::TimedOut => {
            Trouble::new(EX_TEMPFAIL, format!("the suite has not answered for {} seconds; see `zpost status`", PATIENCE.as_secs()))
        }
        RecvError::Io(e) => Trouble::io("the conversation with the suite", e),
        RecvError::Malformed(why) => {
            Trouble::new(EX_SOFTWARE, format!("the suite's answer is {why}; is the running suite of another version?"))
        }
    }
}

/// Asks the running suite; all its replies.
pub fn ask(run: &Path, request: &Request) -> Result<Vec<Reply>, Trouble> {
    let mut replies = Vec::new();
    connect_to(run)?.ok_or_else(not_running)?.ask(request, |r| replies.push(r))?;
    Ok(replies)
}

/// Asks for something to be done; the line for the operator.
pub fn order(run: &Path, request: &Request) -> Result<String, Trouble> {
    let line = ask(run, request)?.into_iter().find_map(|r| if let Reply::Done(line) = r { Some(line) } else { None });
    Ok(line.unwrap_or_default())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub mod tests {
    use super::*;
    use nix::sys::socket::{Backlog, bind, listen};
    use std::os::unix::net::UnixListener;

    /// A control socket that answers one connection with `replies`, and gives the request.
    pub fn fake(run: &Path, replies: Vec<Reply>) -> std::thread::JoinHandle<Request> {
        let end = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).unwrap();
        bind(end.as_raw_fd(), &UnixAddr::new(&run.join("control")).unwrap()).unwrap();
        listen(&end, Backlog::new(4).unwrap()).unwrap();
        std::thread::spawn(move || {
            let (caller, _) = UnixListener::from(end).accept().unwrap();
            let mut channel: Channel<Reply, Request> = Channel::new(caller.into()).unwrap();
            let (request, _) = channel.recv_by(Instant::now() + PATIENCE).unwrap();
            for reply in &replies {
                channel.send(reply).unwrap();
            }
            request
        })
    }

    #[test]
    fn nobody_there_is_not_running() {
        let folder = tempfile::tempdir().unwrap();
        assert!(connect_to(folder.path()).unwrap().is_none());
        assert_eq!(ask(folder.path(), &Request::Status).unwrap_err().code, EX_UNAVAILABLE);
    }

    #[test]
    fn replies_come_until_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let touched = |n: u32| Reply::Touched { id: format!("id{n}"), recipients: n };
        let server = fake(folder.path(), vec![touched(1), touched(2), Reply::End]);
        let replies = ask(folder.path(), &Request::Destinations).unwrap();
        assert_eq!(replies.len(), 2);
        assert!(matches!(server.join().unwrap(), Request::Destinations));
    }

    #[test]
    fn a_refusal_is_the_trouble_it_says() {
        let folder = tempfile::tempdir().unwrap();
        let _server = fake(folder.path(), vec![Reply::Refused { code: 77, reason: "only root".to_owned() }]);
        assert_eq!(order(folder.path(), &Request::Freeze), Err(Trouble::new(77, "only root")));
    }

    #[test]
    fn a_conversation_cut_short_is_no_answer() {
        let folder = tempfile::tempdir().unwrap();
        let _server = fake(folder.path(), vec![Reply::Touched { id: "x".to_owned(), recipients: 1 }]);
        assert_eq!(ask(folder.path(), &Request::Destinations).unwrap_err().code, EX_UNAVAILABLE);
    }
}
