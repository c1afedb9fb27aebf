//! Which configuration a command works with.

use crate::trouble::{EX_CONFIG, Trouble};
use settings::Settings;
use std::path::{Path, PathBuf};

pub const DEFAULT_CONFIG: &str = "/etc/zpost/zpost.toml";

/// The configuration file and what it says.
#[derive(Debug)]
pub struct Site {
    pub config: PathBuf,
    pub settings: Settings,
}

/// `--config`, else `ZPOST_CONFIG`, else the default.
pub fn config_path(given: Option<&Path>) -> PathBuf {
    let environment = || std::env::var_os("ZPOST_CONFIG").filter(|v| !v.is_empty()).map(PathBuf::from);
    given.map(Path::to_path_buf).or_else(environment).unwrap_or_else(|| PathBuf::from(DEFAULT_CONFIG))
}

/// The text of the configuration file.
pub fn read_config(path: &Path) -> Result<String, Trouble> {
    std::fs::read_to_string(path).map_err(|e| {
        let hint = match e.kind() {
            std::io::ErrorKind::PermissionDenied => {
                "who sends mail or looks at it reads this file: chmod a+r it, and keep secrets in files of their own"
            }
            _ => "give another with --config FILE or ZPOST_CONFIG",
        };
        Trouble::new(EX_CONFIG, format!("cannot read the configuration {}: {e}; {hint}", path.display()))
    })
}

/// All faults as one trouble, a line each.
pub fn faulty(path: &Path, faults: &[settings::Fault]) -> Trouble {
    let name = path.display().to_string();
    let lines: Vec<String> = faults.iter().map(|f| f.display(&name)).collect();
    Trouble::new(EX_CONFIG, lines.join("\n"))
}

impl Site {
    /// As `load`, for commands that speak with a suite at work: it goes on with the configuration it read before, so a
    /// file that has become faulty since is a warning here.
    pub fn load_despite_faults(given: Option<&Path>) -> Result<Self, Trouble> {
        let config = config_path(given);
        match settings::parse_leniently(&read_config(&config)?) {
            (Some(settings), faults) => {
                for line in faulty(&config, &faults).text.lines() {
                    crate::output::complain(&format!("zpost: warning: {line}\n"));
                }
                Ok(Self { config, settings })
            }
            (None, faults) => Err(faulty(&config, &faults)),
        }
    }

    pub fn load(given: Option<&Path>) -> Result<Self, Trouble> {
        let config = config_path(given);
        let text = read_config(&config)?;
        let settings = settings::parse(&text, &config.to_string_lossy()).map_err(|faults| faulty(&config, &faults))?;
        Ok(Self { config, settings })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub mod tests {
    use super::*;

    /// A site below a folder of its own.
    pub fn scratch(folder: &Path) -> Site {
        let text = format!("paths.postoffice = {folder:?}\nidentity.hostname = \"mta.example\"\n[local]\ndomains = [\"local.example\"]\n");
        let config = folder.join("zpost.toml");
        std::fs::write(&config, &text).unwrap();
        Site::load(Some(&config)).unwrap()
    }

    #[test]
    fn a_missing_and_a_wrong_configuration_are_configuration_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("zpost.toml");
        assert_eq!(Site::load(Some(&path)).unwrap_err().code, EX_CONFIG);
        std::fs::write(&path, "[pats]\n").unwrap();
        let trouble = Site::load(Some(&path)).unwrap_err();
        assert_eq!(trouble.code, EX_CONFIG);
        assert!(trouble.text.contains(":1:2: unknown section `pats`; did you mean [paths]?"), "{}", trouble.text);
    }
}
