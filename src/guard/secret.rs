//! A secret that this guard shares with the issuer of its tokens, for HS256, HS384 and HS512.

use std::sync::Arc;

use crate::base64url;
use crate::error::Error;
use crate::http::json::{self, Object, Value};
use crate::jose::{Algorithm, Algorithms, VerificationKey};
use crate::options::{Options, invalid};

/// The longest secret; what is longer is hashed by HMAC and gains nothing (RFC 2104 section 2).
const MAX_SECRET: usize = 1024;

/// Reads the options `secret` and `algorithms` of a guard without key sets.
///
/// The secret is text, which stands for its UTF-8 bytes, or `{ base64url }`. It is at least as long
/// as the hash of each algorithm (RFC 7518 section 3.2). Text and bytes that are a public key in
/// PEM, DER or JWK form are refused: whoever gives one expects another algorithm, and everybody
/// knows that secret.
///
/// What it does not check: whether the secret can be guessed.
///
/// # Errors
///
/// `config_invalid`.
#[inline(never)]
pub(super) fn from_options(
    secret: &Value,
    algorithms: Option<Vec<&str>>,
) -> Result<(Arc<VerificationKey>, Algorithms), Error> {
    let bytes = match secret {
        Value::String(text) => text.clone().into_bytes(),
        Value::Object(object) => read_bytes(object)?,
        _ => return Err(invalid("secret")),
    };
    if is_public_key(&bytes) || bytes.len() > MAX_SECRET {
        return Err(invalid("secret"));
    }
    let names = algorithms.unwrap_or_else(|| vec!["HS256"]);
    let list: Option<Vec<_>> = names
        .into_iter()
        .map(|name| Algorithm::from_name(name).filter(|algorithm| algorithm.is_symmetric()))
        .collect();
    let list = list.ok_or_else(|| invalid("algorithms"))?;
    for algorithm in &list {
        let least = usize::try_from(algorithm.hash().length()).unwrap_or(usize::MAX);
        if bytes.len() < least {
            return Err(invalid("secret"));
        }
    }
    let algorithms = Algorithms::only(list).ok_or_else(|| invalid("algorithms"))?;
    Ok((Arc::new(VerificationKey::of_secret(bytes)), algorithms))
}

fn read_bytes(object: &Object) -> Result<Vec<u8>, Error> {
    let options = Options::new(object, &["base64url"])?;
    options
        .value("base64url")
        .and_then(Value::as_str)
        .and_then(base64url::decode)
        .ok_or_else(|| invalid("secret"))
}

/// Whether bytes are a key in PEM, DER or JWK form, whatever white space stands around it.
fn is_public_key(bytes: &[u8]) -> bool {
    if is_der(bytes) {
        return true;
    }
    let Ok(text) = core::str::from_utf8(bytes) else {
        return false;
    };
    let trimmed = text.trim_matches(|c: char| {
        c.is_whitespace() || c.is_control() || matches!(c, '\u{200B}'..='\u{200F}' | '\u{FEFF}')
    });
    // A PEM without its first line is DER in base64, which begins with the tag of a sequence.
    let is_pem = trimmed.contains("-----BEGIN") || trimmed.starts_with("MII");
    let is_ssh = trimmed.starts_with("ssh-") || trimmed.starts_with("ecdsa-sha2-");
    let is_json = matches!(
        json::read(trimmed.as_bytes(), trimmed.len()),
        Ok(Value::Object(_) | Value::Array(_))
    );
    is_pem || is_ssh || is_json
}

/// Whether bytes are exactly one DER sequence (X.690 section 8.9), as SPKI, PKCS #1 and PKCS #8 are.
fn is_der(bytes: &[u8]) -> bool {
    let (length, rest) = match bytes {
        [0x30, length @ 0..=0x7f, rest @ ..] => (usize::from(*length), rest),
        [0x30, 0x81, length, rest @ ..] => (usize::from(*length), rest),
        [0x30, 0x82, high, low, rest @ ..] => {
            (usize::from(u16::from_be_bytes([*high, *low])), rest)
        }
        _ => return false,
    };
    rest.len() == length
}
