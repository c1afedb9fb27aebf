//! Patterns of names: `*`, `?` and `{a,b}`, without case. ASCII names only, so bytes are characters.

/// Alternatives that braces may stand for, at most.
const MOST_ALTERNATIVES: usize = 64;

/// A pattern, its braces written out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(Vec<String>);

impl Glob {
    /// Reads a pattern; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut done = Vec::new();
        let mut open = vec![text.to_ascii_lowercase()];
        while let Some(pattern) = open.pop() {
            let Some((before, rest)) = pattern.split_once('{') else {
                if pattern.contains('}') {
                    return Err(format!("`{text}`: a }} without {{"));
                }
                done.push(pattern);
                continue;
            };
            let Some((inside, after)) = rest.split_once('}').filter(|(inside, _)| !inside.contains('{')) else {
                return Err(format!("`{text}`: braces do not match, or stand inside each other"));
            };
            open.extend(inside.split(',').map(|alternative| format!("{before}{alternative}{after}")));
            if open.len().saturating_add(done.len()) > MOST_ALTERNATIVES {
                return Err(format!("`{text}` stands for more than {MOST_ALTERNATIVES} patterns"));
            }
        }
        Ok(Self(done))
    }

    /// Without case.
    pub fn matches(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| matches(pattern.as_bytes(), name.as_bytes()))
    }
}

/// Goes back to the last `*` only, so the time is bounded by the product of the lengths.
fn matches(mut pattern: &[u8], mut name: &[u8]) -> bool {
    let mut again: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => return true,
            (Some((b'*', rest)), _) => {
                pattern = rest;
                again = Some((rest, name));
            }
            (Some((p, after)), Some((n, rest))) if *p == b'?' || *p == n.to_ascii_lowercase() => {
                pattern = after;
                name = rest;
            }
            _ => {
                let Some((after_star, tried)) = again else { return false };
                let Some((_, shorter)) = tried.split_first() else { return false };
                pattern = after_star;
                name = shorter;
                again = Some((after_star, shorter));
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        for (pattern, yes, no) in [
            ("*", vec!["", "a.b"], vec![]),
            ("smtp", vec!["smtp", "SMTP"], vec!["smtp2", ""]),
            ("*.example.org", vec!["a.example.org", "a.b.example.org"], vec!["example.org", "a.example.org.x"]),
            ("mx?.{a,b}.net", vec!["mx1.a.net", "MX2.b.net"], vec!["mx.a.net", "mx1.c.net"]),
            ("*a*b*", vec!["ab", "xaybz", "aab"], vec!["ba", "a"]),
            ("{,x}y", vec!["y", "xy"], vec!["x"]),
        ] {
            let glob = Glob::parse(pattern).unwrap();
            assert!(yes.iter().all(|name| glob.matches(name)), "{pattern}");
            assert!(!no.iter().any(|name| glob.matches(name)), "{pattern}");
        }
        for bad in ["{a", "a}", "{a,{b}}", "{1,2,3,4,5,6,7,8,9}{1,2,3,4,5,6,7,8,9}"] {
            assert!(Glob::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hostile_patterns_end_soon() {
        let glob = Glob::parse(&"*a".repeat(200)).unwrap();
        assert!(!glob.matches(&"b".repeat(5000)));
    }
}
