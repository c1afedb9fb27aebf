//! Every step against tables made of text.

use crate::decision::{Routing, Want, route};
use crate::local_user::LocalUser;
use crate::question::decide;
use crate::rules::Rules;
use crate::tables::Tables;
use address::{Address, Path};
use ipc::routing::{Answer, Kinship, Question};
use lookup::{Account, AliasEntry, Found, Keeper, List, TableError};
use std::collections::HashMap;
use std::time::Duration;

/// Tables by name: entries, or a state that holds for every key.
#[derive(Default)]
pub(super) struct Fake {
    entries: HashMap<(&'static str, String), &'static str>,
    down: Option<&'static str>,
    silent: Option<&'static str>,
    /// What was asked.
    pub(super) asked: Vec<String>,
    age: Duration,
}

impl Tables for Fake {
    fn find(&mut self, table: &str, key: &str) -> Result<Option<Found>, TableError> {
        self.asked.push(format!("{table}/{key}"));
        if self.down == Some(table) {
            return Err(TableError::Temporary("no answer".into()));
        }
        if self.silent == Some(table) {
            return Err(TableError::Pending);
        }
        let entry = self.entries.iter().find(|((name, entry), _)| *name == table && entry.eq_ignore_ascii_case(key));
        Ok(entry.map(|(_, value)| Found { values: vec![(*value).to_owned()], place: format!("{table}:1"), keeper: Keeper::Administrator }))
    }
    fn alias(&mut self, _: &str) -> Result<Option<AliasEntry>, TableError> {
        Ok(None)
    }
    fn account(&mut self, name: &str) -> Result<Option<Account>, TableError> {
        let account = || Account { name: name.to_owned(), uid: 77, home: "/".to_owned() };
        Ok((name == "vmail").then(account))
    }
    fn list(&mut self, path: &str) -> Result<List, TableError> {
        Err(TableError::Temporary(format!("{path}: gone")))
    }
    fn user(&mut self, name: &str) -> Result<Option<LocalUser>, TableError> {
        let known = ["joe", "max"].contains(&name);
        Ok(known.then(|| LocalUser { name: name.into(), attributes: "-".into(), place: "test".into() }))
    }
    fn users(&self) -> String {
        "test".to_owned()
    }
    fn age(&self) -> Duration {
        self.age
    }
}

pub(super) fn fake(entries: &[(&'static str, &'static str, &'static str)]) -> Fake {
    let entries = entries.iter().map(|(table, key, value)| ((*table, (*key).to_owned()), *value)).collect();
    Fake { entries, ..Fake::default() }
}

const NAMES: [&str; 12] =
    ["fqdn", "valias", "vbox", "vdomains", "canon", "scanon", "ways", "smart", "locals", "relays", "mdomains", "other"];

pub(super) fn rules(more: &str) -> Rules {
    let declared: String = NAMES.iter().map(|name| format!("[[table]]\nname = \"{name}\"\nkind = \"inline\"\n")).collect();
    let text = format!(
        "[paths]\npostoffice = \"/tmp/none\"\n[identity]\nhostname = \"mta.example\"\n\
         [[listener]]\nkind = \"smtp\"\nbind = \"192.0.2.1:25\"\n[local]\ndomains = [\"local.example\"]\ndelivery = \"maildir\"\nusers = \"passwd\"\n\
         [queue]\nchannels = [\"uucp\"]\n{declared}{more}"
    );
    Rules::new(&settings::parse(&text, "test").unwrap_or_else(|faults| panic!("{faults:?}")))
}

fn routed_from(sender: &str, address: &str, rules: &Rules, tables: &mut Fake) -> Routing {
    let sender = if sender.is_empty() { Path::Null } else { Path::Mailbox(Address::parse(sender).unwrap()) };
    route(&Address::parse(address).unwrap(), &sender, Want::Explanation, rules, tables)
}

/// The quads as `channel host user attributes`.
fn from(sender: &str, address: &str, rules: &Rules, tables: &mut Fake) -> String {
    let quads = routed_from(sender, address, rules, tables).outcomes.into_iter().map(|o| o.into_quad());
    quads.map(|q| format!("{} {} {} {}", q.channel, q.host, q.user, q.attributes)).collect::<Vec<_>>().join("; ")
}

fn to(address: &str, rules: &Rules, tables: &mut Fake) -> String {
    from("", address, rules, tables)
}

const VIRTUAL: &str = "[virtual]\nalias_domains = [\"v.example\"]\nalias_domain_tables = [\"vdomains\"]\naliases = [\"valias\"]\n\
                       mailbox_domains = [\".boxes.example\"]\nmailboxes = [\"vbox\"]\n";

#[test]
fn virtual_domains_have_aliases_mailboxes_or_nothing() {
    let rules = rules(VIRTUAL);
    let mut tables = fake(&[
        ("vdomains", "w.example", ""),
        ("valias", "info@v.example", "joe, Far@else.example"),
        ("valias", "@w.example", "joe"),
        ("valias", "box@a.boxes.example", "box@a.boxes.example, joe"),
        ("valias", "list@a.boxes.example", "one@a.boxes.example, two+x@a.boxes.example"),
        ("valias", "@a.boxes.example", "max"),
        ("vbox", "box@a.boxes.example", "home=/srv/box"),
        ("vbox", "one@a.boxes.example", ""),
        ("vbox", "two@a.boxes.example", "user=vmail"),
        ("valias", "self@v.example", "self@v.example"),
        ("valias", "ring@v.example", "gnir@v.example"),
        ("valias", "gnir@v.example", "ring@v.example"),
        ("valias", "all@v.example", "@else.example"),
    ]);
    for (address, expected) in [
        ("info@v.example", "local - joe@local.example -; smtp else.example Far@else.example -"),
        ("Info+x@V.example", "local - joe@local.example -; smtp else.example Far@else.example -"),
        ("anybody@w.example", "local - joe@local.example -"),
        ("box@a.boxes.example", "local - box@a.boxes.example account=,home=/srv/box; local - joe@local.example -"),
        ("list@a.boxes.example", "local - one@a.boxes.example account=; local - two@a.boxes.example uid=77,account=vmail,detail=x"),
        ("One@a.boxes.example", "local - one@a.boxes.example account="),
        ("nobody@a.boxes.example", "local - max@local.example -"),
        ("nobody@b.boxes.example", "error 5.1.1:User%20unknown nobody@b.boxes.example -"),
        ("nobody@v.example", "error 5.1.1:User%20unknown nobody@v.example -"),
        ("postmaster@v.example", "local - postmaster@mta.example -"),
        ("all@v.example", "smtp else.example all@else.example -"),
        ("a@x.example", "smtp x.example a@x.example -"),
    ] {
        assert_eq!(to(address, &rules, &mut tables), expected, "{address}");
    }
    for address in ["self@v.example", "ring@v.example"] {
        assert!(to(address, &rules, &mut tables).starts_with("error 5.4.6:"), "{address}");
    }
    let steps = routed_from("", "info@v.example", &rules, &mut tables).steps.join("\n");
    assert!(steps.contains("virtual: info@v.example in valias:1: joe, Far@else.example"), "{steps}");
}

#[test]
fn whole_addresses_and_canonical_forms() {
    let rules = rules("[routing]\nfqdn_aliases = [\"fqdn\"]\ncanonical = [\"canon\"]\n");
    let mut tables = fake(&[
        ("fqdn", "boss@else.example", "joe@local.example, boss@else.example"),
        ("canon", "j.doe@old.example", "joe@local.example"),
        ("canon", "@old.example", "@new.example"),
        ("canon", "@new.example", "@newer.example"),
        ("canon", "bad@x.example", "one@x.example, two@x.example"),
        ("canon", "a@loop.example", "b@loop.example"),
        ("fqdn", "b@loop.example", "a@loop.example"),
    ]);
    for (address, expected) in [
        ("boss@else.example", "local - joe@local.example -; smtp else.example boss@else.example -"),
        ("J.Doe@old.example", "local - joe@local.example -"),
        ("j.doe+x@old.example", "local - joe@local.example detail=x"),
        ("max@old.example", "smtp new.example max@new.example -"),
        ("max@new.example", "smtp newer.example max@newer.example -"),
    ] {
        assert_eq!(to(address, &rules, &mut tables), expected, "{address}");
    }
    assert!(to("bad@x.example", &rules, &mut tables).starts_with("hold retry:canon:1:%20it%20is%20not%20one"));
    assert!(to("a@loop.example", &rules, &mut tables).starts_with("error 5.4.6:"));
}

#[test]
fn senders_have_canonical_forms_too() {
    let rules = rules("[routing]\nsender_canonical = [\"scanon\"]\n");
    let mut tables = fake(&[("scanon", "joe@old.example", "joe@new.example"), ("scanon", "@x.example", "nonsense, x")]);
    let mut form = |sender: &str| {
        let sender = Path::Mailbox(Address::parse(sender).unwrap());
        super::canonical_sender(&sender, &rules, &mut tables).map(|path| path.map(|path| path.as_str().to_owned()))
    };
    assert_eq!(form("Joe@old.example").unwrap().unwrap(), "joe@new.example");
    assert_eq!(form("max@old.example").unwrap(), None);
    assert!(matches!(form("a@x.example"), Err(TableError::Temporary(_))));
    tables.down = Some("scanon");
    assert!(super::canonical_sender(&Path::Null, &rules, &mut tables).is_ok());
}

#[test]
fn questions_are_decided_by_the_form_of_the_sender() {
    let rules = rules("[routing]\nsender_canonical = [\"scanon\"]\nroutes = [\"ways\"]\n");
    let mut tables =
        fake(&[("scanon", "joe@old.example", "joe@new.example"), ("ways", "a.example:joe@new.example", "error!5.7.1 not you, joe")]);
    let verify = |sender: &str| Question::Verify { address: "a@a.example".into(), sender: sender.into() };
    let code = |answer| match answer {
        Some(Answer::Refused { reply, .. }) => reply.to_string(),
        Some(_) => "taken".to_owned(),
        None => "pending".to_owned(),
    };
    assert_eq!(code(decide(&verify("joe@old.example"), &rules, &mut tables)), "550 5.7.1 not you, joe");
    assert_eq!(code(decide(&verify("max@old.example"), &rules, &mut tables)), "taken");
    let explain = Question::Explain { address: "a@a.example".into(), sender: "joe@old.example".into() };
    let Some(Answer::Refused { steps, .. }) = decide(&explain, &rules, &mut tables) else { panic!() };
    assert_eq!(steps[0], "sender joe@old.example: joe@new.example instead");
    tables.silent = Some("scanon");
    assert_eq!(code(decide(&verify("joe@old.example"), &rules, &mut tables)), "pending");
    (tables.silent, tables.down) = (None, Some("scanon"));
    assert!(code(decide(&verify("joe@old.example"), &rules, &mut tables)).starts_with("451 4.3.0 Temporary failure of a lookup table"));
    assert_eq!(code(decide(&verify(""), &rules, &mut tables)), "taken", "the null sender has one form");
}

#[test]
fn what_is_put_off_by_a_route_says_so_itself() {
    let rules = rules("[routing]\nroutes = [\"ways\"]\n");
    let mut tables = fake(&[("ways", "a.example", "error!4.2.1 moving house"), ("ways", "b.example", "hold!now")]);
    assert_eq!(to("a@a.example", &rules, &mut tables), "hold retry:moving%20house a@a.example -");
    // What holds at once would come here again and again.
    assert!(to("a@b.example", &rules, &mut tables).contains("no%20condition"), "{}", to("a@b.example", &rules, &mut tables));
    let verify = Question::Verify { address: "a@a.example".into(), sender: String::new() };
    let Some(Answer::Refused { reply, .. }) = decide(&verify, &rules, &mut tables) else { panic!() };
    assert_eq!(reply.to_string(), "451 4.2.1 moving house");
}

#[test]
fn every_value_of_a_table_of_routes() {
    let rules = rules("[[route]]\ndomain = \"first.example\"\nchannel = \"discard\"\n[routing]\nroutes = [\"ways\"]\n");
    let mut tables = fake(&[
        ("ways", "first.example", "smtp!never"),
        ("ways", "a.example", "smtp![192.0.2.9]:26"),
        ("ways", ".up.example", "uucp!far"),
        ("ways", "b.example", "uucp!far!near!joe"),
        ("ways", "c.example", "smtp!"),
        ("ways", "d.example", "error!5.7.27 We are closed"),
        ("ways", "e.example", "hold!NS:e.example/MX"),
        ("ways", "f.example", "delay!300"),
        ("ways", "g.example", "max@local.example"),
        ("ways", "h.example", "local!"),
        ("ways", "i.example", "local!local.example!max"),
        ("ways", "j.example:boss@ours.example", "smtp!boss-way"),
        ("ways", "j.example:@ours.example", "smtp!our-way"),
        ("ways", "j.example:<>", "error!5.7.1 no reports"),
        ("ways", "j.example", "smtp!usual"),
        ("ways", "k.example", "nothing!x"),
        ("ways", "m.example", "@n.example"),
        ("ways", "n.example", "@m.example"),
        ("ways", ".:boss@ours.example", "smtp!boss-default"),
    ]);
    for (sender, address, expected) in [
        ("", "x@first.example", "discard - x@first.example -"),
        ("", "x@A.example", "smtp [192.0.2.9]:26 x@A.example -"),
        ("", "x@way.up.example", "uucp far x@way.up.example -"),
        ("", "x@up.example", "smtp up.example x@up.example -"),
        ("", "x@b.example", "uucp far near!joe -"),
        ("", "x@c.example", "smtp c.example x@c.example -"),
        ("", "x@d.example", "error 5.7.27:We%20are%20closed x@d.example -"),
        ("", "x@e.example", "hold NS:e.example/MX x@e.example -"),
        ("", "x@f.example", "hold age:300s x@f.example -"),
        ("", "x@g.example", "local - max@local.example -"),
        ("", "joe@h.example", "local - joe@h.example -"),
        ("", "x@i.example", "local - max@local.example -"),
        ("Boss@ours.example", "x@j.example", "smtp boss-way x@j.example -"),
        ("joe@ours.example", "x@j.example", "smtp our-way x@j.example -"),
        ("", "x@j.example", "error 5.7.1:no%20reports x@j.example -"),
        ("joe@theirs.example", "x@j.example", "smtp usual x@j.example -"),
        ("boss@ours.example", "x@other.example", "smtp boss-default x@other.example -"),
        ("joe@ours.example", "x@other.example", "smtp other.example x@other.example -"),
    ] {
        assert_eq!(from(sender, address, &rules, &mut tables), expected, "{sender} {address}");
    }
    assert!(to("x@k.example", &rules, &mut tables).starts_with("hold retry:ways:1:%20k.example:%20there%20is%20no%20channel"));
    assert!(to("x@m.example", &rules, &mut tables).starts_with("error 5.4.6:"), "routes in a ring");
    tables.age = Duration::from_secs(300);
    assert_eq!(to("x@f.example", &rules, &mut tables), "smtp f.example x@f.example -", "the delay is over");
}

#[test]
fn smart_hosts_by_sender_and_for_all() {
    let rules = rules("[routing]\nsmart_host = \"[192.0.2.7]\"\nsender_smart_hosts = [\"smart\"]\n");
    let mut tables =
        fake(&[("smart", "boss@ours.example", "boss-way"), ("smart", "@ours.example", "our-way:587"), ("smart", "free@ours.example", "-")]);
    for (sender, expected) in [
        ("boss@ours.example", "boss-way"),
        ("joe@ours.example", "our-way:587"),
        ("", "[192.0.2.7]"),
        ("a@b.example", "[192.0.2.7]"),
        ("free@ours.example", "x.example"),
    ] {
        assert_eq!(from(sender, "a@x.example", &rules, &mut tables), format!("smtp {expected} a@x.example -"), "{sender}");
    }
    assert_eq!(to("a@[198.51.100.7]", &rules, &mut tables), "smtp [198.51.100.7] a@[198.51.100.7] -", "a literal goes before");
}

#[test]
fn the_order_is_the_configurations_and_what_is_left_is_unresolvable() {
    let rules_of = |order: &str, more: &str| {
        rules(&format!(
            "[[route]]\ndomain = \"local.example\"\nchannel = \"smtp\"\nhost = \"h.example\"\n[routing]\norder = [{order}]\n{more}"
        ))
    };
    let mut none = fake(&[]);
    assert_eq!(to("joe@local.example", &rules_of("\"local\", \"routes\", \"mx\"", ""), &mut none), "local - joe@local.example -");
    assert_eq!(to("joe@local.example", &rules_of("\"routes\", \"local\"", ""), &mut none), "smtp h.example joe@local.example -");
    let refused = rules_of("\"local\"", "");
    assert_eq!(to("a@x.example", &refused, &mut none), "error 5.4.4:No%20route%20to%20this%20domain a@x.example -");
    assert_eq!(to("a@[198.51.100.7]", &refused, &mut none), "error 5.4.4:No%20route%20to%20this%20domain a@[198.51.100.7] -");
    let held = rules_of("\"local\"", "unresolvable = \"hold!admin\"\n");
    assert_eq!(to("a@x.example", &held, &mut none), "hold admin a@x.example -");
    let elsewhere = rules_of("\"local\"", "unresolvable = \"max@local.example\"\n");
    assert_eq!(to("a@x.example", &elsewhere, &mut none), "local - max@local.example -");
    let ring = rules_of("\"local\"", "unresolvable = \"b@y.example\"\n");
    assert!(to("b@y.example", &ring, &mut none).starts_with("error 5.4.6:"));
}

/// Attacks 34, 35, 39: what other systems routed on is a name here.
#[test]
fn old_ways_of_routing_are_local_parts() {
    let rules = rules("[routing]\nlocal_domains = [\"locals\"]\n");
    let mut tables = fake(&[("locals", "table.example", "")]);
    for local in ["a%else.example", "else.example!a", "u%d%d2", "${run{/bin/sh}}", "`id`", "|x", "a/b"] {
        for domain in ["local.example", "table.example", "mta.example"] {
            let said = to(&format!("{local}@{domain}"), &rules, &mut tables);
            assert!(said.starts_with("error 5.1.1:"), "{local}@{domain}: {said}");
        }
        assert_eq!(to(&format!("{local}@x.example"), &rules, &mut tables), format!("smtp x.example {local}@x.example -"));
    }
    assert_eq!(to("joe@table.example", &rules, &mut tables), "local - joe@table.example -");
}

#[test]
fn a_table_in_trouble_holds_and_one_that_has_not_answered_is_waited_for() {
    let all = format!(
        "{VIRTUAL}[routing]\nfqdn_aliases = [\"fqdn\"]\ncanonical = [\"canon\"]\nroutes = [\"ways\"]\nsender_smart_hosts = [\"smart\"]\nlocal_domains = [\"locals\"]\n"
    );
    let rules = rules(&all);
    for (table, address) in [
        ("fqdn", "a@x.example"),
        ("valias", "a@v.example"),
        ("vdomains", "a@x.example"),
        ("vbox", "a@b.boxes.example"),
        ("canon", "a@x.example"),
        ("locals", "a@x.example"),
        ("ways", "a@x.example"),
        ("smart", "a@x.example"),
    ] {
        let mut tables = Fake { down: Some(table), ..Fake::default() };
        let said = from("s@ours.example", address, &rules, &mut tables);
        assert_eq!(said, format!("hold table:{table}/no%20answer {address} -"));
        let verify = Question::Verify { address: address.into(), sender: "s@ours.example".into() };
        assert!(matches!(decide(&verify, &rules, &mut tables), Some(Answer::Refused { reply, .. }) if reply.code == 451));
        let mut tables = Fake { silent: Some(table), ..Fake::default() };
        assert!(decide(&verify, &rules, &mut tables).is_none());
    }
}

#[test]
fn one_pass_asks_for_all_that_it_can() {
    let rules = rules("[virtual]\nmailbox_domains = [\"m.example\"]\naliases = [\"valias\"]\nmailboxes = [\"vbox\"]\n");
    let mut tables = Fake { silent: Some("valias"), ..Fake::default() };
    assert!(routed_from("", "a+b@m.example", &rules, &mut tables).outcomes.iter().any(|o| o.verdict == crate::verdict::Verdict::Pending));
    for key in ["valias/a+b@m.example", "valias/a@m.example", "valias/@m.example", "vbox/a+b@m.example", "vbox/@m.example"] {
        assert!(tables.asked.iter().any(|asked| asked == key), "{key}: {:?}", tables.asked);
    }
}

#[test]
fn nothing_is_looked_up_that_is_not_configured() {
    let rules = rules("");
    let mut tables = fake(&[]);
    for address in ["joe@local.example", "a@x.example", "a@[198.51.100.7]", "joe"] {
        to(address, &rules, &mut tables);
    }
    assert!(tables.asked.is_empty(), "{:?}", tables.asked);
}

#[test]
fn whose_a_domain_is() {
    let rules = rules(&format!(
        "[relay]\ndomains = [\"r.example\"]\n{VIRTUAL}mailbox_domain_tables = [\"mdomains\"]\n[routing]\nlocal_domains = [\"locals\"]\nrelay_domains = [\"relays\"]\n"
    ));
    let mut tables =
        fake(&[("locals", "l.example", ""), ("relays", "q.example", ""), ("vdomains", "w.example", ""), ("mdomains", "n.example", "")]);
    let mut whose = |domain: &str| match decide(&Question::Kinship { domain: domain.into() }, &rules, &mut tables) {
        Some(Answer::Kinship(kinship)) => Some(kinship),
        _ => None,
    };
    for domain in ["local.example", "v.example", "a.boxes.example", "l.example", "w.example", "n.example"] {
        assert_eq!(whose(domain), Some(Kinship::Ours), "{domain}");
    }
    for domain in ["r.example", "q.example"] {
        assert_eq!(whose(domain), Some(Kinship::Relayed), "{domain}");
    }
    for domain in ["else.example", "boxes.example", "x.l.example"] {
        assert_eq!(whose(domain), Some(Kinship::Foreign), "{domain}");
    }
    tables.down = Some("mdomains");
    let answer = decide(&Question::Kinship { domain: "else.example".into() }, &rules, &mut tables);
    assert!(matches!(answer, Some(Answer::Refused { reply, .. }) if reply.code == 451));
    (tables.down, tables.silent) = (None, Some("relays"));
    assert!(decide(&Question::Kinship { domain: "else.example".into() }, &rules, &mut tables).is_none());
}
