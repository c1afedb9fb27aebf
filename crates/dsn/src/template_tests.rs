use super::*;
use proptest::prelude::*;

const GOOD: &str = "Subject: No mail for %{count}\n\nDear sender,\n%{recipients}\n100%% sure: %{hostname}\n";

fn one(name: &str, text: &str) -> (Templates, Vec<TemplateError>) {
    Templates::with([(name.to_owned(), text.as_bytes().to_vec())])
}

fn values() -> Values<'static> {
    Values { hostname: "mta.example.org", id: "id", count: "2", recipients: "\n<a@b>\n    text (5.1.1)\n", ..Values::default() }
}

#[test]
fn the_built_in_texts_are_good() {
    for action in Action::ALL {
        let source = match action {
            Action::Failed => include_str!("../../../etc/reports/failed"),
            Action::Delayed => include_str!("../../../etc/reports/delayed"),
            Action::Delivered => include_str!("../../../etc/reports/delivered"),
            Action::Relayed => include_str!("../../../etc/reports/relayed"),
            Action::Expanded => include_str!("../../../etc/reports/expanded"),
        };
        assert_eq!(Template::parse(source), Ok(Template::built_in(action)));
    }
}

#[test]
fn a_text_is_filled_in_and_languages_follow() {
    let files =
        [("failed", GOOD), ("failed.fr", "Désolé.\n%{recipients}"), ("failed.de", "Leider nicht.\n"), ("failed~", "x"), ("README", "")];
    let (templates, faults) = Templates::with(files.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec())));
    assert_eq!(faults, []);
    let (from, subject) = templates.headers(Action::Failed, &values());
    assert_eq!((from.as_str(), subject.as_str()), ("Mail Delivery System <MAILER-DAEMON@mta.example.org>", "No mail for 2"));
    assert_eq!(
        templates.text(Action::Failed, &values(), true),
        "Dear sender,\n<a@b>\n    text (5.1.1)\n100% sure: mta.example.org\n\nLeider nicht.\n\nDésolé.\n<a@b>\n    text (5.1.1)\n"
    );
    assert!(templates.text(Action::Delayed, &values(), true).contains("has not been delivered yet"));
}

#[test]
fn faults_are_told_with_their_line_and_the_built_in_text_stays() {
    for (text, line, word) in [
        ("Subject: x\nno header\n\n%{recipients}\n", 2, "neither"),
        ("Subject: x\nBcc: a@b\n\n%{recipients}\n", 2, "only From and Subject"),
        ("Subject: x\nSubject: y\n\n%{recipients}\n", 2, "second"),
        ("Subject: x%{sender}\n\n%{recipients}\n", 1, "cannot stand in a header"),
        ("Subject: grüße\n\n%{recipients}\n", 1, "RFC 2047"),
        ("Subject: x\nFrom: nobody\n\n%{recipients}\n", 0, "no address"),
        ("Subject: x\nFrom: a <b@c> <d@e>\n\n%{recipients}\n", 0, "no address"),
        ("Subject: x\n\ntext\n", 0, "no line %{recipients}"),
        ("Subject: x\n\nto: %{recipients}\n", 3, "alone"),
        ("Subject: x\n\n50% off\n%{recipients}\n", 3, "lone %"),
        ("Subject: x\n\n%{recipients}\n%{env}\n", 4, "no value is called"),
        ("Subject: x\n\n%{id}%{id}%{id}\n%{recipients}\n", 3, "more than two"),
        ("Subject: x\n\na\rb\n%{recipients}\n", 3, "control"),
        ("\n%{recipients}\n", 0, "no Subject"),
        ("Subject: x", 1, "no empty line"),
        ("", 1, "no empty line"),
    ] {
        let (templates, faults) = one("failed", text);
        assert_eq!(faults.len(), 1, "{text:?}");
        assert!(faults[0].line == line && faults[0].reason.contains(word), "{text:?}: {}", faults[0]);
        assert_eq!(templates.of(Action::Failed), Template::built_in(Action::Failed));
    }
    assert_eq!(one("failed", &"x".repeat(MAX_TEMPLATE + 1)).1.len(), 1);
    assert_eq!(Templates::with([("failed".to_owned(), vec![0xff])]).1.len(), 1);
}

proptest! {
    /// Any bytes are a template or a fault; what is taken gives headers of one line and lines that fit, whatever the
    /// values hold.
    #[test]
    fn any_file(bytes in proptest::collection::vec(any::<u8>(), 0..200), lines in "(Subject: [ -~]{0,20}\n)?\n([a-z%{} é]{0,20}\n){0,3}%\\{recipients\\}\n",
                value in "\\PC{0,40}|[\\x00-\\x7f]{0,600}") {
        for source in [bytes, lines.into_bytes()] {
            let (templates, _) = Templates::with([("failed".to_owned(), source)]);
            let values = Values { hostname: &value, id: &value, count: &value, sender: &value, until: &value, ..values() };
            let (from, subject) = templates.headers(Action::Failed, &values);
            prop_assert!(!from.contains(['\n', '\r']) && !subject.contains(['\n', '\r']));
            let text = templates.text(Action::Failed, &values, true);
            prop_assert!(text.ends_with('\n'));
            let wild = text.chars().any(|c| c.is_control() && c != '\n' && c != '\t');
            prop_assert!(!wild);
        }
    }
}
