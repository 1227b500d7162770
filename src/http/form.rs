//! Parameters as `application/x-www-form-urlencoded` (RFC 6749 appendix B).

use core::fmt;

use zeroize::Zeroize as _;

use crate::secret::Secret;

/// The longest query or body that is taken apart.
const MAX_LENGTH: usize = 64 * 1024;

/// The most parameters that are taken apart; callbacks have about five.
const MAX_PARAMETERS: usize = 64;

/// Parameters to be sent, in the order in which they were added.
///
/// Its `Debug` shows nothing, because a code or a secret may be among the values.
#[derive(Clone, Default)]
pub struct Form {
    encoded: String,
}

impl Form {
    /// A form without parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a parameter.
    pub fn push(&mut self, name: &str, value: &str) {
        if !self.encoded.is_empty() {
            self.encoded.push('&');
        }
        encode(name, &mut self.encoded);
        self.encoded.push('=');
        encode(value, &mut self.encoded);
    }

    /// Adds a parameter unless one of this name, which needs no encoding, is there.
    #[cfg(any(feature = "flows", feature = "guard"))]
    pub(crate) fn push_once(&mut self, name: &str, value: &str) {
        let is_it = |pair: &str| pair.split('=').next() == Some(name);
        if !self.encoded.split('&').any(is_it) {
            self.push(name, value);
        }
    }

    /// The parameters as they stand in a query.
    pub fn encoded(&self) -> &str {
        &self.encoded
    }

    /// The parameters as the body of a request.
    pub fn into_body(mut self) -> Secret<String> {
        Secret::new(core::mem::take(&mut self.encoded))
    }
}

impl Drop for Form {
    fn drop(&mut self) {
        self.encoded.zeroize();
    }
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Form([redacted])")
    }
}

/// Writes a name or value as the URL standard's form serializer does.
pub(crate) fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            _ => {
                out.push('%');
                for digit in [byte >> 4, byte & 15] {
                    out.extend(
                        char::from_digit(u32::from(digit), 16)
                            .map(|digit| digit.to_ascii_uppercase()),
                    );
                }
            }
        }
    }
}

/// Takes a query or body apart; `None` when it is too long, has broken percent-encoding, or names
/// or values that are not UTF-8.
///
/// What it does not check: whether a name stands twice, see [`once`].
pub fn decode(text: &str) -> Option<Vec<(String, String)>> {
    if text.len() > MAX_LENGTH {
        return None;
    }
    let mut parameters = Vec::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        if parameters.len() == MAX_PARAMETERS {
            return None;
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        parameters.push((decode_part(name)?, decode_part(value)?));
    }
    Some(parameters)
}

/// Decodes a name or value; `None` when its percent-encoding is broken or it is not UTF-8.
pub(crate) fn decode_part(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// The value of a parameter that may stand once.
///
/// # Errors
///
/// [`Repeated`] when the name stands more than once.
pub fn once<'a>(
    parameters: &'a [(String, String)],
    name: &str,
) -> Result<Option<&'a str>, Repeated> {
    let mut values = parameters
        .iter()
        .filter_map(|(key, value)| (key == name).then_some(value.as_str()));
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(Repeated),
        (value, None) => Ok(value),
    }
}

/// A parameter stands more than once (RFC 6749 section 3.1 forbids it).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeated;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc6749_appendix_b_is_encoded_as_written() {
        // The example of RFC 6749 appendix B: space, %, &, +, pound and euro sign.
        let mut form = Form::new();
        form.push("q", " %&+\u{a3}\u{20ac}");
        assert_eq!(form.encoded(), "q=+%25%26%2B%C2%A3%E2%82%AC");
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        for value in [
            "",
            " ",
            "+",
            "&=",
            "%",
            "\u{e9}",
            "\u{1F600}",
            "a\nb",
            "~!'()*",
        ] {
            let mut form = Form::new();
            form.push("k", value);
            assert_eq!(
                decode(form.encoded()),
                Some(vec![("k".into(), value.into())])
            );
        }
    }

    #[test]
    fn broken_encoding_is_refused() {
        for text in ["a=%", "a=%2", "a=%zz", "a=%ff", "%c3=1"] {
            assert_eq!(decode(text), None, "{text}");
        }
        assert_eq!(decode(&"a&".repeat(65)), None);
        assert_eq!(decode(&"a".repeat(MAX_LENGTH + 1)), None);
    }

    #[test]
    fn a_parameter_stands_once() {
        let parameters = decode("a=1&b=&a=2").unwrap();
        assert_eq!(once(&parameters, "a"), Err(Repeated));
        assert_eq!(once(&parameters, "b"), Ok(Some("")));
        assert_eq!(once(&parameters, "c"), Ok(None));
    }

    #[test]
    fn debug_shows_nothing() {
        let mut form = Form::new();
        form.push("code", "s3cret");
        assert_eq!(format!("{form:?}"), "Form([redacted])");
    }
}
