//! base64url without padding (RFC 4648 section 5, RFC 7515 section 2), canonical only.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Encodes without padding.
pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Encodes in the alphabet and with the padding of RFC 4648 section 4, as HTTP wants it.
///
/// A second engine of the library would cost more than this.
#[cfg(feature = "guard")]
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

/// Decodes; `None` for padding, whitespace, other alphabets, impossible lengths and for unused
/// bits that are not zero, so that no two texts stand for the same bytes.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
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
