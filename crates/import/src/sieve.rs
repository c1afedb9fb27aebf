//! The last look: what we would not read ourselves is taken out again, with a remark. Values of other systems may be
//! anything, and their names of things too; one place that asks the true judge is better than a check at each of them.

use crate::Remark;
use std::collections::BTreeSet;

/// What every configuration needs; for the judge only, where it is missing.
const PATHS: &str = "[paths]\npostoffice = \"/var/spool/zpost\"\n";
const IDENTITY: &str = "[identity]\nhostname = \"host.example\"\n";

/// The text without the lines that have faults.
pub(crate) fn sieve(text: String, remarks: &mut Vec<Remark>) -> String {
    let mut text = text;
    // Each round takes at least one line.
    for _ in 0..=text.lines().count() {
        let before: String = [PATHS, IDENTITY]
            .into_iter()
            .filter(|section| section.lines().next().is_some_and(|head| !text.lines().any(|line| line == head)))
            .collect();
        let skipped = before.lines().count();
        let Err(faults) = settings::parse(&format!("{before}{text}"), "") else { break };
        let bad: BTreeSet<usize> = faults.iter().filter_map(|fault| fault.line.checked_sub(skipped)).filter(|line| *line > 0).collect();
        if bad.is_empty() {
            remarks.extend(faults.into_iter().map(|fault| Remark { file: "the new configuration".to_owned(), line: 0, text: fault.text }));
            break;
        }
        let lines: Vec<&str> = text.lines().collect();
        for fault in faults.iter().filter(|fault| fault.line > skipped) {
            let line = lines.get(fault.line - skipped - 1).copied().unwrap_or_default();
            remarks.push(Remark { file: "the new configuration".to_owned(), line: 0, text: format!("left out `{line}`: {}", fault.text) });
        }
        let drop = sections(&lines, &bad);
        text = (1..).zip(&lines).filter(|(number, _)| !drop.contains(number)).map(|(_, line)| format!("{line}\n")).collect();
    }
    text
}

/// The bad lines; of a section whose head is bad, all.
fn sections(lines: &[&str], bad: &BTreeSet<usize>) -> BTreeSet<usize> {
    let mut drop = bad.clone();
    let mut dropping = false;
    for (number, line) in (1..).zip(lines) {
        if line.starts_with('[') {
            dropping = bad.contains(&number);
        }
        if dropping {
            drop.insert(number);
        }
    }
    drop
}
