//! Messages in; files in the spool or SMTP out.

use super::*;
use crate::site::tests::scratch;
use crate::trouble::{EX_NOUSER, EX_TEMPFAIL};
use spool::{Owners, Place, Spool};

fn invocation(words: &[&str]) -> Invocation {
    arguments::parse(words.iter().map(OsString::from).collect()).unwrap()
}

fn sent(site: &Site, words: &[&str], text: &str) -> Result<u8, Trouble> {
    submit(site, &invocation(words), &mut text.as_bytes())
}

/// The only message in `router/`.
fn dropped(site: &Site) -> (Envelope, String) {
    let spool = Spool::open(&site.settings.paths.postoffice).unwrap();
    let names = spool.read_names(Place::Router).unwrap();
    assert_eq!(names.len(), 1);
    let file = spool.read_message(Place::Router, &names[0]).unwrap();
    let text = std::io::read_to_string(file).unwrap();
    let (envelope, offset) = envelope::parse_envelope(text.as_bytes()).unwrap();
    (envelope, text[offset..].to_owned())
}

#[test]
fn a_message_goes_into_the_spool_complete() {
    let folder = tempfile::tempdir().unwrap();
    let site = scratch(folder.path());
    Spool::create(folder.path(), &Owners::default()).unwrap();
    let text = "To: a@b.example\nBcc: secret@b.example\nSubject: x\n\n.hidden\n.\nnot sent\n";
    assert_eq!(sent(&site, &["-t", "-f", "me@b.example", "-V", "e 1", "-N", "never", "extra", "a@b.example"], text), Ok(0));
    let (envelope, content) = dropped(&site);
    let recipients: Vec<&str> = envelope.recipients.iter().map(|r| r.address.as_str()).collect();
    assert_eq!(recipients, ["extra@local.example", "a@b.example", "secret@b.example"]);
    assert_eq!((envelope.from.unwrap().as_str(), envelope.envid.as_deref()), ("me@b.example", Some("e+201")));
    assert!(envelope.recipients.iter().all(|r| r.dsn.notify.unwrap().never));
    assert!(content.starts_with("Received: by mta.example (zpost, from userid "), "{content}");
    for field in ["\nFrom: ", "\nDate: ", "\nMessage-ID: <", "\nTo: a@b.example\n"] {
        assert!(content.contains(field), "{field} {content}");
    }
    assert!(!content.contains("secret") && content.ends_with("\n\n.hidden\n"), "{content}");
}

#[test]
fn what_is_there_is_not_added_again() {
    let folder = tempfile::tempdir().unwrap();
    let site = scratch(folder.path());
    Spool::create(folder.path(), &Owners::default()).unwrap();
    let text = "from: x@y.example\ndate: d\nmessage-id: <1@x>\n\n\u{e4}\n";
    assert_eq!(sent(&site, &["-i", "-f", "<>", "root"], text), Ok(0));
    let (envelope, content) = dropped(&site);
    assert_eq!((envelope.from, envelope.bodytype), (Some(Path::Null), BodyType::EightBit));
    assert_eq!(content.to_lowercase().matches("\nfrom: ").count(), 1);
    assert!(content.ends_with(text));
}

#[test]
fn addresses_with_control_bytes_and_no_addresses_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let site = scratch(folder.path());
    Spool::create(folder.path(), &Owners::default()).unwrap();
    let text = "Subject: x\n\n";
    for words in [&["a\nb@c"][..], &["\"a\rb\"@c"], &["-f", "a\u{0}b@c", "x@y"], &["-t"], &["-f", "a b", "x@y"], &["x@y\nto <z@y>"]] {
        assert_eq!(sent(&site, words, text).map_err(|t| t.code), Err(EX_DATAERR), "{words:?}");
    }
    assert_eq!(sent(&site, &[], text).map_err(|t| t.code), Err(EX_USAGE));
    assert!(Spool::open(folder.path()).unwrap().read_names(Place::Router).unwrap().is_empty());
}

#[test]
fn without_a_spool_the_socket_takes_it() {
    let folder = tempfile::tempdir().unwrap();
    let site = scratch(folder.path());
    assert_eq!(sent(&site, &["x@y.example"], "a: b\n\nc\n").map_err(|t| t.code), Err(EX_TEMPFAIL));
    std::fs::create_dir(&site.settings.paths.run).unwrap();
    let server = submission::tests::fake(&site.settings.paths.run, "");
    assert_eq!(sent(&site, &["-i", "-f", "me@b.example", "x@y.example"], "Subject: s\n\n.dot\n"), Ok(0));
    let said = server.join().unwrap();
    assert!(said.contains("MAIL FROM:<me@b.example>") && said.contains("RCPT TO:<x@y.example>"), "{said}");
    assert!(said.contains("\r\n..dot\r\n.\r\n") && !said.contains("Received:"), "{said}");
}

#[test]
fn a_refused_recipient_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let site = scratch(folder.path());
    std::fs::create_dir(&site.settings.paths.run).unwrap();
    let _server = submission::tests::fake(&site.settings.paths.run, "nobody@");
    let trouble = sent(&site, &["-f", "me@b.example", "x@y.example", "nobody@y.example"], "Subject: s\n\nc\n").unwrap_err();
    assert_eq!(trouble.code, EX_NOUSER);
    assert!(
        trouble.text.contains("<nobody@y.example>: 550 5.1.1 unknown user") && trouble.text.contains("other 1 recipients"),
        "{}",
        trouble.text
    );
}
