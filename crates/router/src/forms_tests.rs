//! Forms of messages against tables made of text.

use crate::forms::{Forms, Leaving};
use crate::local_user::LocalUser;
use crate::rules::Rules;
use crate::tables::Tables;
use crate::verdict::{Routed, Verdict, Way};
use address::{Address, Path};
use envelope::{Form, Sender};
use lookup::{AliasEntry, Found, List, TableError};

/// Tables by name and key; one of the name `late` has not answered.
struct Named(Vec<(&'static str, &'static str, &'static str)>);

impl Tables for Named {
    fn find(&mut self, table: &str, key: &str) -> Result<Option<Found>, TableError> {
        let found = self.0.iter().find(|(name, known, _)| *name == table && *known == key);
        match table {
            "late" => Err(TableError::Pending),
            "gone" => Err(TableError::Temporary("gone".into())),
            _ => Ok(found.map(|(_, _, value)| Found {
                values: vec![(*value).to_owned()],
                place: table.to_owned(),
                keeper: lookup::Keeper::Administrator,
            })),
        }
    }
    fn alias(&mut self, _: &str) -> Result<Option<AliasEntry>, TableError> {
        Ok(None)
    }
    fn list(&mut self, _: &str) -> Result<List, TableError> {
        Err(TableError::Temporary("no lists".into()))
    }
    fn user(&mut self, _: &str) -> Result<Option<LocalUser>, TableError> {
        Ok(None)
    }
    fn users(&self) -> String {
        String::new()
    }
}

fn rules(more: &str) -> Rules {
    let text = format!(
        "[paths]\npostoffice = \"/tmp/none\"\n[identity]\nhostname = \"mta.b.example\"\n[local]\ndomains = [\"b.example\"]\n\
         delivery = \"maildir\"\nusers = \"any\"\n[[table]]\nname = \"names\"\nkind = \"inline\"\nentries = {{}}\n\
         [[table]]\nname = \"late\"\nkind = \"inline\"\nentries = {{}}\n[[table]]\nname = \"gone\"\nkind = \"inline\"\nentries = {{}}\n{more}"
    );
    Rules::new(&settings::parse(&text, "test").unwrap_or_else(|faults| panic!("{faults:?}")))
}

fn path(text: &str) -> Path {
    Path::Mailbox(Address::parse(text).unwrap())
}

fn to(channel: &str, owner: Option<&str>, way: Way) -> Routed {
    let verdict = Verdict::quad(channel, "host.example", "user@host.example");
    Routed { verdict, address: "user@host.example".into(), owner: owner.map(path), way, via: None }
}

/// The header in a form.
fn header(forms: &Forms<'_>, number: u16, header: &str) -> String {
    let form = &forms.forms[usize::from(number) - 1];
    let Some(set) = usize::from(form.edits).checked_sub(1) else { return header.to_owned() };
    let edits = &forms.edits[set].edits;
    let mut out = edits.apply(header.as_bytes()).unwrap();
    out.extend_from_slice(&header.as_bytes()[usize::try_from(edits.end()).unwrap()..]);
    String::from_utf8(out).unwrap()
}

fn sender(forms: &Forms<'_>, number: u16) -> Sender {
    forms.forms[usize::from(number) - 1].sender.clone()
}

fn owner(text: &str) -> Sender {
    Sender::Owner(Address::parse(text).unwrap())
}

#[test]
fn each_list_has_its_owner_and_who_is_of_none_has_the_sender() {
    let (from, leaving) = (path("s@far.example"), Leaving { header: b"Subject: x\n\n", ..Leaving::default() });
    let (rules, mut tables) = (rules(""), Named(vec![]));
    let mut forms = Forms::new(&leaving, &from);
    let mut form = |owner, way| forms.of(&to("smtp", owner, way), &rules, &mut tables).unwrap();
    let listed = Way { list: Some("l@b.example".into()), verp: true, forwarded: true };
    let numbers = [
        form(None, Way::default()),
        form(Some("a-owner@b.example"), Way::default()),
        form(Some("b-owner@b.example"), listed.clone()),
        form(Some("a-owner@b.example"), Way::default()),
        form(Some("b-owner@b.example"), listed.clone()),
    ];
    assert_eq!(numbers, [0, 1, 2, 1, 2]);
    assert_eq!(sender(&forms, 1), owner("a-owner@b.example"));
    assert_eq!(sender(&forms, 2), Sender::Verp(Address::parse("b-owner@b.example").unwrap()));
    assert_eq!(
        header(&forms, 2, "Subject: x\n\n"),
        "List-Id: <l.b.example>\nList-Post: <mailto:l@b.example>\nList-Owner: <mailto:b-owner@b.example>\nSubject: x\n\n"
    );
    // From nobody: the fields are the list's, the sender stays nobody.
    let nobody = Path::Null;
    let mut forms = Forms::new(&leaving, &nobody);
    let number = forms.of(&to("smtp", Some("b-owner@b.example"), listed), &rules, &mut tables).unwrap();
    assert_eq!((number, sender(&forms, 1)), (1, Sender::Own));
}

#[test]
fn spellings_by_channel() {
    let text = "From: Joe <joe@h.b.example>\nBcc: x@y\nTo: ann@b.example (joe@h.b.example),\n\tv@far.example\nSubject: joe@h.b.example\n\n";
    let leaving = Leaving {
        header: text.as_bytes(),
        base: vec![(0..0, b"Sender: root@h.b.example\n".to_vec()), (28..37, Vec::new())],
        ..Leaving::default()
    };
    let rules =
        rules("[headers]\ncanonical = [\"names\"]\nmasquerade = [\"b.example\"]\ngeneric = [\"names\"]\nchannels = [\"smtp\", \"x\"]\n");
    let mut tables = Named(vec![("names", "ann@b.example", "ann.other"), ("names", "root@b.example", "admin@outside.example")]);
    let from = path("joe@h.b.example");
    let mut forms = Forms::new(&leaving, &from);
    let mut form = |channel| forms.of(&to(channel, None, Way::default()), &rules, &mut tables).unwrap();
    assert_eq!([form("smtp"), form("local"), form("x"), form("smtp")], [1, 2, 3, 1]);
    let expected = |root: &str| {
        format!(
            "Sender: {root}\nFrom: Joe <joe@b.example>\nTo: ann.other@b.example (joe@h.b.example),\n\tv@far.example\nSubject: joe@h.b.example\n\n"
        )
    };
    assert_eq!(header(&forms, 1, text), expected("admin@outside.example"));
    assert_eq!(header(&forms, 2, text), format!("Sender: root@h.b.example\n{}", text.replace("Bcc: x@y\n", "")));
    assert_eq!(header(&forms, 3, text), expected("root@b.example"));
    let alias = Sender::Alias(Address::parse("joe@b.example").unwrap());
    assert_eq!([sender(&forms, 1), sender(&forms, 2), sender(&forms, 3)], [alias.clone(), Sender::Own, alias]);
}

#[test]
fn what_is_sent_on_elsewhere_gets_a_sender_of_ours() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "s\n").unwrap();
    let config = format!("[srs]\ndomain = \"srs.b.example\"\nsecret_file = \"{}\"\n", secret.display());
    let (here, mut tables) = (rules(&config), Named(vec![]));
    let leaving = Leaving { header: b"\n", ..Leaving::default() };
    let onward = Way { forwarded: true, ..Way::default() };
    let made = |rules: &Rules, tables: &mut Named, from: &Path, routed: &Routed| {
        let mut forms = Forms::new(&leaving, from);
        forms.of(routed, rules, tables).map(|_| forms.forms)
    };
    let far = path("joe@far.example");
    let forms = made(&here, &mut tables, &far, &to("smtp", None, onward.clone())).unwrap();
    let [Form { sender: Sender::Alias(alias), edits: 0 }] = forms.as_slice() else { panic!("{forms:?}") };
    assert!(alias.as_str().starts_with("SRS0=") && alias.as_str().ends_with("=far.example=joe@srs.b.example"), "{alias}");
    for (from, routed) in [
        (&far, to("smtp", None, Way::default())),
        (&far, to("local", None, onward.clone())),
        (&far, to("lmtp", None, onward.clone())),
        (&path("joe@b.example"), to("smtp", None, onward.clone())),
        (&Path::Null, to("smtp", None, onward.clone())),
    ] {
        assert_eq!(made(&here, &mut tables, from, &routed).unwrap(), []);
    }
    assert_eq!(made(&here, &mut tables, &far, &to("smtp", Some("o@b.example"), onward.clone())).unwrap()[0].sender, owner("o@b.example"));
    // Without its secret nothing leaves under a name that would be refused there.
    let broken = rules(&config.replace("secret\"", "none\""));
    assert!(matches!(made(&broken, &mut tables, &far, &to("smtp", None, onward)), Err(TableError::Temporary(_))));
}

