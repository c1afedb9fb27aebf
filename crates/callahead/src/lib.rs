//! zpost callahead: asks next hops whether they take a recipient.

use std::process::ExitCode;
use subdaemon::{Asker, Desk, Service};

struct Server;

impl Service for Server {
    type In = ipc::callahead::Ask;
    type Out = ipc::callahead::Told;

    fn heed(&mut self, asker: Asker, frame: Self::In, desk: &mut Desk<Self::Out>) {
        let verdict = ipc::callahead::Verdict::Unknown("not asked".to_owned());
        desk.answer(asker, ipc::callahead::Told { number: frame.number, verdict });
    }
}

/// The whole program.
pub fn run() -> ExitCode {
    subdaemon::run("callahead", |_| Ok(Server))
}
