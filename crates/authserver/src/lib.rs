//! zpost authserver: the judge of logins.

use std::process::ExitCode;
use subdaemon::{Asker, Desk, Service};

struct Server;

impl Service for Server {
    type In = ipc::auth::ToAuth;
    type Out = ipc::auth::FromAuth;

    fn heed(&mut self, asker: Asker, frame: Self::In, desk: &mut Desk<Self::Out>) {
        use ipc::auth::{FromAuth, Refused, Said, ToAuth};
        let number = match frame {
            ToAuth::Begin { number, .. } | ToAuth::Respond { number, .. } => number,
            ToAuth::Cancel { .. } => return,
        };
        let said = Said::Refused { user: None, reason: Refused::Mechanism, delay: std::time::Duration::ZERO };
        desk.answer(asker, FromAuth { number, said });
    }
}

/// The whole program.
pub fn run() -> ExitCode {
    subdaemon::run("authserver", |_| Ok(Server))
}
