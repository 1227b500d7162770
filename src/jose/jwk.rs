//! Public keys and what may be done with them (RFC 7517, RFC 7518 section 6, RFC 8037).
//!
//! Hosts do arithmetic, they do not judge: WebCrypto imports RSA keys of 512 bits and Ed25519
//! points of small order. So the judgement is here, before a host sees a key.

#[cfg(feature = "guard")]
use subtle::ConstantTimeEq as _;

use crate::base64url;
use crate::http::json::{Object, Value};
use crate::jose::{Algorithm, Kind, point};
#[cfg(feature = "guard")]
use crate::secret::Secret;

/// A curve of ECDSA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums)] // JWA has these three for signatures that hosts support.
pub enum Curve {
    /// secp256r1
    P256,
    /// secp384r1
    P384,
    /// secp521r1
    P521,
}

impl Curve {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "P-256" => Self::P256,
            "P-384" => Self::P384,
            "P-521" => Self::P521,
            _ => return None,
        })
    }

    /// The name in `crv`, which WebCrypto uses too.
    pub fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }

    /// The length of a coordinate in bytes.
    pub fn coordinate_length(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    /// The prime of the field, most significant byte first (SEC 2 sections 2.4.2, 2.5.1, 2.6.1).
    pub(super) fn prime(self) -> Vec<u8> {
        let mut prime = vec![0xff; self.coordinate_length()];
        let mut put = |at: usize, bytes: &[u8]| {
            for (place, byte) in prime.iter_mut().skip(at).zip(bytes) {
                *place = *byte;
            }
        };
        match self {
            // 2^256 - 2^224 + 2^192 + 2^96 - 1
            Self::P256 => put(4, &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            // 2^384 - 2^128 - 2^96 + 2^32 - 1
            Self::P384 => {
                put(31, &[0xfe]);
                put(36, &[0, 0, 0, 0, 0, 0, 0, 0]);
            }
            // 2^521 - 1
            Self::P521 => put(0, &[1]),
        }
        prime
    }
}

/// The numbers of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Material {
    /// Modulus without leading zeros, exponent
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    /// Coordinates at full length
    Ec {
        curve: Curve,
        x: Vec<u8>,
        y: Vec<u8>,
    },
    /// The encoded point
    Ed25519 { point: Vec<u8> },
    /// Not public: what both sides of HMAC know. It is in no key set.
    #[cfg(feature = "guard")]
    Shared { secret: Shared },
}

/// What both sides of HMAC know. Comparing two tells nothing by its duration but their lengths.
#[cfg(feature = "guard")]
#[derive(Clone, Debug)]
pub(crate) struct Shared(pub(crate) Secret<Vec<u8>>);

#[cfg(feature = "guard")]
impl PartialEq for Shared {
    fn eq(&self, other: &Self) -> bool {
        // EXPOSE: it is compared in constant time.
        self.0.expose().ct_eq(other.0.expose()).into()
    }
}

#[cfg(feature = "guard")]
impl Eq for Shared {}

/// A public key that is strong enough, well formed and meant for checking signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerificationKey {
    key_id: Option<String>,
    algorithm: Option<Algorithm>,
    material: Material,
}

impl VerificationKey {
    /// Reads a JWK; `None` when it must not be used to check signatures.
    ///
    /// Refused are: unknown `kty` and `crv`; symmetric keys and any with private members
    /// (OpenID Connect Discovery section 3); another `use` than `sig`; `key_ops` without `verify`;
    /// an `alg` that is unknown or does not fit the key; RSA below 2048 or above 8192 bits, even
    /// moduli, exponents that are even or below 65537; EC coordinates of another length, beyond
    /// the prime, and EC points that are not on their curve; Ed25519 points that are not canonical or of
    /// small order. What it does not check: certificates (`x5c` is ignored), and whether RSA primes are
    /// weak.
    pub fn read(jwk: &Object) -> Option<Self> {
        Self::read_unplaced(jwk).filter(|key| match &key.material {
            Material::Ec { curve, x, y } => point::is_on(*curve, x, y),
            _ => true,
        })
    }

    /// The same without a look whether an EC point lies on its curve: for a key that checks one signature,
    /// which a host that refuses the point does not do.
    pub(crate) fn read_unplaced(jwk: &Object) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let bytes = |name: &str| base64url::decode(text(name)?);

