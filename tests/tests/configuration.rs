//! Bad configuration: one clear error with file and line, exit 78, nothing half-started.

use end_to_end::{Suite, programs};
use std::fs;
use std::net::TcpListener;

/// Prepares a suite with the text changed, starts the master, and gives exit code and standard error.
fn fails(change: impl Fn(&Suite, String) -> String) -> (Option<i32>, String, Suite) {
    let suite = Suite::builder().with_maildirs().prepare();
    let text = change(&suite, fs::read_to_string(suite.config()).unwrap());
    fs::write(suite.config(), text).unwrap();
    let output =
        suite.command("timeout").arg("60").arg(programs().join("zpost-master")).arg("--config").arg(suite.config()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(suite.processes_below().is_empty(), "something still runs after: {errors}");
    assert!(!suite.path("run/control").exists(), "half-started: {errors}");
    (output.status.code(), errors, suite)
}

#[track_caller]
fn assert_fault(result: (Option<i32>, String, Suite), line: &str, words: &[&str]) {
    let (code, errors, suite) = result;
    assert_eq!(code, Some(78), "{errors}");
    let text = fs::read_to_string(suite.config()).unwrap();
    let number = text.lines().position(|l| l.contains(line)).map_or(0, |n| n + 1);
    let place = format!("{}:{number}:", suite.config().display());
    assert!(errors.contains(&place), "{place} is not in {errors}");
    for word in words {
        assert!(errors.contains(word), "{word:?} is not in {errors}");
    }
}

#[test]
fn an_unknown_key_names_the_nearest_known_one() {
    assert_fault(fails(|_, t| t.replace("hostname =", "hostnme =")), "hostnme", &["hostnme", "hostname"]);
}

#[test]
fn a_wrong_type_says_what_is_wanted() {
    assert_fault(fails(|_, t| t + "[server]\nmax_recipients = \"many\"\n"), "max_recipients", &["max_recipients"]);
}

#[test]
fn all_faults_come_at_once() {
    let (code, errors, _suite) = fails(|_, t| t.replace("hostname =", "hostnme =") + "[server]\nmax_recipients = \"many\"\n");
    assert_eq!(code, Some(78));
    assert!(errors.contains("hostnme") && errors.contains("max_recipients"), "{errors}");
}

#[test]
fn text_that_is_no_toml_has_its_line() {
    assert_fault(fails(|_, t| t + "[server\n"), "[server", &[]);
}

#[test]
fn a_folder_that_cannot_be_made() {
    let result = fails(|_, t| t.replace("postoffice = \"", "postoffice = \"/proc/nowhere"));
    assert_eq!(result.0, Some(78), "{}", result.1);
    assert!(result.1.contains("/proc/nowhere"), "{}", result.1);
}

#[test]
fn a_spool_folder_of_somebody_else() {
    if !nix::unistd::Uid::effective().is_root() {
        return;
    }
    let result = fails(|s, t| {
        std::fs::create_dir(s.postoffice("router")).unwrap();
        fs::set_permissions(s.postoffice("router"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        t
    });
    assert_fault(result, "postoffice = ", &["router: Permission denied"]);
}

#[test]
fn a_port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let (code, errors, _suite) = fails(|s, t| t.replace(&format!("127.0.0.1:{}", s.port), &format!("127.0.0.1:{port}")));
    assert_eq!(code, Some(78), "{errors}");
    assert!(errors.contains(&port.to_string()) && errors.contains("in use"), "{errors}");
}

#[test]
fn no_permission_for_a_port() {
    // Where ports below 1024 are open to everybody there is nothing to refuse.
    let open = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    if open.trim().parse::<u32>().unwrap_or(1024) <= 7 {
        return;
    }
    let (code, errors, _suite) = fails(|s, t| t.replace(&format!("127.0.0.1:{}", s.port), "127.0.0.1:7"));
    assert_eq!(code, Some(78), "{errors}");
    assert!(errors.to_lowercase().contains("permission"), "{errors}");
}

#[test]
fn a_missing_file() {
    let suite = Suite::builder().prepare();
    let output = suite.command(programs().join("zpost-master")).args(["--config", "/nowhere/zpost.toml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nowhere/zpost.toml"));
}

#[test]
fn start_passes_the_error_on() {
    let suite = Suite::builder().prepare();
    let text = fs::read_to_string(suite.config()).unwrap().replace("hostname =", "hostnme =");
    fs::write(suite.config(), text).unwrap();
    let output = suite.zpost(&["start"]);
    assert_eq!(output.status.code(), Some(78), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stderr).contains("hostnme"));
    let output = suite.zpost(&["config", "check"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&output.stderr).contains("hostnme"));
}
