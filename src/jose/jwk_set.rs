//! A JWK Set and the selection of keys from it (RFC 7517 section 5).

use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::http::json::{Object, Value};
use crate::jose::{Header, VerificationKey};

/// The most keys that a set may have. Real sets have two to ten; every token is compared with each.
pub(crate) const MAX_KEYS: usize = 100;

/// The public keys of an issuer.
#[derive(Clone, Debug)]
pub struct JwkSet {
    keys: Vec<Arc<VerificationKey>>,
    /// The names of keys that were left out.
    unsuitable: Vec<String>,
}

/// The keys that may have signed a token.
#[derive(Debug)]
#[allow(clippy::exhaustive_enums)] // No, one or several: there is no fourth.
pub enum Selection {
    /// No key has this name, or none fits a token without one.
    None,
    /// This key must have signed it.
    One(Arc<VerificationKey>),
    /// The token names no key and these fit.
    Several(Vec<Arc<VerificationKey>>),
}

impl JwkSet {
    /// Reads a JWK Set. Keys that cannot verify signatures (unknown, malformed, too weak, private,
    /// symmetric, for encryption) are left out, as RFC 7517 section 5 asks; they do not spoil the
    /// others. Only their names are kept, so that a token that names one is told why.
    ///
    /// # Errors
    ///
    /// `jwks_invalid` when there is no array `keys` or it holds more than 100.
    pub fn read(object: &Object) -> Result<Self, Error> {
        Self::read_within(object, MAX_KEYS)
    }

    /// As [`JwkSet::read`], with so many keys at the most.
    ///
    /// # Errors
    ///
    /// As [`JwkSet::read`].
    pub fn read_within(object: &Object, max_keys: usize) -> Result<Self, Error> {
        let invalid = || Error::new(ErrorKind::JwksInvalid, "keys");
        let keys = object
            .get("keys")
            .and_then(Value::as_array)
            .ok_or_else(invalid)?;
        if keys.len() > max_keys {
            return Err(invalid());
        }
        let mut set = Self {
            keys: Vec::new(),
            unsuitable: Vec::new(),
        };
        for jwk in keys.iter().filter_map(Value::as_object) {
            match VerificationKey::read(jwk) {
                Some(key) => set.keys.push(Arc::new(key)),
                None => {
                    let name = jwk.get("kid").and_then(Value::as_str);
                    set.unsuitable.extend(name.map(String::from));
                }
            }
        }
        Ok(set)
    }

    /// This set with the keys that `old` has too taken from there, so that what hosts made of them
    /// serves on, and whether it has all of them.
    pub(crate) fn keeping(mut self, old: &Self) -> (Self, bool) {
        for key in &mut self.keys {
            if let Some(same) = old.keys.iter().find(|known| *known == key) {
                *key = Arc::clone(same);
            }
        }
        let is_complete = old.keys.iter().all(|known| self.keys.contains(known));
        (self, is_complete)
    }

    /// How many usable keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no usable key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys that may have signed a token with this header.
    ///
    /// # Errors
    ///
    /// `key_unsuitable` when keys have the token's `kid` but none may be used or fits its
    /// algorithm, `key_ambiguous` when two keys of the same name fit.
    pub fn select(&self, header: &Header) -> Result<Selection, Error> {
        let named = |key: &&Arc<VerificationKey>| match header.key_id() {
            Some(name) => key.key_id() == Some(name),
            None => true,
        };
        let fitting: Vec<_> = self
            .keys
            .iter()
            .filter(named)
            .filter(|key| key.fits(header.algorithm()))
            .cloned()
            .collect();
        match (fitting.as_slice(), header.key_id()) {
            ([], Some(name))
                if self.keys.iter().any(|key| named(&key))
                    || self.unsuitable.iter().any(|left_out| left_out == name) =>
            {
                Err(ErrorKind::KeyUnsuitable.into())
            }
            ([], _) => Ok(Selection::None),
            ([key], _) => Ok(Selection::One(Arc::clone(key))),
            (_, Some(_)) => Err(ErrorKind::KeyAmbiguous.into()),
            (_, None) => Ok(Selection::Several(fitting)),
        }
    }
}
