//! The seam between decisions and data: what a decision may ask, and the tables of this machine that answer.

use crate::alias_places::AliasPlaces;
use crate::callers::TableCallers;
use crate::local_user::{LocalUser, is_safe, of_account, of_any, of_declared, of_table};
use crate::parking::Pass;
use crate::scripted::{Facts, Lent, ScriptFile};
use crate::warned::Warned;
use lookup::{Account, Accounts, AliasEntry, Found, List, ListEntry, ListFolder, Lists, Relations, TableError, UserTable};
use script::Hook;
use settings::{Settings, UserSource};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Everything a decision asks of the world. `Ok(None)` is "not there"; an error never means that.
pub trait Tables {
    /// `key` as [`lookup::key`] makes it.
    fn alias(&mut self, key: &str) -> Result<Option<AliasEntry>, TableError>;
    /// The entries of an `:include:` file.
    fn list(&mut self, path: &str) -> Result<List, TableError>;
    /// Whether there is such a file, at no price that grows with it.
    fn has_list(&mut self, path: &str) -> Result<(), TableError> {
        self.list(path).map(|_| ())
    }
    /// The list of that name in `[lists] folder`.
    fn list_entry(&mut self, name: &str) -> Result<Option<ListEntry>, TableError> {
        let _ = name;
        Ok(None)
    }
    /// A system account, whoever the users are.
    fn account(&mut self, name: &str) -> Result<Option<Account>, TableError> {
        let _ = name;
        Ok(None)
    }
    /// The name of a user who owns a file and gets mail; `None`: of the system's own users.
    fn file_owner(&mut self, uid: u32) -> Result<Option<String>, TableError> {
        let _ = uid;
        Ok(None)
    }
    /// `name` in lower case, without detail.
    fn user(&mut self, name: &str) -> Result<Option<LocalUser>, TableError>;
    /// What users are looked up in, for explanations.
    fn users(&self) -> String;
    /// What a declared table says.
    fn find(&mut self, table: &str, key: &str) -> Result<Option<Found>, TableError>;
    /// The wall clock.
    fn unix_seconds(&self) -> u64 {
        daemon::clock::unix_seconds()
    }
    /// Whether a script is asked about this, or cannot be had though one is configured. `false` costs nothing.
    fn scripted(&mut self, hook: Hook) -> bool {
        let _ = hook;
        false
    }
    /// The script, where it defines this hook; it is given back when it was asked. `Err`: why it cannot be had.
    fn lend_script(&mut self, hook: Hook) -> Result<Option<Lent>, String> {
        let _ = hook;
        Ok(None)
    }
    fn give_back(&mut self, lent: Lent) {
        let _ = lent;
    }
    /// Whether what a decision would log is to be left out.
    fn quiet(&self) -> bool {
        false
    }
    /// How old the message in hand is.
    fn age(&self) -> Duration {
        Duration::ZERO
    }
}

/// The tables that the configuration names.
#[derive(Debug)]
pub struct SystemTables {
    aliases: AliasPlaces,
    lists: Lists,
    folder: Option<ListFolder>,
    warned: Warned,
    users: Users,
    accounts: Accounts,
    pub(crate) relations: Relations,
    /// Taken once for each piece of work: a table is looked at again when it is a second old.
    now: Instant,
    /// When the decision in hand was first made.
    began: Instant,
    /// It is made for the last time: who has not answered is in trouble.
    last: bool,
    /// Of the message in hand.
    pub(crate) age: Duration,
    pub(crate) script: Option<ScriptFile>,
    /// What is decided now is only compared: it is no event.
    pub(crate) quiet: bool,
}

/// Declared tables, as the pass of a decision sees them.
#[derive(Debug)]
pub(crate) struct Declared<'r> {
    relations: &'r mut Relations,
    began: Instant,
    last: bool,
}

impl Declared<'_> {
    pub fn find(&mut self, table: &str, key: &str) -> Result<Option<Found>, TableError> {
        match self.relations.find(self.began, table, key) {
            Err(TableError::Pending) if self.last => Err(TableError::Temporary("it has not answered in time".to_owned()).of_table(table)),
            other => other,
        }
    }
}

#[derive(Debug)]
enum Users {
    Passwd,
    Any,
    Table(Box<UserTable>),
    Declared(String),
}

impl SystemTables {
    pub fn new(settings: &Arc<Settings>, callers: &TableCallers) -> Self {
        let users = match &settings.local.users {
            UserSource::Passwd => Users::Passwd,
            UserSource::Any => Users::Any,
            UserSource::Table(path) => Users::Table(Box::new(UserTable::new(path))),
            UserSource::Declared(name) => Users::Declared(name.clone()),
        };
        let now = Instant::now();
        Self {
            aliases: AliasPlaces::new(settings),
            lists: Lists::default(),
            folder: settings.lists.folder.as_deref().map(ListFolder::new),
            warned: Warned::default(),
            users,
            accounts: Accounts::default(),
            relations: Relations::new(settings, callers.wanted(settings)),
            now,
            began: now,
            last: false,
            age: Duration::ZERO,
            script: ScriptFile::new(&settings.routing),
            quiet: false,
        }
    }

