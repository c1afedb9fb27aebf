//! Search filters of LDAP as people write them (RFC 4515). A filter is parsed once, with its places for keys; what a key
//! brings is a value in the tree and never becomes a part of the filter.

use crate::statement::Part;

/// Filters in filters at most.
const DEEPEST: usize = 16;

/// RFC 4511 section 4.5.1.7.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
    Present(String),
    Compare(String, Comparison, Text),
    Substrings { attribute: String, first: Option<Text>, any: Vec<Text>, last: Option<Text> },
    Matching { rule: String, attribute: String, value: Text, dn: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    AtLeast,
    AtMost,
    About,
}

/// A value: bytes of the filter, and parts of keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Text(pub Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Bytes(Vec<u8>),
    Key(Part),
}

impl Text {
    pub fn of(&self, key: &str) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in &self.0 {
            match piece {
                Piece::Bytes(bytes) => out.extend_from_slice(bytes),
                Piece::Key(part) => out.extend_from_slice(part.of(key).as_bytes()),
            }
        }
        out
    }

    fn push(&mut self, byte: u8) {
        match self.0.last_mut() {
            Some(Piece::Bytes(bytes)) => bytes.push(byte),
            _ => self.0.push(Piece::Bytes(vec![byte])),
        }
    }
}

impl Filter {
    pub fn parse(text: &str) -> Result<Self, String> {
        let whole = if text.starts_with('(') { text.to_owned() } else { format!("({text})") };
        let mut reader = Reader { rest: &whole, keys: 0 };
        let filter = reader.filter(0)?;
        if !reader.rest.is_empty() {
            return Err(format!("`{}` stands behind the filter's end", reader.rest));
        }
        if reader.keys == 0 {
            return Err("none of %k, %u, %d is in it: every key would have the same answer".to_owned());
        }
        Ok(filter)
    }
}

struct Reader<'a> {
    rest: &'a str,
    /// Places for keys so far.
    keys: usize,
}

impl<'a> Reader<'a> {
    fn filter(&mut self, depth: usize) -> Result<Filter, String> {
        if depth >= DEEPEST {
            return Err(format!("filters stand in filters more than {DEEPEST} times"));
        }
        self.expect('(')?;
        let filter = match self.rest.chars().next() {
            Some('&') => Filter::And(self.list(depth)?),
            Some('|') => Filter::Or(self.list(depth)?),
            Some('!') => {
                self.expect('!')?;
                Filter::Not(Box::new(self.filter(depth + 1)?))
            }
            _ => self.item()?,
        };
        self.expect(')')?;
        Ok(filter)
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        let found = if self.rest.is_empty() { "at its end".to_owned() } else { format!("before `{}`", self.rest) };
        self.rest = self.rest.strip_prefix(wanted).ok_or_else(|| format!("`{wanted}` is missing {found}"))?;
        Ok(())
    }

    /// Behind `&` or `|`, which is passed over.
    fn list(&mut self, depth: usize) -> Result<Vec<Filter>, String> {
        self.rest = self.rest.get(1..).unwrap_or_default();
        let mut all = Vec::new();
        while self.rest.starts_with('(') {
            all.push(self.filter(depth + 1)?);
        }
        if all.is_empty() { Err("& or | stands before no filter".to_owned()) } else { Ok(all) }
    }

