//! The routers' script, tried before a configuration is taken: by the router program, as the routers' user. No script runs here.

use crate::configuration::Configuration;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use settings::Fault;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Instructions, memory and processor time of a trial are bounded. What takes longer than this hangs at its file, and the
/// master serves nobody meanwhile.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is wrong with `[routing] script`.
pub fn check(configuration: &Configuration, libexec: &Path, identity: Option<sys::Identity>) -> Option<Fault> {
    let routing = &configuration.settings.routing;
    let path = routing.script.as_deref()?;
    let instructions = routing.script_instructions.saturating_mul(1000).to_string();
    let mut command = Command::new(libexec.join("router"));
    command.arg("--check-script").arg(path).args([instructions, routing.script_memory.to_string()]);
    command.env_clear().current_dir("/").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let reason = match run(command, identity, PATIENCE) {
        Ok(output) if output.status.success() => return None,
        Ok(output) if output.stdout.is_empty() => format!("cannot be tried: {}", output.status),
        Ok(output) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Err(e) => format!("cannot be tried: {e}"),
    };
    Some(configuration.fault(&path.to_string_lossy(), format!("routing.script: {reason}")))
}

/// Runs it to its end; what is not there in time is killed.
fn run(command: Command, identity: Option<sys::Identity>, patience: Duration) -> io::Result<Output> {
    let mut child = sys::spawn(command, identity, false)?;
    let deadline = Instant::now() + patience;
    let mut stdout = Vec::new();
    let heard = child.stdout.take().map_or(Ok(()), |pipe| hear(pipe, deadline, &mut stdout));
    if heard.is_err() {
        let _ = child.kill();
    }
    let status = child.wait()?;
    heard.map(|()| Output { status, stdout, stderr: Vec::new() })
}

fn hear(mut pipe: impl Read + AsFd, deadline: Instant, said: &mut Vec<u8>) -> io::Result<()> {
    let mut part = [0; 4096];
    loop {
        let left = PollTimeout::try_from(deadline.saturating_duration_since(Instant::now())).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], left) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::TimedOut, "it did not end in time")),
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(e) => return Err(e.into()),
        }
        match pipe.read(&mut part)? {
            0 => return Ok(()),
            length => said.extend_from_slice(part.get(..length).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_is_ended() {
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped());
            command
        };
        let output = run(shell("echo wrong; exit 3"), None, PATIENCE).unwrap();
        assert_eq!((output.status.code(), output.stdout), (Some(3), b"wrong\n".to_vec()));
        let error = run(shell("echo begun; exec sleep 1000"), None, Duration::from_millis(200)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
