//! What makes a verified token this client's ID token (OpenID Connect Core section 3.1.3.7).

use sha2::{Digest as _, Sha256, Sha384, Sha512};

use crate::base64url;
use crate::error::{Error, ErrorKind};
use crate::jose::{Algorithm, Claims, Hash, Header, Verified};
use crate::secret::ct_eq;
use crate::time::{Lifetime, Timestamp};

/// The longest subject identifier, in ASCII characters (OpenID Connect Core section 2).
const MAX_SUBJECT: usize = 255;

/// What an ID token is checked against.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs)] // Whoever adds a check must be made to give its value everywhere.
pub struct IdTokenChecks<'a> {
    /// The issuer identifier of the provider.
    pub issuer: &'a str,
    /// The client identifier.
    pub client_id: &'a str,
    /// Audiences that may stand beside the client.
    pub trusted_audiences: &'a [String],
    /// The nonce of the authorization request; none for one that sent none.
    pub nonce: Option<&'a str>,
    /// The `max_age` of the authorization request, in seconds.
    pub max_age: Option<u32>,
    /// The values of `acr` that will do; any or none will when it is empty.
    pub acr: &'a [String],
    /// The only user whom it may be about, where the request named one.
    pub subject: Option<&'a str>,
    /// The code that it was exchanged for; none in the answer to a refresh.
    pub code: Option<&'a str>,
    /// The `state` of the authorization request; none in the answer to a refresh.
    pub state: Option<&'a str>,
    /// The access token that came with it.
    pub access_token: Option<&'a str>,
    /// How far clocks may differ.
    pub clock_tolerance: Lifetime,
    /// The current time.
    pub now: Timestamp,
}

/// Claims about the user who signed in: signed by the provider, meant for this client, fresh.
#[derive(Debug)]
pub struct IdToken {
    claims: Claims,
    checked: Vec<&'static str>,
}

impl IdToken {
    /// Checks the claims of a token whose signature was verified with a key of the issuer.
    ///
    /// What it does not check: whether the user may do what the application does.
    ///
    /// # Errors
    ///
    /// `claim_missing`, `claim_invalid`, `issuer_mismatch`, `audience_mismatch`, `azp_mismatch`,
    /// `token_expired`, `token_not_active`, `issued_in_future`, `nonce_mismatch`,
    /// `acr_insufficient`, `auth_too_old`, `hash_mismatch`, `typ_mismatch`.
    pub fn check(token: Verified, expected: &IdTokenChecks<'_>) -> Result<Self, Error> {
        let signature = token.header().algorithm().check_name();
        let mut checked = check_claims(token.header(), token.claims(), expected)?;
        checked.insert(0, signature);
        let claims = token.into_claims();
        Ok(Self { claims, checked })
    }

    /// Checks what a refreshed ID token must have in common with the one of the sign-in
    /// (OpenID Connect Core section 12.2).
    ///
    /// # Errors
    ///
    /// `claim_invalid` at the claim that differs.
    pub(super) fn check_same_user(&self, original: &Claims) -> Result<(), Error> {
        let differs = |name: &'static str| Err(Error::new(ErrorKind::ClaimInvalid, name));
        for name in ["iss", "sub"] {
            if self.claims.string(name)? != original.string(name)? {
                return differs(name);
            }
        }
        let sorted = |claims: &Claims| {
            let mut list: Vec<String> = claims.audience()?.into_iter().map(String::from).collect();
            list.sort_unstable();
            Ok::<_, Error>(list)
        };
        if sorted(&self.claims)? != sorted(original)? {
            return differs("aud");
        }
        // auth_time names the original login, where it stands.
        match (self.claims.date("auth_time")?, original.date("auth_time")?) {
            (Some(now), Some(then)) if now != then => differs("auth_time"),
            _ => Ok(()),
        }
    }

    /// The claims.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// What was checked, in order: for people who want to see it.
    pub fn checked(&self) -> &[&'static str] {
        &self.checked
    }

    pub(super) fn into_parts(self) -> (Claims, Vec<&'static str>) {
        (self.claims, self.checked)
    }
}