    /// `attribute=value` and its like, up to the parenthesis that ends it.
    fn item(&mut self) -> Result<Filter, String> {
        let end = self.rest.find(['=', '(', ')']).filter(|at| self.rest.get(*at..).is_some_and(|rest| rest.starts_with('=')));
        let end = end.ok_or_else(|| format!("`=` is missing in `{}`", self.rest))?;
        let (left, rest) = self.rest.split_at(end);
        self.rest = rest.get(1..).unwrap_or_default();
        let (left, comparison) = match left.as_bytes().last() {
            Some(b':') => return self.matching(left),
            Some(b'>') => (left.trim_end_matches('>'), Comparison::AtLeast),
            Some(b'<') => (left.trim_end_matches('<'), Comparison::AtMost),
            Some(b'~') => (left.trim_end_matches('~'), Comparison::About),
            _ => (left, Comparison::Equal),
        };
        let attribute = attribute(left)?;
        let mut parts = self.values()?;
        if comparison != Comparison::Equal || parts.len() == 1 {
            let value = parts.pop().filter(|_| parts.is_empty());
            return Ok(Filter::Compare(attribute, comparison, value.ok_or("`*` stands only behind `=`")?));
        }
        let (last, first) = (parts.pop().filter(|text| !text.0.is_empty()), parts.remove(0));
        let first = Some(first).filter(|text| !text.0.is_empty());
        parts.retain(|text| !text.0.is_empty());
        if first.is_none() && last.is_none() && parts.is_empty() {
            return Ok(Filter::Present(attribute));
        }
        Ok(Filter::Substrings { attribute, first, any: parts, last })
    }

    /// `attribute:dn:rule:=value`; `left` ends with the last colon.
    fn matching(&mut self, left: &str) -> Result<Filter, String> {
        let mut words: Vec<&str> = left.trim_end_matches(':').split(':').collect();
        let name = if words.is_empty() { "" } else { words.remove(0) };
        let dn = words.first().is_some_and(|word| word.eq_ignore_ascii_case("dn"));
        if dn {
            words.remove(0);
        }
        let rule = words.first().copied().unwrap_or_default();
        if words.len() > 1 || (name.is_empty() && rule.is_empty()) {
            return Err(format!("`{left}=` names no attribute and no matching rule"));
        }
        let mut values = self.values()?;
        let value = values.pop().filter(|_| values.is_empty()).ok_or("`*` stands only behind `=`")?;
        let checked = |text: &str| if text.is_empty() { Ok(String::new()) } else { attribute(text) };
        Ok(Filter::Matching { rule: checked(rule)?, attribute: checked(name)?, value, dn })
    }

    /// What is between the stars of a value.
    fn values(&mut self) -> Result<Vec<Text>, String> {
        let mut done = Vec::new();
        let mut text = Text::default();
        let mut buffer = [0; 4];
        loop {
            let Some(letter) = self.rest.chars().next() else { return Err("`)` is missing at its end".to_owned()) };
            if letter == ')' {
                done.push(text);
                return Ok(done);
            }
            self.rest = self.rest.get(letter.len_utf8()..).unwrap_or_default();
            match letter {
                '*' => done.push(std::mem::take(&mut text)),
                '(' | '\0' => return Err("a parenthesis in a value is written \\28 or \\29".to_owned()),
                '\\' => text.push(self.hexadecimal()?),
                '%' => self.place(&mut text)?,
                other => other.encode_utf8(&mut buffer).bytes().for_each(|byte| text.push(byte)),
            }
        }
    }

    fn hexadecimal(&mut self) -> Result<u8, String> {
        let (digits, rest) = self.rest.split_at_checked(2).ok_or("two hexadecimal digits must stand behind `\\`")?;
        self.rest = rest;
        u8::from_str_radix(digits, 16).map_err(|_| format!("`\\{digits}`: two hexadecimal digits must stand behind `\\`"))
    }

    fn place(&mut self, text: &mut Text) -> Result<(), String> {
        let letter = self.rest.chars().next();
        self.rest = self.rest.get(letter.map_or(0, char::len_utf8)..).unwrap_or_default();
        if letter == Some('%') {
            text.push(b'%');
            return Ok(());
        }
        let sign = letter.map_or_else(String::new, |letter| letter.to_string());
        let part = letter
            .and_then(Part::named)
            .ok_or_else(|| format!("%{sign} means nothing: there are %k, %u and %d; a per cent sign is written %%"))?;
        text.0.push(Piece::Key(part));
        self.keys += 1;
        Ok(())
    }
}

