//! From claims to a signed token, by way of someone who holds the key.
//!
//! ```text
//! UnsignedToken --request()--> SigningRequest --bytes--> compact JWS
//! ```
//!
//! Client assertions, proofs of possession and request objects are all made here. The private key
//! never comes here: what is known of it is a [`SigningKey`].

use core::fmt;

use sha2::{Digest as _, Sha256};

use crate::base64url;
use crate::error::{Error, ErrorKind};
use crate::http::json::{Object, Value};
use crate::jose::{Algorithm, Kind};
use crate::secret::Secret;

/// The name by which the host knows a key that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyName {
    /// Shows who the client is (RFC 7523 section 2.2).
    ClientAssertion,
    /// Shows that a token is in the right hands (RFC 9449).
    DpopProof,
    /// Signs authorization requests (RFC 9101).
    RequestObject,
}

/// What is known of a key that the host holds: enough to ask for its signature.
#[derive(Clone, Debug)]
pub struct SigningKey {
    name: KeyName,
    algorithm: Algorithm,
    key_id: Option<String>,
}

impl SigningKey {
    /// A key that signs with this algorithm, and the `kid` under which others know it.
    ///
    /// What it does not check: whether the host has it.
    pub fn new(name: KeyName, algorithm: Algorithm, key_id: Option<String>) -> Self {
        Self {
            name,
            algorithm,
            key_id,
        }
    }

    /// The algorithm with which it signs.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

/// The bytes that somebody who holds the key is to sign.
#[derive(Clone)]
pub struct SigningRequest {
    key: KeyName,
    algorithm: Algorithm,
    message: Vec<u8>,
}

impl SigningRequest {
    /// Which key.
    pub fn key(&self) -> KeyName {
        self.key
    }

    /// How.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// What.
    pub fn message(&self) -> &[u8] {
        &self.message
    }
}

impl fmt::Debug for SigningRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningRequest({:?})", self.key)
    }
}

/// A token that lacks its signature.
pub struct UnsignedToken {
    key: KeyName,
    algorithm: Algorithm,
    signing_input: String,
}

impl UnsignedToken {
    /// A token of this `typ`, with more members of the header where there are some.
    pub fn new(key: &SigningKey, typ: &str, more: Object, claims: Object) -> Self {
        let header = more
            .with("alg", key.algorithm.name())
            .with("typ", typ)
            .with_some("kid", key.key_id.as_deref());
        // RFC 7515 section 5.1: header and payload in base64url with a dot between them.
        let mut signing_input = part(header);
        signing_input.push('.');
        signing_input.push_str(&part(claims));
        Self {
            key: key.name,
            algorithm: key.algorithm,
            signing_input,
        }
    }

    /// The question to whoever holds the key.
    pub fn request(&self) -> SigningRequest {
        SigningRequest {
            key: self.key,
            algorithm: self.algorithm,
            message: self.signing_input.as_bytes().into(),
        }
    }

    /// The token in its compact serialization.
    ///
    /// What it does not check: whether the signature fits; who receives the token does.
    ///
    /// # Errors
    ///
    /// `key_unsuitable` when the signature is shorter or longer than those of the algorithm, as that
    /// of another key is.
    pub fn signed(mut self, signature: &[u8]) -> Result<Secret<String>, Error> {
        let length = signature.len();
        let fits = match self.algorithm.kind() {
            // 2048 to 8192 bits.
            Kind::RsaPkcs1 | Kind::RsaPss => (256..=1024).contains(&length),
            Kind::Ecdsa(curve) => length == curve.coordinate_length().saturating_mul(2),
            Kind::Ed25519 => length == 64,
            Kind::Hmac => u32::try_from(length) == Ok(self.algorithm.hash().length()),
        };
        if !fits {
            return Err(ErrorKind::KeyUnsuitable.into());
        }
        self.signing_input.push('.');
        self.signing_input.push_str(&base64url::encode(signature));
        Ok(Secret::new(self.signing_input))
    }
}

impl fmt::Debug for UnsignedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnsignedToken([redacted])")
    }
}

