//! Landlock: which folders are left, no listening, no signals to others.

use crate::{Folder, Needs, Network};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope,
};

/// Gives up all files and folders that are not open, but for the folders named; all TCP sockets, or binding them to ports but
/// those the kernel chooses (source addresses need that). Connecting to Unix sockets by path stays possible where sockets
/// can be made at all: LMTP servers have them.
pub fn give_up(needs: &Needs<'_>) -> Result<(), String> {
    let ruleset = restrict(needs).map_err(|e| e.to_string())?;
    match ruleset.ruleset {
        RulesetStatus::NotEnforced => Err("the kernel does not have it".to_owned()),
        _ => Ok(()),
    }
}

fn restrict(needs: &Needs<'_>) -> Result<landlock::RestrictionStatus, Box<dyn std::error::Error>> {
    let net = if needs.network == Network::Out { AccessNet::BindTcp.into() } else { AccessNet::from_all(ABI::V5) };
    // What the fifth version knows covers opening, making, removing, executing, truncating and device controls.
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V5))?
        .handle_access(net)?
        .scope(Scope::from_all(ABI::V6))?;
    let mut created = ruleset.create()?;
    if needs.network == Network::Out {
        created = created.add_rule(NetPort::new(0, AccessNet::BindTcp))?;
    }
    for (path, folder) in needs.folders {
        let mut rights = rights(*folder);
        if !path.is_dir() {
            // What is a right in a folder only, no file can have.
            rights &= AccessFs::from_file(ABI::V5);
        }
        created = created.add_rule(PathBeneath::new(PathFd::new(path)?, rights))?;
    }
    Ok(created.restrict_self()?)
}

/// A file that is moved keeps no right that it had not before: those of [`Folder::Make`] include all others'.
fn rights(folder: Folder) -> BitFlags<AccessFs> {
    let place = AccessFs::MakeReg | AccessFs::Refer;
    let write = place | AccessFs::WriteFile | AccessFs::Truncate;
    match folder {
        Folder::Read => AccessFs::ReadFile | AccessFs::ReadDir,
        Folder::Make => write | AccessFs::RemoveFile,
        Folder::Place => place,
        Folder::PlaceAndWrite => write,
    }
}