#[test]
fn tables_that_do_not_answer() {
    let (from, leaving) = (path("joe@b.example"), Leaving { header: b"To: a@b.example\n\n", ..Leaving::default() });
    for (table, expected) in [("late", TableError::Pending), ("gone", TableError::Temporary("gone".into()))] {
        let rules = rules(&format!("[headers]\ncanonical = [\"{table}\"]\n"));
        let mut forms = Forms::new(&leaving, &from);
        assert_eq!(forms.of(&to("smtp", None, Way::default()), &rules, &mut Named(vec![])), Err(expected));
        assert_eq!(forms.of(&to("local", None, Way::default()), &rules, &mut Named(vec![])), Ok(0));
    }
}

/// What waits leaves the spool through a new message: it must not take the blind copies with it.
#[test]
fn what_is_held_or_refused_has_its_form_too() {
    let (from, rules) = (path("joe@b.example"), rules(""));
    let leaving = Leaving { header: b"Bcc: x@y\n\n", base: vec![(0..9, Vec::new())], ..Leaving::default() };
    let mut forms = Forms::new(&leaving, &from);
    let waits = Routed { verdict: Verdict::Temporary("later".into()), ..to("smtp", None, Way::default()) };
    assert_eq!(forms.of(&waits, &rules, &mut Named(vec![])), Ok(1));
    assert_eq!(header(&forms, 1, "Bcc: x@y\n\n"), "\n");
    let refused = Routed { verdict: Verdict::refused(1, 1, "no"), ..to("smtp", Some("o@b.example"), Way::default()) };
    assert_eq!(forms.of(&refused, &rules, &mut Named(vec![])), Ok(2));
    assert_eq!(sender(&forms, 2), owner("o@b.example"));
    let pending = Routed { verdict: Verdict::Pending, ..to("smtp", Some("o@b.example"), Way::default()) };
    assert_eq!(forms.of(&pending, &rules, &mut Named(vec![])), Ok(0));
}

