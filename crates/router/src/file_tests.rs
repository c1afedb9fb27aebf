//! Files of a real spool in a scratch folder.

use crate::callers::TableCallers;
use crate::file::FileRouter;
use crate::parking::Pass;
use crate::trust::Trusted;
use address::Path;
use daemon::Counters;
use envelope::{Control, MessageId, parse_control};
use spool::{Owners, Spool};
use std::path::PathBuf;
use std::sync::Arc;

struct Bench {
    folder: tempfile::TempDir,
    router: FileRouter,
}

impl Bench {
    fn new(local: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Spool::create(folder.path(), &Owners::default()).unwrap();
        let text = format!(
            "[paths]\npostoffice = \"{}\"\n[identity]\nhostname = \"mta.example\"\n[[listener]]\nkind = \"smtp\"\nbind = \"127.0.0.1:2525\"\n\
             [local]\ndomains = [\"local.example\"]\ndelivery = \"maildir\"\nusers = \"any\"\n{local}",
            folder.path().display()
        );
        let settings = Arc::new(settings::parse(&text, "test").unwrap());
        let router = FileRouter::new(
            &settings,
            TableCallers::default(),
            Counters::detached("router").unwrap(),
            Arc::new(Spool::open(folder.path()).unwrap()),
        );
        Self { folder, router }
    }
    fn path(&self, place: &str) -> PathBuf {
        self.folder.path().join(place)
    }
    fn route(&mut self, name: &str, text: &str) {
        std::fs::write(self.path("router").join(name), text).unwrap();
        self.router.route_file(name, Pass::first(std::time::Instant::now()));
        assert!(!self.path("router").join(name).exists());
    }
    /// The control files of the spool.
    fn queued(&self) -> Vec<Control> {
        let mut all = Vec::new();
        for hash in std::fs::read_dir(self.path("transport")).unwrap() {
            for file in std::fs::read_dir(hash.unwrap().path()).unwrap() {
                let file = file.unwrap().path();
                let control = parse_control(&std::fs::read(&file).unwrap()).unwrap().control;
                let message = format!("queue/{:02x}/{}", control.id.hash(), control.id);
                assert!(self.path(&message).exists());
                all.push(control);
            }
        }
        all
    }
    fn reason(&self, name: &str) -> String {
        assert!(self.path("deferred").join(name).exists());
        std::fs::read_to_string(self.path("deferred").join(format!("{name}.reason"))).unwrap()
    }
}

#[test]
fn a_dropped_file_is_queued_under_a_new_id() {
    let mut bench = Bench::new("");
    let text = "from <a@sink.example>\ntodsn NOTIFY=SUCCESS ORCPT=rfc822;b@local.example\nto <B+x@local.example>\nto c@far.example\nto <c@far.example>\nenv-end\nMessage-ID: <1@x>\n\nbody\n";
    bench.route("drop.1", text);
    let queued = bench.queued();
    let control = &queued[0];
    assert_eq!(control.recipients.len(), 2);
    assert_eq!(control.recipients[0].quad.user, "b@local.example");
    assert_eq!(control.recipients[0].original.as_deref(), Some("B+x@local.example"));
    assert!(control.recipients[0].dsn.notify.unwrap().success);
    assert_eq!(control.recipients[1].original, None);
    assert_eq!(&text[usize::try_from(control.body_offset).unwrap()..][..11], "Message-ID:");
    assert_eq!((control.size, control.message_id.as_deref()), (24, Some("<1@x>")));
}

#[test]
fn an_id_of_ours_is_kept_and_a_taken_one_is_not() {
    let mut bench = Bench::new("");
    let id = envelope::IdSource::new(7).next(1_700_000_000_000_000);
    let text = "from <>\nto b@local.example\nenv-end\n\nbody\n";
    bench.route(id.as_str(), text);
    assert_eq!((bench.queued()[0].id, bench.queued()[0].arrived), (id, 1_700_000_000_000));
    bench.route(id.as_str(), text);
    let ids: Vec<MessageId> = bench.queued().iter().map(|c| c.id).collect();
    assert_eq!((ids.len(), ids.iter().filter(|i| **i == id).count()), (2, 1));
}

