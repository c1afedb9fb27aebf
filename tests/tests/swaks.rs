//! swaks with every option of TLS and AUTH that it has, and the extensions it can use, against all kinds of listeners.

use end_to_end::clients::{Arrived, PASSWORD, USER, address, assert_login, awkward, site, usable};
use end_to_end::logins::run;
use end_to_end::{LONG, Suite, free_port, pem, wait_until};

/// A message with the awkward body; swaks ends its last line itself.
fn text() -> String {
    format!("Subject: x\n\n{}", awkward().strip_suffix('\n').unwrap())
}

/// Sends it.
fn swaks(port: u16, to: &str, more: &[&str]) -> (bool, String) {
    let (port, to, from) = (port.to_string(), address(to), address(USER));
    let arguments = ["--server", "localhost", "--port", &port, "--ehlo", "client.example", "--from", &from, "--to", &to, "--data", &text()];
    run("swaks", &[&arguments[..], more].concat())
}

const LOGIN: &[&str] = &["--auth", "PLAIN", "--auth-user", USER, "--auth-password", PASSWORD];

fn with<'a>(first: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [first, more].concat()
}

#[test]
fn every_option_of_tls() {
    if !usable(&["swaks"]) {
        return;
    }
    let site = site();
    let ca = site.path("server.pem");
    let seen = site.path("seen.pem");
    // At the port of other servers: with and without, as it likes.
    for (to, with, options) in [
        ("a", "ESMTP", &[][..]),
        ("b", "ESMTPS", &["--tls"][..]),
        ("c", "ESMTPS", &["--tls-optional"]),
        ("d", "ESMTPS", &["--tls-optional-strict"]),
        ("e", "ESMTPS", &["--tls", "--tls-protocol", "tlsv1_2", "--tls-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"]),
        ("f", "ESMTPS", &["--tls", "--tls-protocol", "tlsv1_3"]),
        ("g", "ESMTPS", &["--tls", "--tls-protocol", "no_tlsv1_3"]),
        ("h", "ESMTPS", &["--tls", "--tls-verify", "--tls-ca-path", &ca]),
        ("i", "ESMTPS", &["--tls", "--tls-sni", "mta.test.example", "--tls-get-peer-cert", &seen]),
        ("j", "ESMTPS", &["--tls", "--pipeline"]),
    ] {
        let (good, text) = swaks(site.suite.port, to, options);
        assert!(good, "{options:?}: {text}");
        let arrived = Arrived::at(&site.suite, to);
        arrived.assert(with, &awkward());
        let version = match to {
            "a" => "with ESMTP id",
            "e" => "(TLSv1.2 TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384)",
            "g" => "(TLSv1.2 ",
            _ => "(TLSv1.3 ",
        };
        assert!(arrived.header.contains(version), "{version}: {}", arrived.header);
    }
    assert_eq!(pem::fingerprint(seen.as_ref()), pem::fingerprint(ca.as_ref()), "the certificate that was shown");
    for (options, why) in [
        (&["--tls", "--tls-protocol", "tlsv1"][..], "TLS 1.0 is gone"),
        (&["--tls", "--tls-protocol", "tlsv1,tlsv1_1"], "so is 1.1"),
        (&["--tls", "--tls-protocol", "tlsv1_2", "--tls-cipher", "AES128-SHA"], "no cipher without forward secrecy"),
        (&["--tls-on-connect"], "a port that speaks first"),
    ] {
        let (good, text) = swaks(site.suite.port, "x", &with(options, &["--timeout", "10"]));
        assert!(!good && text.contains("TLS startup failed"), "{why}: {text}");
    }
    let (good, text) = swaks(site.submissions, "y", &with(LOGIN, &["--tls-on-connect", "--tls-verify", "--tls-ca-path", &ca]));
    assert!(good, "{text}");
    Arrived::at(&site.suite, "y").assert("ESMTPSA", &awkward());
    assert_eq!(site.suite.counter("smtpserver", "tls_sessions"), 10);
    assert_eq!(site.suite.counter("smtpserver", "tls_failures"), 3);
}

