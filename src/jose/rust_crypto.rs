//! The arithmetic of signatures in Rust, for native programs.
//!
//! In WebAssembly the host's WebCrypto does it: two to ten times faster and without the bytes.

mod private_key;

pub use private_key::PrivateKey;

use sha2::{Digest as _, Sha256, Sha384, Sha512};

use crate::jose::jwk::Material;
use crate::jose::{Curve, Hash, Kind, SignatureCheck};

/// Answers the question of a [`SignatureCheck`].
pub fn verify(check: &SignatureCheck) -> bool {
    let (message, signature) = (check.message(), check.signature());
    let hash = check.algorithm().hash();
    match (check.algorithm().kind(), check.key().material()) {
        (Kind::Ecdsa(curve), Material::Ec { x, y, .. }) => {
            let point = [&[4], x.as_slice(), y.as_slice()].concat();
            match curve {
                Curve::P256 => ecdsa!(p256, &point, message, signature),
                Curve::P384 => ecdsa!(p384, &point, message, signature),
                Curve::P521 => ecdsa!(p521, &point, message, signature),
            }
        }
        (Kind::Ed25519, Material::Ed25519 { point }) => {
            ed25519(point, message, signature).is_some()
        }
        (Kind::RsaPkcs1, Material::Rsa { modulus, exponent }) => match hash {
            Hash::Sha256 => rsa_pkcs1!(Sha256, modulus, exponent, message, signature),
            Hash::Sha384 => rsa_pkcs1!(Sha384, modulus, exponent, message, signature),
            Hash::Sha512 => rsa_pkcs1!(Sha512, modulus, exponent, message, signature),
        },
        (Kind::RsaPss, Material::Rsa { modulus, exponent }) => match hash {
            Hash::Sha256 => rsa_pss!(Sha256, modulus, exponent, message, signature),
            Hash::Sha384 => rsa_pss!(Sha384, modulus, exponent, message, signature),
            Hash::Sha512 => rsa_pss!(Sha512, modulus, exponent, message, signature),
        },
        #[cfg(feature = "guard")]
        (Kind::Hmac, Material::Shared { secret }) => {
            // EXPOSE: it is the key of the arithmetic.
            let secret = secret.0.expose().as_slice();
            match hash {
                Hash::Sha256 => hmac!(Sha256, secret, message, signature),
                Hash::Sha384 => hmac!(Sha384, secret, message, signature),
                Hash::Sha512 => hmac!(Sha512, secret, message, signature),
            }
        }
        // A check is made only for a key of the algorithm's family.
        _ => false,
    }
}

/// One curve; the crates have the same names for different types.
macro_rules! ecdsa {
    ($curve:ident, $point:expr, $message:expr, $signature:expr) => {{
        use $curve::ecdsa::signature::Verifier as _;
        let key = $curve::ecdsa::VerifyingKey::from_sec1_bytes($point);
        let signature = $curve::ecdsa::Signature::from_slice($signature);
        matches!((key, signature), (Ok(key), Ok(signature)) if key.verify($message, &signature).is_ok())
    }};
}

macro_rules! rsa_pkcs1 {
    ($hash:ident, $modulus:expr, $exponent:expr, $message:expr, $signature:expr) => {
        rsa_key($modulus, $exponent).is_some_and(|key| {
            key.verify(
                rsa::Pkcs1v15Sign::new::<$hash>(),
                &$hash::digest($message),
                $signature,
            )
            .is_ok()
        })
    };
}

macro_rules! rsa_pss {
    ($hash:ident, $modulus:expr, $exponent:expr, $message:expr, $signature:expr) => {
        rsa_key($modulus, $exponent).is_some_and(|key| {
            key.verify(
                rsa::Pss::<$hash>::new(),
                &$hash::digest($message),
                $signature,
            )
            .is_ok()
        })
    };
}

/// The comparison is the crate's own, in constant time.
#[cfg(feature = "guard")]
macro_rules! hmac {
    ($hash:ident, $secret:expr, $message:expr, $signature:expr) => {{
        use hmac::{KeyInit as _, Mac as _};
        hmac::Hmac::<$hash>::new_from_slice($secret)
            .is_ok_and(|mac| mac.chain_update($message).verify_slice($signature).is_ok())
    }};
}

#[cfg(feature = "guard")]
use hmac;
use {ecdsa, rsa_pkcs1, rsa_pss};

fn rsa_key(modulus: &[u8], exponent: &[u8]) -> Option<rsa::RsaPublicKey> {
    let n = rsa::BoxedUint::from_be_slice_vartime(modulus);
    let e = rsa::BoxedUint::from_be_slice_vartime(exponent);
    rsa::RsaPublicKey::new(n, e).ok()
}

fn ed25519(point: &[u8], message: &[u8], signature: &[u8]) -> Option<()> {
    let key = ed25519_dalek::VerifyingKey::from_bytes(point.try_into().ok()?).ok()?;
    let signature = ed25519_dalek::Signature::from_slice(signature).ok()?;
    // Strict: RFC 8032 section 5.1.7 with S below the order and no points of small order.
    key.verify_strict(message, &signature).ok()
}
