//! Who sends: the owner of a file in the spool, or whoever is at the other end of a socket, by the kernel's word. What he says
//! beyond that goes by `[headers] senders`; whoever is named in From without right gets a Sender beside him.

use end_to_end::wire::{ChunkSink, Taken};
use end_to_end::{LONG, Suite, programs, wait_until};
use std::fs;
use std::io::Write;
use std::os::unix::fs::chown;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

/// An account of every Debian that is nobody's.
const USER: &str = "games";

fn is_root() -> bool {
    let root = nix::unistd::Uid::effective().is_root();
    if !root {
        eprintln!("SKIPPED: being another user needs root");
    }
    root
}

fn uid(name: &str) -> u32 {
    nix::unistd::User::from_name(name).unwrap().unwrap().uid.as_raw()
}

fn suite(sink: &ChunkSink) -> Suite {
    let senders = format!(
        "[headers]\nsenders = [\"senders\"]\n\
         [[table]]\nname = \"senders\"\nkind = \"inline\"\nentries = {{ {USER} = \"boss@local.example, @team.example\", mail = \"*\" }}\n"
    );
    Suite::builder().relaying_to(sink.port).with_maildirs().with(&senders).start()
}

/// A file of `owner` in the spool, with these envelope lines and this header.
fn drop_file(suite: &Suite, name: &str, owner: u32, envelope: &str, header: &str) {
    let draft = suite.postoffice("public").join(name);
    fs::write(&draft, format!("{envelope}\nto x@sink.example\nenv-end\n{header}Subject: {name}\n\nbody\n")).unwrap();
    chown(&draft, Some(owner), None).unwrap();
    fs::rename(&draft, suite.postoffice("router").join(name)).unwrap();
    let _ = UnixDatagram::unbound().unwrap().send_to(format!("NEW {name}").as_bytes(), suite.path("run/notify/router"));
}

/// The message of this subject.
fn taken(sink: &ChunkSink, subject: &str) -> Taken {
    let mut found = None;
    wait_until(&format!("{subject} arrives"), LONG, || {
        found = sink.taken().into_iter().find(|one| one.text().contains(&format!("\nSubject: {subject}\n")));
        found.is_some()
    });
    found.unwrap()
}

fn field(text: &str, name: &str) -> Vec<String> {
    let header = text.split("\n\n").next().unwrap_or_default();
    header.lines().filter_map(|line| line.strip_prefix(&format!("{name}: "))).map(str::to_owned).collect()
}

/// What a user claims, and what becomes of it.
struct Claim {
    name: &'static str,
    owner: &'static str,
    envelope: &'static str,
    header: &'static str,
    sender: &'static str,
    from: &'static str,
    fields_of_sender: &'static [&'static str],
}

const CLAIMS: [Claim; 10] = [
    Claim {
        name: "own",
        owner: USER,
        envelope: "from <games@local.example>",
        header: "From: Games <games@local.example>\n",
        sender: "games@local.example",
        from: "Games <games@local.example>",
        fields_of_sender: &[],
    },
    Claim {
        name: "detail",
        owner: USER,
        envelope: "from <games+x@local.example>",
        header: "From: games+x@local.example\n",
        sender: "games+x@local.example",
        from: "games+x@local.example",
        fields_of_sender: &[],
    },
    Claim {
        name: "silent",
        owner: USER,
        envelope: "comment none",
        header: "",
        sender: "games@local.example",
        from: "games@local.example",
        fields_of_sender: &[],
    },
    Claim {
        name: "allowed",
        owner: USER,
        envelope: "from <boss@local.example>",
        header: "From: boss@local.example\n",
        sender: "boss@local.example",
        from: "boss@local.example",
        fields_of_sender: &[],
    },
    Claim {
        name: "team",
        owner: USER,
        envelope: "from <any@team.example>",
        header: "From: any@team.example\n",
        sender: "any@team.example",
        from: "any@team.example",
        fields_of_sender: &[],
    },
    Claim {
        name: "forged",
        owner: USER,
        envelope: "from <king@local.example>",
        header: "From: King <king@local.example>\n",
        sender: "games@local.example",
        from: "King <king@local.example>",
        fields_of_sender: &["games@local.example"],
    },
    Claim {
        name: "two-faced",
        owner: USER,
        envelope: "from <boss@local.example>",
        header: "From: king@local.example\nSender: king@local.example\n",
        sender: "boss@local.example",
        from: "king@local.example",
        fields_of_sender: &["boss@local.example"],
    },
    Claim {
        name: "null",
        owner: USER,
        envelope: "from <>",
        header: "From: king@local.example\n",
        sender: "",
        from: "king@local.example",
        fields_of_sender: &["games@local.example"],
    },
    Claim {
        name: "free",
        owner: "mail",
        envelope: "from <anybody@else.example>",
        header: "From: anybody@else.example\n",
        sender: "anybody@else.example",
        from: "anybody@else.example",
        fields_of_sender: &[],
    },
    Claim {
        name: "root",
        owner: "root",
        envelope: "from <king@local.example>",
        header: "From: duke@local.example\n",
        sender: "king@local.example",
        from: "duke@local.example",
        fields_of_sender: &[],
    },
];

