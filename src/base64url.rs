//! base64url without padding (RFC 4648 section 5, RFC 7515 section 2), canonical only.

#[cfg(feature = "base64")]
use fast as chosen;
#[cfg(not(feature = "base64"))]
use small as chosen;

/// Encodes without padding.
pub(crate) fn encode(bytes: &[u8]) -> String {
    chosen::encode(bytes)
}

/// Encodes in the alphabet and with the padding of RFC 4648 section 4, as HTTP wants it.
///
/// A second engine of the library would cost more than this.
#[cfg(any(feature = "backend", feature = "guard"))]
pub(crate) fn encode_standard(bytes: &[u8]) -> String {
    let mut text: String = encode(bytes)
        .chars()
        .map(|c| match c {
            '-' => '+',
            '_' => '/',
            other => other,
        })
        .collect();
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// Decodes the alphabet of RFC 4648 section 4, with padding or without.
#[cfg(any(feature = "backend", feature = "guard"))]
pub(crate) fn decode_standard(text: &str) -> Option<Vec<u8>> {
    let text: String = text
        .chars()
        .map(|c| match c {
            '+' => '-',
            '/' => '_',
            // The other alphabet.
            '-' | '_' => ' ',
            other => other,
        })
        .collect();
    decode(text.trim_end_matches('='))
}

/// Decodes; `None` for padding, whitespace, other alphabets, impossible lengths and for unused
/// bits that are not zero, so that no two texts stand for the same bytes.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    chosen::decode(text)
}

/// The library: several times as fast, for whoever checks a token with each request.
#[cfg(feature = "base64")]
mod fast {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    pub(super) fn encode(bytes: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
        URL_SAFE_NO_PAD.decode(text).ok()
    }
}

/// A tenth of the library's size, for pages that read a token with each sign-in.
#[cfg(any(test, not(feature = "base64")))]
mod small {
    pub(super) fn encode(bytes: &[u8]) -> String {
        let mut text = String::with_capacity(bytes.len().div_ceil(3).saturating_mul(4));
        for chunk in bytes.chunks(3) {
            let mut padded = [0; 4];
            for (place, byte) in padded.iter_mut().skip(1).zip(chunk) {
                *place = *byte;
            }
            let bits = u32::from_be_bytes(padded);
            let shifts = [18, 12, 6, 0].into_iter();
            text.extend(
                shifts
                    .take(chunk.len().saturating_add(1))
                    .map(|shift| symbol(bits >> shift & 63)),
            );
        }
        text
    }

    pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(text.len().div_ceil(4).saturating_mul(3));
        for chunk in text.as_bytes().chunks(4) {
            let mut bits = 0_u32;
            for shift in [18, 12, 6, 0].into_iter().zip(chunk) {
                bits |= value(*shift.1)? << shift.0;
            }
            let [_, whole @ ..] = bits.to_be_bytes();
            // Four characters are three bytes; two are one and half a character that is zero.
            let count = chunk.len().checked_sub(1).filter(|count| *count > 0)?;
            let (kept, unused) = whole.split_at_checked(count)?;
            if unused.iter().any(|byte| *byte != 0) {
                return None;
            }
            bytes.extend_from_slice(kept);
        }
        Some(bytes)
    }

    fn symbol(value: u32) -> char {
        let (first, from) = match value {
            0..=25 => ('A', 0),
            26..=51 => ('a', 26),
            52..=61 => ('0', 52),
            62 => ('-', 62),
            _ => ('_', 63),
        };
        char::from_u32(u32::from(first).saturating_add(value.saturating_sub(from))).unwrap_or('_')
    }

    fn value(byte: u8) -> Option<u32> {
        let (first, from) = match byte {
            b'A'..=b'Z' => (b'A', 0),
            b'a'..=b'z' => (b'a', 26),
            b'0'..=b'9' => (b'0', 52),
            b'-' => (b'-', 62),
            b'_' => (b'_', 63),
            _ => return None,
        };
        Some(u32::from(byte.saturating_sub(first)).saturating_add(from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "guard")]
    #[test]
    fn the_standard_alphabet_is_padded() {
        // RFC 4648 section 10.
        assert_eq!(encode_standard(b"f"), "Zg==");
        assert_eq!(encode_standard(b"fo"), "Zm8=");
        assert_eq!(encode_standard(b"foo"), "Zm9v");
        assert_eq!(encode_standard(&[0xfb, 0xff]), "+/8=");
    }

    #[cfg(feature = "base64")]
    #[test]
    fn small_and_fast_agree_on_every_text() {
        // All texts of up to three characters of a mixed alphabet, and all lengths of bytes.
        let alphabet = "AZaz09-_+/=. \n\u{e9}QRgw";
        let mut texts = vec![String::new()];
        let mut longest = texts.clone();
        for _ in 0..3 {
            longest = longest
                .iter()
                .flat_map(|text| alphabet.chars().map(move |c| format!("{text}{c}")))
                .collect();
            texts.extend(longest.clone());
        }
        for text in texts
            .iter()
            .flat_map(|text| [text.clone(), format!("AQAB{text}")])
        {
            assert_eq!(small::decode(&text), fast::decode(&text), "{text:?}");
        }
        let bytes: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
        for length in 0..bytes.len() {
            let text = small::encode(&bytes[..length]);
            assert_eq!(text, fast::encode(&bytes[..length]));
            assert_eq!(small::decode(&text).as_deref(), Some(&bytes[..length]));
        }
    }

    #[test]
    fn only_the_canonical_text_is_read() {
        assert_eq!(decode("AQAB"), Some(vec![1, 0, 1]));
        assert_eq!(decode(""), Some(vec![]));
        assert_eq!(decode("-_8"), Some(vec![0xfb, 0xff]));
        for text in [
            "AQAB=",
            "AQ==",
            "AQ A",
            "AQAB\n",
            "+/8",
            "A",
            "AQA_A",
            "AR",
            "AQA!",
            "AQ\u{fc}B",
            " AQAB",
        ] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