/// The certificate that is shown is the one of the name asked for; the client's own says who it is.
#[test]
fn names_and_certificates() {
    if !usable(&["swaks"]) {
        return;
    }
    let port = free_port();
    let builder = Suite::builder().with_certificate("one", &["one.example"]).with_certificate("two", &["two.example"]).with_maildirs();
    let folder = builder.folder().to_owned();
    for name in ["joe", "eve"] {
        pem::certificate(&folder, name, &[&format!("{name}.example")]);
    }
    let joe = pem::fingerprint(&folder.join("joe.pem"));
    let suite = builder
        .listening(&format!("kind = \"submissions\"\nbind = \"127.0.0.1:{port}\"\nclient_certificates = \"require\""))
        .with(&format!("[[client_certificate]]\nfingerprint = \"sha256:{joe}\"\nuser = \"joe\"\n"))
        .start();
    let file = |name: &str| folder.join(name).display().to_string();
    let send = |port: u16, to: &str, more: &[&str]| {
        let arguments = ["--server", "127.0.0.1", "--port", &port.to_string(), "--from", "joe@local.example", "--to", to];
        run("swaks", &[&arguments[..], more].concat())
    };
    for name in ["one", "two"] {
        let (shown, sni) = (file("shown.pem"), format!("{name}.example"));
        let (good, text) =
            send(suite.port, "a@local.example", &["--tls", "--tls-sni", &sni, "--tls-get-peer-cert", &shown, "--quit", "tls"]);
        assert!(good, "{text}");
        assert_eq!(pem::fingerprint(shown.as_ref()), pem::fingerprint(&folder.join(format!("{name}.pem"))), "{name}");
    }
    for (name, welcome) in [("joe", true), ("eve", false)] {
        let (certificate, key) = (file(&format!("{name}.pem")), file(&format!("{name}.key")));
        let own = ["--tls-on-connect", "--tls-cert", &certificate, "--tls-key", &key, "--h-Subject", "x", "--body", "hello"];
        let (good, text) = send(port, &format!("{name}@local.example"), &own);
        assert_eq!(good, welcome, "{name}: {text}");
    }
    let (good, text) = send(port, "nobody@local.example", &["--tls-on-connect"]);
    assert!(!good, "{text}");
    assert!(Arrived::at(&suite, "joe").header.contains("with ESMTPSA id"));
    suite.logged("client_certificate peer=127.0.0.1 user=joe");
}

#[test]
fn every_option_of_auth() {
    if !usable(&["swaks"]) {
        return;
    }
    let site = site();
    let user = ["--auth-user", USER, "--auth-password", PASSWORD, "--tls"];
    for (to, mechanism, options) in [
        ("a", "PLAIN", &["--auth", "PLAIN"][..]),
        ("b", "LOGIN", &["--auth", "LOGIN"][..]),
        // The first of these that we offer too.
        ("c", "PLAIN", &["--auth", "DIGEST-MD5,CRAM-MD5,NTLM,PLAIN"]),
        ("d", "LOGIN", &["--auth", "CUSTOM", "--auth-map", "CUSTOM=LOGIN,LOGIN=LOGIN", "--auth", "LOGIN"]),
        ("e", "PLAIN", &["--auth-optional", "PLAIN", "--auth-plaintext"]),
        ("f", "PLAIN", &["--auth-optional-strict", "PLAIN", "--auth-hide-password"]),
        ("g", "PLAIN", &["--auth", "PLAIN", "--pipeline"]),
    ] {
        let logins = site.suite.counter("authserver", "accepted");
        let (good, text) = swaks(site.submission, to, &with(options, &user));
        assert!(good && text.contains("235 2.7.0"), "{options:?}: {text}");
        assert!(text.contains(&format!(" ~> AUTH {mechanism}")), "{options:?}: {text}");
        Arrived::at(&site.suite, to).assert("ESMTPSA", &awkward());
        assert_eq!(site.suite.counter("authserver", "accepted"), logins + 1);
        assert_login(&site, mechanism);
    }
    // What we do not offer is not used, and refused to whoever tries.
    for mechanism in ["CRAM-MD5", "CRAM-SHA1", "DIGEST-MD5", "NTLM"] {
        let (good, text) = swaks(site.submission, "x", &with(&["--auth", mechanism], &user));
        assert!(!good && text.contains("Auth not attempted, requested type not available"), "{mechanism}: {text}");
    }
    let (good, text) = swaks(site.submission, "x", &["--auth", "PLAIN", "--auth-user", USER, "--auth-password", "no", "--tls"]);
    assert!(!good && text.contains("535 5.7.8"), "{text}");
    // Optional, and wrong: swaks goes on, and we do not.
    let (good, text) = swaks(site.submission, "x", &["--auth-optional", "PLAIN", "--auth-user", USER, "--auth-password", "no", "--tls"]);
    assert!(!good && text.contains("535 5.7.8") && text.contains("530 5.7.0"), "{text}");
    // Before TLS there is nothing to log in with.
    let (good, text) = swaks(site.submission, "x", LOGIN);
    assert!(!good && text.contains("Host did not advertise authentication"), "{text}");
    // Nor at the port of other servers.
    let (good, text) = swaks(site.suite.port, "x", &with(LOGIN, &["--tls"]));
    assert!(!good && text.contains("Host did not advertise authentication"), "{text}");
    assert_eq!(site.suite.counter("authserver", "refused"), 2);
    assert_eq!(site.suite.spooled(), 0);
}

