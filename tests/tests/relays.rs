//! Other servers that relay to us: Postfix with STARTTLS, Exim with STARTTLS and BDAT, and a second suite of ours.

use end_to_end::clients::{Arrived, PASSWORD, USER, address, assert_login, awkward, site};
use end_to_end::exim::Exim;
use end_to_end::load::Session;
use end_to_end::wire::Wire;
use end_to_end::{LONG, Postfix, Suite, SuiteBuilder, postfix, wait_until};
use std::fs;

/// Takes mail for local.example with TLS; trusts nobody.
fn receiver() -> Suite {
    let builder: SuiteBuilder = Suite::builder().with_certificate("one", &["mta.test.example", "localhost"]).with_maildirs();
    let mut suite = builder.prepare();
    let config = fs::read_to_string(suite.config()).unwrap().replace("[\"127.0.0.0/8\", \"::1\"]", "[]");
    fs::write(suite.config(), config).unwrap();
    suite.start();
    suite
}

/// Lines that need 8BITMIME, beside the awkward ones.
fn body() -> String {
    format!("grüße\n{}", awkward())
}

fn message(to: &str) -> String {
    format!(
        "From: a@far.example\nTo: {to}@local.example\nSubject: x\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\
        Content-Transfer-Encoding: 8bit\n\n{}",
        body()
    )
}

/// The message has come by TLS 1.3 from this client.
fn check(suite: &Suite, to: &str) -> String {
    let arrived = Arrived::at(suite, to);
    arrived.assert("ESMTPS", &body());
    let ours = arrived.header.split("Received: ").nth(1).unwrap();
    assert!(ours.contains("by mta.test.example") && ours.contains("(TLSv1.3 "), "{}", arrived.header);
    suite.logged("proto=ESMTPS");
    arrived.header
}

#[test]
fn postfix_relays_with_starttls() {
    if !postfix::usable() {
        return;
    }
    let suite = receiver();
    let postfix = postfix_by(&suite, suite.port, "one.pem", "");
    for to in ["a", "b"] {
        submit(&postfix, to);
        let header = check(&suite, to);
        assert!(header.contains("by localhost (Postfix)"), "{header}");
    }
    wait_until("Postfix has heard", LONG, || postfix.log().matches("status=sent (250 2.0.0").count() == 2);
    assert!(postfix.log().contains("Verified TLS connection established to localhost"), "{}", postfix.log());
}

/// A Postfix that relays everything to a port of ours, whose certificate it verifies.
fn postfix_by(suite: &Suite, port: u16, certificate: &str, more: &str) -> Postfix {
    let main = format!(
        "default_transport = smtp\nsmtp_dns_support_level = disabled\nsmtp_host_lookup = native\nrelayhost = localhost:{port}\n\
         smtp_tls_security_level = verify\nsmtp_tls_verify_cert_match = hostname\nsmtp_tls_CAfile = {}\nsmtp_tls_loglevel = 1\n{more}",
        suite.path(certificate).display()
    );
    Postfix::start(&main, &[""])
}

/// Hands a message to it.
fn submit(postfix: &Postfix, to: &str) {
    let mut session = Session::open(postfix.ports[0]).unwrap().0;
    assert_eq!(session.command("EHLO origin.example").unwrap().0, 250);
    let wire = message(to).replace("\n.", "\n..").replace('\n', "\r\n");
    let (code, text) = session.message("a@far.example", &[&address(to)], wire.as_bytes()).unwrap();
    assert_eq!(code, 250, "{text}");
}

/// A server without mailboxes of its own logs in where it hands over everything. By Cyrus SASL.
#[test]
fn postfix_as_a_satellite_logs_in() {
    if !postfix::usable() {
        return;
    }
    let site = site();
    for (to, mechanism) in [("a", "PLAIN"), ("d", "SCRAM-SHA-256")] {
        let sasl = format!(
            "smtp_sasl_auth_enable = yes\nsmtp_sasl_security_options = noanonymous\nsmtp_sasl_mechanism_filter = {mechanism}\n\
             smtp_sasl_password_maps = inline:{{{{ [localhost]:{0} = {USER}:{PASSWORD} }}}}\nrelayhost = [localhost]:{0}\n",
            site.submission
        );
        let postfix = postfix_by(&site.suite, site.submission, "server.pem", &sasl);
        submit(&postfix, to);
        Arrived::at(&site.suite, to).assert("ESMTPSA", &body());
        assert_login(&site, mechanism);
    }
    assert_eq!(site.suite.counter("authserver", "accepted"), 2);
}

/// The same by STARTTLS and by implicit TLS.
#[test]
fn exim_as_a_satellite_logs_in() {
    let Some(program) = Exim::usable() else { return };
    let site = site();
    for (to, port, options) in [("b", site.submission, ""), ("c", site.submissions, " protocol = smtps\n")] {
        let login = format!(" client_send = ^{USER}^{}", PASSWORD.replace('^', "^^"));
        let after = format!("begin authenticators\nplain:\n driver = plaintext\n public_name = PLAIN\n{login}\n");
        let exim = Exim::prepare(&program, port, &format!(" hosts_require_auth = *\n{options}{after}"));
        fs::copy(site.suite.path("server.pem"), exim.folder.path().join("ca.pem")).unwrap();
        let (good, text) = exim.send(&[to], message(to).as_bytes());
        assert!(good && exim.log().contains(" A=plain"), "{text}{}", exim.log());
        Arrived::at(&site.suite, to).assert("ESMTPSA", &body());
    }
    assert_eq!(site.suite.counter("authserver", "accepted"), 2);
}

#[test]
fn exim_relays_with_starttls_in_lines_and_in_chunks() {
    let Some(program) = Exim::usable() else { return };
    let suite = receiver();
    for (to, options, chunks) in [("lines", " hosts_try_chunking =", false), ("chunks", " hosts_try_chunking = *", true)] {
        let exim = Exim::prepare(&program, suite.port, options);
        fs::copy(suite.path("one.pem"), exim.folder.path().join("ca.pem")).unwrap();
        let (good, text) = exim.send(&[to], message(to).as_bytes());
        assert!(good, "{text}");
        let log = exim.log();
        assert!(log.contains("=> ") && log.contains(" CV=yes"), "{to}: {text}{log}");
        assert_eq!(log.contains(" K "), chunks, "{log}");
        let header = check(&suite, to);
        assert!(header.contains("by exim.example"), "{header}");
    }
}

/// Ours to ours: TLS, chunks, and octets that only BINARYMIME takes.
#[test]
fn a_second_suite_relays_with_starttls_and_chunks() {
    let receiver = receiver();
    let sender = Suite::builder().relaying_to(receiver.port).start();
    let mut client = Wire::hello(sender.port);
    for (to, kind, body) in
        [("lines", "8BITMIME", body().replace('\n', "\r\n").into_bytes()), ("octets", "BINARYMIME", (0..=255).collect())]
    {
        client.say(&format!("MAIL FROM:<a@far.example> BODY={kind}"), "250");
        client.say(&format!("RCPT TO:<{to}@local.example>"), "250");
        client.chunk(&[b"Subject: x\r\n\r\n", &body[..]].concat(), true);
        client.hear("250 2.0.0 ok queued as ");
        if kind == "8BITMIME" {
            check(&receiver, to);
        } else {
            let arrived = Arrived::at(&receiver, to);
            assert!(arrived.body == body, "{:?}", arrived.body);
            assert!(arrived.header.contains("(TLSv1.3 "), "{}", arrived.header);
        }
    }
    wait_until("the sender has heard", LONG, || sender.log().matches(" delivered ").count() == 2);
}
