//! The compact serialization (RFC 7515 section 7.1).

use crate::base64url;
use crate::error::{Error, ErrorKind};
use crate::http::json;

/// The longest token that is looked at, in bytes. Real access tokens have 1 to 4 KiB; web servers
/// refuse headers beyond 8 to 16.
pub const MAX_TOKEN: usize = 16 * 1024;

/// The longest protected header, in base64url characters. Real ones have about 100.
const MAX_HEADER: usize = 4 * 1024;

/// How large a token may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenLimits {
    /// The whole token, in bytes.
    pub bytes: usize,
    /// Its header, in base64url characters.
    pub header: usize,
    /// How deep its JSON may be nested.
    pub depth: usize,
}

impl Default for TokenLimits {
    fn default() -> Self {
        Self::of_bytes(MAX_TOKEN)
    }
}

impl TokenLimits {
    /// So many bytes, and else as usual.
    pub(crate) const fn of_bytes(bytes: usize) -> Self {
        Self {
            bytes,
            header: MAX_HEADER,
            depth: json::MAX_DEPTH,
        }
    }
}

/// A token taken apart into its three segments, none decoded yet.
#[derive(Clone, Copy)]
pub struct Compact<'a> {
    pub(super) header: &'a str,
    pub(super) payload: &'a str,
    pub(super) signature: &'a str,
    /// Header and payload with the dot between them: the bytes that were signed.
    pub(super) signing_input: &'a str,
    /// How deep its JSON may be nested.
    pub(super) max_depth: usize,
}

impl<'a> Compact<'a> {
    /// Whether a text has the outline of a signed token: three segments.
    pub fn is_outline(token: &str) -> bool {
        token.bytes().filter(|byte| *byte == b'.').count() == 2
    }

    /// Takes a token apart, in constant memory.
    ///
    /// What it does not check: what the segments say.
    ///
    /// # Errors
    ///
    /// `token_too_large` beyond `max_bytes` or a header beyond 4 KiB, `token_malformed` for any
    /// other number of segments than three and for an empty header. An empty payload is one; it is
    /// no claims set, which [`crate::jose::Unverified`] tells.
    pub fn parse(token: &'a str, max_bytes: usize) -> Result<Self, Error> {
        Self::parse_within(token, TokenLimits::of_bytes(max_bytes))
    }

    /// As [`Compact::parse`], with all limits.
    ///
    /// # Errors
    ///
    /// As [`Compact::parse`].
    pub fn parse_within(token: &'a str, limits: TokenLimits) -> Result<Self, Error> {
        if token.len() > limits.bytes {
            return Err(ErrorKind::TokenTooLarge.into());
        }
        let malformed = || Error::from(ErrorKind::TokenMalformed);
        let (header, rest) = token.split_once('.').ok_or_else(malformed)?;
        let (payload, signature) = rest.split_once('.').ok_or_else(malformed)?;
        if signature.contains('.') {
            return Err(of_more_segments(token));
        }
        if header.is_empty() {
            return Err(malformed());
        }
        if header.len() > limits.header {
            return Err(Error::new(ErrorKind::TokenTooLarge, "header"));
        }
        let signing_input = token
            .get(..header.len().saturating_add(1).saturating_add(payload.len()))
            .ok_or_else(malformed)?;
        Ok(Self {
            header,
            payload,
            signature,
            signing_input,
            max_depth: limits.depth,
        })
    }

    /// The payload and the signature as bytes.
    ///
    /// What it does not check: what the payload says.
    ///
    /// # Errors
    ///
    /// `token_malformed` when one of them is not canonical base64url.
    pub fn decode(&self) -> Result<(Vec<u8>, Vec<u8>), Error> {
        let bytes = |text: &str, at: &'static str| {
            base64url::decode(text).ok_or_else(|| Error::new(ErrorKind::TokenMalformed, at))
        };
        Ok((
            bytes(self.payload, "payload")?,
            bytes(self.signature, "signature")?,
        ))
    }
}

/// Five segments are an encrypted token, which needs a key of ours (RFC 7516).
#[inline(never)]
fn of_more_segments(token: &str) -> Error {
    let is_jwe = token.bytes().filter(|byte| *byte == b'.').count() == 4;
    let at = if is_jwe { "jwe_not_accepted" } else { "" };
    Error::new(ErrorKind::TokenMalformed, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(token: &str) -> Option<ErrorKind> {
        Compact::parse(token, MAX_TOKEN)
            .err()
            .map(|error| error.kind())
    }

    #[test]
    fn only_three_segments_are_a_signed_token() {
        assert_eq!(kind("h.p.s"), None);
        assert_eq!(kind("h.p."), None);
        assert_eq!(kind("h..s"), None);
        for token in [
            "", "abc", "h.p", "h.p.s.", "h.p.s.x", ".h.p.s", "..", ".p.s",
        ] {
            assert_eq!(kind(token), Some(ErrorKind::TokenMalformed), "{token}");
        }
        let jwe = Compact::parse("a.b.c.d.e", MAX_TOKEN).err().unwrap();
        assert_eq!(
            (jwe.kind(), jwe.at()),
            (ErrorKind::TokenMalformed, "jwe_not_accepted")
        );
    }

    #[test]
    fn sizes_are_checked_before_anything_else() {
        assert_eq!(kind(&".".repeat(1_000_000)), Some(ErrorKind::TokenTooLarge));
        assert_eq!(
            kind(&".".repeat(MAX_TOKEN)),
            Some(ErrorKind::TokenMalformed)
        );
        assert_eq!(
            kind(&format!("{}.p.s", "h".repeat(MAX_HEADER + 1))),
            Some(ErrorKind::TokenTooLarge)
        );
        assert_eq!(kind(&format!("h.{}.s", "p".repeat(MAX_TOKEN - 4))), None);
        assert_eq!(
            kind(&format!("h.{}.s", "p".repeat(MAX_TOKEN - 3))),
            Some(ErrorKind::TokenTooLarge)
        );
    }

    #[test]
    fn what_was_signed_is_the_text_before_the_last_dot() {
        assert_eq!(Compact::parse("h.p.s", 99).unwrap().signing_input, "h.p");
    }
}
