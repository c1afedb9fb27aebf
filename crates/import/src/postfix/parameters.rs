//! The parameters of main.cf, with `$name` filled in.

use std::collections::HashMap;

/// main.cf: parameters with `$name` filled in.
pub(super) struct Main<'a> {
    pub path: &'a str,
    pub values: HashMap<String, (usize, String)>,
    pub used: Vec<String>,
}

/// What Postfix assumes of parameters that others refer to.
const DEFAULTS: &[(&str, &str)] = &[("myorigin", "$myhostname"), ("mydestination", "$myhostname, localhost.$mydomain, localhost")];

impl Main<'_> {
    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// A parameter filled in, with what Postfix assumes where it was not set.
    pub fn assumed(&mut self, name: &str) -> Option<(usize, String)> {
        self.used.push(name.to_owned());
        let line = self.values.get(name).map_or(0, |(line, _)| *line);
        Some((line, self.value(name, 0))).filter(|(_, value)| !value.is_empty())
    }

    /// A parameter that was set, filled in.
    pub fn get(&mut self, name: &str) -> Option<(usize, String)> {
        self.used.push(name.to_owned());
        let (line, value) = self.values.get(name)?.clone();
        Some((line, self.expand(&value, 0))).filter(|(_, value)| !value.is_empty())
    }

    pub fn value(&self, name: &str, depth: u32) -> String {
        if let Some((_, value)) = self.values.get(name) {
            return self.expand(value, depth);
        }
        if name == "mydomain" {
            let host = self.value("myhostname", depth);
            return host.split_once('.').map_or_else(String::new, |(_, domain)| domain.to_owned());
        }
        DEFAULTS.iter().find(|(known, _)| *known == name).map_or_else(String::new, |(_, value)| self.expand(value, depth))
    }

    /// `$name`, `${name}`, `$(name)`.
    fn expand(&self, text: &str, depth: u32) -> String {
        if depth > 10 {
            return String::new();
        }
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            let braced =
                after.strip_prefix('{').and_then(|a| a.split_once('}')).or_else(|| after.strip_prefix('(').and_then(|a| a.split_once(')')));
            let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(after.len());
            let (name, after) = braced.unwrap_or_else(|| after.split_at(end));
            out.push_str(&self.value(name, depth + 1));
            rest = after;
        }
        out + rest
    }
}
