//! How mail leaves: which login and which pool of source addresses a destination has, and the next address of a pool.

use sasl::Login;
use settings::{Credentials, Place, Policies, Settings, Source};
use smtp::client::LogIn;
use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// How long an address that cannot be bound is left alone.
const SUSPENDED: Duration = Duration::from_secs(300);
/// Destinations whose way is remembered.
const MOST_WAYS: usize = 10_000;
/// Bytes of all secrets.
const MOST_SECRETS: u64 = 1 << 20;

/// How mail for a destination leaves. Sessions are shared only within one way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Way {
    credentials: Option<u16>,
    pool: Option<u16>,
}

impl Way {
    pub const fn logs_in(self) -> bool {
        self.credentials.is_some()
    }
}

/// A source address and its turn.
#[derive(Debug)]
pub struct Exit {
    pub source: Source,
    /// For the proxy's user.
    pub password: Option<String>,
    /// Smooth weighted round robin: the one with the most credit is next.
    credit: i64,
    suspended: Option<Instant>,
}

/// Everything that decides about ways.
#[derive(Debug, Default)]
pub struct Egress {
    policies: Policies,
    credentials: Vec<(Credentials, Option<String>)>,
    pools: Vec<(String, Vec<Exit>)>,
    ways: HashMap<String, Way>,
}

impl Egress {
    /// `secrets`: what the master has read (see [`read_secrets`]).
    pub fn new(settings: &Settings, secrets: &HashMap<String, String>) -> Self {
        let secret = |path: &std::path::Path| secrets.get(&path.display().to_string()).cloned();
        let mut pools: Vec<(String, Vec<Exit>)> = Vec::new();
        for source in &settings.sources {
            let password = source.proxy_password_file.as_deref().and_then(secret);
            let exit = Exit { source: source.clone(), password, credit: 0, suspended: None };
            match pools.iter_mut().find(|(name, _)| *name == source.pool) {
                Some((_, exits)) => exits.push(exit),
                None => pools.push((source.pool.clone(), vec![exit])),
            }
        }
        let credentials = settings.credentials.iter().map(|c| (c.clone(), secret(&c.password_file))).collect();
        Self { policies: settings.policies.clone(), credentials, pools, ways: HashMap::new() }
    }

    /// How mail for a destination leaves. Costs nothing where nothing is configured.
    pub fn way(&mut self, channel: &str, host: &str) -> Way {
        if self.credentials.is_empty() && self.pools.is_empty() {
            return Way::default();
        }
        let key = format!("{channel}/{host}");
        if let Some(way) = self.ways.get(&key) {
            return *way;
        }
        let policy = self.policies.of(&Place { channel, host, exchangers: &[] });
        let number = |at: Option<usize>| at.and_then(|at| u16::try_from(at).ok());
        let way = Way {
            credentials: number(self.credentials.iter().position(|(c, _)| c.name == policy.credentials)),
            pool: number(self.pools.iter().position(|(name, _)| *name == policy.source)),
        };
        if self.ways.len() >= MOST_WAYS {
            self.ways.clear();
        }
        self.ways.insert(key, way);
        way
    }

    /// The login of a way; the error is for the report.
    pub fn login(&self, way: Way) -> Result<Option<LogIn>, String> {
        let Some((credentials, password)) = way.credentials.and_then(|at| self.credentials.get(usize::from(at))) else { return Ok(None) };
        let password = password.clone().ok_or_else(|| format!("the password of credentials {} is not known", credentials.name))?;
        let login = Login { user: credentials.user.clone(), password };
        Ok(Some(LogIn { login, without_tls: credentials.without_tls, nonce: nonce() }))
    }

    /// The name of a way's credentials.
    pub fn login_name(&self, way: Way) -> &str {
        way.credentials.and_then(|at| self.credentials.get(usize::from(at))).map_or("", |(credentials, _)| credentials.name.as_str())
    }

    /// The next source address for a destination address; `None`: the way has no pool. The error is for the report.
    pub fn exit(&mut self, way: Way, to: IpAddr, now: Instant) -> Result<Option<&mut Exit>, String> {
        let Some((name, exits)) = way.pool.and_then(|at| self.pools.get_mut(usize::from(at))) else { return Ok(None) };
        let usable = |exit: &&mut Exit| {
            exit.source.weight > 0 && exit.source.address.is_ipv4() == to.is_ipv4() && exit.suspended.is_none_or(|until| until <= now)
        };
        let total: i64 = exits.iter_mut().filter(usable).map(|exit| i64::from(exit.source.weight)).sum();
        let mut best: Option<&mut Exit> = None;
        for exit in exits.iter_mut().filter(usable) {
            exit.credit += i64::from(exit.source.weight);
            if best.as_ref().is_none_or(|best| best.credit < exit.credit) {
                best = Some(exit);
            }
        }
        match best {
            Some(exit) => {
                exit.credit -= total;
                Ok(Some(exit))
            }
            None => {
                let family = if to.is_ipv4() { "IPv4" } else { "IPv6" };
                Err(format!("no {family} address of source pool {name} can be used now"))
            }
        }
    }
}

