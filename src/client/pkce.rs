//! Proof Key for Code Exchange (RFC 7636), with S256 only.

use sha2::{Digest as _, Sha256};

use crate::base64url;
use crate::random::VALUE_BYTES;
use crate::secret::Secret;

/// The secret that binds the code to whoever asked for it: 43 characters from 32 random bytes
/// (RFC 7636 section 4.1).
#[derive(Clone, Debug)]
pub struct CodeVerifier(Secret<String>);

impl CodeVerifier {
    /// Makes a verifier from random bytes.
    pub(crate) fn make(bytes: &[u8; VALUE_BYTES]) -> Self {
        Self(Secret::new(base64url::encode(bytes)))
    }

    /// Reads a verifier that was stored; `None` when it is none: 43 to 128 unreserved characters.
    pub fn read(text: &str) -> Option<Self> {
        let unreserved =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        ((43..=128).contains(&text.len()) && text.bytes().all(unreserved))
            .then(|| Self(Secret::new(text.into())))
    }

    /// The verifier, for the token request and for storage.
    pub(crate) fn expose(&self) -> &str {
        // EXPOSE: it is sent to the token endpoint and kept until then.
        self.0.expose()
    }

    /// The challenge that goes into the authorization request.
    pub fn challenge(&self) -> String {
        challenge(self.expose())
    }
}

/// The S256 challenge of a verifier (RFC 7636 section 4.2).
pub fn challenge(verifier: &str) -> String {
    base64url::encode(&Sha256::digest(verifier.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc7636_appendix_b() {
        let bytes = [
            116, 24, 223, 180, 151, 153, 224, 37, 79, 250, 96, 125, 216, 173, 187, 186, 22, 212,
            37, 77, 105, 214, 191, 240, 91, 88, 5, 88, 83, 132, 141, 121,
        ];
        let verifier = CodeVerifier::make(&bytes);
        assert_eq!(
            verifier.expose(),
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
        );
        assert_eq!(
            verifier.challenge(),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }

    #[test]
    fn a_verifier_has_43_to_128_unreserved_characters() {
        assert!(CodeVerifier::read(&"a".repeat(42)).is_none());
        assert!(CodeVerifier::read(&"a".repeat(43)).is_some());
        assert!(CodeVerifier::read(&"~".repeat(128)).is_some());
        assert!(CodeVerifier::read(&"a".repeat(129)).is_none());
        assert!(CodeVerifier::read(&"=".repeat(43)).is_none());
    }

    #[test]
    fn debug_shows_nothing() {
        let verifier = CodeVerifier::make(&[7; VALUE_BYTES]);
        assert!(!format!("{verifier:?}").contains("Bwc"));
    }
}
