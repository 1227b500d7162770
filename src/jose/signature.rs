//! From a token to its claims, by way of someone who does the arithmetic.
//!
//! ```text
//! Unverified --check(key)--> SignatureCheck --bool--> Verified
//! ```
//!
//! [`Verified`] has no other constructor, so claims that were read are claims that were signed.

use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::jose::{Algorithm, Algorithms, Claims, Compact, Header, Kind, VerificationKey};

/// A well-formed token whose signature nobody has checked. Its claims cannot be read.
pub struct Unverified {
    header: Header,
    claims: Claims,
    signing_input: String,
    signature: Vec<u8>,
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
        let compact = Compact::parse(token, max_bytes)?;
        let header = Header::read(&compact, allowed)?;
        let (payload, signature) = compact.decode()?;
        Ok(Self {
            header,
            claims: Claims::read(&payload)?,
            signing_input: compact.signing_input.into(),
            signature,
        })
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
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
        SignatureCheck::new(
            self.header.algorithm(),
            key,
            self.signing_input.as_bytes(),
            &self.signature,
        )
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
    message: Vec<u8>,
    signature: Vec<u8>,
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
        if signature.len() != expected {
            return Err(ErrorKind::SignatureInvalid.into());
        }
        Ok(Self {
            algorithm,
            key: Arc::clone(key),
            message: message.into(),
            signature: signature.into(),
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
        &self.message
    }

    /// The signature in the form of RFC 7518.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }
}

impl core::fmt::Debug for SignatureCheck {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SignatureCheck({})", self.algorithm.name())
    }
}

/// Claims whose signature was checked with a key of the issuer.
#[derive(Debug)]
pub struct Verified {
    header: Header,
    claims: Claims,
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
