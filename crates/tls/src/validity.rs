//! When a certificate is valid (RFC 5280 section 4.1.2.5), for those who warn before it ends.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// First and last second, Unix time, of the first certificate in a PEM text; `None` where there is none that can be read.
pub fn validity(pem: &[u8]) -> Option<(i64, i64)> {
    let certificate = CertificateDer::pem_slice_iter(pem).next()?.ok()?;
    let (certificate, _) = element(&certificate, SEQUENCE)?;
    let (fields, _) = element(certificate, SEQUENCE)?;
    let after_version = element(fields, VERSION).map_or(fields, |(_, rest)| rest);
    let (_, after_number) = element(after_version, INTEGER)?;
    let (_, after_algorithm) = element(after_number, SEQUENCE)?;
    let (_, after_issuer) = element(after_algorithm, SEQUENCE)?;
    let (validity, _) = element(after_issuer, SEQUENCE)?;
    let (from, rest) = time(validity)?;
    Some((from, time(rest)?.0))
}

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// The content of the DER element at the beginning, if its tag is this one, and what follows it.
pub(crate) fn element(input: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = input.split_first()?;
    let (first, rest) = rest.split_first()?;
    if *found != tag {
        return None;
    }
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0usize, |sum, byte| (sum << 8) | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

fn time(input: &[u8]) -> Option<(i64, &[u8])> {
    let (text, rest, short) = match (element(input, UTC_TIME), element(input, GENERALIZED_TIME)) {
        (Some((text, rest)), _) => (text, rest, true),
        (_, Some((text, rest))) => (text, rest, false),
        _ => return None,
    };
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z').filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
    let (year, text) = text.split_at_checked(if short { 2 } else { 4 })?;
    let year: i64 = year.parse().ok()?;
    let century = match year {
        _ if !short => 0,
        0..=49 => 2000,
        _ => 1900,
    };
    let part = |at: usize| text.get(at..at + 2)?.parse::<i64>().ok();
    let days = days(century + year, part(0)?, part(2)?);
    Some((days * 86_400 + part(4)? * 3600 + part(6)? * 60 + part(8)?, rest))
}

/// Days since 1970 of a day of the Gregorian calendar, counted from March so that leap days come last.
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year - 719_468
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn days_of_known_dates() {
        assert_eq!([days(1970, 1, 1), days(2000, 2, 29), days(2000, 3, 1), days(2026, 11, 21)], [0, 11_016, 11_017, 20_778]);
    }

    #[test]
    fn times_of_certificates() {
        let key = rcgen::KeyPair::generate().unwrap();
        // Before 2050 as UTCTime, from then on as GeneralizedTime.
        for (year, end) in [(2030, days(2030, 5, 6)), (2061, days(2061, 5, 6))] {
            let mut parameters = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
            parameters.not_before = rcgen::date_time_ymd(2020, 1, 2);
            parameters.not_after = rcgen::date_time_ymd(year, 5, 6);
            let pem = parameters.self_signed(&key).unwrap().pem();
            assert_eq!(validity(pem.as_bytes()), Some((days(2020, 1, 2) * 86_400, end * 86_400)));
        }
        assert_eq!(validity(b"no certificate"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = element(&bytes, SEQUENCE);
            let _ = time(&bytes);
        }
    }
}
