//! What the master tells about the suite: `zpost status`, `zpost counters`.

use crate::children::State;
use crate::listeners::Place;
use crate::supervise::Master;
use ipc::control::{ProcessStatus, Reply, Status};
use settings::ListenerKind;
use std::time::Instant;

/// Counters in one frame: far below the frame limit with the longest names.
const PER_FRAME: usize = 500;

impl Master {
    pub fn status(&self) -> Status {
        let mut processes: Vec<ProcessStatus> = Vec::new();
        for child in self.children.values() {
            processes.push(ProcessStatus {
                service: child.service.name.to_owned(),
                index: child.index,
                pid: u32::try_from(child.pid.as_raw()).unwrap_or(0),
                state: child.word().to_owned(),
                restarts: 0,
                sessions: child.session_count(),
                last_end: child.failing.clone(),
            });
        }
        self.add_slots(&mut processes);
        processes.sort_by(|a, b| (level(&a.service), &a.service, a.index).cmp(&(level(&b.service), &b.service, b.index)));
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            generation: self.generation,
            uptime_seconds: self.started.elapsed().as_secs(),
            frozen: self.frozen,
            sessions: self.connections.total(),
            listeners: self.listeners.values().map(|l| self.shown(&l.place)).collect(),
            processes,
            troubles: self.troubles(),
            shadow: self.shadow_report().unwrap_or_default(),
        }
    }

    /// `smtp 127.0.0.1:25`; one that is on its way out after a reload has no kind any more.
    fn shown(&self, place: &Place) -> String {
        let known = self.configuration.settings.listeners.iter().find(|l| Place::of(&l.bind) == *place);
        let kind = match (place, known.map(|l| l.kind)) {
            (Place::Submit(_), _) => "submit",
            (_, Some(ListenerKind::Smtp)) => "smtp",
            (_, Some(ListenerKind::Submission)) => "submission",
            (_, Some(ListenerKind::Submissions)) => "submissions",
            (_, Some(ListenerKind::Lmtp)) => "lmtp",
            (_, None) => return place.to_string(),
        };
        format!("{kind} {place}")
    }

    /// What a place remembers goes beside its process; a place without one is a line of its own.
    fn add_slots(&self, processes: &mut Vec<ProcessStatus>) {
        for slot in &self.slots {
            let pid = slot.child.and_then(|key| self.children.get(&key)).and_then(|c| u32::try_from(c.pid.as_raw()).ok());
            if let Some(line) = processes.iter_mut().find(|p| Some(p.pid) == pid) {
                line.restarts = slot.restarts;
                if line.last_end.is_empty() {
                    line.last_end.clone_from(&slot.last_end);
                }
                continue;
            }
            processes.push(ProcessStatus {
                service: slot.service.name.to_owned(),
                index: 0,
                pid: 0,
                state: "waiting".to_owned(),
                restarts: slot.restarts,
                sessions: 0,
                last_end: slot.last_end.clone(),
            });
        }
    }

    fn troubles(&self) -> Vec<String> {
        let mut troubles = Vec::new();
        for slot in &self.slots {
            match slot.child.and_then(|key| self.children.get(&key)) {
                Some(child) if child.state == State::Ready => {}
                Some(child) => troubles.push(format!("{} is {}", slot.service.name, child.state.word())),
                None => {
                    let wait = slot.start_at.saturating_duration_since(Instant::now()).as_millis();
                    let why = if slot.last_end.is_empty() { "not started yet" } else { &slot.last_end };
                    troubles.push(format!("{} waits {wait} ms for its restart: {why}", slot.service.name));
                }
            }
        }
        troubles.extend(self.site.volume_faults.iter().cloned());
        if self.accept_after.is_some() {
            troubles.push("file descriptors ran out; accepting pauses".to_owned());
        }
        match self.counters.overload() {
            0 => {}
            level => troubles.push(format!("the host is overloaded, level {level} of 3: {}", signs(self.counters.overload_sign()))),
        }
        if self.stopping.is_some() {
            troubles.push("the suite is draining".to_owned());
        }
        troubles
    }

    /// Decisions that routers have compared, and addresses that differed, since the suite runs.
    pub fn shadow_counters(&self) -> (u64, u64) {
        let rows = self.rows.all().filter(|(service, ..)| *service == "router");
        let values = rows.flat_map(|(service, _, row)| self.counters.read_row(row, service));
        values.fold((0, 0), |(compared, differs), (name, value)| match name {
            "shadow_compared" => (compared + value, differs),
            "shadow_differs" => (compared, differs + value),
            _ => (compared, differs),
        })
    }

    /// Every counter of every process that ever ran, rows of ended ones too.
    pub fn counter_replies(&self) -> Vec<Reply> {
        let mut all = Vec::new();
        for (service, index, row) in self.rows.all() {
            for (name, value) in self.counters.read_row(row, service) {
                all.push((service.to_owned(), index, name.to_owned(), value));
            }
        }
        all.chunks(PER_FRAME).map(|chunk| Reply::Counters(chunk.to_vec())).collect()
    }
}

/// What a sign of overload means.
fn signs(sign: &str) -> &'static str {
    match sign {
        "sessions" => "many connections for [connections] total",
        "queue" => "many messages in the queue",
        "sync" => "accepted mail takes long to reach the disk",
        "pressure" => "processes wait for memory",
        "memory" => "memory is running out",
        _ => "see the log of the ratetracker",
    }
}

fn level(service: &str) -> u8 {
    crate::services::named(service).map_or(0, |s| s.level)
}
