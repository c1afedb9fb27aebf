//! The process: questions in, what is remembered or found out back.

use crate::lookups::Lookups;
use crate::memory::Memory;
use crate::prober::Prober;
use ipc::callahead::{Ask, Told};
use mio::event::Event;
use sandbox::{Folder, Needs};
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use subdaemon::{Asker, Desk, Service};

/// The whole program.
pub fn run() -> ExitCode {
    subdaemon::run("callahead", |desk| {
        let resolver = desk.started.contacts.caller("resolver");
        let token = desk.token();
        let lookups = Lookups::new(resolver, token);
        let settings = &desk.started.settings;
        let folder = settings.paths.postoffice.join("callahead");
        let memory = Memory::open(&folder, &settings.call_ahead);
        let prober = Prober::new(settings, memory, lookups, desk.started.counters.clone());
        confine(settings.processes.sandbox, folder)?;
        Ok(Server { prober })
    })
}

/// From here on no file can be opened but those of its own folder, and nothing executed; connections can be made.
fn confine(wish: settings::Sandbox, folder: PathBuf) -> io::Result<()> {
    sandbox::confine(wish, &Needs { folders: &[(folder, Folder::Make)], ..Needs::client() })
}

#[derive(Debug)]
struct Server {
    prober: Prober,
}

impl Server {
    fn answer(&mut self, desk: &mut Desk<Told>) {
        for (asker, told) in self.prober.take_answers() {
            desk.answer(asker, told);
        }
    }
}

impl Service for Server {
    type In = Ask;
    type Out = Told;

    fn heed(&mut self, asker: Asker, ask: Ask, desk: &mut Desk<Told>) {
        self.prober.ask(asker, ask, Instant::now());
        self.answer(desk);
    }

    fn gone(&mut self, asker: Asker) {
        self.prober.forget(asker);
    }

    fn event(&mut self, event: &Event, desk: &mut Desk<Told>) {
        self.prober.event(event.token(), Instant::now());
        self.answer(desk);
    }

    fn work(&mut self, now: Instant, desk: &mut Desk<Told>) {
        let registry = match desk.registry().try_clone() {
            Ok(registry) => registry,
            Err(e) => return daemon::event!(Error, "no_registry", error = e),
        };
        self.prober.work(now, &registry, &mut || desk.token());
        self.answer(desk);
    }

    fn wake(&self) -> Option<Instant> {
        self.prober.wake()
    }

    fn reload(&mut self, _contacts: daemon::Contacts, desk: &mut Desk<Told>) -> Result<(), String> {
        self.prober.reload(&desk.started.settings);
        Ok(())
    }

    fn is_idle(&self) -> bool {
        self.prober.is_idle()
    }

    fn end(&mut self, _desk: &mut Desk<Told>) {
        self.prober.memory.finish();
    }
}
