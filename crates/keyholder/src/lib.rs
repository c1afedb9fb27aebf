//! zpost keyholder: the keeper of private keys.

use std::process::ExitCode;
use subdaemon::{Asker, Desk, Service};

struct Server;

impl Service for Server {
    type In = ipc::keys::Sign;
    type Out = ipc::keys::Signed;

    fn heed(&mut self, asker: Asker, frame: Self::In, desk: &mut Desk<Self::Out>) {
        desk.answer(asker, ipc::keys::Signed { number: frame.number, signature: Err("no such key".to_owned()) });
    }
}

/// The whole program.
pub fn run() -> ExitCode {
    subdaemon::run("keyholder", |_| Ok(Server))
}
