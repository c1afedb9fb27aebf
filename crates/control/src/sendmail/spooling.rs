//! The direct way: a file into the spool, as any program of the submitting group may drop one.

use super::{Origin, Prepared, origin};
use crate::site::Site;
use crate::trouble::{EX_TEMPFAIL, Trouble};
use spool::{Notifier, Spool, Submitter};
use std::io::ErrorKind;
use std::sync::Arc;

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// Durable in `router/`: the suite's from now on, running or not.
    Accepted,
    /// We may not write there.
    NotAllowed,
}

/// Drops the message. The datagram afterwards is a hint; the suite may be stopped.
pub fn drop_file(site: &Site, origin: &Origin, prepared: &Prepared) -> Result<Dropped, Trouble> {
    let paths = &site.settings.paths;
    let Ok(spool) = Spool::open(&paths.postoffice) else { return Ok(Dropped::NotAllowed) };
    let mut submitter = Submitter::new(Arc::new(spool));
    let id = submitter.next_id();
    let mut content = prepared.content.clone();
    content.prepend(&origin::received(origin, &site.settings.identity.hostname, id.as_str()));
    match submitter.submit(id, &prepared.envelope, &content.into_bytes()) {
        Ok(()) => {
            if let Ok(mut notifier) = Notifier::new(&paths.run, "router") {
                notifier.notice(id.as_str());
            }
            Ok(Dropped::Accepted)
        }
        Err(e) if matches!(e.kind(), ErrorKind::PermissionDenied | ErrorKind::NotFound) => Ok(Dropped::NotAllowed),
        Err(e) => {
            Err(Trouble::new(EX_TEMPFAIL, format!("cannot write the message into the spool: {e}; nothing was sent, try again later")))
        }
    }
}
