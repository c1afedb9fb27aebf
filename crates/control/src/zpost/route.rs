//! `zpost route ADDRESS...`; without an address the words are asked for (`console`).

use crate::link;
use crate::output::{print, print_json, shown};
use crate::site::Site;
use crate::trouble::{EX_DATAERR, EX_NOUSER, EX_SOFTWARE, EX_TEMPFAIL, Trouble};
use address::Address;
use envelope::Quad;
use ipc::control::{Reply, Request};
use ipc::routing::Answer;
use serde_json::json;

pub fn run(site: &Site, addresses: &[String], sender: &str, explain: bool, json: bool) -> Result<u8, Trouble> {
    for address in addresses {
        checked("address", address)?;
    }
    checked_sender(sender)?;
    let (mut worst, mut documents) = (0, Vec::new());
    for address in addresses {
        let answer = ask(site, address, sender)?;
        worst = worst.max(code(&answer));
        if json {
            documents.push(document(address, sender, &answer));
        } else {
            print(text(address, &answer, explain))?;
        }
    }
    match documents.as_slice() {
        [] => {}
        [one] => print_json(one)?,
        all => print_json(&all)?,
    }
    Ok(worst)
}

fn checked(what: &str, text: &str) -> Result<(), Trouble> {
    let wrong = |e| Trouble::new(EX_DATAERR, format!("`{}` is no {what}: {e}", shown(text)));
    Address::parse(text).map(drop).map_err(wrong)
}

/// The empty one is that of reports.
pub fn checked_sender(sender: &str) -> Result<(), Trouble> {
    if sender.is_empty() { Ok(()) } else { checked("sender", sender) }
}

/// Asks the routers.
pub fn ask(site: &Site, address: &str, sender: &str) -> Result<Answer, Trouble> {
    checked("address", address)?;
    checked_sender(sender)?;
    let request = Request::Route { address: address.to_owned(), sender: sender.to_owned() };
    let replies = link::ask(&site.settings.paths.run, &request)?;
    let answer = replies.into_iter().find_map(|r| if let Reply::Routed(answer) = r { Some(answer) } else { None });
    answer.ok_or_else(|| Trouble::new(EX_SOFTWARE, "the suite's answer is no route"))
}

/// 0 routed, 67 refused for good, 75 not now; of several the worst, so that nobody is overlooked.
pub fn code(answer: &Answer) -> u8 {
    match answer {
        Answer::Routed { quads, .. } => quads.iter().map(of_place).max().unwrap_or(0),
        Answer::Refused { reply, .. } if reply.code >= 500 => EX_NOUSER,
        Answer::Refused { .. } | Answer::Kinship(_) => EX_TEMPFAIL,
    }
}

/// A member of an alias that goes nowhere, or not now, has its reason for a place.
fn of_place(quad: &Quad) -> u8 {
    match quad.channel.as_str() {
        "error" => EX_NOUSER,
        "hold" if quad.host.starts_with("table:") || quad.host.starts_with("retry") => EX_TEMPFAIL,
        _ => 0,
    }
}

fn line(address: &str, quad: &Quad) -> String {
    let (address, user) = (shown(address), shown(&quad.user));
    match of_place(quad) {
        EX_NOUSER => {
            // STATUS:TEXT, the blanks of which are escaped.
            let (status, text) = quad.host.split_once(':').unwrap_or(("", &quad.host));
            let text = envelope::unescape(text.as_bytes()).unwrap_or(text.into());
            format!("{address}: {user}: refused: {status} {}\n", shown(&text))
        }
        _ => format!("{address}: channel {} host {} user {user}\n", shown(&quad.channel), shown(&quad.host)),
    }
}

pub fn text(address: &str, answer: &Answer, explain: bool) -> String {
    let (mut out, steps) = match answer {
        Answer::Routed { quads, steps } => (quads.iter().map(|quad| line(address, quad)).collect::<String>(), steps),
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

/// The answer as JSON.
pub fn document(address: &str, sender: &str, answer: &Answer) -> serde_json::Value {
    let (routes, refused, steps) = match answer {
        Answer::Routed { quads, steps } => (quads.as_slice(), None, steps.as_slice()),
        Answer::Refused { reply, steps } => (&[][..], Some(reply.to_string()), steps.as_slice()),
        Answer::Kinship(_) => (&[][..], None, &[][..]),
    };
    let route = |q: &Quad| json!({ "channel": q.channel, "host": q.host, "user": q.user, "attributes": q.attributes });
    let routes: Vec<_> = routes.iter().map(route).collect();
    json!({ "address": address, "sender": sender, "routes": routes, "refused": refused, "steps": steps })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

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
        assert_eq!(document("a@b.example", "", &answer).pointer("/routes/0/host").unwrap(), "b.example");
    }

    #[test]
    fn each_of_several_is_told_and_the_worst_counts() {
        let quad = |channel: &str, host: &str, user: &str| Quad {
            channel: channel.to_owned(),
            host: host.to_owned(),
            user: user.to_owned(),
            attributes: "-".to_owned(),
        };
        let several = |quads: &[Quad]| Answer::Routed { quads: quads.to_vec(), steps: vec![] };
        let (good, gone) = (quad("local", "-", "ann"), quad("error", "5.1.1:User%20unknown", "ghost@local.example"));
        let later = quad("hold", "table:people/silent", "bob@local.example");
        let all = several(&[good.clone(), gone.clone()]);
        assert_eq!(
            text("team@local.example", &all, false),
            "team@local.example: channel local host - user ann\nteam@local.example: ghost@local.example: refused: 5.1.1 User unknown\n"
        );
        assert_eq!((code(&all), code(&several(&[good.clone(), later])), code(&several(&[good]))), (EX_NOUSER, EX_TEMPFAIL, 0));
        assert_eq!(code(&several(&[quad("hold", "admin", "x@kept.example")])), 0, "the administrator's own wish");
    }

    #[test]
    fn what_is_no_address_is_not_asked() {
        let folder = tempfile::tempdir().unwrap();
        let site = crate::site::tests::scratch(folder.path());
        assert_eq!(ask(&site, "a\n@b", "").unwrap_err().code, EX_DATAERR);
        assert_eq!(ask(&site, "a@b", "x y").unwrap_err().code, EX_DATAERR);
        let some = ["a@b.example".to_owned(), "a b".to_owned()];
        assert_eq!(run(&site, &some, "", false, false).unwrap_err().code, EX_DATAERR, "before anything is asked");
    }
}
