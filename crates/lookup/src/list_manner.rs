//! `NAME.toml` beside a list: how it is run. zpost-lists(5) is its description.

use address::Address;

/// What a list's own file says; without one, everything is as by default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ListManner {
    /// Whom mail to the owner goes to; empty: whoever owns the list's file.
    pub owners: Vec<String>,
    /// Only mail of moderators goes to the members; other mail goes to the moderators.
    pub moderated: bool,
    /// Empty: the owners are.
    pub moderators: Vec<String>,
    /// `None`: as `[lists]` says.
    pub verp: Option<bool>,
    pub headers: Option<bool>,
    /// For List-Id: printable ASCII without `<`, `>`, `"` and `\`.
    pub description: Option<String>,
}

/// Longest description in bytes.
const MAX_DESCRIPTION: usize = 200;
/// Owners or moderators at most.
const MAX_PEOPLE: usize = 100;

impl ListManner {
    /// Reads the text. What is not understood is an error: a list that is meant to be moderated must not run unmoderated for
    /// a slip of the pen.
    pub fn parse(text: &str) -> Result<Self, String> {
        let table: toml::Table = text.parse().map_err(|e: toml::de::Error| {
            let line = e.span().and_then(|span| text.get(..span.start)).map_or(1, |before| before.matches('\n').count() + 1);
            format!("line {line}: {}", e.message().lines().next().unwrap_or_default())
        })?;
        let mut manner = Self::default();
        for (key, value) in &table {
            match key.as_str() {
                "owner" => manner.owners = people(key, value)?,
                "moderators" => manner.moderators = people(key, value)?,
                "moderated" => manner.moderated = truth(key, value)?,
                "verp" => manner.verp = Some(truth(key, value)?),
                "headers" => manner.headers = Some(truth(key, value)?),
                "description" => manner.description = Some(description(value)?),
                _ => return Err(format!("{key} is none of owner, moderated, moderators, verp, headers, description")),
            }
        }
        if !manner.moderated && !manner.moderators.is_empty() {
            return Err("there are moderators, but moderated is not true".to_owned());
        }
        Ok(manner)
    }
}

fn truth(key: &str, value: &toml::Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| format!("{key} is true or false"))
}

/// One address or a list of them.
fn people(key: &str, value: &toml::Value) -> Result<Vec<String>, String> {
    let one = std::slice::from_ref(value);
    let all = value.as_array().map_or(one, Vec::as_slice);
    if all.is_empty() || all.len() > MAX_PEOPLE {
        return Err(format!("{key} is an address, or a list of 1 to {MAX_PEOPLE} of them"));
    }
    let person = |value: &toml::Value| {
        let text = value.as_str().ok_or_else(|| format!("{key} is an address in quotes, or a list of such"))?;
        Address::parse(text).map(|address| address.as_str().to_owned()).map_err(|fault| format!("{key}: {text} is no address: {fault}"))
    };
    all.iter().map(person).collect()
}

fn description(value: &toml::Value) -> Result<String, String> {
    let text = value.as_str().ok_or("description is text in quotes")?;
    let plain = |c: char| (c.is_ascii_graphic() || c == ' ') && !matches!(c, '<' | '>' | '"' | '\\');
    if text.is_empty() || text.len() > MAX_DESCRIPTION || !text.chars().all(plain) {
        return Err(format!("description has 1 to {MAX_DESCRIPTION} printable ASCII characters without < > \" \\"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_keys() {
        let text = "owner = \"ann@example.org\"\nmoderated = true\nmoderators = [\"bob@example.org\", \"carl\"]\n\
                    verp = true\nheaders = false\ndescription = \"Talk of the town\"\n";
        let manner = ListManner::parse(text).unwrap();
        assert_eq!((manner.owners.as_slice(), manner.moderated), (["ann@example.org".to_owned()].as_slice(), true));
        assert_eq!(manner.moderators, ["bob@example.org", "carl"]);
        assert_eq!((manner.verp, manner.headers, manner.description.as_deref()), (Some(true), Some(false), Some("Talk of the town")));
        assert_eq!(ListManner::parse("# nothing\n").unwrap(), ListManner::default());
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for (text, part) in [
            ("moderatd = true", "moderatd is none of"),
            ("moderated = \"yes\"", "true or false"),
            ("moderators = [\"a\"]", "moderated is not true"),
            ("owner = \"a b@c\"", "no address"),
            ("owner = []", "1 to 100"),
            ("owner = [1]", "in quotes"),
            ("description = \"a\\nb\"", "printable"),
            ("a = 1\n\nb c", "line 3"),
        ] {
            let fault = ListManner::parse(text).unwrap_err();
            assert!(fault.contains(part), "{text}: {fault}");
        }
    }

    proptest! {
        #[test]
        fn any_text(text in "[a-z=\"\\[\\] \n]{0,60}|(owner|moderated|verp) = [a-z\"@\\[\\],]{0,20}") {
            let _ = ListManner::parse(&text);
        }
    }
}