        if ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"]
            .iter()
            .any(|name| jwk.get(name).is_some())
        {
            return None;
        }
        let material = match text("kty")? {
            "RSA" => Material::Rsa {
                modulus: bytes("n").filter(|n| is_sound_modulus(n))?,
                exponent: bytes("e").filter(|e| is_sound_exponent(e))?,
            },
            "EC" => {
                let curve = Curve::from_name(text("crv")?)?;
                let prime = curve.prime();
                let coordinate =
                    |name| bytes(name).filter(|value| value.len() == prime.len() && *value < prime);
                let (x, y) = (coordinate("x")?, coordinate("y")?);
                // The point at infinity has no coordinates; some write it as two zeros.
                if x.iter().chain(&y).all(|byte| *byte == 0) {
                    return None;
                }
                Material::Ec { curve, x, y }
            }
            "OKP" if text("crv")? == "Ed25519" => Material::Ed25519 {
                point: bytes("x").filter(|point| is_sound_point(point))?,
            },
            _ => return None,
        };

        let key_id = match jwk.get("kid") {
            None => None,
            Some(value) => Some(value.as_str()?.to_owned()),
        };
        let algorithm = match jwk.get("alg") {
            None => None,
            Some(value) => Some(Algorithm::from_name(value.as_str()?)?),
        };
        if jwk
            .get("use")
            .is_some_and(|value| value.as_str() != Some("sig"))
        {
            return None;
        }
        if jwk
            .get("key_ops")
            .is_some_and(|operations| !may_verify(operations))
        {
            return None;
        }

        let key = Self {
            key_id,
            algorithm,
            material,
        };
        key.algorithm
            .is_none_or(|algorithm| key.has_kind(algorithm))
            .then_some(key)
    }

    /// The key of HMAC, which both sides know. Only an option of the program is one.
    ///
    /// What it does not check: whether it is long enough.
    #[cfg(feature = "guard")]
    pub(crate) fn of_secret(bytes: Vec<u8>) -> Self {
        Self {
            key_id: None,
            algorithm: None,
            material: Material::Shared {
                secret: Shared(Secret::new(bytes)),
            },
        }
    }

    /// The bytes of a shared secret, to be handed to whoever does the arithmetic.
    #[cfg(all(feature = "guard", target_arch = "wasm32"))]
    pub(crate) fn secret(&self) -> Option<&Secret<Vec<u8>>> {
        match &self.material {
            Material::Shared { secret } => Some(&secret.0),
            _ => None,
        }
    }

    /// The key's name.
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// Whether the key may check this algorithm: one key, one algorithm (RFC 8725 section 3.1).
    ///
    /// The two names of Ed25519 are one algorithm (RFC 9864 section 2.2).
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        let named = match (self.algorithm, algorithm.kind()) {
            (None, _) | (Some(_), Kind::Ed25519) => true,
            (Some(own), _) => own == algorithm,
        };
        named && self.has_kind(algorithm)
    }

    fn has_kind(&self, algorithm: Algorithm) -> bool {
        match (&self.material, algorithm.kind()) {
            (Material::Rsa { .. }, Kind::RsaPkcs1 | Kind::RsaPss)
            | (Material::Ed25519 { .. }, Kind::Ed25519) => true,
            (Material::Ec { curve, .. }, Kind::Ecdsa(wanted)) => *curve == wanted,
            #[cfg(feature = "guard")]
            (Material::Shared { .. }, Kind::Hmac) => true,
            _ => false,
        }
    }

    /// The length of an RSA modulus in bytes, zero for other keys.
    pub(super) fn modulus_length(&self) -> usize {
        match &self.material {
            Material::Rsa { modulus, .. } => modulus.len(),
            _ => 0,
        }
    }

    /// The numbers.
    #[cfg(all(feature = "rust-crypto", not(target_arch = "wasm32")))]
    pub(super) fn material(&self) -> &Material {
        &self.material
    }

    /// The key as a JWK with its public members only: what a host imports.
    pub fn to_public_jwk(&self) -> Object {
        let encode = |bytes: &[u8]| base64url::encode(bytes);
        match &self.material {
            Material::Rsa { modulus, exponent } => Object::new()
                .with("e", encode(exponent))
                .with("kty", "RSA")
                .with("n", encode(modulus)),
            Material::Ec { curve, x, y } => Object::new()
                .with("crv", curve.name())
                .with("kty", "EC")
                .with("x", encode(x))
                .with("y", encode(y)),
            Material::Ed25519 { point } => Object::new()
                .with("crv", "Ed25519")
                .with("kty", "OKP")
                .with("x", encode(point)),
            // Nothing of it is public.
            #[cfg(feature = "guard")]
            Material::Shared { .. } => Object::new().with("kty", "oct"),
        }
    }
}

/// Whether a list of operations is one that has `verify`; none stands twice (RFC 7517 section 4.3).
#[inline(never)]
fn may_verify(operations: &Value) -> bool {
    operations.as_strings().is_some_and(|operations| {
        let mut rest = operations.as_slice();
        let mut is_twice = false;
        while let [first, others @ ..] = rest {
            is_twice |= others.contains(first);
            rest = others;
        }
        !is_twice && operations.contains(&"verify")
    })
}

