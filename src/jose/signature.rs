//! From a token to its claims, by way of someone who does the arithmetic.
//!
//! ```text
//! Unverified --check(key)--> SignatureCheck --bool--> Verified
//! ```
//!
//! [`Verified`] has no other constructor, so claims that were read are claims that were signed.

use std::sync::Arc;

use crate::error::{Error, ErrorKind};
#[cfg(feature = "guard")]
use crate::jose::TokenLimits;
use crate::jose::{Algorithm, Algorithms, Claims, Compact, Header, Kind, VerificationKey};
use crate::secret::Secret;

/// A well-formed token whose signature nobody has checked. Its claims cannot be read.
pub struct Unverified {
    header: Arc<Header>,
    claims: Claims,
    signed: Arc<Signed>,
}

/// What a signature was made over, and the signature.
pub(super) struct Signed {
    /// What was signed is the beginning of it; the rest of a token is its signature as it came.
    text: Secret<Vec<u8>>,
    /// How long that is.
    length: usize,
    signature: Vec<u8>,
}

impl Signed {
    /// A copy of what was signed, with its signature.
    pub(super) fn new(message: &[u8], signature: Vec<u8>) -> Arc<Self> {
        Arc::new(Self {
            text: Secret::new(message.into()),
            length: message.len(),
            signature,
        })
    }

    fn message(&self) -> &[u8] {
        // EXPOSE: its signature is checked.
        let text = self.text.expose();
        text.get(..self.length).unwrap_or(text)
    }
}

/// Headers of tokens that were verified: those of one key are the same, letter by letter.
///
/// Good for one list of algorithms only. Nobody but an issuer can fill it.
#[cfg(feature = "guard")]
#[derive(Debug, Default)]
pub(crate) struct KnownHeaders {
    headers: Vec<(Vec<u8>, Arc<Header>)>,
    /// Which one makes room for the next.
    oldest: usize,
}

#[cfg(feature = "guard")]
impl KnownHeaders {
    /// How many are kept: few issuers sign with more than one key at a time, and looking through
    /// many would cost what it saves.
    const MOST: usize = 8;

    fn find(&self, text: &str) -> Option<Arc<Header>> {
        self.headers
            .iter()
            .find_map(|(known, header)| (known == text.as_bytes()).then(|| Arc::clone(header)))
    }

    /// Remembers the header of this token.
    pub(crate) fn learn(&mut self, token: &Verified) {
        let message = token.signed.message();
        let text = message
            .split(|byte| *byte == b'.')
            .next()
            .unwrap_or(message);
        if self.headers.iter().any(|(known, _)| known == text) {
            return;
        }
        let learned = (text.to_vec(), Arc::clone(&token.header));
        match self.headers.get_mut(self.oldest) {
            Some(place) => *place = learned,
            None => self.headers.push(learned),
        }
        self.oldest = self.oldest.saturating_add(1) % Self::MOST;
    }
}

impl Unverified {
    /// Takes a token apart and reads its header and claims.
    ///
    /// What it does not check: the signature, and every claim.
    ///
    /// # Errors
    ///
    /// `token_too_large`, `token_malformed`, `alg_not_allowed`, `crit_unsupported`.
    pub fn parse(token: &str, max_bytes: usize, allowed: &Algorithms) -> Result<Self, Error> {
        let token = Compact::parse(token, max_bytes)?;
        let header = Header::read(&token, allowed)?;
        let (payload, signature) = token.decode()?;
        Ok(Self {
            header: Arc::new(header),
            claims: Claims::read(payload, token.max_depth)?,
            signed: Signed::new(token.signing_input.as_bytes(), signature),
        })
    }

    /// As [`Unverified::parse`], where headers that are known for these algorithms are not read again.
    /// The token stays where it is.
    #[cfg(feature = "guard")]
    pub(crate) fn parse_with(
        text: Secret<String>,
        limits: TokenLimits,
        allowed: &Algorithms,
        known: &KnownHeaders,
    ) -> Result<Self, Error> {
        // EXPOSE: it is parsed.
        let token = Compact::parse_within(text.expose(), limits)?;
        let header = match known.find(token.header) {
            Some(header) => header,
            None => Arc::new(Header::read(&token, allowed)?),
        };
        let (payload, signature) = token.decode()?;
        let claims = Claims::read(payload, token.max_depth)?;
        let length = token.signing_input.len();
        let signed = Arc::new(Signed {
            text: text.into_bytes(),
            length,
            signature,
        });
        Ok(Self {
            header,
            claims,
            signed,
        })
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Its claims, which anybody can have written. For a token that came from the token endpoint
    /// itself over TLS, and for finding out whose it claims to be; for nothing else.
    #[cfg(any(feature = "primitives", feature = "backend"))]
    pub(crate) fn unchecked_claims(&self) -> &Claims {
        &self.claims
    }

    /// The issuer that the token claims to have: good for choosing among configured issuers, for
    /// nothing else.
    ///
    /// # Errors
    ///
    /// `claim_missing`, `claim_invalid`.
    #[cfg(feature = "guard")]
    pub(crate) fn claimed_issuer(&self) -> Result<&str, Error> {
        self.claims.required_string("iss")
    }

    /// The question whether this key made the signature.
    ///
    /// # Errors
    ///
    /// `key_unsuitable` when the key does not fit the token's algorithm, `signature_invalid` when
    /// the length alone rules the signature out.
    pub fn check(&self, key: &Arc<VerificationKey>) -> Result<SignatureCheck, Error> {
        SignatureCheck::of(self.header.algorithm(), key, &self.signed)
    }

    /// Takes the answer; only a yes gives the claims.
    ///
    /// # Errors
    ///
    /// `signature_invalid`.
    pub fn verified(self, fits: bool) -> Result<Verified, Error> {
        if !fits {
            return Err(ErrorKind::SignatureInvalid.into());
        }
        Ok(Verified {
            header: self.header,
            claims: self.claims,
            #[cfg(feature = "guard")]
            signed: self.signed,
        })
    }
}

impl core::fmt::Debug for Unverified {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Unverified([redacted])")
    }
}

