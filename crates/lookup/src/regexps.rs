//! Patterns: `/pattern/flags value` a line, tried in order.
//!
//! Crate `regex` takes time linear in the text, whatever the pattern; what a pattern may grow to is bounded.

use crate::lines::{Lines, SyntaxFault};
use regex::{Regex, RegexBuilder};

/// Bytes of one compiled pattern.
const MAX_PATTERN: usize = 1024 * 1024;
/// Of one file.
const MAX_PATTERNS: usize = 10_000;

#[derive(Debug)]
struct Rule {
    line: usize,
    pattern: Regex,
    /// `!/pattern/`: every key that the pattern does not match.
    negated: bool,
    value: String,
}

/// A file of patterns.
#[derive(Debug)]
pub struct Patterns(Vec<Rule>);

/// The first pattern that matched.
#[derive(Debug, PartialEq, Eq)]
pub struct Match<'p> {
    pub line: usize,
    pub value: &'p str,
    /// Groups 1 to 9.
    pub parts: Vec<String>,
}

impl Patterns {
    /// `fold`: patterns ignore case unless a flag says otherwise.
    pub fn read(text: &str, fold: bool) -> Result<Self, SyntaxFault> {
        let mut rules = Vec::new();
        for line in Lines::new(text.as_bytes()) {
            let (line, text) = line?;
            if rules.len() >= MAX_PATTERNS {
                return Err(SyntaxFault { line, reason: format!("more than {MAX_PATTERNS} patterns") });
            }
            rules.push(rule(line, &text, fold).map_err(|reason| SyntaxFault { line, reason })?);
        }
        Ok(Self(rules))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn find(&self, key: &str) -> Option<Match<'_>> {
        self.0.iter().find_map(|rule| {
            if rule.negated {
                return (!rule.pattern.is_match(key)).then(|| Match { line: rule.line, value: &rule.value, parts: Vec::new() });
            }
            let groups = rule.pattern.captures(key)?;
            let group = |at: usize| groups.get(at).map_or_else(String::new, |group| group.as_str().to_owned());
            Some(Match { line: rule.line, value: &rule.value, parts: (1..groups.len().min(10)).map(group).collect() })
        })
    }
}

fn rule(line: usize, text: &str, fold: bool) -> Result<Rule, String> {
    let (negated, rest) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest.trim_start()));
    let mut chars = rest.char_indices();
    let delimiter = chars.next().map(|(_, c)| c).filter(char::is_ascii_punctuation).filter(|c| *c != '\\');
    let delimiter = delimiter.ok_or("no /pattern/ at the beginning of the line")?;
    let (mut pattern, mut end) = (String::new(), None);
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == delimiter => {
                end = Some(at + c.len_utf8());
                break;
            }
            '\\' => match chars.next() {
                Some((_, c)) if c == delimiter && c == '/' => pattern.push(c),
                Some((_, c)) => pattern.extend(['\\', c]),
                None => pattern.push('\\'),
            },
            c => pattern.push(c),
        }
    }
    let rest = end.and_then(|end| rest.get(end..)).ok_or_else(|| format!("the pattern has no {delimiter} at its end"))?;
    let (flags, value) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
    let value = value.trim().replace('\t', " ");
    if value.chars().any(char::is_control) {
        return Err("a control character".to_owned());
    }
    let mut builder = RegexBuilder::new(&pattern);
    builder.case_insensitive(fold).size_limit(MAX_PATTERN).dfa_size_limit(MAX_PATTERN);
    for flag in flags.chars() {
        match flag {
            'i' => builder.case_insensitive(true),
            'c' => builder.case_insensitive(false),
            'x' => builder.ignore_whitespace(true),
            other => return Err(format!("`{other}` is no flag: i (any case), c (this case), x (blanks mean nothing)")),
        };
    }
    // The library explains over several lines; the last says what is wrong.
    let why = |e: regex::Error| e.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
    Ok(Rule { line, pattern: builder.build().map_err(why)?, negated, value })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn said(text: &str, fold: bool, key: &str) -> Option<(usize, String, Vec<String>)> {
        let patterns = Patterns::read(text, fold).unwrap();
        patterns.find(key).map(|found| (found.line, found.value.to_owned(), found.parts))
    }

    #[test]
    fn patterns_in_their_order() {
        let text = "# c\n/^(.*)-outgoing@(.*)$/ %1@%2\n!/@example\\.org$/ elsewhere\n/^a/c small\n/^a b$/x never\n/^A/i any\n|^/| slash\n";
        assert_eq!(said(text, true, "List-Outgoing@Example.org"), Some((2, "%1@%2".into(), vec!["List".into(), "Example.org".into()])));
        assert_eq!(said(text, true, "b@x"), Some((3, "elsewhere".into(), vec![])));
        assert_eq!(said(text, true, "ax@example.org").unwrap().0, 4);
        assert_eq!(said(text, true, "Ax@example.org").unwrap().0, 6);
        assert_eq!(said(text, true, "/x@example.org").unwrap().0, 7);
        assert_eq!(said("/^x/ y", false, "X"), None);
        assert_eq!(said("/a\\/b|(c)/ y", false, "a/b"), Some((1, "y".into(), vec![String::new()])));
    }

    #[test]
    fn faults_have_lines() {
        for (text, line) in
            [("/a/ b\n/(/ x\n", 2), ("pattern value\n", 1), ("/a b\n", 1), ("/a/q b\n", 1), ("\n/\\w{1000}{1000}/ b\n", 2), ("!\n", 1)]
        {
            let fault = Patterns::read(text, true).unwrap_err();
            assert_eq!(fault.line, line, "{text:?} {fault:?}");
            assert!(!fault.reason.is_empty() && !fault.reason.contains('\n'));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "([/!|a-c(.*+)\\\\\\[\\]{} 1-3i]{0,20}\n){0,5}", any in any::<String>(), key in any::<String>()) {
            for text in [text, any] {
                if let Ok(patterns) = Patterns::read(&text, true) {
                    let _ = patterns.find(&key);
                }
            }
        }
    }
}
