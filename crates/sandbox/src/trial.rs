//! What a process that is taken over would try first, tried from inside once the walls stand: for tests.

use std::fs::File;
use std::io;

/// Set in `[processes] environment`, every process with a sandbox tries it, and logs what it could do.
pub const TRIAL: &str = "ZPOST_SANDBOX_TRIAL";

pub fn wanted() -> bool {
    std::env::var_os(TRIAL).is_some()
}

/// `connecting`: connections are what it is for.
pub fn run(connecting: bool) {
    let master = nix::unistd::getppid();
    let scratch = std::env::temp_dir().join(format!("zpost-trial-{}", std::process::id()));
    let mut tried: Vec<(&str, io::Result<()>)> = vec![
        ("read_passwd", File::open("/etc/passwd").map(drop)),
        ("list_root", std::fs::read_dir("/").map(drop)),
        ("list_descriptors_of_master", std::fs::read_dir(format!("/proc/{master}/fd")).map(drop)),
        ("memory_of_master", File::open(format!("/proc/{master}/mem")).map(drop)),
        ("make_file", File::create(&scratch).and_then(|_| std::fs::remove_file(&scratch))),
        ("make_folder", std::fs::create_dir(&scratch).and_then(|()| std::fs::remove_dir(&scratch))),
        ("signal_master", nix::sys::signal::kill(master, None).map_err(io::Error::from)),
        ("listen", std::net::TcpListener::bind("127.0.0.1:0").map(drop)),
        ("execute", std::process::Command::new("/bin/true").spawn().and_then(|mut child| child.wait()).map(drop)),
    ];
    if !connecting {
        tried.push(("connect", std::net::TcpStream::connect("127.0.0.1:25").map(drop)));
    }
    say(tried);
}

/// Logs how far each attempt came.
pub fn say(tried: impl IntoIterator<Item = (&'static str, io::Result<()>)>) {
    for (attempt, result) in tried {
        let denied = result.as_ref().is_err_and(|e| matches!(e.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported));
        let text = result.map_or_else(|e| e.to_string(), |()| "done".to_owned());
        daemon::event!(Info, "trial", attempt = attempt, denied = denied, text = text);
    }
    daemon::log::flush();
}
