//! Text as C's `printf` formats it (C17 7.21.6.1), for kernels that print.

use crate::error::{Checked, Violation};

/// The widest field and the most digits a format may ask for.
const MOST_WIDTH: usize = 4096;

/// Where the arguments come from.
pub trait Arguments {
    /// The next argument, of 8 bytes or 4.
    ///
    /// # Errors
    /// It cannot be read.
    fn word(&mut self, wide: bool) -> Checked<u64>;
    /// The text at an address, up to its zero.
    ///
    /// # Errors
    /// It cannot be read.
    fn text(&mut self, address: u64) -> Checked<Vec<u8>>;
    /// A format that cannot be followed.
    fn wrong(&self, message: String) -> Box<Violation>;
}

/// `%-08.3lf` taken apart.
#[derive(Debug, Clone, Copy, Default)]
struct Conversion {
    left: bool,
    plus: bool,
    space: bool,
    alternate: bool,
    zero: bool,
    width: usize,
    precision: Option<usize>,
    /// Bytes of an integer.
    bytes: u32,
    kind: u8,
}

/// The text, and how many arguments it took.
///
/// # Errors
/// An unknown conversion, a field too wide, an argument that cannot be read.
pub fn format(format: &[u8], arguments: &mut dyn Arguments) -> Checked<(Vec<u8>, u32)> {
    let (mut out, mut rest, mut taken) = (Vec::new(), format, 0);
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        if first != b'%' {
            out.push(first);
            continue;
        }
        let conversion = parse(&mut rest, arguments, &mut taken)?;
        if conversion.kind == b'%' {
            out.push(b'%');
            continue;
        }
        taken += 1;
        one(&conversion, arguments, &mut out)?;
    }
    Ok((out, taken))
}

/// Takes what stands behind a percent sign.
fn parse(rest: &mut &[u8], arguments: &mut dyn Arguments, taken: &mut u32) -> Checked<Conversion> {
    let mut found = Conversion { bytes: 4, ..Conversion::default() };
    loop {
        match rest.first() {
            Some(b'-') => found.left = true,
            Some(b'+') => found.plus = true,
            Some(b' ') => found.space = true,
            Some(b'#') => found.alternate = true,
            Some(b'0') => found.zero = true,
            _ => break,
        }
        *rest = &rest[1..];
    }
    let width = number(rest, arguments, taken)?.unwrap_or(0);
    found.left |= width < 0;
    found.width = width.unsigned_abs() as usize;
    if let Some(behind) = rest.strip_prefix(b".") {
        *rest = behind;
        let precision = number(rest, arguments, taken)?.unwrap_or(0);
        found.precision = usize::try_from(precision).ok();
    }
    if found.width > MOST_WIDTH || found.precision.unwrap_or(0) > MOST_WIDTH {
        let message = format!("printf: a field of more than {MOST_WIDTH} characters");
        return Err(arguments.wrong(message));
    }
    let sizes: [(&[u8], u32); 7] =
        [(b"hh", 1), (b"ll", 8), (b"h", 2), (b"l", 8), (b"z", 8), (b"j", 8), (b"t", 8)];
    if let Some((size, bytes)) = sizes.into_iter().find(|(size, _)| rest.starts_with(size)) {
        (found.bytes, *rest) = (bytes, &rest[size.len()..]);
    }
    let Some((&kind, behind)) = rest.split_first() else {
        return Err(arguments.wrong("printf: the format ends behind a percent sign".to_owned()));
    };
    *rest = behind;
    found.kind = kind;
    Ok(found)
}

/// A width or precision: digits, or `*` for the next argument.
fn number(
    rest: &mut &[u8],
    arguments: &mut dyn Arguments,
    taken: &mut u32,
) -> Checked<Option<i32>> {
    if let Some(behind) = rest.strip_prefix(b"*") {
        *rest = behind;
        *taken += 1;
        return Ok(Some(arguments.word(false)? as u32 as i32));
    }
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, behind) = rest.split_at(digits);
    *rest = behind;
    let value = number.iter().fold(0i32, |value, digit| {
        value.saturating_mul(10).saturating_add(i32::from(digit - b'0'))
    });
    Ok((digits > 0).then_some(value))
}

/// One argument.
fn one(conversion: &Conversion, arguments: &mut dyn Arguments, out: &mut Vec<u8>) -> Checked<()> {
    match conversion.kind {
        b'd' | b'i' | b'u' | b'x' | b'X' | b'o' => {
            let bits = arguments.word(conversion.bytes == 8)?;
            integer(conversion, bits, out);
        }
        b'p' => {
            let alternate = Conversion { kind: b'x', alternate: true, bytes: 8, ..*conversion };
            integer(&alternate, arguments.word(true)?, out);
        }
        b'f' | b'F' | b'e' | b'E' | b'g' | b'G' | b'a' | b'A' => {
            float(conversion, f64::from_bits(arguments.word(true)?), out);
        }
        b'c' => pad(conversion, b"", &[arguments.word(false)? as u8], false, out),
        b's' => {
            let address = arguments.word(true)?;
            let mut text = arguments.text(address)?;
            text.truncate(conversion.precision.unwrap_or(text.len()));
            pad(conversion, b"", &text, false, out);
        }
        kind => {
            let message =
                format!("printf: unknown conversion %{}", (kind as char).escape_default());
            return Err(arguments.wrong(message));
        }
    }
    Ok(())
}

