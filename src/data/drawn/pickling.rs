//! Writes a JSON value as a Python pickle of protocol 2, which every Python 2 and 3 reads.

use serde_json::{Number, Value};

/// Objects become dicts, in their order; arrays lists; nothing is shared, so no memo is written.
pub fn pickle(value: &Value) -> Vec<u8> {
    let mut out = b"\x80\x02".to_vec();
    put(value, &mut out);
    out.push(b'.');
    out
}

fn put(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(b'N'),
        Value::Bool(value) => out.push(if *value { 0x88 } else { 0x89 }),
        Value::Number(number) => put_number(number, out),
        Value::String(text) => put_text(text, out),
        Value::Array(items) => {
            out.extend(b"](");
            items.iter().for_each(|item| put(item, out));
            out.push(b'e');
        }
        Value::Object(entries) => {
            out.extend(b"}(");
            for (key, item) in entries {
                put_text(key, out);
                put(item, out);
            }
            out.push(b'u');
        }
    }
}

/// One byte or four where they hold the number, else a long of nine bytes, else a float.
fn put_number(number: &Number, out: &mut Vec<u8>) {
    let whole = number.as_i64().map(i128::from).or(number.as_u64().map(i128::from));
    match whole {
        Some(x @ 0..=0xff) => out.extend([b'K', x as u8]),
        Some(x) if i32::try_from(x).is_ok() => {
            out.push(b'J');
            out.extend((x as i32).to_le_bytes());
        }
        Some(x) => {
            out.extend([0x8a, 9]);
            out.extend(&x.to_le_bytes()[..9]);
        }
        None => {
            out.push(b'G');
            out.extend(number.as_f64().unwrap_or(f64::NAN).to_be_bytes());
        }
    }
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'X');
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Python's `pickle.loads` gives the values on the left from the bytes on the right.
    #[test]
    fn every_kind_of_value_has_its_opcode() {
        let bytes = |value| pickle(&value);
        assert_eq!(bytes(json!([1, 300, -1])), b"\x80\x02](K\x01J\x2c\x01\0\0J\xff\xff\xff\xffe.");
        assert_eq!(bytes(json!({"a": "b"})), b"\x80\x02}(X\x01\0\0\0aX\x01\0\0\0bu.");
        assert_eq!(bytes(json!([true, false, null])), b"\x80\x02](\x88\x89Ne.");
        assert_eq!(bytes(json!(1u64 << 40)), b"\x80\x02\x8a\x09\0\0\0\0\0\x01\0\0\0.");
        assert_eq!(bytes(json!(0.5)), b"\x80\x02G\x3f\xe0\0\0\0\0\0\0.");
    }
}
