//! The script in decisions: its steps, its loops, its faults.

use super::{Facts, Lent};
use crate::decision::{Routing, Want, route};
use crate::local_user::LocalUser;
use crate::question::{answer, decide};
use crate::rules::Rules;
use crate::tables::Tables;
use crate::verdict::Verdict;
use address::{Address, Path};
use ipc::routing::{Answer, Question};
use lookup::{AliasEntry, Found, List, TableError};
use script::{Hook, Limits, Script};

struct Site {
    script: Option<Box<Script>>,
}

impl Tables for Site {
    fn alias(&mut self, _: &str) -> Result<Option<AliasEntry>, TableError> {
        Ok(None)
    }
    fn list(&mut self, _: &str) -> Result<List, TableError> {
        Err(TableError::Temporary("no lists".to_owned()))
    }
    fn user(&mut self, name: &str) -> Result<Option<LocalUser>, TableError> {
        let known = ["joe", "ann", "postmaster"].contains(&name);
        Ok(known.then(|| LocalUser { name: name.into(), attributes: "-".into(), place: "test".into() }))
    }
    fn users(&self) -> String {
        "test".to_owned()
    }
    fn find(&mut self, table: &str, key: &str) -> Result<Option<Found>, TableError> {
        match key {
            "slow" => Err(TableError::Pending),
            "broken" => Err(TableError::Temporary(format!("{table}: gone"))),
            "known" => Ok(Some(Found { values: vec!["joe@local.example".to_owned()], place: String::new(), keeper: Default::default() })),
            _ => Ok(None),
        }
    }
    fn scripted(&mut self, hook: Hook) -> bool {
        self.script.as_ref().is_some_and(|script| script.has(hook))
    }
    fn lend_script(&mut self, hook: Hook) -> Result<Option<Lent>, String> {
        Ok(self.script.take_if(|script| script.has(hook)).map(|script| Lent { script, facts: Facts::default() }))
    }
    fn give_back(&mut self, lent: Lent) {
        self.script = Some(lent.script);
    }
}

fn rules() -> Rules {
    let config = "[paths]\npostoffice = \"/tmp/none\"\n[identity]\nhostname = \"mta.example\"\n\
        [[listener]]\nkind = \"smtp\"\nbind = \"192.0.2.1:25\"\n\
        [local]\ndomains = [\"local.example\"]\ndelivery = \"maildir\"\nusers = \"passwd\"\ndetail = \"+\"\n";
    Rules::new(&settings::parse(config, "test").unwrap())
}

fn site(text: &str) -> Site {
    Site { script: Some(Box::new(Script::load("router.lua", text, Limits::default()).unwrap())) }
}

fn routed(address: &str, site: &mut Site, want: Want) -> Routing {
    let (address, sender) = (Address::parse(address).unwrap(), Path::Mailbox(Address::parse("ann@from.example").unwrap()));
    route(&address, &sender, want, &rules(), site)
}

fn quads(address: &str, site: &mut Site) -> String {
    let outcomes = routed(address, site, Want::Recipients).outcomes.into_iter().map(|o| o.into_quad());
    outcomes.map(|q| format!("{} {} {}", q.channel, q.host, q.user)).collect::<Vec<_>>().join("; ")
}

