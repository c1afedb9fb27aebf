//! The decision against tables made of text.

use crate::decision::{Routing, Want, route};
use crate::local_user::LocalUser;
use crate::question::answer;
use crate::rules::Rules;
use crate::tables::Tables;
use crate::verdict::Verdict;
use address::{Address, Path};
use ipc::routing::{Answer, Question};
use lookup::{AliasEntry, List, TableError, key, parse_aliases, parse_list};
use std::collections::HashMap;
use std::rc::Rc;

#[derive(Default)]
struct Fake {
    aliases: HashMap<String, AliasEntry>,
    lists: HashMap<String, List>,
    users: Option<Vec<&'static str>>,
    broken: bool,
    /// A name that has not been answered for yet.
    silent: Option<&'static str>,
    lookups: u32,
}

impl Tables for Fake {
    fn find(&mut self, _table: &str, _key: &str) -> Result<Option<lookup::Found>, TableError> {
        Ok(None)
    }

    fn alias(&mut self, key: &str) -> Result<Option<AliasEntry>, TableError> {
        self.lookups += 1;
        if self.silent == Some(key) {
            return Err(TableError::Pending);
        }
        if self.broken { Err(TableError::Temporary("aliases: gone".into())) } else { Ok(self.aliases.get(key).cloned()) }
    }
    fn list(&mut self, path: &str) -> Result<List, TableError> {
        self.lists.get(path).cloned().ok_or_else(|| TableError::Temporary(format!("{path}: gone")))
    }
    fn user(&mut self, name: &str) -> Result<Option<LocalUser>, TableError> {
        let known = self.users.as_ref().is_none_or(|users| users.contains(&name));
        Ok(known.then(|| LocalUser { name: name.into(), attributes: "-".into(), place: "test".into() }))
    }
    fn users(&self) -> String {
        "test".to_owned()
    }
}

