//! What there is to know of each signature algorithm, in one table (RFC 7518, RFC 8037, RFC 9864).

use crate::jose::Curve;

/// A signature algorithm. `none` does not exist here; HMAC is accepted where a program says so and
/// gives the secret, and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// Ed25519, by its full name (RFC 9864)
    Ed25519,
    /// Ed25519, by the older name (RFC 8037)
    EdDsa,
    /// ECDSA with P-256 and SHA-256
    Es256,
    /// ECDSA with P-384 and SHA-384
    Es384,
    /// ECDSA with P-521 and SHA-512
    Es512,
    /// HMAC with SHA-256
    Hs256,
    /// HMAC with SHA-384
    Hs384,
    /// HMAC with SHA-512
    Hs512,
    /// RSASSA-PSS with SHA-256
    Ps256,
    /// RSASSA-PSS with SHA-384
    Ps384,
    /// RSASSA-PSS with SHA-512
    Ps512,
    /// RSASSA-PKCS1-v1_5 with SHA-256
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512
    Rs512,
}

/// The hash of an algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // JWA uses these three.
pub enum Hash {
    /// SHA-256
    Sha256,
    /// SHA-384
    Sha384,
    /// SHA-512
    Sha512,
}

impl Hash {
    /// The name that WebCrypto uses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
        }
    }

    /// The length of a digest in bytes, which is also the length of a PSS salt (RFC 7518 section 3.5).
    pub fn length(self) -> u32 {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// The family of an algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // A new family is a change to every verifier.
pub enum Kind {
    /// ECDSA on this curve
    Ecdsa(Curve),
    /// Ed25519
    Ed25519,
    /// HMAC, with a secret that both sides know
    Hmac,
    /// RSASSA-PKCS1-v1_5
    RsaPkcs1,
    /// RSASSA-PSS
    RsaPss,
}

/// What stands before the name in the table, so that a report of a check needs no other text.
const LABEL: &str = "signature ";

/// One row: algorithm, name in `alg` behind its label, family, hash.
type Row = (Algorithm, &'static str, Kind, Hash);

const TABLE: &[Row] = &[
    (
        Algorithm::Ed25519,
        "signature Ed25519",
        Kind::Ed25519,
        Hash::Sha512,
    ),
    (
        Algorithm::EdDsa,
        "signature EdDSA",
        Kind::Ed25519,
        Hash::Sha512,
    ),
    (
        Algorithm::Es256,
        "signature ES256",
        Kind::Ecdsa(Curve::P256),
        Hash::Sha256,
    ),
    (
        Algorithm::Es384,
        "signature ES384",
        Kind::Ecdsa(Curve::P384),
        Hash::Sha384,
    ),
    (
        Algorithm::Es512,
        "signature ES512",
        Kind::Ecdsa(Curve::P521),
        Hash::Sha512,
    ),
    (
        Algorithm::Hs256,
        "signature HS256",
        Kind::Hmac,
        Hash::Sha256,
    ),
    (
        Algorithm::Hs384,
        "signature HS384",
        Kind::Hmac,
        Hash::Sha384,
    ),
    (
        Algorithm::Hs512,
        "signature HS512",
        Kind::Hmac,
        Hash::Sha512,
    ),
    (
        Algorithm::Ps256,
        "signature PS256",
        Kind::RsaPss,
        Hash::Sha256,
    ),
    (
        Algorithm::Ps384,
        "signature PS384",
        Kind::RsaPss,
        Hash::Sha384,
    ),
    (
        Algorithm::Ps512,
        "signature PS512",
        Kind::RsaPss,
        Hash::Sha512,
    ),
    (
        Algorithm::Rs256,
        "signature RS256",
        Kind::RsaPkcs1,
        Hash::Sha256,
    ),
    (
        Algorithm::Rs384,
        "signature RS384",
        Kind::RsaPkcs1,
        Hash::Sha384,
    ),
    (
        Algorithm::Rs512,
        "signature RS512",
        Kind::RsaPkcs1,
        Hash::Sha512,
    ),
];

impl Algorithm {
    /// All of them, also those with a secret.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|(algorithm, ..)| *algorithm)
    }

    /// The algorithm of this name; names are compared letter by letter (RFC 7515 section 4.1.1).
    pub fn from_name(name: &str) -> Option<Self> {
        TABLE
            .iter()
            .find_map(|(algorithm, ..)| (algorithm.name() == name).then_some(*algorithm))
    }

    /// The name in `alg`.
    pub fn name(self) -> &'static str {
        let labelled = self.row().1;
        labelled.strip_prefix(LABEL).unwrap_or(labelled)
    }

    /// What a report calls a signature that was checked with it.
    pub(crate) fn check_name(self) -> &'static str {
        self.row().1
    }

    /// The family.
    pub fn kind(self) -> Kind {
        self.row().2
    }

    /// Whether whoever can check a signature can make one.
    pub fn is_symmetric(self) -> bool {
        self.kind() == Kind::Hmac
    }

    /// The hash; also that of `at_hash` (OpenID Connect Core section 3.1.3.6).
    pub fn hash(self) -> Hash {
        self.row().3
    }

    fn row(self) -> Row {
        let row = TABLE
            .iter()
            .find(|(algorithm, ..)| *algorithm == self)
            .copied();
        // The table holds every variant, which a test proves; the last row is never the answer.
        row.unwrap_or((self, "", Kind::Ed25519, Hash::Sha512))
    }
}

