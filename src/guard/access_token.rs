//! What makes a verified token an access token for this API (RFC 9068 section 4).

use crate::error::{Error, ErrorKind};
use crate::guard::{GuardConfig, Principal};
use crate::jose::{Header, Verified};
use crate::time::Timestamp;

/// Refuses tokens that say that they are of another kind, before any key is fetched.
///
/// # Errors
///
/// `typ_mismatch`.
pub(super) fn check_type(header: &Header) -> Result<(), Error> {
    // RFC 9068 section 4: typ is at+jwt or application/at+jwt, nothing else.
    if header.is_type("at+jwt") {
        Ok(())
    } else {
        Err(ErrorKind::TypMismatch.into())
    }
}

/// Checks the claims of a token whose signature was verified with a key of `issuer`.
///
/// What it does not check: what the request needs beyond a valid token, see [`crate::guard::Need`].
///
/// # Errors
///
/// `claim_missing`, `claim_invalid`, `issuer_mismatch`, `audience_mismatch`, `token_expired`,
/// `token_not_active`, `issued_in_future`.
pub(super) fn check_claims(
    token: Verified,
    issuer: &str,
    config: &GuardConfig,
    now: Timestamp,
) -> Result<Principal, Error> {
    let signature = token.header().algorithm().check_name();
    let claims = token.into_claims();
    // 4. The issuer is the one whose key made the signature.
    if claims.required_string("iss")? != issuer {
        return Err(ErrorKind::IssuerMismatch.into());
    }
    // 4. This API is an audience.
    let audience = claims.audience()?;
    if !audience
        .iter()
        .any(|name| config.audience.iter().any(|own| own == name))
    {
        return Err(ErrorKind::AudienceMismatch.into());
    }
    // 4. The current time is before exp.
    claims.check_lifetime(now, config.clock_tolerance)?;
    // 2.2. What every access token carries.
    for name in ["sub", "client_id", "jti"] {
        claims.required_string(name)?;
    }
    claims.required_date("iat")?;
    let checked = [
        "typ",
        signature,
        "iss",
        "aud",
        "exp",
        "sub",
        "client_id",
        "jti",
        "iat",
    ];
    Principal::read(claims, checked.to_vec())
}
