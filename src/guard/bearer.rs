//! The token in a request (RFC 6750 section 2.1).

use crate::error::{Error, ErrorKind};
use crate::secret::Secret;

/// An access token as it came in an `Authorization` header.
#[derive(Debug)]
pub struct BearerToken(Secret<String>);

impl BearerToken {
    /// Takes the token out of the header's value.
    ///
    /// Tokens in queries and bodies are not looked for (OAuth 2.1 section 5.1).
    /// What it does not check: the token.
    ///
    /// # Errors
    ///
    /// `credential_missing` without header or with another scheme, `credential_multiple` for
    /// several headers that were joined, `request_invalid` for anything but one space and one token.
    pub fn read(header: Option<&str>) -> Result<Self, Error> {
        Self::read_as("Bearer", header)
    }

    /// As [`BearerToken::read`], but with another scheme: `DPoP` has the same form (RFC 9449
    /// section 7.1).
    pub(super) fn read_as(wanted: &str, header: Option<&str>) -> Result<Self, Error> {
        let header = header.ok_or(ErrorKind::CredentialMissing)?;
        // RFC 9110 section 11.1: schemes are compared without case.
        let (scheme, token) = header.split_once(' ').unwrap_or((header, ""));
        if !scheme.eq_ignore_ascii_case(wanted) {
            // "Bearer<tab>x" is a malformed Bearer header, not another scheme.
            let is_wanted = scheme
                .get(..wanted.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(wanted))
                && !scheme.bytes().all(is_token68);
            return Err(if is_wanted {
                ErrorKind::RequestInvalid
            } else {
                ErrorKind::CredentialMissing
            }
            .into());
        }
        // Fetch joins repeated headers with a comma, which no token holds.
        if token.contains(',') {
            return Err(ErrorKind::CredentialMultiple.into());
        }
        let body = token.trim_end_matches('=');
        if body.is_empty() || !body.bytes().all(is_token68) {
            return Err(ErrorKind::RequestInvalid.into());
        }
        Ok(Self(Secret::new(token.into())))
    }

    /// A token that the program took from elsewhere.
    pub fn new(token: &str) -> Self {
        Self(Secret::new(token.into()))
    }

    /// The token itself.
    pub(super) fn into_secret(self) -> Secret<String> {
        self.0
    }

    /// The token, to be taken apart.
    pub(super) fn expose(&self) -> &str {
        // EXPOSE: it is parsed and its signature checked.
        self.0.expose()
    }
}

/// As [`BearerToken::new`], without a copy.
impl From<String> for BearerToken {
    fn from(token: String) -> Self {
        Self(Secret::new(token))
    }
}

/// RFC 6750 section 2.1: the characters of a b64token before its padding.
fn is_token68(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(header: &str) -> Option<ErrorKind> {
        BearerToken::read(Some(header))
            .err()
            .map(|error| error.kind())
    }

    #[test]
    fn the_scheme_is_compared_without_case() {
        for header in [
            "Bearer abc",
            "bearer abc",
            "BEARER abc",
            "BeArEr abc",
            "Bearer a.b-c_~+/==",
        ] {
            assert_eq!(kind(header), None, "{header}");
        }
    }

    #[test]
    fn no_credentials_and_other_schemes_are_missing_credentials() {
        assert_eq!(
            BearerToken::read(None).unwrap_err().kind(),
            ErrorKind::CredentialMissing
        );
        for header in ["", "Basic YTpi", "DPoP abc", "Bearerx abc", "abc"] {
            assert_eq!(kind(header), Some(ErrorKind::CredentialMissing), "{header}");
        }
    }

    #[test]
    fn anything_but_one_space_and_one_token_is_malformed() {
        for header in [
            "Bearer",
            "Bearer ",
            "Bearer  abc",
            "Bearer\tabc",
            "Bearer a b",
            "Bearer a\u{e9}",
            "Bearer =",
            "Bearer a=b",
            "Bearer \"abc\"",
        ] {
            assert_eq!(kind(header), Some(ErrorKind::RequestInvalid), "{header}");
        }
        assert_eq!(
            kind("Bearer a, Bearer b"),
            Some(ErrorKind::CredentialMultiple)
        );
    }

    #[test]
    fn debug_shows_nothing() {
        assert!(!format!("{:?}", BearerToken::new("eyJ")).contains("eyJ"));
    }
}
