//! How many jobs a site gets at once, and whether it is dead: two controllers that share only their events.
//!
//! The window grows by one for each success until the first trouble, then by one for each window of successes (1/N for
//! each), and falls at the first failure of a run at once, then by one for each window of failures (Postfix's feedback with
//! 1/N, which defers least where a server cuts connections off). A server that refuses a connection because of their number sets
//! a ceiling, which is lifted by one now and then.

use super::entry::NONE;

/// Jobs in a row that found no server until the site counts as dead, at least. Fewer would take one refused connection
/// for an outage; more would let every waiting message find out for itself.
const DEAD_AFTER: u32 = 3;
/// Ticks until a ceiling is tried one higher: 10 minutes the first time, then twice as long, up to 4 hours.
const CEILING: u32 = 6_000;
const CEILING_LONGEST: u32 = 144_000;

/// How many times longer a step up is where failures have begun before.
const CAREFUL: f32 = 10.0;

/// How a job ended, as far as it tells about the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Something was delivered.
    Success,
    /// The server answered.
    Alive,
    /// No server was found or reached.
    Unreachable,
    /// The server takes no more connections than it has.
    Crowded,
    /// The job says nothing about the site.
    Nothing,
}

/// What a signal means for whoever keeps the timers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Alive,
    /// Dead; this many probes have failed.
    Dead(u32),
}

/// Between which sizes a window moves.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub first: u32,
    pub most: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    size: u32,
    /// Most jobs under way since the window last grew: what is not used does not grow.
    peak: u32,
    /// Parts of a step up and of a step down.
    gain: f32,
    loss: f32,
    /// No trouble yet: each success is a step.
    steep: bool,
    /// Learned from refusals; `NONE`: nothing was refused.
    ceiling: u32,
    /// The tick at which one more is tried.
    lift: u32,
    /// How long the next ceiling holds.
    patience: u32,
    /// The ceiling was lifted, and nothing has been refused since.
    lifted: bool,
    /// The size at which the last run of failures began to be one too many: beyond it, steps are ten times as long, until
    /// two have gone well. A server that cuts connections off without saying why is not asked over and over.
    suspect: u32,
    failures: u32,
    /// The last that was heard is a delivery.
    proven: bool,
    /// Probes that failed since it died; 0: alive.
    probes: u32,
}

impl Window {
    /// Something has been delivered, and nothing has failed since.
    pub const fn is_proven(&self) -> bool {
        self.proven
    }

    pub fn new(first: u32) -> Self {
        Self {
            size: first.max(1),
            peak: 0,
            gain: 0.0,
            loss: 0.0,
            steep: true,
            ceiling: NONE,
            lift: 0,
            patience: CEILING,
            lifted: false,
            suspect: NONE,
            failures: 0,
            proven: false,
            probes: 0,
        }
    }

    /// As it was remembered.
    pub fn restored(size: u32, ceiling: u32, lift: u32, probes: u32) -> Self {
        Self { steep: false, ceiling: ceiling.max(1), lift, probes, ..Self::new(size) }
    }

    /// Jobs allowed at once: one for a dead site.
    pub fn size(&self) -> u32 {
        if self.is_dead() { 1 } else { self.size.min(self.ceiling) }
    }

    /// Without a look at health and ceiling.
    pub const fn whole(&self) -> u32 {
        self.size
    }

    /// `NONE`: none was learned.
    pub const fn ceiling(&self) -> u32 {
        self.ceiling
    }

    pub const fn lift(&self) -> u32 {
        self.lift
    }

    pub const fn probes(&self) -> u32 {
        self.probes
    }

    pub const fn is_dead(&self) -> bool {
        self.probes > 0
    }

    /// So many are under way now.
    pub fn used(&mut self, active: u32) {
        self.peak = self.peak.max(active);
    }

    /// Never above what the policy says now.
    pub fn keep_within(&mut self, bounds: Bounds) {
        self.size = self.size.min(bounds.most.max(1));
    }

    /// A job has ended; `active` are still under way.
    pub fn learn(&mut self, signal: Signal, active: u32, bounds: Bounds, tick: u32) -> Verdict {
        match signal {
            // The only connection was refused: that is no question of their number.
            Signal::Crowded if active == 0 => self.failed(active),
            Signal::Crowded => self.crowded(active, tick),
            Signal::Success | Signal::Alive => self.answered(signal, active, bounds, tick),
            Signal::Unreachable => self.failed(active),
            Signal::Nothing => {}
        }
        if self.is_dead() { Verdict::Dead(self.probes) } else { Verdict::Alive }
    }

    fn answered(&mut self, signal: Signal, active: u32, bounds: Bounds, tick: u32) {
        self.proven |= signal == Signal::Success;
        if self.is_dead() {
            self.size = bounds.first.max(1);
            (self.gain, self.steep) = (0.0, true);
        } else if signal == Signal::Success {
            self.grow(active, bounds, tick);
        }
        (self.failures, self.loss, self.probes) = (0, 0.0, 0);
    }

    fn grow(&mut self, active: u32, bounds: Bounds, tick: u32) {
        if self.ceiling != NONE && tick >= self.lift && self.size >= self.ceiling {
            self.ceiling = self.ceiling.saturating_add(1);
            self.lifted = true;
            self.hold_ceiling(tick);
        }
        let room = self.size < bounds.most.min(self.ceiling);
        let used = if self.steep { self.size < self.peak.saturating_mul(2) } else { self.size <= self.peak };
        if !room || !used {
            return;
        }
        // Windows are far below 2^24: exact in a float.
        let careful = if self.size >= self.suspect { CAREFUL } else { 1.0 };
        self.gain += if self.steep { 1.0 } else { 1.0 / (self.size as f32 * careful) };
        if self.gain >= 0.999 {
            self.gain = 0.0;
            self.size += 1;
            if self.size > self.suspect.saturating_add(1) {
                self.suspect = NONE;
            }
            if !self.steep {
                self.peak = active;
            }
        }
    }

    fn failed(&mut self, active: u32) {
        (self.steep, self.gain, self.proven) = (false, 0.0, false);
        if self.loss <= 0.001 {
            self.loss += 1.0;
            self.size = self.size.saturating_sub(1).max(1);
            self.suspect = self.size;
        }
        self.loss -= 1.0 / self.size as f32;
        self.failures = self.failures.saturating_add(1);
        let dies = self.failures >= DEAD_AFTER.max(self.size / 4);
        // Jobs that were under way when it died are no probes.
        if (self.is_dead() && active == 0) || (!self.is_dead() && dies) {
            self.probes = self.probes.saturating_add(1);
        }
    }

    /// The server had `active` of our connections and wanted no more.
    fn crowded(&mut self, active: u32, tick: u32) {
        (self.steep, self.gain) = (false, 0.0);
        self.ceiling = self.ceiling.min(active.max(1));
        self.size = self.size.min(self.ceiling);
        // A ceiling that was tried in vain is tried more rarely; refusals of one moment are one.
        if std::mem::take(&mut self.lifted) {
            self.patience = self.patience.saturating_mul(2).min(CEILING_LONGEST);
        }
        self.hold_ceiling(tick);
    }

    fn hold_ceiling(&mut self, tick: u32) {
        self.lift = tick.saturating_add(self.patience);
    }
}
