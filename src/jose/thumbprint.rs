//! The name that a public key gives itself (RFC 7638).

use core::fmt;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::base64url;
use crate::http::json::Value;
use crate::jose::VerificationKey;

/// The SHA-256 thumbprint of a public key, in base64url: 43 characters.
#[derive(Clone, PartialEq, Eq)]
pub struct Thumbprint(String);

impl Thumbprint {
    /// The thumbprint of a key. Its name, its algorithm and its use do not count.
    pub fn of(key: &VerificationKey) -> Self {
        // 3.2: the members that every key of its kind has, and no others; RFC 8037 section 2: for
        // OKP those are crv, kty and x. 3.3: in the order of their names, without white space.
        let text = Value::from(key.to_public_jwk()).to_json();
        Self(base64url::encode(&Sha256::digest(text)))
    }

    /// The thumbprint as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The thumbprint as a URI (RFC 9278 section 3).
    pub fn to_uri(&self) -> String {
        String::from("urn:ietf:params:oauth:jwk-thumbprint:sha-256:") + &self.0
    }

    /// Whether a text is this thumbprint letter by letter, compared in constant time.
    pub fn is(&self, text: &str) -> bool {
        self.0.as_bytes().ct_eq(text.as_bytes()).into()
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thumbprint({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::json;

    fn thumbprint(jwk: &str) -> Thumbprint {
        let jwk = json::read_object(jwk.as_bytes(), 10_000).unwrap();
        Thumbprint::of(&VerificationKey::read(&jwk).unwrap())
    }

    /// RFC 7638 section 3.1.
    const RSA: &str = r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#;

    #[test]
    fn dpp_35_the_vectors_of_rfc_7638_and_rfc_8037_come_out() {
        assert_eq!(
            thumbprint(RSA).as_str(),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
        // RFC 8037 appendix A.3.
        let okp =
            r#"{"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        assert_eq!(
            thumbprint(okp).as_str(),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
    }

    #[test]
    fn dpp_35_the_uri_of_rfc_9278_names_the_hash() {
        assert_eq!(
            thumbprint(RSA).to_uri(),
            "urn:ietf:params:oauth:jwk-thumbprint:sha-256:NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
    }

    #[test]
    fn dpp_35_the_order_of_members_and_the_name_do_not_count() {
        let point = r#""x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0""#;
        let first = thumbprint(&format!(
            r#"{{"kty":"EC","crv":"P-256",{point},"kid":"a","use":"sig"}}"#
        ));
        let second = thumbprint(&format!(
            r#"{{{point},"alg":"ES256","crv":"P-256","kty":"EC"}}"#
        ));
        assert_eq!(first, second);
        assert_ne!(first, thumbprint(RSA));
    }

    #[test]
    fn only_the_exact_text_is_the_thumbprint() {
        let thumbprint = thumbprint(RSA);
        assert!(thumbprint.is("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"));
        for text in [
            "",
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs=",
            "nzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xt",
            "NzbLsXh8uDCcd+6MNwXF4W/7noWXFZAfHkxZsRGC9Xs",
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9X",
        ] {
            assert!(!thumbprint.is(text), "{text}");
        }
    }
}
