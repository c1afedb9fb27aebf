//! The back-ends that are configured, and their threads.

use crate::file::{self, Watched};
use crate::ldap::Ldap;
use crate::pool::{Answers, Pool};
use crate::token::Introspector;
use crate::{pam, roots};
use ipc::auth::AuthPeer;
use passwords::{Logins, Passwords, Secret};
use sasl::server::Need;
use settings::{Auth, Backend};
use std::io;
use std::sync::{Arc, LazyLock};

/// Hashes at a time: they cost a core and 19 MiB each.
const MOST_HASHERS: usize = 4;

/// What unknown users' passwords are held against. Nobody's; its salt is no secret.
static DECOY: LazyLock<Option<Secret>> = LazyLock::new(|| passwords::make("", &[[0; 16]; 2]).and_then(|made| made.into_iter().next()));

struct Pooled<T> {
    pool: Pool,
    value: Arc<T>,
}

/// All that have threads; Dovecot has none.
pub struct Backends {
    file: Option<Pooled<Watched<Passwords>>>,
    pam: Option<Pooled<Pam>>,
    ldap: Option<Pooled<Ldap>>,
    token: Option<Pooled<Introspector>>,
    logins: Option<Watched<Logins>>,
}

struct Pam {
    service: String,
    timeout: std::time::Duration,
}

impl Backends {
    pub fn new(auth: &Auth, answers: &Answers) -> io::Result<Self> {
        let has = |backend| auth.backends.contains(&backend);
        let trusted = if has(Backend::Ldap) || has(Backend::Token) {
            roots::read(auth.roots.as_deref()).map_err(io::Error::other)?
        } else {
            Vec::new()
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_HASHERS);
        let file = || Ok(Watched::new(&auth.password_file, true, file::passwords));
        let pam = || Ok(Pam { service: auth.pam_service.clone(), timeout: auth.timeout });
        let ldap = || ldap(auth, &trusted);
        let token = || Introspector::new(&auth.token, &trusted, auth.timeout);
        Ok(Self {
            file: pooled(has(Backend::File), "file", cores, answers, file)?,
            pam: pooled(has(Backend::Pam), "pam", auth.threads, answers, pam)?,
            ldap: pooled(has(Backend::Ldap), "ldap", auth.threads, answers, ldap)?,
            token: pooled(has(Backend::Token), "token", auth.threads, answers, token)?,
            logins: auth.sender_logins.as_ref().map(|path| Watched::new(path, false, file::logins)),
        })
    }

    /// Asks one that has threads. `last`: nobody is asked after it. False: it has too much to do.
    pub fn ask(&self, backend: Backend, ticket: u64, need: &Need, peer: &AuthPeer, last: bool) -> bool {
        let host = peer.address.to_string();
        match (backend, need.clone()) {
            (Backend::File, Need::Password { user, password }) => {
                put(self.file.as_ref(), ticket, move |file| file::password(file, &user, &password, DECOY.as_ref().filter(|_| last)))
            }
            (Backend::File, Need::ScramSecret { user }) => put(self.file.as_ref(), ticket, move |file| file::keys(file, &user)),
            (Backend::Pam, Need::Password { user, password }) => {
                put(self.pam.as_ref(), ticket, move |pam| pam::ask(&pam.service, &user, &password, &host, pam.timeout))
            }
            (Backend::Ldap, Need::Password { user, password }) => put(self.ldap.as_ref(), ticket, move |ldap| ldap.ask(&user, &password)),
            (Backend::Token, Need::Token { user, token }) => {
                put(self.token.as_ref(), ticket, move |server| server.ask(user.as_deref(), &token))
            }
            _ => false,
        }
    }

    /// Senders that `sender_logins` gives to a user; `Err`: the file cannot be read. For a user who may give a few senders only
    /// none listed would mean all.
    pub fn senders(&self, user: &str) -> Result<Vec<String>, String> {
        let Some(logins) = &self.logins else { return Ok(Vec::new()) };
        logins.value().map(|logins| logins.of(user).to_vec()).map_err(|reason| format!("sender_logins: {reason}"))
    }
}

fn pooled<T>(
    wanted: bool,
    name: &str,
    threads: usize,
    answers: &Answers,
    make: impl FnOnce() -> Result<T, String>,
) -> io::Result<Option<Pooled<T>>> {
    if !wanted {
        return Ok(None);
    }
    let value = Arc::new(make().map_err(io::Error::other)?);
    Ok(Some(Pooled { pool: Pool::new(name, threads, answers)?, value }))
}

fn put<T: Send + Sync + 'static>(to: Option<&Pooled<T>>, ticket: u64, ask: impl FnOnce(&T) -> crate::Answer + Send + 'static) -> bool {
    let Some(Pooled { pool, value }) = to else { return false };
    let value = Arc::clone(value);
    pool.ask(ticket, move || ask(&value))
}

fn ldap(auth: &Auth, trusted: &[rustls_pki_types::CertificateDer<'static>]) -> Result<Ldap, String> {
    let (server, secure) = match auth.ldap.server.strip_prefix("ldaps://") {
        Some(server) => (server, true),
        None => (auth.ldap.server.trim_start_matches("ldap://"), false),
    };
    let server = server.trim_end_matches('/');
    let port = if secure { 636 } else { 389 };
    let tls = if secure { Some(Arc::new(roots::client(trusted)?)) } else { None };
    Ok(Ldap {
        server: tablelink::Place::parse(server, port).map_err(|why| format!("[auth] ldap_server: {why}"))?,
        tls,
        dn: auth.ldap.dn.clone(),
        timeout: auth.timeout,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_senders_that_cannot_be_read_is_not_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logins");
        let logins = Some(Watched::new(&path, false, file::logins));
        let backends = Backends { file: None, pam: None, ldap: None, token: None, logins };
        assert!(backends.senders("ann").is_err());
        std::fs::write(&path, "sales@example.org: eve, ann\n").unwrap();
        assert_eq!(backends.senders("ann"), Ok(vec!["sales@example.org".to_owned()]));
        assert_eq!(backends.senders("tim"), Ok(Vec::new()));
    }
}
