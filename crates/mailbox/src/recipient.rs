//! A job's recipient: the user, the domain and the attributes the router gave.

use crate::verdict::Verdict;
use ipc::deliveries::TaskKind;

/// Longest user name and domain that become part of a path.
const MAX_NAME: usize = 255;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    pub user: String,
    pub domain: String,
    pub home: Option<String>,
    pub uid: Option<u32>,
    /// Of `user+detail`: hostile.
    pub detail: Option<String>,
    /// Whose rights it takes, where the user is no account of that name; empty: those of `[local] user`.
    pub account: Option<String>,
    pub task: Option<Wanted>,
}

/// A program or file instead of a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub kind: TaskKind,
    pub text: String,
    pub keeper: TaskKeeper,
}

/// Who wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskKeeper {
    Administrator,
    /// By uid, in that file.
    User(u32, String),
}

impl Recipient {
    /// Reads `name@domain` (or a bare name) and `uid=1000,home=/home/joe,detail=lists`.
    pub fn parse(address: &str, attributes: &str) -> Result<Self, Verdict> {
        let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
        let user = address::unquoted(local).into_owned();
        let mut recipient = Self { user, domain: domain.to_owned(), home: None, uid: None, detail: None, account: None, task: None };
        if !is_safe(&recipient.user) || !(domain.is_empty() || is_safe(domain)) {
            return Err(Verdict::failed(1, 3, "the address cannot name a mailbox"));
        }
        let (mut task, mut keeper, mut source) = (None, None, None);
        for (key, value) in attributes.split(',').filter_map(|attribute| attribute.split_once('=')) {
            match key {
                "home" => recipient.home = Some(decoded(value)),
                "detail" => recipient.detail = Some(decoded(value)).filter(|detail| !detail.is_empty()),
                "uid" => recipient.uid = Some(value.parse().map_err(|_| Verdict::deferred(3, 5, "the user's id is no number"))?),
                "account" => recipient.account = Some(decoded(value)),
                "program" => task = Some((TaskKind::Program, decoded(value))),
                "file" => task = Some((TaskKind::File, decoded(value))),
                "as" => keeper = Some(value),
                "source" => source = Some(decoded(value)),
                _ => {}
            }
        }
        if let Some((kind, text)) = task {
            recipient.task = Some(Wanted { kind, text, keeper: keeper_of(keeper, source)? });
        }
        Ok(recipient)
    }
}

fn keeper_of(keeper: Option<&str>, source: Option<String>) -> Result<TaskKeeper, Verdict> {
    match (keeper, source) {
        (Some("administrator"), _) => Ok(TaskKeeper::Administrator),
        (Some(uid), Some(source)) => {
            let uid = uid.parse().map_err(|_| Verdict::deferred(3, 5, "the user's id is no number"))?;
            Ok(TaskKeeper::User(uid, source))
        }
        _ => Err(Verdict::deferred(3, 5, "a program or file that nobody has the right to name")),
    }
}

/// A name that stays one component of a path and does not hide or climb.
fn is_safe(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME && !name.starts_with('.') && !name.contains('/') && !name.chars().any(char::is_control)
}

/// Undoes `%XX`; what is no such escape stays.
fn decoded(value: &str) -> String {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = (*first == b'%').then(|| after.get(..2).and_then(hexadecimal)).flatten();
        out.push(code.unwrap_or(*first));
        rest = if code.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn hexadecimal(digits: &[u8]) -> Option<u8> {
    let digits = digits.iter().all(u8::is_ascii_hexdigit).then_some(digits)?;
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_and_attributes() {
        let got = Recipient::parse("\"a b\"@x.example", "uid=1000,home=/home/a%20b%2Cc,detail=..%2Fx").unwrap();
        assert_eq!(got.detail.as_deref(), Some("../x"));
        assert_eq!((got.user.as_str(), got.domain.as_str(), got.uid), ("a b", "x.example", Some(1000)));
        assert_eq!(got.home.as_deref(), Some("/home/a b,c"));
        assert_eq!(Recipient::parse("joe", "-").unwrap().domain, "");
        for address in ["", "@x", "../x@y", ".x@y", "a/b@y", "\"..\"@y", "\"a/b\"@y", "a@../x", "a@.x", "a\0b@x", "a\n@x"] {
            assert_eq!(Recipient::parse(address, "-").unwrap_err().status.to_string(), "5.1.3", "{address:?}");
        }
        assert!(Recipient::parse("a@b", "uid=-1").is_err());
    }

    #[test]
    fn programs_and_files() {
        let task = |attributes: &str| Recipient::parse("a@b", attributes).map(|recipient| recipient.task.unwrap());
        let wanted = task("program=/bin/x%20a%2Cb,as=1000,source=/etc/l").unwrap();
        assert_eq!((wanted.kind, wanted.text.as_str()), (TaskKind::Program, "/bin/x a,b"));
        assert_eq!(wanted.keeper, TaskKeeper::User(1000, "/etc/l".into()));
        assert_eq!(task("file=/x,as=administrator").unwrap().keeper, TaskKeeper::Administrator);
        for attributes in ["program=/bin/x", "program=/bin/x,as=1000", "program=/bin/x,as=-1,source=/x", "file=/x,as="] {
            assert_eq!(task(attributes).unwrap_err().status.to_string(), "4.3.5", "{attributes}");
        }
    }

    proptest! {
        #[test]
        fn any_text(address in "\\PC{0,20}|[\"\\\\./@a]{0,12}", attributes in "\\PC{0,20}|(uid|home)=[%0-9a-f/]{0,9}") {
            if let Ok(recipient) = Recipient::parse(&address, &attributes) {
                prop_assert!(!recipient.user.contains('/') && !recipient.user.starts_with('.'));
            }
        }
    }
}
