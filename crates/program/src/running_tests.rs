#![allow(clippy::unwrap_used)]
use super::*;
use crate::{Bytes, Content};
use std::io::Write;

fn shell(script: &str, timeout: Duration) -> Order {
    Order {
        words: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        environment: vec![("A".into(), "a b;$(id)".into()), ("PATH".into(), "/usr/bin:/bin".into())],
        folder: "/".into(),
        identity: None,
        umask: 0o077,
        timeout,
        max_output: 1000,
    }
}
const LONG: Duration = Duration::from_secs(100);
const SHORT: Duration = Duration::from_millis(200);

fn input(bytes: &[u8]) -> Box<dyn Input> {
    Box::new(Bytes(bytes.to_vec()))
}

#[test]
fn input_goes_in_output_comes_out_and_the_environment_is_clean() {
    let ended = run(shell("cat; echo \"$A\"; env | grep -v '^_\\|^PWD\\|^SHLVL\\|^OLDPWD' | sort; exit 67", LONG), input(b"hello\n"));
    assert_eq!(String::from_utf8_lossy(&ended.output), "hello\na b;$(id)\nA=a b;$(id)\nPATH=/usr/bin:/bin\n");
    assert_eq!((ended.ending, ended.flooded), (Ending::Exited(67), false));
}

#[test]
fn a_large_message_passes_whole_and_a_short_one_fails() {
    let mut file = tempfile::tempfile().unwrap();
    let content = "0123456789\n".repeat(100_000);
    write!(file, "envelope\n{content}").unwrap();
    let copy = || file.try_clone().unwrap();
    let ended = run(shell("wc -c", LONG), Box::new(Content::new(copy(), 9, content.len() as u64, b"front".to_vec())));
    assert_eq!(String::from_utf8_lossy(&ended.output).trim(), (content.len() + 5).to_string());
    let ended = run(shell("cat >/dev/null; echo taken", LONG), Box::new(Content::new(copy(), 9, content.len() as u64 + 1, Vec::new())));
    assert!(matches!(ended.ending, Ending::InputFailed(_)), "{ended:?}");
}

#[test]
fn a_program_that_does_not_read_decides_by_its_exit_code() {
    let ended = run(shell("exit 0", LONG), input(&vec![b'x'; 1 << 20]));
    assert_eq!(ended.ending, Ending::Exited(0));
}

#[test]
fn the_deadline_ends_the_whole_group_even_one_that_ignores_sigterm() {
    let ended = run(shell("sleep 1000 & echo $!; sleep 1000", SHORT), input(b""));
    assert_eq!(ended.ending, Ending::TimedOut);
    let left: i32 = String::from_utf8_lossy(&ended.output).trim().parse().unwrap();
    // Killed; it goes, or waits to be reaped by whoever inherited it.
    let gone = || {
        let state = std::fs::read_to_string(format!("/proc/{left}/stat")).unwrap_or_default();
        state.is_empty() || state.contains(") Z ")
    };
    while !gone() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let ended = run(shell("trap '' TERM; while :; do sleep 1000; done", SHORT), input(b""));
    assert_eq!(ended.ending, Ending::TimedOut);
}

#[test]
fn a_flood_is_cut_and_does_not_stop_the_program() {
    let ended = run(shell("head -c 300000 /dev/zero | tr '\\0' x; exit 77", LONG), input(b""));
    assert_eq!((ended.ending, ended.flooded, ended.output.len()), (Ending::Exited(77), true, 1000));
    let ended = run(shell("yes", SHORT), input(b""));
    assert_eq!((ended.ending, ended.output.len()), (Ending::TimedOut, 1000));
}

#[test]
fn crashes_and_what_cannot_start_are_told_apart() {
    assert_eq!(run(shell("kill -SEGV $$", LONG), input(b"")).ending, Ending::Signalled(11));
    let missing = Order { words: vec!["/nowhere/at-all".into()], ..shell("", LONG) };
    assert!(matches!(run(missing, input(b"")).ending, Ending::NotStarted(_)));
    let root = Identity { uid: nix::unistd::Uid::from_raw(0), gid: nix::unistd::Gid::from_raw(0), groups: Vec::new() };
    let ended = run(Order { identity: Some(root), ..shell("id", LONG) }, input(b""));
    assert!(matches!(&ended.ending, Ending::NotStarted(why) if why.contains("root")), "{ended:?}");
}

#[test]
fn it_becomes_the_user_for_good() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    let nobody = Identity { uid: nix::unistd::Uid::from_raw(65534), gid: nix::unistd::Gid::from_raw(65534), groups: Vec::new() };
    let script = "grep -E '^(Uid|Gid|Groups)' /proc/self/status";
    let ended = run(Order { identity: Some(nobody), ..shell(script, LONG) }, input(b""));
    let text = String::from_utf8_lossy(&ended.output).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(text, "Uid: 65534 65534 65534 65534 Gid: 65534 65534 65534 65534 Groups:");
}
