//! Parameters of MAIL and RCPT. What is kept has been checked: it holds no line end, whatever xtext it came as.

use super::terms::{self, Asked};
use envelope::{BodyType, Notify, RecipientDsn, Ret};

/// Why a parameter is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ParameterError {
    /// 555 5.5.4
    Unknown,
    /// 501 5.5.4
    Malformed(&'static str),
}

impl ParameterError {
    pub(super) const fn reply(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Unknown => (555, "5.5.4", "unsupported parameter"),
            Self::Malformed(text) => (501, "5.5.4", text),
        }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct MailParameters {
    pub size: Option<u64>,
    pub body: Option<BodyType>,
    pub smtputf8: bool,
    pub ret: Option<Ret>,
    pub envid: Option<String>,
    pub asked: Asked,
}

/// What follows the path of MAIL.
pub(super) fn mail(rest: &[u8]) -> Result<MailParameters, ParameterError> {
    let mut found = MailParameters::default();
    for (keyword, value) in words(rest)? {
        let first = match (keyword.to_ascii_uppercase().as_str(), value) {
            ("SIZE", Some(v)) => found.size.replace(size(v)?).is_none(),
            ("BODY", Some(v)) => found.body.replace(body(v)?).is_none(),
            ("SMTPUTF8", None) => !std::mem::replace(&mut found.smtputf8, true),
            ("RET", Some(v)) => found.ret.replace(ret(v)?).is_none(),
            ("ENVID", Some(v)) => found.envid.replace(envid(v)?).is_none(),
            ("BY", Some(v)) => found.asked.by.replace(terms::by(v)?).is_none(),
            ("HOLDFOR", Some(v)) => found.asked.hold.replace(terms::hold_for(v)?).is_none(),
            ("HOLDUNTIL", Some(v)) => found.asked.hold.replace(terms::hold_until(v)?).is_none(),
            ("MT-PRIORITY", Some(v)) => found.asked.priority.replace(terms::priority(v)?).is_none(),
            ("REQUIRETLS", None) => !std::mem::replace(&mut found.asked.requiretls, true),
            ("AUTH", Some(v)) => found.asked.submitter.replace(terms::submitter(v)?).is_none(),
            ("PRDR", None) => !std::mem::replace(&mut found.asked.prdr, true),
            (
                "SIZE" | "BODY" | "SMTPUTF8" | "RET" | "ENVID" | "BY" | "HOLDFOR" | "HOLDUNTIL" | "MT-PRIORITY" | "REQUIRETLS" | "AUTH"
                | "PRDR",
                _,
            ) => return Err(ParameterError::Malformed("malformed parameter")),
            _ => return Err(ParameterError::Unknown),
        };
        once(first)?;
    }
    Ok(found)
}

/// What follows the path of RCPT.
pub(super) fn rcpt(rest: &[u8], smtputf8: bool) -> Result<RecipientDsn, ParameterError> {
    let mut found = RecipientDsn::default();
    for (keyword, value) in words(rest)? {
        let first = match (keyword.to_ascii_uppercase().as_str(), value) {
            ("NOTIFY", Some(v)) => found.notify.replace(notify(v)?).is_none(),
            ("ORCPT", Some(v)) => found.orcpt.replace(orcpt(v, smtputf8)?).is_none(),
            ("NOTIFY" | "ORCPT", None) => return Err(ParameterError::Malformed("malformed parameter")),
            _ => return Err(ParameterError::Unknown),
        };
        once(first)?;
    }
    Ok(found)
}

fn once(first: bool) -> Result<(), ParameterError> {
    if first { Ok(()) } else { Err(ParameterError::Malformed("parameter given twice")) }
}

/// `KEYWORD` or `KEYWORD=value`, each after at least one blank.
fn words(rest: &[u8]) -> Result<Vec<(&str, Option<&str>)>, ParameterError> {
    const BROKEN: ParameterError = ParameterError::Malformed("malformed parameters");
    if rest.first().is_some_and(|b| *b != b' ') {
        return Err(BROKEN);
    }
    let text = std::str::from_utf8(rest).map_err(|_| BROKEN)?;
    if text.chars().any(char::is_control) {
        return Err(BROKEN);
    }
    Ok(text
        .split(' ')
        .filter(|word| !word.is_empty())
        .map(|word| word.split_once('=').map_or((word, None), |(k, v)| (k, Some(v))))
        .collect())
}

fn size(value: &str) -> Result<u64, ParameterError> {
    const BROKEN: ParameterError = ParameterError::Malformed("malformed SIZE");
    if value.is_empty() || value.len() > 20 || !value.bytes().all(|b| b.is_ascii_digit()) {
        return Err(BROKEN);
    }
    // RFC 1870 allows 20 digits: what does not fit into 64 bits is too large for anybody.
    Ok(value.parse().unwrap_or(u64::MAX))
}

fn body(value: &str) -> Result<BodyType, ParameterError> {
    match value.to_ascii_uppercase().as_str() {
        "7BIT" => Ok(BodyType::SevenBit),
        "8BITMIME" => Ok(BodyType::EightBit),
        "BINARYMIME" => Ok(BodyType::Binary),
        _ => Err(ParameterError::Malformed("unknown BODY")),
    }
}

fn ret(value: &str) -> Result<Ret, ParameterError> {
    match value.to_ascii_uppercase().as_str() {
        "FULL" => Ok(Ret::Full),
        "HDRS" => Ok(Ret::Headers),
        _ => Err(ParameterError::Malformed("unknown RET")),
    }
}

fn envid(value: &str) -> Result<String, ParameterError> {
    if envelope::is_envid(value) { Ok(value.to_owned()) } else { Err(ParameterError::Malformed("malformed ENVID")) }
}

fn notify(value: &str) -> Result<Notify, ParameterError> {
    const BROKEN: ParameterError = ParameterError::Malformed("malformed NOTIFY");
    let mut found = Notify { never: false, success: false, failure: false, delay: false };
    for word in value.split(',') {
        let place = match word.to_ascii_uppercase().as_str() {
            "NEVER" => &mut found.never,
            "SUCCESS" => &mut found.success,
            "FAILURE" => &mut found.failure,
            "DELAY" => &mut found.delay,
            _ => return Err(BROKEN),
        };
        if std::mem::replace(place, true) {
            return Err(BROKEN);
        }
    }
    if found.never && (found.success || found.failure || found.delay) {
        return Err(BROKEN);
    }
    Ok(found)
}

/// `address-type;xtext` (RFC 3461 section 4.2, RFC 6533 section 3).
fn orcpt(value: &str, smtputf8: bool) -> Result<String, ParameterError> {
    if !envelope::is_orcpt(value) || !(smtputf8 || value.is_ascii()) {
        return Err(ParameterError::Malformed("malformed ORCPT"));
    }
    Ok(value.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn mail_parameters() {
        let found = mail(b" SIZE=1000 body=8bitmime SMTPUTF8 RET=HDRS ENVID=a+2Bb").unwrap();
        assert_eq!(found.size, Some(1000));
        assert_eq!(found.body, Some(BodyType::EightBit));
        assert!(found.smtputf8);
        assert_eq!(found.ret, Some(Ret::Headers));
        assert_eq!(found.envid.as_deref(), Some("a+2Bb"));
        assert_eq!(mail(b" SIZE=99999999999999999999").unwrap().size, Some(u64::MAX));
        assert_eq!(mail(b""), Ok(MailParameters::default()));
    }

    #[test]
    fn wrong_mail_parameters() {
        for bad in [
            "SIZE=1",
            " SIZE=",
            " SIZE",
            " SIZE=-1",
            " SIZE=+1",
            " SIZE=0x1",
            " SIZE=1 SIZE=1",
            " BODY=8BIT",
            " SMTPUTF8=1",
            " ENVID=",
            " ENVID=+0D+0A",
            " ENVID=a=b",
            " ENVID=a+0",
            " ENVID=a+2b",
            " RET=BOTH",
            " ENVID=a\tb",
            " RET=FULL RET=HDRS",
            "\tSIZE=1",
            "x",
            " ENVID=+7F",
            " AUTH=a+0AX",
            " AUTH=",
            " AUTH=<a@b>=",
            " AUTH=<> AUTH=<>",
            " MT-PRIORITY=10",
            " MT-PRIORITY=+3",
            " MT-PRIORITY=03x",
            " MT-PRIORITY",
            " BY=1",
            " BY=1;",
            " BY=;R",
            " BY=1234567890;R",
            " BY=--1;N",
            " BY=1;X",
            " HOLDFOR=0",
            " HOLDFOR=-1",
            " HOLDFOR=9999999999",
            " HOLDUNTIL=2026-11-21",
            " HOLDUNTIL=2026-11-21T10:00:00",
            " HOLDUNTIL=2026-13-21T10:00:00Z",
            " HOLDUNTIL=2026-11-21T10:00:00Z[UTC]",
            " HOLDUNTIL=1960-11-21T10:00:00Z",
            " HOLDFOR=1 HOLDUNTIL=2026-11-21T10:00:00Z",
            " REQUIRETLS=1",
            " PRDR=1",
            " ENVID=+FF",
        ] {
            assert!(matches!(mail(bad.as_bytes()), Err(ParameterError::Malformed(_))), "{bad:?}");
        }
        for unknown in [" X=1", " NOTIFY=NEVER", " =", " BYE=1"] {
            assert_eq!(mail(unknown.as_bytes()), Err(ParameterError::Unknown), "{unknown:?}");
        }
    }

    #[test]
    fn recipient_parameters() {
        let found = rcpt(b" NOTIFY=success,FAILURE ORCPT=rfc822;a+2Bb@c", false).unwrap();
        assert_eq!(found.orcpt.as_deref(), Some("rfc822;a+2Bb@c"));
        assert_eq!(found.notify, Some(Notify { never: false, success: true, failure: true, delay: false }));
        for bad in [
            " NOTIFY=",
            " NOTIFY=NEVER,DELAY",
            " NOTIFY=DELAY,DELAY",
            " NOTIFY=X",
            " ORCPT=rfc822",
            " ORCPT=rfc822;",
            " ORCPT=;x",
            " ORCPT=rfc822;a+0Ab",
            " ORCPT=rfc822;a+00",
            " ORCPT=rfc822;a+",
            " ORCPT=rf c;x",
            " ORCPT=rfc822;\u{e4}",
        ] {
            assert!(rcpt(bad.as_bytes(), false).is_err(), "{bad:?}");
        }
        assert!(rcpt(" ORCPT=utf-8;\u{e4}@b".as_bytes(), true).is_ok());
    }

    proptest! {
        #[test]
        fn nothing_that_is_kept_holds_a_line_end(rest in "[ A-Za-z=+0-9;\\r\\n\\t]{0,60}") {
            for prefix in [" ENVID=", " ORCPT=rfc822;"] {
                let text = format!("{prefix}{rest}");
                let kept = mail(text.as_bytes()).ok().and_then(|p| p.envid)
                    .or(rcpt(text.as_bytes(), true).ok().and_then(|p| p.orcpt));
                if let Some(kept) = kept {
                    prop_assert!(!kept.contains(['\r', '\n', ' ', '\t']));
                    for escape in ["+0", "+1"] {
                        prop_assert!(!kept.contains(escape));
                    }
                }
            }
        }
        #[test]
        fn any_bytes(rest in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = mail(&rest);
            let _ = rcpt(&rest, true);
        }
    }
}
