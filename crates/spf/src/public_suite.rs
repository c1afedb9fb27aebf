//! The community's test suite for RFC 7208, where `ZPOST_SPF_SUITE` says it is (rfc7208-tests.yml of PyPI's pyspf).

use crate::zone::Zone;
use std::process::Command;

#[test]
fn the_public_suite() {
    let Ok(suite) = std::env::var("ZPOST_SPF_SUITE") else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/public_suite.py");
    let output = Command::new("python3").args([script, &suite]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (mut zone, mut wrong, mut count) = (Zone::new(""), Vec::new(), 0);
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        match fields.as_slice() {
            ["zone"] => zone = Zone::new(""),
            ["line", ..] => zone.add(&line["line\t".len()..]),
            ["test", name, client, hello, sender, results, explanation] => {
                count += 1;
                let spf = zone.check(client, hello, sender);
                let explained = matches!(*explanation, "" | "DEFAULT") || *explanation == spf.explanation;
                if !explained || !results.split(',').any(|result| result == spf.result.word()) {
                    wrong.push(format!("{name}: {spf:?}, not {results} {explanation}"));
                }
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(count > 150 && wrong.is_empty(), "{count} cases, wrong:\n{}", wrong.join("\n"));
}