#[test]
fn malformed_files_are_set_aside_with_their_reason() {
    let mut bench = Bench::new("");
    bench.route("m1", "nonsense\nenv-end\n\n");
    assert!(bench.reason("m1").contains("line 1"));
    bench.route("m2", "from <a@b.example>\nenv-end\nSubject: x\n\n");
    assert!(bench.reason("m2").contains("no recipient"));
    bench.route("m3", "length 00000000000000000009\nfrom <a@b.example>\nto c@d.example\nenv-end\n\n");
    assert!(bench.reason("m3").contains("incomplete"));
    std::os::unix::fs::symlink("/etc/passwd", bench.path("router/m4")).unwrap();
    bench.router.route_file("m4", Pass::first(std::time::Instant::now()));
    assert!(bench.reason("m4").contains("link") || bench.path("deferred/m4").is_symlink());
    bench.router.route_file("never-there", Pass::first(std::time::Instant::now()));
    assert!(bench.queued().is_empty());
}

#[test]
fn loops_end_by_the_count_of_hops() {
    let mut bench = Bench::new("");
    let received = "Received: from x\n by y\n".repeat(50);
    bench.route("hops", &format!("from <a@b.example>\nto c@local.example\nenv-end\n{received}\n"));
    let quad = bench.queued()[0].recipients[0].quad.clone();
    assert_eq!((quad.channel.as_str(), quad.user.as_str()), ("error", "c@local.example"));
    assert!(quad.host.starts_with("5.4.6:"));
}

#[test]
fn an_owner_who_is_not_trusted_is_the_sender() {
    let mut bench = Bench::new("");
    bench.router.trust(Trusted::nobody());
    let me = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name;
    let id = envelope::IdSource::new(7).next(1);
    bench.route(id.as_str(), "from <forged@b.example>\narrived 5\nto c@local.example\nenv-end\n\n");
    let control = bench.queued().remove(0);
    assert!(matches!(&control.sender, Path::Mailbox(a) if a.as_str() == format!("{me}@local.example")));
    assert!(control.id != id && control.arrived > 1_700_000_000_000);
}

/// The sender's table is away: all wait together, with that reason, and not in `router/`.
#[test]
fn a_sender_whose_form_is_not_known_holds_the_message() {
    let mut bench = Bench::new(
        "[routing]\nsender_canonical = [\"forms\"]\n[[table]]\nname = \"forms\"\nkind = \"text\"\nfile = \"/nonexistent/forms\"\n",
    );
    let text = "from <a@b.example>\ntodsn NOTIFY=FAILURE\nto c@local.example\nto d@far.example\nenv-end\nBcc: x@y\n\nbody\n";
    bench.route("t", text);
    let control = bench.queued().remove(0);
    let quads: Vec<(&str, &str)> = control.recipients.iter().map(|r| (r.quad.channel.as_str(), r.quad.user.as_str())).collect();
    assert_eq!(quads, [("hold", "c@local.example"), ("hold", "d@far.example")]);
    let host = &control.recipients[0].quad.host;
    assert!(host.starts_with("table:forms//nonexistent/forms:"), "{host}");
    assert!(control.recipients[0].dsn.notify.unwrap().failure);
    assert!(matches!(&control.sender, Path::Mailbox(a) if a.as_str() == "a@b.example"));
    // It comes back as ours, so that nobody looks for them again.
    assert!(control.recipients[0].form > 0 && !edited(&bench, &control).contains("Bcc"));
    // Who has no sender has no form.
    bench.route("u", "from <>\nto c@local.example\nenv-end\n\nbody\n");
    assert!(bench.queued().iter().any(|control| control.recipients[0].quad.channel == "local"));
}

#[test]
fn an_unreadable_alias_file_holds_the_recipient() {
    let mut bench = Bench::new("aliases = [\"/nonexistent/aliases\"]\n");
    bench.route("t", "from <a@b.example>\nto c@local.example\nto d@far.example\nenv-end\n\n");
    let control = bench.queued().remove(0);
    let quads: Vec<&str> = control.recipients.iter().map(|r| r.quad.channel.as_str()).collect();
    assert_eq!(quads, ["hold", "smtp"]);
    assert!(control.recipients[0].quad.host.starts_with("retry:/nonexistent/aliases"));
}

