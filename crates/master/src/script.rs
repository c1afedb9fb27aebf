//! The routers' script, tried before a configuration is taken: by the router program, as the routers' user. No script runs here.

use crate::configuration::Configuration;
use settings::Fault;
use std::path::Path;
use std::process::{Command, Stdio};

/// What is wrong with `[routing] script`.
pub fn check(configuration: &Configuration, libexec: &Path, identity: Option<sys::Identity>) -> Option<Fault> {
    let routing = &configuration.settings.routing;
    let path = routing.script.as_deref()?;
    let instructions = routing.script_instructions.saturating_mul(1000).to_string();
    let mut command = Command::new(libexec.join("router"));
    command.arg("--check-script").arg(path).args([instructions, routing.script_memory.to_string()]);
    command.env_clear().current_dir("/").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let output = sys::spawn(command, identity, false).and_then(std::process::Child::wait_with_output);
    let reason = match output {
        Ok(output) if output.status.success() => return None,
        Ok(output) if output.stdout.is_empty() => format!("cannot be tried: {}", output.status),
        Ok(output) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Err(e) => format!("cannot be tried: {e}"),
    };
    Some(configuration.fault(&path.to_string_lossy(), format!("routing.script: {reason}")))
}