#[test]
fn the_script_decides_before_the_other_steps() {
    let mut site = site(
        "function route(address, envelope)
           if address.domain == 'far.example' then return {channel = 'smtp', host = '[192.0.2.9]:26'} end
           if address.domain == 'bare.example' then return {channel = 'smtp'} end
           if address.domain == 'user.example' then return {channel = 'smtp', host = 'x.example', user = 'other@y'} end
           if address.domain == 'here.example' then return {channel = 'local', user = 'joe'} end
           if address.domain == 'held.example' then return {channel = 'hold', host = 'admin'} end
           if address.domain == 'closed.example' then return refuse('5.1.2 closed') end
           if address.domain == 'error.example' then return {channel = 'error', host = '5.1.3 shut'} end
           if address.domain == 'later.example' then return defer('not now') end
           if address.domain == 'moved.example' then return address.user .. '@far.example' end
           if address.domain == 'loop.example' then return 'x@pool.example' end
           if address.domain == 'pool.example' then return 'x@loop.example' end
           if address.domain == 'self.example' then return address.text end
           if address.domain == 'bad.example' then return 'nodomain' end
           if address.domain == 'none.example' then return {channel = 'nosuch'} end
           if address.domain == 'blank.example' then return {channel = 'smtp', host = 'a b'} end
           if address.detail == 'from' then return {channel = 'smtp', host = envelope.sender} end
         end",
    );
    for (address, wanted) in [
        ("a@far.example", "smtp [192.0.2.9]:26 a@far.example"),
        ("a@bare.example", "smtp bare.example a@bare.example"),
        ("a@user.example", "smtp x.example other@y"),
        ("joe@local.example", "local - joe@local.example"),
        ("a@held.example", "hold admin a@held.example"),
        ("a@closed.example", "error 5.1.2:closed a@closed.example"),
        ("a@error.example", "error 5.1.3:shut a@error.example"),
        ("a@later.example", "hold retry:not%20now a@later.example"),
        ("a@moved.example", "smtp [192.0.2.9]:26 a@far.example"),
        ("a@self.example", "smtp self.example a@self.example"),
        ("a@other.example", "smtp other.example a@other.example"),
        ("a+from@other.example", "smtp ann@from.example a+from@other.example"),
        ("a@bad.example", "hold retry:script:%20route:%20`nodomain`%20is%20no%20address%20with%20a%20domain a@bad.example"),
        ("a@none.example", "hold retry:script:%20route:%20there%20is%20no%20channel%20nosuch a@none.example"),
        ("a@blank.example", "hold retry:script:%20route:%20`a%20b`%20has%20blanks a@blank.example"),
    ] {
        assert_eq!(quads(address, &mut site), wanted, "{address}");
    }
    assert!(quads("a@loop.example", &mut site).starts_with("error 5.4.6:"), "{}", quads("a@loop.example", &mut site));
}

#[test]
fn names_are_expanded_once() {
    let mut site = site(
        "function expand(name, domain)
           if name == 'both' then return {'joe', 'ann@local.example'} end
           if name == 'joe' then return {'joe', 'far@other.example'} end
           if name == 'round' then return {'about'} end
           if name == 'about' then return {'round'} end
         end",
    );
    assert_eq!(quads("ann@local.example", &mut site), "local - ann@local.example");
    assert_eq!(quads("joe@local.example", &mut site), "local - joe@local.example; smtp other.example far@other.example");
    assert_eq!(
        quads("both@local.example", &mut site),
        "local - joe@local.example; smtp other.example far@other.example; local - ann@local.example"
    );
    assert!(quads("round@local.example", &mut site).starts_with("error 5.4.6:"));
}

#[test]
fn rewriting_comes_first_and_once() {
    let mut site = site(
        "function rewrite(address, envelope, kind)
           if kind == 'recipient' and address.domain == 'old.example' then return address.user .. '@new.example' end
           if address.domain == 'new.example' then return address.user .. '@old.example' end
         end
         function route(address) if address.domain == 'new.example' then return {channel = 'smtp', host = 'next'} end end",
    );
    assert_eq!(quads("a@old.example", &mut site), "smtp next a@new.example");
}

#[test]
fn pairs_are_dropped_redirected_or_refused() {
    let mut site = site(
        "function expand(name) if name == 'all' then return {'joe', 'ann', 'x@no.example', 'y@instead.example'} end end
         function crossbar(from, to, envelope)
           if to.channel == 'local' and to.user == 'ann' then return false end
           if to.domain == 'no.example' then return refuse('5.7.1 not for ' .. from.user) end
           if to.domain == 'instead.example' then return {to = 'ann@local.example'} end
           if to.domain == 'wait.example' then return defer('later') end
           if to.domain == 'broken.example' then return 5 end
           return true
         end",
    );
    assert_eq!(quads("joe@local.example", &mut site), "local - joe@local.example");
    assert_eq!(quads("ann@local.example", &mut site), "discard - ann@local.example");
    assert_eq!(quads("x@no.example", &mut site), "error 5.7.1:not%20for%20ann x@no.example");
    // What it redirects is not asked about again.
    assert_eq!(quads("y@instead.example", &mut site), "local - ann@local.example");
    assert!(quads("y@broken.example", &mut site).starts_with("hold retry:router.lua:7:"), "{}", quads("y@broken.example", &mut site));
    assert_eq!(quads("y@wait.example", &mut site), "hold retry:later y@wait.example");
    assert_eq!(quads("all@local.example", &mut site).split("; ").count(), 4);
}

