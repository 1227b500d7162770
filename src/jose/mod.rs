//! Signed tokens as bytes and algebra (RFC 7515 to 7519). Issuers, roles and HTTP are unknown here.
//!
//! [`Compact`] takes a token apart, [`Header`] reads what it says of itself, [`JwkSet`] selects
//! the keys that may check it, [`SignatureCheck`] is the question to whoever does the arithmetic,
//! and only its answer makes [`Verified`] claims. The other way round an [`UnsignedToken`] asks for
//! its signature with a [`SigningRequest`].

mod algorithm;
mod claims;
mod compact;
#[cfg(feature = "guard")]
mod dpop_proof;
mod header;
#[cfg(any(feature = "backend", feature = "guard"))]
mod hmac;
mod jwk;
mod jwk_set;
mod point;
mod sign;
mod signature;
mod thumbprint;

#[cfg(all(feature = "rust-crypto", not(target_arch = "wasm32")))]
pub mod rust_crypto;

pub use algorithm::{Algorithm, Algorithms, Hash, Kind};
pub use claims::Claims;
pub use compact::{Compact, MAX_TOKEN, TokenLimits};
#[cfg(feature = "guard")]
pub use dpop_proof::{DpopProof, ProofContext};
pub use header::Header;
pub use jwk::{Curve, VerificationKey};
pub(crate) use jwk_set::MAX_KEYS;
pub use jwk_set::{JwkSet, Selection};
pub use sign::{KeyName, SigningKey, SigningRequest, TokenNames, UnsignedToken};
pub use signature::{SignatureCheck, Unverified, Verified};
pub use thumbprint::Thumbprint;

#[cfg(feature = "primitives")]
pub(crate) use claims::decode;
#[cfg(any(feature = "backend", feature = "guard"))]
pub(crate) use hmac::hmac_sha256;
#[cfg(feature = "guard")]
pub(crate) use signature::KnownHeaders;
