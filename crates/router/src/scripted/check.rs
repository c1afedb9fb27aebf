//! `router --check-script`: a script is tried in a process of its own, as the user who will run it.

use super::file::check;
use std::path::Path;
use std::process::ExitCode;

/// What the program ends with where it was started for that.
pub(crate) fn check_asked() -> Option<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).take(5).collect();
    let [verb, file, instructions, memory] = arguments.as_slice() else { return None };
    if verb != "--check-script" {
        return None;
    }
    let (Ok(instructions), Ok(memory)) = (instructions.parse(), memory.parse()) else { return Some(ExitCode::from(daemon::EX_USAGE)) };
    Some(match check(Path::new(file), instructions, memory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            println!("{reason}");
            ExitCode::from(daemon::EX_CONFIG)
        }
    })
}