#[test]
fn a_list_or_an_alias_of_several_is_told_of_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let aliases = folder.path().join("aliases");
    std::fs::write(&aliases, "team: anna, bert\nlist: carl\nowner-list: emil\nonly: dora\n").unwrap();
    let mut bench = Bench::new(&format!("aliases = [\"{}\"]\n", aliases.display()));
    let asks = "todsn NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;x@y\n";
    let text = ["team", "list", "only"].map(|name| format!("{asks}to {name}@local.example\n")).concat();
    bench.route("t", &format!("from <a@b.example>\n{text}to bert@local.example\nenv-end\n\n"));
    let control = bench.queued().remove(0);
    let told: Vec<(&str, &str, bool)> = control
        .recipients
        .iter()
        .filter(|r| r.state == envelope::RecipientState::Telling)
        .map(|r| (r.quad.host.as_str(), r.quad.user.as_str(), r.dsn.orcpt.is_some()))
        .collect();
    assert_eq!(told, [("delivered", "list@local.example", true), ("expanded", "team@local.example", true)]);
    // Of those behind, only the one behind a plain alias still tells of success; ORCPT goes on but through a list.
    let success: Vec<&str> = control
        .recipients
        .iter()
        .filter(|r| r.state == envelope::RecipientState::Queued && r.dsn.notify.is_some_and(|n| n.success))
        .map(|r| r.quad.user.as_str())
        .collect();
    assert_eq!(success, ["dora@local.example"]);
    let orcpt: Vec<&str> = control.recipients.iter().filter(|r| r.dsn.orcpt.is_none()).map(|r| r.quad.user.as_str()).collect();
    assert_eq!(orcpt, ["carl@local.example"]);

    // A report tells nobody, and neither does what is refused.
    bench.route("u", &format!("from <>\n{asks}to team@local.example\nenv-end\n\n"));
    assert_eq!(bench.queued().iter().flat_map(|c| &c.recipients).filter(|r| r.state == envelope::RecipientState::Telling).count(), 2);
}

#[test]
fn a_hundred_thousand_recipients_are_one_message() {
    let mut bench = Bench::new("");
    let mut text = "from <a@b.example>\n".to_owned();
    for n in 0..100_000 {
        text.push_str(&format!("to <user{n}@far{}.example>\n", n % 100));
    }
    text.push_str("env-end\nSubject: many\n\nbody\n");
    bench.route("many", &text);
    assert_eq!(bench.queued()[0].recipients.len(), 100_000);
}

