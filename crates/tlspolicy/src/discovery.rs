//! TXT records that point to policies and to report addresses.

use address::Address;

/// Addresses for reports that are looked at, at most.
const MAX_TARGETS: usize = 5;
/// Bytes of an https address.
const MAX_URL: usize = 1000;

/// Where a domain wants its report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Mail(Address),
    /// Host and the whole address, `https://`.
    Post {
        host: String,
        port: u16,
        url: String,
    },
}

/// The id of the policy (RFC 8461 section 3.1); `None`: no policy, or several records that say so.
pub fn policy_id(texts: &[String]) -> Option<String> {
    let record = only(texts, "STSv1")?;
    let id = record.iter().find_map(|(key, value)| (*key == "id").then_some(*value))?;
    let fits = (1..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
    fits.then(|| id.to_owned())
}

/// Where reports go (RFC 8460 section 3).
pub fn report_targets(texts: &[String]) -> Vec<Target> {
    let Some(record) = only(texts, "TLSRPTv1") else { return Vec::new() };
    let list = record.iter().find_map(|(key, value)| (*key == "rua").then_some(*value)).unwrap_or_default();
    list.split(',').filter_map(|uri| target(uri.trim())).take(MAX_TARGETS).collect()
}

/// The fields of the one record of a version.
fn only<'a>(texts: &'a [String], version: &str) -> Option<Vec<(&'a str, &'a str)>> {
    let of_version = |text: &&String| {
        let first = text.split(';').next().unwrap_or_default().trim_end();
        text.contains(';') && first.strip_prefix("v=").is_some_and(|v| v == version)
    };
    let mut records = texts.iter().filter(of_version);
    let (record, None) = (records.next()?, records.next()) else { return None };
    let fields = record.split(';').map(str::trim).filter(|field| !field.is_empty());
    Some(fields.filter_map(|field| field.split_once('=')).map(|(key, value)| (key.trim_end(), value.trim_start())).collect())
}

fn target(uri: &str) -> Option<Target> {
    let (scheme, rest) = uri.split_once(':')?;
    if scheme.eq_ignore_ascii_case("mailto") {
        let address = decoded(rest.split('?').next()?)?;
        let address = Address::parse(&address).ok().filter(|address| address.as_str().contains('@'))?;
        return Some(Target::Mail(address));
    }
    let rest = rest.strip_prefix("//").filter(|_| scheme.eq_ignore_ascii_case("https"))?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (host, port) = authority.split_once(':').map_or(Some((authority, 443)), |(host, port)| Some((host, port.parse().ok()?)))?;
    let host = address::normalise(host).ok().filter(|host| !address::is_literal(host) && host.len() <= 253)?;
    let fits = uri.len() <= MAX_URL && uri.bytes().all(|b| b.is_ascii_graphic());
    fits.then(|| Target::Post { host, port, url: format!("https://{rest}") })
}

/// Percent-encoding undone.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |b: Option<u8>| char::from(b?).to_digit(16);
        let value = digit(rest.next())?.checked_mul(16)?.checked_add(digit(rest.next())?)?;
        bytes.push(u8::try_from(value).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn ids() {
        for good in
            [&["v=STSv1; id=20160831085700Z;"][..], &["v=spf1 -all", "v=STSv1;id=20160831085700Z"], &["v=STSv1; x=1; id=20160831085700Z;"]]
        {
            assert_eq!(policy_id(&texts(good)).as_deref(), Some("20160831085700Z"), "{good:?}");
        }
        for bad in [
            &["v=STSv1; id=a;", "v=STSv1; id=b;"][..],
            &["v=STSv1"],
            &["v=STSv1;"],
            &["v=STSv1; id=a b"],
            &["id=a; v=STSv1"],
            &["v=STSv12; id=a"],
            &[],
            &["v=STSv1; id="],
        ] {
            assert_eq!(policy_id(&texts(bad)), None, "{bad:?}");
        }
    }

    #[test]
    fn targets() {
        let found = report_targets(&texts(&[
            "v=TLSRPTv1; rua=mailto:tls%2Breports@Example.org?subject=x,https://r.example.org/in?x=1, ftp://a,mailto:nobody",
        ]));
        assert_eq!(found.len(), 2);
        assert!(matches!(&found[0], Target::Mail(address) if address.as_str().eq_ignore_ascii_case("tls+reports@example.org")));
        assert_eq!(found[1], Target::Post { host: "r.example.org".into(), port: 443, url: "https://r.example.org/in?x=1".into() });
        for bad in [
            "v=TLSRPTv1",
            "v=TLSRPTv1; rua=",
            "v=TLSRPTv1; rua=mailto:a%0d%0ab@c.d",
            "v=TLSRPTv1; rua=https://[::1]/",
            "v=TLSRPTv1; rua=https://a:b@c.d/",
            "v=TLSRPTv1; rua=http://a.b/",
        ] {
            assert!(report_targets(&texts(&[bad])).is_empty(), "{bad}");
        }
        let many = format!("v=TLSRPTv1; rua={}", vec!["mailto:a@b.c"; 100].join(","));
        assert_eq!(report_targets(&[many]).len(), MAX_TARGETS);
    }

    proptest! {
        #[test]
        fn any_text(text in "(v=(STSv1|TLSRPTv1);)?.{0,100}", uri in "(mailto:|https://).{0,40}") {
            let _ = (policy_id(std::slice::from_ref(&text)), report_targets(&[text]));
            match target(&uri) {
                Some(Target::Mail(address)) => prop_assert!(!address.as_str().chars().any(char::is_control)),
                Some(Target::Post { url, .. }) => prop_assert!(url.bytes().all(|b| b.is_ascii_graphic())),
                None => {}
            }
        }
    }
}
