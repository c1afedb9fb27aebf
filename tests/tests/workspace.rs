//! The rules of the house that a compiler does not check: floors of crates, where `unsafe` may stand, what is shipped.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn metadata() -> serde_json::Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_crate_depends_only_on_lower_floors() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    let floors: HashMap<&str, i64> = packages
        .iter()
        .map(|p| {
            let name = p["name"].as_str().unwrap();
            let floor = p["metadata"]["zpost"]["floor"].as_i64();
            (name, floor.unwrap_or_else(|| panic!("{name} has no [package.metadata.zpost] floor")))
        })
        .collect();
    for package in packages {
        let name = package["name"].as_str().unwrap();
        for dependency in package["dependencies"].as_array().unwrap() {
            let other = dependency["name"].as_str().unwrap();
            if let Some(floor) = floors.get(other).filter(|_| dependency["kind"].is_null()) {
                assert!(*floor < floors[name], "{name} (floor {}) depends on {other} (floor {floor})", floors[name]);
            }
        }
        for word in ["util", "common", "core", "misc", "types", "helpers"] {
            assert_ne!(name, word, "no crate is called so");
        }
    }
}

#[test]
fn every_direct_dependency_has_its_reason_in_the_architecture() {
    let paper = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let reasons = paper.split("## Dependencies").nth(1).unwrap().split("\n## ").next().unwrap();
    let metadata = metadata();
    let mut used = std::collections::BTreeSet::new();
    for package in metadata["packages"].as_array().unwrap() {
        for dependency in package["dependencies"].as_array().unwrap().iter().filter(|d| !d["source"].is_null()) {
            used.insert(dependency["name"].as_str().unwrap());
        }
    }
    for name in &used {
        assert!(reasons.contains(&format!("`{name}`")), "{name} has no reason in ARCHITECTURE.md");
    }
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let listed = manifest.split("[workspace.dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    for line in listed.lines().filter(|l| l.contains(" = ") && !l.contains("path = ") && !l.starts_with('#')) {
        let name = line.split(" = ").next().unwrap();
        assert!(used.contains(name), "{name} is listed in Cargo.toml and used by nobody");
    }
}

#[test]
fn every_end_to_end_test_and_fuzz_target_is_named_in_the_architecture() {
    let paper = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let tests = paper.split("## Tests").nth(1).unwrap().split("\n## ").next().unwrap();
    let words: Vec<&str> = tests.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').collect();
    for folder in ["tests/tests", "fuzz/fuzz_targets"] {
        for name in end_to_end::files(&root().join(folder)) {
            let folder_of_one = root().join(folder).join(&name).join("main.rs").exists();
            if let Some(name) = name.strip_suffix(".rs").or_else(|| folder_of_one.then_some(name.as_str())) {
                assert!(words.contains(&name), "{folder}/{name} is not in ARCHITECTURE.md, Tests");
            }
        }
    }
}

#[test]
fn every_test_that_a_promise_names_is_there() {
    let paper = fs::read_to_string(root().join("README.md")).unwrap();
    let promises = paper.split("## Promises").nth(1).unwrap().split("\n## ").next().unwrap();
    let names: Vec<&str> = promises.split('`').skip(1).step_by(2).filter(|name| name.contains('/')).collect();
    assert!(names.len() > 40, "{}", names.len());
    for name in names {
        assert!(root().join(name).exists(), "README.md names {name}");
    }
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn unsafe_stands_only_in_sys_with_a_reason_and_only_the_resolver_has_a_runtime() {
    let mut files = Vec::new();
    for folder in ["crates", "bin", "tests"] {
        sources(&root().join(folder), &mut files);
    }
    for file in files {
        let place = file.strip_prefix(root()).unwrap().display().to_string();
        let text = fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if code.contains("unsafe {") || code.contains("unsafe impl") || code.contains("unsafe fn") {
                if place.ends_with("workspace.rs") {
                    continue;
                }
                assert!(place.starts_with("crates/sys/"), "{place}:{}: unsafe outside crate sys", number + 1);
                let before = &lines[number.saturating_sub(4)..number];
                assert!(before.iter().any(|l| l.contains("SAFETY")), "{place}:{}: no SAFETY note", number + 1);
            }
        }
    }
    let metadata = metadata();
    for package in metadata["packages"].as_array().unwrap() {
        let tokio = package["dependencies"].as_array().unwrap().iter().any(|d| d["name"] == "tokio");
        assert!(!tokio || package["name"] == "resolver", "{} depends on tokio", package["name"]);
    }
}

#[test]
fn every_program_has_a_manual_page_with_the_headings_of_the_house() {
    for entry in fs::read_dir(root().join("bin")).unwrap().flatten() {
        let program = entry.file_name().to_string_lossy().into_owned();
        let page = ["1", "8"].iter().map(|s| root().join(format!("man/{program}.{s}"))).find(|p| p.exists());
        let page = page.unwrap_or_else(|| panic!("no man/{program}.1 or .8"));
        let text = fs::read_to_string(&page).unwrap();
        for heading in ["NAME", "SYNOPSIS", "DESCRIPTION", "FILES", "SECURITY", "DIAGNOSTICS", "EXIT STATUS", "SEE ALSO"] {
            let quoted = format!("\n.Sh {heading}\n");
            assert!(text.contains(&quoted), "{}: no {heading}", page.display());
        }
    }
}

#[test]
fn manual_pages_have_no_errors() {
    if !end_to_end::installed("mandoc") {
        return;
    }
    for name in end_to_end::files(&root().join("man")) {
        let output = Command::new("mandoc").args(["-T", "lint", "-W", "error"]).arg(root().join("man").join(&name)).output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn shipped_configurations_pass_the_check() {
    let mut checked = 0;
    for name in end_to_end::files(&root().join("etc")) {
        if Path::new(&name).extension().is_some_and(|e| e == "toml") {
            let output = Command::new(end_to_end::programs().join("zpost"))
                .args(["config", "check", "--text-only", "--config"])
                .arg(root().join("etc").join(&name))
                .output()
                .unwrap();
            assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
            checked += 1;
        }
    }
    assert!(checked >= 1);
}

#[test]
fn the_parameter_reference_is_the_tables_own() {
    let output = Command::new(end_to_end::programs().join("zpost")).args(["config", "reference"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page = fs::read_to_string(root().join("man/zpost.toml.5")).unwrap();
    let generated = String::from_utf8_lossy(&output.stdout);
    assert!(page.contains(generated.trim()), "man/zpost.toml.5 is not what `zpost config reference` prints; run scripts/man");
}
