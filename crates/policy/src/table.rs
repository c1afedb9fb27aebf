//! Compiled tables: rules in a file, each under one key.
//!
//! Key: a letter (c client, n name, h helo, u user, s sender, r recipient) and the key itself; of a client the length of
//! its prefix and the first address. Value: lines, the place first, then `attribute=text`. Under `!` is what the file is, and
//! the prefix lengths that occur.

use crate::networks::first;
use cdb::Bytes;
use settings::{Attributes, Network};
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

const MAGIC: &str = "zpost-policy 1";

/// A table that cannot be read, or holds what no `zpost newdb` wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble(pub String);

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Trouble {}

/// What stands under one key.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// `file:line` of the source.
    pub place: String,
    pub attributes: Attributes,
}

/// A compiled table.
pub struct Table {
    name: String,
    file: Box<dyn Bytes>,
    v4: Vec<u8>,
    v6: Vec<u8>,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Table {
    /// `name`: for messages about it.
    pub fn open(name: &str, file: Box<dyn Bytes>) -> Result<Self, Trouble> {
        let unknown = || Trouble(format!("{name} was not made by zpost newdb"));
        let head = cdb::find(&*file, b"!").map_err(|e| Trouble(format!("{name}: {e}")))?.ok_or_else(unknown)?;
        let head = String::from_utf8(head).map_err(|_| unknown())?;
        let mut lines = head.lines();
        if lines.next() != Some(MAGIC) {
            return Err(unknown());
        }
        let mut lengths = || lines.next().map(|line| line.split(' ').filter_map(|n| n.parse().ok()).collect()).ok_or_else(unknown);
        Ok(Self { v4: lengths()?, v6: lengths()?, name: name.to_owned(), file })
    }

    /// The record of the smallest network that the address is in, of those longer than `than`, with its length.
    pub(crate) fn client(&self, address: IpAddr, than: Option<u8>) -> Result<Option<(u8, Record)>, Trouble> {
        let lengths = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        for length in lengths.iter().filter(|length| than.is_none_or(|than| **length > than)) {
            if let Some(record) = self.get(&client_key(first(address, *length), *length))? {
                return Ok(Some((*length, record)));
            }
        }
        Ok(None)
    }

    pub(crate) fn keyed(&self, kind: u8, key: &str) -> Result<Option<Record>, Trouble> {
        self.get(&text_key(kind, key))
    }

    fn get(&self, key: &[u8]) -> Result<Option<Record>, Trouble> {
        let trouble = |why: &dyn fmt::Display| Trouble(format!("{}: {why}", self.name));
        let Some(value) = cdb::find(&*self.file, key).map_err(|e| trouble(&e))? else { return Ok(None) };
        let text = String::from_utf8(value).map_err(|_| trouble(&"not text"))?;
        let mut lines = text.lines();
        let mut record = Record { place: lines.next().unwrap_or_default().to_owned(), ..Record::default() };
        for line in lines {
            let (name, text) = line.split_once('=').ok_or_else(|| trouble(&"damaged record"))?;
            record.attributes.set_text(name, text).map_err(|e| trouble(&e))?;
        }
        Ok(Some(record))
    }
}

fn client_key(address: IpAddr, length: u8) -> Vec<u8> {
    let mut key = vec![b'c', length];
    match address {
        IpAddr::V4(a) => key.extend_from_slice(&a.octets()),
        IpAddr::V6(a) => key.extend_from_slice(&a.octets()),
    }
    key
}

fn text_key(kind: u8, key: &str) -> Vec<u8> {
    [&[kind], key.as_bytes()].concat()
}

/// What becomes a table. The first record of a key counts.
#[derive(Debug, Default)]
pub struct Records {
    records: Vec<(Vec<u8>, Record)>,
    /// Key to place.
    known: HashMap<Vec<u8>, String>,
    v4: Vec<u8>,
    v6: Vec<u8>,
}

impl Records {
    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Adds a record; the place of the one that was there before.
    pub fn client(&mut self, network: Network, record: Record) -> Result<(), String> {
        let lengths = if network.address.is_ipv4() { &mut self.v4 } else { &mut self.v6 };
        if let Err(place) = lengths.binary_search_by(|length| network.prefix.cmp(length)) {
            lengths.insert(place, network.prefix);
        }
        self.add(client_key(network.address, network.prefix), record)
    }

    /// As [`Records::client`], under another kind of key.
    pub fn keyed(&mut self, kind: u8, key: &str, record: Record) -> Result<(), String> {
        self.add(text_key(kind, key), record)
    }

    fn add(&mut self, key: Vec<u8>, record: Record) -> Result<(), String> {
        if let Some(place) = self.known.get(&key) {
            return Err(place.clone());
        }
        self.known.insert(key.clone(), record.place.clone());
        self.records.push((key, record));
        Ok(())
    }

    /// The file; `None`: too large.
    pub fn compile(&self) -> Option<Vec<u8>> {
        let lengths = |list: &[u8]| list.iter().map(u8::to_string).collect::<Vec<_>>().join(" ");
        let head = format!("{MAGIC}\n{}\n{}\n", lengths(&self.v4), lengths(&self.v6));
        let texts: Vec<String> = self.records.iter().map(|(_, record)| text(record)).collect();
        let records = self.records.iter().zip(&texts).map(|((key, _), text)| (key.as_slice(), text.as_bytes()));
        cdb::make(std::iter::once((&b"!"[..], head.as_bytes())).chain(records)).ok()
    }
}

fn text(record: &Record) -> String {
    let mut out = format!("{}\n", record.place);
    for (name, text) in record.attributes.texts() {
        out.push_str(&format!("{name}={text}\n"));
    }
    out
}
