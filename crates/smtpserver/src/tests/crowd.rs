use super::site::{Dialogue, Plan, Site, remembering_tracker, tracker};
use ipc::master::ToChild;
use settings::Settings;
use std::time::Duration;

fn strangers(settings: &mut Settings) {
    settings.relay.networks.clear();
    settings.first_contact.exempt.clear();
}

fn is_gone(mut client: Dialogue) {
    client.hear("421 4.3.2");
    assert_eq!(client.reply(), "");
}

#[test]
fn the_silent_are_shed_before_those_that_work() {
    let mut site = Site::new(Plan { change: Some(strangers), ..Plan::default() });
    let mut first = site.client();
    first.hello();
    let mut silent: Vec<Dialogue> = (0..3).map(|_| site.client()).collect();
    for client in &mut silent {
        client.hear("220");
    }
    let mut busy = site.client();
    busy.hello();
    busy.say("MAIL FROM:<a@b.example>", "250");
    site.master.send(&ToChild::Shed(3)).unwrap();
    silent.into_iter().for_each(is_gone);
    first.say("NOOP", "250");
    // The older of the two that are left has no message in hand.
    site.master.send(&ToChild::Shed(1)).unwrap();
    is_gone(first);
    busy.say("RSET", "250");
    site.wait_for_ends(4);
}

#[test]
fn those_that_are_exempt_are_not_shed_for_the_places_of_strangers() {
    let mut site = Site::new(Plan::default());
    let mut client = site.client();
    client.hello();
    site.master.send(&ToChild::Shed(100)).unwrap();
    client.say("NOOP", "250");
}

#[test]
fn an_overloaded_host_refuses_those_it_does_not_know() {
    let mut site = Site::new(Plan { change: Some(strangers), tracker: Some(tracker(100)), ..Plan::default() });
    site.counters.say_overload(1, 0);
    site.client().hello();
    site.counters.say_overload(2, 0);
    is_gone(site.client());
    // Local sockets, and so submission and relay networks, are not touched.
    site.counters.say_overload(3, 0);
    site.local_client(1000).hello();
    is_gone(site.client());
    site.counters.say_overload(0, 0);
    site.client().hello();

    for level in [2, 3] {
        let mut site = Site::new(Plan { change: Some(strangers), tracker: Some(remembering_tracker()), ..Plan::default() });
        site.counters.say_overload(level, 0);
        site.client().hello();
    }
}

#[test]
fn without_a_tracker_level_two_lets_in_and_level_three_does_not() {
    let mut site = Site::new(Plan { change: Some(strangers), ..Plan::default() });
    site.counters.say_overload(2, 0);
    site.client().hello();
    site.counters.say_overload(3, 0);
    is_gone(site.client());
}

#[test]
fn idle_sessions_end_when_the_host_is_loaded() {
    let change = |s: &mut Settings| {
        strangers(s);
        s.overload.idle = Duration::from_millis(400);
        s.overload.command_timeout = Duration::from_secs(80);
        s.server.max_idle_commands = 100_000;
    };
    let mut site = Site::new(Plan { change: Some(change), ..Plan::default() });
    let mut idle = site.client();
    idle.hello();
    let mut busy = site.client();
    busy.hello();
    busy.say("MAIL FROM:<a@b.example>", "250");
    let mut local = site.local_client(1000);
    local.hello();
    site.counters.say_overload(2, 0);
    // Any event brings the worker round.
    while site.counters.read_row(0, "smtpserver").iter().all(|(name, value)| *name != "overloaded" || *value == 0) {
        local.say("RSET", "250");
        std::thread::sleep(Duration::from_millis(20));
    }
    idle.hear("421 4.3.2");
    busy.say("RSET", "250");
    local.say("NOOP", "250");
}

#[test]
fn times_are_shorter_when_the_host_is_loaded() {
    let change = |s: &mut Settings| {
        strangers(s);
        s.overload.command_timeout = Duration::from_millis(300);
    };
    let mut site = Site::new(Plan { change: Some(change), ..Plan::default() });
    let mut before = site.client();
    before.hello();
    site.counters.say_overload(1, 0);
    // Both the one that comes now and the one that was there.
    let mut after = site.client();
    after.hello();
    after.hear("421 4.4.2");
    before.hear("421 4.4.2");
    site.wait_for_ends(2);
}
