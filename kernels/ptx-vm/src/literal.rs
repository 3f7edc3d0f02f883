//! Literal numbers: integers to four bases, bits of floats, decimals.

use crate::syntax::Immediate;

/// A byte that may stand inside a name.
pub(crate) fn in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$'
}

/// The number `rest` begins with (at a digit) and how many bytes it takes; the message says what is wrong with it.
pub(crate) fn number(rest: &str) -> Result<(Immediate, usize), String> {
    let end = extent(rest.as_bytes());
    let text = &rest[..end];
    let value = match text.as_bytes().get(1).copied().unwrap_or(0) {
        b'f' | b'F' if text.starts_with('0') => Immediate::F32(bits(text, 8)? as u32),
        b'd' | b'D' if text.starts_with('0') => Immediate::F64(bits(text, 16)?),
        _ if is_decimal(text) => {
            let value = text.parse::<f64>().ok().filter(|value| value.is_finite());
            Immediate::F64(value.ok_or_else(|| unreadable(text))?.to_bits())
        }
        _ => Immediate::Integer(integer(text)?),
    };
    Ok((value, end))
}

/// Bytes of the number, all ASCII: everything that could belong to one, so that `12ab` is one bad number and not two tokens.
fn extent(bytes: &[u8]) -> usize {
    let at = |i: usize| bytes.get(i).copied().unwrap_or(0);
    let prefixed = at(0) == b'0' && b"xXbBfFdD".contains(&at(1));
    let mut end = 0;
    loop {
        let signed = matches!(at(end), b'+' | b'-')
            && end > 0
            && matches!(at(end - 1), b'e' | b'E')
            && at(end + 1).is_ascii_digit();
        if !(in_name(at(end)) || (!prefixed && (at(end) == b'.' || signed))) {
            return end;
        }
        end += 1;
    }
}

fn is_decimal(text: &str) -> bool {
    let hexadecimal = text.starts_with("0x") || text.starts_with("0X");
    !hexadecimal && text.contains(['.', 'e', 'E'])
}

/// `0f` or `0d` and exactly `digits` hexadecimal digits.
fn bits(text: &str, digits: usize) -> Result<u64, String> {
    let body = &text[2..];
    if body.len() != digits || !body.bytes().all(|b| b.is_ascii_hexdigit()) {
        let prefix = &text[..2];
        return Err(format!(
            "expected {digits} hexadecimal digits behind `{prefix}`, found `{}`",
            short(body)
        ));
    }
    u64::from_str_radix(body, 16).map_err(|_| unreadable(text))
}

fn integer(text: &str) -> Result<u64, String> {
    let digits = text.strip_suffix('U').unwrap_or(text);
    let (base, body) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if body.is_empty() || !body.chars().all(|c| c.is_digit(base)) {
        return Err(unreadable(text));
    }
    u64::from_str_radix(body, base)
        .map_err(|_| format!("expected an integer of at most 64 bits, found `{}`", short(text)))
}

fn unreadable(text: &str) -> String {
    format!("expected a number, found `{}`", short(text))
}

/// The text, cut where it would flood a message.
pub(crate) fn short(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
