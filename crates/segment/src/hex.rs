//! Lowercase hexadecimal text of fixed-size values.
//!
//! One value has one text: uppercase digits and other lengths are refused, so that names and records which hold such
//! texts can be compared as strings.

/// The lowercase hexadecimal text of `bytes`.
pub(crate) fn encode(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The bytes that `text` stands for, or `None` if it is not exactly the text `encode` would give.
pub(crate) fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    let text = text.as_bytes();
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

fn digit(nibble: u8) -> char {
    char::from(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 })
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_has_one_text() {
        assert_eq!(encode(&[0x00, 0x9f, 0xa0]), "009fa0");
        assert_eq!(decode::<3>("009fa0"), Some([0x00, 0x9f, 0xa0]));
        for wrong in ["009FA0", "009fa", "009fa00", "00 fa0", "+09fa0", ""] {
            assert_eq!(decode::<3>(wrong), None, "{wrong}");
        }
    }
}
