//! What hooks are asked, what they may say, and that nothing of one call is left for the next.

use crate::*;
use lookup::TableError;
use proptest::prelude::*;
use status::Enhanced;

const ADDRESS: Address<'static> = Address { text: "joe+x@sub.example", user: "joe", domain: Some("sub.example"), detail: Some("x") };

struct Tables;

impl World for Tables {
    fn lookup(&mut self, table: &str, key: &str) -> Result<Option<Vec<String>>, TableError> {
        match (table, key) {
            ("people", "joe") => Ok(Some(vec!["one".to_owned(), "two".to_owned()])),
            ("people", "slow") => Err(TableError::Pending),
            ("people", "broken") => Err(TableError::Temporary("people: gone".to_owned())),
            ("people", _) => Ok(None),
            _ => Err(TableError::Permanent(format!("there is no table {table}"))),
        }
    }
}

fn script(text: &str) -> Script {
    Script::load("router.lua", text, Limits::default()).unwrap()
}

fn route(body: &str) -> Result<Option<Route>, Trouble> {
    script(&format!("function route(address, envelope) {body} end")).route(ADDRESS, Envelope::default(), &mut Tables)
}

fn address(text: &str) -> Option<Route> {
    Some(Route::Address(text.to_owned()))
}

#[test]
fn route_says_a_place_an_address_or_nothing() {
    assert_eq!(route("").unwrap(), None);
    assert_eq!(route("return nil").unwrap(), None);
    assert_eq!(route("return address.user .. '@' .. address.domain .. '.' .. address.detail").unwrap(), address("joe@sub.example.x"));
    let place = |host: &str, user: Option<&str>| {
        Some(Route::Place { channel: "smtp".to_owned(), host: host.to_owned(), user: user.map(str::to_owned) })
    };
    assert_eq!(route("return {channel = 'smtp', host = '[192.0.2.1]:25'}").unwrap(), place("[192.0.2.1]:25", None));
    assert_eq!(route("return {channel = 'smtp', user = 'a@b'}").unwrap(), place("", Some("a@b")));
    let refused = Refusal { status: Enhanced::permanent(1, 1), text: "nobody".to_owned() };
    assert_eq!(route("return refuse '5.1.1 nobody'").unwrap(), Some(Route::Refuse(refused.clone())));
    assert_eq!(route("return {refuse = '5.1.1 nobody'}").unwrap(), Some(Route::Refuse(refused)));
    let own = Refusal { status: Enhanced::permanent(7, 1), text: "4.1.1 nobody".to_owned() };
    assert_eq!(route("return refuse '4.1.1 nobody'").unwrap(), Some(Route::Refuse(own)));
    assert_eq!(route("return defer 'later'").unwrap(), Some(Route::Defer("later".to_owned())));
}

#[test]
fn the_other_hooks() {
    let mut script = script(
        "function rewrite(address, envelope, kind) if kind == 'sender' then return address.user .. '@new.example' end end
         function expand(name, domain, envelope) if name == 'all' then return {'a@' .. domain, 'b@' .. domain} end end
         function crossbar(from, to, envelope)
           if not from then return true end
           if to.channel == 'smtp' and to.host == 'far' then return {to = 'archive@here'} end
           if from.domain == to.domain then return false end
           if to.user == 'no' then return refuse('no') end
         end
         function policy(envelope, recipient)
           if envelope.sender == '' then return {code = 550, text = '5.7.27 no'} end
           if envelope.client == '192.0.2.1' then return {code = 450} end
           if envelope.size and envelope.size > 5 then return defer('large') end
         end",
    );
    assert!(!script.has(Hook::Route) && script.has(Hook::Policy));
    let (none, world) = (Envelope { sender: "a@b", ..Envelope::default() }, &mut Tables);
    assert_eq!(script.rewrite(ADDRESS, none, "sender", world).unwrap().as_deref(), Some("joe@new.example"));
    assert_eq!(script.rewrite(ADDRESS, none, "recipient", world).unwrap(), None);
    assert_eq!(script.expand("all", "d", none, world).unwrap().unwrap(), ["a@d", "b@d"]);
    assert_eq!(script.expand("joe", "d", none, world).unwrap(), None);
    let at = |channel, host| Place { channel, host };
    assert_eq!(script.crossbar(None, ADDRESS, at("smtp", "far"), none, world).unwrap(), None);
    assert_eq!(
        script.crossbar(Some(ADDRESS), ADDRESS, at("smtp", "far"), none, world).unwrap(),
        Some(Crossing::To("archive@here".to_owned()))
    );
    assert_eq!(script.crossbar(Some(ADDRESS), ADDRESS, at("local", "-"), none, world).unwrap(), Some(Crossing::Drop));
    let other = Address { text: "no@x", user: "no", domain: Some("x"), detail: None };
    assert!(matches!(script.crossbar(Some(ADDRESS), other, at("local", "-"), none, world).unwrap(), Some(Crossing::Refuse(_))));
    assert_eq!(script.policy(none, ADDRESS, world).unwrap(), None);
    let reply = |envelope, script: &mut Script| script.policy(envelope, ADDRESS, &mut Tables).unwrap().unwrap();
    let refused = reply(Envelope::default(), &mut script);
    assert_eq!((refused.code, refused.status.unwrap().to_string().as_str(), refused.text.as_str()), (550, "5.7.27", "no"));
    let deferred = reply(Envelope { client: Some("192.0.2.1"), ..none }, &mut script);
    assert_eq!((deferred.code, deferred.status.unwrap().to_string().as_str()), (450, "4.7.1"));
    assert_eq!(reply(Envelope { size: Some(6), ..none }, &mut script).code, 450);
}