fn part(object: Object) -> String {
    base64url::encode(Value::from(object).to_json().as_bytes())
}

/// Names for tokens (`jti`), 128 bits each, no two the same and none to be guessed.
///
/// Its `Debug` shows nothing: who knows the seed knows every name.
pub struct TokenNames {
    seed: Secret<[u8; 32]>,
    count: u64,
}

impl TokenNames {
    /// Names from a seed that a cryptographically secure generator made for this call.
    ///
    /// What it does not check: that the seed is random.
    pub fn new(seed: [u8; 32]) -> Self {
        Self {
            seed: Secret::new(seed),
            count: 0,
        }
    }

    /// The next name: 22 characters of base64url.
    pub fn make_name(&mut self) -> String {
        base64url::encode(&self.make_bytes())
    }

    /// A number to spread attempts by.
    #[cfg(feature = "backend")]
    pub(crate) fn make_number(&mut self) -> u32 {
        let [a, b, c, d, ..] = self.make_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    fn make_bytes(&mut self) -> [u8; 16] {
        self.count = self.count.wrapping_add(1);
        // EXPOSE: only half of a hash of it is shown.
        let digest = Sha256::new_with_prefix(self.seed.expose())
            .chain_update(self.count.to_be_bytes())
            .finalize();
        digest.first_chunk().copied().unwrap_or_default()
    }
}

impl fmt::Debug for TokenNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenNames([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> UnsignedToken {
        let key = SigningKey::new(
            KeyName::ClientAssertion,
            Algorithm::Es256,
            Some("k1".into()),
        );
        let claims = Object::new().with("iss", "me");
        UnsignedToken::new(&key, "JWT", Object::new(), claims)
    }

    #[test]
    fn a_token_is_header_claims_and_signature() {
        let token = token();
        let request = token.request();
        assert_eq!(request.key(), KeyName::ClientAssertion);
        assert_eq!(request.algorithm(), Algorithm::Es256);
        let signing_input = String::from_utf8(request.message().into()).unwrap();
        let (header, claims) = signing_input.split_once('.').unwrap();
        let text = |part: &str| String::from_utf8(base64url::decode(part).unwrap()).unwrap();
        assert_eq!(text(header), r#"{"alg":"ES256","typ":"JWT","kid":"k1"}"#);
        assert_eq!(text(claims), r#"{"iss":"me"}"#);
        let signed = token.signed(&[7; 64]).unwrap();
        // EXPOSE: the test compares it.
        let signature = signed.expose().strip_prefix(&signing_input).unwrap();
        assert_eq!(
            base64url::decode(signature.strip_prefix('.').unwrap()),
            Some(vec![7; 64])
        );
    }

    #[test]
    fn a_signature_of_another_length_is_that_of_another_key() {
        for length in [0, 63, 65, 70, 96, 256] {
            let error = token().signed(&vec![7; length]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::KeyUnsuitable, "{length}");
        }
        let key = SigningKey::new(KeyName::RequestObject, Algorithm::Ps256, None);
        let token = || UnsignedToken::new(&key, "JWT", Object::new(), Object::new());
        assert!(token().signed(&[7; 255]).is_err());
        assert!(token().signed(&[7; 256]).is_ok());
    }

    #[test]
    fn names_do_not_come_twice() {
        let mut names = TokenNames::new([3; 32]);
        let mut made: Vec<_> = (0..100).map(|_| names.make_name()).collect();
        assert!(made.iter().all(|name| name.len() == 22));
        made.push(TokenNames::new([4; 32]).make_name());
        made.sort_unstable();
        made.dedup();
        assert_eq!(made.len(), 101);
    }

    #[test]
    fn debug_shows_nothing() {
        let text = format!(
            "{:?} {:?} {:?}",
            token(),
            token().request(),
            TokenNames::new([3; 32])
        );
        assert_eq!(
            text,
            "UnsignedToken([redacted]) SigningRequest(ClientAssertion) TokenNames([redacted])"
        );
    }
}
