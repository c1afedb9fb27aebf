//! A configuration that is tried beside the one at work.

use super::Service;
use crate::file::FileRouter;
use crate::shadow::Shadow;
use daemon::event;
use ipc::master::Start;
use std::os::fd::OwnedFd;
use std::time::Instant;

impl Service {
    /// Tries it from now on; `None`: no longer.
    pub(super) fn try_beside(&mut self, begun: Option<(Start, Vec<OwnedFd>)>) {
        if let Some(shadow) = self.shadow.take() {
            shadow.report();
        }
        self.shadow = begun.and_then(|(start, descriptors)| match daemon::settings_of(&start, descriptors) {
            Ok(settings) => Some(Shadow::new(&settings, self.router.callers(), self.started.counters.clone())),
            Err(reason) => {
                event!(Error, "shadow_failed", reason = reason);
                None
            }
        });
        self.router.observer = self.shadow.as_ref().map(Shadow::observer);
        if let Some(lines) = &self.lines {
            lines.observe(self.router.observer.as_ref());
        }
    }

    /// Nothing else is to do: it may have a moment.
    pub(super) fn shadow(&mut self) -> Option<Instant> {
        let FileRouter { rules, tables, .. } = &mut self.router;
        self.shadow.as_mut().and_then(|shadow| shadow.turn(rules, tables))
    }
}
