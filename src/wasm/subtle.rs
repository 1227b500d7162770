//! Checks signatures with the host's crypto: `node:crypto` where it is there, because it answers at
//! once, WebCrypto everywhere else.

use std::cell::{OnceCell, RefCell};
use std::sync::Arc;

#[cfg(feature = "guard")]
use js_sys::Uint8Array;
use js_sys::{Array, JSON, Object, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::CryptoKey;

use crate::error::{Error, ErrorKind};
use crate::http::json::Value;
use crate::jose::{Algorithm, Kind, SignatureCheck, VerificationKey};
use crate::wasm::ambient;
#[cfg(feature = "guard")]
use crate::wasm::error::to_js;

/// How many imported keys are kept: one in use for each of a thousand issuers.
const MOST_KEYS: usize = 1024;

/// Keys that were imported, so that a check costs one call of the host and not two.
///
/// They are found by the key itself, not by its name: two issuers may use one name. A key whose
/// set was dropped is dropped here too.
#[derive(Default)]
pub(super) struct ImportedKeys {
    subtle: OnceCell<web_sys::SubtleCrypto>,
    imported: Kept<Imported>,
    node: OnceCell<Option<NodeCrypto>>,
    #[cfg(feature = "guard")]
    is_deno: OnceCell<bool>,
    prepared: Kept<Prepared>,
}

/// What the host made of keys, in the order of their addresses.
struct Kept<T>(RefCell<Vec<(Arc<VerificationKey>, Algorithm, T)>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T> Kept<T> {
    /// Uses what was made of the key of a check, where it is there. What is used is not copied: each
    /// copy of something of the host is a call.
    fn with<U>(&self, check: &SignatureCheck, using: impl FnOnce(&T) -> U) -> Option<U> {
        let keys = self.0.borrow();
        let (_, from) = keys.split_at_checked(place(&keys, check))?;
        from.iter()
            .take_while(|(key, ..)| Arc::ptr_eq(key, check.key()))
            .find_map(|(_, algorithm, made)| (*algorithm == check.algorithm()).then_some(made))
            .map(using)
    }

    fn keep(&self, check: &SignatureCheck, made: T) {
        let mut keys = self.0.borrow_mut();
        // Held here alone, a key belongs to a set that is gone.
        keys.retain(|(key, ..)| Arc::strong_count(key) > 1);
        if keys.len() >= MOST_KEYS {
            keys.clear();
        }
        let place = place(&keys, check);
        keys.insert(place, (Arc::clone(check.key()), check.algorithm(), made));
    }
}

/// Where the key of a check stands, or would.
fn place<T>(keys: &[(Arc<VerificationKey>, Algorithm, T)], check: &SignatureCheck) -> usize {
    let wanted = Arc::as_ptr(check.key()).addr();
    keys.partition_point(|(key, ..)| Arc::as_ptr(key).addr() < wanted)
}

#[wasm_bindgen]
extern "C" {
    /// The module `node:crypto` of Node, Deno and Bun.
    pub(super) type NodeCrypto;
    #[wasm_bindgen(method, catch, js_name = createPublicKey)]
    fn create_public_key(this: &NodeCrypto, key: &Object) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn verify(
        this: &NodeCrypto,
        hash: &JsValue,
        message: &[u8],
        key: &Object,
        signature: &[u8],
    ) -> Result<JsValue, JsValue>;
}

/// A key of WebCrypto with the parameters of its algorithm.
struct Imported {
    key: CryptoKey,
    parameters: Object,
}

/// A key of `node:crypto` with the parameters of its algorithm.
struct Prepared {
    hash: JsValue,
    key: Object,
}

impl Imported {
    /// Begins a check, which copies what it is about before it returns.
    fn ask(
        &self,
        subtle: &web_sys::SubtleCrypto,
        check: &SignatureCheck,
    ) -> Result<Promise, JsValue> {
        subtle.verify_with_object_and_u8_array_and_u8_array(
            &self.parameters,
            &self.key,
            check.signature(),
            check.message(),
        )
    }
}

impl ImportedKeys {
    /// Answers the question of a check without waiting; `None` where the host has no way to, or
    /// makes nothing of the key, so that WebCrypto has to be asked.
    pub(super) fn verify_at_once(&self, check: &SignatureCheck) -> Option<bool> {
        // What it verifies with is public keys.
        if check.algorithm().is_symmetric() {
            return None;
        }
        // Deno 2.9 takes half as much time for P-256 in WebCrypto as in its node:crypto, and a fifth
        // less for P-384; for all else node:crypto is the faster one, there and in Node and Bun.
        #[cfg(feature = "guard")]
        if matches!(check.algorithm(), Algorithm::Es256 | Algorithm::Es384)
            && *self.is_deno.get_or_init(ambient::is_deno)
        {
            return None;
        }
        let node = self.node.get_or_init(ambient::node_crypto).as_ref()?;
        let ask = |Prepared { hash, key }: &Prepared| {
            let answer = node.verify(hash, check.message(), key, check.signature());
            answer.ok()?.as_bool()
        };
        if let Some(answer) = self.prepared.with(check, ask) {
            return answer;
        }
        let prepared = prepare(node, check).ok()?;
        let answer = ask(&prepared);
        self.prepared.keep(check, prepared);
        answer
    }

    /// Asks WebCrypto the question of a check, or to import its key where that was not done before: then
    /// ask again once it is kept.
    ///
    /// # Errors
    ///
    /// `unsupported_host` without WebCrypto, `key_unsuitable`.
    #[cfg(feature = "guard")]
    pub(super) fn ask(&self, check: &SignatureCheck) -> Result<Asked, Error> {
        let subtle = self.subtle()?;
        let known = self
            .imported
            .with(check, |imported| imported.ask(subtle, check));
        Ok(match known {
            Some(Ok(answer)) => Asked::Signature(answer),
            // Some hosts throw where others say no.
            Some(Err(_)) => Asked::Signature(Promise::resolve(&JsValue::FALSE)),
            None => Asked::Key(begin_import(subtle, check)?),
        })
    }

    /// Keeps what WebCrypto made of the key of a check.
    pub(super) fn keep(&self, check: &SignatureCheck, key: JsValue) {
        let imported = Imported {
            key: key.unchecked_into(),
            parameters: parameters(check.algorithm()),
        };
        self.imported.keep(check, imported);
    }

    /// Answers the question of a check.
    ///
    /// # Errors
    ///
    /// `unsupported_host` without WebCrypto or without the algorithm, `key_unsuitable` when the
    /// host refuses the key.
    pub(super) async fn verify(&self, check: &SignatureCheck) -> Result<bool, Error> {
        let subtle = self.subtle()?;
        let ask = || {
            self.imported
                .with(check, |imported| imported.ask(subtle, check))
        };
        let answer = match ask() {
            Some(answer) => answer,
            None => {
                let key = settle(Ok(begin_import(subtle, check)?)).await;
                self.keep(check, key.map_err(|cause| import_failure(&cause, check))?);
                ask().unwrap_or(Err(JsValue::UNDEFINED))
            }
        };
        // Some hosts throw where others say no.
        Ok(settle(answer)
            .await
            .is_ok_and(|answer| answer.as_bool().unwrap_or(false)))
    }

    fn subtle(&self) -> Result<&web_sys::SubtleCrypto, Error> {
        if let Some(subtle) = self.subtle.get() {
            return Ok(subtle);
        }
        let subtle = ambient::subtle()?;
        Ok(self.subtle.get_or_init(|| subtle))
    }
}

/// What WebCrypto was asked.
#[cfg(feature = "guard")]
pub(super) enum Asked {
    /// Whether the signature fits: a promise of a boolean. What it is rejected with, and any other value, is
    /// a no.
    Signature(Promise),
    /// For the key of the check: a promise of it.
    Key(Promise),
}

fn begin_import(subtle: &web_sys::SubtleCrypto, check: &SignatureCheck) -> Result<Promise, Error> {
    let (format, data) = key_data(check.key())?;
    subtle
        .import_key_with_object(
            format,
            &data,
            &parameters(check.algorithm()),
            false,
            &Array::of1(&"verify".into()),
        )
        .map_err(|cause| import_failure(&cause, check))
}

/// Why the host did not import the key of a check.
#[inline(never)]
pub(super) fn import_failure(cause: &JsValue, check: &SignatureCheck) -> Error {
    let name = Reflect::get(cause, &"name".into())
        .ok()
        .and_then(|name| name.as_string());
    match name.as_deref() {
        Some("NotSupportedError") => {
            Error::new(ErrorKind::UnsupportedHost, check.algorithm().name())
        }
        _ => ErrorKind::KeyUnsuitable.into(),
    }
}

/// Whether the host's crypto says that a key made a signature over bytes that need not be a token:
/// the key policy, the lengths and the arithmetic of every check, for test vectors.
///
/// # Errors
///
/// `config_invalid` for a key that is no JSON object or an algorithm that is none, and those of
/// [`ImportedKeys::verify`].
#[cfg(feature = "guard")]
#[wasm_bindgen(js_name = checkSignature)]
pub async fn check_signature(
    jwk_json: String,
    algorithm: String,
    message: Vec<u8>,
    signature: Vec<u8>,
) -> Result<bool, JsValue> {
    let key = VerificationKey::read(&crate::wasm::options(&jwk_json)?);
    let algorithm = Algorithm::from_name(&algorithm)
        .ok_or_else(|| to_js(&Error::new(ErrorKind::ConfigInvalid, "alg")))?;
    let Some(key) = key.map(Arc::new) else {
        return Ok(false);
    };
    let Ok(check) = SignatureCheck::new(algorithm, &key, &message, &signature) else {
        return Ok(false);
    };
    let keys = ImportedKeys::default();
    if let Some(fits) = keys.verify_at_once(&check) {
        return Ok(fits);
    }
    match keys.verify(&check).await {
        Err(error) if error.kind() != ErrorKind::KeyUnsuitable => Err(to_js(&error)),
        answer => Ok(answer.unwrap_or(false)),
    }
}

#[inline(never)]
fn prepare(node: &NodeCrypto, check: &SignatureCheck) -> Result<Prepared, JsValue> {
    let algorithm = check.algorithm();
    let jwk = Value::from(check.key().to_public_jwk()).to_json();
    let given = Object::new();
    Reflect::set(&given, &"key".into(), &JSON::parse(&jwk)?)?;
    Reflect::set(&given, &"format".into(), &"jwk".into())?;
    let key = Object::new();
    let set = |name: &str, value: JsValue| Reflect::set(&key, &name.into(), &value);
    set("key", node.create_public_key(&given)?)?;
    match algorithm.kind() {
        // R and S at full length, as JWS writes them, and not the DER that is the default.
        Kind::Ecdsa(_) => set("dsaEncoding", "ieee-p1363".into())?,
        // HMAC does not come here.
        Kind::Ed25519 | Kind::Hmac => true,
        Kind::RsaPkcs1 => set("padding", RSA_PKCS1_PADDING.into())?,
        Kind::RsaPss => {
            set("saltLength", algorithm.hash().length().into())?;
            set("padding", RSA_PKCS1_PSS_PADDING.into())?
        }
    };
    // Ed25519 hashes by itself.
    let hash = match algorithm.kind() {
        Kind::Ed25519 => JsValue::NULL,
        _ => algorithm
            .hash()
            .name()
            .replace('-', "")
            .to_ascii_lowercase()
            .into(),
    };
    Ok(Prepared { hash, key })
}

/// `crypto.constants.RSA_PKCS1_PADDING`, a number of OpenSSL.
const RSA_PKCS1_PADDING: u32 = 1;
/// `crypto.constants.RSA_PKCS1_PSS_PADDING`, a number of OpenSSL.
const RSA_PKCS1_PSS_PADDING: u32 = 6;

/// A key in the form in which the host imports it, and the name of that form.
fn key_data(key: &VerificationKey) -> Result<(&'static str, Object), Error> {
    #[cfg(feature = "guard")]
    if let Some(secret) = key.secret() {
        // EXPOSE: it is the key of the arithmetic.
        let bytes = Uint8Array::from(secret.expose().as_slice());
        return Ok(("raw", bytes.unchecked_into()));
    }
    let jwk = Value::from(key.to_public_jwk()).to_json();
    let jwk = JSON::parse(&jwk).map_err(|_| Error::from(ErrorKind::KeyUnsuitable))?;
    Ok(("jwk", jwk.unchecked_into()))
}

/// Waits for what a call of the host returned.
pub(super) async fn settle(promise: Result<Promise, JsValue>) -> Result<JsValue, JsValue> {
    JsFuture::from(promise?).await
}

/// The parameters of an algorithm, good for importing, for verifying and for signing.
pub(super) fn parameters(algorithm: Algorithm) -> Object {
    let object = Object::new();
    let set = |name: &str, value: JsValue| {
        // Setting a member of an object that was just made cannot fail.
        let _ = Reflect::set(&object, &name.into(), &value);
    };
    let name = match algorithm.kind() {
        Kind::Ecdsa(curve) => {
            set("namedCurve", curve.name().into());
            "ECDSA"
        }
        Kind::Ed25519 => "Ed25519",
        Kind::Hmac => "HMAC",
        Kind::RsaPkcs1 => "RSASSA-PKCS1-v1_5",
        Kind::RsaPss => {
            set("saltLength", algorithm.hash().length().into());
            "RSA-PSS"
        }
    };
    set("name", name.into());
    set("hash", algorithm.hash().name().into());
    object
}
