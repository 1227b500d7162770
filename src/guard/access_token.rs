//! What makes a verified token an access token for this API (RFC 9068 section 4).

use crate::error::{Error, ErrorKind};
use crate::guard::{GuardConfig, Principal, Profile};
use crate::http::json::Value;
use crate::jose::{Claims, Verified};
use crate::time::Timestamp;

/// How deep one actor may act for another. Real chains have one or two; RFC 8693 names no bound.
const MOST_ACTORS: usize = 8;

/// Checks the claims of a token whose signature was verified with a key of `issuer`.
///
/// What it does not check: what the request needs beyond a valid token, see [`crate::guard::Need`].
///
/// # Errors
///
/// `claim_missing`, `claim_invalid`, `issuer_mismatch`, `audience_mismatch`, `token_expired`,
/// `token_not_active`, `issued_in_future`, `token_too_old`, `typ_mismatch`.
pub(super) fn check_claims(
    token: Verified,
    issuer: &str,
    profile: &Profile,
    config: &GuardConfig,
    now: Timestamp,
) -> Result<Principal, Error> {
    let algorithm = token.header().algorithm().check_name();
    let mut checked = Vec::with_capacity(12);
    checked.extend(["typ", algorithm, "iss", "aud", "exp"]);
    let claims = token.into_claims();
    // 4. The issuer is the one whose key made the signature.
    if claims.required_string("iss")? != issuer {
        return Err(ErrorKind::IssuerMismatch.into());
    }
    // 4. This API is an audience.
    let audience: Vec<String> = profile
        .audience(&claims)?
        .into_iter()
        .map(String::from)
        .collect();
    if !audience.iter().any(|name| config.audience.contains(name)) {
        return Err(ErrorKind::AudienceMismatch.into());
    }
    // 4. The current time is before exp.
    claims.check_lifetime(now, config.clock_tolerance)?;
    // 2.2. What every access token carries.
    profile.check_shape(&claims, issuer, &mut checked)?;
    check_age(&claims, config, now)?;
    check_actors(&claims)?;
    Principal::read(claims, audience, profile, config, checked)
}

/// Checks how long ago and for how long a token was issued, where the guard bounds that.
pub(super) fn check_age(
    claims: &Claims,
    config: &GuardConfig,
    now: Timestamp,
) -> Result<(), Error> {
    if config.max_token_age.is_none() && config.max_token_lifetime.is_none() {
        return Ok(());
    }
    let issued_at = claims.required_date("iat")?;
    let too_old = |at: &'static str| Error::new(ErrorKind::TokenTooOld, at);
    if let Some(age) = config.max_token_age
        && now > issued_at.after(age).after(config.clock_tolerance)
    {
        return Err(too_old("iat"));
    }
    if let Some(lifetime) = config.max_token_lifetime
        && claims.required_date("exp")? > issued_at.after(lifetime)
    {
        return Err(too_old("exp"));
    }
    Ok(())
}

/// Checks that a chain of actors is one, and not too long (RFC 8693 sections 4.1 and 4.4).
pub(super) fn check_actors(claims: &Claims) -> Result<(), Error> {
    for name in ["act", "may_act"] {
        let mut next = claims.as_object().get(name);
        let mut depth: usize = 0;
        while let Some(actor) = next {
            depth = depth.saturating_add(1);
            next = match actor {
                Value::Object(actor) if depth <= MOST_ACTORS => actor.get(name),
                _ => return Err(Error::new(ErrorKind::ClaimInvalid, name)),
            };
        }
    }
    Ok(())
}
