//! Values of routes: ZMailer's forms.

use std::time::Duration;

/// What a route says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Directive {
    /// `channel!`, `channel!host`, `channel!host!user`; without host the domain, without user the address.
    To { channel: String, host: Option<String>, user: Option<String> },
    /// `error!text`
    Refuse(String),
    /// `hold!condition`
    Hold(String),
    /// `delay!time`: not before the message is so old.
    Delay(Duration),
    /// An address: it is routed instead.
    Instead(String),
}

impl Directive {
    /// Reads a value. What stands before the first `!` is a channel or one of a few words; anything else is an address.
    pub fn read(value: &str, is_channel: impl Fn(&str) -> bool) -> Result<Self, String> {
        let value = value.trim();
        let Some((word, rest)) = value.split_once('!').filter(|(word, _)| settings_word(word)) else { return instead(value) };
        match word {
            "error" => Ok(Self::Refuse(rest.trim().to_owned())),
            "hold" => Self::hold(rest),
            "delay" => {
                let seconds = rest.parse::<u64>().ok().map(Duration::from_secs);
                seconds.or_else(|| settings::duration(rest)).map(Self::Delay).ok_or_else(|| format!("`{rest}` is no time"))
            }
            "dns" => to("smtp", rest),
            channel if is_channel(channel) => to(channel, rest),
            _ if value.contains('@') => instead(value),
            unknown => Err(format!("there is no channel {unknown}")),
        }
    }

    /// Channel hold with a condition, as ta-hold(8) reads it; none: until the administrator acts. What holds at once would come
    /// here again and again.
    pub fn hold(condition: &str) -> Result<Self, String> {
        match condition {
            "" | "-" => Ok(Self::Hold("-".to_owned())),
            _ if !is_word(condition) || condition == "now" || condition.starts_with("table:") => {
                Err(format!("`{condition}` is no condition for a route"))
            }
            _ => Ok(Self::Hold(condition.to_owned())),
        }
    }
}

fn settings_word(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn to(channel: &str, rest: &str) -> Result<Directive, String> {
    let (host, user) = rest.split_once('!').map_or((rest, None), |(host, user)| (host, Some(user)));
    let part = |text: &str| match text {
        "" | "-" => Ok(None),
        text if is_word(text) => Ok(Some(text.to_owned())),
        text => Err(format!("`{text}` has blanks")),
    };
    Ok(Directive::To { channel: channel.to_owned(), host: part(host)?, user: user.map_or(Ok(None), part)? })
}

fn instead(value: &str) -> Result<Directive, String> {
    match value.contains('@') {
        true => Ok(Directive::Instead(value.to_owned())),
        false => Err(format!("`{value}` is neither channel!host nor an address")),
    }
}

/// Fit for a field of the control file.
pub(crate) fn is_word(text: &str) -> bool {
    !text.is_empty() && text.len() <= 500 && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_form() {
        let read = |value: &str| Directive::read(value, |name| ["smtp", "local", "uucp"].contains(&name));
        let to = |channel: &str, host: Option<&str>, user: Option<&str>| Directive::To {
            channel: channel.into(),
            host: host.map(Into::into),
            user: user.map(Into::into),
        };
        for (value, expected) in [
            ("smtp!relay.example", to("smtp", Some("relay.example"), None)),
            (" smtp![192.0.2.1]:26 ", to("smtp", Some("[192.0.2.1]:26"), None)),
            ("smtp!", to("smtp", None, None)),
            ("dns!", to("smtp", None, None)),
            ("uucp!far!near!joe", to("uucp", Some("far"), Some("near!joe"))),
            ("local!-!joe", to("local", None, Some("joe"))),
            ("error!5.7.27 closed", Directive::Refuse("5.7.27 closed".into())),
            ("hold!NS:a.example/MX", Directive::Hold("NS:a.example/MX".into())),
            ("hold!", Directive::Hold("-".into())),
            ("delay!300", Directive::Delay(Duration::from_secs(300))),
            ("delay!2h", Directive::Delay(Duration::from_secs(7200))),
            ("joe@b.example", Directive::Instead("joe@b.example".into())),
            ("a!b@c.example", Directive::Instead("a!b@c.example".into())),
            ("@b.example", Directive::Instead("@b.example".into())),
        ] {
            assert_eq!(read(value).unwrap(), expected, "{value}");
        }
        for bad in ["", "relay.example", "nothing!x", "smtp!a b", "hold!a b", "delay!soon", "smtp!a!b\u{7}", "hold!now", "hold!table:t"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_value_panics(value in "\\PC{0,60}") {
            let _ = Directive::read(&value, |name| name == "smtp");
        }
    }
}
