//! The sandboxes of smtpserver and keyholder: tried from inside, looked at from outside, and searched for private keys.

use end_to_end::load::Session;
use end_to_end::{LONG, Suite, pem, tls, wait_until};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

fn pids_of(suite: &Suite, service: &str) -> Vec<u32> {
    let found: Vec<u32> = suite.pids().into_iter().filter(|(name, _)| name == service).map(|(_, pid)| pid).collect();
    assert!(!found.is_empty(), "no {service}");
    found
}

fn landlock_is_there() -> bool {
    // Unsupported by the kernel, or switched off at boot: `walls` of the workers then say so.
    fs::read_to_string("/sys/kernel/security/lsm").map_or(true, |list| list.contains("landlock"))
}

/// A suite with a certificate whose key is `one.key`.
fn suite(more: &str) -> Suite {
    Suite::builder().with_maildirs().with_certificate("one", &["mta.test.example"]).with(more).start()
}

#[test]
fn a_worker_that_is_taken_over_can_do_nothing_of_this() {
    let suite = suite("[processes]\nsmtpserver_min = 1\nenvironment = { ZPOST_SANDBOX_TRIAL = \"1\" }\n[log]\nlevel = \"debug\"\n");
    wait_until("the trials are logged", LONG, || suite.log().contains("attempt=make_folder_in_public"));
    let log = suite.log();
    let trials: Vec<&str> = log.lines().filter(|line| line.contains(": trial ")).collect();
    assert!(trials.len() >= 12, "{log}");
    for line in &trials {
        let denied = line.contains("denied=true");
        // What only Landlock forbids, for the system call itself is needed.
        let of_landlock =
            ["make_in_queue", "make_in_router", "make_file", "read_passwd", "list_", "memory_of"].iter().any(|word| line.contains(word));
        assert!(denied || of_landlock && !landlock_is_there(), "{line}");
    }
    // In router/ the right to move something in is the right to make a name, which then cannot be opened.
    assert!(!suite.postoffice("queue/trial").exists());
    let status = fs::read_to_string(format!("/proc/{}/status", pids_of(&suite, "smtpserver")[0])).unwrap();
    assert!(status.contains("NoNewPrivs:\t1") && status.contains("Seccomp:\t2"), "{status}");
    let limits = fs::read_to_string(format!("/proc/{}/limits", pids_of(&suite, "smtpserver")[0])).unwrap();
    let limit = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        line[name.len()..].split_whitespace().next().unwrap().to_owned()
    };
    assert_eq!(limit("Max core file size"), "0");
    assert!(limit("Max data size").parse::<u64>().unwrap() < 64 << 30 && limit("Max open files").parse::<u64>().unwrap() <= 41_024);
    // And it works: a message with a large body, through both folders.
    let (mut session, _) = Session::open(suite.port).unwrap();
    session.command("EHLO x.example").unwrap();
    let content = format!("Subject: x\r\n\r\n{}", "y\r\n".repeat(400_000));
    assert_eq!(session.message("a@local.example", &["u@local.example"], content.as_bytes()).unwrap().0, 250);
    wait_until("the message is delivered", LONG, || end_to_end::files(&suite.path("mail/u/new")).len() == 1);
}

#[test]
fn without_a_sandbox_the_trials_succeed() {
    let suite = suite("[processes]\nsmtpserver_min = 1\nsandbox = \"off\"\nenvironment = { ZPOST_SANDBOX_TRIAL = \"1\" }\n");
    wait_until("the trials are logged", LONG, || suite.log().contains("attempt=make_folder_in_public"));
    let log = suite.log();
    for attempt in ["read_passwd", "list_queue", "make_in_queue", "listen", "execute"] {
        assert!(log.contains(&format!("attempt={attempt} denied=false")), "{log}");
    }
}

/// The private number of a P-256 key in DER, as any library keeps it somewhere, and the text of its file.
fn secrets_of(text: &str) -> (Vec<u8>, Vec<u8>) {
    let der = pem::private_key(text);
    // SEC1's ECPrivateKey, here inside PKCS #8: version 1, then the octets.
    let at = der.windows(5).position(|part| part == [2, 1, 1, 4, 32]).unwrap() + 5;
    let line = text.lines().nth(1).unwrap().as_bytes().to_vec();
    (der[at..at + 32].to_vec(), line)
}

/// Does the memory of a process hold these bytes?
fn holds(pid: u32, wanted: &[u8]) -> bool {
    let mut memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    maps.lines().filter(|line| line.contains(" rw")).any(|line| {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let (from, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        let read = memory.seek(SeekFrom::Start(from)).and_then(|_| memory.read_exact(&mut bytes));
        read.is_ok() && bytes.windows(wanted.len()).any(|part| part == wanted)
    })
}

/// The descriptors of a process that hold a private key's text.
fn with_keys(pid: u32) -> Vec<PathBuf> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten().map(|entry| entry.path());
    let is_memory = |path: &PathBuf| fs::read_link(path).is_ok_and(|link| link.to_string_lossy().starts_with("/memfd:"));
    open.filter(is_memory).filter(|path| fs::read(path).is_ok_and(|text| String::from_utf8_lossy(&text).contains("PRIVATE KEY"))).collect()
}

#[test]
fn private_keys_are_the_keyholders_alone() {
    if !nix::unistd::geteuid().is_root() {
        return eprintln!("SKIPPED: the memory of these processes is closed to their own user");
    }
    let suite = suite("");
    let (number, line) = secrets_of(&fs::read_to_string(suite.path("one.key")).unwrap());
    for _ in 0..3 {
        Session::open_secure(suite.port, &tls::client()).unwrap();
    }
    assert!(suite.counter("keyholder", "signatures") >= 3);
    let keyholder = pids_of(&suite, "keyholder")[0];
    let reversed: Vec<u8> = number.iter().rev().copied().collect();
    let certificate = pem::certificate_bytes(&fs::read_to_string(suite.path("one.pem")).unwrap());
    for (service, pid) in suite.pids() {
        if service != "keyholder" && service != "zpost-master" {
            for secret in [&number, &reversed, &line] {
                assert!(!holds(pid, secret), "{service} has the key");
            }
            assert_eq!(with_keys(pid), Vec::<PathBuf>::new(), "{service}");
        }
    }
    // The search finds what is there: the certificate is in every worker, and a file with the keys at the master.
    assert!(pids_of(&suite, "smtpserver").into_iter().all(|pid| holds(pid, &certificate)));
    assert_eq!(with_keys(suite.master_pid()).len(), 1);
    let status = fs::read_to_string(format!("/proc/{keyholder}/status")).unwrap();
    assert!(status.contains("NoNewPrivs:\t1") && status.contains("Seccomp:\t2"), "{status}");
    // Nothing but conversations, the log and what the kernel waits with: no file, no listening socket.
    for entry in fs::read_dir(format!("/proc/{keyholder}/fd")).unwrap().flatten() {
        let link = fs::read_link(entry.path()).unwrap().to_string_lossy().into_owned();
        let fine = ["socket:", "anon_inode:", "/memfd:", "pipe:", "/dev/null"].iter().any(|kind| link.starts_with(kind));
        assert!(fine || link.ends_with("zpost.log") || link.ends_with(".err"), "{link}");
    }
}
