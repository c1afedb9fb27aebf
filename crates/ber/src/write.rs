//! Writing.

/// An element with this content.
pub fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let [a, b, c, d] = u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut out = Vec::with_capacity(content.len().saturating_add(6));
    out.push(tag);
    match content.len() {
        0..=0x7f => out.push(d),
        0x80..=0xff => out.extend([0x81, d]),
        0x100..=0xffff => out.extend([0x82, c, d]),
        _ => out.extend([0x84, a, b, c, d]),
    }
    out.extend_from_slice(content);
    out
}

/// An integer or a member of an enumeration, not negative.
pub fn number(tag: u8, number: u32) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let mut content: &[u8] = &bytes;
    while let [0, rest @ ..] = content
        && rest.first().is_some_and(|next| *next < 0x80)
    {
        content = rest;
    }
    let sign = if content.first().is_some_and(|first| *first >= 0x80) { &[0][..] } else { &[] };
    element(tag, &[sign, content].concat())
}
