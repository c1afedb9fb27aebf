//! The two files of the resolver. The master opens them, at the start and for each reload: in its sandbox the resolver can
//! open none.

use daemon::Contacts;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

/// More bytes than either has.
const MOST: u64 = 1 << 20;
pub const SYSTEM: &str = "/etc/resolv.conf";

/// Open, each to be read once.
#[derive(Debug, Default)]
pub struct Files {
    resolv_conf: Option<OwnedFd>,
    trust_anchor: Option<OwnedFd>,
}

impl Files {
    pub fn take(contacts: &mut Contacts) -> Self {
        Self { resolv_conf: contacts.take("resolv.conf"), trust_anchor: contacts.take("trust_anchor") }
    }

    /// The system's resolv.conf.
    pub fn resolv_conf(&mut self) -> io::Result<String> {
        read(self.resolv_conf.take(), Path::new(SYSTEM))
    }

    pub fn trust_anchor(&mut self, path: &Path) -> io::Result<String> {
        read(self.trust_anchor.take(), path)
    }
}

/// Where the master could not open it, trying here says why.
fn read(file: Option<OwnedFd>, path: &Path) -> io::Result<String> {
    let file = file.map_or_else(|| File::open(path), |file| Ok(File::from(file)))?;
    let mut text = String::new();
    file.take(MOST).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::upstream::Upstream;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    fn holding(text: &str) -> OwnedFd {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(text.as_bytes()).unwrap();
        theirs.into()
    }

    fn settings(more: &str) -> settings::Dns {
        let text = format!("[paths]\npostoffice = \"/p\"\n[identity]\nhostname = \"us.example\"\n[dns]\n{more}");
        settings::parse(&text, "t").unwrap().dns
    }

    #[test]
    fn what_the_master_opened_is_read() {
        let files = |name: &str, text: &str| Files::take(&mut Contacts::of(vec![(name.to_owned(), holding(text))]));
        let of_system = settings("");
        assert!(Upstream::new(&of_system, files("resolv.conf", "nameserver 192.0.2.1\noptions edns0\n")).is_ok());
        let fault = Upstream::new(&of_system, files("resolv.conf", "search example\n")).unwrap_err();
        assert!(fault.contains("/etc/resolv.conf"), "{fault}");
        let anchored = settings("servers = [\"192.0.2.1\"]\ntrust_anchor = \"/nowhere/anchor\"\n");
        let key =
            "example. 3600 IN DNSKEY 257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==\n";
        assert!(Upstream::new(&anchored, files("trust_anchor", key)).is_ok());
        let fault = Upstream::new(&anchored, Files::default()).unwrap_err();
        assert!(fault.contains("/nowhere/anchor"), "{fault}");
    }
}
