//! How pickles write strings: Python's `repr`, raw-unicode-escape, and bytes of unknown encoding.

/// The bytes of a quoted Python 2 string, as `repr` writes it: `'it\'s\n'`.
pub(super) fn unquote(line: &[u8]) -> Result<Vec<u8>, String> {
    let inner = match line.trim_ascii() {
        [b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"'] => inner,
        _ => return Err("expected a string between quotes".to_owned()),
    };
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let [first, after @ ..] = rest {
        rest = after;
        if *first == b'\\' {
            rest = unescape(after, &mut bytes)?;
        } else {
            bytes.push(*first);
        }
    }
    Ok(bytes)
}

/// Adds the byte that stands behind a backslash and returns what follows it.
fn unescape<'a>(rest: &'a [u8], bytes: &mut Vec<u8>) -> Result<&'a [u8], String> {
    let [letter, after @ ..] = rest else { return Err("a backslash ends the string".to_owned()) };
    let byte = match letter {
        b'\\' | b'\'' | b'"' => *letter,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'a' => 7,
        b'b' => 8,
        b'v' => 11,
        b'f' => 12,
        b'x' => {
            bytes.push(number(after, 2, 16).ok_or("\\x without two hexadecimal digits")? as u8);
            return Ok(&after[2..]);
        }
        b'0'..=b'7' => {
            let is_octal = |&&byte: &&u8| (b'0'..=b'7').contains(&byte);
            let digits = rest.iter().take(3).take_while(is_octal).count();
            bytes.push(number(rest, digits, 8).ok_or("wrong octal digits")? as u8);
            return Ok(&rest[digits..]);
        }
        // Python leaves an unknown escape as it stands.
        other => {
            bytes.push(b'\\');
            *other
        }
    };
    bytes.push(byte);
    Ok(after)
}

/// The number that the first `digits` bytes write.
fn number(bytes: &[u8], digits: usize, radix: u32) -> Option<u32> {
    let digits = bytes.get(..digits)?;
    digits.iter().try_fold(0u32, |value, &byte| {
        Some(value.checked_mul(radix)? + char::from(byte).to_digit(radix)?)
    })
}

/// Text in raw-unicode-escape: Latin-1 in which `\uXXXX` and `\UXXXXXXXX` are escapes. A pair of
/// surrogates, which narrow builds of Python 2 wrote, is joined.
pub(super) fn raw_unicode(line: &[u8], text: &mut String) -> Result<(), String> {
    let mut units = Vec::with_capacity(line.len());
    let mut rest = line;
    while let [first, after @ ..] = rest {
        rest = after;
        let digits = match (first, after) {
            (b'\\', [b'u', ..]) => 4,
            (b'\\', [b'U', ..]) => 8,
            (b'\\', [second, more @ ..]) => {
                units.extend([u32::from(b'\\'), u32::from(*second)]);
                rest = more;
                continue;
            }
            _ => {
                units.push(u32::from(*first));
                continue;
            }
        };
        let wrong = || format!("\\u or \\U without its {digits} hexadecimal digits");
        units.push(number(&after[1..], digits, 16).ok_or_else(wrong)?);
        rest = &after[1 + digits..];
    }
    join_surrogates(&units, text)
}

fn join_surrogates(units: &[u32], text: &mut String) -> Result<(), String> {
    let mut rest = units;
    while let [first, after @ ..] = rest {
        rest = after;
        let mut code = *first;
        if let (0xd800..=0xdbff, [low @ 0xdc00..=0xdfff, more @ ..]) = (code, after) {
            code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
            rest = more;
        }
        text.push(char::from_u32(code).ok_or_else(|| format!("U+{code:04X} is no character"))?);
    }
    Ok(())
}

/// Bytes of a Python 2 `str`, whose encoding the pickle does not tell: UTF-8, or else Latin-1.
pub(super) fn decode(bytes: &[u8], text: &mut String) {
    match std::str::from_utf8(bytes) {
        Ok(utf8) => text.push_str(utf8),
        Err(_) => text.extend(bytes.iter().map(|&byte| char::from(byte))),
    }
}