/// The question whether a key made a signature: key and algorithm are acceptable and fit each
/// other, the length is right; what is left is arithmetic.
#[derive(Clone)]
pub struct SignatureCheck {
    algorithm: Algorithm,
    key: Arc<VerificationKey>,
    signed: Arc<Signed>,
}

impl SignatureCheck {
    /// The question about bytes that need not be a token: test vectors ask it.
    ///
    /// # Errors
    ///
    /// As [`Unverified::check`].
    #[doc(hidden)]
    pub fn new(
        algorithm: Algorithm,
        key: &Arc<VerificationKey>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<Self, Error> {
        Self::of(algorithm, key, &Signed::new(message, signature.into()))
    }

    pub(super) fn of(
        algorithm: Algorithm,
        key: &Arc<VerificationKey>,
        signed: &Arc<Signed>,
    ) -> Result<Self, Error> {
        if !key.fits(algorithm) {
            return Err(ErrorKind::KeyUnsuitable.into());
        }
        // RFC 7518 sections 3.3 to 3.5: RSA signatures are as long as the modulus, ECDSA ones are
        // R and S at full length. RFC 8032: Ed25519 ones have 64 bytes. RFC 7518 section 3.2: HMAC
        // ones are the whole hash.
        let expected = match algorithm.kind() {
            Kind::RsaPkcs1 | Kind::RsaPss => key.modulus_length(),
            Kind::Ecdsa(curve) => curve.coordinate_length().saturating_mul(2),
            Kind::Ed25519 => 64,
            Kind::Hmac => usize::try_from(algorithm.hash().length()).unwrap_or(usize::MAX),
        };
        if signed.signature.len() != expected {
            return Err(ErrorKind::SignatureInvalid.into());
        }
        Ok(Self {
            algorithm,
            key: Arc::clone(key),
            signed: Arc::clone(signed),
        })
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key; the same `Arc` for the same key as long as a key set lives.
    pub fn key(&self) -> &Arc<VerificationKey> {
        &self.key
    }

    /// What was signed.
    pub fn message(&self) -> &[u8] {
        self.signed.message()
    }

    /// The signature in the form of RFC 7518.
    pub fn signature(&self) -> &[u8] {
        &self.signed.signature
    }
}

impl core::fmt::Debug for SignatureCheck {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SignatureCheck({})", self.algorithm.name())
    }
}

/// Claims whose signature was checked with a key of the issuer.
pub struct Verified {
    header: Arc<Header>,
    claims: Claims,
    #[cfg(feature = "guard")]
    signed: Arc<Signed>,
}

impl core::fmt::Debug for Verified {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Verified([redacted])")
    }
}

impl Verified {
    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The claims.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The claims alone.
    pub fn into_claims(self) -> Claims {
        self.claims
    }
}

#[cfg(feature = "guard")]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::base64url;

    fn parse(header: &str, known: &KnownHeaders) -> Unverified {
        let token = format!("{}.e30.", base64url::encode(header.as_bytes()));
        Unverified::parse_with(
            token.into(),
            TokenLimits::default(),
            &Algorithms::all(),
            known,
        )
        .unwrap()
    }

    #[test]
    fn a_header_is_known_once_its_token_was_verified_and_only_letter_by_letter() {
        let mut known = KnownHeaders::default();
        let header = r#"{"alg":"ES256","kid":"a"}"#;
        let first = parse(header, &known);
        assert!(parse(header, &known).verified(false).is_err());
        assert!(known.headers.is_empty());
        known.learn(&first.verified(true).unwrap());
        let again = parse(header, &known);
        assert!(Arc::ptr_eq(&again.header, &known.headers[0].1));
        let other = parse(r#"{"alg":"ES256","kid":"b"}"#, &known);
        assert_eq!(other.header().key_id(), Some("b"));
        known.learn(&again.verified(true).unwrap());
        assert_eq!(known.headers.len(), 1);
    }

    #[test]
    fn a_thousand_headers_leave_the_last_eight() {
        let mut known = KnownHeaders::default();
        let header = |n: usize| format!(r#"{{"alg":"ES256","kid":"{n}"}}"#);
        for n in 0..1000 {
            let token = parse(&header(n), &known);
            known.learn(&token.verified(true).unwrap());
            assert!(known.headers.len() <= KnownHeaders::MOST);
        }
        for n in 992..1000 {
            let key_id = n.to_string();
            let found = known
                .find(&base64url::encode(header(n).as_bytes()))
                .unwrap();
            assert_eq!(found.key_id(), Some(key_id.as_str()));
        }
    }
}