/// 2048 to 8192 bits, counted exactly, odd, in the shortest form (RFC 7518 sections 3.3, 6.3.1.1).
fn is_sound_modulus(modulus: &[u8]) -> bool {
    let (Some(first), Some(last)) = (modulus.first(), modulus.last()) else {
        return false;
    };
    // Below 2048 bits factoring is in reach; beyond 8192 one check costs milliseconds.
    let bits = modulus
        .len()
        .saturating_mul(8)
        .saturating_sub(usize::try_from(first.leading_zeros()).unwrap_or(8));
    *first != 0 && last & 1 == 1 && (2048..=8192).contains(&bits)
}

/// Odd and at least 65537 (NIST SP 800-89), at most 8 bytes, in the shortest form.
fn is_sound_exponent(exponent: &[u8]) -> bool {
    // Larger exponents exist only to make checking slow.
    if exponent.len() > 8 || exponent.first().is_none_or(|first| *first == 0) {
        return false;
    }
    let value = exponent
        .iter()
        .fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    value >= 65_537 && value & 1 == 1
}

/// 32 bytes, y below the prime, and none of the points of small order, with which some signatures
/// verify for every message.
fn is_sound_point(point: &[u8]) -> bool {
    /// The y coordinates of the eight points of small order, least significant byte first.
    const SMALL_ORDER: [[u8; 32]; 5] = [
        // 0: order 4
        [0; 32],
        // 1: order 1
        {
            let mut y = [0; 32];
            y[0] = 1;
            y
        },
        // order 8, two values
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef,
            0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88,
            0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10,
            0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77,
            0x92, 0xac, 0x03, 0x7a,
        ],
        // -1: order 2
        {
            let mut y = [0xff; 32];
            y[0] = 0xec;
            y[31] = 0x7f;
            y
        },
    ];
    let Ok(mut y) = <[u8; 32]>::try_from(point) else {
        return false;
    };
    // The highest bit is the sign of x.
    if let Some(top) = y.last_mut() {
        *top &= 0x7f;
    }
    // RFC 8032 section 5.1.3: y is below 2^255 - 19.
    let is_canonical = {
        let [low, rest @ .., top] = &y;
        !(*top == 0x7f && rest.iter().all(|byte| *byte == 0xff) && *low >= 0xed)
    };
    is_canonical && !SMALL_ORDER.contains(&y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::json;

    fn read(jwk: &str) -> Option<VerificationKey> {
        VerificationKey::read(&json::read_object(jwk.as_bytes(), 1 << 20).unwrap())
    }

    fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<VerificationKey> {
        let (n, e) = (base64url::encode(modulus), base64url::encode(exponent));
        read(&format!(r#"{{"kty":"RSA","n":"{n}","e":"{e}"}}"#))
    }

    /// A number of this many bits that has the outline of a modulus.
    fn modulus(bits: usize) -> Vec<u8> {
        let mut bytes = vec![0xa5; bits.div_ceil(8)];
        let top = (bits - 1) % 8;
        *bytes.first_mut().unwrap() = 1 << top;
        *bytes.last_mut().unwrap() |= 1;
        bytes
    }

    #[test]
    fn rsa_bits_are_counted_exactly() {
        for bits in [512, 1024, 1536, 2041, 2047, 8193, 16384] {
            assert!(rsa(&modulus(bits), &[1, 0, 1]).is_none(), "{bits}");
        }
        for bits in [2048, 2049, 3072, 4096, 8192] {
            assert!(rsa(&modulus(bits), &[1, 0, 1]).is_some(), "{bits}");
        }
        let padded = [vec![0, 0, 0, 0], modulus(2048)].concat();
        assert!(rsa(&padded, &[1, 0, 1]).is_none());
    }

    #[test]
    fn rsa_numbers_are_sane() {
        let mut even = modulus(2048);
        *even.last_mut().unwrap() &= 0xfe;
        assert!(rsa(&even, &[1, 0, 1]).is_none());
        assert!(rsa(&[], &[1, 0, 1]).is_none());
        assert!(rsa(&[1], &[1, 0, 1]).is_none());
        for exponent in [
            &[][..],
            &[1],
            &[3],
            &[17],
            &[1, 0, 0],
            &[1, 0, 2],
            &[0, 1, 0, 1],
            &[1, 0, 0, 0, 0, 0, 0, 0, 1],
        ] {
            assert!(rsa(&modulus(2048), exponent).is_none(), "{exponent:?}");
        }
        assert!(read(r#"{"kty":"RSA","n":123,"e":"AQAB"}"#).is_none());
    }

    // RFC 7515 appendix A.3.
    const P256: &str = r#""kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0""#;
    // RFC 8037 appendix A.2.
    const ED25519: &str =
        r#""kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo""#;

    #[test]
    fn ec_coordinates_have_their_length_and_range() {
        assert!(read(&format!("{{{P256}}}")).is_some());
        for jwk in [
            P256.replace("P-256", "P-384"),
            P256.replace("P-256", "secp256k1"),
            P256.replace("P-256", "P-224"),
            P256.replace(
                "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVA",
            ),
            P256.replace(
                "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                "_____wAAAAEAAAAAAAAAAAAAAAD_______________8",
            ),
            P256.replace(r#","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0""#, ""),
        ] {
            assert!(read(&format!("{{{jwk}}}")).is_none(), "{jwk}");
        }
    }

    #[test]
    fn the_primes_are_those_of_sec_2() {
        let hex = |curve: Curve| {
            curve
                .prime()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        };
        assert_eq!(
            hex(Curve::P256),
            "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff"
        );
        assert_eq!(
            hex(Curve::P384),
            "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffff"
        );
        assert_eq!(hex(Curve::P521), format!("01{}", "ff".repeat(65)));
    }

    #[test]
    fn ed25519_points_of_small_order_are_refused() {
        assert!(read(&format!("{{{ED25519}}}")).is_some());
        let point = |bytes: &[u8]| {
            read(&format!(
                r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#,
                base64url::encode(bytes)
            ))
        };
        let mut minus_one = [0xff_u8; 32];
        (minus_one[0], minus_one[31]) = (0xec, 0x7f);
        let mut not_canonical = [0xff_u8; 32];
        (not_canonical[0], not_canonical[31]) = (0xed, 0x7f);
        let mut one_with_sign = [0_u8; 32];
        (one_with_sign[0], one_with_sign[31]) = (1, 0x80);
        for bytes in [[0; 32], minus_one, not_canonical, one_with_sign, [0xff; 32]] {
            assert!(point(&bytes).is_none(), "{bytes:?}");
        }
        assert!(point(&[9; 31]).is_none() && point(&[9; 33]).is_none() && point(&[]).is_none());
        assert!(read(&format!("{{{}}}", ED25519.replace("Ed25519", "X25519"))).is_none());
        assert!(read(&format!("{{{}}}", ED25519.replace("Ed25519", "Ed448"))).is_none());
    }

    #[test]
    fn a_key_is_used_for_what_it_is_meant_for() {
        for member in [
            r#""use":"enc""#,
            r#""use":1"#,
            r#""key_ops":["sign"]"#,
            r#""key_ops":["encrypt"]"#,
            r#""key_ops":[]"#,
            r#""key_ops":["verify","verify"]"#,
            r#""key_ops":["verify",1]"#,
            r#""key_ops":"verify""#,
            r#""alg":"RS256""#,
            r#""alg":"ES384""#,
            r#""alg":"HS256""#,
            r#""alg":"none""#,
            r#""alg":1"#,
            r#""kid":1"#,
            r#""d":"AA""#,
            r#""k":"AA""#,
        ] {
            assert!(read(&format!("{{{P256},{member}}}")).is_none(), "{member}");
        }
        for member in [
            r#""use":"sig""#,
            r#""key_ops":["verify"]"#,
            r#""alg":"ES256""#,
            r#""kid":"k""#,
            r#""x5c":["AA"]"#,
        ] {
            assert!(read(&format!("{{{P256},{member}}}")).is_some(), "{member}");
        }
        assert!(read(r#"{"kty":"oct","k":"AAAA"}"#).is_none());
        assert!(read(r#"{"kty":"FOO"}"#).is_none());
        assert!(read("{}").is_none());
    }

    #[test]
    fn one_key_has_one_algorithm() {
        let named = read(&format!(r#"{{{P256},"alg":"ES256"}}"#)).unwrap();
        assert!(
            named.fits(Algorithm::Es256)
                && !named.fits(Algorithm::Es384)
                && !named.fits(Algorithm::Rs256)
        );
        let rsa = rsa(&modulus(2048), &[1, 0, 1]).unwrap();
        assert!(
            rsa.fits(Algorithm::Rs256) && rsa.fits(Algorithm::Ps512) && !rsa.fits(Algorithm::Es256)
        );
        let edwards = read(&format!(r#"{{{ED25519},"alg":"EdDSA"}}"#)).unwrap();
        assert!(edwards.fits(Algorithm::Ed25519) && edwards.fits(Algorithm::EdDsa));
    }
}
