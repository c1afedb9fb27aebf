//! The administrator's script in the real programs: every hook, its faults, its bounds, its reload.

use end_to_end::late::Late;
use end_to_end::load::Session;
use end_to_end::{LONG, Suite, free_port, wait_until};
use std::fs;
use std::path::Path;

/// Replaced as editors do, so that no reader sees half of it.
fn write(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(&new, path).unwrap();
}

fn suite_with(text: &str, more: &str) -> Suite {
    let builder = Suite::builder();
    let script = builder.folder().join("router.lua");
    write(&script, text);
    let routing = format!("[routing]\nscript = \"{}\"\n", script.display());
    builder.with_maildirs().with(&routing).with(more).start()
}

fn session(suite: &Suite, from: &str) -> Session {
    let (mut session, _) = Session::open(suite.port).unwrap();
    session.command("EHLO client.example").unwrap();
    assert_eq!(session.command(&format!("MAIL FROM:<{from}>")).unwrap().0, 250);
    session
}

/// The reply to one recipient.
fn rcpt(suite: &Suite, from: &str, to: &str) -> (u16, String) {
    session(suite, from).command(&format!("RCPT TO:<{to}>")).unwrap()
}

fn send(suite: &Suite, to: &[&str]) {
    let (mut session, _) = Session::open(suite.port).unwrap();
    session.command("EHLO client.example").unwrap();
    let (code, text) = session.message("anna@from.example", to, b"Subject: x\r\n\r\nbody\r\n").unwrap();
    assert_eq!(code, 250, "{text}");
}

fn delivered(suite: &Suite, user: &str) -> usize {
    fs::read_dir(suite.path("mail").join(user).join("new")).map_or(0, Iterator::count)
}