impl Exit {
    /// It cannot be used: left alone for a while, with one line in the log.
    pub fn suspend(&mut self, error: &io::Error, now: Instant) {
        daemon::event!(
            Warning,
            "source_suspended",
            pool = self.source.pool,
            address = self.source.address,
            seconds = SUSPENDED.as_secs(),
            reason = error
        );
        self.suspended = Some(now + SUSPENDED);
    }
}

/// Never the same twice, and nobody's guess: the keys of a hash come from the kernel's randomness.
fn nonce() -> String {
    (0..3).map(|_| format!("{:016x}", std::collections::hash_map::RandomState::new().build_hasher().finish())).collect()
}

/// Passwords by the path of their file: pairs of texts with NUL behind each, as the master writes them.
pub fn read_secrets(memory: Option<OwnedFd>) -> HashMap<String, String> {
    use std::os::unix::fs::FileExt;
    let Some(memory) = memory else { return HashMap::new() };
    let file = File::from(memory);
    let length = file.metadata().map_or(0, |m| m.len()).min(MOST_SECRETS);
    let mut text = vec![0; usize::try_from(length).unwrap_or(0)];
    if file.read_exact_at(&mut text, 0).is_err() {
        return HashMap::new();
    }
    let mut words = text.split(|b| *b == 0).map(|word| String::from_utf8_lossy(word).into_owned());
    std::iter::from_fn(|| Some((words.next().filter(|path| !path.is_empty())?, words.next()?))).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn egress() -> Egress {
        let text = "paths.postoffice = \"/p\"\nidentity.hostname = \"h.example\"\n\
            [[credentials]]\nname = \"c\"\nuser = \"u\"\npassword_file = \"/c\"\n\
            [[credentials]]\nname = \"lost\"\nuser = \"u\"\npassword_file = \"/lost\"\n\
            [[source]]\npool = \"a\"\naddress = \"192.0.2.1\"\nweight = 3\n\
            [[source]]\npool = \"a\"\naddress = \"192.0.2.2\"\n\
            [[source]]\npool = \"a\"\naddress = \"2001:db8::1\"\n\
            [[source]]\npool = \"a\"\naddress = \"192.0.2.9\"\nweight = 0\n\
            [[destination]]\nhost = [\"smart\"]\ncredentials = \"c\"\nsource = \"a\"\n\
            [[destination]]\nhost = [\"other\"]\ncredentials = \"lost\"\n";
        let settings = settings::parse(text, "f").unwrap();
        Egress::new(&settings, &HashMap::from([("/c".to_owned(), "secret".to_owned())]))
    }

    #[test]
    fn destinations_have_their_ways() {
        let mut egress = egress();
        let (smart, other, plain) = (egress.way("smtp", "smart"), egress.way("smtp", "other"), egress.way("smtp", "x"));
        assert_eq!(plain, Way::default());
        assert!(smart != other && smart == egress.way("smtp", "smart"));
        let login = egress.login(smart).unwrap().unwrap();
        assert_eq!((login.login.password.as_str(), egress.login_name(smart)), ("secret", "c"));
        assert_ne!(login.nonce, egress.login(smart).unwrap().unwrap().nonce);
        assert!(egress.login(other).unwrap_err().contains("lost"));
        assert!(egress.login(plain).unwrap().is_none());
    }

    #[test]
    fn addresses_take_turns_by_weight_and_family() {
        let mut egress = egress();
        let (way, now) = (egress.way("smtp", "smart"), Instant::now());
        let (four, six): (IpAddr, IpAddr) = ("198.51.100.1".parse().unwrap(), "2001:db8::9".parse().unwrap());
        let mut turns = |to, n: usize| -> Vec<String> {
            (0..n).map(|_| egress.exit(way, to, now).unwrap().unwrap().source.address.to_string()).collect()
        };
        let chosen = turns(four, 8);
        assert_eq!(chosen.iter().filter(|a| *a == "192.0.2.1").count(), 6);
        assert_eq!(chosen.iter().filter(|a| *a == "192.0.2.2").count(), 2);
        assert_eq!(turns(six, 2), ["2001:db8::1", "2001:db8::1"]);
        for _ in 0..2 {
            egress.exit(way, four, now).unwrap().unwrap().suspend(&io::Error::other("gone"), now);
        }
        assert!(egress.exit(way, four, now).unwrap_err().contains("no IPv4 address of source pool a"));
        assert!(egress.exit(way, four, now + SUSPENDED).is_ok());
        assert!(egress.exit(Way::default(), four, now).unwrap().is_none());
    }
}
