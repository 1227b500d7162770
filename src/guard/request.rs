//! What a request shows of itself, as far as a guard looks at it.

use crate::base64url;
use crate::error::{Error, ErrorKind};
use crate::guard::BearerToken;
use crate::secret::Secret;

/// The scheme in which a token came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// `Authorization: Bearer`, or no credentials.
    Bearer,
    /// `Authorization: DPoP`
    Dpop,
    /// None: the program took the token from elsewhere.
    None,
}

/// What a guard has to know of a request.
///
/// Headers such as `X-Forwarded-Host` or `X-Client-Cert` are never among it: anyone can send them.
#[derive(Debug)]
pub struct RequestFacts {
    pub(super) token: Result<BearerToken, Error>,
    pub(super) shown: Shown,
}

/// What a request shows besides its token.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) scheme: Scheme,
    pub(super) proof: Option<Secret<String>>,
    pub(super) method: String,
    /// Its query may hold anything.
    pub(super) url: Secret<String>,
    /// The SHA-256 of the client's certificate, in base64url.
    pub(super) certificate: Option<String>,
}

impl RequestFacts {
    /// The facts of a request with this `Authorization` header.
    ///
    /// What is wrong with the header is refused when the request is checked: `credential_missing`
    /// without header or with another scheme than `Bearer` and `DPoP`, `credential_multiple` for
    /// several headers that were joined, `request_invalid` for anything but one space and one token.
    pub fn read(authorization: Option<&str>) -> Self {
        let is_dpop = authorization
            .and_then(|header| header.get(.."DPoP".len()))
            .is_some_and(|start| start.eq_ignore_ascii_case("DPoP"));
        if is_dpop {
            let token = BearerToken::read_as("DPoP", authorization);
            Self::shown(token, Scheme::Dpop)
        } else {
            Self::shown(BearerToken::read(authorization), Scheme::Bearer)
        }
    }

    fn shown(token: Result<BearerToken, Error>, scheme: Scheme) -> Self {
        Self {
            token,
            shown: Shown {
                scheme,
                proof: None,
                method: String::new(),
                url: Secret::new(String::new()),
                certificate: None,
            },
        }
    }

    /// Where the request goes: its method, letter by letter, and its absolute URL. Without, no DPoP
    /// proof can be checked.
    #[must_use]
    pub fn at(mut self, method: &str, url: &str) -> Self {
        self.shown.method = method.into();
        self.shown.url = Secret::new(url.into());
        self
    }

    /// The value of the `DPoP` header; several values joined with commas, as fetch does.
    #[must_use]
    pub fn with_dpop(mut self, header: &str) -> Self {
        self.shown.proof = Some(Secret::new(header.into()));
        self
    }

    /// The SHA-256 of the certificate with which the client proved itself on this connection, in 64
    /// hexadecimal digits or in base64url. An empty text means that there was none, as hosts say it.
    ///
    /// What it does not check: that there was such a proof. It must come from whoever ended the TLS
    /// connection, never from a header that a client could have sent. Another text is refused with
    /// `config_invalid` when the request is checked.
    #[must_use]
    pub fn with_certificate_sha256(mut self, hash: &str) -> Self {
        if hash.is_empty() {
            return self;
        }
        self.shown.certificate = certificate_hash(hash);
        if self.shown.certificate.is_none() {
            self.token = Err(Error::new(ErrorKind::ConfigInvalid, "certificateSha256"));
        }
        self
    }
}

/// A token that the program took from elsewhere.
impl From<Result<BearerToken, Error>> for RequestFacts {
    fn from(token: Result<BearerToken, Error>) -> Self {
        Self::shown(token, Scheme::None)
    }
}

/// A SHA-256 in base64url; `None` when the text is none.
fn certificate_hash(text: &str) -> Option<String> {
    if text.len() != 64 {
        let bytes = base64url::decode(text)?;
        return (bytes.len() == 32).then(|| text.into());
    }
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let bytes: Vec<u8> = digits?
        .chunks_exact(2)
        .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
        .collect();
    Some(base64url::encode(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_is_found_without_case() {
        for (header, scheme) in [
            (Some("DPoP abc"), Scheme::Dpop),
            (Some("dpop abc"), Scheme::Dpop),
            (Some("Bearer abc"), Scheme::Bearer),
            (Some("Basic abc"), Scheme::Bearer),
            (None, Scheme::Bearer),
        ] {
            assert_eq!(RequestFacts::read(header).shown.scheme, scheme);
        }
    }

    #[test]
    fn a_certificate_hash_is_hexadecimal_or_base64url() {
        let hash = "0102030405060708090A0b0c0d0e0f101112131415161718191a1b1c1d1e1f20";
        let text = certificate_hash(hash).unwrap();
        assert_eq!(text, "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA");
        assert_eq!(certificate_hash(&text), Some(text.clone()));
        for bad in ["", "AQ", "0102", &hash.replace('0', "g"), &(text + "=")] {
            assert_eq!(certificate_hash(bad), None, "{bad}");
        }
    }

    #[test]
    fn debug_shows_no_proof_and_no_url() {
        let facts = RequestFacts::read(Some("DPoP secret-token"))
            .at("GET", "https://api.example/?access_token=secret")
            .with_dpop("secret-proof");
        assert!(!format!("{facts:?}").contains("secret-"));
        assert!(!format!("{facts:?}").contains("access_token"));
    }
}
