//! What hooks are asked about, as the machine gets it.

use mlua::{Lua, MultiValue, Value};

/// An address in its parts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Address<'a> {
    pub text: &'a str,
    /// The local part without quotes and detail.
    pub user: &'a str,
    /// In lower case; a bare name has none.
    pub domain: Option<&'a str>,
    pub detail: Option<&'a str>,
}

/// Where an address goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place<'a> {
    pub channel: &'a str,
    pub host: &'a str,
}

/// What is known of the message. While a client still speaks that is its sender, and little more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// Empty: the null reverse path.
    pub sender: &'a str,
    /// Bytes.
    pub size: Option<u64>,
    /// Network address of who gave us the message.
    pub client: Option<&'a str>,
    pub helo: Option<&'a str>,
    /// Of a login, or a local submitter.
    pub user: Option<&'a str>,
    /// `ESMTPSA` and so on.
    pub protocol: Option<&'a str>,
    /// Unix seconds.
    pub arrived: Option<u64>,
    pub recipients: Option<u64>,
}

/// The arguments of all hooks, in the order in which the library takes them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked<'a> {
    pub first: Option<Address<'a>>,
    pub second: Option<Address<'a>>,
    pub place: Option<Place<'a>>,
    pub word: Option<&'a str>,
    pub envelope: Envelope<'a>,
}

impl Asked<'_> {
    pub fn values(&self, lua: &Lua, before: [Value; 3]) -> mlua::Result<MultiValue> {
        let text = |text: Option<&str>| text.map_or(Ok(Value::Nil), |text| lua.create_string(text).map(Value::String));
        let number = |number: Option<u64>| number.map_or(Value::Nil, |n| Value::Integer(i64::try_from(n).unwrap_or(i64::MAX)));
        let mut values = Vec::with_capacity(24);
        values.extend(before);
        for address in [self.first, self.second] {
            for part in [address.map(|a| a.text), address.map(|a| a.user), address.and_then(|a| a.domain), address.and_then(|a| a.detail)] {
                values.push(text(part)?);
            }
        }
        let envelope = &self.envelope;
        let place = [self.place.map(|place| place.channel), self.place.map(|place| place.host)];
        for part in place.into_iter().chain([self.word, Some(envelope.sender)]) {
            values.push(text(part)?);
        }
        values.push(number(envelope.size));
        for part in [envelope.client, envelope.helo, envelope.user, envelope.protocol] {
            values.push(text(part)?);
        }
        values.extend([number(envelope.arrived), number(envelope.recipients)]);
        Ok(MultiValue::from_vec(values))
    }
}