/// Blind copies are never left in; spellings may be.
#[test]
fn what_does_not_fit() {
    let many = (0..5_000).map(|n| format!("To: u{n}@h.b.example\n")).collect::<String>();
    let text = format!("Bcc: x@y\n{many}\n");
    let rules = rules("[headers]\nmasquerade = [\"b.example\"]\n");
    let from = path("joe@b.example");
    let leaving = Leaving { header: text.as_bytes(), base: vec![(0..9, Vec::new())], ..Leaving::default() };
    let mut forms = Forms::new(&leaving, &from);
    assert_eq!(forms.of(&to("smtp", None, Way::default()), &rules, &mut Named(vec![])), Ok(1));
    assert_eq!(header(&forms, 1, &text), format!("{many}\n"));
    let scattered: Vec<message::Change> = (0..600).map(|n| (n * 20..n * 20 + 10, Vec::new())).collect();
    let leaving = Leaving { base: scattered, ..leaving };
    let mut forms = Forms::new(&leaving, &from);
    assert!(matches!(forms.of(&to("local", None, Way::default()), &rules, &mut Named(vec![])), Err(TableError::Permanent(_))));
}

#[test]
fn fields_before_a_body_without_header() {
    let leaving = Leaving { header: b"just text\n", base: vec![(0..0, b"Date: d\n".to_vec())], crlf: true, ..Leaving::default() };
    let from = path("joe@b.example");
    let mut forms = Forms::new(&leaving, &from);
    assert_eq!(forms.of(&to("local", None, Way::default()), &rules(""), &mut Named(vec![])), Ok(1));
    assert_eq!(header(&forms, 1, "just text\n"), "Date: d\r\n\r\njust text\n");
}
