//! The commands: `zpost` and the compatible names `sendmail`, `mailq`, `newaliases`.
//!
//! DESCRIPTION. A command reads the configuration, asks the running suite over `<run>/control` (one SOCK_SEQPACKET
//! connection a question, `ipc::control`), and prints the answer; what the suite cannot say because it is stopped, the
//! commands read in the spool and the log. `sendmail` drops a message into the spool where it may, else speaks SMTP to
//! `<run>/submit`.
//!
//! SECURITY. Runs as whoever calls it and is never set-id: the master decides by the peer's credentials who may change
//! what. Trusts the configuration file and nothing else; addresses, headers and log lines come from strangers, so
//! addresses with control bytes are refused and everything printed is escaped.
//!
//! IF IT DIES nothing is lost: a message is the suite's only after exit status 0, and an interrupted question changes
//! nothing half.
//!
//! EXIT STATUS. sysexits(3); `zpost status` has 0, 1 and 3.
//!
//! STANDARDS. RFC 5321 and 3461 towards the suite, RFC 5322 for the headers that `sendmail -t` reads.

mod aliases;
mod fields;
mod link;
mod mailq;
mod moment;
mod offline;
mod output;
mod selection;
mod sendmail;
mod site;
mod trouble;
mod zpost;

use std::process::ExitCode;
use trouble::Trouble;

/// `zpost`
pub fn zpost() -> ExitCode {
    zpost::main()
}

/// `sendmail`
pub fn sendmail() -> ExitCode {
    finish("sendmail", sendmail::main(std::env::args_os().skip(1).collect()))
}

/// `mailq`
pub fn mailq() -> ExitCode {
    finish("mailq", mailq::main(std::env::args_os().skip(1).collect()))
}

/// `newaliases`
pub fn newaliases() -> ExitCode {
    finish("newaliases", aliases::main())
}

/// The one place where a command's result becomes its exit status.
fn finish(program: &str, result: Result<u8, Trouble>) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(code),
        Err(trouble) => {
            for line in trouble.text.lines() {
                crate::output::complain(&format!("{program}: {line}\n"));
            }
            ExitCode::from(trouble.code)
        }
    }
}
