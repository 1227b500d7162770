//! Proofs that a request comes from whoever holds a key (DPoP, RFC 9449 section 4).

use core::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::base64url;
use crate::error::{Error, ErrorKind};
use crate::http::Target;
use crate::http::json::Value;
use crate::jose::signature::Signed;
use crate::jose::{
    Algorithms, Claims, Compact, Header, SignatureCheck, Thumbprint, VerificationKey,
};
use crate::time::{Lifetime, Timestamp};

/// The longest proof, in bytes. One with an RSA key of 8192 bits has about 3 KiB.
const MAX_PROOF: usize = 8 * 1024;

/// The longest `jti`, in bytes. Honest ones have 16 to 43.
const MAX_JTI: usize = 256;

/// How old a proof may be, besides the tolerance for clocks: a proof is made for one request.
const MAX_AGE: Lifetime = Lifetime::from_seconds(60);

/// What a proof must be about.
#[derive(Clone, Copy)]
pub struct ProofContext<'a> {
    /// The method of the request, letter by letter.
    pub method: &'a str,
    /// Where the request goes.
    pub target: &'a Target,
    /// The access token that is shown with the proof.
    pub access_token: &'a str,
    /// How far clocks may differ.
    pub clock_tolerance: Lifetime,
}

/// A well-formed proof that fits its request, with the key that it is about. Whether that key
/// signed it, [`DpopProof::signature_check`] asks.
pub struct DpopProof {
    header: Header,
    claims: Claims,
    key: Arc<VerificationKey>,
    thumbprint: Thumbprint,
    signed: Arc<Signed>,
    /// When it is too old for everyone.
    ends_at: Timestamp,
}

impl DpopProof {
    /// Reads the value of a `DPoP` header and checks all that needs neither arithmetic nor memory.
    ///
    /// What it does not check: the signature, `nonce` ([`DpopProof::nonce`]), whether the proof
    /// was used before ([`DpopProof::replay_key`]), and whether the access token is bound to its
    /// key ([`DpopProof::thumbprint`]).
    ///
    /// # Errors
    ///
    /// `dpop_invalid` at the member or claim that is missing, malformed or wrong.
    pub fn read(
        value: &str,
        allowed: &Algorithms,
        context: &ProofContext<'_>,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let at_of = |error: &Error| match error.kind() {
            ErrorKind::AlgNotAllowed => "alg",
            ErrorKind::CritUnsupported => "crit",
            _ => "DPoP",
        };
        let malformed = |error: Error| invalid(at_of(&error));
        // RFC 9449 section 4.3, check 1: one header. Fetch joins several with a comma, which no
        // proof holds.
        if value.contains(',') {
            return Err(invalid("DPoP"));
        }
        // 2: its value is one well-formed JWT.
        let compact = Compact::parse(value, MAX_PROOF).map_err(malformed)?;
        let members = Header::members(&compact).map_err(malformed)?;
        // 5: alg is asymmetric, on the list, and never none.
        let header = Header::from_members(&members, allowed).map_err(malformed)?;
        // 4: typ is dpop+jwt.
        if !header.is_type("dpop+jwt") {
            return Err(invalid("typ"));
        }
        // 7: jwk is a public key; weak ones are refused too, and those that do not fit alg.
        let key = members
            .get("jwk")
            .and_then(Value::as_object)
            .and_then(VerificationKey::read_unplaced)
            .filter(|key| key.fits(header.algorithm()))
            .ok_or_else(|| invalid("jwk"))?;
        let payload = base64url::decode(compact.payload).ok_or_else(|| invalid("DPoP"))?;
        let claims = Claims::read(payload, compact.max_depth).map_err(malformed)?;
        let signature = base64url::decode(compact.signature).ok_or_else(|| invalid("signature"))?;
        let signed = Signed::new(compact.signing_input.as_bytes(), signature);

        let ends_at = check_claims(&claims, context, now)?;
        Ok(Self {
            thumbprint: Thumbprint::of(&key),
            key: Arc::new(key),
            header,
            claims,
            signed,
            ends_at,
        })
    }

    /// The name of the key that it is about.
    pub fn thumbprint(&self) -> &Thumbprint {
        &self.thumbprint
    }

    /// The nonce of a server that it carries.
    pub fn nonce(&self) -> Option<&str> {
        self.claims.string("nonce").ok().flatten()
    }

    /// When it is too old for everyone: nobody has to remember it longer.
    pub fn ends_at(&self) -> Timestamp {
        self.ends_at
    }

    /// A name of 128 bits for this `jti` of this key.
    ///
    /// The target does not count: a client that uses a `jti` twice is at fault wherever it does
    /// (RFC 9449 section 4.2). The key does, so that no client can use up those of another.
    pub fn replay_key(&self) -> [u8; 16] {
        let jti = self.claims.string("jti").ok().flatten().unwrap_or_default();
        let digest = Sha256::new_with_prefix(self.thumbprint.as_str())
            .chain_update(jti)
            .finalize();
        let mut name = [0; 16];
        for (place, byte) in name.iter_mut().zip(digest) {
            *place = byte;
        }
        name
    }

    /// The question whether its key signed it.
    ///
    /// # Errors
    ///
    /// `dpop_invalid` when the length alone rules the signature out.
    pub fn signature_check(&self) -> Result<SignatureCheck, Error> {
        // 6: the signature verifies with the key in jwk.
        SignatureCheck::of(self.header.algorithm(), &self.key, &self.signed)
            .map_err(|_| invalid("signature"))
    }
}

/// Checks what a proof says of its request; answers when it ends.
fn check_claims(
    claims: &Claims,
    context: &ProofContext<'_>,
    now: Timestamp,
) -> Result<Timestamp, Error> {
    // 3: jti, htm, htu and iat are there; with an access token ath too.
    let text = |name: &'static str| claims.required_string(name).map_err(|_| invalid(name));
    // 8: htm is the method of the request.
    if text("htm")? != context.method {
        return Err(invalid("htm"));
    }
    // 9: htu is the request's URL without query and fragment, however it is spelled.
    if Target::read(text("htu")?).as_ref() != Some(context.target) {
        return Err(invalid("htu"));
    }
    // 10: a nonce is text; whether it is one of ours is the server's to say.
    claims.string("nonce").map_err(|_| invalid("nonce"))?;
    // 11: the proof was made just now.
    let iat = claims.required_date("iat").map_err(|_| invalid("iat"))?;
    let ends_at = iat.after(MAX_AGE).after(context.clock_tolerance);
    if iat > now.after(context.clock_tolerance) || now > ends_at {
        return Err(invalid("iat"));
    }
    // 12: ath is the hash of the access token.
    let hash = base64url::encode(&Sha256::digest(context.access_token));
    if !bool::from(hash.as_bytes().ct_eq(text("ath")?.as_bytes())) {
        return Err(invalid("ath"));
    }
    // 4.2: jti is a name; a long one only costs memory.
    if text("jti")?.len() > MAX_JTI {
        return Err(invalid("jti"));
    }
    Ok(ends_at)
}

fn invalid(at: &'static str) -> Error {
    Error::new(ErrorKind::DpopInvalid, at)
}

impl fmt::Debug for DpopProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DpopProof({:?})", self.thumbprint)
    }
}
