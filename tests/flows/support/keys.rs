//! Keys of the tests' providers and attackers. They were made for these tests and protect nothing.

use std::convert::Infallible;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rsa::BoxedUint;
use rsa::rand_core::{TryCryptoRng, TryRng};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn from_base64url(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// Signs with PKCS #1 v1.5.
macro_rules! pkcs1 {
    ($hash:ident, $key:expr, $message:expr) => {
        $key.sign(rsa::Pkcs1v15Sign::new::<$hash>(), &$hash::digest($message))
            .unwrap()
    };
}

/// Signs with PSS and a salt of this length.
macro_rules! pss {
    ($hash:ident, $key:expr, $message:expr, $salt:expr) => {
        $key.sign_with_rng(
            &mut Counting(0),
            rsa::Pss::<$hash>::new_with_salt($salt),
            &$hash::digest($message),
        )
        .unwrap()
    };
}

/// A key pair with the name and the algorithm under which it is published.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) kid: Option<String>,
    pub(crate) alg: &'static str,
    secret: Secret,
}

#[derive(Clone)]
enum Secret {
    Es256(p256::ecdsa::SigningKey),
    Es384(p384::ecdsa::SigningKey),
    Es512(p521::ecdsa::SigningKey),
    Ed25519(ed25519_dalek::SigningKey),
    Rsa(Box<rsa::RsaPrivateKey>),
}

impl Key {
    /// A key for this algorithm; the same seed gives the same key. There are three RSA keys.
    pub(crate) fn new(kid: &str, alg: &'static str, seed: u8) -> Self {
        let secret = match alg {
            "ES256" => Secret::Es256(p256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap()),
            "ES384" => Secret::Es384(p384::ecdsa::SigningKey::from_slice(&[seed; 48]).unwrap()),
            "ES512" => {
                let mut bytes = [seed; 66];
                bytes[0] = 0;
                Secret::Es512(p521::ecdsa::SigningKey::from_slice(&bytes).unwrap())
            }
            "EdDSA" | "Ed25519" => {
                Secret::Ed25519(ed25519_dalek::SigningKey::from_bytes(&[seed; 32]))
            }
            _ => {
                // Making one checks its numbers, which takes a while.
                static MADE: [OnceLock<rsa::RsaPrivateKey>; 3] = [const { OnceLock::new() }; 3];
                let place = usize::from(seed) % 3;
                let made = MADE[place].get_or_init(|| RSA[place].private_key());
                Secret::Rsa(Box::new(made.clone()))
            }
        };
        Self {
            kid: Some(kid.into()),
            alg,
            secret,
        }
    }

    /// The same key without a name.
    pub(crate) fn unnamed(mut self) -> Self {
        self.kid = None;
        self
    }

    /// The public key, with `kid`, `use` and `alg`.
    pub(crate) fn jwk(&self) -> Value {
        let mut jwk = self.bare_jwk();
        jwk["use"] = json!("sig");
        jwk["alg"] = json!(self.alg);
        if let Some(kid) = &self.kid {
            jwk["kid"] = json!(kid);
        }
        jwk
    }

    /// The public key and nothing about it.
    pub(crate) fn bare_jwk(&self) -> Value {
        let ec = |curve: &str, sec1: &[u8]| {
            let (x, y) = sec1[1..].split_at((sec1.len() - 1) / 2);
            json!({"kty": "EC", "crv": curve, "x": base64url(x), "y": base64url(y)})
        };
        match &self.secret {
            Secret::Es256(key) => {
                let point = key.verifying_key().to_sec1_point(false);
                ec("P-256", point.as_bytes())
            }
            Secret::Es384(key) => {
                let point = key.verifying_key().to_sec1_point(false);
                ec("P-384", point.as_bytes())
            }
            Secret::Es512(key) => {
                let point = key.verifying_key().to_sec1_point(false);
                ec("P-521", point.as_bytes())
            }
            Secret::Ed25519(key) => {
                let point = key.verifying_key().to_bytes();
                json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(point)})
            }
            Secret::Rsa(key) => {
                use rsa::traits::PublicKeyParts as _;
                let n = key.n_bytes();
                json!({"kty": "RSA", "n": base64url(n), "e": "AQAB"})
            }
        }
    }

    /// The key pair, as whoever signs with it has it.
    pub(crate) fn private_jwk(&self) -> Value {
        let mut jwk = self.jwk();
        let mut set = |name: &str, bytes: &[u8]| jwk[name] = json!(base64url(bytes));
        match &self.secret {
            Secret::Es256(key) => set("d", &key.to_bytes()),
            Secret::Es384(key) => set("d", &key.to_bytes()),
            Secret::Es512(key) => set("d", &key.to_bytes()),
            Secret::Ed25519(key) => set("d", &key.to_bytes()),
            Secret::Rsa(key) => {
                use rsa::traits::PrivateKeyParts as _;
                set("d", &key.d().to_be_bytes_trimmed_vartime());
                for (name, prime) in ["p", "q"].into_iter().zip(key.primes()) {
                    set(name, &prime.to_be_bytes_trimmed_vartime());
                }
            }
        }
        jwk
    }

    /// Signs with the algorithm that is named: a key of another family signs with its own.
    pub(crate) fn sign(&self, alg: &str, message: &[u8]) -> Vec<u8> {
        use p256::ecdsa::signature::Signer as _;
        match &self.secret {
            Secret::Es256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.to_bytes().to_vec()
            }
            Secret::Es384(key) => {
                let signature: p384::ecdsa::Signature = key.sign(message);
                signature.to_bytes().to_vec()
            }
            Secret::Es512(key) => {
                let signature: p521::ecdsa::Signature = key.sign(message);
                signature.to_bytes().to_vec()
            }
            Secret::Ed25519(key) => key.sign(message).to_bytes().to_vec(),
            Secret::Rsa(key) => match alg {
                "RS384" => pkcs1!(Sha384, key, message),
                "RS512" => pkcs1!(Sha512, key, message),
                "PS256" => self.sign_pss(message, 32),
                "PS384" => pss!(Sha384, key, message, 48),
                "PS512" => pss!(Sha512, key, message, 64),
                _ => pkcs1!(Sha256, key, message),
            },
        }
    }

    /// Signs as PS256 does, with a salt of this length.
    pub(crate) fn sign_pss(&self, message: &[u8], salt: usize) -> Vec<u8> {
        match &self.secret {
            Secret::Rsa(key) => pss!(Sha256, key, message, salt),
            _ => panic!("only RSA keys sign with PSS"),
        }
    }
}

