//! What may be asked, and what may be answered.

use crate::Trouble;
use ipc::tables::{Answer, LONGEST_ANSWER, LONGEST_KEY};

/// Values of one answer.
const MOST_VALUES: usize = 10_000;
/// Bytes of a reason: it is for a line of the log.
const LONGEST_REASON: usize = 300;

/// Whether a table may be asked for it; others are in no table.
pub fn is_key(key: &str) -> bool {
    !key.is_empty() && key.len() <= LONGEST_KEY && !key.chars().any(char::is_control)
}

/// What a source said, as far as it can be believed.
pub fn answer(said: Result<Option<Vec<String>>, Trouble>) -> Answer {
    match said {
        Ok(None) => Answer::Absent,
        Ok(Some(values)) if values.is_empty() => Answer::Absent,
        Ok(Some(values)) => match fault(&values) {
            None => Answer::Found(values),
            Some(fault) => Answer::Trouble(fault.to_owned()),
        },
        Err(trouble) => Answer::Trouble(reason(&trouble.reason)),
    }
}

fn fault(values: &[String]) -> Option<&'static str> {
    let bytes = values.iter().fold(0usize, |sum, value| sum.saturating_add(value.len()));
    if values.len() > MOST_VALUES || bytes > LONGEST_ANSWER {
        return Some("the answer is longer than an answer may be");
    }
    values.iter().any(|value| value.chars().any(char::is_control)).then_some("the answer has control characters")
}

/// One line of bounded length, whoever wrote it.
pub fn reason(text: &str) -> String {
    let mut line: String = text.chars().take(LONGEST_REASON).map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.truncate(line.floor_char_boundary(LONGEST_REASON));
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_no_table_can_have() {
        assert!(is_key("a b@x.example") && is_key("ünï") && is_key(&"k".repeat(LONGEST_KEY)));
        for bad in ["", "a\nb", "a\rb", "a\0b", "a\u{7f}", "a\u{85}b", "\t"] {
            assert!(!is_key(bad), "{bad:?}");
        }
        assert!(!is_key(&"k".repeat(LONGEST_KEY + 1)));
    }

    #[test]
    fn answers_that_are_none() {
        let found = |values: &[&str]| answer(Ok(Some(values.iter().map(|value| (*value).to_owned()).collect())));
        assert_eq!(found(&["a", "b"]), Answer::Found(vec!["a".into(), "b".into()]));
        assert_eq!((found(&[]), answer(Ok(None))), (Answer::Absent, Answer::Absent));
        for bad in ["a\nb", "a\0", "\u{1b}[2J", "\u{9b}"] {
            assert!(matches!(found(&["fine", bad]), Answer::Trouble(_)), "{bad:?}");
        }
        assert!(matches!(found(&[&"v".repeat(LONGEST_ANSWER)]), Answer::Found(_)));
        assert!(matches!(found(&[&"v".repeat(LONGEST_ANSWER), "w"]), Answer::Trouble(_)));
        assert!(matches!(found(&vec![""; MOST_VALUES + 1]), Answer::Trouble(_)));
    }

    #[test]
    fn reasons_are_lines() {
        assert_eq!(reason("a\nb\u{1b}c"), "a b c");
        assert!(reason(&"ü".repeat(1000)).len() <= LONGEST_REASON);
    }
}
