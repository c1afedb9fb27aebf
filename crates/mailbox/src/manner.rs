//! `[local]` as the processes that deliver are told it.

use ipc::deliveries::{DetailFolders, Lock, Manner, Place, PlaceKind};
use settings::{DeliveryKind, MboxLock, Settings};
use std::path::Path;
use std::time::Duration;

pub fn of(settings: &Settings) -> Manner {
    let local = &settings.local;
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Manner {
        hostname: settings.identity.hostname.clone(),
        programs: local.forward_programs,
        program_time: millis(local.forward_time),
        require_home: local.require_home,
        detail_folders: match local.detail_folders {
            settings::DetailFolders::Never => DetailFolders::Never,
            settings::DetailFolders::Existing => DetailFolders::Existing,
            settings::DetailFolders::Made => DetailFolders::Made,
        },
        quota: local.quota,
        quota_fails: local.quota_fails,
        locks: local.mbox_locks.iter().map(|lock| lock_of(*lock)).collect(),
        lock_wait: millis(local.mbox_lock_time),
        lock_stale: millis(local.mbox_lock_stale),
        notify: local.notify.clone(),
    }
}

const fn lock_of(lock: MboxLock) -> Lock {
    match lock {
        MboxLock::Dot => Lock::Dot,
        MboxLock::Fcntl => Lock::Fcntl,
        MboxLock::Flock => Lock::Flock,
    }
}

/// `None` for deliveries that are not into a file.
pub fn place(kind: DeliveryKind, path: &Path) -> Option<Place> {
    let kind = match kind {
        DeliveryKind::Maildir => PlaceKind::Maildir,
        DeliveryKind::Mbox => PlaceKind::Mbox,
        DeliveryKind::Lmtp => return None,
    };
    Some(Place { kind, path: path.to_str()?.to_owned() })
}