#[test]
fn extensions() {
    if !usable(&["swaks"]) {
        return;
    }
    let site = site();
    let lmtp = site.path("lmtp");
    for (to, protocol, with) in [("a", "LMTP", "LMTP"), ("b", "SMTP", "SMTP"), ("c", "ESMTP", "ESMTP"), ("d", "SSMTP", "ESMTPS")] {
        let port = site.suite.port;
        let (good, text) = match protocol {
            "LMTP" => {
                let body = text();
                let to = format!("{},{}", address(to), address("second"));
                let options = ["--socket", &lmtp, "--protocol", "LMTP", "--ehlo", "client.example", "--from", &address(USER)];
                run("swaks", &[&options[..], &["--to", &to, "--data", &body]].concat())
            }
            "SSMTP" => swaks(port, to, &["--protocol", "ESMTP", "--tls"]),
            _ => swaks(port, to, &["--protocol", protocol]),
        };
        assert!(good, "{protocol}: {text}");
        Arrived::at(&site.suite, to).assert(with, &awkward());
        if protocol == "LMTP" {
            assert_eq!(text.matches("queued as").count(), 2, "a reply for each recipient: {text}");
            Arrived::at(&site.suite, "second").assert(with, &awkward());
        }
    }
    let (good, text) = swaks(site.submissions, "e", &with(LOGIN, &["--protocol", "ESMTPSA", "--tls-on-connect"]));
    assert!(good, "{text}");
    Arrived::at(&site.suite, "e").assert("ESMTPSA", &awkward());
    // Offered where the verdicts of recipients can differ: see verdicts.rs.
    let (good, text) = swaks(site.suite.port, "f", &["--prdr"]);
    assert!(!good && text.contains("Host did not advertise PRDR support"), "{text}");
    let attributes = ["--xclient-addr", "203.0.113.9", "--xclient-name", "out.example", "--xclient-helo", "helo.example"];
    let more = ["--xclient-proto", "ESMTP", "--xclient-port", "4000", "--tls"];
    for (to, order) in
        [("g", &[][..]), ("h", &["--xclient-before-starttls"]), ("i", &["--xclient-optional", "--xclient-delim", "--xclient-port", "4001"])]
    {
        let (good, text) = swaks(site.suite.port, to, &[&attributes[..], &more, order].concat());
        assert!(good && text.contains("-> XCLIENT ") || text.contains("~> XCLIENT "), "{order:?}: {text}");
        assert!(good, "{order:?}: {text}");
        let arrived = Arrived::at(&site.suite, to);
        assert!(arrived.header.contains("([203.0.113.9])") || arrived.header.contains("(out.example [203.0.113.9])"), "{}", arrived.header);
    }
    wait_until("the log names the client", LONG, || site.suite.log().contains("xclient peer=127.0.0.1 client=203.0.113.9"));
}
