//! Whether whoever shows a token is whom it was issued to (RFC 7800, RFC 9449, RFC 8705).

use crate::error::{Error, ErrorKind};
use crate::guard::DpopMode;
use crate::http::json::{Object, Value};
use crate::jose::Thumbprint;
use crate::secret::ct_eq;

/// Compares the confirmation (`cnf`) among checked claims with what the request shows; answers
/// what was compared.
///
/// What it does not check: the signature of the proof, and whether it was used before.
///
/// # Errors
///
/// `binding_mismatch` when the token is bound to something that the request does not show, when a
/// proof was shown for a token that is not bound to its key, and when tokens must be bound and
/// this one is not; `claim_invalid` for a confirmation that cannot be read.
pub(super) fn check(
    claims: &Object,
    proven: Option<&Thumbprint>,
    certificate: Option<&str>,
    mode: DpopMode,
) -> Result<Vec<&'static str>, Error> {
    let mismatch = |at: &'static str| Error::new(ErrorKind::BindingMismatch, at);
    let (key, certified) = read(claims)?;
    let mut checked = Vec::new();
    // RFC 9449 sections 6.1 and 7.1: the key of the proof is the one that the token is bound to;
    // a bound token without a proof and a proof without a bound token are both refused.
    match (key, proven) {
        (None, None) if mode == DpopMode::Require => return Err(mismatch(KEY)),
        (None, None) => {}
        (Some(key), Some(proven)) if proven.is(key) => checked.push(KEY),
        _ => return Err(mismatch(KEY)),
    }
    // RFC 8705 section 3.1: the certificate is the one that the token is bound to. A certificate
    // beside a token that is bound to none proves nothing and harms nothing.
    match (certified, certificate) {
        (None, _) => {}
        (Some(wanted), Some(shown)) if ct_eq(wanted, shown) => checked.push(CERTIFICATE),
        _ => return Err(mismatch(CERTIFICATE)),
    }
    Ok(checked)
}

/// RFC 9449 section 6.1.
const KEY: &str = "cnf.jkt";
/// RFC 8705 section 3.1.
const CERTIFICATE: &str = "cnf.x5t#S256";

/// What Keycloak calls the tokens that are bound to a key, in place of `Bearer`.
pub(super) const KEY_BOUND: &str = "DPoP";

/// Whether a token says that it is bound to a key; whether it is to that of a proof, [`check`] says.
pub(super) fn names_key(claims: &Object) -> bool {
    let cnf = claims.get("cnf").and_then(Value::as_object);
    cnf.is_some_and(|cnf| cnf.get("jkt").is_some())
}

/// The key and the certificate that a token is bound to.
fn read(claims: &Object) -> Result<(Option<&str>, Option<&str>), Error> {
    let cnf = match claims.get("cnf") {
        None => return Ok((None, None)),
        Some(Value::Object(cnf)) => cnf,
        Some(_) => return Err(Error::new(ErrorKind::ClaimInvalid, "cnf")),
    };
    let text = |name: &str, at: &'static str| match cnf.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(Error::new(ErrorKind::ClaimInvalid, at)),
    };
    match (text("jkt", KEY)?, text("x5t#S256", CERTIFICATE)?) {
        // RFC 7800 section 3.1: what is not understood is ignored. When that is all there is, the
        // token is bound to something that nobody here can check.
        (None, None) => Err(Error::new(ErrorKind::BindingMismatch, "cnf")),
        bound => Ok(bound),
    }
}