fn explained(suite: &Suite, address: &str) -> String {
    let output = suite.zpost(&["route", address, "--sender", "anna@from.example", "--explain"]);
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

const HOOKS: &str = r#"
function rewrite(address, envelope, kind)
  if kind == "recipient" and address.domain == "old.example" then return address.user .. "@local.example" end
  if kind == "sender" and address.user == "anna" then return "anna@new.example" end
end

function route(address, envelope)
  log("route " .. address.text)
  if address.domain == "far.example" then return {channel = "hold", host = "admin"} end
  if address.domain == "shut.example" then return refuse("5.1.2 shut by the script") end
  if address.domain == "big.example" and envelope.size and envelope.size > 5 and envelope.client == "127.0.0.1"
    and envelope.helo == "client.example" and envelope.arrived > 1600000000 and envelope.sender == "anna@new.example" then
    return "known@local.example"
  end
end

function expand(name, domain, envelope)
  local found, all = lookup("teams", name)
  if found then return all[1]:split(",") end
end

function crossbar(from, to, envelope)
  if to.channel == "local" and to.user == "nobody" then return false end
  if to.user == "moved" then return {to = "home@local.example"} end
end

function policy(envelope, recipient)
  if recipient.user == "closed" then return {code = 550, text = "5.7.1 closed by the script"} end
  if envelope.sender == "bad@from.example" then return defer("not you, not now") end
end
"#;

const TEAMS: &str = "[[table]]\nname = \"teams\"\nkind = \"inline\"\nentries = { team = \"one,two@local.example\" }\n";

#[test]
fn every_hook_has_its_say() {
    let suite = suite_with(HOOKS, TEAMS);
    assert_eq!(rcpt(&suite, "anna@from.example", "joe@local.example").0, 250);
    let (code, text) = rcpt(&suite, "anna@from.example", "closed@local.example");
    assert!(code == 550 && text.contains("5.7.1 closed by the script"), "{code} {text}");
    let (code, text) = rcpt(&suite, "bad@from.example", "joe@local.example");
    assert!(code == 450 && text.contains("not you, not now"), "{code} {text}");

    send(&suite, &["joe@old.example", "team@local.example", "nobody@local.example", "moved@local.example", "x@big.example"]);
    for user in ["joe", "one", "two", "home", "known"] {
        wait_until(user, LONG, || delivered(&suite, user) == 1);
    }
    wait_until("nothing is left", LONG, || suite.json(&["queue"]).as_array().unwrap().is_empty());
    assert_eq!(delivered(&suite, "nobody") + delivered(&suite, "moved") + delivered(&suite, "team"), 0);
    let mail = fs::read_dir(suite.path("mail/joe/new")).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(mail).unwrap();
    assert!(text.contains("anna@new.example"), "the sender as the script has it: {text}");

    send(&suite, &["x@far.example"]);
    wait_until("held", LONG, || suite.json(&["queue", "--channel", "hold"]).as_array().unwrap().len() == 1);

    let steps = explained(&suite, "x@far.example");
    assert!(steps.contains("router.lua:8: route x@far.example") && steps.contains("script: channel hold, host admin"), "{steps}");
    let steps = explained(&suite, "x@shut.example");
    assert!(steps.contains("5.1.2") && steps.contains("shut by the script"), "{steps}");
    let steps = explained(&suite, "moved@local.example");
    assert!(steps.contains("crossbar: to home@local.example instead"), "{steps}");
    // What the script logs is in the log.
    suite.logged("router.lua:8: route x@big.example");
}

#[test]
fn a_fault_defers_with_its_line_until_the_script_is_mended() {
    let text = "function route(address)\n  if address.user ~= 'fine' then\n    return address.no.such\n  end\nend\n";
    let suite = suite_with(text, "");
    let (code, text) = rcpt(&suite, "anna@from.example", "joe@local.example");
    assert!(code == 451 && text.contains("routing script") && !text.contains("router.lua"), "{code} {text}");
    wait_until("the fault is logged", LONG, || suite.log().contains("script_failed"));
    assert_eq!(suite.log().matches("router.lua:3:").count(), 1, "once: {}", suite.log());
    assert_eq!(rcpt(&suite, "anna@from.example", "fine@local.example").0, 250);
    // Relayed mail is not asked about at RCPT.
    send(&suite, &["x@elsewhere.example"]);
    let held = || suite.json(&["queue", "--channel", "hold"]);
    wait_until("held", LONG, || held().as_array().unwrap().len() == 1);
    wait_until("the reason", LONG, || held().to_string().contains("router.lua:3:"));
    assert_eq!(suite.counter("scheduler", "bounces"), 0);
    write(&suite.path("router.lua"), "function route(address) return 'mended@local.example' end");
    wait_until("the new script", LONG, || explained(&suite, "x@elsewhere.example").contains("mended@local.example"));
    assert!(suite.zpost(&["reroute", "--channel", "hold"]).status.success());
    wait_until("delivered", LONG, || delivered(&suite, "mended") == 1);
}

#[test]
fn a_changed_file_is_tried_before_it_is_taken() {
    let suite = suite_with("function route(address) return {channel = 'hold', host = 'admin'} end", "");
    let pids = suite.pids();
    assert!(explained(&suite, "x@y.example").contains("channel hold"));
    write(&suite.path("router.lua"), "function route(address)\n  return {channel = \nend");
    wait_until("refused", LONG, || {
        // Somebody has to ask: a file is looked at when it is needed.
        assert!(explained(&suite, "x@y.example").contains("channel hold"), "the old script stays");
        suite.log().contains("script_refused")
    });
    suite.logged("router.lua:3:");
    write(&suite.path("router.lua"), "function route(address) return {channel = 'discard'} end");
    wait_until("taken", LONG, || explained(&suite, "x@y.example").contains("channel discard"));
    fs::remove_file(suite.path("router.lua")).unwrap();
    wait_until("missed", LONG, || {
        explained(&suite, "x@y.example").contains("channel discard") && suite.log().matches("script_refused").count() >= 2
    });
    assert_eq!(suite.pids(), pids, "nobody was replaced");
}

#[test]
fn a_broken_script_is_no_configuration() {
    let builder = Suite::builder();
    let script = builder.folder().join("router.lua");
    write(&script, "function route(address)\n  while true do end\nend\nfor i = 1, 1e15 do end\n");
    let suite = builder.with(&format!("[routing]\nscript = \"{}\"\n", script.display())).prepare();
    let refused = |arguments: &[&str]| {
        let output = suite.zpost(arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{errors}");
        errors
    };
    for arguments in [&["config", "check"][..], &["start"][..]] {
        let errors = refused(arguments);
        assert!(errors.contains("router.lua:4: more than 1000000 instructions") && errors.contains("zpost.toml"), "{errors}");
    }
    write(&script, "function root() end");
    assert!(refused(&["config", "check"]).contains("defines none of the functions"));
    write(&script, "function route() end");
    assert!(suite.zpost(&["config", "check"]).status.success());
    fs::remove_file(&script).unwrap();
    assert!(refused(&["config", "check"]).contains("router.lua"));
}

#[test]
fn a_reload_with_a_broken_script_changes_nothing() {
    let suite = suite_with("function route() return {channel = 'discard'} end", "");
    write(&suite.path("router.lua"), "function route( return");
    let output = suite.zpost(&["reload"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&output.stderr).contains("router.lua:1:"));
    assert!(explained(&suite, "x@y.example").contains("channel discard"));
}

/// What takes all it can get is ended, each time; others are served by the same routers.
#[test]
fn no_script_takes_a_router_with_it() {
    let text = r#"function route(address)
  if address.user == "loop" then while true do end end
  if address.user == "memory" then local s = "x" while true do s = s .. s end end
  if address.user == "tables" then local t = {} while true do t = {t, {}, {}} end end
  if address.user == "deep" then local function f() return 1 + f() end return f() end
  if address.user == "pattern" then return match(("a"):rep(100000), "(a*)*(a*)*b" .. ("x?"):rep(200)) end
  if address.user == "shape" then return 7 end
  if address.user == "object" then error({}) end
  if address.user == "sort" then table.sort({3, 2, 1, 5, 4}, function(a, b) return a.x < b end) end
end
"#;
    let suite = suite_with(text, "");
    let routers = |suite: &Suite| suite.pids().into_iter().filter(|(name, _)| name == "router").collect::<Vec<_>>();
    let before = routers(&suite);
    let hostile = ["loop", "memory", "tables", "deep", "pattern", "shape", "object", "sort"];
    let addresses: Vec<String> = hostile.iter().map(|user| format!("{user}@elsewhere.example")).collect();
    let mut to: Vec<&str> = addresses.iter().map(String::as_str).collect();
    to.push("joe@local.example");
    send(&suite, &to);
    wait_until("joe's", LONG, || delivered(&suite, "joe") == 1);
    for (number, user) in hostile.iter().enumerate() {
        let line = format!("router.lua:{}: ", number + 2);
        let steps = explained(&suite, &format!("{user}@elsewhere.example"));
        assert!(steps.contains(&line), "{user}: {steps}");
    }
    wait_until("the others are held", LONG, || {
        let held = suite.json(&["queue", "--channel", "hold"]);
        held[0]["recipients"].as_array().is_some_and(|list| list.len() == hostile.len())
    });
    assert_eq!(routers(&suite), before);
    assert_eq!(suite.counter("scheduler", "bounces"), 0);
}

/// What the script asks is in another process, which takes its time: the decision is made again when it has answered. Away,
/// it is no absence.
#[test]
fn a_script_waits_for_a_table_of_another_process() {
    let late = Late::start("OK joe@local.example");
    let text = "function route(address)
  if address.domain == 'far.example' then
    local found = lookup('late', address.text)
    if not found then return refuse('5.1.1 nobody') end
    log('found ' .. found)
    return found
  end
end
function policy(envelope, recipient)
  if recipient.user == 'asked' and not lookup('late', recipient.text) then return refuse('5.7.1 no') end
end
";
    let table = |port: u16| {
        format!(
            "[[table]]\nname = \"late\"\nkind = \"socketmap\"\nservers = [\"127.0.0.1:{port}\"]\nmap = \"m\"\ntimeout = \"20s\"\nttl = 0\nnegative_ttl = 0\n"
        )
    };
    let suite = suite_with(text, &table(late.port));
    let mut asking = session(&suite, "anna@from.example");
    let asking = std::thread::spawn(move || asking.command("RCPT TO:<asked@local.example>").unwrap());
    send(&suite, &["x@far.example"]);
    wait_until("both wait", LONG, || suite.counter("router", "parked_now") == 2);
    send(&suite, &["max@local.example"]);
    wait_until("others do not", LONG, || delivered(&suite, "max") == 1);
    assert_eq!(delivered(&suite, "joe"), 0);
    late.open();
    assert_eq!(asking.join().unwrap().0, 250);
    wait_until("what it said is done", LONG, || delivered(&suite, "joe") == 1);
    assert_eq!(suite.log().matches("found joe@local.example").count(), 1, "what waits logs nothing: {}", suite.log());

    // Another port, where nobody is.
    let config = fs::read_to_string(suite.config()).unwrap();
    fs::write(suite.config(), config.replace(&table(late.port), &table(free_port()))).unwrap();
    assert!(suite.zpost(&["reload"]).status.success());
    wait_until("the other configuration", LONG, || rcpt(&suite, "anna@from.example", "asked@local.example").0 == 451);
    send(&suite, &["y@far.example"]);
    let held = || suite.json(&["queue", "--channel", "hold"]);
    wait_until("held for the table", LONG, || held().to_string().contains("table:late/"));
    assert_eq!((suite.counter("scheduler", "bounces"), delivered(&suite, "anna")), (0, 0));
    // Back again: it goes on by itself.
    let config = fs::read_to_string(suite.config()).unwrap();
    let gone = config.lines().find(|line| line.starts_with("servers = ")).unwrap().to_owned();
    fs::write(suite.config(), config.replace(&gone, &format!("servers = [\"127.0.0.1:{}\"]", late.port))).unwrap();
    assert!(suite.zpost(&["reload"]).status.success());
    wait_until("it has gone on", LONG, || delivered(&suite, "joe") == 2);
}