#[test]
fn tables_answer_are_silent_are_slow_or_fail() {
    assert_eq!(
        route("local first, all = lookup('people', address.user) return first .. #all .. all[2] .. '@x'").unwrap(),
        address("one2two@x")
    );
    assert_eq!(route("if lookup('people', 'nobody') == nil then return 'a@b' end").unwrap(), address("a@b"));
    assert_eq!(route("if not lookup('people', '') and not lookup('people', 'a\\nb') then return 'a@b' end").unwrap(), address("a@b"));
    assert_eq!(route("return lookup('people', 'slow')"), Err(Trouble::Pending));
    assert_eq!(route("log('x') lookup('people', 'broken')"), Err(Trouble::Temporary("people: gone".to_owned())));
    let Err(Trouble::Fault(fault)) = route("\nlookup('peple', 'x')") else { panic!() };
    assert_eq!(fault.to_string(), "router.lua:2: there is no table peple");
}

#[test]
fn nothing_of_a_call_is_left_for_the_next() {
    let mut script = script(
        "local count = 0
         seen = {}
         function route(address, envelope)
           count = count + 1
           total = (_ENV.count_all or 0) + count
           count_all = total
           seen[#seen + 1] = 'x'
           address.text = 'changed'
           envelope.sender = 'changed'
           function helper() return 'redefined' end
           return 'n' .. count .. total .. #seen .. '@x'
         end",
    );
    // A name that was never set ends the call: here the first line that asks for one.
    let Err(Trouble::Fault(fault)) = script.route(ADDRESS, Envelope::default(), &mut ()) else { panic!() };
    assert_eq!(fault.to_string(), "router.lua:5: count_all is not defined here");
    let mut script = Script::load(
        "router.lua",
        "local count, shared = 0, {}
         function route(address, envelope)
           count = count + 1
           shared[#shared + 1] = address
           route = nil
           log('call ' .. count)
           return 'n' .. count .. #shared .. '@x'
         end",
        Limits::default(),
    )
    .unwrap();
    for _ in 0..3 {
        assert_eq!(script.route(ADDRESS, Envelope::default(), &mut ()).unwrap(), address("n11@x"));
        assert_eq!(script.take_log(), ["router.lua:6: call 1"]);
    }
}

#[test]
fn a_fault_in_one_call_does_not_touch_the_next() {
    let mut script = script(
        "function route(address)
           if address.user == 'bomb' then local s = 'x' while true do s = s .. s end end
           if address.user == 'loop' then while true do end end
           if address.user == 'deep' then local function f() return 1 + f() end f() end
           if address.user == 'sort' then table.sort({3, 2, 1, 3}, function(a, b) return a.x < b.x end) end
           return 'fine@x'
         end",
    );
    for user in ["bomb", "loop", "deep", "sort", "bomb"] {
        let hostile = Address { user, ..ADDRESS };
        assert!(matches!(script.route(hostile, Envelope::default(), &mut ()), Err(Trouble::Fault(_))), "{user}");
        assert_eq!(script.route(ADDRESS, Envelope::default(), &mut ()).unwrap(), address("fine@x"), "{user}");
    }
}

#[test]
fn the_budget_is_the_same_for_every_call() {
    let limits = Limits { instructions: 2000, ..Limits::default() };
    let mut script = Script::load("router.lua", "function route() for i = 1, 560 do local x = i end return 'a@b' end", limits).unwrap();
    for _ in 0..200 {
        assert_eq!(script.route(ADDRESS, Envelope::default(), &mut ()).unwrap(), address("a@b"));
    }
}

#[test]
fn logs_are_bounded() {
    let mut script = script("function route() for i = 1, 1000 do log(('x'):rep(1000)) end log({}) end");
    script.route(ADDRESS, Envelope::default(), &mut ()).unwrap();
    let lines = script.take_log();
    assert!(lines.len() == 20 && lines.iter().all(|line| line.len() < 330), "{}", lines.len());
    assert!(script.take_log().is_empty());
}

#[test]
fn walks_are_in_the_order_of_the_keys() {
    let body = "local t = {b = 1, a = 2, [3] = 1, [1] = 1, [2.5] = 1, ['9'] = 1, [true] = 1} local s = ''
                for k, v in pairs(t) do s = s .. tostring(k) .. ' ' end return (s:trim():replace(' ', ','))";
    assert_eq!(route(body).unwrap(), address("1,2.5,3,9,a,b,true"));
    assert_eq!(
        route("local t = {a = 1, b = 2, c = 3} for k in pairs(t) do t.b = nil t[k] = nil end return #t .. '@x'").unwrap(),
        address("0@x")
    );
}

/// The examples of zpost-script(5) load, and say what the page says.
#[test]
fn the_examples_of_the_manual_work() {
    let page = include_str!("../../../man/zpost-script.5");
    let examples = page.split(".Sh EXAMPLES").nth(1).unwrap().split(".Sh SECURITY").next().unwrap();
    let mut scripts: Vec<Script> =
        examples.split(".Bd -literal -offset indent\n").skip(1).map(|part| script(part.split(".Ed").next().unwrap())).collect();
    assert_eq!(scripts.len(), 4);
    struct Any;
    impl World for Any {
        fn lookup(&mut self, table: &str, key: &str) -> Result<Option<Vec<String>>, TableError> {
            Ok(Some(vec![format!("{key}@{table}.example"), "two@x.example".to_owned()]))
        }
    }
    let envelope = Envelope { sender: "a", ..Envelope::default() };
    let place = Some(Route::Place { channel: "smtp".to_owned(), host: "a@relays.example".to_owned(), user: None });
    assert_eq!(scripts[0].route(ADDRESS, envelope, &mut Any).unwrap(), place);
    let old = Address { domain: Some("x.old.example"), ..ADDRESS };
    assert_eq!(scripts[1].rewrite(old, envelope, "sender", &mut Any).unwrap().as_deref(), Some("joe@new.example"));
    let number = Address { user: "staff-12", ..ADDRESS };
    assert_eq!(scripts[1].rewrite(number, envelope, "recipient", &mut Any).unwrap().as_deref(), Some("12@staff.example"));
    assert_eq!(scripts[2].expand("duty", "d", envelope, &mut Any).unwrap().unwrap().len(), 2);
    let duty = Address { user: "duty", ..ADDRESS };
    assert_eq!(scripts[2].policy(envelope, duty, &mut Any).unwrap().unwrap().code, 550);
    let (robot, board) = (Address { user: "robot-7", ..ADDRESS }, Address { user: "board", ..ADDRESS });
    let place = Place { channel: "local", host: "-" };
    assert_eq!(scripts[3].crossbar(Some(robot), board, place, envelope, &mut Any).unwrap(), Some(Crossing::Drop));
}

proptest! {
    #[test]
    fn no_text_breaks_the_machine(text in "[a-z(){}=\"'.,:;# \n0-9%\\[\\]~-]{0,200}") {
        let _ = Script::load("router.lua", &text, Limits::default());
    }

    #[test]
    fn no_address_breaks_a_hook(text in ".{0,100}", domain in proptest::option::of(".{0,50}")) {
        let mut script = script("function route(a) return match(a.text, '(.*)@') or lookup('people', a.text) or a.domain end");
        let address = Address { text: &text, user: &text, domain: domain.as_deref(), detail: None };
        match script.route(address, Envelope { sender: &text, ..Envelope::default() }, &mut Tables) {
            Ok(Some(Route::Address(said))) => prop_assert!(!said.chars().any(char::is_control)),
            Ok(None) | Err(Trouble::Fault(_)) => {}
            other => prop_assert!(false, "{other:?}"),
        }
    }
}