/// The header of a queued message, as its form 1 has it.
fn edited(bench: &Bench, control: &Control) -> String {
    let message = format!("queue/{:02x}/{}", control.id.hash(), control.id);
    let content = std::fs::read(bench.path(&message)).unwrap().split_off(usize::try_from(control.body_offset).unwrap());
    let edits = &control.edits[usize::from(control.forms[0].edits) - 1].edits;
    let mut out = edits.apply(&content).unwrap();
    out.extend_from_slice(&content[usize::try_from(edits.end()).unwrap()..]);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_submission_is_completed_and_loses_its_blind_copies() {
    let mut bench = Bench::new("");
    bench.route("t", "from <a@b.example>\nfullname A. B\nto c@far.example\nenv-end\nSubject: s\nBcc: c@far.example\n\nbody\n");
    let control = bench.queued().remove(0);
    let text = edited(&bench, &control);
    let (date, rest) = text.split_once('\n').unwrap();
    assert!(date.starts_with("Date: "));
    let id = control.message_id.clone().unwrap();
    assert_eq!(rest, format!("Message-ID: {id}\nFrom: \"A. B\" <a@b.example>\nSubject: s\n\nbody\n"));
    assert!(id.ends_with("@mta.example>"));
}

#[test]
fn what_came_from_elsewhere_or_is_whole_stays() {
    for lines in ["external\n", "errormsg\n", ""] {
        let mut bench = Bench::new("");
        let rest = format!("{lines}from <a@b.example>\nto c@far.example\nenv-end\nBcc: x@y\n\nbody\n");
        let text = if lines.is_empty() { format!("length {:020}\n{rest}", rest.len() + 28) } else { rest };
        bench.route("t", &text);
        let control = bench.queued().remove(0);
        assert!(control.forms.is_empty() && control.edits.is_empty() && control.recipients[0].form == 0, "{lines}");
    }
}

#[test]
fn whose_owner_is_not_trusted_says_who_it_was() {
    let mut bench = Bench::new("");
    bench.router.trust(Trusted::nobody());
    let me = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name;
    let head = "Date: d\nMessage-ID: <m>\n";
    let text = |envelope: &str, from: &str| format!("external\n{envelope}to c@far.example\nenv-end\n{head}From: {from}\n\n");
    bench.route("a", &text("from <boss@b.example>\n", "boss@b.example"));
    bench.route("b", &text(&format!("from <{me}+x@local.example>\n"), &format!("\"Me\" <{me}+x@local.example>")));
    bench.route("c", &text(&format!("loginname <{}@mta.example>\n", me.to_uppercase()), &format!("{me}@mta.example")));
    let mut queued = bench.queued();
    queued.sort_by_key(|control| control.id);
    // Nobody is named by the null sender; but he who hides behind it is.
    bench.route("d", &text("from <>\n", "boss@b.example"));
    let answer = bench.queued().into_iter().find(|control| control.sender == Path::Null).unwrap();
    assert!(edited(&bench, &answer).starts_with(&format!("Sender: {me}@local.example\n")));
    let senders: Vec<String> = queued.iter().map(|c| c.sender.address().unwrap().to_string()).collect();
    assert_eq!(senders, [format!("{me}@local.example"), format!("{me}+x@local.example"), format!("{}@mta.example", me.to_uppercase())]);
    assert_eq!(edited(&bench, &queued[0]), format!("Sender: {me}@local.example\n{head}From: boss@b.example\n\n"));
    assert!(queued[1].forms.is_empty() && queued[2].forms.is_empty());
}

#[test]
fn utf8_in_the_header_of_a_submission_needs_smtputf8() {
    for (subject, expected) in [(&b"\xc3\xbc"[..], true), (b"\xfc", false), (b"u", false)] {
        let mut bench = Bench::new("");
        let text = [b"from <a@b.example>\nto c@far.example\nenv-end\nSubject: ".as_slice(), subject, b"\n\n\xc3\xbc\n"].concat();
        std::fs::write(bench.path("router/t"), text).unwrap();
        bench.router.route_file("t", Pass::first(std::time::Instant::now()));
        assert_eq!(bench.queued()[0].smtputf8, expected);
    }
}

#[test]
fn members_of_two_lists_have_two_senders() {
    let folder = tempfile::tempdir().unwrap();
    let aliases = folder.path().join("aliases");
    std::fs::write(&aliases, "one: a@far.example\nowner-one: joe\ntwo: b@far.example, c@far.example\nowner-two: ann\n").unwrap();
    let mut bench = Bench::new(&format!("aliases = [\"{}\"]\n", aliases.display()));
    bench.route("t", "external\nfrom <s@b.example>\nto one@local.example\nto two@local.example\nto d@far.example\nenv-end\n\n");
    let control = bench.queued().remove(0);
    let mut forms: Vec<(&str, u16)> = control.recipients.iter().map(|r| (r.quad.user.as_str(), r.form)).collect();
    forms.sort_unstable();
    assert_eq!(forms, [("a@far.example", 1), ("b@far.example", 2), ("c@far.example", 2), ("d@far.example", 0)]);
    let owner = |text: &str| envelope::Sender::Owner(address::Address::parse(text).unwrap());
    assert_eq!(control.forms[0].sender, owner("owner-one@local.example"));
    assert_eq!(control.forms[1].sender, owner("owner-two@local.example"));
}

/// a is rewritten to b, and b to c.
const REWRITTEN: &str = "[routing]\ncanonical = [\"forms\"]\nsender_canonical = [\"forms\"]\n[[table]]\nname = \"forms\"\nkind = \"inline\"\n\
    entries = { \"a@x.example\" = \"b@x.example\", \"b@x.example\" = \"c@x.example\" }\n";

#[test]
fn what_was_rewritten_once_is_not_rewritten_when_it_comes_back() {
    let of = |bench: &Bench| {
        let control = bench.queued().remove(0);
        let recipient = &control.recipients[0];
        (control.sender.to_string(), recipient.quad.user.clone(), recipient.via.clone())
    };
    let via = Some("canonical\0a@x.example".to_owned());
    let mut bench = Bench::new(REWRITTEN);
    bench.route("first", "from <a@x.example>\nto <a@x.example>\nenv-end\n\nbody\n");
    assert_eq!(of(&bench), ("b@x.example".into(), "b@x.example".into(), via.clone()));
    let again = "formed\nfrom <b@x.example>\ntodsn VIA=canonical%00a@x.example\nto <b@x.example>\nenv-end\n\nbody\n";
    let mut bench = Bench::new(REWRITTEN);
    bench.route("again", again);
    assert_eq!(of(&bench), ("b@x.example".into(), "b@x.example".into(), via), "and once more it would be the same");
    // A user of the machine does not say what was done.
    let mut bench = Bench::new(REWRITTEN);
    bench.router.trust(Trusted::nobody());
    bench.route("theirs", again);
    assert_eq!(of(&bench).1, "c@x.example");
}

#[test]
fn an_entry_that_names_itself_stands_for_its_others_once() {
    let local = "[routing]\nfqdn_aliases = [\"names\"]\n[[table]]\nname = \"names\"\nkind = \"inline\"\n\
        entries = { \"joe@x.example\" = \"joe@x.example, copy@x.example\" }\n";
    let mut bench = Bench::new(local);
    bench.route("first", "from <a@x.example>\nto <joe@x.example>\nenv-end\n\nbody\n");
    let via = |user: &str, control: &Control| control.recipients.iter().find(|r| r.quad.user == user).unwrap().via.clone();
    let control = bench.queued().remove(0);
    assert_eq!((via("joe@x.example", &control).unwrap().as_str(), via("copy@x.example", &control)), ("fqdn_aliases\0joe@x.example", None));
    let mut bench = Bench::new(local);
    bench.route("again", "from <a@x.example>\ntodsn VIA=fqdn_aliases%00joe@x.example\nto <joe@x.example>\nenv-end\n\nbody\n");
    assert_eq!(bench.queued()[0].recipients.len(), 1);
}

#[test]
fn what_waits_for_its_sender_has_no_form_yet() {
    let mut bench =
        Bench::new("[routing]\nsender_canonical = [\"gone\"]\n[[table]]\nname = \"gone\"\nkind = \"text\"\nfile = \"/nonexistent/x\"\n");
    bench.route("first", "from <a@x.example>\nto <b@x.example>\nenv-end\n\nbody\n");
    let control = bench.queued().remove(0);
    assert_eq!((control.recipients[0].quad.channel.as_str(), control.recipients[0].quad.attributes.as_str()), ("hold", envelope::UNFORMED));
    // With its form it waits for nothing.
    let mut bench =
        Bench::new("[routing]\nsender_canonical = [\"gone\"]\n[[table]]\nname = \"gone\"\nkind = \"text\"\nfile = \"/nonexistent/x\"\n");
    bench.route("again", "formed\nfrom <a@x.example>\nto <b@x.example>\nenv-end\n\nbody\n");
    assert_eq!(bench.queued()[0].recipients[0].quad.channel, "smtp");
}

/// Mail that an alias has sent on leaves in a sender of ours, also where it was kept in between.
#[test]
fn what_was_sent_on_is_sent_on_when_it_comes_back() {
    let secret = tempfile::tempdir().unwrap();
    let file = secret.path().join("srs");
    std::fs::write(&file, "secret\n").unwrap();
    let srs = format!("[srs]\ndomain = \"srs.example\"\nsecret_file = {file:?}\n");
    for (said, forwarded) in [("todsn VIA=-\n", true), ("", false)] {
        let mut bench = Bench::new(&srs);
        bench.route("again", &format!("formed\nfrom <joe@far.example>\n{said}to <ann@other.example>\nenv-end\n\nbody\n"));
        let control = bench.queued().remove(0);
        let alias = |form: &envelope::Form| matches!(&form.sender, envelope::Sender::Alias(sender) if sender.as_str().starts_with("SRS0="));
        assert_eq!((control.sender.as_str(), control.forms.iter().any(alias)), ("joe@far.example", forwarded));
        assert_eq!(control.recipients[0].via.is_some(), forwarded, "and the next time too");
    }
}
