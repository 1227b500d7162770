//! Private keys as programs give them.

use js_sys::{Array, JSON, Object, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use web_sys::CryptoKey;

use crate::base64url;
use crate::error::Error;
use crate::http::json::{self, Value};
use crate::jose::{Algorithm, Kind};
use crate::options::invalid;
use crate::wasm::sign::Held;

/// The longest JWK or PEM of a private key: twice that of RSA with 8192 bits.
const MAX_KEY: usize = 32 * 1024;
/// The members of a private JWK that make the key. Others (`use`, `key_ops`, `ext`, `alg`) are about
/// its use, which is decided here, and hosts differ in what they make of them.
const MEMBERS: &[&str] = &[
    "kty", "crv", "x", "y", "n", "e", "d", "p", "q", "dp", "dq", "qi",
];

/// A key as it was given.
pub(super) struct Given {
    algorithm: Algorithm,
    key_id: Option<String>,
    held: Held,
}

/// What a key was given as.
enum Source {
    Key(CryptoKey),
    Data(&'static str, Object),
}

impl Given {
    /// Reads a CryptoKey, a JWK or PKCS #8 in PEM.
    ///
    /// # Errors
    ///
    /// `config_invalid` at `key` or `alg`.
    pub(super) fn read(
        key: JsValue,
        alg: Option<&str>,
        key_id: Option<String>,
    ) -> Result<Self, Error> {
        let alg = match alg {
            None => None,
            Some(name) => Some(
                Algorithm::from_name(name)
                    .filter(|algorithm| !algorithm.is_symmetric())
                    .ok_or_else(|| invalid("alg"))?,
            ),
        };
        let (own, own_id, source) = if let Some(pem) = key.as_string() {
            let bytes = pkcs8(&pem).ok_or_else(|| invalid("key"))?;
            let bytes = Uint8Array::from(bytes.as_slice());
            (None, None, Source::Data("pkcs8", bytes.unchecked_into()))
        } else if text(&key, "type").as_deref() == Some("private") {
            let algorithm = algorithm_of(&key).ok_or_else(|| invalid("key"))?;
            let usages = Reflect::get(&key, &"usages".into()).unwrap_or_default();
            let signs = Array::is_array(&usages)
                && usages.unchecked_ref::<Array>().includes(&"sign".into(), 0);
            if !signs {
                return Err(invalid("key"));
            }
            (Some(algorithm), None, Source::Key(key.unchecked_into()))
        } else {
            read_jwk(&key)?
        };
        let algorithm = match (own, alg) {
            (Some(own), None) => own,
            (None, Some(alg)) => alg,
            // The two names of Ed25519 are one algorithm (RFC 9864 section 2.2).
            (Some(own), Some(alg))
                if own == alg || own.kind() == Kind::Ed25519 && alg.kind() == Kind::Ed25519 =>
            {
                alg
            }
            _ => return Err(invalid("alg")),
        };
        Ok(Self {
            algorithm,
            key_id: key_id.or(own_id),
            held: match source {
                Source::Key(key) => Held::Ready(key),
                Source::Data(format, data) => Held::Data(format, data, algorithm),
            },
        })
    }

    /// The algorithm with which it signs.
    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The name under which others know it.
    pub(super) fn key_id(&self) -> Option<String> {
        self.key_id.clone()
    }

    /// What signs.
    pub(super) fn into_held(self) -> Held {
        self.held
    }
}

fn text(object: &JsValue, name: &str) -> Option<String> {
    Reflect::get(object, &name.into()).ok()?.as_string()
}

/// The algorithm that a CryptoKey signs with.
fn algorithm_of(key: &JsValue) -> Option<Algorithm> {
    let own = Reflect::get(key, &"algorithm".into()).ok()?;
    let name = text(&own, "name")?;
    let curve = text(&own, "namedCurve");
    let hash = Reflect::get(&own, &"hash".into())
        .ok()
        .and_then(|hash| text(&hash, "name"));
    Algorithm::all().find(|algorithm| {
        let same_hash = hash.as_deref() == Some(algorithm.hash().name());
        match algorithm.kind() {
            Kind::Ecdsa(own) => name == "ECDSA" && curve.as_deref() == Some(own.name()),
            Kind::Ed25519 => name == "Ed25519" && *algorithm == Algorithm::EdDsa,
            Kind::RsaPkcs1 => name == "RSASSA-PKCS1-v1_5" && same_hash,
            Kind::RsaPss => name == "RSA-PSS" && same_hash,
            Kind::Hmac => false,
        }
    })
}

/// A private JWK: the algorithm and the name that it has, and what the host imports.
fn read_jwk(key: &JsValue) -> Result<(Option<Algorithm>, Option<String>, Source), Error> {
    let unusable = || invalid("key");
    let text = JSON::stringify(key).map_err(|_| unusable())?;
    let text = text.as_string().ok_or_else(unusable)?;
    let jwk = json::read_object(text.as_bytes(), MAX_KEY).map_err(|_| unusable())?;
    let member = |name: &str| jwk.get(name).and_then(Value::as_str);
    let named = member("alg").and_then(Algorithm::from_name);
    let by_curve = match (member("kty"), member("crv")) {
        (Some("EC"), Some("P-256")) => Some(Algorithm::Es256),
        (Some("EC"), Some("P-384")) => Some(Algorithm::Es384),
        (Some("EC"), Some("P-521")) => Some(Algorithm::Es512),
        (Some("OKP"), Some("Ed25519")) => Some(Algorithm::EdDsa),
        (Some("RSA"), None) => None,
        _ => return Err(unusable()),
    };
    if member("d").is_none() {
        return Err(unusable());
    }
    let bare = Object::new();
    for name in MEMBERS {
        if let Some(value) = member(name) {
            // Setting a member of an object that was just made cannot fail.
            let _ = Reflect::set(&bare, &(*name).into(), &value.into());
        }
    }
    let key_id = member("kid").map(String::from);
    Ok((named.or(by_curve), key_id, Source::Data("jwk", bare)))
}

/// The bytes of PKCS #8 in PEM (RFC 7468 section 10).
fn pkcs8(pem: &str) -> Option<Vec<u8>> {
    if pem.len() > MAX_KEY {
        return None;
    }
    let body = pem
        .trim()
        .strip_prefix("-----BEGIN PRIVATE KEY-----")?
        .strip_suffix("-----END PRIVATE KEY-----")?;
    let text: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    base64url::decode_standard(&text)
}
