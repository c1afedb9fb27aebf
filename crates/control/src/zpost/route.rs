//! `zpost route ADDRESS`.

use crate::link;
use crate::output::{print, print_json, shown};
use crate::site::Site;
use crate::trouble::{EX_DATAERR, EX_NOUSER, EX_SOFTWARE, EX_TEMPFAIL, Trouble};
use address::Address;
use ipc::control::{Reply, Request};
use ipc::routing::Answer;
use serde_json::json;

pub fn run(site: &Site, address: &str, sender: &str, explain: bool, json: bool) -> Result<u8, Trouble> {
    let answer = ask(site, address, sender)?;
    if json {
        print_json(&document(address, &answer))?;
    } else {
        print(text(address, &answer, explain))?;
    }
    Ok(code(&answer))
}

/// Asks the routers.
pub fn ask(site: &Site, address: &str, sender: &str) -> Result<Answer, Trouble> {
    for (what, text) in [("address", address), ("sender", sender)] {
        if !(what == "sender" && text.is_empty()) {
            Address::parse(text).map_err(|e| Trouble::new(EX_DATAERR, format!("`{}` is no {what}: {e}", shown(text))))?;
        }
    }
    let request = Request::Route { address: address.to_owned(), sender: sender.to_owned() };
    let replies = link::ask(&site.settings.paths.run, &request)?;
    let answer = replies.into_iter().find_map(|r| if let Reply::Routed(answer) = r { Some(answer) } else { None });
    answer.ok_or_else(|| Trouble::new(EX_SOFTWARE, "the suite's answer is no route"))
}

/// 0 routed, 67 refused for good, 75 not now.
pub fn code(answer: &Answer) -> u8 {
    match answer {
        Answer::Routed { .. } => 0,
        Answer::Refused { reply, .. } if reply.code >= 500 => EX_NOUSER,
        Answer::Refused { .. } | Answer::Kinship(_) => EX_TEMPFAIL,
    }
}

pub fn text(address: &str, answer: &Answer, explain: bool) -> String {
    let (mut out, steps) = match answer {
        Answer::Routed { quads, steps } => {
            let line = |q: &envelope::Quad| {
                format!("{}: channel {} host {} user {}\n", shown(address), shown(&q.channel), shown(&q.host), shown(&q.user))
            };
            (quads.iter().map(line).collect::<String>(), steps)
        }
        Answer::Refused { reply, steps } => (format!("{}: refused: {}\n", shown(address), shown(&reply.to_string())), steps),
        Answer::Kinship(_) => return format!("{}: an answer to another question\n", shown(address)),
    };
    if explain {
        for step in steps {
            out.push_str(&format!("  {}\n", shown(step)));
        }
    }
    out
}

fn document(address: &str, answer: &Answer) -> serde_json::Value {
    match answer {
        Answer::Routed { quads, steps } => {
            let routes: Vec<_> =
                quads.iter().map(|q| json!({ "channel": q.channel, "host": q.host, "user": q.user, "attributes": q.attributes })).collect();
            json!({ "address": address, "routes": routes, "refused": null, "steps": steps })
        }
        Answer::Refused { reply, steps } => json!({ "address": address, "routes": [], "refused": reply.to_string(), "steps": steps }),
        Answer::Kinship(_) => json!({ "address": address, "routes": [], "refused": null, "steps": [] }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use envelope::Quad;

    #[test]
    fn a_route_and_its_reasons() {
        let quad =
            Quad { channel: "smtp".to_owned(), host: "b.example".to_owned(), user: "a@b.example".to_owned(), attributes: "-".to_owned() };
        let answer = Answer::Routed { quads: vec![quad], steps: vec!["no route names b.example".to_owned()] };
        assert_eq!(
            text("a@b.example", &answer, true),
            "a@b.example: channel smtp host b.example user a@b.example\n  no route names b.example\n"
        );
        assert_eq!(code(&answer), 0);
        assert_eq!(document("a@b.example", &answer).pointer("/routes/0/host").unwrap(), "b.example");
    }

    #[test]
    fn what_is_no_address_is_not_asked() {
        let folder = tempfile::tempdir().unwrap();
        let site = crate::site::tests::scratch(folder.path());
        assert_eq!(ask(&site, "a\n@b", "").unwrap_err().code, EX_DATAERR);
        assert_eq!(ask(&site, "a@b", "x y").unwrap_err().code, EX_DATAERR);
    }
}
