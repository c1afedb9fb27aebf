//! The process: questions of sessions to the pools, answers back.

use crate::connection::Connection;
use crate::pool::{Pool, Question};
use crate::protocol;
use ipc::delegate::{Ask, Told};
use mio::event::Event;
use settings::PolicyService;
use std::io;
use std::process::ExitCode;
use std::time::Instant;
use subdaemon::{Asker, Desk, Service};

/// The whole program.
pub fn run() -> ExitCode {
    subdaemon::run("delegate", |desk| {
        let mut server = Server::default();
        server.configure(&desk.started.settings.policy_services.clone(), desk);
        confine(desk.started.settings.processes.sandbox)?;
        Ok(server)
    })
}

/// From here on no file can be opened and nothing executed; connections can be made.
fn confine(wish: settings::Sandbox) -> io::Result<()> {
    sandbox::confine(wish, &sandbox::Needs::client())
}

#[derive(Debug, Default)]
pub struct Server {
    pools: Vec<Pool>,
}

impl Server {
    /// Services that are new get a pool; those that are gone, or elsewhere now, end with their last question.
    fn configure(&mut self, services: &[PolicyService], desk: &mut Desk<Told>) {
        for pool in &mut self.pools {
            match services.iter().find(|service| service.name == pool.service.name && service.server == pool.service.server) {
                Some(service) if !pool.retired => pool.service = service.clone(),
                _ => pool.retired = true,
            }
        }
        for service in services {
            if self.pool(&service.name).is_none() {
                self.pools.push(Pool::new(service.clone(), desk.started.counters.clone()));
            }
        }
    }

    fn pool(&mut self, name: &str) -> Option<&mut Pool> {
        self.pools.iter_mut().find(|pool| pool.service.name == name && !pool.retired)
    }

    fn ask(&mut self, asker: Asker, ask: &Ask, now: Instant) -> Result<(), String> {
        let (bytes, left_out) = protocol::question(&ask.attributes)?;
        for name in left_out {
            daemon::event!(Warning, "attribute_left_out", service = ask.service, attribute = name);
        }
        let pool = self.pool(&ask.service).ok_or_else(|| format!("there is no policy service {}", ask.service))?;
        let deadline = now.checked_add(pool.service.timeout).unwrap_or(now);
        pool.ask(Question { asker, number: ask.number, bytes, deadline, again: false }, now);
        Ok(())
    }
}

impl Service for Server {
    type In = Ask;
    type Out = Told;

    fn heed(&mut self, asker: Asker, ask: Ask, desk: &mut Desk<Told>) {
        desk.started.counters.add("questions", 1);
        if let Err(why) = self.ask(asker, &ask, Instant::now()) {
            daemon::event!(Warning, "question_refused", service = ask.service, reason = why);
            desk.started.counters.add("failures", 1);
            desk.answer(asker, Told { number: ask.number, action: Err(why) });
        }
    }

    fn gone(&mut self, asker: Asker) {
        self.pools.iter_mut().for_each(|pool| pool.forget(asker));
    }

    fn event(&mut self, event: &Event, _desk: &mut Desk<Told>) {
        if let Some(pool) = self.pools.iter_mut().find(|pool| pool.owns(event.token())) {
            pool.event(event.token(), Instant::now());
        }
    }

    fn work(&mut self, now: Instant, desk: &mut Desk<Told>) {
        let mut connections = 0;
        for pool in &mut self.pools {
            pool.work(now, &mut |service: &PolicyService| {
                let token = desk.token();
                Ok((token, Connection::socket(service, desk.registry(), token)?))
            });
            connections += pool.connections();
            for (asker, number, action) in pool.take_outcomes() {
                desk.answer(asker, Told { number, action });
            }
        }
        self.pools.retain(|pool| !(pool.retired && pool.is_idle() && pool.connections() == 0));
        desk.started.counters.set("connections_now", connections as u64);
    }

    fn wake(&self) -> Option<Instant> {
        self.pools.iter().filter_map(Pool::wake).min()
    }

    fn reload(&mut self, _contacts: daemon::Contacts, desk: &mut Desk<Told>) -> Result<(), String> {
        let services = desk.started.settings.policy_services.clone();
        self.configure(&services, desk);
        Ok(())
    }

    fn is_idle(&self) -> bool {
        self.pools.iter().all(Pool::is_idle)
    }
}
