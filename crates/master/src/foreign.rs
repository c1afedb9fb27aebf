//! Programs of others that the configuration names: whether they are there, whose they are, and who they run as.

use crate::configuration::Configuration;
use crate::site::{find_group, find_user};
use nix::unistd::{Uid, User, geteuid, getgrouplist};
use settings::Fault;
use std::collections::HashMap;
use std::ffi::CString;
use std::path::Path;

/// Looks at every program of `[[pipe]]`, `[[agent]]` and `[[script]]`. A program that others may change would let them run
/// what they like as its user.
pub fn check(configuration: &Configuration, own_users: &[Uid], faults: &mut Vec<Fault>) {
    let settings = &configuration.settings;
    for pipe in &settings.pipes {
        let owner = user(configuration, "pipe", &pipe.name, pipe.user.as_deref(), Some(own_users), faults);
        find_group(configuration, pipe.group.as_deref().filter(|_| geteuid().is_root()), faults);
        program(configuration, &pipe.program, owner, faults);
    }
    for agent in &settings.agents {
        let owner = user(configuration, "agent", &agent.channel, agent.user.as_deref(), None, faults);
        program(configuration, &agent.program, owner, faults);
    }
    for script in &settings.scripts {
        program(configuration, &script.program, Some(geteuid()), faults);
    }
}

/// Who the agents become, by channel; an unknown user is a fault that [`check`] finds.
pub fn agent_users(configuration: &Configuration) -> HashMap<String, sys::Identity> {
    let agents = configuration.settings.agents.iter().filter(|_| geteuid().is_root());
    let identity = |agent: &settings::ForeignAgent| {
        let user = User::from_name(agent.user.as_deref()?).ok()??;
        let groups = getgrouplist(&CString::new(user.name.as_str()).ok()?, user.gid).ok()?;
        Some((agent.channel.clone(), sys::Identity { uid: user.uid, gid: user.gid, groups }))
    };
    agents.filter_map(identity).collect()
}

/// The user of a program. Those that work for many senders' mail must not be the suite's own (`refused`): its files would
/// be theirs.
fn user(
    configuration: &Configuration,
    section: &str,
    name: &str,
    user: Option<&str>,
    refused: Option<&[Uid]>,
    faults: &mut Vec<Fault>,
) -> Option<Uid> {
    if !geteuid().is_root() {
        return Some(geteuid());
    }
    let Some(user) = user else {
        if refused.is_some() {
            let text = format!("{section}.user of {name:?} must be given where the suite is started as root");
            faults.push(configuration.fault(name, text));
        }
        return None;
    };
    let found = find_user(configuration, user, faults)?.uid;
    if found.is_root() || refused.is_some_and(|own| own.contains(&found)) {
        let text = format!("{section}.user: {user} is root or a user of the suite; give the program a user of its own");
        faults.push(configuration.fault(user, text));
    }
    Some(found)
}

fn program(configuration: &Configuration, words: &[String], owner: Option<Uid>, faults: &mut Vec<Fault>) {
    let Some(path) = words.first() else { return };
    if let Err(e) = program::check_program(Path::new(path), owner.map(Uid::as_raw)) {
        faults.push(configuration.fault(path, e.0));
    }
}
