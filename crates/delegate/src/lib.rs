//! zpost delegate: the client of policy services.

use std::process::ExitCode;
use subdaemon::{Asker, Desk, Service};

struct Server;

impl Service for Server {
    type In = ipc::delegate::Ask;
    type Out = ipc::delegate::Told;

    fn heed(&mut self, asker: Asker, frame: Self::In, desk: &mut Desk<Self::Out>) {
        desk.answer(asker, ipc::delegate::Told { number: frame.number, action: Err("no such service".to_owned()) });
    }
}

/// The whole program.
pub fn run() -> ExitCode {
    subdaemon::run("delegate", |_| Ok(Server))
}
