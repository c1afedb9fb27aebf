//! tests/dialogues/*: text dialogues at the real server (the format, and which attack is shown where: its README.md).

use end_to_end::dialogue::crew;
use std::path::Path;

/// One test for each folder of dialogues.
macro_rules! folders {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            crew::at_suite(stringify!($name));
        })*

        #[test]
        fn every_folder_has_its_test() {
            let here = [$(stringify!($name)),*];
            for folder in end_to_end::files(&crew::root()) {
                assert!(folder == "README.md" || here.contains(&folder.as_str()), "{folder} is run by no test");
            }
        }
    };
}

folders! { end_of_data chunks lines tls transactions addresses first_contact policy }

/// The list of attacks names files that exist.
#[test]
fn what_the_list_names_is_there() {
    let text = std::fs::read_to_string(crew::root().join("README.md")).unwrap();
    let list = text.split("## Which attack").nth(1).unwrap();
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut seen = 0;
    for name in list.split('`').skip(1).step_by(2).filter(|name| name.contains('/')) {
        let path = if name.starts_with("tests/") || name.starts_with("crates/") { top.join(name) } else { crew::root().join(name) };
        let beginning = path.file_name().unwrap().to_string_lossy().split('*').next().unwrap().to_owned();
        let there = end_to_end::files(path.parent().unwrap());
        assert!(there.iter().any(|file| file.starts_with(&beginning)), "{name} is not there");
        seen += 1;
    }
    assert!(seen > 30, "{seen}");
}
