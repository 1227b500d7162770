//! Authorization responses that are JWTs which the provider signed (JARM).

use crate::client::Client;
use crate::client::callback::Callback;
use crate::error::{Error, ErrorKind};
use crate::http::form::{self, Repeated};
use crate::issuer::{KeyTrials, Verify};
use crate::jose::{Algorithms, Unverified, Verified};
use crate::time::Timestamp;

/// The longest response: a code at its limit, and what stands around it.
const MAX_RESPONSE: usize = 16 * 1024;

/// A response as long as nobody has verified it.
pub(in crate::client) struct SignedResponse(Unverified);

impl SignedResponse {
    /// Takes the response of a callback apart.
    ///
    /// # Errors
    ///
    /// `state_missing` for a callback without one, `param_invalid`, `token_too_large`,
    /// `token_malformed`, `alg_not_allowed`, `crit_unsupported`.
    pub(in crate::client) fn read(parameters: &[(String, String)]) -> Result<Self, Error> {
        let jwt = form::once(parameters, "response")
            .map_err(|Repeated| Error::new(ErrorKind::ParamInvalid, "response"))?
            .ok_or(ErrorKind::StateMissing)?;
        // JARM section 2.4 step 1: encrypted responses are not asked for and not read.
        Unverified::parse(jwt, MAX_RESPONSE, &Algorithms::all()).map(Self)
    }

    /// The login that it says it is for; whether it may say so, its signature tells.
    pub(in crate::client) fn claimed_state(&self) -> Result<Option<&str>, Error> {
        self.0.unchecked_claims().string("state")
    }

    /// The flow that verifies it with the keys of the provider, whose metadata is known.
    ///
    /// # Errors
    ///
    /// `alg_not_allowed` for an algorithm that the provider says it does not use.
    pub(in crate::client) fn verify(self, client: &Client) -> Result<Box<Verify>, Error> {
        let metadata = client.provider().metadata();
        let algorithm = self.0.header().algorithm().name();
        if metadata.is_some_and(|metadata| metadata.rules_out_response(algorithm)) {
            return Err(ErrorKind::AlgNotAllowed.into());
        }
        Ok(Box::new(Verify::new(self.0, KeyTrials::One)))
    }
}

/// The callback whose parameters stand in this response.
///
/// # Errors
///
/// `typ_mismatch`, `claim_missing`, `claim_invalid`, `issuer_mismatch`, `audience_mismatch`,
/// `token_expired`, `token_not_active`, `issued_in_future`.
pub(in crate::client) fn open(
    callback: Callback,
    response: &Verified,
    client: &Client,
    now: Timestamp,
) -> Result<Callback, Error> {
    let (header, claims) = (response.header(), response.claims());
    // RFC 8725 section 3.11: a typ, where there is one, must not be that of another token.
    if header.has_type() && !header.is_type("JWT") {
        return Err(ErrorKind::TypMismatch.into());
    }
    // JARM section 2.4.
    // 2. The state has found the login.
    // 3. The issuer is the one that was asked.
    if claims.required_string("iss")? != client.provider().issuer().as_str() {
        return Err(ErrorKind::IssuerMismatch.into());
    }
    // 4. It is meant for this client, and for nobody else.
    if claims.audience()? != [client.config().client_id.as_str()] {
        return Err(ErrorKind::AudienceMismatch.into());
    }
    // 5. It is not over.
    claims.check_lifetime(now, client.config().clock_tolerance)?;
    // 6. The signature was verified.
    let mut parameters = Vec::new();
    for name in ["state", "iss", "code", "error", "error_description"] {
        if let Some(value) = claims.string(name)? {
            parameters.push((name.into(), value.into()));
        }
    }
    let checked = vec![header.algorithm().check_name(), "aud", "exp"];
    Ok(callback.with(parameters, checked))
}
