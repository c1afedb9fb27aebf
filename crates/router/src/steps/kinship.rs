//! Whose a domain is, for a server that cannot say so from its configuration alone: it asks before it refuses to relay.

use crate::rules::Rules;
use crate::tables::Tables;
use ipc::routing::Kinship;
use lookup::TableError;

/// What the tables of domains say of a normalised domain.
pub(crate) fn kinship(domain: &str, rules: &Rules, tables: &mut dyn Tables) -> Result<Kinship, TableError> {
    let steps = &rules.steps;
    if rules.is_local(domain) || steps.alias_domains.find(domain).or(steps.mailbox_domains.find(domain)).is_some() {
        return Ok(Kinship::Ours);
    }
    let virtuals = &steps.virtual_tables;
    let ours = [&steps.tables.local_domains, &virtuals.alias_domain_tables, &virtuals.mailbox_domain_tables];
    if listed(ours.into_iter().flatten(), domain, tables)? {
        return Ok(Kinship::Ours);
    }
    let relayed = steps.relay_domains.find(domain).is_some() || listed(&steps.tables.relay_domains, domain, tables)?;
    Ok(if relayed { Kinship::Relayed } else { Kinship::Foreign })
}

fn listed<'n>(names: impl IntoIterator<Item = &'n String>, domain: &str, tables: &mut dyn Tables) -> Result<bool, TableError> {
    let mut pending = false;
    for table in names {
        match tables.find(table, domain) {
            Ok(None) => {}
            Ok(Some(_)) => return Ok(true),
            Err(TableError::Pending) => pending = true,
            Err(error) => return Err(error.of_table(table)),
        }
    }
    if pending { Err(TableError::Pending) } else { Ok(false) }
}