/// The algorithms that a checker accepts: never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Algorithms(Vec<Algorithm>);

impl Algorithms {
    /// Every asymmetric algorithm of the table: none is weak, so they differ in what the provider
    /// uses, not in what is safe.
    pub fn all() -> Self {
        Self(
            Algorithm::all()
                .filter(|algorithm| !algorithm.is_symmetric())
                .collect(),
        )
    }

    /// Only these; `None` when there are none.
    pub fn only(algorithms: impl IntoIterator<Item = Algorithm>) -> Option<Self> {
        let algorithms: Vec<_> = algorithms.into_iter().collect();
        (!algorithms.is_empty()).then_some(Self(algorithms))
    }

    /// Those that stand in both lists; `None` when none does.
    #[must_use]
    pub fn and(&self, names: &[&str]) -> Option<Self> {
        Self::only(
            self.0
                .iter()
                .copied()
                .filter(|algorithm| names.contains(&algorithm.name())),
        )
    }

    /// Their names, separated by spaces, as a challenge names them.
    #[cfg(feature = "guard")]
    pub(crate) fn names(&self) -> String {
        let names: Vec<_> = self.0.iter().map(|algorithm| algorithm.name()).collect();
        names.join(" ")
    }

    /// Whether this one is accepted.
    pub fn contains(&self, algorithm: Algorithm) -> bool {
        self.0.contains(&algorithm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_exact_and_lead_back() {
        for algorithm in Algorithm::all() {
            assert!(!algorithm.name().is_empty());
            assert_eq!(Algorithm::from_name(algorithm.name()), Some(algorithm));
        }
        for name in [
            "none",
            "None",
            "hs256",
            "HS1",
            "rs256",
            "RS256 ",
            "",
            "ES256K",
            "Ed448",
            "RS1",
            "ML-DSA-44",
        ] {
            assert_eq!(Algorithm::from_name(name), None, "{name}");
        }
    }

    #[test]
    fn every_variant_has_a_row() {
        use Algorithm::*;
        for algorithm in [
            Ed25519, EdDsa, Es256, Es384, Es512, Hs256, Hs384, Hs512, Ps256, Ps384, Ps512, Rs256,
            Rs384, Rs512,
        ] {
            assert_eq!(algorithm.row().0, algorithm);
        }
        assert_eq!(Algorithm::all().count(), 14);
    }

    #[test]
    fn hmac_is_not_among_all_that_may_be_accepted() {
        use Algorithm::*;
        for algorithm in [Hs256, Hs384, Hs512] {
            assert!(algorithm.is_symmetric());
            assert!(!Algorithms::all().contains(algorithm));
        }
        assert!(Algorithms::all().contains(Rs256) && !Rs256.is_symmetric());
    }

    #[test]
    fn an_empty_list_is_no_list() {
        assert!(Algorithms::only([]).is_none());
        assert!(Algorithms::all().and(&["none", "HS256"]).is_none());
        let both = Algorithms::all().and(&["none", "ES256"]).unwrap();
        assert!(both.contains(Algorithm::Es256) && !both.contains(Algorithm::Rs256));
    }
}