fn fake(aliases: &str, users: Option<&[&'static str]>) -> Fake {
    let (lines, faults) = parse_aliases(aliases);
    assert!(faults.is_empty());
    let entry = |l: &lookup::AliasLine| AliasEntry {
        values: Rc::from(l.values.clone().unwrap()),
        file: Rc::from("aliases"),
        line: l.line,
        keeper: lookup::Keeper::Administrator,
    };
    Fake { aliases: lines.iter().map(|l| (key(&l.name), entry(l))).collect(), users: users.map(<[_]>::to_vec), ..Fake::default() }
}

fn rules(any: bool) -> Rules {
    let users = if any { "any" } else { "passwd" };
    rules_of(&format!("[local]\ndomains = [\"local.example\"]\ndelivery = \"maildir\"\nusers = \"{users}\"\n"))
}

fn rules_of(more: &str) -> Rules {
    let text = format!(
        "[paths]\npostoffice = \"/tmp/none\"\n[identity]\nhostname = \"mta.example\"\n\
         [[listener]]\nkind = \"smtp\"\nbind = \"192.0.2.1:25\"\n\
         [lists]\nmax_recipients = 10000\n\
         [[route]]\ndomain = \"sink.example\"\nchannel = \"smtp\"\nhost = \"127.0.0.1:2526\"\n\
         [[route]]\ndomain = \".sub.example\"\nchannel = \"discard\"\n\
         [[route]]\ndomain = \"no.sub.example\"\nchannel = \"error\"\nhost = \"never reached\"\n\
         [[route]]\ndomain = \"closed.example\"\nchannel = \"error\"\nhost = \"5.7.27 We are closed\"\n{more}"
    );
    Rules::new(&settings::parse(&text, "test").unwrap())
}

fn routed(address: &str, rules: &Rules, tables: &mut Fake) -> Routing {
    route(&Address::parse(address).unwrap(), &Path::Null, Want::Recipients, rules, tables)
}

/// The quads as `channel host user`.
fn quads(address: &str, rules: &Rules, tables: &mut Fake) -> Vec<String> {
    let routing = routed(address, rules, tables);
    routing.outcomes.into_iter().map(|o| o.into_quad()).map(|q| format!("{} {} {}", q.channel, q.host, q.user)).collect()
}

fn quad(address: &str, rules: &Rules, tables: &mut Fake) -> String {
    quads(address, rules, tables).join("; ")
}

#[test]
fn a_list_waits_to_know_its_owner() {
    let (rules, mut tables) = (rules(true), fake("list: a@far.example, b@far.example\nowner-list: joe\n", None));
    let owners = |routing: Routing| routing.outcomes.into_iter().map(|o| o.owner.map(|owner| owner.to_string())).collect::<Vec<_>>();
    let owner = Some("owner-list@local.example".to_owned());
    assert_eq!(owners(routed("list@local.example", &rules, &mut tables)), [owner.clone(), owner]);
    tables.silent = Some("owner-list");
    let routing = routed("list@local.example", &rules, &mut tables);
    assert_eq!(routing.outcomes.len(), 1);
    assert_eq!(routing.outcomes[0].verdict, Verdict::Pending, "failures would go to whoever wrote to the list");
}

#[test]
fn domains_go_by_rule_and_else_by_mx() {
    let (rules, mut none) = (rules(true), Fake::default());
    for (address, expected) in [
        ("a@sink.example", "smtp 127.0.0.1:2526 a@sink.example"),
        ("a@SINK.example", "smtp 127.0.0.1:2526 a@SINK.example"),
        ("a@x.y.sub.example", "discard - a@x.y.sub.example"),
        ("a@no.sub.example", "discard - a@no.sub.example"),
        ("a@sub.example", "smtp sub.example a@sub.example"),
        ("a@closed.example", "error 5.7.27:We%20are%20closed a@closed.example"),
        ("a@Example.org", "smtp example.org a@Example.org"),
        ("a@[198.51.100.7]", "smtp [198.51.100.7] a@[198.51.100.7]"),
        ("a@[IPv6:2001:db8::7]", "smtp [2001:db8::7] a@[IPv6:2001:db8::7]"),
        ("a@[192.0.2.1]", "local - a@mta.example"),
        ("joe", "local - joe@mta.example"),
        ("Joe@mta.example", "local - joe@mta.example"),
        ("Joe+x@local.example", "local - joe@local.example"),
    ] {
        assert_eq!(quad(address, &rules, &mut none), expected, "{address}");
    }
}

#[test]
fn unknown_users_are_refused_and_broken_tables_hold() {
    let rules = rules(false);
    let mut tables = fake("", Some(&["joe"]));
    assert_eq!(quad("joe+a@local.example", &rules, &mut tables), "local - joe@local.example");
    assert_eq!(quad("max@local.example", &rules, &mut tables), "error 5.1.1:User%20unknown max@local.example");
    tables.broken = true;
    assert_eq!(quad("joe@local.example", &rules, &mut tables), "hold retry:aliases:%20gone joe@local.example");
}

#[test]
fn aliases_nest_and_prefer_the_full_address() {
    let rules = rules(false);
    let mut tables = fake(
        "info@local.example: joe, far@sink.example\ninfo: max\nteam: info, max, info@local.example\njoe+x: max",
        Some(&["joe", "max"]),
    );
    assert_eq!(quads("Info@local.example", &rules, &mut tables), ["local - joe@local.example", "smtp 127.0.0.1:2526 far@sink.example"]);
    assert_eq!(quads("info@mta.example", &rules, &mut tables), ["local - max@mta.example"]);
    // `info` at local.example is the same alias as `info@local.example`: expanded once.
    assert_eq!(quads("team+detail@local.example", &rules, &mut tables).len(), 3);
    assert_eq!(quads("joe+x@local.example", &rules, &mut tables), ["local - max@local.example"]);
    assert_eq!(quads("joe+y@local.example", &rules, &mut tables), ["local - joe@local.example"]);
}

#[test]
fn loops_are_cut() {
    let rules = rules(true);
    let mut tables = fake("a: b\nb: a\nc: c\nd: d, x@sink.example\ne: \\e\nf: g, x@sink.example\ng: f", None);
    assert!(quad("a@local.example", &rules, &mut tables).starts_with("error 5.4.6:"));
    assert!(quad("c@local.example", &rules, &mut tables).starts_with("error 5.4.6:"));
    assert_eq!(quads("d@local.example", &rules, &mut tables), ["local - d@local.example", "smtp 127.0.0.1:2526 x@sink.example"]);
    assert_eq!(quad("e@local.example", &rules, &mut tables), "local - e@local.example");
    assert_eq!(quad("f@local.example", &rules, &mut tables), "smtp 127.0.0.1:2526 x@sink.example");
    let mut deep = fake(&(0..100).map(|n| format!("n{n}: n{}\n", n + 1)).collect::<String>(), None);
    assert!(quad("n0@local.example", &rules, &mut deep).starts_with("error 5.4.6:"));
}

#[test]
fn lists_expand_within_bounds_and_their_owner_gets_failures() {
    let rules = rules(true);
    let mut tables =
        fake("list: :include:/l\nowner-list: joe\nself: :include:/s\nhuge: :include:/h\nlost: a@sink.example, :include:/gone", None);
    tables.lists.insert("/l".into(), List::of(Rc::from(parse_list("a@sink.example\nb@sink.example\n").unwrap())));
    tables.lists.insert("/s".into(), List::of(Rc::from(parse_list(":include:/s").unwrap())));
    tables.lists.insert("/h".into(), List::of(Rc::from(parse_list(&"x@sink.example\n".repeat(10_001)).unwrap())));
    let routing = routed("list@local.example", &rules, &mut tables);
    assert!(routing.expanded && routing.outcomes.len() == 2);
    let owner = Path::Mailbox(Address::parse("owner-list@local.example").unwrap());
    assert!(routing.outcomes.iter().all(|o| o.owner.as_ref() == Some(&owner)));
    assert!(quad("self@local.example", &rules, &mut tables).starts_with("error 5.4.6:"));
    assert!(quad("huge@local.example", &rules, &mut tables).starts_with("error 5.2.4:"));
    assert_eq!(quads("lost@local.example", &rules, &mut tables), ["hold retry:/gone:%20gone lost@local.example"]);
}

#[test]
fn values_that_are_no_addresses() {
    let rules = rules(true);
    let mut tables = fake("p: |prog\nf: /var/x\nnull: /dev/null\nbad: a@b@@", None);
    assert_eq!(quad("p@local.example", &rules, &mut tables), "local - p@local.example");
    assert_eq!(quad("f@local.example", &rules, &mut tables), "local - f@local.example");
    assert_eq!(quad("null@local.example", &rules, &mut tables), "discard - null@local.example");
    assert!(quad("bad@local.example", &rules, &mut tables).starts_with("error 5.1.3:"));
}

#[test]
fn there_is_always_a_postmaster() {
    let rules = rules(false);
    assert_eq!(quad("Postmaster", &rules, &mut fake("", Some(&[]))), "local - postmaster@mta.example");
    assert_eq!(quad("postmaster@local.example", &rules, &mut fake("", Some(&["root"]))), "local - root@mta.example");
    assert_eq!(
        quad("postmaster@local.example", &rules, &mut fake("root: a@sink.example", Some(&[]))),
        "smtp 127.0.0.1:2526 a@sink.example"
    );
    assert_eq!(quad("postmaster", &rules, &mut fake("postmaster: joe", Some(&["joe"]))), "local - joe@mta.example");
}

#[test]
fn questions_end_early_and_name_the_rule() {
    let rules = rules(false);
    let mut tables = fake("team: a@sink.example, :include:/gone, b@sink.example", Some(&["joe"]));
    let verify = |address: &str| Question::Verify { address: address.into(), sender: String::new() };
    let Answer::Routed { quads, steps } = answer(&verify("team@local.example"), &rules, &mut tables) else { panic!() };
    assert_eq!((quads.len(), steps.len()), (1, 0));
    let Answer::Refused { reply, .. } = answer(&verify("max@local.example"), &rules, &mut tables) else { panic!() };
    assert_eq!(reply.to_string(), "550 5.1.1 User unknown");
    tables.broken = true;
    let Answer::Refused { reply, .. } = answer(&verify("joe@local.example"), &rules, &mut tables) else { panic!() };
    assert_eq!(reply.code, 451);
    assert!(!reply.text.contains("gone"), "a client learns no path");
    let explain = Question::Explain { address: "a@sink.example".into(), sender: String::new() };
    let Answer::Routed { steps, .. } = answer(&explain, &rules, &mut tables) else { panic!() };
    assert!(steps.iter().any(|s| s.contains("[[route]] at line")), "{steps:?}");
}

/// EXPN names addresses, and nothing of how they are delivered.
#[test]
fn an_expansion_shows_no_program() {
    let rules = rules(false);
    let mut tables = fake("team: joe, a@sink.example, |/usr/bin/secret, A@sink.example, a@sink.example", Some(&["joe"]));
    let mut expand = |address: &str| answer(&Question::Expand { address: address.into() }, &rules, &mut tables);
    let Answer::Routed { quads, steps } = expand("team@local.example") else { panic!() };
    let users: Vec<&str> = quads.iter().map(|quad| quad.user.as_str()).collect();
    assert_eq!(users, ["joe@local.example", "a@sink.example", "team@local.example", "A@sink.example"]);
    assert!(
        steps.is_empty() && quads.iter().all(|q| q.channel == "-" && q.host == "-" && q.attributes == "-" && !q.user.contains("secret"))
    );
    let Answer::Refused { reply, steps } = expand("max@local.example") else { panic!() };
    assert_eq!((reply.code, steps.len()), (550, 0));
}

#[test]
fn a_local_domain_may_be_a_suffix() {
    let rules = rules_of("[local]\ndomains = [\".Own.example\"]\ndelivery = \"maildir\"\nusers = \"any\"\n");
    assert_eq!(quad("joe@a.b.own.example", &rules, &mut Fake::default()), "local - joe@a.b.own.example");
    assert_eq!(quad("joe@own.example", &rules, &mut Fake::default()), "smtp own.example joe@own.example");
}

#[test]
fn a_lmtp_server_gets_the_whole_address() {
    let rules = rules_of("[local]\ndomains = [\"local.example\"]\ndelivery = \"lmtp\"\nlmtp = \"unix:/run/lmtp\"\nusers = \"any\"\n");
    assert_eq!(quad("Joe+x@local.example", &rules, &mut Fake::default()), "lmtp unix:/run/lmtp joe+x@local.example");
}

proptest::proptest! {
    #[test]
    fn any_graph_of_aliases_ends(edges in proptest::collection::vec((0..12_u8, proptest::collection::vec(0..16_u8, 1..5)), 0..12)) {
        let mut text = String::new();
        let mut named = std::collections::HashSet::new();
        for (from, to) in edges.into_iter().filter(|(from, _)| named.insert(*from)) {
            let to: Vec<String> = to.iter().map(|n| format!("n{n}")).collect();
            text.push_str(&format!("n{from}: {}\n", to.join(", ")));
        }
        let mut tables = fake(&text, Some(&["n12", "n13", "n14", "n15"]));
        let routing = routed("n0@local.example", &rules(false), &mut tables);
        proptest::prop_assert!(!routing.outcomes.is_empty());
        proptest::prop_assert!(tables.lookups < 1000);
        for outcome in &routing.outcomes {
            if let Verdict::Deliver(quad) = &outcome.verdict {
                proptest::prop_assert!(["n12@", "n13@", "n14@", "n15@"].iter().any(|n| quad.user.starts_with(n)));
            }
        }
    }
}

#[test]
fn mail_of_some_senders_goes_another_way() {
    let rules = rules_of(
        "[[route]]\ndomain = \"*\"\nsender = \"Boss@Ours.example\"\nchannel = \"smtp\"\nhost = \"[192.0.2.10]\"\n\
         [[route]]\ndomain = \"far.example\"\nsender = \".ours.example\"\nchannel = \"smtp\"\nhost = \"[192.0.2.11]\"\n\
         [[route]]\ndomain = \"*\"\nsender = \"ours.example\"\nchannel = \"smtp\"\nhost = \"[192.0.2.12]\"\n\
         [[route]]\ndomain = \"far.example\"\nchannel = \"smtp\"\nhost = \"[192.0.2.13]\"\n\
         [[route]]\ndomain = \"far.example\"\nsender = \"never@reached.example\"\nchannel = \"discard\"\n",
    );
    let go = |sender: &str, address: &str| {
        let sender = if sender.is_empty() { Path::Null } else { Path::Mailbox(Address::parse(sender).unwrap()) };
        let routing = route(&Address::parse(address).unwrap(), &sender, Want::Explanation, &rules, &mut Fake::default());
        let quad = routing.outcomes.into_iter().next().unwrap().into_quad();
        (quad.host, routing.steps.join("\n"))
    };
    for (sender, address, host) in [
        ("boss@ours.example", "a@far.example", "[192.0.2.10]"),
        ("boss@OURS.example", "a@else.example", "[192.0.2.10]"),
        ("x@ours.example", "a@far.example", "[192.0.2.12]"),
        ("x@sub.ours.example", "a@far.example", "[192.0.2.11]"),
        ("x@sub.ours.example", "a@else.example", "else.example"),
        ("x@other.example", "a@far.example", "[192.0.2.13]"),
        ("never@reached.example", "a@far.example", "[192.0.2.13]"),
        ("", "a@far.example", "[192.0.2.13]"),
        ("", "a@else.example", "else.example"),
        // Earlier in the file, and for every sender.
        ("boss@ours.example", "a@sink.example", "127.0.0.1:2526"),
    ] {
        assert_eq!(go(sender, address).0, host, "{sender} {address}");
    }
    assert!(go("x@ours.example", "a@b.example").1.contains("(domain = \"*\", sender = \"ours.example\")"));
}
