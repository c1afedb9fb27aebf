//! Programs that people and scripts send mail with, against submission with TLS and logins: what arrives is what they were
//! given, and our Received says how it came. swaks: swaks.rs; other servers: relays.rs; gsasl: auth.rs; tokens, CRAM-MD5: auth_backends.rs.

use end_to_end::clients::{Arrived, PASSWORD, USER, address, assert_login, awkward, brought, run_with, site, usable};
use end_to_end::logins::Site;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// A message with the awkward body.
fn message(to: &str) -> String {
    format!("From: {}\nTo: {}\nSubject: x\n\n{}", address(USER), address(to), awkward())
}

/// A file that only its owner reads, as clients want theirs with passwords.
fn secret(site: &Site, name: &str, text: &str) -> String {
    let path = site.suite.path(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

/// A client in a home of its own that has no proxy, language or settings of whoever runs the test.
fn client(site: &Site, program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    command.env("HOME", site.suite.folder.path()).env("LC_ALL", "C.UTF-8").env("XDG_CONFIG_HOME", site.path("xdg"));
    command.current_dir(site.suite.folder.path());
    command
}

/// Over STARTTLS and implicit TLS, by every mechanism that msmtp and we have.
#[test]
fn msmtp() {
    if !usable(&["msmtp"]) {
        return;
    }
    let site = site();
    let config = secret(
        &site,
        "msmtprc",
        &format!(
            "defaults\nauth on\nuser {USER}\npassword {PASSWORD}\ntls on\ntls_trust_file {}\nhost localhost\nfrom {}\n\
             account submission\nport {}\ntls_starttls on\naccount submissions\nport {}\ntls_starttls off\n",
            site.path("server.pem"),
            address(USER),
            site.submission,
            site.submissions
        ),
    );
    let send = |account: &str, mechanism: &str, to: &str| {
        let mut msmtp = client(&site, "msmtp");
        msmtp.args([&format!("--file={config}"), &format!("--account={account}"), &format!("--auth={mechanism}"), "--debug"]);
        run_with(msmtp.arg(address(to)), message(to).as_bytes())
    };
    for (account, mechanism, to) in [
        ("submission", "plain", "a"),
        ("submission", "login", "b"),
        ("submission", "scram-sha-256", "c"),
        ("submissions", "plain", "d"),
        // Whatever msmtp thinks best.
        ("submissions", "on", "e"),
    ] {
        let (good, text) = send(account, mechanism, to);
        assert!(good, "{account} {mechanism}: {text}");
        Arrived::at(&site.suite, to).assert("ESMTPSA", &awkward());
    }
    for mechanism in ["PLAIN", "LOGIN", "SCRAM-SHA-256"] {
        assert_login(&site, mechanism);
    }
    let (good, text) = send("submission", "cram-md5", "f");
    assert!(!good && text.contains("does not support authentication method"), "{text}");
}

#[test]
fn s_nail() {
    if !usable(&["s-nail"]) {
        return;
    }
    let site = site();
    // URL-encoded: the password has a comma, an ampersand and an equals sign.
    let login = format!("{USER}:tr0ub4dor%2C%26%3D3@localhost");
    let starttls = format!("smtp://{login}:{}", site.submission);
    let implicit = format!("smtps://{login}:{}", site.submissions);
    for (to, url, mechanism) in [("a", &starttls, "plain"), ("b", &starttls, "login"), ("c", &implicit, "plain")] {
        let mut mail = client(&site, "s-nail");
        for setting in [
            "v15-compat".to_owned(),
            format!("mta={url}"),
            format!("smtp-auth={mechanism}"),
            format!("smtp-use-starttls{}", if to == "c" { "-not" } else { "" }),
            format!("tls-ca-file={}", site.path("server.pem")),
            "tls-ca-no-defaults".to_owned(),
            "tls-verify=strict".to_owned(),
            "sendwait".to_owned(),
            "mime-encoding=8b".to_owned(),
            "hostname=client.example".to_owned(),
        ] {
            mail.args(["-S", &setting]);
        }
        mail.args(["-:/", "-r", &address(USER), "-s", "x", &address(to)]);
        let (good, text) = run_with(&mut mail, awkward().as_bytes());
        assert!(good, "{to}: {text}");
        let arrived = Arrived::at(&site.suite, to);
        assert!(arrived.header.contains("User-Agent: s-nail"), "{}", arrived.header);
        arrived.assert("ESMTPSA", &awkward());
    }
    assert_login(&site, "PLAIN");
    assert_login(&site, "LOGIN");
}

#[test]
fn mutt() {
    if !usable(&["mutt"]) {
        return;
    }
    let site = site();
    for (to, scheme, port, mechanism) in [
        ("a", "smtp", site.submission, "plain"),
        ("b", "smtp", site.submission, "scram-sha-256"),
        ("c", "smtps", site.submissions, "login"),
    ] {
        let config = secret(
            &site,
            &format!("muttrc-{to}"),
            &format!(
                "set smtp_url=\"{scheme}://{USER}@localhost:{port}/\"\nset smtp_pass=\"{PASSWORD}\"\nset smtp_authenticators=\"{mechanism}\"\n\
                 set ssl_force_tls=yes\nset certificate_file=\"{}\"\nset ssl_usesystemcerts=no\nset ssl_ca_certificates_file=\"{}\"\n\
                 set from=\"{}\"\nset use_envelope_from=yes\nset copy=no\nset allow_8bit=yes\nset hostname=client.example\n",
                site.path("trusted"),
                site.path("server.pem"),
                address(USER)
            ),
        );
        let mut mutt = client(&site, "mutt");
        mutt.args(["-n", "-F", &config, "-s", "x", &address(to)]);
        let (good, text) = run_with(&mut mutt, awkward().as_bytes());
        assert!(good, "{mechanism}: {text}");
        Arrived::at(&site.suite, to).assert("ESMTPSA", &awkward());
    }
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "LOGIN"] {
        assert_login(&site, mechanism);
    }
}

#[test]
fn git_send_email() {
    let Some(core) = git_core() else { return eprintln!("SKIPPED: git-email is not installed") };
    let site = site();
    for (to, encryption, port, mechanism) in
        [("a", "tls", site.submission, "PLAIN"), ("b", "tls", site.submission, "LOGIN"), ("c", "ssl", site.submissions, "PLAIN")]
    {
        let patch = site.path("0001.patch");
        fs::write(&patch, message(to)).unwrap();
        let mut git = client(&site, core.join("git-send-email"));
        git.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_EXEC_PATH", &core).env("GIT_CEILING_DIRECTORIES", "/");
        git.envs(
            ["AUTHOR", "COMMITTER"]
                .iter()
                .flat_map(|who| [(format!("GIT_{who}_NAME"), "Tim".to_owned()), (format!("GIT_{who}_EMAIL"), address(USER))]),
        );
        git.env("PATH", format!("{}:{}", core.display(), std::env::var("PATH").unwrap()));
        git.args(["--smtp-server=localhost", &format!("--smtp-server-port={port}"), &format!("--smtp-encryption={encryption}")]);
        git.args([&format!("--smtp-auth={mechanism}"), &format!("--smtp-user={USER}"), &format!("--smtp-pass={PASSWORD}")]);
        git.args([&format!("--smtp-ssl-cert-path={}", site.path("server.pem")), "--smtp-domain=client.example", "--confirm=never"]);
        git.args([&format!("--from={}", address(USER)), &format!("--to={}", address(to)), "--suppress-cc=all", "--no-validate"]);
        let (good, text) = run_with(git.args(["--transfer-encoding=8bit", "--smtp-debug=1", &patch]), b"");
        assert!(good && text.contains("Result: 250"), "{text}");
        let arrived = Arrived::at(&site.suite, to);
        assert!(arrived.header.contains("X-Mailer: git-send-email"), "{}", arrived.header);
        arrived.assert("ESMTPSA", &awkward());
        assert_login(&site, mechanism);
    }
}

/// The folder that has git-send-email.
fn git_core() -> Option<std::path::PathBuf> {
    let own = Command::new("git").arg("--exec-path").output().ok()?.stdout;
    let own = String::from_utf8(own).ok()?.trim().to_owned();
    ["/usr/lib/git-core", &own].iter().map(std::path::PathBuf::from).find(|folder| folder.join("git-send-email").exists())
}

#[test]
fn curl() {
    if !usable(&["curl"]) {
        return;
    }
    let site = site();
    let starttls = format!("smtp://localhost:{}/client.example", site.submission);
    let implicit = format!("smtps://localhost:{}/client.example", site.submissions);
    for (to, url, option, version) in [
        ("a", &starttls, "AUTH=PLAIN", "--tlsv1.3"),
        ("b", &starttls, "AUTH=LOGIN", "--tlsv1.2"),
        ("c", &implicit, "AUTH=PLAIN", "--tlsv1.3"),
        ("d", &implicit, "AUTH=*", "--tlsv1.2"),
    ] {
        let mut curl = client(&site, "curl");
        curl.args(["--silent", "--show-error", "--verbose", "--ssl-reqd", version, "--cacert", &site.path("server.pem"), "--url", url]);
        curl.args(["--user", &format!("{USER}:{PASSWORD}"), "--login-options", option, "--mail-from", &address(USER)]);
        curl.args(["--crlf", "--mail-rcpt", &address(to), "--upload-file", "-"]);
        let (good, text) = run_with(&mut curl, message(to).as_bytes());
        assert!(good, "{url} {option}: {text}");
        Arrived::at(&site.suite, to).assert("ESMTPSA", &awkward());
    }
    assert_login(&site, "PLAIN");
    // Addresses of people we do not know, and a client that wants no TLS.
    let mut curl = client(&site, "curl");
    curl.args(["--silent", "--show-error", "--url", &format!("smtp://localhost:{}", site.suite.port), "--mail-from", "x@far.example"]);
    let (good, text) = run_with(curl.args(["--mail-rcpt", "y@far.example", "--upload-file", "-"]), b"x\r\n");
    assert!(!good && text.contains("550"), "{text}");
}

/// Logins, STARTTLS, implicit TLS, 8-bit text, addresses in UTF-8 (RFC 6531), several messages a session.
#[test]
fn python_smtplib() {
    let site = site();
    let script = r#"
import smtplib, ssl, sys
starttls, implicit, ca, password = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
body = sys.stdin.buffer.read().replace(b"\n", b"\r\n")
head = b"From: tim@local.example\r\nSubject: x\r\n\r\n"
context = ssl.create_default_context(cafile=ca)

client = smtplib.SMTP("localhost", starttls, local_hostname="client.example")
client.ehlo()
assert client.has_extn("starttls") and not client.has_extn("auth"), client.esmtp_features
client.starttls(context=context)
client.ehlo()
assert not client.has_extn("starttls") and client.has_extn("smtputf8") and client.has_extn("8bitmime"), client.esmtp_features
try:
    client.login("tim", "wrong")
    sys.exit("logged in with a wrong password")
except smtplib.SMTPAuthenticationError as refused:
    assert refused.smtp_code == 535, refused
client.login("tim", password)
assert client.sendmail("tim@local.example", ["a@local.example"], head + body) == {}
eight = "gr\u00fc\u00dfe\r\n".encode()
assert client.sendmail("tim@local.example", ["b@local.example"], head + eight, ["BODY=8BITMIME"]) == {}
address = "j\u00f6rg@local.example"
assert client.sendmail("tim@local.example", [address], head + eight, ["SMTPUTF8", "BODY=8BITMIME"]) == {}
client.quit()

client = smtplib.SMTP_SSL("localhost", implicit, local_hostname="client.example", context=context)
client.user, client.password = "tim", password
client.ehlo()
client.auth("LOGIN", client.auth_login, initial_response_ok=False)
# In chunks (RFC 3030): octets as they are, and lines.
message = head + body
for to, kind in [("c", "BINARYMIME"), ("d", "8BITMIME")]:
    code, text = client.docmd("MAIL", "FROM:<tim@local.example> BODY=" + kind)
    assert code == 250, text
    assert client.docmd("RCPT", "TO:<%s@local.example>" % to)[0] == 250
    for at in range(0, len(message), 100):
        piece = message[at:at + 100]
        client.send(b"BDAT %d\r\n" % len(piece) + piece)
        assert client.getreply()[0] == 250
    assert client.docmd("BDAT 0 LAST")[0] == 250
client.quit()
"#;
    let mut python = client(&site, "python3");
    python.args(["-c", script, &site.submission.to_string(), &site.submissions.to_string(), &site.path("server.pem"), PASSWORD]);
    let (good, text) = run_with(&mut python, awkward().as_bytes());
    assert!(good, "{text}");
    Arrived::at(&site.suite, "a").assert("ESMTPSA", &awkward());
    Arrived::at(&site.suite, "b").assert("ESMTPSA", "grüße\n");
    Arrived::at(&site.suite, "jörg").assert("UTF8SMTPSA", "grüße\n");
    Arrived::at(&site.suite, "c").assert("ESMTPSA", &awkward().replace('\n', "\r\n"));
    Arrived::at(&site.suite, "d").assert("ESMTPSA", &awkward());
    assert_login(&site, "PLAIN");
    assert_login(&site, "LOGIN");
}

#[test]
fn nodemailer() {
    let Some(modules) = brought("npm/node_modules/nodemailer") else { return };
    if !usable(&["node"]) {
        return;
    }
    let site = site();
    let script = r#"
const [module_, starttls, implicit, ca, pass] = process.argv.slice(1);
const nodemailer = require(module_);
const text = require("fs").readFileSync(0, "utf8");
const tls = { ca: require("fs").readFileSync(ca) };
const header = (to) => `From: tim@local.example\r\nTo: ${to}\r\nSubject: x\r\n\r\n`;
async function send(to, options, message) {
  const transport = nodemailer.createTransport({ host: "localhost", name: "client.example", tls, auth: { user: "tim", pass }, ...options });
  await transport.verify();
  const info = await transport.sendMail({ envelope: { from: "tim@local.example", to: [to] }, raw: header(to) + text, ...message });
  if (info.accepted[0] !== to || !/^250 /.test(info.response)) throw new Error(JSON.stringify(info));
  transport.close();
}
(async () => {
  await send("a@local.example", { port: +starttls, requireTLS: true });
  await send("b@local.example", { port: +implicit, secure: true, authMethod: "LOGIN" });
  await send("c@local.example", { port: +implicit, secure: true, pool: true, maxConnections: 1 });
  // Built by nodemailer, to an address in UTF-8.
  await send("j\u00f6rg@local.example", { port: +implicit, secure: true },
    { raw: undefined, from: "tim@local.example", to: "j\u00f6rg@local.example", subject: "gr\u00fc\u00dfe", text: "hello\n" });
  let refused;
  await send("x@local.example", { port: +implicit, secure: true, auth: { user: "tim", pass: "wrong" } }).catch((e) => { refused = e; });
  if (!refused || refused.responseCode !== 535) throw new Error(`wrong password: ${refused}`);
})().catch((error) => { console.error(error); process.exit(1); });
"#;
    let mut node = client(&site, "node");
    node.args(["-e", script, &modules.display().to_string(), &site.submission.to_string(), &site.submissions.to_string()]);
    let (good, text) = run_with(node.args([&site.path("server.pem"), PASSWORD]), awkward().as_bytes());
    assert!(good, "{text}");
    for to in ["a", "b", "c"] {
        Arrived::at(&site.suite, to).assert("ESMTPSA", &awkward());
    }
    Arrived::at(&site.suite, "jörg").assert("UTF8SMTPSA", "hello\n");
    assert_login(&site, "PLAIN");
    assert_login(&site, "LOGIN");
}

/// Its queue, its sender and its SMTP, in a folder of their own.
#[test]
fn nullmailer() {
    let Some(root) = brought("root/usr/lib/nullmailer/smtp").and(brought("root")) else { return };
    let site = site();
    let home = site.suite.path("nullmailer");
    for folder in ["conf", "queue/queue", "queue/tmp", "queue/failed"] {
        fs::create_dir_all(home.join(folder)).unwrap();
    }
    assert!(Command::new("mkfifo").arg(home.join("queue/trigger")).status().unwrap().success());
    for (link, target) in [("sbin", "usr/sbin"), ("bin", "usr/bin"), ("protocols", "usr/lib/nullmailer")] {
        std::os::unix::fs::symlink(root.join(target), home.join(link)).unwrap();
    }
    fs::write(home.join("mailname"), "client.example\n").unwrap();
    let (ca, secret) = (site.path("server.pem"), format!("--user={USER} --pass={PASSWORD}"));
    for (to, how) in [
        ("a", format!("--starttls --port={}", site.submission)),
        ("b", format!("--tls --port={}", site.submissions)),
        ("c", format!("--starttls --auth-login --port={}", site.submission)),
    ] {
        fs::write(home.join("conf/remotes"), format!("localhost smtp {how} --x509cafile={ca} {secret}\n")).unwrap();
        let nullmailer = |program: &str| {
            let mut command = client(&site, root.join(program));
            command.env("NULLMAILER_TEST_PREFIX", &home);
            command
        };
        let mut sender = nullmailer("usr/sbin/nullmailer-send")
            .stdout(std::process::Stdio::null())
            .stderr(fs::File::create(site.suite.path("nullmailer.log")).unwrap())
            .spawn()
            .unwrap();
        let (good, text) =
            run_with(nullmailer("usr/bin/nullmailer-inject").args(["-f", &address(USER), &address(to)]), message(to).as_bytes());
        let sent = std::panic::catch_unwind(|| Arrived::at(&site.suite, to).assert("ESMTPSA", &awkward()).header.len());
        let _ = sender.kill();
        let _ = sender.wait();
        assert!(good && sent.is_ok(), "{text}{}", fs::read_to_string(site.suite.path("nullmailer.log")).unwrap());
    }
    assert_login(&site, "PLAIN");
    assert_login(&site, "LOGIN");
}