/// Checks what an ID token says: all that is to be checked of it but its signature.
///
/// # Errors
///
/// Those of [`IdToken::check`].
pub(super) fn check_claims(
    header: &Header,
    claims: &Claims,
    expected: &IdTokenChecks<'_>,
) -> Result<Vec<&'static str>, Error> {
    // RFC 8725 section 3.11: a typ, where there is one, must not be that of another token.
    if header.has_type() && !header.is_type("JWT") {
        return Err(ErrorKind::TypMismatch.into());
    }
    let mut checked = Vec::new();

    // 1. Encrypted tokens are not asked for and not read: `Compact::parse` refuses them.
    // 2. The issuer is the one whose metadata was read, letter by letter.
    if claims.required_string("iss")? != expected.issuer {
        return Err(ErrorKind::IssuerMismatch.into());
    }
    checked.push("iss");

    // 3. This client is an audience, and there is none that is not trusted.
    let audience = claims.audience()?;
    let is_trusted = |name: &&str| {
        *name == expected.client_id
            || expected
                .trusted_audiences
                .iter()
                .any(|trusted| trusted == name)
    };
    if !audience.contains(&expected.client_id) || !audience.iter().all(is_trusted) {
        return Err(ErrorKind::AudienceMismatch.into());
    }
    checked.push("aud");

    // 4. and 5. Beside other audiences the authorized party must be named; it is this client.
    match claims.string("azp")? {
        Some(azp) if azp != expected.client_id => return Err(ErrorKind::AzpMismatch.into()),
        None if audience.len() > 1 => return Err(ErrorKind::AzpMismatch.into()),
        Some(_) => checked.push("azp"),
        None => {}
    }

    // 6. to 8. The signature was checked, also though the token came over TLS, with a key of
    // the issuer and an algorithm that is allowed; HMAC is not.
    // 9. and 10. The time: before exp; iat is there and not in the future.
    claims.check_lifetime(expected.now, expected.clock_tolerance)?;
    claims.required_date("iat")?;
    checked.extend(["exp", "iat"]);

    // 11. The nonce is the one that was sent; one that was not sent must not come.
    match (expected.nonce, claims.string("nonce")?) {
        (Some(sent), Some(came)) if ct_eq(sent, came) => checked.push("nonce"),
        (None, None) => {}
        _ => return Err(ErrorKind::NonceMismatch.into()),
    }

    // 12. The user signed in in one of the ways that were asked for.
    if !expected.acr.is_empty() {
        let acr = claims.string("acr")?;
        if !acr.is_some_and(|acr| expected.acr.iter().any(|asked| asked == acr)) {
            return Err(Error::new(ErrorKind::AcrInsufficient, "acr"));
        }
        checked.push("acr");
    }
    // 13. The user signed in recently enough.
    check_auth_time(claims, expected, &mut checked)?;

    // 3.1.3.8 and 3.3.2.11, FAPI 1.0 Advanced section 5.2.2.1: access token, code and state are
    // those that it was issued with, where it says so.
    let hashes = [
        ("at_hash", expected.access_token),
        ("c_hash", expected.code),
        ("s_hash", expected.state),
    ];
    for (name, hashed) in hashes {
        let (hash, hashed) = match (claims.string(name)?, hashed) {
            (Some(hash), Some(hashed)) => (hash, hashed),
            // It was issued with a token that did not come along.
            (Some(_), None) if name == "at_hash" => {
                return Err(Error::new(ErrorKind::HashMismatch, name));
            }
            _ => continue,
        };
        if !ct_eq(hash, &half_hash(header.algorithm(), hashed)) {
            return Err(Error::new(ErrorKind::HashMismatch, name));
        }
        checked.push(name);
    }

    // 2. The subject is there and within its length.
    let subject = claims.required_string("sub")?;
    if subject.len() > MAX_SUBJECT || !subject.is_ascii() {
        return Err(Error::new(ErrorKind::ClaimInvalid, "sub"));
    }
    // 3.1.2.1, 5.5: a request that names a user is about no other one.
    if expected.subject.is_some_and(|asked| asked != subject) {
        return Err(Error::new(ErrorKind::ClaimInvalid, "sub"));
    }
    checked.push("sub");
    Ok(checked)
}

fn check_auth_time(
    claims: &Claims,
    expected: &IdTokenChecks<'_>,
    checked: &mut Vec<&'static str>,
) -> Result<(), Error> {
    let auth_time = claims.date("auth_time")?;
    if auth_time.is_some_and(|time| time > expected.now.after(expected.clock_tolerance)) {
        return Err(Error::new(ErrorKind::ClaimInvalid, "auth_time"));
    }
    let Some(max_age) = expected.max_age else {
        return Ok(());
    };
    let auth_time = auth_time.ok_or_else(|| Error::new(ErrorKind::ClaimMissing, "auth_time"))?;
    let latest = auth_time
        .after(Lifetime::from_seconds(max_age))
        .after(expected.clock_tolerance);
    if expected.now > latest {
        return Err(ErrorKind::AuthTooOld.into());
    }
    checked.push("auth_time");
    Ok(())
}

/// The left half of the token's hash, with the hash of the signature's algorithm.
fn half_hash(algorithm: Algorithm, token: &str) -> String {
    let digest = match algorithm.hash() {
        Hash::Sha256 => Sha256::digest(token.as_bytes()).to_vec(),
        Hash::Sha384 => Sha384::digest(token.as_bytes()).to_vec(),
        Hash::Sha512 => Sha512::digest(token.as_bytes()).to_vec(),
    };
    let (half, _) = digest.split_at(digest.len() / 2);
    base64url::encode(half)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_hash_follows_the_algorithm() {
        // OpenID Connect Core appendix A.4: at_hash of its access token, RS256.
        assert_eq!(
            half_hash(
                Algorithm::Rs256,
                "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"
            ),
            "77QmUPtjPfzWtF2AnpK9RQ"
        );
        assert_eq!(half_hash(Algorithm::Es384, "x").len(), 32);
        assert_eq!(half_hash(Algorithm::EdDsa, "x").len(), 43);
    }
}
