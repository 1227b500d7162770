//! Private keys of native programs.

use core::fmt;
use std::convert::Infallible;

use p256::ecdsa::signature::Signer as _;
use rsa::rand_core::{TryCryptoRng, TryRng};
use rsa::traits::PublicKeyParts as _;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use crate::base64url;
use crate::error::{Error, ErrorKind};
use crate::http::json::{Object, Value};
use crate::jose::{Algorithm, Curve, Hash, Kind, SigningRequest};
use crate::secret::Secret;

/// The shortest RSA modulus that signs, in bits (RFC 7518 section 3.3).
const LEAST_BITS: u32 = 2048;

/// A private key with the one algorithm that it is used with. It wipes itself when dropped.
pub struct PrivateKey {
    algorithm: Algorithm,
    material: Material,
}

enum Material {
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
    P521(p521::ecdsa::SigningKey),
    Ed25519(ed25519_dalek::SigningKey),
    Rsa(Box<rsa::RsaPrivateKey>),
}

impl PrivateKey {
    /// Reads a private key from a JWK, for its `alg` or, where it has none, for `algorithm`.
    ///
    /// What it does not check: `use`, `key_ops`, and whether the public members belong to the
    /// private ones.
    ///
    /// # Errors
    ///
    /// `key_unsuitable` when a member is missing or malformed, when the two algorithms differ or do
    /// not fit the key, and for RSA below 2048 bits.
    pub fn from_jwk(jwk: &Object, algorithm: Option<Algorithm>) -> Result<Self, Error> {
        read_jwk(jwk, algorithm).ok_or_else(|| ErrorKind::KeyUnsuitable.into())
    }

    /// Reads a private key from PKCS #8 in PEM, `-----BEGIN PRIVATE KEY-----`.
    ///
    /// # Errors
    ///
    /// `key_unsuitable` when the text is no such key, when it does not fit the algorithm, and for
    /// RSA below 2048 bits.
    pub fn from_pkcs8_pem(pem: &str, algorithm: Algorithm) -> Result<Self, Error> {
        use rsa::pkcs8::DecodePrivateKey as _;
        let unsuitable = || Error::from(ErrorKind::KeyUnsuitable);
        let material = match algorithm.kind() {
            Kind::Ecdsa(Curve::P256) => p256::ecdsa::SigningKey::from_pkcs8_pem(pem)
                .ok()
                .map(Material::P256),
            Kind::Ecdsa(Curve::P384) => p384::ecdsa::SigningKey::from_pkcs8_pem(pem)
                .ok()
                .map(Material::P384),
            Kind::Ecdsa(Curve::P521) => p521::ecdsa::SigningKey::from_pkcs8_pem(pem)
                .ok()
                .map(Material::P521),
            Kind::Ed25519 => ed25519_dalek::SigningKey::from_pkcs8_pem(pem)
                .ok()
                .map(Material::Ed25519),
            Kind::RsaPkcs1 | Kind::RsaPss => rsa::RsaPrivateKey::from_pkcs8_pem(pem)
                .ok()
                .filter(|key| key.n().bits() >= LEAST_BITS)
                .map(|key| Material::Rsa(key.into())),
            Kind::Hmac => None,
        };
        Ok(Self {
            algorithm,
            material: material.ok_or_else(unsuitable)?,
        })
    }

    /// The algorithm that it is used with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Signs what is asked for, in the form of RFC 7518.
    ///
    /// `entropy` is fresh for each call: PSS takes its salt from it and RSA its blinding. ECDSA is
    /// deterministic (RFC 6979) and needs none.
    ///
    /// # Errors
    ///
    /// `key_unsuitable` when another algorithm is asked for.
    pub fn sign(&self, request: &SigningRequest, entropy: [u8; 32]) -> Result<Vec<u8>, Error> {
        let unsuitable = || Error::from(ErrorKind::KeyUnsuitable);
        if request.algorithm() != self.algorithm {
            return Err(unsuitable());
        }
        let message = request.message();
        match &self.material {
            Material::P256(key) => {
                let signature: Result<p256::ecdsa::Signature, _> = key.try_sign(message);
                signature.ok().map(|signature| signature.to_vec())
            }
            Material::P384(key) => {
                let signature: Result<p384::ecdsa::Signature, _> = key.try_sign(message);
                signature.ok().map(|signature| signature.to_vec())
            }
            Material::P521(key) => {
                let signature: Result<p521::ecdsa::Signature, _> = key.try_sign(message);
                signature.ok().map(|signature| signature.to_vec())
            }
            Material::Ed25519(key) => key
                .try_sign(message)
                .ok()
                .map(|signature| signature.to_bytes().to_vec()),
            Material::Rsa(key) => {
                let random = &mut Random::new(entropy);
                match self.algorithm.hash() {
                    Hash::Sha256 => self.sign_rsa::<Sha256>(key, message, random),
                    Hash::Sha384 => self.sign_rsa::<Sha384>(key, message, random),
                    Hash::Sha512 => self.sign_rsa::<Sha512>(key, message, random),
                }
            }
        }
        .ok_or_else(unsuitable)
    }