fn integer(conversion: &Conversion, bits: u64, out: &mut Vec<u8>) {
    let shift = 64 - 8 * conversion.bytes;
    let signed = matches!(conversion.kind, b'd' | b'i');
    let value = (bits << shift) as i64 >> shift;
    let magnitude = if signed { value.unsigned_abs() } else { bits << shift >> shift };
    let mut digits = match conversion.kind {
        b'x' => format!("{magnitude:x}"),
        b'X' => format!("{magnitude:X}"),
        b'o' => format!("{magnitude:o}"),
        _ => magnitude.to_string(),
    };
    let least = conversion.precision.unwrap_or(1);
    if magnitude == 0 && least == 0 {
        digits.clear();
    }
    let zeros = least.saturating_sub(digits.len());
    digits.insert_str(0, &"0".repeat(zeros));
    if conversion.alternate && conversion.kind == b'o' && !digits.starts_with('0') {
        digits.insert(0, '0');
    }
    let prefix = match conversion.kind {
        b'x' if conversion.alternate && magnitude != 0 => "0x",
        b'X' if conversion.alternate && magnitude != 0 => "0X",
        _ if signed => sign(conversion, value < 0),
        _ => "",
    };
    pad(conversion, prefix.as_bytes(), digits.as_bytes(), conversion.precision.is_none(), out);
}

fn sign(conversion: &Conversion, negative: bool) -> &'static str {
    match (negative, conversion.plus, conversion.space) {
        (true, ..) => "-",
        (_, true, _) => "+",
        (_, _, true) => " ",
        _ => "",
    }
}

fn float(conversion: &Conversion, value: f64, out: &mut Vec<u8>) {
    let magnitude = value.abs();
    let precision = conversion.precision.unwrap_or(6);
    let mut digits = match conversion.kind.to_ascii_lowercase() {
        _ if value.is_nan() => "nan".to_owned(),
        _ if value.is_infinite() => "inf".to_owned(),
        b'f' => fixed(magnitude, precision, conversion.alternate),
        b'e' => scientific(magnitude, precision, conversion.alternate),
        b'g' => general(magnitude, precision.max(1), conversion.alternate),
        _ => hexadecimal(magnitude, conversion.precision, conversion.alternate),
    };
    let mut prefix = sign(conversion, value.is_sign_negative()).to_owned();
    if let Some(behind) = digits.strip_prefix("0x") {
        prefix += "0x";
        digits = behind.to_owned();
    }
    if conversion.kind.is_ascii_uppercase() {
        (prefix, digits) = (prefix.to_uppercase(), digits.to_uppercase());
    }
    pad(conversion, prefix.as_bytes(), digits.as_bytes(), value.is_finite(), out);
}

fn fixed(magnitude: f64, precision: usize, point: bool) -> String {
    let point = if point && precision == 0 { "." } else { "" };
    format!("{magnitude:.precision$}{point}")
}

/// Rust writes `1.5e-7` where C has `1.5e-07`.
fn scientific(magnitude: f64, precision: usize, point: bool) -> String {
    let text = format!("{magnitude:.precision$e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let point = if point && precision == 0 { "." } else { "" };
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}{point}e{sign}{exponent:0>2}")
}

/// `%g`: the shorter of the two others, without zeros at the end.
fn general(magnitude: f64, precision: usize, keep_zeros: bool) -> String {
    let text = scientific(magnitude, precision - 1, keep_zeros);
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let short = |digits: &str| match digits.contains('.') && !keep_zeros {
        true => digits.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => digits.to_owned(),
    };
    let power: i64 = exponent.parse().unwrap_or(0);
    if (-4..precision as i64).contains(&power) {
        let behind = (precision as i64 - 1 - power) as usize;
        return short(&fixed(magnitude, behind, keep_zeros));
    }
    format!("{}e{exponent}", short(digits))
}

/// `%a`: the bits of the number, as many as are needed or asked for.
fn hexadecimal(magnitude: f64, precision: Option<usize>, point: bool) -> String {
    const DIGITS: usize = 13;
    let bits = magnitude.to_bits();
    let (biased, mut mantissa) = ((bits >> 52) as i64, bits & ((1 << 52) - 1));
    let exponent = match (biased, mantissa) {
        (0, 0) => 0,
        (0, _) => -1022,
        _ => biased - 1023,
    };
    mantissa |= u64::from(biased > 0) << 52;
    let kept = precision.unwrap_or(DIGITS).min(DIGITS);
    let lost = 4 * (DIGITS - kept) as u32;
    if lost > 0 {
        let (half, tie) = (1u64 << (lost - 1), mantissa >> lost & 1);
        mantissa = (mantissa + half - 1 + tie) >> lost << lost;
    }
    let mut digits = format!("{:013x}", mantissa & ((1 << 52) - 1));
    digits.truncate(kept);
    match precision {
        Some(precision) => {
            digits.extend(std::iter::repeat_n('0', precision.saturating_sub(DIGITS)))
        }
        None => digits.truncate(digits.trim_end_matches('0').len()),
    }
    let point = if point || !digits.is_empty() { "." } else { "" };
    format!("0x{}{point}{digits}p{exponent:+}", mantissa >> 52)
}

/// Fills the field: blanks before or behind, or zeros between prefix and digits.
fn pad(conversion: &Conversion, prefix: &[u8], text: &[u8], zeros: bool, out: &mut Vec<u8>) {
    let missing = conversion.width.saturating_sub(prefix.len() + text.len());
    let zeros = zeros && conversion.zero && !conversion.left;
    let fill = |out: &mut Vec<u8>, byte| out.resize(out.len() + missing, byte);
    if !zeros && !conversion.left {
        fill(out, b' ');
    }
    out.extend_from_slice(prefix);
    if zeros {
        fill(out, b'0');
    }
    out.extend_from_slice(text);
    if conversion.left {
        fill(out, b' ');
    }
}
