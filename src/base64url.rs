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

/// The library, for native programs.
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

/// A fifth of the library's size, for WebAssembly.
#[cfg(any(test, not(feature = "base64")))]
mod small {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    /// What each byte stands for; [`NONE`] for those that are not in the alphabet.
    static VALUES: [u8; 256] = values();

    const NONE: u8 = 0x80;

    const fn values() -> [u8; 256] {
        let mut values = [NONE; 256];
        let mut rest = ALPHABET.as_slice();
        let mut value = 0;
        while let [symbol, others @ ..] = rest {
            // A byte is a number and a small one.
            #[allow(clippy::as_conversions)]
            if let Some((_, [place, ..])) = values.split_at_mut_checked(*symbol as usize) {
                *place = value;
            }
            value += 1;
            rest = others;
        }
        values
    }

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
                    .filter_map(|shift| ALPHABET.get(usize::try_from(bits >> shift & 63).ok()?))
                    .map(|symbol| char::from(*symbol)),
            );
        }
        text
    }

    pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
        let (groups, rest) = text.as_bytes().as_chunks();
        // Two characters are one byte, three are two; what is left of their bits is zero.
        let (last, unused) = match rest {
            [] => ([b'A'; 4], 3),
            [_] => return None,
            [a, b] => ([*a, *b, b'A', b'A'], 2),
            [a, b, c, ..] => ([*a, *b, *c, b'A'], 1),
        };
        let mut bytes = vec![0; groups.len().saturating_add(1).saturating_mul(3)];
        let (places, _) = bytes.as_chunks_mut();
        let mut foreign = 0;
        for (place, group) in places.iter_mut().zip(groups.iter().chain([&last])) {
            let [a, b, c, d] = group.map(value);
            foreign |= a | b | c | d;
            let bits = u32::from(a) << 18 | u32::from(b) << 12 | u32::from(c) << 6 | u32::from(d);
            let [_, whole @ ..] = bits.to_be_bytes();
            *place = whole;
        }
        let length = bytes.len().checked_sub(unused)?;
        let (_, left) = bytes.split_at_checked(length)?;
        let fits = foreign & NONE == 0 && left.iter().all(|byte| *byte == 0);
        bytes.truncate(length);
        fits.then_some(bytes)
    }

    fn value(byte: u8) -> u8 {
        VALUES.get(usize::from(byte)).copied().unwrap_or(NONE)
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