    fn sign_rsa<D>(
        &self,
        key: &rsa::RsaPrivateKey,
        message: &[u8],
        random: &mut Random,
    ) -> Option<Vec<u8>>
    where
        D: sha2::Digest + sha2::digest::FixedOutputReset + sha2::digest::const_oid::AssociatedOid,
    {
        let digest = D::digest(message);
        if self.algorithm.kind() == Kind::RsaPss {
            key.sign_with_rng(random, rsa::Pss::<D>::new(), &digest)
        } else {
            key.sign_with_rng(random, rsa::Pkcs1v15Sign::new::<D>(), &digest)
        }
        .ok()
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({}, [redacted])", self.algorithm.name())
    }
}

fn read_jwk(jwk: &Object, algorithm: Option<Algorithm>) -> Option<PrivateKey> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let bytes = |name: &str| base64url::decode(text(name)?).map(Secret::new);
    let named = match jwk.get("alg") {
        None => None,
        Some(value) => Some(Algorithm::from_name(value.as_str()?)?),
    };
    if let (Some(named), Some(wanted)) = (named, algorithm)
        && named != wanted
    {
        return None;
    }
    let algorithm = named.or(algorithm)?;
    // EXPOSE: the numbers make the key.
    let material = match (algorithm.kind(), text("kty")?) {
        (Kind::Ecdsa(curve), "EC") if text("crv")? == curve.name() => {
            let d = bytes("d")?;
            match curve {
                Curve::P256 => {
                    Material::P256(p256::ecdsa::SigningKey::from_slice(d.expose()).ok()?)
                }
                Curve::P384 => {
                    Material::P384(p384::ecdsa::SigningKey::from_slice(d.expose()).ok()?)
                }
                Curve::P521 => {
                    Material::P521(p521::ecdsa::SigningKey::from_slice(d.expose()).ok()?)
                }
            }
        }
        (Kind::Ed25519, "OKP") if text("crv")? == "Ed25519" => {
            let d = bytes("d")?;
            let d = d.expose().as_slice().try_into().ok()?;
            Material::Ed25519(ed25519_dalek::SigningKey::from_bytes(d))
        }
        (Kind::RsaPkcs1 | Kind::RsaPss, "RSA") => {
            let number = |name| {
                let bytes = bytes(name)?;
                Some(rsa::BoxedUint::from_be_slice_vartime(bytes.expose()))
            };
            let key = rsa::RsaPrivateKey::from_components(
                number("n")?,
                number("e")?,
                number("d")?,
                vec![number("p")?, number("q")?],
            )
            .ok()
            .filter(|key| key.n().bits() >= LEAST_BITS)?;
            Material::Rsa(key.into())
        }
        _ => return None,
    };
    Some(PrivateKey {
        algorithm,
        material,
    })
}

/// Bytes from a seed that the caller drew: SHA-256 over seed and count.
struct Random {
    seed: Secret<[u8; 32]>,
    count: u64,
}

impl Random {
    fn new(seed: [u8; 32]) -> Self {
        Self {
            seed: Secret::new(seed),
            count: 0,
        }
    }
}

impl TryRng for Random {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(32) {
            self.count = self.count.wrapping_add(1);
            // EXPOSE: what comes out is a hash of it.
            let digest = Sha256::new_with_prefix(self.seed.expose())
                .chain_update(self.count.to_be_bytes())
                .finalize();
            for (place, byte) in chunk.iter_mut().zip(digest) {
                *place = byte;
            }
        }
        Ok(())
    }
}

impl TryCryptoRng for Random {}
