//! The deploy hook for certbot and lego: renewals made by openssl.

use end_to_end::{LONG, Suite, pem, programs, wait_until};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const NAME: &str = "mta.test.example";

fn hook() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../etc/acme/deploy-zpost")
}

/// Runs the hook as its program would.
fn deploy(suite: &Suite, environment: &[(&str, &Path)]) -> Output {
    let path = format!("{}:{}", programs().display(), std::env::var("PATH").unwrap());
    let mut command = suite.command("sh");
    command.arg(hook()).env("PATH", path).env("ZPOST_TLS", suite.path("tls")).envs(environment.iter().copied());
    command.output().unwrap()
}

/// What a client is shown.
fn shown(suite: &Suite) -> String {
    let script = "openssl s_client -starttls smtp -connect 127.0.0.1:$1 </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256";
    let output = Command::new("sh").args(["-c", script, "sh", &suite.port.to_string()]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().rsplit('=').next().unwrap_or_default().to_owned()
}

/// A renewal in the folder of certbot.
fn renew(suite: &Suite) -> PathBuf {
    let live = suite.path("live").join(NAME);
    std::fs::create_dir_all(&live).unwrap();
    pem::certificate(&live, "new", &[NAME]);
    std::fs::rename(live.join("new.pem"), live.join("fullchain.pem")).unwrap();
    std::fs::rename(live.join("new.key"), live.join("privkey.pem")).unwrap();
    suite.give_away();
    live
}

fn suite() -> Suite {
    let builder = Suite::builder();
    let tls = builder.folder().join("tls");
    std::fs::create_dir(&tls).unwrap();
    pem::certificate(&tls, NAME, &[NAME]);
    builder.with(&pem::section(&tls, NAME)).start()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_renewed_certificate_is_served() {
    let mut suite = suite();
    let chain = suite.path("tls").join(format!("{NAME}.pem"));
    // certbot.
    let live = renew(&suite);
    let output = deploy(&suite, &[("RENEWED_LINEAGE", &live)]);
    assert!(output.status.success() && said(&output).contains("is served"), "{}", said(&output));
    assert_eq!(shown(&suite), pem::fingerprint(&live.join("fullchain.pem")));
    let key = suite.path("tls").join(format!("{NAME}.key"));
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    // lego.
    let lego = suite.path("lego");
    std::fs::create_dir(&lego).unwrap();
    pem::certificate(&lego, NAME, &[NAME]);
    let (certificate, lego_key) = (lego.join(format!("{NAME}.crt")), lego.join(format!("{NAME}.key")));
    std::fs::rename(lego.join(format!("{NAME}.pem")), &certificate).unwrap();
    suite.give_away();
    let output = deploy(&suite, &[("LEGO_CERT_PATH", &certificate), ("LEGO_CERT_KEY_PATH", &lego_key)]);
    assert!(output.status.success(), "{}", said(&output));
    let served = pem::fingerprint(&certificate);
    assert_eq!(shown(&suite), served);
    // A pair that does not fit: nothing is taken.
    let output = deploy(&suite, &[("LEGO_CERT_PATH", &certificate), ("LEGO_CERT_KEY_PATH", &live.join("privkey.pem"))]);
    assert_eq!(output.status.code(), Some(65), "{}", said(&output));
    assert_eq!(pem::fingerprint(&chain), served);
    // A reload that is refused: the former files come back.
    let live = renew(&suite);
    let config = std::fs::read_to_string(suite.config()).unwrap();
    std::fs::write(suite.config(), format!("{config}\n[nonsense]\n")).unwrap();
    let output = deploy(&suite, &[("RENEWED_LINEAGE", &live)]);
    assert_eq!(output.status.code(), Some(75), "{}", said(&output));
    assert_eq!((pem::fingerprint(&chain), shown(&suite)), (served.clone(), served));
    std::fs::write(suite.config(), config).unwrap();
    // Another name's renewal is none of our business.
    let other = suite.path("live/other.example");
    std::fs::create_dir_all(&other).unwrap();
    let output = deploy(&suite, &[("RENEWED_LINEAGE", &other)]);
    assert!(output.status.success() && said(&output).contains("not zpost's"), "{}", said(&output));
    // The suite is stopped: the files are taken, and it starts with them.
    suite.stop();
    let output = deploy(&suite, &[("RENEWED_LINEAGE", &live)]);
    assert!(output.status.success() && said(&output).contains("is stopped"), "{}", said(&output));
    suite.start();
    wait_until("the new certificate", LONG, || shown(&suite) == pem::fingerprint(&live.join("fullchain.pem")));
    let left = end_to_end::files(&suite.path("tls"));
    assert_eq!(left, [format!("{NAME}.key"), format!("{NAME}.pem")], "nothing is left behind");
}

#[test]
fn by_hand_it_says_what_it_is() {
    let output = Command::new("sh").arg(hook()).env_remove("RENEWED_LINEAGE").env_remove("LEGO_CERT_PATH").output().unwrap();
    assert_eq!(output.status.code(), Some(64));
}
