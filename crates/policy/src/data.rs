//! The end of data, and what policy services of others are told.

use crate::decision::Decision;
use crate::delegation::{self, Encryption, Login, State};
use crate::facts::Facts;
use crate::session::{End, Session};
use address::{Address, Path};
use status::{Enhanced, Reply};

impl Session {
    /// What holds for the message, once its recipients are known.
    pub fn end(&self) -> End {
        let Some(more) = &self.more else { return End::default() };
        End { unfiltered: !more.end.filtered && self.transactions > 0, ..more.end.clone() }
    }

    /// Header lines to be added.
    pub fn prepend(&self) -> &[String] {
        self.more.as_ref().map_or(&[], |more| &more.end.prepend)
    }

    /// The content is complete: is it larger than a rule allows?
    pub fn content(&self, size: u64) -> Option<Decision> {
        let (_, rule) = self.more.as_ref()?.end.max_size.as_ref().filter(|(most, _)| size > *most)?;
        Some(Decision::refuse(Reply::new(552, Enhanced::permanent(3, 4), "message too large"), "size", rule))
    }

    /// The request of Postfix's policy delegation protocol.
    pub(crate) fn attributes(&self, facts: &Facts<'_>, recipient: &Address) -> Vec<(String, String)> {
        let sender = match facts.sender {
            Some(Path::Mailbox(address)) => address.as_str(),
            _ => "",
        };
        // Workers count by themselves, and services tell messages apart by this.
        let instance = format!("{:x}.{:x}.{:x}", std::process::id(), facts.number, self.transactions);
        let login = facts.user.map(|user| Login { method: user.mechanism, user: user.name, sender: "" });
        let asked = delegation::Facts {
            extended: facts.extended,
            hello: facts.hello,
            sender,
            recipient: recipient.as_str(),
            client_port: facts.port,
            client_name: self.name(),
            reverse_client_name: self.name(),
            instance: &instance,
            login: login.unwrap_or_default(),
            size: Some(facts.declared_size),
            encryption: facts.tls.then_some(Encryption { protocol: "TLS", cipher: "", key_bits: 0 }),
            policy_context: facts.listener_word(),
            ..delegation::Facts::new(State::Rcpt, facts.client)
        };
        asked.attributes()
    }
}