#[test]
fn trouble_defers_and_never_bounces() {
    let mut site = site(
        "function route(address)
           if address.user == 'loop' then while true do end end
           if address.user == 'nil' then return address.nothing.at_all end
           return lookup('people', address.user)
         end",
    );
    assert_eq!(quads("known@x.example", &mut site), "local - joe@local.example");
    assert_eq!(quads("broken@x.example", &mut site), "hold retry:people:%20gone broken@x.example");
    assert_eq!(routed("slow@x.example", &mut site, Want::Recipients).outcomes[0].verdict, Verdict::Pending);
    assert!(quads("loop@x.example", &mut site).starts_with("hold retry:router.lua:2:%20more%20than"));
    assert!(quads("nil@x.example", &mut site).starts_with("hold retry:router.lua:3:%20attempt"));
    let verify = |address: &str| Question::Verify { address: address.to_owned(), sender: "ann@from.example".to_owned() };
    let Answer::Refused { reply, .. } = answer(&verify("loop@x.example"), &rules(), &mut site) else { panic!() };
    assert_eq!(reply.to_string(), "451 4.3.0 Temporary failure of the routing script; try again later");
    let Answer::Refused { reply, .. } = answer(&verify("broken@x.example"), &rules(), &mut site) else { panic!() };
    assert_eq!(reply.to_string(), "451 4.3.0 Temporary failure of a lookup table; try again later");
    assert!(decide(&verify("slow@x.example"), &rules(), &mut site).is_none());
}

#[test]
fn policy_replies_at_rcpt() {
    let mut site = site(
        "function policy(envelope, recipient)
           if envelope.sender == '' then return {code = 550, text = '5.7.27 no null'} end
           if recipient.user == 'ann' then return {code = 450, text = 'come back'} end
           if recipient.user == 'postmaster' then return lookup('people', 'slow') end
           if recipient.detail == 'bad' then return 7 end
         end",
    );
    let mut said = |address: &str, sender: &str| {
        let question = Question::Verify { address: address.to_owned(), sender: sender.to_owned() };
        match decide(&question, &rules(), &mut site) {
            Some(Answer::Refused { reply, .. }) => format!("{} {} {}", reply.code, reply.status.unwrap(), reply.text),
            Some(_) => "taken".to_owned(),
            None => "pending".to_owned(),
        }
    };
    assert_eq!(said("joe@local.example", "a@b.example"), "taken");
    assert_eq!(said("joe@local.example", ""), "550 5.7.27 no null");
    assert_eq!(said("ann@local.example", "a@b.example"), "450 4.7.1 come back");
    assert_eq!(said("nobody@local.example", ""), "550 5.1.1 User unknown");
    assert_eq!(said("postmaster@local.example", "a@b.example"), "pending");
    assert!(said("joe+bad@local.example", "a@b.example").starts_with("451 4.3.0 Temporary failure of the routing script"));
}

#[test]
fn what_a_script_puts_off_is_told_in_its_words() {
    let mut site = site("function route(address) return defer('not before noon') end");
    let question = Question::Verify { address: "a@x.example".to_owned(), sender: String::new() };
    let Answer::Refused { reply, .. } = answer(&question, &rules(), &mut site) else { panic!() };
    assert_eq!(reply.to_string(), "451 4.7.1 not before noon");
}

#[test]
fn what_the_pair_is_redirected_to_is_sent_on() {
    let mut site = site("function crossbar(from, to) if to.user == 'joe' then return {to = 'joe@far.example'} end end");
    let outcomes = routed("joe@local.example", &mut site, Want::Recipients).outcomes;
    assert!(outcomes[0].address == "joe@far.example" && outcomes[0].way.forwarded, "{outcomes:?}");
    assert!(!routed("a@other.example", &mut site, Want::Recipients).outcomes[0].way.forwarded);
}

#[test]
fn an_explanation_shows_the_script() {
    let mut site = site(
        "function route(address)
           log('looking at ' .. address.text)
           return {channel = 'smtp', host = 'next'}
         end
         function crossbar() log('crossed') return false end",
    );
    let steps = routed("a@b.example", &mut site, Want::Explanation).steps.join("\n");
    for wanted in [
        "script: router.lua:2: looking at a@b.example",
        "script: channel smtp, host next",
        "router.lua:5: crossed",
        "dropped for ann@from.example",
    ] {
        assert!(steps.contains(wanted), "{steps}");
    }
}
