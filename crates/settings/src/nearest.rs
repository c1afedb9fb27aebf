//! The known word nearest to a misspelt one.

/// The nearest of `known`, when it is near enough to be what was meant.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > 64 {
        return None;
    }
    let reach = (word.len() / 3).max(2);
    known.map(|k| (distance(word, k), k)).filter(|(d, _)| *d <= reach).min().map(|(_, k)| k)
}

/// Levenshtein's distance, a swap of neighbours counting one.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.to_lowercase().chars().collect(), b.to_lowercase().chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, cb) in b.iter().enumerate() {
            let cell = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX / 2);
            let mut best = (cell(&last, j) + usize::from(ca != cb)).min(cell(&last, j + 1) + 1).min(cell(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(cb) && b.get(j - 1) == Some(ca);
            if swapped {
                best = best.min(cell(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_and_leaves_strangers() {
        let known = || ["hostname", "postmaster", "networks"].into_iter();
        assert_eq!(nearest("hostnme", known()), Some("hostname"));
        assert_eq!(nearest("host_name", known()), Some("hostname"));
        assert_eq!(nearest("netwroks", known()), Some("networks"));
        assert_eq!(nearest("colour", known()), None);
        assert_eq!(distance("", "abc"), 3);
    }
}
