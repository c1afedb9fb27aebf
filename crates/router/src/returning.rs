//! Senders of mail that is sent on (SRS): ours, and back.

use crate::verdict::Verdict;
use address::Address;
use settings::Settings;
use srs::{Fault, Srs};

/// Whether, and with what, senders are made and taken back.
#[derive(Debug)]
pub enum Returning {
    /// `[srs]` is not configured.
    Off,
    On(Srs),
    /// The secrets cannot be read: what needs them waits.
    Broken {
        domain: String,
        reason: String,
    },
}

impl Returning {
    pub fn new(settings: &Settings) -> Self {
        let Some(domain) = Some(&settings.srs.domain).filter(|domain| !domain.is_empty()) else { return Self::Off };
        let broken = |reason: String| Self::Broken { domain: domain.clone(), reason };
        let Some(file) = &settings.srs.secret_file else { return broken("[srs] secret_file is not given".to_owned()) };
        let place = file.display();
        match std::fs::read_to_string(file) {
            Ok(text) => match Srs::new(domain, &text, settings.srs.max_age.as_secs() / 86_400) {
                Some(srs) => Self::On(srs),
                None => broken(format!("[srs] secret_file {place} holds no secret")),
            },
            Err(e) => broken(format!("[srs] secret_file {place}: {e}")),
        }
    }

    /// The domain of what is made, normalised.
    pub fn domain(&self) -> Option<&str> {
        match self {
            Self::Off => None,
            Self::On(srs) => Some(srs.domain()),
            Self::Broken { domain, .. } => Some(domain),
        }
    }

    /// What is wrong with the configuration, for the log.
    pub fn fault(&self) -> Option<&str> {
        if let Self::Broken { reason, .. } = self { Some(reason) } else { None }
    }

    /// The sender for mail that is sent on. `None`: it stays.
    pub fn forward(&self, sender: &Address, unix_seconds: u64) -> Result<Option<Address>, String> {
        match self {
            Self::Off => Ok(None),
            Self::On(srs) => Ok(srs.forward(sender, unix_seconds)),
            Self::Broken { reason, .. } => Err(reason.clone()),
        }
    }

    /// Whom an address at the normalised `domain` stands for. `None`: it is none of the scheme's, or of another domain.
    pub fn reverse(&self, address: &Address, domain: &str, unix_seconds: u64) -> Option<Result<Address, Verdict>> {
        if self.domain() != Some(domain) || !srs::is_srs(address.local()) {
            return None;
        }
        let srs = match self {
            Self::Off => return None,
            Self::Broken { reason, .. } => return Some(Err(Verdict::Temporary(reason.clone()))),
            Self::On(srs) => srs,
        };
        match srs.reverse(address.local(), unix_seconds) {
            Ok(address) => Some(Ok(address)),
            Err(Fault::Other) => None,
            Err(Fault::Expired) => Some(Err(Verdict::refused(1, 6, "The time for answers to this address is over"))),
            Err(Fault::Malformed | Fault::Forged) => Some(Err(Verdict::refused(1, 1, "No such address was given out here"))),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn what_comes_back_and_what_does_not() {
        let on = Returning::On(Srs::new("us.example", "s", 21).unwrap());
        let made = on.forward(&address("joe@a.example"), 0).unwrap().unwrap();
        assert_eq!(on.reverse(&made, "us.example", 86_400), Some(Ok(address("joe@a.example"))));
        assert_eq!(on.reverse(&made, "other.example", 0), None);
        assert_eq!(on.reverse(&address("joe@us.example"), "us.example", 0), None);
        let refusal = |verdict| if let Some(Err(Verdict::Refused { status, .. })) = verdict { status.to_string() } else { String::new() };
        assert_eq!(refusal(on.reverse(&made, "us.example", 30 * 86_400)), "5.1.6");
        assert_eq!(refusal(on.reverse(&address("SRS0=x=y=z=u@us.example"), "us.example", 0)), "5.1.1");
        let broken = Returning::Broken { domain: "us.example".into(), reason: "gone".into() };
        assert_eq!(broken.reverse(&made, "us.example", 0), Some(Err(Verdict::Temporary("gone".into()))));
        assert_eq!(broken.forward(&address("joe@a.example"), 0), Err("gone".into()));
        assert_eq!(Returning::Off.forward(&address("joe@a.example"), 0), Ok(None));
    }
}
