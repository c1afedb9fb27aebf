//! PAM, in a process for each question: modules block, leak and crash as they like.

use crate::{Answer, Found};
use program::{Bytes, Ending, Order, run};
use std::io::Read;
use std::process::ExitCode;
use std::time::Duration;
use sys::PamVerdict;

/// How this program is told to ask PAM once and end.
pub const ARGUMENT: &str = "--pam";

const ACCEPTED: u8 = 0;
/// Not one that a crash or a missing program gives.
const REFUSED: u8 = 21;
const FAILED: u8 = 22;
const MISSING: u8 = 23;

/// The child: service, user, password and client's address on standard input, each ended by NUL; the exit code says it.
pub fn child() -> ExitCode {
    let mut input = Vec::new();
    let read = std::io::stdin().take(16 * 1024).read_to_end(&mut input);
    let text = String::from_utf8(input).unwrap_or_default();
    let mut fields = text.split('\0');
    let mut field = || fields.next().unwrap_or_default();
    let (service, user, password, host) = (field(), field(), field(), field());
    if read.is_err() || service.is_empty() || user.is_empty() || password.is_empty() {
        return ExitCode::from(FAILED);
    }
    match sys::pam_login(service, user, password, host) {
        PamVerdict::Accepted => ExitCode::from(ACCEPTED),
        PamVerdict::Refused => ExitCode::from(REFUSED),
        PamVerdict::Missing => ExitCode::from(MISSING),
        PamVerdict::Failed(number) => {
            println!("PAM error {number}");
            ExitCode::from(FAILED)
        }
    }
}

/// Asks by a child; blocks.
pub fn ask(service: &str, user: &str, password: &str, host: &str, timeout: Duration) -> Answer {
    let program = match std::env::current_exe() {
        Ok(program) => program.to_string_lossy().into_owned(),
        Err(e) => return Answer::Temporary(format!("pam: {e}")),
    };
    let order = Order {
        words: vec![program, ARGUMENT.to_owned()],
        environment: vec![("PATH".to_owned(), "/usr/sbin:/usr/bin:/sbin:/bin".to_owned())],
        folder: "/".into(),
        identity: None,
        umask: 0o077,
        timeout,
        max_output: 200,
    };
    let input = [service, user, password, host].map(|field| field.replace('\0', "")).join("\0");
    let ended = run(order, Box::new(Bytes(input.into_bytes())));
    let said = String::from_utf8_lossy(&ended.output).trim().to_owned();
    match ended.ending {
        Ending::Exited(code) if code == i32::from(ACCEPTED) => Answer::Accepted(Found::user(user)),
        Ending::Exited(code) if code == i32::from(REFUSED) => Answer::Unknown,
        Ending::Exited(code) if code == i32::from(MISSING) => {
            Answer::Temporary("pam: libpam.so.0 cannot be loaded; install libpam0g".to_owned())
        }
        Ending::TimedOut => Answer::Temporary("pam: no answer in time".to_owned()),
        other => Answer::Temporary(format!("pam: {other:?} {said}")),
    }
}
