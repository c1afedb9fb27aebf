//! What the authserver goes on reading once it is confined. PAM is code of others that reads and runs what it likes, in children
//! of this process: where it is asked, there are no walls.

use sandbox::{AUTHORITIES, Folder, Granted, NAMES, Needs, folder};
use settings::{Auth, Backend, Sandbox};
use std::io;
use std::path::PathBuf;

/// Of files that are read when they have changed, the folder; of those read at a reload, themselves. `None`: everything.
pub fn granted(auth: &Auth) -> Option<Vec<Granted>> {
    let has = |backend| auth.backends.contains(&backend);
    if has(Backend::Pam) {
        return None;
    }
    let mut paths: Vec<PathBuf> = auth.sender_logins.as_deref().map(folder).into_iter().collect();
    if has(Backend::File) {
        paths.push(folder(&auth.password_file));
    }
    if has(Backend::Ldap) || has(Backend::Token) {
        paths.extend(NAMES.iter().map(PathBuf::from));
        match &auth.roots {
            Some(file) => paths.push(file.clone()),
            None => paths.extend(AUTHORITIES.iter().map(PathBuf::from)),
        }
        paths.extend(auth.token.credentials.clone());
    }
    Some(Granted::all(paths))
}

/// Is what is wanted now in what was granted? Who asks PAM no more wants its walls.
pub fn covers(granted: Option<&[Granted]>, wanted: Option<&[Granted]>) -> bool {
    match (granted, wanted) {
        (None, None) => true,
        (Some(granted), Some(wanted)) => Granted::covers(granted, wanted),
        _ => false,
    }
}

/// From here on nothing but those can be read, nothing written but its own folder, and nothing executed.
pub fn confine(wish: Sandbox, granted: Option<&[Granted]>, own: PathBuf) -> io::Result<()> {
    let Some(granted) = granted else {
        daemon::event!(Debug, "unconfined", reason = "PAM is code of others");
        return Ok(());
    };
    let mut folders = Granted::folders(granted);
    if !granted.is_empty() {
        // Where nothing of it is there yet it has to see at a reload that it has come.
        folders.push((own.clone(), Folder::Read));
    }
    folders.push((own, Folder::Make));
    sandbox::confine(wish, &Needs { folders: &folders, ..Needs::client() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn auth(more: &str) -> Auth {
        let text = format!("[paths]\npostoffice = \"/p\"\n[identity]\nhostname = \"us.example\"\n[auth]\n{more}");
        settings::parse(&text, "t").unwrap().auth
    }

    #[test]
    fn each_back_end_has_its_files_and_pam_has_all() {
        let paths = |more: &str| -> Vec<String> {
            granted(&auth(more)).unwrap().iter().map(|granted| granted.path().display().to_string()).collect()
        };
        assert_eq!(paths("backends = [\"file\"]\npassword_file = \"/a/b/passwords\"\n"), ["/a/b"]);
        let token = paths("backends = [\"token\"]\ntoken_url = \"https://t.example/\"\nroots = \"/a/ca.pem\"\n");
        assert!(
            token.contains(&"/a/ca.pem".to_owned()) && token.contains(&"/etc/hosts".to_owned()) && !token.contains(&"/etc/ssl".to_owned())
        );
        assert_eq!(paths("backends = [\"dovecot\"]\ndovecot_socket = \"/s\"\n"), Vec::<String>::new());
        assert_eq!(granted(&auth("backends = [\"pam\", \"file\"]\npassword_file = \"/a/b\"\n")), None);
    }

    #[test]
    fn what_was_not_granted_is_for_a_successor() {
        let one = granted(&auth("backends = [\"file\"]\npassword_file = \"/a/b\"\n"));
        let other = granted(&auth("backends = [\"file\"]\npassword_file = \"/c/d\"\n"));
        assert!(covers(one.as_deref(), one.as_deref()) && covers(None, None) && covers(one.as_deref(), Some(&[])));
        assert!(!covers(one.as_deref(), other.as_deref()) && !covers(None, one.as_deref()) && !covers(one.as_deref(), None));
    }
}