/// An attribute's name or number, with options (RFC 4512 section 2.5).
fn attribute(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.;".contains(&byte));
    if fits { Ok(text.to_owned()) } else { Err(format!("`{text}` is no attribute's name")) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(text: &str) -> Piece {
        Piece::Bytes(text.as_bytes().to_vec())
    }

    #[test]
    fn filters_of_all_kinds() {
        let filter = Filter::parse("(&(objectClass=person)(|(mail=%k)(uid=%u))(!(closed=*)))").unwrap();
        let expected = Filter::And(vec![
            Filter::Compare("objectClass".into(), Comparison::Equal, Text(vec![bytes("person")])),
            Filter::Or(vec![
                Filter::Compare("mail".into(), Comparison::Equal, Text(vec![Piece::Key(Part::Key)])),
                Filter::Compare("uid".into(), Comparison::Equal, Text(vec![Piece::Key(Part::User)])),
            ]),
            Filter::Not(Box::new(Filter::Present("closed".into()))),
        ]);
        assert_eq!(filter, expected);
        assert_eq!(Filter::parse("mail=%k").unwrap(), Filter::parse("(mail=%k)").unwrap());
        let filter = Filter::parse("(proxyAddresses=smtp:*a*%d)").unwrap();
        let (first, last) = (Some(Text(vec![bytes("smtp:")])), Some(Text(vec![Piece::Key(Part::Domain)])));
        assert_eq!(filter, Filter::Substrings { attribute: "proxyAddresses".into(), first, any: vec![Text(vec![bytes("a")])], last });
        let value = Text(vec![bytes("x"), Piece::Key(Part::User), bytes("*)%")]);
        assert_eq!(Filter::parse(r"(cn>=x%u\2a\29%%)").unwrap(), Filter::Compare("cn".into(), Comparison::AtLeast, value));
        let filter = Filter::parse("(memberOf:1.2.840.113556.1.4.1941:=cn=%k)").unwrap();
        let value = Text(vec![bytes("cn="), Piece::Key(Part::Key)]);
        let (rule, attribute) = ("1.2.840.113556.1.4.1941".into(), "memberOf".into());
        assert_eq!(filter, Filter::Matching { rule, attribute, value, dn: false });
        assert!(matches!(Filter::parse("(ou:dn:=%d)").unwrap(), Filter::Matching { dn: true, .. }));
        assert!(matches!(Filter::parse("(cn~=%u)").unwrap(), Filter::Compare(_, Comparison::About, _)));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let deep = "(!".repeat(40);
        for (text, says) in [
            ("", "`=` is missing"),
            ("(mail=%k", "`)` is missing at its end"),
            ("(mail=%k))", "behind the filter's end"),
            ("(mail=x)", "the same answer"),
            ("(mail=%s)", "%s means nothing"),
            ("(mail=%k\\2)", "hexadecimal"),
            ("(&)", "before no filter"),
            ("(ma il=%k)", "no attribute's name"),
            ("(mail=(%k))", "\\28"),
            ("(mail>=*%k)", "only behind `=`"),
            (&deep, "more than 16"),
        ] {
            let fault = Filter::parse(text).unwrap_err();
            assert!(fault.contains(says), "{text}: {fault}");
        }
    }

    #[test]
    fn a_key_is_a_value_whatever_it_holds() {
        let value = Text(vec![bytes("a"), Piece::Key(Part::Key)]);
        assert_eq!(value.of("*)(uid=*))(|(uid=*"), b"a*)(uid=*))(|(uid=*");
    }

    proptest! {
        #[test]
        fn any_text(text in "\\PC{0,40}", more in "[()&|!=*a%k\\\\:<>~0-9]{0,40}") {
            let _ = Filter::parse(&text);
            let _ = Filter::parse(&more);
        }
    }
}
