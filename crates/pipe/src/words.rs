//! The %-words of arguments. What a sender or recipient chose stays inside the one argument that names it; no quoting is
//! needed because nothing ever takes the arguments apart again.

use std::fmt;

/// What the words stand for, for one recipient.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recipient {
    /// The address.
    pub address: String,
    /// Its local part without detail, without quotes.
    pub user: String,
    pub detail: String,
    pub domain: String,
    /// The address before routing.
    pub original: String,
}

impl Recipient {
    /// Takes an address apart. `detail`: characters that begin the detail.
    pub fn new(address: &str, original: Option<&str>, detail: &str) -> Self {
        let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
        let local = address::unquoted(local).into_owned();
        // A name that begins with the character has no detail: `+x` is a user.
        let at = local.char_indices().skip(1).find(|(_, c)| detail.contains(*c)).map(|(at, _)| at);
        let (user, detail) = match at.and_then(|at| local.split_at_checked(at)) {
            Some((user, rest)) => (user.to_owned(), rest.chars().skip(1).collect()),
            None => (local, String::new()),
        };
        Self { address: address.to_owned(), user, detail, domain: domain.to_owned(), original: original.unwrap_or(address).to_owned() }
    }
}

/// What the words stand for that is the same for all recipients.
#[derive(Debug, Clone, Default)]
pub struct Message<'a> {
    /// Empty for `<>`, which is then what the program gets.
    pub sender: &'a str,
    pub host: &'a str,
    pub id: &'a str,
    pub message_id: &'a str,
}

/// An argument that an address would make an option of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Option_(pub String);

impl fmt::Display for Option_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the address would be an option of the program: {}", self.0.escape_default())
    }
}

/// Letters that differ from recipient to recipient.
const OF_RECIPIENT: [&str; 5] = ["%r", "%u", "%e", "%d", "%o"];

/// The argument vector for these recipients (one, unless the pipe takes many): an argument with a word of the recipient is
/// repeated for each.
pub fn expand(template: &[String], message: &Message<'_>, recipients: &[Recipient]) -> Result<Vec<String>, Option_> {
    let mut words = Vec::with_capacity(template.len());
    let mut options_over = false;
    for argument in template {
        let without_percent = argument.replace("%%", "");
        let repeated = OF_RECIPIENT.iter().any(|word| without_percent.contains(word));
        let times = if repeated { recipients } else { recipients.get(..1).unwrap_or_default() };
        for recipient in times {
            let word = one(argument, message, recipient);
            if word.starts_with('-') && !argument.starts_with('-') && !options_over {
                return Err(Option_(word));
            }
            words.push(word);
        }
        options_over |= argument == "--";
    }
    Ok(words)
}

fn one(argument: &str, message: &Message<'_>, recipient: &Recipient) -> String {
    let mut out = String::with_capacity(argument.len());
    let mut letters = argument.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        let value = match letters.next() {
            Some('s') if message.sender.is_empty() => "<>",
            Some('s') => message.sender,
            Some('r') => &recipient.address,
            Some('u') => &recipient.user,
            Some('e') => &recipient.detail,
            Some('d') => &recipient.domain,
            Some('o') => &recipient.original,
            Some('h') => message.host,
            Some('i') => message.id,
            Some('m') => message.message_id,
            _ => "%",
        };
        // A NUL would end the argument: the kernel takes C strings.
        out.extend(value.chars().filter(|c| *c != '\0'));
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn words_stay_inside_their_arguments() {
        let message = Message { sender: "", host: "far", id: "17", message_id: "<a b@c>" };
        let joe = Recipient::new("joe+a+b@x.example", Some("j@y.example"), "+-");
        let template = texts(&["/bin/p", "-f", "%s", "-d%u", "--", "%u|%e|%d", "%o", "%h%%%i", "%m", "%r"]);
        let wanted = ["/bin/p", "-f", "<>", "-djoe", "--", "joe|a+b|x.example", "j@y.example", "far%17", "<a b@c>", "joe+a+b@x.example"];
        assert_eq!(expand(&template, &message, &[joe]).unwrap(), wanted);
        let hostile = Recipient::new("\"$(id) `id`;|&>x\"@x.example", None, "+");
        assert_eq!(expand(&texts(&["p", "%u"]), &message, &[hostile]).unwrap(), ["p", "$(id) `id`;|&>x"]);
        let plus = Recipient::new("+x@y", None, "+");
        assert_eq!((plus.user.as_str(), plus.detail.as_str()), ("+x", ""));
    }

    #[test]
    fn an_address_does_not_become_an_option() {
        let message = Message { sender: "-oQ/tmp@x", ..Message::default() };
        let dash = [Recipient::new("-exec@x", None, "+")];
        for template in [&["p", "%u"][..], &["p", "%s"], &["p", "%%u", "%r", "--"]] {
            assert!(expand(&texts(template), &message, &dash).is_err(), "{template:?}");
        }
        assert_eq!(expand(&texts(&["p", "--", "%u"]), &message, &dash).unwrap(), ["p", "--", "-exec"]);
        assert_eq!(expand(&texts(&["p", "-d", "=%u"]), &message, &dash).unwrap(), ["p", "-d", "=-exec"]);
    }

    #[test]
    fn arguments_with_a_word_of_the_recipient_are_repeated() {
        let two = [Recipient::new("a@x", None, ""), Recipient::new("b@y", None, "")];
        let template = texts(&["p", "%%u", "<%u@%d>", "end"]);
        assert_eq!(expand(&template, &Message::default(), &two).unwrap(), ["p", "%u", "<a@x>", "<b@y>", "end"]);
    }

    proptest! {
        #[test]
        fn any_address_gives_the_same_number_of_arguments(address in "\\PC{0,30}", template in proptest::collection::vec("(-|x|%[sruedohim%]){0,4}", 1..6)) {
            let recipient = Recipient::new(&address, None, "+");
            if let Ok(words) = expand(&template, &Message { sender: &address, ..Message::default() }, &[recipient]) {
                prop_assert_eq!(words.len(), template.len());
                prop_assert!(words.iter().all(|word| !word.contains('\0')));
            }
        }
    }
}