    /// Another configuration. Conversations with other processes stay, and what is remembered of tables that are declared as
    /// before.
    pub fn reload(&mut self, settings: &Arc<Settings>, callers: &TableCallers) {
        let mut new = Self::new(settings, callers);
        std::mem::swap(&mut new.relations, &mut self.relations);
        new.relations.reload(settings, callers.wanted(settings));
        *self = new;
    }

    /// The moment that the next look-ups happen at.
    pub fn at(&mut self, now: Instant) -> &mut Self {
        (self.now, self.began, self.last) = (now, now, false);
        self
    }

    /// The next look-ups are for this pass of a decision.
    pub(crate) fn in_pass(&mut self, pass: Pass) -> &mut Self {
        self.at(pass.began);
        self.last = pass.last;
        if !pass.first {
            self.now = Instant::now();
        }
        if let Some(script) = &mut self.script {
            script.facts = Facts::default();
        }
        self
    }

    /// The account of a file's owner.
    pub fn owner(&mut self, uid: u32) -> Result<Option<Account>, TableError> {
        self.accounts.by_uid(self.now, uid)
    }

    /// The declared tables, for the decision in hand.
    fn declared(&mut self) -> Declared<'_> {
        Declared { relations: &mut self.relations, began: self.began, last: self.last }
    }

    /// What is wrong in the alias files, for the log.
    pub fn faults(&mut self) -> Vec<String> {
        self.aliases.faults(self.now)
    }
}

impl Tables for SystemTables {
    fn alias(&mut self, key: &str) -> Result<Option<AliasEntry>, TableError> {
        let mut declared = Declared { relations: &mut self.relations, began: self.began, last: self.last };
        let found = self.aliases.find(key, self.now, &mut declared);
        for fault in self.aliases.news().filter(|_| !self.quiet) {
            daemon::event!(Warning, "alias_fault", reason = fault);
        }
        let found = found?;
        if let Some(entry) = found.as_ref().filter(|entry| entry.line > 0) {
            self.warned.look(&entry.file, entry.keeper);
        }
        Ok(found)
    }

    fn list(&mut self, path: &str) -> Result<List, TableError> {
        let list = self.lists.read(self.now, path)?;
        self.warned.look(path, list.keeper);
        Ok(list)
    }

    fn has_list(&mut self, path: &str) -> Result<(), TableError> {
        self.lists.exists(path)
    }

    fn list_entry(&mut self, name: &str) -> Result<Option<ListEntry>, TableError> {
        let Some(folder) = &mut self.folder else { return Ok(None) };
        let found = folder.find(self.now, name)?;
        if let Some(entry) = &found {
            self.warned.look(&format!("{}.toml", entry.path), entry.keeper);
        }
        Ok(found)
    }

    fn account(&mut self, name: &str) -> Result<Option<Account>, TableError> {
        self.accounts.by_name(self.now, name)
    }

    fn file_owner(&mut self, uid: u32) -> Result<Option<String>, TableError> {
        if uid == 0 || uid == nix::unistd::geteuid().as_raw() {
            return Ok(None);
        }
        Ok(self.owner(uid)?.map(|account| account.name))
    }

    fn user(&mut self, name: &str) -> Result<Option<LocalUser>, TableError> {
        match &mut self.users {
            Users::Passwd => Ok(self.accounts.by_name(self.now, name)?.map(of_account)),
            Users::Any => Ok(is_safe(name).then(|| of_any(name))),
            Users::Table(table) => {
                let place = table.path().display().to_string();
                Ok(table.find(self.now, name)?.map(|user| of_table(user, &place)))
            }
            Users::Declared(table) => {
                let mut declared = Declared { relations: &mut self.relations, began: self.began, last: self.last };
                let found = declared.find(table, name)?;
                found.map(|found| of_declared(name, &found)).transpose()
            }
        }
    }

    fn users(&self) -> String {
        match &self.users {
            Users::Passwd => "the system's accounts".to_owned(),
            Users::Any => "[local] users = any (a name that is no safe file name)".to_owned(),
            Users::Table(table) => table.path().display().to_string(),
            Users::Declared(table) => format!("table {table}"),
        }
    }

    fn find(&mut self, table: &str, key: &str) -> Result<Option<Found>, TableError> {
        self.declared().find(table, key)
    }

    fn age(&self) -> Duration {
        self.age
    }

    fn scripted(&mut self, hook: Hook) -> bool {
        let now = self.now;
        self.script.as_mut().is_some_and(|script| script.defines(now, hook))
    }

    fn lend_script(&mut self, hook: Hook) -> Result<Option<Lent>, String> {
        let now = self.now;
        self.script.as_mut().map_or(Ok(None), |script| script.lend(now, hook))
    }

    fn quiet(&self) -> bool {
        self.quiet
    }

    fn give_back(&mut self, lent: Lent) {
        if let Some(script) = &mut self.script {
            script.give_back(lent);
        }
    }
}
