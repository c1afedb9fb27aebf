//! Where a test may let the power fail or the disk be full: a point between every two durable steps.
//! Outside tests a point is nothing.

#[cfg(not(test))]
#[inline(always)]
pub fn point() -> std::io::Result<()> {
    Ok(())
}

/// A crash leaves things as they are: no cleaning up behind it.
#[cfg(not(test))]
#[inline(always)]
pub fn crashed() -> bool {
    false
}

#[cfg(test)]
pub use planned::{at, crashed, point, reset};

#[cfg(test)]
mod planned {
    use std::cell::Cell;
    use std::io;

    #[derive(Clone, Copy)]
    pub enum Kind {
        Crash,
        Error(nix::errno::Errno),
    }
    thread_local! {
        static PLAN: Cell<Option<(u32, Kind)>> = const { Cell::new(None) };
        static CRASHED: Cell<bool> = const { Cell::new(false) };
    }
    /// Lets the point number `k` (from 0) fail on this thread; `None` is a crash.
    pub fn at(k: u32, error: Option<nix::errno::Errno>) {
        CRASHED.set(false);
        PLAN.set(Some((k, error.map_or(Kind::Crash, Kind::Error))));
    }
    /// No further fault; true when the planned one came to pass.
    pub fn reset() -> bool {
        CRASHED.set(false);
        PLAN.take().is_none()
    }
    pub fn crashed() -> bool {
        CRASHED.get()
    }
    pub fn point() -> io::Result<()> {
        match PLAN.get() {
            Some((0, kind)) => {
                PLAN.set(None);
                match kind {
                    Kind::Crash => {
                        CRASHED.set(true);
                        Err(io::Error::other("the power failed"))
                    }
                    Kind::Error(errno) => Err(errno.into()),
                }
            }
            Some((k, kind)) => {
                PLAN.set(Some((k - 1, kind)));
                Ok(())
            }
            None if crashed() => Err(io::Error::other("the power is off")),
            None => Ok(()),
        }
    }
}
