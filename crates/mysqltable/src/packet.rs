//! Packets of the client/server protocol (MariaDB and MySQL manuals), and their pieces.

use tablelink::{Link, Trouble};

/// Bytes of one packet of a server; longer ones come in several, and are no answers of ours.
const LONGEST: usize = 256 * 1024;

pub fn malformed() -> Trouble {
    Trouble::malformed("its answer is none of MySQL's protocol")
}

/// The packets of one command, which both sides number together.
#[derive(Debug)]
pub struct Packets {
    pub link: Link,
    next: u8,
}

impl Packets {
    pub const fn new(link: Link) -> Self {
        Self { link, next: 0 }
    }

    /// TLS from here on; the numbers go on.
    pub fn secure(self, turn: impl FnOnce(Link) -> Result<Link, Trouble>) -> Result<Self, Trouble> {
        Ok(Self { link: turn(self.link)?, next: self.next })
    }

    /// Begins a command.
    pub fn command(&mut self, content: &[u8]) -> Result<(), Trouble> {
        self.next = 0;
        self.send(content)
    }

    pub fn send(&mut self, content: &[u8]) -> Result<(), Trouble> {
        let length = u32::try_from(content.len()).ok().filter(|length| *length < 0xff_ffff);
        let [a, b, c, _] = length.ok_or_else(|| Trouble::broken("the query is too long"))?.to_le_bytes();
        let sent = self.link.send(&[&[a, b, c, self.next][..], content].concat());
        self.next = self.next.wrapping_add(1);
        sent
    }

    pub fn receive(&mut self) -> Result<Vec<u8>, Trouble> {
        let [a, b, c, number] = self.link.array()?;
        let length = usize::try_from(u32::from_le_bytes([a, b, c, 0])).unwrap_or(usize::MAX);
        if number != self.next {
            return Err(malformed());
        }
        if length > LONGEST {
            return Err(Trouble::malformed(format!("a packet of it has {length} bytes")));
        }
        self.next = self.next.wrapping_add(1);
        self.link.receive(length)
    }
}

/// A packet being read.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], Trouble> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or_else(malformed)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub fn array<const COUNT: usize>(&mut self) -> Result<[u8; COUNT], Trouble> {
        self.bytes(COUNT)?.try_into().map_err(|_| malformed())
    }

    pub fn byte(&mut self) -> Result<u8, Trouble> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub fn short(&mut self) -> Result<u16, Trouble> {
        self.array().map(u16::from_le_bytes)
    }

    /// Up to a zero, which is passed over; or to the end.
    pub fn zero_ended(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|byte| *byte == 0);
        let (text, rest) = self.0.split_at_checked(end.unwrap_or(self.0.len())).unwrap_or_default();
        self.0 = rest.get(1..).unwrap_or_default();
        text
    }

    /// A number of the kind that says its own length.
    pub fn number(&mut self) -> Result<u64, Trouble> {
        let more = match self.byte()? {
            small @ 0..=0xfa => return Ok(small.into()),
            0xfc => 2,
            0xfd => 3,
            0xfe => 8,
            _ => return Err(malformed()),
        };
        Ok(self.bytes(more)?.iter().rev().fold(0, |sum, byte| (sum << 8) | u64::from(*byte)))
    }

    /// Bytes behind their number.
    pub fn counted(&mut self) -> Result<&'a [u8], Trouble> {
        let length = usize::try_from(self.number()?).map_err(|_| malformed())?;
        self.bytes(length)
    }
}

/// Bytes behind their number.
pub fn counted(bytes: &[u8]) -> Vec<u8> {
    let [a, b, c, d, ..] = u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes();
    let length: &[u8] = match bytes.len() {
        0..=0xfa => &[a],
        0xfb..=0xffff => &[0xfc, a, b],
        0x1_0000..=0xff_ffff => &[0xfd, a, b, c],
        _ => &[0xfe, a, b, c, d, 0, 0, 0, 0],
    };
    [length, bytes].concat()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers() {
        for (bytes, number) in
            [(&b"\x05"[..], 5), (b"\xfa", 250), (b"\xfc\x01\x02", 0x201), (b"\xfd\x01\x02\x03", 0x3_0201), (b"\xfe\x01\0\0\0\0\0\0\0", 1)]
        {
            assert_eq!(Reader(bytes).number().unwrap(), number);
        }
        for wrong in [&b""[..], b"\xfb", b"\xff", b"\xfc\x01", b"\xfe\0\0\0"] {
            assert!(Reader(wrong).number().is_err(), "{wrong:?}");
        }
        assert!(Reader(b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff").counted().is_err());
        let mut reader = Reader(b"ab\0cd");
        assert_eq!((reader.zero_ended(), reader.zero_ended(), reader.zero_ended()), (&b"ab"[..], &b"cd"[..], &b""[..]));
    }

    proptest! {
        #[test]
        fn what_is_counted_comes_back(length in prop_oneof![0usize..600, 65_500..65_600usize]) {
            let whole = counted(&vec![7; length]);
            let mut reader = Reader(&whole);
            prop_assert_eq!(reader.counted().unwrap().len(), length);
            prop_assert!(reader.0.is_empty());
        }
    }
}
