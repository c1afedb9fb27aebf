//! The place the suite runs at: users, programs, folders. Everything is checked before anything is started.

use crate::Failure;
use crate::configuration::{Configuration, render};
use crate::services::{Kind, Service};
use nix::unistd::{Gid, Group, Uid, User};
use settings::{Fault, Settings};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Who each process becomes, where the programs are.
#[derive(Debug)]
pub struct Site {
    /// This program, by the path it was started from.
    pub executable: PathBuf,
    pub libexec: PathBuf,
    /// Empty when the master is no root: everybody is who the master is.
    identities: HashMap<&'static str, sys::Identity>,
    /// By channel, for `[[agent]]` with a user.
    agent_users: HashMap<String, sys::Identity>,
    pub owners: spool::Owners,
    /// Numeric ids of the suite's own users, who may give every command.
    pub own_users: Vec<Uid>,
    pub admin_group: Option<(Gid, Vec<String>)>,
    /// Volumes that cannot be used, and why.
    pub volume_faults: Vec<String>,
}

impl Site {
    pub fn say_volume_faults(&self) {
        for fault in &self.volume_faults {
            daemon::event!(Error, "volume_missing", reason = fault);
        }
    }

    /// Looks everything up and collects what is missing.
    pub fn survey(configuration: &Configuration, services: &[&'static Service], executable: &Path) -> Result<Self, Failure> {
        let mut faults = Vec::new();
        let settings = &configuration.settings;
        let libexec = libexec(settings, executable);
        for service in services {
            let program = libexec.join(service.name);
            if !is_program(&program) {
                let text = format!(
                    "program {} is missing or not executable; set [paths] libexec to the folder of the programs",
                    program.display()
                );
                faults.push(configuration.fault(&settings.paths.libexec.clone().unwrap_or_default().to_string_lossy(), text));
            }
        }
        let mut site = Self {
            executable: executable.to_owned(),
            libexec,
            identities: HashMap::new(),
            agent_users: HashMap::new(),
            owners: spool::Owners::default(),
            own_users: vec![nix::unistd::geteuid()],
            admin_group: None,
            volume_faults: Vec::new(),
        };
        site.look_up_groups(configuration, &mut faults);
        if nix::unistd::geteuid().is_root() {
            site.look_up_users(configuration, services, &mut faults);
        }
        site.agent_users = crate::foreign::agent_users(configuration);
        crate::foreign::check(configuration, &site.own_users, &mut faults);
        if let Some(router) = services.iter().find(|service| service.kind == Kind::Routers).filter(|_| faults.is_empty()) {
            faults.extend(crate::script::check(configuration, &site.libexec, site.identity(router, "")));
        }
        if faults.is_empty() { Ok(site) } else { Err(Failure::config(render(&configuration.path, &faults))) }
    }

    /// Who a service becomes; `None`: as the master. The bridge to an `[[agent]]` is that agent's user.
    pub fn identity(&self, service: &Service, channel: &str) -> Option<sys::Identity> {
        let own = self.agent_users.get(channel).filter(|_| service.name == "ta-line");
        own.or_else(|| self.identities.get(service.name)).cloned()
    }

    fn look_up_groups(&mut self, configuration: &Configuration, faults: &mut Vec<Fault>) {
        let users = &configuration.settings.users;
        if let Some(group) = find_group(configuration, users.submit_group.as_deref(), faults) {
            self.owners.submit_gid = Some(group.gid.as_raw());
        }
        if let Some(group) = find_group(configuration, users.admin_group.as_deref(), faults) {
            self.admin_group = Some((group.gid, group.mem));
        }
    }

    fn look_up_users(&mut self, configuration: &Configuration, services: &[&'static Service], faults: &mut Vec<Fault>) {
        let users = &configuration.settings.users;
        let Some(default) = find_user(configuration, &users.default, faults) else { return };
        let spool_gid = match &users.group {
            Some(_) => find_group(configuration, users.group.as_deref(), faults).map_or(default.gid, |g| g.gid),
            None => default.gid,
        };
        self.owners.uid = Some(default.uid.as_raw());
        self.owners.gid = Some(spool_gid.as_raw());
        let mut groups = vec![spool_gid];
        groups.extend(self.owners.submit_gid.map(Gid::from_raw));
        for service in services {
            let name = configuration.settings.user_of(service.name);
            // Stubs that become others between fork and exec: they stay root, and root is no user of the suite's own.
            if service.name == "ta-mailbox" && configuration.settings.delivers_as_recipient() || service.name == "ta-pipe" && name == "root"
            {
                continue;
            }
            let user = if name == users.default { Some(default.clone()) } else { find_user(configuration, name, faults) };
            if let Some(user) = user {
                self.own_users.push(user.uid);
                self.identities.insert(service.name, sys::Identity { uid: user.uid, gid: user.gid, groups: groups.clone() });
            }
        }
    }
}

pub fn find_user(configuration: &Configuration, name: &str, faults: &mut Vec<Fault>) -> Option<User> {
    let problem = match User::from_name(name) {
        Ok(Some(user)) => return Some(user),
        Ok(None) => format!("no such user {name:?}; make it (useradd --system {name}) or set [users]"),
        Err(e) => format!("cannot look up user {name:?}: {e}"),
    };
    faults.push(configuration.fault(name, problem));
    None
}

pub fn find_group(configuration: &Configuration, name: Option<&str>, faults: &mut Vec<Fault>) -> Option<Group> {
    let name = name?;
    let problem = match Group::from_name(name) {
        Ok(Some(group)) => return Some(group),
        Ok(None) => format!("no such group {name:?}; make it (groupadd --system {name}) or change [users]"),
        Err(e) => format!("cannot look up group {name:?}: {e}"),
    };
    faults.push(configuration.fault(name, problem));
    None
}

/// Beside the running executable, else `../libexec/zpost` from there, unless the configuration says.
fn libexec(settings: &Settings, executable: &Path) -> PathBuf {
    if let Some(folder) = &settings.paths.libexec {
        return folder.clone();
    }
    let beside = executable.parent().unwrap_or(Path::new("/")).to_owned();
    let installed = beside.join("../libexec/zpost");
    if !is_program(&beside.join("smtpserver")) && is_program(&installed.join("smtpserver")) { installed } else { beside }
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

/// The services that this master runs: all, or those of its role; the filter only where one is configured.
pub fn wanted(settings: &Settings, roles: Option<&[&'static Service]>) -> Vec<&'static Service> {
    crate::services::SERVICES
        .iter()
        .filter(|s| {
            roles.is_none_or(|roles| roles.iter().any(|r| r.name == s.name))
                || (s.kind == Kind::Agent && has(roles, "scheduler"))
                || signs_for(roles, s)
        })
        .filter(|s| s.name != "contentfilter" || !settings.filter.program.is_empty())
        .filter(|s| s.name != "keyholder" || !settings.certificates.is_empty() || settings.tls.certificate.is_some())
        .filter(|s| s.name != "authserver" || !settings.auth.backends.is_empty())
        .filter(|s| s.name != "delegate" || !settings.policy_services.is_empty())
        .filter(|s| s.name != "callahead" || settings.calls_ahead())
        .filter(|s| !s.name.starts_with("table-") || settings.has_tables_of(s.name))
        .filter(|s| s.name != "ta-pipe" || !settings.pipes.is_empty())
        .filter(|s| s.name != "ta-line" || settings.agents.iter().any(|agent| !agent.program.is_empty()))
        .collect()
}

/// Who speaks TLS has a keyholder of its own master.
fn signs_for(roles: Option<&[&'static Service]>, service: &Service) -> bool {
    service.name == "keyholder" && (has(roles, "smtpserver") || has(roles, "scheduler"))
}

fn has(roles: Option<&[&'static Service]>, name: &str) -> bool {
    roles.is_none_or(|roles| roles.iter().any(|r| r.name == name))
}

/// Makes the folders: the postoffice, `<run>`, `<run>/notify`, the log folder, those of the volumes. What is wrong with
/// volumes is for `zpost status`: a disk that is missing must not keep the mail of the others from flowing.
pub fn make_folders(configuration: &Configuration, site: &mut Site) -> Result<(), Failure> {
    let paths = &configuration.settings.paths;
    let mut faults = Vec::new();
    let mut check = |path: &Path, result: io::Result<()>| {
        if let Err(e) = result {
            let text = format!("cannot make or use folder {}: {e}; make it, or give its owner this user", path.display());
            faults.push(configuration.fault(&path.to_string_lossy(), text));
        }
    };
    check(&paths.postoffice, spool::Spool::create(&paths.postoffice, &site.owners).map(|_| ()));
    // Services with a folder of their own, which nobody else may look into.
    for name in ["tlspolicy", "ratetracker", "authserver", "callahead"] {
        let keeper = crate::services::named(name).and_then(|service| site.identity(service, "")).map(|identity| identity.uid.as_raw());
        let own = paths.postoffice.join(name);
        check(&own, folder(&own, 0o700, keeper));
    }
    check(&paths.run, folder(&paths.run, 0o755, None));
    check(&paths.run, folder(&paths.run.join("notify"), 0o755, None));
    if configuration.settings.log.to_file {
        // Below a postoffice that others may pass, of an ordinary user: whose mail went where is nobody else's business.
        let mode = if site.owners.uid.is_some() { 0o755 } else { 0o700 };
        check(&paths.log, folder(&paths.log, mode, site.owners.uid));
    }
    if !faults.is_empty() {
        return Err(Failure::config(render(&configuration.path, &faults)));
    }
    site.volume_faults.clear();
    for (name, path) in configuration.settings.volume_roots() {
        if let Err(e) = spool::Spool::create_volume(&paths.postoffice, name, path, &site.owners) {
            let what = format!("volume {name} ({}) is not in use: {e}", path.display());
            site.volume_faults.push(format!("{what}; its mail waits; mend it and run `zpost reload`"));
        }
    }
    Ok(())
}

fn folder(path: &Path, mode: u32, owner: Option<u32>) -> io::Result<()> {
    let existed = path.is_dir();
    fs::create_dir_all(path)?;
    if !existed {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        if let Some(uid) = owner {
            std::os::unix::fs::chown(path, Some(uid), None)?;
        }
    }
    nix::unistd::access(path, nix::unistd::AccessFlags::W_OK | nix::unistd::AccessFlags::X_OK)?;
    Ok(())
}