fn assert_claim(claim: &Claim, one: &Taken) {
    let (text, name) = (one.text(), claim.name);
    assert_eq!(one.sender(), claim.sender, "{name}: {text}");
    assert_eq!(field(&text, "From"), [claim.from], "{name}: {text}");
    assert_eq!(field(&text, "Sender"), claim.fields_of_sender, "{name}: {text}");
}

#[test]
fn the_owner_of_a_file_is_its_sender() {
    if !is_root() {
        return;
    }
    let sink = ChunkSink::start();
    let suite = suite(&sink);
    for claim in &CLAIMS {
        drop_file(&suite, claim.name, uid(claim.owner), claim.envelope, claim.header);
    }
    for claim in &CLAIMS {
        assert_claim(claim, &taken(&sink, claim.name));
    }
    suite.wait_drained(LONG);
    assert_eq!(sink.taken().len(), CLAIMS.len());
    let told = suite.wait_for("sender_denied", "claimed=king@local.example");
    assert!(told.contains(" from=games@local.example ") && told.contains(&format!(" owner={}", uid(USER))), "{told}");
    assert_eq!(suite.lines("sender_denied", "").len(), 1, "only what was not allowed is told");
}

/// What trusted programs may say of a message (`forwarded`, the time it came, its id) others may not.
#[test]
fn who_is_not_trusted_says_nothing_of_its_past() {
    if !is_root() {
        return;
    }
    let sink = ChunkSink::start();
    let suite = suite(&sink);
    drop_file(
        &suite,
        "past",
        uid(USER),
        "external\nrcvdfrom bank.example\nfrom <>\nerrormsg\narrived 1000",
        "From: king@local.example\nBcc: y@sink.example\n",
    );
    let one = taken(&sink, "past");
    let text = one.text();
    assert_eq!((one.sender(), field(&text, "Sender")), ("", vec!["games@local.example".to_owned()]), "{text}");
    assert!(field(&text, "Bcc").is_empty() && !text.contains("bank.example"), "{text}");
    suite.wait_drained(LONG);
}

/// `sendmail` of a user who may not write into the spool goes by the socket.
fn sendmail(suite: &Suite, user: &str, arguments: &[&str], message: &str) {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", user, "--regid", "nogroup", "--clear-groups"]).arg(programs().join("sendmail"));
    command.args(["-i"]).args(arguments).arg("x@sink.example").env("ZPOST_CONFIG", suite.config());
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(message.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_user_of_sendmail_is_who_the_kernel_says() {
    if !is_root() {
        return;
    }
    let sink = ChunkSink::start();
    let suite = suite(&sink);
    for claim in CLAIMS.iter().filter(|claim| claim.owner != "root" && claim.name != "silent") {
        let from = claim.envelope.strip_prefix("from <").unwrap().trim_end_matches('>');
        sendmail(&suite, claim.owner, &["-f", from], &format!("{}Subject: {}\n\nbody\n", claim.header, claim.name));
    }
    sendmail(&suite, USER, &["-F", "The Player"], "Subject: silent\n\nbody\n");
    for claim in CLAIMS.iter().filter(|claim| claim.owner != "root" && claim.name != "silent") {
        assert_claim(claim, &taken(&sink, claim.name));
    }
    let silent = taken(&sink, "silent");
    assert_eq!(
        (silent.sender(), field(&silent.text(), "From")),
        ("games@local.example", vec!["The Player <games@local.example>".to_owned()])
    );
    // As in a container: a user without an account.
    sendmail(&suite, "54321", &["-f", "king@local.example"], "From: king@local.example\nSubject: nameless\n\nbody\n");
    let nameless = taken(&sink, "nameless");
    assert_eq!(
        (nameless.sender(), field(&nameless.text(), "Sender")),
        ("uid54321@local.example", vec!["uid54321@local.example".to_owned()])
    );
    let told = suite.wait_for("sender_denied", "from=uid54321@local.example");
    assert!(told.contains(" claimed=king@local.example ") && told.contains(" owner=54321"), "{told}");
    suite.wait_drained(LONG);
}
