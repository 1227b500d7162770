//! Checks signatures with the host's WebCrypto.

use std::cell::RefCell;
use std::sync::Arc;

use js_sys::{Array, JSON, Object, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::CryptoKey;

use crate::error::{Error, ErrorKind};
use crate::http::json::Value;
use crate::jose::{Algorithm, Kind, SignatureCheck, VerificationKey};
use crate::wasm::ambient;

/// How many imported keys are kept; issuers have two to ten.
const MOST_KEYS: usize = 64;

/// Keys that were imported, so that a check costs one call of the host and not two.
///
/// They are found by the key itself, not by its name: two issuers may use one name. A key whose
/// set was dropped is dropped here too.
#[derive(Default)]
pub(super) struct ImportedKeys(RefCell<Vec<(Arc<VerificationKey>, Algorithm, CryptoKey)>>);

impl ImportedKeys {
    /// Answers the question of a check.
    ///
    /// # Errors
    ///
    /// `unsupported_host` without WebCrypto or without the algorithm, `key_unsuitable` when the
    /// host refuses the key.
    pub(super) async fn verify(&self, check: &SignatureCheck) -> Result<bool, Error> {
        let subtle = ambient::subtle()?;
        let key = match self.find(check) {
            Some(key) => key,
            None => self.import(&subtle, check).await?,
        };
        let answer = subtle.verify_with_object_and_u8_array_and_u8_array(
            &parameters(check.algorithm()),
            &key,
            check.signature(),
            check.message(),
        );
        // Some hosts throw where others say no.
        Ok(settle(answer).await.is_ok_and(|answer| answer.is_truthy()))
    }

    fn find(&self, check: &SignatureCheck) -> Option<CryptoKey> {
        self.0
            .borrow()
            .iter()
            .find_map(|(key, algorithm, imported)| {
                (Arc::ptr_eq(key, check.key()) && *algorithm == check.algorithm())
                    .then(|| imported.clone())
            })
    }

    async fn import(
        &self,
        subtle: &web_sys::SubtleCrypto,
        check: &SignatureCheck,
    ) -> Result<CryptoKey, Error> {
        let jwk = Value::from(check.key().to_public_jwk()).to_json();
        let unsuitable = |_| Error::from(ErrorKind::KeyUnsuitable);
        let jwk: Object = JSON::parse(&jwk).map_err(unsuitable)?.unchecked_into();
        let promise = subtle.import_key_with_object(
            "jwk",
            &jwk,
            &parameters(check.algorithm()),
            false,
            &Array::of1(&"verify".into()),
        );
        let imported: CryptoKey = settle(promise)
            .await
            .map_err(|cause| {
                let name = Reflect::get(&cause, &"name".into())
                    .ok()
                    .and_then(|name| name.as_string());
                match name.as_deref() {
                    Some("NotSupportedError") => {
                        Error::new(ErrorKind::UnsupportedHost, check.algorithm().name())
                    }
                    _ => ErrorKind::KeyUnsuitable.into(),
                }
            })?
            .unchecked_into();
        let mut keys = self.0.borrow_mut();
        // Held here alone, a key belongs to a set that is gone.
        keys.retain(|(key, ..)| Arc::strong_count(key) > 1);
        if keys.len() >= MOST_KEYS {
            keys.clear();
        }
        keys.push((Arc::clone(check.key()), check.algorithm(), imported.clone()));
        Ok(imported)
    }
}

async fn settle(promise: Result<Promise, JsValue>) -> Result<JsValue, JsValue> {
    JsFuture::from(promise?).await
}

/// The parameters of an algorithm, good for importing and for verifying.
fn parameters(algorithm: Algorithm) -> Object {
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
