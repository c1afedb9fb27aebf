//! Becoming another user for good, and the proof of it.

use crate::Identity;
use nix::unistd::{Gid, Uid, getgroups, getresgid, getresuid, setegid, seteuid, setgroups, setresgid, setresuid};
use std::io;

/// Makes this process the user: groups first (only root may set them), then the group, then the user, all three ids of
/// each. The change also takes this process out of the user's reach for debuggers (the kernel clears "dumpable" when
/// ids change), which an identity taken before exec would not. Root is refused.
///
/// After an error the process is neither the one nor the other: it must end.
pub fn become_user(identity: &Identity) -> io::Result<()> {
    if identity.uid.is_root() {
        return Err(fault("nothing is delivered as root"));
    }
    setgroups(&identity.groups)?;
    setresgid(identity.gid, identity.gid, identity.gid)?;
    setresuid(identity.uid, identity.uid, identity.uid)?;
    prove(identity)
}

/// Asks the kernel whether this process is that user in every respect, and whether there is a way back.
fn prove(identity: &Identity) -> io::Result<()> {
    let (user, group) = (getresuid()?, getresgid()?);
    if [user.real, user.effective, user.saved] != [identity.uid; 3] {
        return Err(fault("the user ids are not the user's"));
    }
    if [group.real, group.effective, group.saved] != [identity.gid; 3] {
        return Err(fault("the group ids are not the user's"));
    }
    if sorted(getgroups()?) != sorted(identity.groups.clone()) {
        return Err(fault("the supplementary groups are not the user's"));
    }
    let (root, wheel) = (Uid::from_raw(0), Gid::from_raw(0));
    if setresuid(root, root, root).is_ok() || seteuid(root).is_ok() {
        return Err(fault("there is a way back to root"));
    }
    let in_wheel = identity.gid == wheel;
    if !in_wheel && (setresgid(wheel, wheel, wheel).is_ok() || setegid(wheel).is_ok()) {
        return Err(fault("there is a way back to root's group"));
    }
    if setgroups(&[wheel]).is_ok() {
        return Err(fault("supplementary groups can still be taken"));
    }
    Ok(())
}

fn sorted(mut groups: Vec<Gid>) -> Vec<u32> {
    let mut numbers: Vec<u32> = groups.drain(..).map(Gid::as_raw).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

fn fault(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn nobody(uid: u32) -> Identity {
        let gid = Gid::from_raw(65534);
        Identity { uid: Uid::from_raw(uid), gid, groups: vec![gid] }
    }

    #[test]
    fn root_is_nobody_to_become() {
        assert!(become_user(&nobody(0)).unwrap_err().to_string().contains("as root"));
    }

    /// Ids belong to a whole process, so the test runs itself anew.
    #[test]
    fn the_user_it_becomes_it_stays() {
        if !Uid::effective().is_root() {
            eprintln!("skipped: needs root");
            return;
        }
        if std::env::var_os("SYS_TEST_BECOME").is_some() {
            assert!(prove(&nobody(65534)).is_err(), "root is not the user");
            become_user(&nobody(65534)).unwrap();
            assert_eq!(std::fs::read_to_string("/etc/shadow").unwrap_err().kind(), io::ErrorKind::PermissionDenied);
            assert!(prove(&nobody(65533)).is_err(), "nor another one");
            // Nobody of that user may look into it: its folder in /proc stays root's.
            let own = std::fs::metadata("/proc/self/environ").unwrap();
            assert_eq!(std::os::unix::fs::MetadataExt::uid(&own), 0);
            return;
        }
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        let name = "identity::tests::the_user_it_becomes_it_stays";
        assert!(child.args(["--exact", name]).env("SYS_TEST_BECOME", "1").status().unwrap().success());
    }
}