/// Salts need not be secret here, only different.
struct Counting(u64);

impl TryRng for Counting {
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
            self.0 += 1;
            let digest = Sha256::digest(self.0.to_le_bytes());
            chunk.copy_from_slice(&digest[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Counting {}

struct RsaNumbers {
    n: &'static str,
    d: &'static str,
    p: &'static str,
    q: &'static str,
}

impl RsaNumbers {
    fn private_key(&self) -> rsa::RsaPrivateKey {
        let number = |text| BoxedUint::from_be_slice_vartime(&from_base64url(text));
        rsa::RsaPrivateKey::from_components(
            number(self.n),
            BoxedUint::from(65_537_u64),
            number(self.d),
            vec![number(self.p), number(self.q)],
        )
        .unwrap()
    }
}

/// 2048 bits each.
const RSA: [RsaNumbers; 3] = [
    RsaNumbers {
        n: "yQJXNpsVQzlGrLZPEyXqsfU6nmsELOxS80P_DxyQyPute7CMWD9OT7xytHYktdlMRWe582o2IAzHc2ExJzvaO6oCsyN8xRW56xX0LEBk5sXDC2HmY-NeKNjIJCev3E1TMXLiG6jsKTigVbCw9owF3IkhgaUQQzarI2avR3203HwZAb5VKfasqUR3zHItfcLyZqhZDckDvwWSUbtpfsDN1R0gdV6_eSrzW2-BuF8KmGJXGCRsk5FJMy58n-VzwKF8VK0MNzVc8Nnb3fNhUMXIghfjBCtsWnGGjTwniPakT0ustirWgsMgBeIFwPdBZXX0NGh3HGY73YnmDdQ_awUYjQ",
        d: "C8x037zWUICrVYD1VEY8p_R2hoz5N5p-5fjpnvKfdwSliBCdXvgG-ebcWXEOh5QOhjZn86dE2mMVo__3pCS_ExMldGwSq04yqwoPWozvFJ1VbQodPWNqXVMYMF3EqgA_RV7ycbWGeIbyi6_C5hM4Vtu_w-iIngFhUJh66mMxELinbLZZnkxG7kVWNHsJGd6mh3eHjEeq5QMRQfQXTWFOrTEXC1XKfRt94L0VEVTTHpOh5wSPl0j_p8j1u8UzB2IfdxAjMYtp421pXFeNOdRlMM70kfMlinwyj9AuEpRvamK0sulytmOZFk2asYBfghSVUhnfn78xd5VHGoV1GyIyiw",
        p: "5PjzJzNjPzKLHgqc1-BNkMjwmixFRdfmKz4S5qreS04AKBqm-xH7A5p4em3lPukGVnfmLYN6Xp3sQ9k_Is03fsNfL3slDtCj5IFkhNXGHDlePu2-4lgLBp9N55xu-3pTsrwGk9KvWBY7reR9MxkKsArOJ3DZ7AO-VZ02_KYyvo8",
        q: "4Lxmcqc_ClCVzesOGDsKAy_5zgtexhOI-X4cu0u4RSjGPfgD_N1sL5SUdhPKlqcRhnd2bZFxNxVjv_E74rr4lIfvqxavJjJFEItWEaNirFkhdAYdx6V-iBeKXk7gabkLKK-nPckASLD-Mr4SJra2cGeijy6xjbjkmJr9iVv_xSM",
    },
    RsaNumbers {
        n: "tUBcFT9Q1cPB9-s49gwT2rORbR7TM2k3qadNy4oSwdALeQQXxzN6ICGV7KtkXd7oUdtk8DBw5TjJTnhS4dmuxJLQFptOXUIvMb4iM4ojf2l6_W5WKC2xJtXaXQtGJ5BQ8fXtC9WiE9t0aIttGx5InnecK6s3u2eZQxfJsoxWptEapthbxe8FtSjEFEDxpxPCj13KqGDr8tCCsxmXhFHB8y1rNGVlhNvcm5kqh_vFxMY2p8Bn5zJLMPnnWovvIyDIeJgEERdTAyiJ795-x9veNx81acKgJmM7DBKuAiVlmJQ5GTp_quAQhgGSdI6CdFjLilADsDKH9b0zSEuZs2857w",
        d: "Bs8aJnowcTdfbA7cHvIpNMgWKIFF8eJ8AtWUKJdRSRKlu7AZrJQUfGyGk1OE-7nKBHk3e4Z2V0Yg2d_PTUi-NghF5POEqCA6YaYA5urDlp_BzQ9-ERhWVV0nTOOFiSr0v4I7m3w1EIXoA51pReGHXNylc0aFW3by3QBhxWFcR_v2l1tHjvOm5mSWGfFLEQI2g9ZP875w88qh_4Oe5cigF7cbBN1ggDfq91dMibgVmbrxX29fbcuvSCcmovQxt7KF-3lmlA1-5k38VbLlitbQsW90nlAXHelKAKsQ-lqEBAWbIYRyfhCL5yKMGbNU4ZJr3pwyXwc57zemDm3ItQQs4Q",
        p: "_zwMWbtmMa31U87xJ1ZMdVoqd4T97MQKOAEdDC1G-Jnz2YKBFmLFWmYRz27Lw20RV8qecAuMHyJGhw2cUK3ZVUpKDTOIxtz2kzkYIW6Esgpa8e4XYu5EqiSVh6Q4tTRAdMJ4bTnOSgaLbtCUyoYAfiEpUZlyS3FV9oHuIXhsc0c",
        q: "tcuDIGEg3Pc9yQPd7kLriU2nY4-xiJ7ooJFgUqDq-zlIQgyFi3viL-8AnBWWZY8s9ROKe5VzUUygyRobbc54JWdZmsuqG3SBIWD3hbiMqswMoOG0PaKNoEw9InnYD_-BZgQIkd5ZUT2y8X8EeNMssEr9ata9pAkgMLR_P8o0SBk",
    },
    RsaNumbers {
        n: "x_6yWlEF0ZBEKMCPYXsuHRJBhw5C5Ze-8OJH2kayXD5oC-XRbi0vRBGryumkIfTy33LH4ubl8H4bwmjJ0hSh1yIrcuk7WZAoeTxSgxFzTCHEK9FUhEHTaCJWw0DHzvpK11CZfCU4nc8OzzIxzJl7mAR--UWDTN2S-zBVHpg6WiC7snBQzs0-4x4oXFLWfQhUgBpTlV5lwm1c4jDlUvpiXSDe8YBTrglKNfEojKE7dRu9Qg1X0r6cESOMCen8EXUxE0lALcLyfC-h2bm3Z9ye1A5EbxMb28qfRHVB5TG919uXZXnzmrObIGgJDPmUHrvhUm6tdV-slOrkV0H8f6D9LQ",
        d: "BP0f1NDGuphOB4XsbbBukUIUG6iOV1qGdpY4s1XT-5algMgwTyMxjJHGRqFJO1h4OaFnaudWTJmsJE9nkfgxpHE--cjndpjVVjKS8THmmSkSLnDGrJR5xp1Iq3yfH1T4Socc0HPkYUvwl9hkwzCSXJzC9KYmCa0saaU4gA6EMhzgoDTRrANQpMMJs4RYvziiCP9r-SxH9xMuDou7w0gB9vlt4mLLh5Izce9UIiIkMie5s9PeP2LjrlBX7ctoRUe0FEG-neY0dq2ujTFdDI9O-ajbgA95zLtLQZRGtqbsbi9bK2dPBCptQed7AIY7S7WTmbF1RG4xp_xfva_Bq9Einw",
        p: "55zs7DUf6-tLJpJWvfgiZxX91vH0YU9rvOEYbGxMQ7FgvNy38-bZXN0kjGX1-QLOcJLIqEwW2CJiD_y2PhWUjyrTB4Vsj6gpL2JUiSM_0et9GjctuwQXJVLWXhVSyf64mGf6_HbMMJg7Ww8axnwusSF0Bpixpp3deNxIxlnWwds",
        q: "3Q2DXgb4tiMJ3ayJjLPLgDxeqgZmBmJt4-Ab8oR8awwsiqvQNLle5zrEs9Bosx1-1u2BAgMPZg4u1BevpMa3phvaS17dvVM5m00vBydOhQOHFY-D0aA9jPqWFf1c4DwBFRXfUVUBbErJEOodKAtmpp0QyF5YzKgRUlN9TLgrf5c",
    },
];
