//! Landlock: no filesystem, no listening.

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, NetPort, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
};

/// Gives up all files and folders that are not open, and binding TCP sockets to ports but those the kernel chooses (source
/// addresses need that). Connecting to Unix sockets by path stays possible: LMTP servers have them.
pub fn give_up() -> Result<(), String> {
    // What the fifth version knows covers opening, making, removing, executing, truncating and device controls.
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V5))
        .and_then(|ruleset| ruleset.handle_access(AccessNet::BindTcp))
        .and_then(|ruleset| ruleset.create())
        .and_then(|created| created.add_rule(NetPort::new(0, AccessNet::BindTcp)))
        .and_then(|created| created.restrict_self())
        .map_err(|e| e.to_string())?;
    match ruleset.ruleset {
        RulesetStatus::NotEnforced => Err("the kernel does not have it".to_owned()),
        _ => Ok(()),
    }
}
