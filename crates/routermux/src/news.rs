//! What the threads of the volumes have found and done.

use crate::keeper::News;
use crate::service::Mux;
use daemon::event;
use std::io;

impl Mux {
    pub(crate) fn news(&mut self) {
        for volume in 0..self.shelves.list.len() {
            while let Some(news) = self.shelves.list.get(volume).and_then(|shelf| shelf.keeper.as_ref()?.news()) {
                self.told(volume, news);
            }
        }
    }

    fn told(&mut self, volume: usize, news: News) {
        match news {
            News::Scanned(names) => self.scanned(volume, names),
            News::Recovered(Ok(recovered)) => {
                for name in &recovered.adopted {
                    event!(Info, "adopted", id = name);
                }
                self.shelves.found(volume, &recovered.adopted);
                for name in recovered.removed {
                    event!(Info, "left_over_removed", name = name);
                }
            }
            News::Recovered(Err(e)) => event!(Error, "recovery_failed", volume = self.volume_name(volume), error = e),
            News::Sorted { names, sorter } => self.shelves.sorted(volume, names, &sorter),
            News::SetAside { name, reason, result } => self.was_set_aside(volume, &name, &reason, result),
        }
    }

    fn volume_name(&self, volume: usize) -> &str {
        self.shelves.volumes.all().get(volume).map_or("", |volume| &volume.name)
    }

    fn scanned(&mut self, volume: usize, names: io::Result<Vec<String>>) {
        if let Some(shelf) = self.shelves.list.get_mut(volume) {
            shelf.scanning = false;
        }
        self.started.counters.add("scans", 1);
        match names {
            Ok(names) => {
                let found = self.shelves.found(volume, &names);
                self.started.counters.add("found_by_scan", found as u64);
            }
            Err(e) => event!(Error, "scan_failed", volume = self.volume_name(volume), error = e),
        }
    }

    fn was_set_aside(&mut self, volume: usize, name: &str, reason: &str, result: io::Result<()>) {
        let number = spool::VolumeNumber::try_from(volume).unwrap_or_default();
        self.shelves.done(&[self.shelves.volumes.written(number, name)]);
        match result {
            Ok(()) => {
                self.started.counters.add("set_aside", 1);
                event!(Error, "deferred_file", id = name, reason = reason);
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => event!(Error, "routing_delayed", name = name, reason = reason, error = e),
        }
    }
}
